/* Rotary frequencies are those of transformers for every kind of scaling and for models stretched
 * when they are loaded, through config.json, GGUF files and model files; each kind's logits are
 * transformers' own where it is installed (test_hf_export). */
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
#include "core/io/checkpoint.h"
#include "core/io/gguf_export.h"
#include "core/io/hf_config.h"
#include "core/io/model_import.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

enum { HALF_MAX = 64 };

static double real_of(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

/* Where the line has one: what --rope-scaling and --rope-factor do. */
static void extend(ModelConfig *config, const json_t *line)
{
    Err err;
    const json_t *wanted = json_object_get(line, "extension");
    if (!wanted)
        return;
    char *scaling = xstrdup(json_string_value(json_object_get(wanted, "scaling")));
    ContextExtension extension = {.scaling = scaling, .factor = real_of(wanted, "factor")};
    double context = (double)config->context;
    ASSERT_OK(context_extension_apply(&extension, config, &err));
    assert_true((double)config->context == floor(context * extension.factor));
    free(scaling);
}

/* What config.json of a small model with this scaling says. */
static ModelConfig config_of(const json_t *want)
{
    Err err;
    ModelConfig config;
    json_t *json = json_pack(
        "{s:[s], s:i, s:i, s:i, s:i, s:i, s:O, s:O, s:O, s:O*}", "architectures",
        "LlamaForCausalLM", "vocab_size", 100, "hidden_size", 32, "num_hidden_layers", 1,
        "num_attention_heads", 2, "intermediate_size", 64, "head_dim",
        json_object_get(want, "head_dim"), "rope_theta", json_object_get(want, "rope_theta"),
        "max_position_embeddings", json_object_get(want, "max_position_embeddings"), "rope_scaling",
        json_object_get(want, "rope_scaling"));
    ASSERT_OK(hf_config_parse(json, "config.json", &config, &err));
    json_decref(json);
    return config;
}

static void assert_frequencies(const ModelConfig *config, const json_t *want)
{
    float got[HALF_MAX];
    const json_t *list = json_object_get(want, "inv_freq");
    int64_t half = config->head_dim / 2;
    assert_int_equal(json_array_size(list), half);
    rope_frequencies(config->rope_base, half, &config->rope_scaling, got);
    for (int64_t i = 0; i < half; i++) {
        double value = json_real_value(json_array_get(list, (size_t)i));
        if (fabs((double)got[i] - value) > 1e-6 * value)
            fail_msg("%s: pair %lld has %g instead of %g",
                     rope_scaling_name(config->rope_scaling.kind), (long long)i, (double)got[i],
                     value);
    }
    double factor = (double)rope_attention_factor(&config->rope_scaling);
    assert_true(fabs(factor - real_of(want, "attention")) < 1e-6);
}

/* Through /meta, config.json and a GGUF file. */
static void assert_kept(const ModelConfig *config, const json_t *want)
{
    Err err;
    ModelConfig back;
    const char *architecture;
    json_t *json = model_config_json(config);
    ASSERT_OK(model_config_from_json(json, &back, &err));
    json_decref(json);
    assert_frequencies(&back, want);
    json = hf_config_json(config, "LlamaForCausalLM", -1, -1, "float32");
    ASSERT_OK(hf_config_parse(json, "config.json", &back, &err));
    json_decref(json);
    assert_frequencies(&back, want);

    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.kind = TOKENIZER_SCORED;
    spec.scores = xcalloc((size_t)spec.n_tokens, sizeof *spec.scores);
    ModelConfig bytes = *config;
    bytes.vocab_size = spec.n_tokens;
    Model *model = tiny_model(&bytes, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
    char *path = xstrdup(folder_path("model.h5")), *out = xstrdup(folder_path("model.gguf"));
    CheckpointSave save = {.path = path, .ensemble = one, .tokenizer = &spec};
    ASSERT_OK(checkpoint_save(&save, &err));
    GgufExport args = {.path = path, .out = out, .device = tiny_device()};
    ASSERT_OK(gguf_export(&args, &architecture, &err));
    ASSERT_OK(gguf_import(out, NULL, path, &err));
    Container *file;
    CheckpointInfo info;
    ASSERT_OK(container_open(&file, path, &err));
    ASSERT_OK(checkpoint_info_read(file, &info, &err));
    assert_frequencies(&info.experts[0].config, want);
    checkpoint_info_clear(&info);
    container_close(file);
    free(path);
    free(out);
    ensemble_free(one);
    tokenizer_spec_clear(&spec);
}

static void frequencies_are_those_of_transformers(void **state)
{
    (void)state;
    char *line = NULL;
    size_t capacity = 0;
    int cases = 0;
    FILE *file = fopen("tests/golden/rope.jsonl", "r");
    assert_non_null(file);
    for (; getline(&line, &capacity, file) > 0; cases++) {
        json_t *want = json_loads(line, 0, NULL);
        assert_non_null(want);
        ModelConfig config = config_of(want);
        extend(&config, want);
        assert_frequencies(&config, want);
        assert_kept(&config, want);
        json_decref(want);
    }
    free(line);
    fclose(file);
    assert_int_equal(cases, 10);
}

static void impossible_scalings_are_refused(void **state)
{
    (void)state;
    Err err;
    ModelConfig good = tiny_config(), back;
    good.rope_scaling = (RopeScaling){ROPE_LLAMA3, 8.0, 8192, 1.0, 4.0, 0.0};
    ASSERT_OK(model_config_check(&good, &err));
    const RopeScaling bad[] = {
        {ROPE_LINEAR, 0.5, 0, 0, 0, 0},        {ROPE_LINEAR, (double)NAN, 0, 0, 0, 0},
        {ROPE_LLAMA3, 8.0, 0, 1.0, 4.0, 0},    {ROPE_LLAMA3, 8.0, 8192, 4.0, 4.0, 0},
        {ROPE_YARN, 4.0, 8192, 1.0, 32.0, -1}, {ROPE_YARN, (double)INFINITY, 8192, 1.0, 32.0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ModelConfig config = good;
        config.rope_scaling = bad[i];
        assert_int_equal(model_config_check(&config, &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, "rope scaling"));
    }
    json_t *json = model_config_json(&good);
    json_object_set_new(json_object_get(json, "rope_scaling"), "kind", json_string("wavy"));
    assert_int_equal(model_config_from_json(json, &back, &err), STATUS_FAIL);
    json_object_set_new(json, "rope_scaling", json_true());
    assert_int_equal(model_config_from_json(json, &back, &err), STATUS_FAIL);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_those_of_transformers),
        cmocka_unit_test(impossible_scalings_are_refused),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
