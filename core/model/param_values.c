/* Values of parameters: written from the host, read back, and started. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/model/model_parts.h"

enum {
    START_CHUNK = 1 << 14, /* numbers made from one stream: whatever the threads, the same */
    SLAB = 1 << 20,        /* numbers on the host at a time */
};

/* ---- write and read ------------------------------------------------------------------------- */

static Status check_rows(const Param *param, int64_t begin, int64_t count, Err *err)
{
    if (begin < 0 || count < 0 || begin + count > param->weight.shape[0])
        return err_set(err, "rows %lld to %lld of a parameter with %lld", (long long)begin,
                       (long long)(begin + count), (long long)param->weight.shape[0]);
    return STATUS_OK;
}

/* The weight of some rows from the same rows in float32 (or bfloat16) on the device. */
static void convert_rows(const Model *model, const Param *param, int64_t begin, const Tensor *from)
{
    const Backend *ops = model->device.ops;
    Tensor to = tensor_slice(&param->weight, begin, from->shape[0]);
    if (to.dtype == DTYPE_I8) {
        QuantiseArgs args = {.x = *from, .q = to};
        args.scales = tensor_slice(&param->scales, begin, from->shape[0]);
        ops->quantise(model->device.queue, &args);
    } else {
        CastArgs args = {.x = *from, .y = to};
        ops->cast(model->device.queue, &args);
    }
}

static Status upload_rows(const Model *model, const Tensor *to, const void *host, Err *err)
{
    return device_upload(&model->device, to, host, err);
}

Status model_write_rows(Model *model, Param *param, int64_t begin, int64_t count, const void *host,
                        DType dtype, Err *err)
{
    TRY(check_rows(param, begin, count, err));
    CHECK(dtype == DTYPE_F32 || dtype == DTYPE_BF16, "values of type %s", dtype_name(dtype));
    bool has_master = param->master.data != NULL;
    Tensor target = has_master ? param->master : param->weight;
    target = tensor_slice(&target, begin, count);
    if (target.dtype == dtype) {
        TRY(upload_rows(model, &target, host, err));
    } else {
        Tensor staged = target;
        staged.dtype = dtype;
        staged.data = NULL;
        TRY(device_tensor(&model->device, &staged, "a slice of a parameter", err));
        Status status = upload_rows(model, &staged, host, err);
        if (status == STATUS_OK) {
            Param whole = *param;
            if (has_master)
                whole.weight = param->master;
            convert_rows(model, &whole, begin, &staged);
            status = model->device.ops->queue_wait(model->device.queue, err);
        }
        model->device.ops->free(staged.data);
        TRY(status);
    }
    if (has_master && param->master.data != param->weight.data)
        convert_rows(model, param, begin, &target);
    return STATUS_OK;
}

Status model_read_rows(const Model *model, const Param *param, int64_t begin, int64_t count,
                       float *host, Err *err)
{
    TRY(check_rows(param, begin, count, err));
    Tensor source = param->master.data ? param->master : param->weight;
    if (source.dtype == DTYPE_I8)
        return err_set(err, "int8 weights cannot be read back; load the model in bfloat16");
    source = tensor_slice(&source, begin, count);
    if (source.dtype == DTYPE_F32)
        return device_download(&model->device, &source, host, err);
    uint16_t *bits = xmalloc(tensor_bytes(&source));
    Status status = device_download(&model->device, &source, bits, err);
    for (int64_t i = 0, n = tensor_count(&source); status == STATUS_OK && i < n; i++)
        host[i] = bf16_to_f32(bits[i]);
    free(bits);
    return status;
}

void model_refresh(Model *model, Param *param)
{
    bool tied = param == &model->head[HEAD_HEAD] && model->config.tied_head;
    Tensor master = param->master;
    if (tied && model->substrate.table.data)
        master = tensor_slice(&model->substrate.table, model->tied_begin, model->tied_count);
    if (master.data && master.data != param->weight.data)
        convert_rows(model, param, 0, &master);
    if (param == &model->embedding && model->config.tied_head)
        model_refresh(model, &model->head[HEAD_HEAD]);
}

/* ---- starts --------------------------------------------------------------------------------- */

typedef struct StartJob {
    float *out;
    int64_t first; /* element of the parameter at out[0]: a multiple of START_CHUNK */
    int64_t count;
    double deviation;
    uint64_t seed;
    uint64_t stream;
} StartJob;

static void start_chunks(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const StartJob *job = context;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        int64_t at = chunk * START_CHUNK;
        int64_t stop = at + START_CHUNK < job->count ? at + START_CHUNK : job->count;
        Rng rng;
        uint64_t number = (uint64_t)(job->first / START_CHUNK + chunk);
        rng_init(&rng, job->seed, hash_mix64(job->stream) + number);
        for (int64_t i = at; i < stop; i++)
            job->out[i] = (float)(job->deviation * rng_normal(&rng));
    }
}

/* Fills the parameter slab by slab. A slab is a whole number of rows and of chunks only by luck, so
 * its numbers are made from the chunk before its first element on. */
Status param_start(Model *model, Param *param, float constant, double deviation, uint64_t seed,
                   uint64_t stream, Err *err)
{
    if (!param_exists(param))
        return STATUS_OK;
    int64_t rows = param->weight.shape[0];
    int64_t cols = tensor_count(&param->weight) / rows;
    int64_t slab_rows = SLAB / cols > 0 ? SLAB / cols : 1;
    float *host = xmalloc((size_t)(slab_rows * cols + START_CHUNK) * sizeof *host);
    Status status = STATUS_OK;
    for (int64_t row = 0; row < rows && status == STATUS_OK; row += slab_rows) {
        int64_t count = rows - row < slab_rows ? rows - row : slab_rows;
        int64_t first = row * cols / START_CHUNK * START_CHUNK;
        int64_t skip = row * cols - first;
        StartJob job = {host, first, skip + count * cols, deviation, seed, stream};
        if (deviation > 0.0)
            parallel_for((job.count + START_CHUNK - 1) / START_CHUNK, 1, start_chunks, &job);
        else
            for (int64_t i = 0; i < job.count; i++)
                host[i] = constant;
        status = model_write_rows(model, param, row, count, host + skip, DTYPE_F32, err);
    }
    free(host);
    return status;
}

static double start_deviation(const Model *model, ParamStart start)
{
    if (start == START_NORMAL)
        return 0.02;
    if (start == START_OUTPUT)
        return 0.02 / sqrt(2.0 * (double)model->config.n_layers);
    return 0.0;
}

/* Streams below HEAD_STREAMS belong to the head and the embedding. */
enum { EMBEDDING_STREAM = 0, HEAD_STREAM = 1, HEAD_STREAMS = 16 };

Status model_start_block(Model *model, int64_t layer, BlockStart start, uint64_t seed, Err *err)
{
    Block *block = &model->blocks[layer];
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        ParamInfo info = block_param_info(i);
        double deviation = start_deviation(model, info.start);
        if (start == BLOCK_START_IDENTITY && info.start == START_OUTPUT)
            deviation = 0.0;
        TRY(param_start(model, &block->params[i], info.start == START_ONE ? 1.0f : 0.0f, deviation,
                        seed, (uint64_t)(HEAD_STREAMS + layer * BLOCK_PARAM_COUNT + i), err));
    }
    return lora_start(model, layer, seed, err);
}

Status model_start_head(Model *model, uint64_t seed, Err *err)
{
    for (int i = 0; i < HEAD_PARAM_COUNT; i++) {
        if (i == HEAD_HEAD && model->config.tied_head)
            continue;
        ParamInfo info = head_param_info(i);
        TRY(param_start(model, &model->head[i], info.start == START_ONE ? 1.0f : 0.0f,
                        start_deviation(model, info.start), seed, (uint64_t)(HEAD_STREAM + i),
                        err));
    }
    return STATUS_OK;
}

Status model_start_embedding(Model *model, uint64_t seed, Err *err)
{
    TRY(param_start(model, &model->embedding, 0.0f, 0.02, seed, EMBEDDING_STREAM, err));
    model_refresh(model, &model->embedding);
    return STATUS_OK;
}
