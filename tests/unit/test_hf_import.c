/* A model that `transformers` saved gives the logits that `transformers` computes; what cannot be
 * computed is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "core/io/hf_config.h"
#include "core/io/model_import.h"
#include "core/io/npy.h"
#include "core/text/json_read.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/model_logits.h"
#include "tests/support/tiny_model.h"

static const char golden[] = "tests/golden/hf_llama";

static void logits_are_those_of_transformers(void **state)
{
    (void)state;
    Err err;
    NpyFile want;
    Ensemble *model;
    Tokenizer *tokenizer;
    const char *path = folder_path("hf.h5");
    ASSERT_OK(npy_open(&want, "tests/golden/hf_llama/logits.npy", &err));
    ASSERT_OK(hf_import(golden, NULL, path, &err));
    LoadOptions options = {.device = tiny_device(), .compute = DTYPE_F32, .weights = DTYPE_F32};
    ASSERT_OK(ensemble_load(&model, &tokenizer, path, &options, &err));
    double error = model_logits_error(model, &want);
    print_message("largest difference %.2g of the largest logit\n", error);
    assert_true(error < 1e-5);
    IdList ids = {0};
    tokenizer_encode(tokenizer, "hello", 5, &ids);
    assert_int_equal(ids.count, 1);
    id_list_clear(&ids);
    tokenizer_free(tokenizer);
    ensemble_free(model);
    npy_close(&want);
}

/* Members as they stand in JSON, on top of those of a small Llama. */
static Status parse_config(const char *members, ModelConfig *config, Err *err)
{
    json_error_t why;
    char *text = xasprintf("{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 100, "
                           "\"hidden_size\": 32, \"num_hidden_layers\": 2, "
                           "\"num_attention_heads\": 4, \"intermediate_size\": 64%s%s}",
                           members[0] ? ", " : "", members);
    json_t *json = json_read(text, (int64_t)strlen(text), 0, &why);
    if (!json)
        fail_msg("%s: %s", text, why.text);
    Status status = hf_config_parse(json, "config.json", config, err);
    json_decref(json);
    free(text);
    return status;
}

static Status parse_with(const char *key, const char *value, ModelConfig *config, Err *err)
{
    char *member = key ? xasprintf("\"%s\": %s", key, value) : xstrdup("");
    Status status = parse_config(member, config, err);
    free(member);
    return status;
}

static void unknown_settings_are_refused_by_name(void **state)
{
    (void)state;
    Err err;
    ModelConfig c;
    ASSERT_OK(parse_with(NULL, NULL, &c, &err));
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 8);
    ASSERT_OK(parse_with("rope_scaling", "null", &c, &err));
    ASSERT_OK(
        parse_with("rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":7e5}", &c, &err));
    assert_true(c.rope_base == 7e5);
    ASSERT_OK(parse_with("tie_word_embeddings", "true", &c, &err));
    assert_true(c.tied_head);
    static const char *const bad[][3] = {
        {"architectures", "[\"MambaForCausalLM\"]", "MambaForCausalLM"},
        {"architectures", "[]", "architecture"},
        {"rope_scaling", "{\"type\":\"dynamic\",\"factor\":4}", "dynamic"},
        {"rope_scaling", "{\"type\":\"linear\",\"factor\":0}", "factor"},
        {"rope_scaling", "{\"type\":\"yarn\",\"factor\":4,\"mscale\":1}", "mscale"},
        {"rope_parameters", "{\"rope_type\":\"llama3\"}", "factor"},
        {"hidden_act", "\"gelu\"", "gelu"},
        {"mlp_bias", "true", "mlp_bias"},
        {"mlp_bias", "\"no\"", "mlp_bias"},
        {"tie_word_embeddings", "1", "tie_word_embeddings"},
        {"quantization_config", "{}", "quantization_config"},
        {"quantization_config", "{\"quant_method\": \"gptq\"}", "gptq"},
        {"rope_parameters", "{\"full_attention\": {\"rope_theta\": 1e4}}", "full_attention"},
        {"partial_rotary_factor", "0.5", "partial_rotary_factor"},
        {"rope_parameters", "{\"partial_rotary_factor\": 0.25}", "partial_rotary_factor"},
        {"rope_scaling", "{\"type\":\"yarn\",\"factor\":4,\"truncate\":false}", "truncate"},
        {"num_attention_heads", "0", "heads"},
        {"num_key_value_heads", "3", "KV heads"},
        {"vocab_size", "\"many\"", "vocab_size"},
        {"hidden_size", "-32", "-32"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse_with(bad[i][0], bad[i][1], &c, &err), STATUS_FAIL);
        if (!strstr(err.text, bad[i][2]))
            fail_msg("'%s' does not name %s", err.text, bad[i][2]);
    }
}

/* What transformers 5 makes of the two forms of the rotary settings, alone and together. */
static void both_forms_of_rotary_settings_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        double base, factor;
        int64_t original;
    } forms[] = {
        {"", 1e4, 0.0, 0},
        {"\"rope_theta\": 5e5", 5e5, 0.0, 0},
        {"\"rope_theta\": null, \"rope_scaling\": null", 1e4, 0.0, 0},
        {"\"partial_rotary_factor\": 1.0, \"rope_parameters\": {\"rope_theta\": 6e5}", 6e5, 0.0, 0},
        {"\"rope_parameters\": {\"rope_theta\": 7e5, \"rope_type\": \"default\"}", 7e5, 0.0, 0},
        {"\"rope_theta\": 5e5, \"rope_parameters\": {\"rope_theta\": 7e5}", 7e5, 0.0, 0},
        {"\"rope_theta\": 5e5, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}", 5e5, 2.0,
         0},
        {"\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2}, \"rope_parameters\": "
         "{\"rope_type\": \"linear\", \"factor\": 4, \"rope_theta\": 7e5}",
         1e4, 2.0, 0},
        {"\"rope_scaling\": {}, \"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0}",
         1e4, 4.0, 0},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"truncate\": true}", 1e4, 4.0,
         2048},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"mscale\": null, "
         "\"original_max_position_embeddings\": 512}",
         1e4, 4.0, 512},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, "
         "\"original_max_position_embeddings\": 512}, \"original_max_position_embeddings\": 256",
         1e4, 4.0, 512},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        Err err;
        ModelConfig c;
        ASSERT_OK(parse_config(forms[i].members, &c, &err));
        if (c.rope_base != forms[i].base || c.rope_scaling.factor != forms[i].factor ||
            c.rope_scaling.original_context != forms[i].original)
            fail_msg("%s: base %g, factor %g, original context %lld", forms[i].members, c.rope_base,
                     c.rope_scaling.factor, (long long)c.rope_scaling.original_context);
    }
}

#define MISTRAL "\"architectures\": [\"MistralForCausalLM\"], \"num_key_value_heads\": 2"
#define QWEN "\"architectures\": [\"Qwen2ForCausalLM\"], \"num_key_value_heads\": 2"

static void only_windows_that_hide_something_are_refused(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "\"sliding_window\": 16", /* of no Llama in transformers */
        MISTRAL ", \"sliding_window\": null",
        MISTRAL ", \"sliding_window\": 2048, \"max_position_embeddings\": 2048",
        MISTRAL ", \"max_position_embeddings\": 4096",
        QWEN ", \"sliding_window\": 16",
        QWEN ", \"use_sliding_window\": false, \"sliding_window\": 16, \"max_window_layers\": 0",
        QWEN ", \"use_sliding_window\": true, \"sliding_window\": 16",
        QWEN ", \"use_sliding_window\": true, \"sliding_window\": 16, \"max_window_layers\": 2",
        QWEN ", \"use_sliding_window\": true, \"sliding_window\": null, \"max_window_layers\": 0",
        QWEN ", \"use_sliding_window\": true, \"sliding_window\": 16, \"max_window_layers\": 1, "
             "\"layer_types\": [\"full_attention\", \"full_attention\"]",
    };
    static const char *const bad[] = {
        MISTRAL,
        MISTRAL ", \"sliding_window\": 2047, \"max_position_embeddings\": 2048",
        QWEN ", \"use_sliding_window\": true, \"max_window_layers\": 1",
        QWEN ", \"use_sliding_window\": true, \"sliding_window\": 16, \"layer_types\": "
             "[\"full_attention\", \"sliding_attention\"]",
    };
    Err err;
    ModelConfig c;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        ASSERT_OK(parse_config(fine[i], &c, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse_config(bad[i], &c, &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, "sliding window"));
    }
}

static void what_is_missing_is_what_the_class_takes(void **state)
{
    (void)state;
    Err err;
    ModelConfig c;
    ASSERT_OK(parse_config("\"architectures\": null, \"model_type\": \"qwen2\", "
                           "\"num_key_value_heads\": null, \"head_dim\": null",
                           &c, &err));
    assert_true(c.bias_qkv && !c.bias_out);
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.context, 32768);
    ASSERT_OK(parse_config("\"architectures\": [\"MistralForCausalLM\"], \"sliding_window\": null, "
                           "\"num_attention_heads\": 16, \"head_dim\": 6",
                           &c, &err));
    assert_int_equal(c.n_kv_heads, 8);
    assert_int_equal(c.head_dim, 6);
    assert_int_equal(c.context, 131072);
    assert_int_equal(parse_config("\"architectures\": [\"LlavaForConditionalGeneration\"], "
                                  "\"text_config\": {}",
                                  &c, &err),
                     STATUS_FAIL);
    assert_non_null(strstr(err.text, "other media"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_transformers),
        cmocka_unit_test(unknown_settings_are_refused_by_name),
        cmocka_unit_test(both_forms_of_rotary_settings_are_read),
        cmocka_unit_test(only_windows_that_hide_something_are_refused),
        cmocka_unit_test(what_is_missing_is_what_the_class_takes),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
