/* Models stretched when they are loaded: they are those whose file carries the scaling, whatever
 * scaling their own file has, on one rank and on several; and what cannot be is told. */
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
#include "core/decode/decoder.h"
#include "infer/helix/helix.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_file.h"
#include "tests/support/tiny_model.h"

enum { V = 97, CONTEXT = 48, LENGTH = 90 };

static char *words(const char *text)
{
    return (char *)(uintptr_t)text;
}

static ContextExtension extension_of(const char *scaling, double factor, int64_t context)
{
    return (ContextExtension){words(scaling), factor, context};
}

static ModelConfig plain(void)
{
    ModelConfig c = tiny_config();
    c.context = CONTEXT;
    return c;
}

static ModelConfig scaled(RopeScaling scaling)
{
    ModelConfig c = plain();
    c.rope_scaling = scaling;
    c.context = (int64_t)(CONTEXT * scaling.factor);
    return c;
}

static ModelConfig extended(ModelConfig config, const char *scaling, double factor, int64_t context)
{
    Err err;
    ContextExtension extension = extension_of(scaling, factor, context);
    ASSERT_OK(context_extension_apply(&extension, &config, &err));
    return config;
}

static const RopeScaling linear_2 = {.kind = ROPE_LINEAR, .factor = 2.0};
static const RopeScaling yarn_2 = {
    .kind = ROPE_YARN, .factor = 2.0, .original_context = CONTEXT, .low = 1.0, .high = 32.0};
static const RopeScaling llama3_4 = {
    .kind = ROPE_LLAMA3, .factor = 4.0, .original_context = CONTEXT, .low = 1.0, .high = 4.0};

static void assert_same(const ModelConfig *a, const ModelConfig *b)
{
    json_t *x = model_config_json(a), *y = model_config_json(b);
    assert_true(json_equal(x, y));
    json_decref(x);
    json_decref(y);
}

/* ---- configurations -------------------------------------------------------------------------- */

static void the_scaling_of_the_file_is_replaced(void **state)
{
    (void)state;
    const ModelConfig own[] = {plain(), scaled(linear_2), scaled(yarn_2), scaled(llama3_4)};
    ModelConfig ntk = plain();
    ntk.context = 2 * CONTEXT;
    ntk.rope_base *= pow(2.0, (double)ntk.head_dim / (double)(ntk.head_dim - 2));
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        ModelConfig kept = extended(own[i], "model", 0.0, 1000);
        assert_same(&kept, &own[i]);
        kept = extended(own[i], NULL, 0.0, 0);
        assert_same(&kept, &own[i]);
        ModelConfig bare = extended(own[i], "none", 0.0, 0);
        assert_same(&bare, &own[0]);
        ModelConfig linear = extended(own[i], "linear", 2.0, 0);
        assert_same(&linear, &own[1]);
        ModelConfig yarn = extended(own[i], "yarn", 2.0, 0);
        assert_same(&yarn, &own[2]);
        ModelConfig other = extended(own[i], "ntk", 2.0, 0);
        assert_same(&other, &ntk);
    }
}

static void the_factor_follows_from_the_context(void **state)
{
    (void)state;
    ModelConfig c = extended(plain(), "linear", 0.0, 2 * CONTEXT);
    ModelConfig two = scaled(linear_2);
    assert_same(&c, &two);
    for (int64_t context = CONTEXT; context < 400; context++) {
        c = extended(plain(), "yarn", 0.0, context);
        assert_int_equal(c.context, context);
        assert_true(fabs(c.rope_scaling.factor * CONTEXT - (double)context) < 1e-9);
    }
    c = extended(plain(), "linear", 0.0, CONTEXT / 2); /* enough as it is */
    assert_int_equal(c.context, CONTEXT);
    assert_true(c.rope_scaling.factor == 1.0);
    c = extended(plain(), "linear", 1.3, 4 * CONTEXT); /* the factor counts */
    assert_int_equal(c.context, 62);
}

/* With factor 1 every kind is the model as it was. */
static void a_factor_of_one_changes_nothing(void **state)
{
    (void)state;
    static const char *const kinds[] = {"linear", "ntk", "yarn"};
    float want[3], got[3];
    ModelConfig own = plain();
    assert_int_equal(own.head_dim, 6);
    rope_frequencies(own.rope_base, 3, &own.rope_scaling, want);
    for (int i = 0; i < 3; i++) {
        ModelConfig c = extended(own, kinds[i], 1.0, 0);
        rope_frequencies(c.rope_base, 3, &c.rope_scaling, got);
        assert_memory_equal(got, want, sizeof want);
        assert_true(rope_attention_factor(&c.rope_scaling) == 1.0f);
    }
}

static void what_cannot_be_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *scaling, *said;
        double factor;
        int64_t context, head_dim;
    } cases[] = {
        {"model", "--rope-factor says how far", 2.0, 0, 6},
        {"none", "--rope-factor says how far", 2.0, 1000, 6},
        {NULL, "--rope-factor says how far", 2.0, 0, 6},
        {"yarn", "give --rope-factor F or --context N", 0.0, 0, 6},
        {"linear", "--rope-factor 0.5 is not from 1", 0.5, 0, 6},
        {"ntk", "--rope-factor -2 is not from 1", -2.0, 0, 6},
        {"ntk", "--rope-factor nan is not from 1", (double)NAN, 0, 6},
        {"linear", "--rope-factor 1e+06 is not from 1", 1e6, 0, 6},
        {"ntk", "heads of more than 2", 2.0, 0, 2},
        {"wavy", "no rope scaling 'wavy'; there are model", 2.0, 0, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {.text = ""};
        ModelConfig c = plain();
        c.head_dim = cases[i].head_dim;
        ContextExtension e = extension_of(cases[i].scaling, cases[i].factor, cases[i].context);
        assert_int_equal(context_extension_apply(&e, &c, &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("%s", err.text);
    }
    Err err = {.text = ""};
    ModelConfig c = plain();
    c.context = 1 << 20;
    ContextExtension e = extension_of("yarn", 9999.0, 0);
    assert_int_equal(context_extension_apply(&e, &c, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "more than 2147483647 positions"));
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Two experts of unlike contexts, or one. */
static void write_model(const char *name, ModelConfig config, int64_t n, char path[256])
{
    Model *models[] = {tiny_model(&config, DTYPE_F32, 5, 3), NULL};
    config.context *= 2;
    if (n > 1)
        models[1] = tiny_model(&config, DTYPE_F32, 6, 3);
    Ensemble *ensemble = tiny_ensemble(models, n, MERGE_BAYES);
    snprintf(path, 256, "%s", tiny_file(name, ensemble));
    ensemble_free(ensemble);
}

/* Logits (V) behind a text that is longer than the context, and the context that is in force. */
static int64_t decode(const char *path, ContextExtension extension, int ranks, const char *grid,
                      float *out)
{
    Err err = {.text = ""};
    Helix *helix;
    Decoder *decoder;
    int32_t tokens[LENGTH];
    LoadSettings load = {.device = words("cpu"),
                         .weights = words("float32"),
                         .kv = words("float32"),
                         .rope = extension};
    HelixSettings settings = {.ranks = ranks,
                              .block = 16,
                              .grid = words(grid),
                              .hopb = words("on"),
                              .comm = words("auto")};
    ASSERT_OK(helix_open(&helix, path, &load, &settings, NULL, &err));
    const LoadedModel *model = helix_model(helix);
    DecoderOptions options = {.max_sequences = 1,
                              .max_positions = LENGTH,
                              .kv_dtype = model->kv_dtype,
                              .source = helix_source(helix)};
    ASSERT_OK(decoder_new(&decoder, model->ensemble, &options, &err));
    for (int64_t i = 0; i < LENGTH; i++)
        tokens[i] = (int32_t)((i * 37 + i * i % 7) % V);
    DecodeItem item = {decoder_open(decoder), tokens, LENGTH};
    ASSERT_OK(decoder_step(decoder, &item, 1, &err));
    Device device = decoder_device(decoder);
    Tensor logits = decoder_logits(decoder);
    ASSERT_OK(device_download(&device, &logits, out, &err));
    int64_t context = ensemble_context(model->ensemble);
    decoder_free(decoder);
    ASSERT_OK(helix_close(helix, STATUS_OK, &err));
    return context;
}

static double difference(const float *a, const float *b)
{
    double worst = 0.0, top = 0.0;
    for (int i = 0; i < V; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        top = fmax(top, fabs((double)a[i]));
    }
    return worst / top;
}

static void it_decodes_as_a_file_with_the_scaling(void **state)
{
    (void)state;
    char bare[256], carries[256];
    float want[V], got[V], other[V];
    ModelConfig ntk = extended(plain(), "ntk", 2.0, 0);
    const struct {
        const char *kind;
        ModelConfig config;
    } cases[] = {{"linear", scaled(linear_2)}, {"yarn", scaled(yarn_2)}, {"ntk", ntk}};
    write_model("bare.h5", plain(), 1, bare);
    assert_int_equal(decode(bare, extension_of("model", 0.0, 0), 1, "auto", other), CONTEXT);
    for (int i = 0; i < 3; i++) {
        write_model("carries.h5", cases[i].config, 1, carries);
        assert_int_equal(decode(carries, extension_of("model", 0.0, 0), 1, "auto", want),
                         2 * CONTEXT);
        assert_int_equal(decode(bare, extension_of(cases[i].kind, 2.0, 0), 1, "auto", got),
                         2 * CONTEXT);
        assert_memory_equal(got, want, sizeof want);
        assert_true(difference(got, other) > 1e-3);
        decode(bare, extension_of(cases[i].kind, 0.0, 2 * CONTEXT), 1, "auto", got);
        assert_memory_equal(got, want, sizeof want);
        if (i < 2) { /* a stored base is the model's own */
            decode(carries, extension_of("none", 0.0, 0), 1, "auto", got);
            assert_memory_equal(got, other, sizeof other);
        }
    }
}

static void ranks_decode_what_one_does(void **state)
{
    (void)state;
    static const char *const kinds[] = {"linear", "yarn", "ntk"};
    static const char *const grids[] = {"kvp=2", "kvp=2,ep=2"};
    char path[256];
    float want[V], got[V], other[V];
    for (int n = 1; n <= 2; n++) {
        write_model("merged.h5", plain(), n, path);
        decode(path, extension_of("none", 0.0, 0), 1, "auto", other);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(decode(path, extension_of(kinds[i], 2.5, 0), 1, "auto", want), 120);
            assert_int_equal(decode(path, extension_of(kinds[i], 2.5, 0), 2, grids[n - 1], got),
                             120);
            assert_true(difference(want, got) < 1e-5);
            assert_true(difference(want, other) > 1e-3);
        }
    }
}

/* Each expert is stretched as far as it needs. */
static void experts_are_stretched_to_one_context(void **state)
{
    (void)state;
    Err err = {.text = ""};
    char path[256];
    LoadedModel model;
    LoadSettings load = {.device = words("cpu"),
                         .weights = words("float32"),
                         .kv = words("float32"),
                         .rope = extension_of("linear", 0.0, 3 * CONTEXT)};
    write_model("merged.h5", plain(), 2, path);
    ASSERT_OK(load_model(&model, path, &load, &err));
    assert_int_equal(ensemble_context(model.ensemble), 3 * CONTEXT);
    assert_true(model.ensemble->experts[0]->config.rope_scaling.factor == 3.0);
    assert_true(model.ensemble->experts[1]->config.rope_scaling.factor == 1.5);
    load_model_close(&model);
}

/* Stretched by 3, the positions 0, 3, 6 ... are what 0, 1, 2 ... were. */
static void linear_puts_positions_between_the_old_ones(void **state)
{
    (void)state;
    enum { T = 20, H = 2, D = 6 };
    Err err = {.text = ""};
    const Device *device = tiny_device();
    float values[T * H * D], turned[2][T * H * D];
    for (int i = 0; i < T * H * D; i++)
        values[i] = sinf((float)(i * i));
    for (int k = 0; k < 2; k++) {
        ModelConfig c = plain();
        if (k == 1)
            c = extended(c, "linear", 3.0, 0);
        float inv_freq[D / 2];
        int32_t at[T];
        for (int t = 0; t < T; t++)
            at[t] = k == 1 ? 3 * t : t;
        rope_frequencies(c.rope_base, D / 2, &c.rope_scaling, inv_freq);
        Tensor x = tensor_3d(NULL, DTYPE_F32, T, H, D), freq = tensor_1d(NULL, DTYPE_F32, D / 2),
               positions = tensor_1d(NULL, DTYPE_I32, T);
        ASSERT_OK(device_tensor(device, &x, "values", &err));
        ASSERT_OK(device_tensor(device, &freq, "frequencies", &err));
        ASSERT_OK(device_tensor(device, &positions, "positions", &err));
        ASSERT_OK(device_upload(device, &x, values, &err));
        ASSERT_OK(device_upload(device, &freq, inv_freq, &err));
        ASSERT_OK(device_upload(device, &positions, at, &err));
        RopeArgs args = {.x = x, .positions = positions, .inv_freq = freq, .scale = 1.0f};
        device->ops->rope(device->queue, &args);
        ASSERT_OK(device_download(device, &x, turned[k], &err));
        device->ops->free(x.data);
        device->ops->free(freq.data);
        device->ops->free(positions.data);
    }
    for (int i = 0; i < T * H * D; i++)
        assert_true(fabsf(turned[0][i] - turned[1][i]) < 1e-5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scaling_of_the_file_is_replaced),
        cmocka_unit_test(the_factor_follows_from_the_context),
        cmocka_unit_test(a_factor_of_one_changes_nothing),
        cmocka_unit_test(what_cannot_be_is_told),
        cmocka_unit_test(it_decodes_as_a_file_with_the_scaling),
        cmocka_unit_test(ranks_decode_what_one_does),
        cmocka_unit_test(experts_are_stretched_to_one_context),
        cmocka_unit_test(linear_puts_positions_between_the_old_ones),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
