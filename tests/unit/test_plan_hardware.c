/* Numbers with units, descriptions of hardware, and the measured one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "infer/plan/plan_hardware.h"
#include "infer/plan/quantity.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

static void quantities(void **state)
{
    (void)state;
    static const struct {
        const char *text, *unit;
        double value;
    } good[] = {
        {"20ms", "s", 0.02},
        {"5 us", "s", 5e-6},
        {"1.5s", "s", 1.5},
        {"250ns", "s", 2.5e-7},
        {"3µs", "s", 3e-6},
        {"900GB/s", "B/s", 9e11},
        {"3.35TB/s", "B/s", 3.35e12},
        {"80GB", "B", 8e10},
        {"64GiB", "B", 0x1p36},
        {"989TFLOP/s", "FLOP/s", 989e12},
        {"10PFLOP/s", "FLOP/s", 1e16},
        {"0s", "s", 0.0},
    };
    double value;
    Err err = {.text = ""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ASSERT_OK(quantity_parse(good[i].text, good[i].unit, "it", &value, &err));
        if (fabs(value - good[i].value) > 1e-12 * good[i].value)
            fail_msg("%s is %g", good[i].text, value);
    }
    static const char *const bad[] = {"",     "20",     "ms",    "20 m", "20 mss",  "-1ms",  "nans",
                                      "infs", "1e999s", "20msx", "0x",   "20  ms ", "20 B/s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quantity_parse(bad[i], "s", "--ttl", &value, &err) == STATUS_OK)
            fail_msg("'%s' was read as %g", bad[i], value);
    assert_non_null(strstr(err.text, "--ttl is '20 B/s'; write a number and its unit"));
}

static void writes_quantities(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{4.8e12, "4.8 TB"}, {0.02, "20 mB"}, {0.0, "0 B"},      {1.0, "1 B"},
                 {999.7, "1 KB"},    {5e-6, "5 uB"},  {186e9, "186 GB"}, {3e17, "300 PB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        StrBuf out = {0};
        quantity_put(&out, cases[i].value, "B");
        assert_string_equal(out.data, cases[i].text);
        strbuf_clear(&out);
    }
}

static const char *const whole =
    "{\"name\": \"box\", \"ranks\": 8, \"memory\": \"80GB\", \"bandwidth\": \"3.35TB/s\","
    " \"flops\": {\"bfloat16\": \"989TFLOP/s\"}, \"layer_overhead\": \"15us\", \"links\":"
    " [{\"ranks\": 8, \"all_to_all\": {\"latency\": \"10us\", \"bandwidth\": \"450GB/s\"},"
    " \"all_reduce\": {\"latency\": 2e-5, \"bandwidth\": 400000000000}}]}";

static void reads_a_description(void **state)
{
    (void)state;
    PlanHardware h;
    Err err = {.text = ""};
    ASSERT_OK(plan_hardware_read(folder_put("box.json", whole, -1), &h, &err));
    assert_string_equal(h.name, "box");
    assert_true(h.memory == 80e9 && h.usable == 0.9 && h.efficiency == 1.0 && !h.shared);
    assert_true(fabs(h.bandwidth - 3.35e12) < 1.0 && h.ranks == 8 && h.n_links == 1);
    assert_true(h.flops[PLAN_BF16] == 989e12 && h.flops[PLAN_F32] == 989e12 / 2);
    assert_true(h.weights == PLAN_BF16 && h.links[0].all_reduce.latency == 2e-5);
    /* Narrower types than the machine has run at the next wider one's rate. */
    assert_true(plan_rank_flops(&h, PLAN_FP4, 8) == 989e12);
    assert_true(plan_rank_flops(&h, PLAN_F32, 8) == 989e12 / 2);
}

/* What --json prints can be given back. */
static void keeps_what_it_wrote(void **state)
{
    (void)state;
    static const char *const names[] = {"gb200-nvl72", "h100", "h200"};
    for (int i = 0; i < 3; i++) {
        PlanHardware a, b;
        Err err = {.text = ""};
        assert_true(plan_hardware_preset(names[i], &a));
        a.shared = i == 1;
        json_t *json = plan_hardware_json(&a);
        ASSERT_OK(plan_hardware_parse(json, "it", &b, &err));
        json_t *again = plan_hardware_json(&b);
        assert_true(json_equal(json, again));
        json_decref(json);
        json_decref(again);
    }
    PlanHardware none;
    assert_false(plan_hardware_preset("h300", &none));
}

/* `whole` with one piece of text replaced. */
static char *with(const char *from, const char *to, char *buffer, size_t size)
{
    const char *at = strstr(whole, from);
    assert_non_null(at);
    snprintf(buffer, size, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    return buffer;
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"\"box\"", "\"a\\nb\"", "'name' holds a control character"},
        {"\"box\"", "\"ящик ящик ящик ящик ящик ящик ящик ящик\"",
         "'name' is longer than 63 bytes"},
        {"\"80GB\"", "\"80 apples\"", "'memory' is '80 apples'"},
        {"\"80GB\"", "0", "'memory' is 0; it must be from 1"},
        {"\"80GB\"", "true", "'memory' must be a number"},
        {"\"memory\"", "\"memry\"", "'memry' is not known"},
        {"\"memory\": \"80GB\",", "", "has no 'memory'"},
        {"\"bfloat16\"", "\"bf17\"", "'bf17' is not an element type"},
        {"\"bfloat16\": \"989TFLOP/s\"", "", "must have a rate for bfloat16 or float32"},
        {"\"989TFLOP/s\"", "-1", "'bfloat16' is -1"},
        {"[{\"ranks\": 8", "[{\"ranks\": 1", "'links: ranks' is 1"},
        {"[{", "[3, {", "something that is not an object"},
        {"\"links\": [", "\"links\": [[], ", "something that is not an object"},
        {"\"latency\": 2e-5", "\"latency\": -2e-5", "'latency' is -2e-05"},
        {"\"latency\": 2e-5", "\"delay\": 2e-5", "'delay' is not known"},
        {"\"ranks\": 8, \"memory\"", "\"ranks\": 1e9, \"memory\"", "'ranks' must be an integer"},
        {"\"ranks\": 8, \"memory\"", "\"ranks\": 0, \"memory\"", "'ranks' is 0"},
        {"\"name\"", "\"usable\": 2, \"name\"", "'usable' is 2"},
        {"\"name\"", "\"shared\": 2, \"name\"", "'shared' must be true or false"},
        {"\"name\"", "\"weights\": \"fp3\", \"name\"", "'weights': 'fp3' is not an element type"},
        {"\"name\": ", "\"name\": 5, \"x\": ", "'x' is not known"},
        {"}]}", "}]", "is not JSON: line 1"},
        {"{\"name\"", "{\"name\": \"a\", \"name\"", "is not JSON"},
    };
    char text[2048];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PlanHardware h;
        Err err = {.text = ""};
        const char *path =
            folder_put("bad.json", with(cases[i][0], cases[i][1], text, sizeof text), -1);
        assert_int_equal(plan_hardware_read(path, &h, &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i][2]) || !strstr(err.text, "bad.json"))
            fail_msg("'%s' is not in '%s'", cases[i][2], err.text);
    }
    PlanHardware h;
    Err err = {.text = ""};
    assert_int_equal(plan_hardware_read(folder_put("bad.json", "[]", -1), &h, &err), STATUS_FAIL);
    assert_int_equal(plan_hardware_read(folder_put("bad.json", "", -1), &h, &err), STATUS_FAIL);
    assert_int_equal(plan_hardware_read(folder_path("none.json"), &h, &err), STATUS_FAIL);
}

/* The figures depend on the machine; that they are there and are positive does not. */
static void measures_this_machine(void **state)
{
    (void)state;
    PlanHardware h, again;
    Err err = {.text = ""};
    ASSERT_OK(plan_hardware_measure("cpu", 3, 0.05, &h, &err));
    assert_true(h.shared && h.ranks == 3 && h.n_links == 2);
    assert_true(h.links[0].ranks == 2 && h.links[1].ranks == 3);
    assert_true(h.bandwidth > 1e8 && h.flops[PLAN_F32] > 1e8 && h.memory > 1e6);
    assert_true(h.layer_overhead > 0.0);
    for (int i = 0; i < 2; i++) {
        const PlanWire *const wires[] = {&h.links[i].all_to_all, &h.links[i].all_reduce};
        for (int k = 0; k < 2; k++)
            assert_true(wires[k]->latency > 0.0 && wires[k]->bandwidth > 0.0);
    }
    /* A share of the machine for each of its ranks. */
    assert_true(fabs(3.0 * plan_rank_bandwidth(&h, 3) - h.bandwidth) < 1e-6 * h.bandwidth);
    json_t *json = plan_hardware_json(&h);
    ASSERT_OK(plan_hardware_parse(json, "it", &again, &err));
    json_decref(json);
    ASSERT_OK(plan_hardware_measure("cpu", 1, 0.05, &h, &err));
    assert_int_equal(h.n_links, 1);
}

static int begin(void **state)
{
    (void)state;
    backend_cpu_register();
    folder_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities),          cmocka_unit_test(writes_quantities),
        cmocka_unit_test(reads_a_description), cmocka_unit_test(keeps_what_it_wrote),
        cmocka_unit_test(refuses_by_name),     cmocka_unit_test(measures_this_machine),
    };
    return cmocka_run_group_tests(tests, begin, folder_tear_down);
}
