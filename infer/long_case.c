#include "infer/long_case.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/decode/decoder.h"
#include "core/io/checkpoint.h"
#include "core/model/random_model.h"
#include "infer/helix/helix.h"

enum { LONG_ROOM = 4096 }; /* steps at most */

ModelConfig long_config(int64_t layers, int64_t kv_heads)
{
    ModelConfig c = model_config_default();
    c.vocab_size = 8192;
    c.n_layers = layers;
    c.n_embed = c.d_model = 512;
    c.n_heads = 8;
    c.n_kv_heads = kv_heads;
    c.head_dim = 64;
    c.d_ff = 2048;
    c.context = 1 << 20;
    return c;
}

/* A random model as a file, which ranks open as they open any. */
static Status write_model(const BenchRun *how, const ModelConfig *config, char *path, Err *err)
{
    int file = mkstemp(path);
    if (file < 0)
        return err_set(err, "no file can be made at %s", path);
    close(file);
    ModelOptions options = {.device = &how->device, .compute = DTYPE_F32, .weights = DTYPE_F32};
    Model *model;
    TRY(model_new(&model, config, &options, err));
    Status status = random_model_fill(model, err);
    static char text[] = "x", name[] = "bench", *names[] = {name};
    int64_t offsets[] = {0, 1};
    uint8_t types[] = {TOKEN_TEXT};
    TokenizerSpec spec = {.n_tokens = 1,
                          .text = text,
                          .offsets = offsets,
                          .types = types,
                          .pad = -1,
                          .bos = -1,
                          .eos = -1,
                          .unk = -1,
                          .name = name};
    Ensemble alone = {.n_experts = 1, .experts = &model, .names = names};
    CheckpointSave save = {
        .path = path, .ensemble = &alone, .tokenizer = &spec, .dtype = how->dtype};
    if (status == STATUS_OK)
        status = checkpoint_save(&save, err);
    model_free(model);
    return status;
}

/* Weights that a step reads, once each (of the table just rows), and all keys and values. */
static double step_bytes(const Ensemble *ensemble, const LongCase *what, DType type)
{
    double elements = 0.0;
    for (int64_t e = 0; e < ensemble->n_experts; e++) {
        const ModelConfig *c = &ensemble->experts[e]->config;
        ModelSize size = model_size(c);
        int64_t head = c->tied_head ? c->vocab_size * c->d_model : size.head;
        elements += (double)(size.block * c->n_layers + head) +
                    2.0 * (double)(c->n_layers * c->n_kv_heads * c->head_dim) *
                        (double)(what->context * what->batch);
    }
    return elements * (double)dtype_bytes(type);
}

static Status fill_all(const LongCase *what, Decoder *decoder, const int32_t *token,
                       DecodeItem *items, Err *err)
{
    for (int64_t i = 0; i < what->batch; i++) {
        items[i] = (DecodeItem){decoder_open(decoder), token, 1};
        TRY(decoder_fill(decoder, items[i].sequence, what->context, what->seed + (uint64_t)i, err));
    }
    return STATUS_OK;
}

/* A step, then at once the rate of reading memory: a shared machine changes its speed. */
static Status time_step(const LongCase *what, Decoder *decoder, const DecodeItem *items,
                        BenchReader *reader, LongTimes *times, Err *err)
{
    Device device = decoder_device(decoder);
    double started = clock_seconds(), rate;
    TRY(decoder_step(decoder, items, what->batch, err));
    TRY(device.ops->queue_wait(device.queue, err));
    double seconds = clock_seconds() - started;
    TRY(bench_reader_rate(reader, 0.0, &rate, err));
    if (times->logits) {
        bench_time_add(&times->steps, seconds);
        bench_time_add(&times->rates, rate);
        return STATUS_OK;
    }
    Tensor logits = decoder_logits(decoder), first = tensor_slice(&logits, 0, 1);
    times->logits = xmalloc(tensor_bytes(&first)); /* the first step does not count */
    return device_download(&device, &first, times->logits, err);
}

static Status long_steps(const BenchRun *how, const LongCase *what, Decoder *decoder,
                         BenchReader *reader, LongTimes *times, Err *err)
{
    int32_t token = 3;
    DecodeItem *items = xcalloc((size_t)what->batch, sizeof *items);
    Status status = fill_all(what, decoder, &token, items, err);
    times->bytes_used = bench_used_bytes(&how->device) - times->bytes_used;
    double end = clock_seconds() + how->seconds;
    for (int64_t step = 0;
         status == STATUS_OK && step < LONG_ROOM && (step < 4 || clock_seconds() < end); step++)
        status = time_step(what, decoder, items, reader, times, err);
    free(items);
    return status;
}

static Status long_decode(const BenchRun *how, const LongCase *what, Helix *helix,
                          BenchReader *reader, LongTimes *times, Err *err)
{
    const LoadedModel *model = helix_model(helix);
    const MemoryBudget *budget = helix_budget(helix);
    DecoderOptions options = {.max_sequences = what->batch,
                              .max_positions = what->context + LONG_ROOM,
                              .chunk = 16,
                              .kv_dtype = model->kv_dtype,
                              .budget = budget,
                              .source = helix_source(helix)};
    times->bytes_read = step_bytes(model->ensemble, what, model->kv_dtype);
    times->bytes_planned =
        (double)decoder_bytes(model->ensemble, &options) * what->ranks + budget->bytes_weights;
    Decoder *decoder;
    TRY(decoder_new(&decoder, model->ensemble, &options, err));
    Status status = long_steps(how, what, decoder, reader, times, err);
    decoder_free(decoder);
    return status;
}

Status long_case(const BenchRun *how, const LongCase *what, LongTimes *times, Err *err)
{
    char path[] = "cambium-bench-XXXXXX";
    char *device = (char *)(uintptr_t)how->device.ops->name, type[16];
    snprintf(type, sizeof type, "%s", dtype_name(how->dtype));
    LoadSettings load = {.device = device, .weights = type, .kv = type};
    char grid[64], hopb[4], comm[] = "threads";
    snprintf(grid, sizeof grid, "%s", what->grid);
    snprintf(hopb, sizeof hopb, "%s", what->lockstep ? "off" : "on");
    HelixSettings settings = {
        .ranks = what->ranks, .block = HELIX_BLOCK, .grid = grid, .hopb = hopb, .comm = comm};
    *times = (LongTimes){.logits = NULL};
    Status status = what->path ? STATUS_OK : write_model(how, &what->config, path, err);
    BenchReader reader; /* before there are ranks: by all cores */
    if (status == STATUS_OK)
        status = bench_reader_init(&reader, &how->device, err);
    bool reads = status == STATUS_OK;
    bench_reset_peak();
    times->bytes_used = bench_used_bytes(&how->device);
    Helix *helix = NULL;
    if (status == STATUS_OK)
        status = helix_open(&helix, what->path ? what->path : path, &load, &settings, NULL, err);
    if (status == STATUS_OK)
        status = long_decode(how, what, helix, &reader, times, err);
    status = helix_close(helix, status, err);
    if (reads)
        bench_reader_clear(&reader);
    if (!what->path)
        unlink(path);
    return status;
}
