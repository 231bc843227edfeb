#include "core/cpu/embed.h"

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/ref_embed.h"

/* One loop per type, so that each is free of tests inside. */
static void spread_f32(const float *row, float scale, int64_t n_embed, int64_t repeat, float *out)
{
    for (int64_t e = 0; e < n_embed; e++)
        for (int64_t r = 0; r < repeat; r++)
            *out++ = scale * row[e];
}

static void spread_bf16(const uint16_t *row, float scale, int64_t n_embed, int64_t repeat,
                        float *out)
{
    for (int64_t e = 0; e < n_embed; e++)
        for (int64_t r = 0; r < repeat; r++)
            *out++ = scale * bf16_to_f32(row[e]);
}

static void spread_u8(const uint8_t *row, float scale, int64_t n_embed, int64_t repeat, float *out)
{
    for (int64_t e = 0; e < n_embed; e++)
        for (int64_t r = 0; r < repeat; r++)
            *out++ = scale * (float)row[e];
}

static void embed_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const EmbedArgs *args = context;
    int64_t C = tensor_cols(&args->out), n_embed = args->table.shape[1], repeat = C / n_embed;
    const int32_t *ids = cpu_ptr(&args->ids);
    const void *table = cpu_ptr(&args->table);
    float *out = cpu_f32(&args->out);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = ids[i] * n_embed;
        if (args->table.dtype == DTYPE_F32)
            spread_f32((const float *)table + at, args->scale, n_embed, repeat, out + i * C);
        else if (args->table.dtype == DTYPE_BF16)
            spread_bf16((const uint16_t *)table + at, args->scale, n_embed, repeat, out + i * C);
        else
            spread_u8((const uint8_t *)table + at, args->scale, n_embed, repeat, out + i * C);
    }
}

void cpu_embed(Queue *queue, const EmbedArgs *args)
{
    (void)queue;
    embed_check(args);
    EmbedArgs copy = *args;
    parallel_for(tensor_rows(&args->out), 32, embed_work, &copy);
}

/* Components [begin, end) of the table for all tokens: whoever shares a row with another token is
 * added in the order of tokens, however the components are shared out. */
static void embed_backward_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const EmbedBackwardArgs *args = context;
    int64_t N = tensor_rows(&args->dout), C = tensor_cols(&args->dout);
    int64_t n_embed = args->dtable.shape[1], repeat = C / n_embed;
    const int32_t *ids = cpu_ptr(&args->ids);
    for (int64_t i = 0; i < N; i++) {
        const float *dout = cpu_f32(&args->dout) + i * C + begin * repeat;
        float *row = cpu_f32(&args->dtable) + ids[i] * n_embed;
        for (int64_t e = begin; e < end; e++) {
            double sum = 0.0;
            for (int64_t r = 0; r < repeat; r++)
                sum += (double)*dout++;
            row[e] += (float)((double)args->scale * sum);
        }
    }
}

void cpu_embed_backward(Queue *queue, const EmbedBackwardArgs *args)
{
    (void)queue;
    embed_backward_check(args);
    EmbedBackwardArgs copy = *args;
    parallel_for(args->dtable.shape[1], 64, embed_backward_work, &copy);
}
