/* Hugging Face folders as they are found: what this program does not use decides nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/compare.h"
#include "core/io/model_import.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/folder_copy.h"

static const char golden[] = "tests/golden/hf_llama";

/* The copy gives the model that the golden folder gives. */
static void assert_same_model(const char *folder)
{
    Err err;
    Container *want, *got;
    DifferenceList list;
    ASSERT_OK(hf_import(folder, NULL, folder_path("got.h5"), &err));
    ASSERT_OK(container_open(&want, folder_path("hf_llama.h5"), &err));
    ASSERT_OK(container_open(&got, folder_path("got.h5"), &err));
    ASSERT_OK(containers_compare(want, got, 0.0, &list, &err));
    if (list.count > 0)
        fail_msg("%s differs", list.items[0].path);
    free(list.items);
    container_close(want);
    container_close(got);
}

static const char *const json_files[] = {"config.json",
                                         "tokenizer_config.json",
                                         "tokenizer.json",
                                         "generation_config.json",
                                         "special_tokens_map.json",
                                         "model.safetensors.index.json"};

static void odd_members_do_not_matter(void **state)
{
    (void)state;
    static const char *const values[] = {
        "1000000000000000019884624838656",
        "-99999999999999999999",
        "1e999",
        "NaN",
        "-Infinity",
        "\"\\u0000\"",
        "\"\\ud83d\"",
        "\"\xff\"",
        "{\"\\u0000\": {\"\\udfff\": [NaN]}}",
    };
    for (size_t f = 0; f < sizeof json_files / sizeof *json_files; f++) {
        const char *folder = folder_copy(golden, "hf_llama");
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            char member[128];
            snprintf(member, sizeof member, "\"unused_%d\": %s", (int)i, values[i]);
            copy_add_member(json_files[f], member);
        }
        assert_same_model(folder);
    }
}

static void the_bound_that_transformers_writes(void **state)
{
    (void)state;
    const char *folder = folder_copy(golden, "hf_llama");
    copy_add_member("tokenizer_config.json",
                    "\"model_max_length\": 1000000000000000019884624838656");
    copy_add_member("config.json", "\"rope_scaling\": null");
    assert_same_model(folder);
}

static void what_is_used_is_exact(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"\"vocab_size\": 264.0", "vocab_size"},
        {"\"hidden_size\": 18446744073709551640", "hidden_size"},
        {"\"num_hidden_layers\": NaN", "num_hidden_layers"},
        {"\"rms_norm_eps\": Infinity", "rms_norm_eps"},
        {"\"rope_parameters\": {\"rope_theta\": 1e999}", "rope_theta"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Err err = {.text = ""};
        const char *folder = folder_copy(golden, "hf_llama");
        copy_add_member("config.json", bad[i][0]);
        assert_int_equal(hf_import(folder, NULL, folder_path("never.h5"), &err), STATUS_FAIL);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.text);
    }
}

static int set_up(void **state)
{
    Err err;
    folder_set_up(state);
    return hf_import(golden, NULL, folder_path("hf_llama.h5"), &err) != STATUS_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_members_do_not_matter),
        cmocka_unit_test(the_bound_that_transformers_writes),
        cmocka_unit_test(what_is_used_is_exact),
    };
    return cmocka_run_group_tests(tests, set_up, folder_tear_down);
}
