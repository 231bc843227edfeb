/* `--grid auto`: what the planner makes of the cases that the rule does not see, and that both
 * agree where the rule is enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "infer/helix/choose_grid.h"

static ModelConfig config_of(int64_t heads, int64_t kv_heads)
{
    ModelConfig c = model_config_default();
    c.vocab_size = 32000;
    c.n_layers = 24;
    c.n_embed = c.d_model = heads * 64;
    c.n_heads = heads;
    c.n_kv_heads = kv_heads;
    c.head_dim = 64;
    c.d_ff = 4 * c.d_model;
    return c;
}

static GridChoice choose(const ModelConfig *c, int64_t n, int ranks, int64_t context, int64_t batch)
{
    const ModelConfig *configs[] = {c, c, c};
    GridWish wish = {.ranks = ranks,
                     .context = context,
                     .batch = batch,
                     .weights = DTYPE_BF16,
                     .kv = DTYPE_BF16,
                     .hopb = true};
    return helix_choose_grid(&wish, configs, n);
}

static HelixGrid rule_of(const ModelConfig *c, int64_t n, int ranks)
{
    const ModelConfig *configs[] = {c, c, c};
    return helix_grid_default(ranks, configs, n);
}

static bool same(const HelixGrid *a, const HelixGrid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

typedef void Case(const ModelConfig *c, int64_t n, int ranks, int64_t context, int64_t batch);

static void each_case(Case *fn)
{
    static const int heads[][2] = {{8, 1}, {8, 2},  {8, 4},  {8, 8},
                                   {9, 3}, {12, 4}, {32, 8}, {16, 16}};
    for (int h = 0; h < 8; h++) {
        ModelConfig c = config_of(heads[h][0], heads[h][1]);
        for (int64_t n = 1; n <= 3; n++)
            for (int ranks = 2; ranks <= 8; ranks++)
                for (int64_t context = 512; context <= 1 << 20; context *= 8)
                    for (int64_t batch = 1; batch <= 32; batch *= 8)
                        fn(&c, n, ranks, context, batch);
    }
}

/* Ranks that share a machine gain nothing from another grid than the rule's, unless that gives one
 * of them more KV heads than another. */
static void expect_rule(const ModelConfig *c, int64_t n, int ranks, int64_t context, int64_t batch)
{
    HelixGrid rule = rule_of(c, n, ranks);
    GridChoice choice = choose(c, n, ranks, context, batch);
    if (c->n_kv_heads % rule.tpa == 0 && !same(&rule, &choice.grid))
        fail_msg("%d ranks, %d KV heads, %d x %d: %s", ranks, (int)c->n_kv_heads, (int)context,
                 (int)batch, choice.reason);
}

static void the_rule_is_the_planners_where_heads_divide(void **state)
{
    (void)state;
    each_case(expect_rule);
}

static void expect_even(const ModelConfig *c, int64_t n, int ranks, int64_t context, int64_t batch)
{
    GridChoice choice = choose(c, n, ranks, context, batch);
    const ModelConfig *configs[] = {c, c, c};
    Err err = {.text = ""};
    if (helix_grid_check(&choice.grid, configs, n, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(helix_grid_ranks(&choice.grid), ranks);
    if (context * batch >= 1 << 18 && ranks <= c->n_heads && c->n_kv_heads % choice.grid.tpa != 0)
        fail_msg("%d ranks, %d KV heads: %s", ranks, (int)c->n_kv_heads, choice.reason);
}

/* Three KV heads on two ranks: one rank would read twice what the other does. */
static void long_contexts_are_cut_evenly(void **state)
{
    (void)state;
    each_case(expect_even);
    ModelConfig c = config_of(9, 3);
    HelixGrid rule = rule_of(&c, 1, 2), even = {.kvp = 2, .tpa = 1, .tpf = 2, .ep = 1};
    GridChoice near = choose(&c, 1, 2, 512, 1), far = choose(&c, 1, 2, 65536, 1);
    assert_true(same(&near.grid, &rule));
    assert_true(same(&far.grid, &even));
    assert_non_null(strstr(far.reason, "the planner's choice"));
    assert_non_null(strstr(far.reason, "(kvp=1,tpa=2,tpf=2,ep=1:"));
}

static void what_the_planner_refuses_has_the_rules_grid(void **state)
{
    (void)state;
    ModelConfig c = config_of(4, 2);
    HelixGrid rule = rule_of(&c, 1, 8);
    GridChoice choice = choose(&c, 1, 8, 65536, 1);
    assert_true(same(&choice.grid, &rule));
    assert_non_null(
        strstr(choice.reason, "the rule's choice: grid: 8 ranks are more than the 4 heads"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule_is_the_planners_where_heads_divide),
        cmocka_unit_test(long_contexts_are_cut_evenly),
        cmocka_unit_test(what_the_planner_refuses_has_the_rules_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
