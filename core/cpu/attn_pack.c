/* Partial attentions packed for their way between ranks. Copies alone: the plain version serves. */
#include "core/cpu/cpu.h"
#include "core/cpu/ref_attn.h"
#include "core/tensor/attn_check.h"

void ref_attn_pack(Queue *queue, const AttnPackArgs *args)
{
    (void)queue;
    attn_pack_check(args);
    int64_t N = args->values.shape[0], H = args->values.shape[1];
    size_t row_bytes = (size_t)args->values.shape[2] * dtype_bytes(args->values.dtype);
    const char *values = cpu_ptr(&args->values);
    const float *lse = cpu_ptr(&args->lse);
    char *to = cpu_ptr(&args->packed);
    for (int c = 0; c < args->n_chunks; c++)
        for (int64_t n = 0; n < N; n++)
            for (int64_t h = args->cuts[c]; h < args->cuts[c + 1]; h++) {
                memcpy(to, values + (size_t)(n * H + h) * row_bytes, row_bytes);
                memcpy(to + row_bytes, &lse[n * H + h], sizeof *lse);
                to += row_bytes + sizeof *lse;
            }
}

void ref_attn_unpack(Queue *queue, const AttnUnpackArgs *args)
{
    (void)queue;
    attn_unpack_check(args);
    int64_t M = args->packed.shape[0];
    size_t packed_bytes = (size_t)args->packed.shape[1] * dtype_bytes(args->packed.dtype);
    size_t row_bytes = packed_bytes - sizeof(float);
    const char *from = cpu_ptr(&args->packed);
    char *values = cpu_ptr(&args->values);
    float *lse = cpu_ptr(&args->lse);
    for (int64_t i = 0; i < M; i++, from += packed_bytes) {
        memcpy(values + (size_t)i * row_bytes, from, row_bytes);
        memcpy(&lse[i], from + row_bytes, sizeof *lse);
    }
}
