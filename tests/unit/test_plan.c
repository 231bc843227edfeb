/* Growth plans: what is read, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "grow/plan.h"

static const GrowDefaults defaults = {.trains = {.newest = true, .head = true},
                                      .tokens = 1000,
                                      .lr = 1e-3,
                                      .schedule = "cosine",
                                      .warmup = 0.1,
                                      .lora_rank = 8,
                                      .lora_alpha = 16.0};

static Status read_text(GrowPlan *plan, const char *text, Err *err)
{
    char path[] = "/tmp/cambium-plan-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    Status status = grow_plan_read(plan, path, &defaults, err);
    unlink(path);
    return status;
}

static void reads_stages(void **state)
{
    (void)state;
    GrowPlan plan;
    Err err = {.text = ""};
    const char *text = "stages:\n"
                       "  - blocks: 3\n"
                       "    tokens: 2M\n"
                       "  - {blocks: 2, start: identity, train: [newest, lora], lr: 5e-4,\n"
                       "     lora: {rank: 4, alpha: 8, fold: false}, data: [a.pack:0.7, b.pack]}\n";
    assert_int_equal(read_text(&plan, text, &err), STATUS_OK);
    assert_int_equal(plan.n_stages, 2);
    assert_int_equal(plan.stages[0].tokens, 2000000);
    assert_true(plan.stages[0].trains.newest && plan.stages[0].trains.head);
    assert_int_equal(plan.stages[1].start, BLOCK_START_IDENTITY);
    assert_true(plan.stages[1].trains.lora && !plan.stages[1].trains.head);
    assert_int_equal(plan.stages[1].lora_rank, 4);
    assert_false(plan.stages[1].lora_fold);
    assert_int_equal(plan.stages[1].data.count, 2);
    json_t *json = grow_plan_json(&plan);
    assert_non_null(json);
    json_decref(json);
    grow_plan_clear(&plan);
}

static void reads_numbers_of_blocks(void **state)
{
    (void)state;
    GrowPlan plan;
    Err err = {.text = ""};
    assert_int_equal(grow_plan_from_text(&plan, "3+3+2", &defaults, &err), STATUS_OK);
    assert_int_equal(plan.n_stages, 3);
    assert_int_equal(plan.stages[2].blocks, 2);
    grow_plan_clear(&plan);
    assert_int_equal(grow_plan_from_text(&plan, "3+x", &defaults, &err), STATUS_FAIL);
    assert_int_equal(grow_plan_from_text(&plan, "", &defaults, &err), STATUS_FAIL);
}

static void refuses_with_line_and_reason(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "the plan is empty"},
        {"stages: 3\n", "stages wants a list"},
        {"stages:\n  - block: 3\n", "line 2: a stage has no key 'block'; did you mean 'blocks'"},
        {"stages:\n  - blocks: 3\n    tokens: many\n", "line 3: tokens wants a whole number"},
        {"stages:\n  - blocks: 3\n    train: [tail]\n", "line 3: 'tail' cannot train"},
        {"stages:\n  - blocks: 3\n    lora: {rnk: 3}\n", "line 3: lora has no key 'rnk'"},
        {"stages:\n  - blocks: 3\n    schedule: steep\n", "line 2: schedule: 'steep' is none of"},
        {"stages:\n  - blocks: 3\n  - blocks: 0\n", "newest needs a stage that adds blocks"},
        {"stages: [\n", "line 2"},
        {"stages:\n  - blocks: 3\nstages:\n  - blocks: 2\n",
         "line 3: 'stages' stands in line 1 already"},
        {"stages:\n  - blocks: 3\n    lr: 1\n    blocks: 2\n",
         "line 4: 'blocks' stands in line 2 already"},
        {"stages:\n  - lora: {rank: 3, rank: 4}\n", "line 2: 'rank' stands in line 2 already"},
        {"stages:\n  - blocks: 3\n---\nstages:\n", "line 4: a second document begins"},
        {"&a [*a]\n", "wants lines of the form"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GrowPlan plan;
        Err err = {.text = ""};
        assert_int_equal(read_text(&plan, cases[i][0], &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("'%s' is not in '%s'", cases[i][1], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_stages),
        cmocka_unit_test(reads_numbers_of_blocks),
        cmocka_unit_test(refuses_with_line_and_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
