/* What a run may change of the model that it goes on with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cli/options.h"
#include "tests/support/assert_ok.h"
#include "tests/support/tiny_model.h"
#include "train/model_options.h"

extern const Verb verb_train;

static void *parsed;

static void forget(void)
{
    if (parsed)
        options_clear(&verb_train, parsed);
    free(parsed);
    parsed = NULL;
}

/* As if this option had been given. */
static void give(const char *option, const char *value)
{
    char *argv[] = {(char *)(uintptr_t)option, (char *)(uintptr_t)value};
    forget();
    parsed = xcalloc(1, verb_train.settings_size);
    StringList positionals = {0};
    Err err = {.text = ""};
    ASSERT_OK(options_parse(&verb_train, 2, argv, parsed, &positionals, &err));
    string_list_clear(&positionals);
}

static void a_longer_context_changes_no_known_position(void **state)
{
    (void)state;
    static const RopeScaling scalings[] = {
        {.kind = ROPE_UNSCALED},
        {.kind = ROPE_LINEAR, .factor = 2.0},
        {.kind = ROPE_LLAMA3, .factor = 4.0, .original_context = 64, .low = 1.0, .high = 4.0},
        {.kind = ROPE_YARN, .factor = 4.0, .original_context = 64, .low = 1.0, .high = 32.0},
        {.kind = ROPE_YARN,
         .factor = 4.0,
         .original_context = 64,
         .low = 1.0,
         .high = 32.0,
         .attention = 1.5},
    };
    ModelSettings settings = {.context = 1024};
    give("--context", "1024");
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++) {
        ModelConfig before = tiny_config();
        Err err = {.text = ""};
        before.context = 256;
        before.rope_scaling = scalings[i];
        ModelConfig after = before;
        ASSERT_OK(model_settings_adapt(&settings, &after, &err));
        assert_int_equal(after.context, 1024);
        float a[64], b[64];
        int64_t half = before.head_dim / 2;
        rope_frequencies(before.rope_base, half, &before.rope_scaling, a);
        rope_frequencies(after.rope_base, half, &after.rope_scaling, b);
        assert_memory_equal(a, b, (size_t)half * sizeof *a);
        assert_true(rope_attention_factor(&before.rope_scaling) ==
                    rope_attention_factor(&after.rope_scaling));
        /* The default of other programs would follow the context. */
        assert_true(after.rope_scaling.kind != ROPE_YARN || after.rope_scaling.attention > 0.0);
    }
    forget();
}

static void what_is_not_given_stays(void **state)
{
    (void)state;
    ModelSettings settings = {.context = 1024, .dropout = 0.5};
    ModelConfig before = tiny_config();
    Err err = {.text = ""};
    before.dropout = 0.125;
    give("--steps", "1");
    ModelConfig after = before;
    ASSERT_OK(model_settings_adapt(&settings, &after, &err));
    assert_true(after.dropout == before.dropout && after.context == before.context);
    give("--dropout", "0.5");
    ASSERT_OK(model_settings_adapt(&settings, &after, &err));
    assert_true(after.dropout == 0.5 && after.context == before.context);
    give("--context", "8"); /* only shortens rows */
    settings.context = 8;
    ASSERT_OK(model_settings_adapt(&settings, &after, &err));
    assert_int_equal(after.context, before.context);
    forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_longer_context_changes_no_known_position),
        cmocka_unit_test(what_is_not_given_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
