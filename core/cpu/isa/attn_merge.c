/* Small helpers of decoding: merging partial attentions and writing rows into pages. */
#include "core/cpu/isa/attn_tile.h"
#include "core/cpu/isa/quant_vec.h"

KERNEL_INLINE void add_scaled(float *sum, const void *row, DType type, float weight, int64_t D)
{
    int64_t d = 0;
    for (; d + LANES <= D; d += LANES)
        vec_store(sum + d, vec_load(sum + d) + weight * load_elements(row, type, d));
    if (d < D)
        vec_store(sum + d, vec_load(sum + d) + weight * load_some(row, type, d, D - d));
}

void ISA_SYMBOL(attn_merge_rows)(const MergeTask *t)
{
    enum { PIECE = 256 }; /* components at a time */
    float sum[PIECE] __attribute__((aligned(64)));
    size_t element = t->part_type == DTYPE_BF16 ? 2 : 4;
    for (int64_t r = 0; r < t->n_rows; r++) {
        float max = -INFINITY, total = 0.0f;
        for (int64_t s = 0; s < t->n_parts; s++) {
            float lse = t->part_lse[s * t->part_stride + r];
            max = lse > max ? lse : max;
        }
        for (int64_t s = 0; s < t->n_parts && max > -INFINITY; s++)
            total += expf(t->part_lse[s * t->part_stride + r] - max);
        for (int64_t d = 0; d < t->D; d += PIECE) {
            int64_t count = t->D - d < PIECE ? t->D - d : PIECE;
            memset(sum, 0, sizeof sum);
            for (int64_t s = 0; s < t->n_parts; s++) {
                float lse = t->part_lse[s * t->part_stride + r];
                if (lse == -INFINITY)
                    continue; /* it may hold anything */
                const char *row = (const char *)t->parts +
                                  (size_t)((s * t->part_stride + r) * t->D + d) * element;
                add_scaled(sum, row, t->part_type, expf(lse - max) / total, count);
            }
            store_row(t->out, t->out_type, (t->out_row + r) * t->D + d, sum, 1.0f, count);
        }
        if (t->lse)
            t->lse[t->out_row + r] = max > -INFINITY ? max + logf(total) : -INFINITY;
    }
}

KERNEL_INLINE void write_row(const WriteRowsTask *t, int64_t from, int64_t row)
{
    int64_t D = t->D, to = row * D, d = 0;
    if (t->to_type == DTYPE_I8) {
        t->scales[row] = quantise_vec(t->from, t->from_type, from, (int8_t *)t->to + to, D);
        return;
    }
    for (; d + LANES <= D; d += LANES) {
        VecF x = load_elements(t->from, t->from_type, from + d);
        if (t->to_type == DTYPE_F32)
            vec_store((float *)t->to + to + d, x);
        else
            vec_to_bf16((uint16_t *)t->to + to + d, x);
    }
    for (; d < D; d++) {
        float x = load_some(t->from, t->from_type, from + d, 1)[0];
        if (t->to_type == DTYPE_F32)
            ((float *)t->to)[to + d] = x;
        else
            ((uint16_t *)t->to)[to + d] = f32_to_bf16(x);
    }
}

void ISA_SYMBOL(kv_write_rows)(const WriteRowsTask *t)
{
    for (int64_t n = t->first; n < t->last; n++) {
        int64_t slot = t->slots[n];
        if (slot < 0)
            continue;
        for (int64_t head = 0; head < t->K; head++)
            write_row(t, (n * t->K + head) * t->D,
                      (slot / t->page_size * t->K + head) * t->page_size + slot % t->page_size);
    }
}
