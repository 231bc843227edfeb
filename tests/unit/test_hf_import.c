/* A model that `transformers` saved gives the logits that `transformers` computes; what cannot be
 * computed is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/io/checkpoint.h"
#include "core/io/hf_config.h"
#include "core/io/model_import.h"
#include "core/io/npy.h"
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

static Status parse_with(const char *key, const char *value, ModelConfig *config, Err *err)
{
    json_t *json =
        json_pack("{s:[s], s:i, s:i, s:i, s:i, s:i}", "architectures", "LlamaForCausalLM",
                  "vocab_size", 100, "hidden_size", 32, "num_hidden_layers", 2,
                  "num_attention_heads", 4, "intermediate_size", 64);
    if (key)
        json_object_set_new(json, key, json_loads(value, JSON_DECODE_ANY, NULL));
    Status status = hf_config_parse(json, "config.json", config, err);
    json_decref(json);
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
        {"sliding_window", "16", "sliding window"},
        {"quantization_config", "{}", "quantization_config"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_transformers),
        cmocka_unit_test(unknown_settings_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
