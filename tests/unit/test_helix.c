/* The Helix decoder against the local one: on every grid the logits are the same, whatever lies
 * where; and the comparison finds the faults that such decoders have had. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "core/decode/decoder.h"
#include "infer/helix/helix.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_file.h"
#include "tests/support/tiny_model.h"

enum { V = 97, SEQUENCES = 5, BLOCK = 16 };

/* ---- backends with faults ------------------------------------------------------------------- */

static const Backend *cpu;
static Backend poisoned, base_2, local_positions, swapped;

/* Memory is all NaN until it is written, so whoever reads an empty shard shows it. */
static Status poisoned_alloc(void **out, size_t bytes, const char *what, Err *err)
{
    TRY(cpu->alloc(out, bytes, what, err));
    Tensor all = tensor_1d(*out, DTYPE_U8, (int64_t)bytes);
    memset(cpu_ptr(&all), 0xff, bytes);
    return STATUS_OK;
}

static void scale_lse(const Tensor *lse)
{
    float *values = cpu_ptr(lse);
    for (int64_t i = 0; values && i < tensor_count(lse); i++)
        values[i] *= 1.44269504f;
}

static void base_2_attn_decode(Queue *queue, const AttnDecodeArgs *args)
{
    cpu->attn_decode(queue, args);
    scale_lse(&args->lse);
}

/* As if each of two ranks counted its own positions. */
static void local_rope(Queue *queue, const RopeArgs *args)
{
    int32_t counted[512];
    const int32_t *positions = cpu_ptr(&args->positions);
    int64_t n = tensor_count(&args->positions);
    for (int64_t i = 0; i < n; i++)
        counted[i] = positions[i] / (2 * BLOCK) * BLOCK + positions[i] % BLOCK;
    RopeArgs local = *args;
    Tensor copy = tensor_1d(NULL, DTYPE_I32, n);
    Err err;
    CHECK(cpu->alloc(&copy.data, tensor_bytes(&copy), "positions", &err) == STATUS_OK, "memory");
    cpu->upload(queue, copy.data, counted, tensor_bytes(&copy));
    local.positions = copy;
    cpu->rope(queue, &local);
    cpu->free(copy.data);
}

/* Every rank gets the next one's heads: its shard of the output projection belongs to others. */
static void swapped_attn_pack(Queue *queue, const AttnPackArgs *args)
{
    Tensor out = args->packed;
    cpu->attn_pack(queue, args);
    /* Chunks of equal size change places by turning the packed rows by one chunk. */
    int64_t rows = out.shape[0], shift = rows / args->n_chunks;
    size_t row = tensor_bytes(&out) / (size_t)rows;
    char *data = cpu_ptr(&out), *copy = xmalloc((size_t)rows * row);
    memcpy(copy, data, (size_t)rows * row);
    for (int64_t i = 0; i < rows; i++)
        memcpy(data + (size_t)((i + shift) % rows) * row, copy + (size_t)i * row, row);
    free(copy);
}

static void make_backends(void)
{
    Err err;
    backend_cpu_register();
    CHECK(backend_open("cpu", &cpu, &err) == STATUS_OK, "%s", err.text);
    poisoned = base_2 = local_positions = swapped = *cpu;
    poisoned.name = "poisoned";
    poisoned.alloc = poisoned_alloc;
    base_2.name = "base-2";
    base_2.attn_decode = base_2_attn_decode;
    local_positions.name = "local-positions";
    local_positions.rope = local_rope;
    swapped.name = "swapped";
    swapped.attn_pack = swapped_attn_pack;
    backend_register(&poisoned);
    backend_register(&base_2);
    backend_register(&local_positions);
    backend_register(&swapped);
}

/* ---- models --------------------------------------------------------------------------------- */

static ModelConfig config_of(int64_t n_heads, int64_t n_kv_heads)
{
    ModelConfig c = tiny_config();
    c.n_heads = n_heads;
    c.n_kv_heads = n_kv_heads;
    c.context = 4096;
    return c;
}

/* Experts of other depths and widths over two tables, of which the second is as wide as its models.
 */
static const char *write_model(const char *name, const ModelConfig *base, int64_t n, MergeRule rule)
{
    Model *models[8];
    for (int64_t i = 0; i < n; i++) {
        ModelConfig c = *base;
        c.n_layers = 1 + (i + 1) % 3;
        c.d_ff = base->d_ff + 16 * i;
        c.d_model = base->d_model * (1 + i % 2);
        if (i % 2)
            c.n_embed = c.d_model;
        models[i] = tiny_model(&c, DTYPE_F32, 5 + (uint64_t)i, 3 + (uint64_t)(i % 2));
    }
    Ensemble *ensemble = tiny_ensemble(models, n, rule);
    const char *path = tiny_file(name, ensemble);
    ensemble_free(ensemble);
    return path;
}

/* ---- decoding ------------------------------------------------------------------------------- */

static LoadSettings load_of(const char *device, const char *kv)
{
    return (LoadSettings){.device = (char *)device, .weights = (char *)"float32", .kv = (char *)kv};
}

static HelixSettings helix_of(int ranks, const char *grid, bool hopb)
{
    return (HelixSettings){.ranks = ranks,
                           .block = BLOCK,
                           .grid = (char *)grid,
                           .hopb = (char *)(hopb ? "on" : "off"),
                           .comm = (char *)"auto"};
}

static int32_t token_at(int64_t sequence, int64_t i)
{
    return (int32_t)((i * 37 + sequence * 11 + i * i % 7) % V);
}

/* Prompts that end within a block, at its end and behind it, and one shorter than a block. */
static const int64_t prompt_lengths[SEQUENCES] = {1, 16, 17, 64, 75};

typedef struct Trace {
    float *logits; /* (steps, SEQUENCES, V) */
    int64_t steps;
} Trace;

/* A step of all prompts, then single tokens. */
static Trace decode(const Ensemble *ensemble, RunnerSource *source, DType kv, int64_t steps)
{
    Err err = {.text = ""};
    Decoder *decoder;
    DecoderOptions options = {.max_sequences = SEQUENCES,
                              .max_positions = 128,
                              .chunk = 48,
                              .kv_dtype = kv,
                              .source = source};
    Trace trace = {xmalloc((size_t)(steps * SEQUENCES * V) * sizeof(float)), steps};
    ASSERT_OK(decoder_new(&decoder, ensemble, &options, &err));
    Device device = decoder_device(decoder);
    int32_t tokens[SEQUENCES][128];
    DecodeItem items[SEQUENCES];
    for (int64_t s = 0; s < SEQUENCES; s++) {
        for (int64_t i = 0; i < 128; i++)
            tokens[s][i] = token_at(s, i);
        items[s] = (DecodeItem){decoder_open(decoder), tokens[s], prompt_lengths[s]};
    }
    for (int64_t step = 0; step < steps; step++) {
        ASSERT_OK(decoder_step(decoder, items, SEQUENCES, &err));
        Tensor logits = decoder_logits(decoder);
        ASSERT_OK(device_download(&device, &logits, trace.logits + step * SEQUENCES * V, &err));
        for (int64_t s = 0; s < SEQUENCES; s++) {
            items[s].tokens += items[s].n_tokens;
            items[s].n_tokens = 1;
        }
    }
    decoder_free(decoder);
    return trace;
}

/* The largest difference relative to the largest logit; not a number when one is. */
static double difference(const Trace *a, const Trace *b)
{
    double worst = 0.0, top = 0.0;
    for (int64_t i = 0; i < a->steps * SEQUENCES * V; i++) {
        double d = fabs((double)a->logits[i] - (double)b->logits[i]);
        worst = isnan(d) || d > worst ? d : worst;
        top = fmax(top, fabs((double)a->logits[i]));
    }
    return worst / top;
}

static Trace decode_locally(const char *path, const char *kv, int64_t steps)
{
    Err err = {.text = ""};
    LoadedModel model;
    LoadSettings load = load_of("cpu", kv);
    ASSERT_OK(load_model(&model, path, &load, &err));
    Trace trace = decode(model.ensemble, NULL, model.kv_dtype, steps);
    load_model_close(&model);
    return trace;
}

static Trace decode_on(const char *path, const char *grid, int ranks, bool hopb, const char *device,
                       const char *kv, int64_t steps)
{
    Err err = {.text = ""};
    Helix *helix;
    LoadSettings load = load_of(device, kv);
    HelixSettings settings = helix_of(ranks, grid, hopb);
    if (helix_open(&helix, path, &load, &settings, NULL, &err) != STATUS_OK)
        fail_msg("grid %s: %s", grid, err.text);
    const LoadedModel *model = helix_model(helix);
    Trace trace = decode(model->ensemble, helix_source(helix), model->kv_dtype, steps);
    ASSERT_OK(helix_close(helix, STATUS_OK, &err));
    return trace;
}

static void assert_grid(const char *path, const char *grid, int ranks, bool hopb,
                        const Trace *expected, const char *kv, double limit)
{
    Trace found = decode_on(path, grid, ranks, hopb, "poisoned", kv, expected->steps);
    double worst = difference(expected, &found);
    if (!(worst <= limit))
        fail_msg("grid %s, HOP-B %d, %s: differs by %g", grid, hopb, path, worst);
    free(found.logits);
}

/* Every grid of up to 8 ranks that `n` experts and their KV heads allow. */
static int for_all_grids(const char *path, int64_t kv_heads, int64_t n, const Trace *expected)
{
    int count = 0;
    for (int ranks = 2; ranks <= 8; ranks *= 2)
        for (int tpa = 1; tpa <= ranks && tpa <= kv_heads; tpa *= 2)
            for (int ep = 1; ep <= ranks && ep <= n; ep *= 2) {
                char grid[64];
                snprintf(grid, sizeof grid, "kvp=%d,tpa=%d,tpf=%d,ep=%d", ranks / tpa, tpa,
                         ranks / ep, ep);
                assert_grid(path, grid, ranks, count % 2 == 0, expected, "float32", 1e-5);
                count++;
            }
    return count;
}

static void every_grid_gives_the_local_logits(void **state)
{
    (void)state;
    int count = 0;
    for (int64_t kv_heads = 8; kv_heads >= 1; kv_heads /= 2) {
        ModelConfig config = config_of(8, kv_heads);
        const char *path = write_model("one.h5", &config, 1, MERGE_MEAN);
        Trace expected = decode_locally(path, "float32", 3);
        count += for_all_grids(path, kv_heads, 1, &expected);
        free(expected.logits);
    }
    assert_int_equal(count, 9 + 8 + 6 + 3);
}

static void experts_run_on_every_grid(void **state)
{
    (void)state;
    static const MergeRule rules[] = {MERGE_BAYES, MERGE_MEAN};
    for (int i = 0; i < 2; i++) {
        ModelConfig config = config_of(4, 2);
        config.d_model = 9;
        const char *path = write_model("many.h5", &config, i ? 3 : 8, rules[i]);
        Trace expected = decode_locally(path, "float32", 3);
        for_all_grids(path, 2, i ? 3 : 8, &expected);
        free(expected.logits);
    }
}

/* 9 query and 3 KV heads, as a real model has, biases, a layer norm, LoRA pairs; numbers that no
 * width divides. */
static void uneven_shapes_are_cut_unevenly(void **state)
{
    (void)state;
    static const char *const grids[] = {"kvp=2",       "tpa=2", "kvp=2,tpa=2",
                                        "kvp=4",       "kvp=8", "kvp=4,tpa=2,tpf=8",
                                        "kvp=1,tpa=3", "kvp=7", "kvp=2,tpa=3,tpf=6"};
    static const int ranks[] = {2, 2, 4, 4, 8, 8, 3, 7, 6};
    ModelConfig config = config_of(9, 3);
    config.norm = NORM_LAYER;
    config.act = ACT_GELU;
    config.norm_bias = config.bias_qkv = config.bias_out = config.bias_ffn = config.bias_head =
        true;
    config.lora_rank = 2;
    config.lora_alpha = 4.0;
    const char *path = write_model("uneven.h5", &config, 1, MERGE_MEAN);
    Trace expected = decode_locally(path, "float32", 3);
    for (int i = 0; i < 9; i++)
        assert_grid(path, grids[i], ranks[i], i % 2, &expected, "float32", 1e-5);
    free(expected.logits);
}

static void learned_and_tied_tables_are_cut_too(void **state)
{
    (void)state;
    ModelConfig config = config_of(4, 2);
    config.embedding = EMBEDDING_LEARNED;
    config.n_embed = config.d_model = 18;
    config.tied_head = true;
    const char *path = write_model("tied.h5", &config, 1, MERGE_MEAN);
    Trace expected = decode_locally(path, "float32", 3);
    assert_grid(path, "kvp=2,tpa=2", 4, true, &expected, "float32", 1e-5);
    free(expected.logits);
}

/* Products of other shapes may end in another last bit, and a key on the edge then rounds the other
 * way: a step of the cache's type in single numbers. */
static void rounded_caches_are_the_same_in_shards(void **state)
{
    (void)state;
    ModelConfig config = config_of(4, 2);
    const char *path = write_model("one.h5", &config, 1, MERGE_MEAN);
    static const char *const types[] = {"bfloat16", "int8"};
    for (int i = 0; i < 2; i++) {
        Trace expected = decode_locally(path, types[i], 3);
        assert_grid(path, "kvp=2,tpa=2", 4, true, &expected, types[i], 2e-3);
        free(expected.logits);
    }
}

/* ---- faults are found ----------------------------------------------------------------------- */

static void known_faults_are_found(void **state)
{
    (void)state;
    static const char *const devices[] = {"base-2", "local-positions", "swapped"};
    ModelConfig config = config_of(4, 2);
    const char *path = write_model("one.h5", &config, 1, MERGE_MEAN);
    Trace expected = decode_locally(path, "float32", 2);
    for (int i = 0; i < 3; i++) {
        Trace found = decode_on(path, "kvp=2,tpa=1", 2, true, devices[i], "float32", 2);
        double worst = difference(&expected, &found);
        if (worst < 1e-3)
            fail_msg("%s differs by %g only", devices[i], worst);
        free(found.logits);
    }
    free(expected.logits);
}

/* ---- long texts ----------------------------------------------------------------------------- */

static int best_of(const float *logits, double *margin)
{
    int best = 0;
    float second = -INFINITY;
    for (int i = 1; i < V; i++) {
        if (logits[i] > logits[best]) {
            second = logits[best];
            best = i;
        } else if (logits[i] > second) {
            second = logits[i];
        }
    }
    *margin = (double)(logits[best] - second);
    return best;
}

static void step_one(Decoder *decoder, int64_t sequence, int32_t token, float *logits)
{
    Err err = {.text = ""};
    Device device = decoder_device(decoder);
    ASSERT_OK(decoder_step(decoder, &(DecodeItem){sequence, &token, 1}, 1, &err));
    Tensor out = decoder_logits(decoder);
    ASSERT_OK(device_download(&device, &out, logits, &err));
}

/* 3,000 tokens, each the local decoder's best: owners take many turns. */
static void long_texts_stay_the_same(void **state)
{
    (void)state;
    enum { TOKENS = 3000 };
    ModelConfig config = config_of(4, 2);
    config.n_layers = 1;
    const char *path = write_model("one.h5", &config, 1, MERGE_MEAN);
    Err err = {.text = ""};
    LoadSettings load = load_of("cpu", "float32");
    HelixSettings settings = helix_of(4, "kvp=4,tpf=2,ep=1", true);
    Helix *helix;
    assert_int_equal(helix_open(&helix, path, &load, &settings, NULL, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "must both be that"));
    helix_close(helix, STATUS_FAIL, &err);
    settings = helix_of(4, "kvp=4", true);
    ASSERT_OK(helix_open(&helix, path, &load, &settings, NULL, &err));
    LoadedModel local;
    ASSERT_OK(load_model(&local, path, &load, &err));
    DecoderOptions options = {.max_sequences = 1, .max_positions = TOKENS, .kv_dtype = DTYPE_F32};
    Decoder *a, *b;
    ASSERT_OK(decoder_new(&a, local.ensemble, &options, &err));
    options.source = helix_source(helix);
    ASSERT_OK(decoder_new(&b, helix_model(helix)->ensemble, &options, &err));
    int64_t in_a = decoder_open(a), in_b = decoder_open(b);
    int32_t token = 1;
    float x[V], y[V];
    for (int i = 0; i < TOKENS; i++) {
        double margin, other, top = 0.0, worst = 0.0;
        step_one(a, in_a, token, x);
        step_one(b, in_b, token, y);
        int best = best_of(x, &margin), theirs = best_of(y, &other);
        for (int v = 0; v < V; v++) {
            top = fmax(top, fabs((double)x[v]));
            worst = fmax(worst, fabs((double)x[v] - (double)y[v]));
        }
        if (!(worst <= 1e-5 * top) || (margin > 1e-4 * top && best != theirs))
            fail_msg("token %d: %d and %d, logits differ by %g of %g", i, best, theirs, worst, top);
        token = i % 7 == 0 ? token_at(1, i) : best; /* or a tiny model runs in circles */
    }
    decoder_free(a);
    decoder_free(b);
    load_model_close(&local);
    ASSERT_OK(helix_close(helix, STATUS_OK, &err));
}

/* ---- prefixes and scores -------------------------------------------------------------------- */

static void score(const Ensemble *ensemble, RunnerSource *source, float *logprobs)
{
    Err err = {.text = ""};
    Decoder *decoder;
    DecoderOptions options = {.max_sequences = 2,
                              .max_positions = 256,
                              .page_size = 16,
                              .chunk = 40,
                              .kv_dtype = DTYPE_F32,
                              .source = source};
    ASSERT_OK(decoder_new(&decoder, ensemble, &options, &err));
    int32_t tokens[150];
    for (int i = 0; i < 150; i++)
        tokens[i] = token_at(2, i);
    int64_t first = decoder_open(decoder), second = decoder_open(decoder);
    DecodeItem item = {first, tokens, 150};
    ASSERT_OK(decoder_score(decoder, &item, 1, &logprobs, &err));
    /* The second text begins as the first and takes over what whole pages hold of that. */
    int64_t shared = decoder_share(decoder, second, first, 140);
    assert_true(shared > 0 && shared < 140 && shared % decoder_page_size(decoder) == 0);
    item = (DecodeItem){second, tokens + shared, 140 - shared};
    ASSERT_OK(decoder_step(decoder, &item, 1, &err));
    float *rest = logprobs + 150 - 1;
    item = (DecodeItem){second, tokens + 140, 10};
    ASSERT_OK(decoder_score(decoder, &item, 1, (float *[]){rest + 1}, &err));
    decoder_free(decoder);
}

static void scores_and_prefixes_are_the_local_ones(void **state)
{
    (void)state;
    static const MergeRule rules[] = {MERGE_BAYES, MERGE_MEAN, MERGE_MEAN};
    static const int64_t experts[] = {3, 3, 1};
    for (int i = 0; i < 3; i++) {
        ModelConfig config = config_of(4, 2);
        config.d_model = 9;
        const char *path = write_model("scored.h5", &config, experts[i], rules[i]);
        Err err = {.text = ""};
        float local[160], helix_made[160];
        LoadSettings load = load_of("cpu", "float32");
        HelixSettings settings = helix_of(4, "kvp=2,tpa=2", true);
        LoadedModel model;
        ASSERT_OK(load_model(&model, path, &load, &err));
        score(model.ensemble, NULL, local);
        load_model_close(&model);
        Helix *helix;
        ASSERT_OK(helix_open(&helix, path, &load, &settings, NULL, &err));
        score(helix_model(helix)->ensemble, helix_source(helix), helix_made);
        ASSERT_OK(helix_close(helix, STATUS_OK, &err));
        for (int t = 0; t < 160; t++)
            if (!(fabsf(local[t] - helix_made[t]) < 1e-4f))
                fail_msg("rule %d, token %d: %g and %g", i, t, (double)local[t],
                         (double)helix_made[t]);
    }
}

/* ---- synthetic contexts --------------------------------------------------------------------- */

static void filled_logits(const Ensemble *ensemble, RunnerSource *source, float *logits)
{
    Err err = {.text = ""};
    Decoder *decoder;
    DecoderOptions options = {
        .max_sequences = 2, .max_positions = 1100, .kv_dtype = DTYPE_BF16, .source = source};
    ASSERT_OK(decoder_new(&decoder, ensemble, &options, &err));
    int64_t sequence = decoder_open(decoder);
    ASSERT_OK(decoder_fill(decoder, sequence, 1003, 7, &err));
    step_one(decoder, sequence, 5, logits);
    step_one(decoder, sequence, 6, logits + V);
    decoder_free(decoder);
}

static void filled_caches_are_the_same_in_shards(void **state)
{
    (void)state;
    ModelConfig config = config_of(4, 2);
    config.d_model = 9;
    const char *path = write_model("filled.h5", &config, 2, MERGE_BAYES);
    Err err = {.text = ""};
    LoadSettings load = load_of("cpu", "float32");
    LoadedModel model;
    ASSERT_OK(load_model(&model, path, &load, &err));
    float local[2 * V], sharded[2 * V];
    filled_logits(model.ensemble, NULL, local);
    load_model_close(&model);
    static const char *const grids[] = {"kvp=4", "kvp=2,tpa=2", "tpa=2,kvp=2,ep=2"};
    for (int i = 0; i < 3; i++) {
        HelixSettings settings = helix_of(4, grids[i], true);
        Helix *helix;
        ASSERT_OK(helix_open(&helix, path, &load, &settings, NULL, &err));
        filled_logits(helix_model(helix)->ensemble, helix_source(helix), sharded);
        ASSERT_OK(helix_close(helix, STATUS_OK, &err));
        for (int v = 0; v < 2 * V; v++)
            if (!(fabsf(local[v] - sharded[v]) < 1e-4f))
                fail_msg("%s: %g and %g", grids[i], (double)local[v], (double)sharded[v]);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void assert_refused(const char *path, const char *grid, int ranks, const char *reason)
{
    Err err = {.text = ""};
    Helix *helix;
    LoadSettings load = load_of("cpu", "float32");
    HelixSettings settings = helix_of(ranks, grid, true);
    assert_int_equal(helix_open(&helix, path, &load, &settings, NULL, &err), STATUS_FAIL);
    if (!strstr(err.text, reason))
        fail_msg("'%s' does not say '%s'", err.text, reason);
    assert_int_equal(helix_close(helix, STATUS_FAIL, &err), STATUS_FAIL);
}

static void impossible_grids_are_refused(void **state)
{
    (void)state;
    ModelConfig config = config_of(4, 2);
    const char *path = write_model("one.h5", &config, 1, MERGE_MEAN);
    assert_refused(path, "tpa=4", 4, "kvp=2,tpa=2,tpf=4,ep=1 works");
    assert_refused(path, "kvp=4,ep=2", 4, "kvp=4,tpa=1,tpf=4,ep=1 works");
    assert_refused(path, "kvp=3", 4, "must both be that");
    assert_refused(path, "kvp=2,kvp=2", 4, "given twice");
    assert_refused(path, "kvp=0", 4, "a width from 1 to");
    assert_refused(path, "pp=2", 4, "none of");
    assert_refused(path, "kvp=2", 65, "--ranks is from 1 to 64");
    assert_refused(path, "kvp=2", 1, "give --ranks");
    assert_refused("nowhere.h5", "auto", 2, "nowhere.h5");
}

static void positions_have_one_owner(void **state)
{
    (void)state;
    for (int kvp = 1; kvp <= 8; kvp++)
        for (int64_t block = 1; block <= 16; block *= 4) {
            HelixGrid grid = {.kvp = kvp, .tpa = 1, .tpf = kvp, .ep = 1};
            int64_t lengths[8] = {0};
            for (int64_t p = 0; p < 300; p++) {
                lengths[helix_owner(&grid, block, p)]++;
                int64_t sum = 0;
                for (int k = 0; k < kvp; k++) {
                    int64_t local = helix_local_length(&grid, block, p + 1, k);
                    assert_int_equal(local, lengths[k]);
                    assert_true(local <= helix_local_length(&grid, block, p + 1, 0));
                    sum += local;
                }
                assert_int_equal(sum, p + 1);
            }
        }
}

static int set_up(void **state)
{
    (void)state;
    folder_begin();
    make_backends();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_have_one_owner),
        cmocka_unit_test(every_grid_gives_the_local_logits),
        cmocka_unit_test(experts_run_on_every_grid),
        cmocka_unit_test(uneven_shapes_are_cut_unevenly),
        cmocka_unit_test(learned_and_tied_tables_are_cut_too),
        cmocka_unit_test(rounded_caches_are_the_same_in_shards),
        cmocka_unit_test(known_faults_are_found),
        cmocka_unit_test(long_texts_stay_the_same),
        cmocka_unit_test(scores_and_prefixes_are_the_local_ones),
        cmocka_unit_test(filled_caches_are_the_same_in_shards),
        cmocka_unit_test(impossible_grids_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, folder_tear_down);
}
