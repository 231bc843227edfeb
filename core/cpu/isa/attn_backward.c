/* Attention backward in tiles. Keys are the rows and queries the lanes of every tile: then weights
 * come out of the exponential ready to be an operand of dv += p^T dout and dk += ds^T q (as rows)
 * and of dq^T += k^T ds (as lanes), without a transposition. One call owns a KV head, so that dk
 * and dv are summed over its query heads and queries in one fixed order. */
#include "core/cpu/isa/attn_tile.h"

enum { BLOCK = 64 }; /* keys and queries of a tile */

typedef struct Head { /* one query head, packed */
    Unit *q_lanes, *dout_lanes, *q_units, *dout_units;
    float *dq;           /* transposed: (T / BLOCK) tiles of (width, BLOCK) */
    float *lse2, *delta; /* lse in powers of two; past T infinite, so that weights are 0 there */
} Head;

typedef struct Backward {
    const FlashBackwardTask *task;
    int64_t length, size;       /* T rounded up; elements of a unit */
    int64_t units, vecs, width; /* units of a row; vectors and floats of an output row */
    Unit *k, *v, *k_turned;     /* rows of keys and values; k as (component, unit of keys) */
    Unit *p, *ds, *ds_lanes;    /* (key, unit of queries) twice; [vec of queries][unit of keys] */
    Unit *spare;
    float *s, *dp, *dk, *dv;
    char *heads;
    int64_t head_bytes;
} Backward;

static int64_t head_layout(const Backward *b, char *base, Head *head)
{
    char *start = base;
    int64_t lanes = b->length * b->units, units = b->length / b->size * b->width;
    head->q_lanes = cut_scratch(&base, lanes, sizeof(Unit));
    head->dout_lanes = cut_scratch(&base, lanes, sizeof(Unit));
    head->q_units = cut_scratch(&base, units, sizeof(Unit));
    head->dout_units = cut_scratch(&base, units, sizeof(Unit));
    head->dq = cut_scratch(&base, b->length * b->width, sizeof(float));
    head->lse2 = cut_scratch(&base, b->length, sizeof(float));
    head->delta = cut_scratch(&base, b->length, sizeof(float));
    return base - start;
}

static size_t layout(Backward *b, const FlashBackwardTask *task, char *base, bool pairs)
{
    char *start = base;
    Head head;
    b->task = task;
    b->size = unit_size(pairs);
    b->length = round_up(task->T, BLOCK);
    b->units = round_up((task->D + b->size - 1) / b->size, LANES);
    b->vecs = (task->D + LANES - 1) / LANES;
    b->width = b->vecs * LANES;
    b->k = cut_scratch(&base, BLOCK * b->units, sizeof(Unit));
    b->v = cut_scratch(&base, BLOCK * b->units, sizeof(Unit));
    b->k_turned = cut_scratch(&base, b->width * BLOCK / b->size, sizeof(Unit));
    b->p = cut_scratch(&base, BLOCK * BLOCK / b->size, sizeof(Unit));
    b->ds = cut_scratch(&base, BLOCK * BLOCK / b->size, sizeof(Unit));
    b->ds_lanes = cut_scratch(&base, BLOCK * BLOCK / b->size, sizeof(Unit));
    b->spare = cut_scratch(&base, LANES * b->units + BLOCK * b->width, sizeof(Unit));
    b->s = cut_scratch(&base, BLOCK * BLOCK, sizeof(float));
    b->dp = cut_scratch(&base, BLOCK * BLOCK, sizeof(float));
    b->dk = cut_scratch(&base, BLOCK * b->width, sizeof(float));
    b->dv = cut_scratch(&base, BLOCK * b->width, sizeof(float));
    b->heads = base;
    b->head_bytes = head_layout(b, NULL, &head);
    return (size_t)(base - start) + (size_t)(task->group * b->head_bytes);
}

size_t ISA_SYMBOL(flash_backward_scratch)(const FlashBackwardTask *task)
{
    Backward backward;
    return layout(&backward, task, NULL, false); /* floats need no less than pairs */
}

KERNEL_INLINE float row_dot(const void *a, const void *b, DType type, int64_t at, int64_t D)
{
    VecF sum = (VecF){0};
    int64_t d = 0;
    for (; d + LANES <= D; d += LANES)
        sum += load_elements(a, type, at + d) * load_elements(b, type, at + d);
    if (d < D)
        sum += load_some(a, type, at + d, D - d) * load_some(b, type, at + d, D - d);
    return vec_sum(sum);
}

KERNEL_INLINE void prepare_head(const Backward *b, int64_t g, const Head *head, bool pairs)
{
    const FlashBackwardTask *t = b->task;
    size_t skip = (size_t)(g * t->D) * (t->type == DTYPE_BF16 ? 2 : 4);
    RowSource q = {.data = (const char *)t->q + skip, .type = t->type, .row_stride = t->q_stride};
    RowSource dout = {
        .data = (const char *)t->dout + skip, .type = t->type, .row_stride = t->q_stride};
    memset(head->q_lanes, 0, (size_t)((char *)head->dq - (char *)head->q_lanes));
    pack_lanes(head->q_lanes, b->units * LANES, &q, 0, t->T, t->D, b->units, b->spare, pairs);
    pack_lanes(head->dout_lanes, b->units * LANES, &dout, 0, t->T, t->D, b->units, b->spare, pairs);
    int64_t column = b->length / b->size * LANES;
    pack_units(head->q_units, column, &q, 0, t->T, t->D, b->vecs, b->spare, pairs);
    pack_units(head->dout_units, column, &dout, 0, t->T, t->D, b->vecs, b->spare, pairs);
    for (int64_t i = 0; i < b->length; i++) {
        bool real = i < t->T;
        head->lse2[i] = real ? t->lse[g * t->T + i] * 1.44269504f : INFINITY;
        head->delta[i] =
            real ? row_dot(t->out, t->dout, t->type, i * t->q_stride + g * t->D, t->D) : 0.0f;
        if (real)
            t->delta[g * t->T + i] = head->delta[i];
    }
}

KERNEL_INLINE void prepare_keys(const Backward *b, int64_t key, int64_t count, bool pairs)
{
    const FlashBackwardTask *t = b->task;
    RowSource k = {.data = t->k, .type = t->type, .row_stride = t->kv_stride};
    RowSource v = {.data = t->v, .type = t->type, .row_stride = t->kv_stride};
    memset(b->k, 0, (size_t)(BLOCK * b->units) * sizeof(Unit));
    memset(b->v, 0, (size_t)(BLOCK * b->units) * sizeof(Unit));
    for (int64_t i = 0; i < count; i++) {
        unpack_row(b->k + i * b->units, b->units, &k, key + i, t->D, pairs);
        unpack_row(b->v + i * b->units, b->units, &v, key + i, t->D, pairs);
    }
    int64_t key_units = BLOCK / b->size;
    Unit *columns = b->spare + LANES * b->units; /* [vec][unit of keys][lane] */
    memset(columns, 0, (size_t)(key_units * b->width) * sizeof(Unit));
    pack_units(columns, key_units * LANES, &k, key, count, t->D, b->vecs, b->spare, pairs);
    for (int64_t v_ = 0; v_ < b->vecs; v_++)
        for (int64_t u = 0; u < key_units; u += LANES)
            transpose_block(b->k_turned + v_ * LANES * key_units + u, key_units,
                            columns + (v_ * key_units + u) * LANES, LANES);
    memset(b->dk, 0, (size_t)(BLOCK * b->width) * sizeof(float));
    memset(b->dv, 0, (size_t)(BLOCK * b->width) * sizeof(float));
}

/* Weights and their gradients of key row `row` of the tile for one vector of queries. */
KERNEL_INLINE VecF weigh(const Backward *b, int64_t row, int64_t vec, bool diagonal, VecF lse2,
                         VecF delta, VecF *ds)
{
    float scale = b->task->scale;
    VecF x = scale * 1.44269504f * vec_load(b->s + row * BLOCK + vec * LANES) - lse2;
    if (diagonal && vec * LANES < row)
        x = vec_select(vec_iota() + (int32_t)(vec * LANES) < (int32_t)row, vec_set(-INFINITY), x);
    VecF p = vec_exp2(x);
    *ds = p * (vec_load(b->dp + row * BLOCK + vec * LANES) - delta) * scale;
    return p;
}

/* Keys `row` and `row` + 1 of the tile: p and ds in all the layouts that the products want. */
KERNEL_INLINE void weigh_two(const Backward *b, int64_t row, bool diagonal, const float *lse2,
                             const float *delta, bool pairs)
{
    int64_t key_units = BLOCK / b->size, row_units = BLOCK / b->size;
    for (int64_t vec = diagonal ? row / LANES : 0; vec < BLOCK / LANES; vec++) {
        VecF lse2_now = vec_load(lse2 + vec * LANES), delta_now = vec_load(delta + vec * LANES);
        VecF ds0, ds1;
        VecF p0 = weigh(b, row, vec, diagonal, lse2_now, delta_now, &ds0);
        VecF p1 = weigh(b, row + 1, vec, diagonal, lse2_now, delta_now, &ds1);
        Unit *p = b->p + row * row_units, *ds = b->ds + row * row_units;
        Unit *lanes = b->ds_lanes + (vec * key_units + row / b->size) * LANES;
        if (pairs) {
            VecH low = vec_bf16_quick(ds0), high = vec_bf16_quick(ds1);
            *(VecHLoose *)((uint16_t *)p + vec * LANES) = vec_bf16_quick(p0);
            *(VecHLoose *)((uint16_t *)(p + row_units) + vec * LANES) = vec_bf16_quick(p1);
            *(VecHLoose *)((uint16_t *)ds + vec * LANES) = low;
            *(VecHLoose *)((uint16_t *)(ds + row_units) + vec * LANES) = high;
            *(VecULoose *)lanes = (VecU)(vec_widen(low)) | (VecU)(vec_widen(high) << 16);
        } else {
            vec_store(p + vec * LANES, p0);
            vec_store(p + row_units + vec * LANES, p1);
            vec_store(ds + vec * LANES, ds0);
            vec_store(ds + row_units + vec * LANES, ds1);
            vec_store(lanes, ds0);
            vec_store(lanes + LANES, ds1);
        }
    }
}

/* One tile: the block of keys that is prepared against queries [query, query + BLOCK). */
KERNEL_INLINE void tile(const Backward *b, const Head *head, int64_t query, bool diagonal,
                        bool first, bool pairs)
{
    int64_t units = (b->task->D + b->size - 1) / b->size, row_units = BLOCK / b->size;
    int64_t lane_column = b->units * LANES, unit_column = b->length / b->size * LANES;
    TileB q_lanes = {head->q_lanes + query / LANES * lane_column, lane_column};
    TileB dout_lanes = {head->dout_lanes + query / LANES * lane_column, lane_column};
    if (diagonal)
        memset(b->ds_lanes, 0, (size_t)(BLOCK * row_units) * sizeof(Unit));
    for (int64_t r = 0; r < BLOCK; r += TILE_ROWS) {
        int64_t vec = diagonal ? r / LANES : 0, vecs = BLOCK / LANES - vec;
        TileB q_now = {q_lanes.data + vec * lane_column, lane_column};
        TileB dout_now = {dout_lanes.data + vec * lane_column, lane_column};
        strip_product((TileC){b->s + r * BLOCK + vec * LANES, BLOCK},
                      (TileA){b->k + r * b->units, b->units}, q_now, vecs, units, false, pairs);
        strip_product((TileC){b->dp + r * BLOCK + vec * LANES, BLOCK},
                      (TileA){b->v + r * b->units, b->units}, dout_now, vecs, units, false, pairs);
    }
    for (int64_t r = 0; r < BLOCK; r += 2)
        weigh_two(b, r, diagonal, head->lse2 + query, head->delta + query, pairs);
    for (int64_t r = 0; r < BLOCK; r += TILE_ROWS) {
        int64_t skip = diagonal ? r / LANES * LANES / b->size : 0; /* units of earlier queries */
        int64_t at = (query / b->size + skip) * LANES;
        strip_product((TileC){b->dv + r * b->width, b->width},
                      (TileA){b->p + r * row_units + skip, row_units},
                      (TileB){head->dout_units + at, unit_column}, b->vecs, row_units - skip, true,
                      pairs);
        strip_product((TileC){b->dk + r * b->width, b->width},
                      (TileA){b->ds + r * row_units + skip, row_units},
                      (TileB){head->q_units + at, unit_column}, b->vecs, row_units - skip, true,
                      pairs);
    }
    float *dq = head->dq + query * b->width;
    for (int64_t d = 0; d < b->task->D; d += TILE_ROWS)
        strip_product(
            (TileC){dq + d * BLOCK, BLOCK}, (TileA){b->k_turned + d * row_units, row_units},
            (TileB){b->ds_lanes, row_units * LANES}, BLOCK / LANES, row_units, !first, pairs);
}

/* Turns the tiles of dq back and stores them. */
static void store_dq(const Backward *b, int64_t g, const Head *head)
{
    const FlashBackwardTask *t = b->task;
    float *rows = (float *)b->spare; /* (LANES, width) */
    for (int64_t i = 0; i < t->T; i += LANES) {
        const float *tile_dq = head->dq + i / BLOCK * BLOCK * b->width + i % BLOCK;
        for (int64_t d = 0; d < b->width; d += LANES)
            transpose_block((Unit *)rows + d, b->width, (const Unit *)tile_dq + d * BLOCK, BLOCK);
        for (int64_t j = 0; j < LANES && i + j < t->T; j++)
            store_row(t->dq, t->type, (i + j) * t->q_stride + g * t->D, rows + j * b->width, 1.0f,
                      t->D);
    }
}

KERNEL_INLINE void run(const FlashBackwardTask *task, void *scratch, bool pairs)
{
    Backward backward, *b = &backward;
    layout(b, task, scratch, pairs);
    Head head;
    for (int64_t g = 0; g < task->group; g++) {
        head_layout(b, b->heads + g * b->head_bytes, &head);
        prepare_head(b, g, &head, pairs);
    }
    for (int64_t key = 0; key < task->T; key += BLOCK) {
        int64_t count = task->T - key < BLOCK ? task->T - key : BLOCK;
        prepare_keys(b, key, count, pairs);
        for (int64_t g = 0; g < task->group; g++) {
            head_layout(b, b->heads + g * b->head_bytes, &head);
            for (int64_t query = key; query < task->T; query += BLOCK)
                tile(b, &head, query, query == key, key == 0, pairs);
        }
        for (int64_t i = 0; i < count; i++) {
            int64_t at = (key + i) * task->kv_stride;
            store_row(task->dk, task->type, at, b->dk + i * b->width, 1.0f, task->D);
            store_row(task->dv, task->type, at, b->dv + i * b->width, 1.0f, task->D);
        }
    }
    for (int64_t g = 0; g < task->group; g++) {
        head_layout(b, b->heads + g * b->head_bytes, &head);
        store_dq(b, g, &head);
    }
}

void ISA_SYMBOL(flash_backward)(const FlashBackwardTask *task, void *scratch)
{
#if HAVE_PAIRS
    if (task->type == DTYPE_BF16) {
        run(task, scratch, true);
        return;
    }
#endif
    run(task, scratch, false);
}
