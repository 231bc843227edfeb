/* Attention forward in tiles (Dao et al., 2022): scores of a block of keys are made, turned into
 * weights and used at once, with a running maximum and sum per row. */
#include "core/cpu/isa/attn_tile.h"

enum { KEYS = 256, ROWS = 32 };

/* Scratch of a task, cut from one piece of memory. */
typedef struct Flash {
    const FlashTask *task;
    int64_t rows, units, vecs; /* query rows; units of a query row; vectors of an output row */
    Unit *q, *k, *v, *p, *spare;
    float *s, *o, *max, *sum;
    int64_t *seen; /* keys of the block that each row sees */
} Flash;

static size_t layout(Flash *f, const FlashTask *task, char *base, bool pairs)
{
    char *start = base;
    int64_t rows = round_up(task->n_queries * task->group, TILE_ROWS);
    f->task = task;
    f->rows = rows;
    f->units = round_up((task->D + unit_size(pairs) - 1) / unit_size(pairs), LANES);
    f->vecs = (task->D + LANES - 1) / LANES;
    f->q = cut_scratch(&base, rows * f->units, sizeof(Unit));
    f->k = cut_scratch(&base, KEYS * f->units, sizeof(Unit));
    f->v = cut_scratch(&base, KEYS / unit_size(pairs) * f->vecs * LANES, sizeof(Unit));
    f->p = cut_scratch(&base, ROWS * KEYS / unit_size(pairs), sizeof(Unit));
    f->spare = cut_scratch(&base, LANES * (f->units + 2 * f->vecs), sizeof(Unit));
    f->s = cut_scratch(&base, ROWS * KEYS, sizeof(float));
    f->o = cut_scratch(&base, rows * f->vecs * LANES, sizeof(float));
    f->max = cut_scratch(&base, rows, sizeof(float));
    f->sum = cut_scratch(&base, rows, sizeof(float));
    f->seen = cut_scratch(&base, rows, sizeof(int64_t));
    return (size_t)(base - start);
}

size_t ISA_SYMBOL(flash_scratch)(const FlashTask *task)
{
    Flash flash;
    return layout(&flash, task, NULL, false); /* floats need no less than pairs */
}

KERNEL_INLINE void start(const Flash *f, bool pairs)
{
    int64_t rows = f->task->n_queries * f->task->group;
    flash_load_queries(f->task, 0, f->q, f->units, pairs);
    memset(f->q + rows * f->units, 0, (size_t)((f->rows - rows) * f->units) * sizeof(Unit));
    memset(f->o, 0, (size_t)(f->rows * f->vecs * LANES) * sizeof(float));
    for (int64_t r = 0; r < f->rows; r++) {
        f->max[r] = -INFINITY;
        f->sum[r] = 0.0f;
    }
}

/* The largest number of keys seen by the TILE_ROWS rows from `row`. */
KERNEL_INLINE int64_t strip_seen(const Flash *f, int64_t row)
{
    int64_t most = 0;
    for (int64_t i = row; i < row + TILE_ROWS; i++)
        most = f->seen[i] > most ? f->seen[i] : most;
    return most;
}

/* s = q k^T for rows [begin, end), only as far as they see. */
KERNEL_INLINE void scores(const Flash *f, int64_t begin, int64_t end, bool pairs)
{
    int64_t size = unit_size(pairs), units = (f->task->D + size - 1) / size;
    int64_t column = f->units * LANES;
    for (int64_t v = 0; v < KEYS / LANES; v += TILE_VECS)
        for (int64_t r = begin; r < end; r += TILE_ROWS) {
            int64_t vecs = (strip_seen(f, r) + LANES - 1) / LANES - v;
            if (vecs > 0)
                strip_product((TileC){f->s + (r - begin) * KEYS + v * LANES, KEYS},
                              (TileA){f->q + r * f->units, f->units},
                              (TileB){f->k + v * column, column},
                              vecs < TILE_VECS ? vecs : TILE_VECS, units, false, pairs);
        }
}

/* Row r's weights 2^(scale s - max) from its scores, zero from `seen` to `padded`; updates the
 * running maximum and sum and scales what the row has gathered before. */
KERNEL_INLINE void weigh(const Flash *f, int64_t r, float *s, Unit *p, int64_t padded, bool pairs)
{
    int64_t seen = f->seen[r], vecs = (padded + LANES - 1) / LANES;
    float scale = f->task->scale * 1.44269504f; /* log2 e */
    VecF top = vec_set(-INFINITY), total = (VecF){0};
    for (int64_t j = 0; j < vecs; j++) {
        VecF x = scale * vec_load(s + j * LANES);
        if ((j + 1) * LANES > seen)
            x = vec_select(vec_iota() + (int32_t)(j * LANES) < (int32_t)seen, x,
                           vec_set(-INFINITY));
        vec_store(s + j * LANES, x);
        top = vec_max(top, x);
    }
    float max = vec_hmax(top);
    max = max > f->max[r] ? max : f->max[r];
    float base = max == -INFINITY ? 0.0f : max; /* a row that sees nothing yet */
    for (int64_t j = 0; j < vecs; j++) {
        VecF w = vec_exp2(vec_load(s + j * LANES) - base);
        total += w;
        if (pairs)
            *(VecHLoose *)((uint16_t *)p + j * LANES) = vec_bf16_quick(w);
        else
            vec_store(p + j * LANES, w);
    }
    if (f->sum[r] > 0.0f && max > f->max[r]) {
        float shrink = vec_exp2(vec_set(f->max[r] - max))[0];
        float *o = f->o + r * f->vecs * LANES;
        for (int64_t v = 0; v < f->vecs; v++)
            vec_store(o + v * LANES, shrink * vec_load(o + v * LANES));
        f->sum[r] *= shrink;
    }
    f->max[r] = max;
    f->sum[r] += vec_sum(total);
}

/* Rows [begin, end), at most ROWS, against the packed block. */
KERNEL_INLINE void rows_against_block(const Flash *f, int64_t begin, int64_t end, bool pairs)
{
    int64_t size = unit_size(pairs), width = f->vecs * LANES;
    scores(f, begin, end, pairs);
    for (int64_t r = begin; r < end; r += TILE_ROWS) {
        int64_t most = strip_seen(f, r);
        if (most == 0)
            continue;
        Unit *p = f->p + (r - begin) * (KEYS / size);
        for (int64_t i = 0; i < TILE_ROWS; i++)
            weigh(f, r + i, f->s + (r - begin + i) * KEYS, p + i * (KEYS / size), most, pairs);
        strip_product((TileC){f->o + r * width, width}, (TileA){p, KEYS / size},
                      (TileB){f->v, KEYS / size * LANES}, f->vecs, (most + size - 1) / size, true,
                      pairs);
    }
}

KERNEL_INLINE void run(const FlashTask *task, void *scratch, bool pairs)
{
    Flash flash, *f = &flash;
    layout(f, task, scratch, pairs);
    start(f, pairs);
    int64_t rows = task->n_queries * task->group;
    for (int64_t block = task->key_begin; block < task->key_end; block += KEYS) {
        int64_t count = task->key_end - block < KEYS ? task->key_end - block : KEYS, most = 0;
        for (int64_t r = 0; r < f->rows; r++) {
            int64_t seen = r < rows ? task->limits[r / task->group] - block : 0;
            seen = seen < 0 ? 0 : seen;
            f->seen[r] = seen < count ? seen : count;
            most = f->seen[r] > most ? f->seen[r] : most;
        }
        if (most == 0)
            continue;
        pack_lanes(f->k, f->units * LANES, &task->k, block, most, task->D, f->units, f->spare,
                   pairs);
        pack_units(f->v, KEYS / unit_size(pairs) * LANES, &task->v, block, most, task->D, f->vecs,
                   f->spare, pairs);
        for (int64_t r = 0; r < f->rows; r += ROWS)
            rows_against_block(f, r, r + ROWS < f->rows ? r + ROWS : f->rows, pairs);
    }
    for (int64_t r = 0; r < rows; r++)
        flash_store(task, 0, r, f->o + r * f->vecs * LANES, f->max[r], f->sum[r]);
}

void ISA_SYMBOL(flash)(const FlashTask *task, void *scratch)
{
#if HAVE_PAIRS
    if (task->q_type == DTYPE_BF16) {
        run(task, scratch, true);
        return;
    }
#endif
    run(task, scratch, false);
}
