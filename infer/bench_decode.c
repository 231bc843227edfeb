/* Speed of decoding one sequence and of reading a prompt, and what int8 weights cost in accuracy.
 * The model is larger than any cache: random values, or a file (--model). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/cli/bench.h"
#include "core/cli/load_model.h"
#include "core/model/random_model.h"
#include "core/decode/budget.h"
#include "core/decode/decoder.h"

enum { PROMPT = 512, ROOM = 512 }; /* tokens of a prompt, and behind it */

/* A quarter of a billion parameters on a CPU, a whole one on a GPU. */
static ModelConfig large_config(const Device *device)
{
    ModelConfig c = model_config_default();
    c.vocab_size = 32768;
    c.n_layers = strcmp(device->ops->name, "cuda") == 0 ? 18 : 4;
    c.n_embed = c.d_model = 2048;
    c.n_heads = c.n_kv_heads = 32;
    c.head_dim = 64;
    c.d_ff = 8192;
    c.context = PROMPT + ROOM;
    return c;
}

/* A decoder and its model, from a file or random. */
typedef struct Rig {
    LoadedModel loaded; /* from a file; else `random` */
    Model *random;
    Ensemble alone;
    const Ensemble *ensemble;
    Device device;
    DType kv_dtype;
    int64_t context; /* of a prompt */
    int64_t fill_kv; /* its cache's seed where it is synthetic, else 0 */
    Decoder *decoder;
} Rig;

static void rig_clear(Rig *rig)
{
    decoder_free(rig->decoder);
    model_free(rig->random);
    load_model_close(&rig->loaded);
    *rig = (Rig){0};
}

static Status load_file(Rig *rig, const BenchRun *how, DType weights, Err *err)
{
    LoadSettings settings = {.device = (char *)(uintptr_t)how->device.ops->name,
                             .weights = (char *)(uintptr_t)dtype_name(weights),
                             .kv = (char *)(uintptr_t)how->kv};
    TRY(load_model(&rig->loaded, how->path, &settings, err));
    rig->ensemble = rig->loaded.ensemble;
    rig->device = rig->loaded.device;
    rig->kv_dtype = rig->loaded.kv_dtype;
    return STATUS_OK;
}

static Status make_random(Rig *rig, const BenchRun *how, DType weights, Err *err)
{
    static char name[] = "random", *names[] = {name};
    ModelConfig config = large_config(&how->device);
    DType compute = weights == DTYPE_I8 ? how->dtype : weights;
    ModelOptions options = {.device = &how->device, .compute = compute, .weights = weights};
    TRY(model_new(&rig->random, &config, &options, err));
    TRY(random_model_fill(rig->random, err));
    rig->alone = (Ensemble){.n_experts = 1, .experts = &rig->random, .names = names};
    rig->ensemble = &rig->alone;
    rig->device = how->device;
    rig->kv_dtype = compute;
    return strcmp(how->kv, "auto") == 0
               ? STATUS_OK
               : err_of_usage(dtype_parse(how->kv, &rig->kv_dtype, err), err);
}

static Status rig_init(Rig *rig, const BenchRun *how, DType weights, int64_t sequences, Err *err)
{
    *rig = (Rig){0};
    rig->context = how->context ? how->context : PROMPT;
    rig->fill_kv = how->fill_kv;
    Status status =
        how->path ? load_file(rig, how, weights, err) : make_random(rig, how, weights, err);
    MemoryBudget budget = {.bytes = device_free_bytes(&rig->device), .ranks = 1};
    DecoderOptions options = {.max_sequences = sequences,
                              .max_positions = rig->context + ROOM,
                              .kv_dtype = rig->kv_dtype,
                              .budget = &budget};
    if (status == STATUS_OK)
        status = decoder_new(&rig->decoder, rig->ensemble, &options, err);
    if (status != STATUS_OK)
        rig_clear(rig);
    return status;
}

static void random_tokens(Rng *rng, const Rig *rig, int32_t *tokens, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (int32_t)rng_below(rng, rig->ensemble->experts[0]->config.vocab_size);
}

static Status take_prompt(Rig *rig, int64_t sequence, Err *err)
{
    Rng rng;
    decoder_reset(rig->decoder, sequence);
    if (rig->fill_kv)
        return decoder_fill(rig->decoder, sequence, rig->context, (uint64_t)rig->fill_kv, err);
    int32_t *tokens = xmalloc((size_t)rig->context * sizeof *tokens);
    rng_init(&rng, 1, 0);
    random_tokens(&rng, rig, tokens, rig->context);
    DecodeItem item = {sequence, tokens, rig->context};
    Status status = decoder_step(rig->decoder, &item, 1, err);
    free(tokens);
    return status == STATUS_OK ? rig->device.ops->queue_wait(rig->device.queue, err) : status;
}

/* One token after another, each the most probable one. */
static Status take_token(Rig *rig, int64_t sequence, const Tensor *id, int32_t *token, Err *err)
{
    DecodeItem item = {sequence, token, 1};
    SampleRule greedy = {0};
    TRY(decoder_step(rig->decoder, &item, 1, err));
    SampleArgs sample = {.logits = decoder_logits(rig->decoder), .ids = *id, .rules = &greedy};
    rig->device.ops->sample(rig->device.queue, &sample);
    return device_download(&rig->device, id, token, err);
}

static double matrix_bytes(const Tensor *t, const Tensor *scales)
{
    return (tensor_present(t) ? (double)tensor_bytes(t) : 0.0) +
           (tensor_present(scales) ? (double)tensor_bytes(scales) : 0.0);
}

/* What a step of one token reads at least: every weight once (of the table just a row), and the
 * keys and values of `positions` tokens. */
static double step_bytes(const Rig *rig, double positions)
{
    double bytes = 0.0;
    for (int64_t e = 0; e < rig->ensemble->n_experts; e++) {
        const Model *model = rig->ensemble->experts[e];
        const ModelConfig *c = &model->config;
        for (int64_t l = 0; l < c->n_layers; l++)
            for (int p = 0; p < BLOCK_PARAM_COUNT; p++)
                bytes += matrix_bytes(&model->blocks[l].params[p].weight,
                                      &model->blocks[l].params[p].scales);
        for (int p = 0; p < HEAD_PARAM_COUNT; p++)
            bytes += matrix_bytes(&model->head[p].weight, &model->head[p].scales);
        double row = (double)(c->n_kv_heads * c->head_dim) * (double)dtype_bytes(rig->kv_dtype);
        if (rig->kv_dtype == DTYPE_I8)
            row += 4.0 * (double)c->n_kv_heads; /* scales */
        bytes += 2.0 * row * (double)c->n_layers * positions;
    }
    return bytes;
}

static Status decode_steps(Rig *rig, const BenchRun *how, BenchReader *reader, const Tensor *id,
                           BenchResult *result, Err *err)
{
    enum { STEPS = 8 };
    BenchTimes times = {.count = 0}, rates = {.count = 0}, lengths = {.count = 0};
    int64_t sequence = decoder_open(rig->decoder);
    TRY(take_prompt(rig, sequence, err));
    int32_t token = 0;
    for (int i = 0; i < STEPS; i++) /* warm up */
        TRY(take_token(rig, sequence, id, &token, err));
    double end = clock_seconds() + how->seconds;
    /* Memory is measured in between, because shared machines change their speed. */
    while (times.count < 3 || clock_seconds() < end) {
        double rate;
        TRY(bench_reader_rate(reader, 0.0, &rate, err));
        bench_time_add(&rates, rate);
        if (decoder_length(rig->decoder, sequence) + STEPS > rig->context + ROOM)
            TRY(take_prompt(rig, sequence, err));
        for (int i = 0; i < STEPS; i++) {
            bench_time_add(&lengths, (double)decoder_length(rig->decoder, sequence) + 1.0);
            double start = clock_seconds();
            TRY(take_token(rig, sequence, id, &token, err));
            bench_time_add(&times, clock_seconds() - start);
        }
    }
    double seconds = bench_median(&times), bytes = step_bytes(rig, bench_median(&lengths));
    double rate = bytes / seconds * 1e-9;
    bench_put(result, "tokens_per_second", 1.0 / seconds, "tokens/s");
    bench_put(result, "step_bytes", bytes, "bytes");
    bench_put(result, "gb_per_second", rate, "GB/s");
    bench_put(result, "read_gb_per_second", bench_median(&rates), "GB/s");
    bench_put(result, "share_of_bandwidth", rate / bench_median(&rates), "");
    return STATUS_OK;
}

static Status decode(const BenchRun *how, DType weights, BenchResult *result, Err *err)
{
    Rig rig;
    BenchReader reader;
    TRY(rig_init(&rig, how, weights, 1, err));
    Tensor id = tensor_1d(NULL, DTYPE_I32, 1);
    Status status = device_tensor(&rig.device, &id, "a token", err);
    if (status == STATUS_OK)
        status = bench_reader_init(&reader, &rig.device, err);
    if (status == STATUS_OK) {
        status = decode_steps(&rig, how, &reader, &id, result, err);
        bench_reader_clear(&reader);
    }
    if (id.data)
        rig.device.ops->free(id.data);
    rig_clear(&rig);
    return status;
}

static Status decode_float(const BenchRun *how, BenchResult *result, Err *err)
{
    return decode(how, how->dtype, result, err);
}

static Status decode_int8(const BenchRun *how, BenchResult *result, Err *err)
{
    return decode(how, DTYPE_I8, result, err);
}

/* ---- prompts --------------------------------------------------------------------------------- */

static double prompt_flops(const Rig *rig)
{
    double flops = 0.0;
    for (int64_t e = 0; e < rig->ensemble->n_experts; e++) {
        const ModelConfig *c = &rig->ensemble->experts[e]->config;
        ModelFlops per_token = model_flops(c, rig->context);
        flops += (double)(rig->context * c->n_layers) * (per_token.block + per_token.attention) +
                 per_token.head; /* of the last token alone */
    }
    return flops;
}

static Status prompt(const BenchRun *how, DType weights, BenchResult *result, Err *err)
{
    Rig rig;
    BenchRoof roof;
    BenchTimes times = {.count = 0}, rates = {.count = 0};
    if (how->fill_kv)
        return err_usage(err, "a prompt is read, not filled in; leave --fill-kv out");
    TRY(rig_init(&rig, how, weights, 1, err));
    Status status = bench_roof_init(&roof, how, err);
    if (status != STATUS_OK) {
        rig_clear(&rig);
        return status;
    }
    int64_t sequence = decoder_open(rig.decoder);
    status = take_prompt(&rig, sequence, err); /* warm up */
    double end = clock_seconds() + how->seconds;
    while (status == STATUS_OK && (times.count < 3 || clock_seconds() < end)) {
        double rate = 0.0;
        status = bench_roof_rate(&roof, 0.0, &rate, err);
        bench_time_add(&rates, rate);
        double start = clock_seconds();
        if (status == STATUS_OK)
            status = take_prompt(&rig, sequence, err);
        bench_time_add(&times, clock_seconds() - start);
    }
    if (status == STATUS_OK) {
        double seconds = bench_median(&times), rate = prompt_flops(&rig) / seconds * 1e-9;
        bench_put(result, "tokens_per_second", (double)rig.context / seconds, "tokens/s");
        bench_put(result, "gflops", rate, "GFLOP/s");
        bench_put(result, "product_gflops", bench_median(&rates), "GFLOP/s");
        bench_put(result, "share_of_products", rate / bench_median(&rates), "");
    }
    bench_roof_clear(&roof);
    rig_clear(&rig);
    return status;
}

static Status prompt_float(const BenchRun *how, BenchResult *result, Err *err)
{
    return prompt(how, how->dtype, result, err);
}

static Status prompt_int8(const BenchRun *how, BenchResult *result, Err *err)
{
    return prompt(how, DTYPE_I8, result, err);
}

/* ---- what narrow weights cost ---------------------------------------------------------------- */

enum { SAMPLES = 32, SAMPLE_TOKENS = 16 };

/* Log-probabilities (SAMPLES, V) on the host, the caller's, after SAMPLES random prompts. */
static Status sample_logprobs(const BenchRun *how, DType weights, float **out, int64_t *vocab,
                              Err *err)
{
    Rig rig;
    TRY(rig_init(&rig, how, weights, SAMPLES, err));
    static int32_t tokens[SAMPLES][SAMPLE_TOKENS];
    DecodeItem items[SAMPLES];
    Rng rng;
    rng_init(&rng, 3, 0);
    for (int i = 0; i < SAMPLES; i++) {
        random_tokens(&rng, &rig, tokens[i], SAMPLE_TOKENS);
        items[i] = (DecodeItem){decoder_open(rig.decoder), tokens[i], SAMPLE_TOKENS};
    }
    Status status = decoder_step(rig.decoder, items, SAMPLES, err);
    if (status == STATUS_OK) {
        Tensor logits = decoder_logits(rig.decoder);
        *vocab = logits.shape[1];
        *out = xmalloc(tensor_bytes(&logits));
        rig.device.ops->log_softmax(rig.device.queue, &(LogSoftmaxArgs){.x = logits, .y = logits});
        status = device_download(&rig.device, &logits, *out, err);
    }
    rig_clear(&rig);
    return status;
}

static int64_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* Puts the Kullback-Leibler divergence from the reference in nats per token, the difference of
 * log-probabilities relative to their spread, and how often both choose the same token. */
static void compare_logprobs(const float *want, const float *got, int64_t V,
                             const char *const names[3], BenchResult *result)
{
    double divergence = 0.0, error = 0.0, spread = 0.0;
    int agreed = 0;
    for (int64_t s = 0; s < SAMPLES; s++, want += V, got += V) {
        double mean = 0.0;
        for (int64_t v = 0; v < V; v++)
            mean += (double)want[v] / (double)V;
        for (int64_t v = 0; v < V; v++) {
            double w = (double)want[v], g = (double)got[v];
            divergence += exp(w) * (w - g);
            error += (w - g) * (w - g);
            spread += (w - mean) * (w - mean);
        }
        agreed += argmax(want, V) == argmax(got, V);
    }
    bench_put(result, names[0], divergence / SAMPLES, "nats/token");
    bench_put(result, names[1], sqrt(error / spread), "");
    bench_put(result, names[2], (double)agreed / SAMPLES, "");
}

static Status int8_error(const BenchRun *how, BenchResult *result, Err *err)
{
    float *want = NULL, *narrow = NULL, *quantised = NULL;
    int64_t V = 0;
    Status status = sample_logprobs(how, DTYPE_F32, &want, &V, err);
    if (status == STATUS_OK)
        status = sample_logprobs(how, DTYPE_I8, &quantised, &V, err);
    if (status == STATUS_OK && how->dtype != DTYPE_F32)
        status = sample_logprobs(how, how->dtype, &narrow, &V, err);
    static const char *const int8_names[] = {"int8_divergence", "int8_relative_error",
                                             "int8_same_choice"};
    static const char *const bf16_names[] = {"bfloat16_divergence", "bfloat16_relative_error",
                                             "bfloat16_same_choice"};
    if (status == STATUS_OK)
        compare_logprobs(want, quantised, V, int8_names, result);
    if (status == STATUS_OK && narrow)
        compare_logprobs(want, narrow, V, bf16_names, result);
    free(want);
    free(narrow);
    free(quantised);
    return status;
}

const Bench bench_decode[] = {
    {"decode",
     "one sequence, token by token, against the rate of reading memory (--context, --fill-kv)",
     decode_float},
    {"decode-int8", "the same with int8 weights", decode_int8},
    {"prompt", "reading a prompt of 512 (or --context) tokens, against the rate of products",
     prompt_float},
    {"prompt-int8", "the same with int8 weights", prompt_int8},
    {"int8-error", "what int8 and bfloat16 weights change, against float32 (--model FILE)",
     int8_error},
    {0},
};
