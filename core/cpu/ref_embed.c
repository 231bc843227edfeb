#include "core/cpu/ref_embed.h"

#include "core/cpu/cpu.h"

static void check_ids(const Tensor *ids, const Tensor *rows, const Tensor *table)
{
    CHECK(ids->dtype == DTYPE_I32 && tensor_count(ids) == tensor_rows(rows), "one id per row");
    CHECK(rows->dtype == DTYPE_F32 && table->n_dims == 2 &&
              tensor_cols(rows) % table->shape[1] == 0,
          "rows of %lld from a table of %lld", (long long)tensor_cols(rows),
          (long long)tensor_cols(table));
    const int32_t *id = cpu_ptr(ids);
    for (int64_t i = 0; i < tensor_count(ids); i++)
        CHECK(id[i] >= 0 && id[i] < table->shape[0], "token %d of %lld", id[i],
              (long long)table->shape[0]);
}

void embed_check(const EmbedArgs *args)
{
    DType type = args->table.dtype;
    CHECK(is_compute_type(type) || type == DTYPE_U8, "a table of %s", dtype_name(type));
    check_ids(&args->ids, &args->out, &args->table);
}

void embed_backward_check(const EmbedBackwardArgs *args)
{
    CHECK(args->dtable.dtype == DTYPE_F32, "dtable is %s", dtype_name(args->dtable.dtype));
    check_ids(&args->ids, &args->dout, &args->dtable);
}

void ref_embed(Queue *queue, const EmbedArgs *args)
{
    (void)queue;
    embed_check(args);
    int64_t N = tensor_rows(&args->out), C = tensor_cols(&args->out);
    int64_t n_embed = args->table.shape[1], repeat = C / n_embed;
    const int32_t *ids = cpu_ptr(&args->ids);
    float *out = cpu_ptr(&args->out);
    for (int64_t i = 0; i < N; i++)
        for (int64_t c = 0; c < C; c++)
            out[i * C + c] = args->scale * element_get(cpu_ptr(&args->table), args->table.dtype,
                                                       ids[i] * n_embed + c / repeat);
}

void ref_embed_backward(Queue *queue, const EmbedBackwardArgs *args)
{
    (void)queue;
    embed_backward_check(args);
    int64_t N = tensor_rows(&args->dout), C = tensor_cols(&args->dout);
    int64_t n_embed = args->dtable.shape[1], repeat = C / n_embed;
    const int32_t *ids = cpu_ptr(&args->ids);
    const float *dout = cpu_ptr(&args->dout);
    float *dtable = cpu_ptr(&args->dtable);
    for (int64_t i = 0; i < N; i++)
        for (int64_t e = 0; e < n_embed; e++) {
            double sum = 0.0;
            for (int64_t r = 0; r < repeat; r++)
                sum += (double)dout[i * C + e * repeat + r];
            dtable[ids[i] * n_embed + e] += (float)((double)args->scale * sum);
        }
}
