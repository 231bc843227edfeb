/* Reports of made-up runs: the numbers are on the page, texts are escaped, bad input is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "grow/report_compare.h"
#include "grow/report_page.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

static const char grown[] =
    "{\"event\":\"stage\",\"step\":0,\"tokens\":0,\"flops\":0.0,\"seconds\":0,\"stage\":1,"
    "\"blocks\":3,\"layers\":3,\"train\":\"newest,<head>\",\"params_total\":8073728,"
    "\"params_active\":4928000,\"params_frozen\":3145728}\n"
    "{\"event\":\"train\",\"step\":1,\"tokens\":1000,\"flops\":1e9,\"stage\":1,\"loss\":7.5,"
    "\"tokens_per_second\":100}\n"
    "{\"event\":\"eval\",\"step\":1,\"tokens\":1000,\"flops\":1e9,\"stage\":1,\"loss\":7,"
    "\"bpb\":2.5}\n"
    "{\"event\":\"stage\",\"step\":0,\"tokens\":1000,\"flops\":1e9,\"stage\":2,\"blocks\":2,"
    "\"layers\":5,\"train\":\"head\"}\n"
    "{\"event\":\"train\",\"step\":1,\"tokens\":3000,\"flops\":5e9,\"stage\":2,\"loss\":6.1234,"
    "\"tokens_per_second\":300}\n"
    "{\"event\":\"eval\",\"step\":1,\"tokens\":3000,\"flops\":5e9,\"stage\":2,\"bpb\":1.5}\n"
    "{\"event\":\"sample\",\"step\":1,\"tokens\":3000,\"flops\":5e9,\"stage\":2,"
    "\"prompt\":\"<b>&\",\"text\":\"a \\\"quoted\\\" <script>\\u0001 слово\"}\n";

static const char whole[] =
    "{\"event\":\"eval\",\"step\":0,\"tokens\":0,\"flops\":0,\"bpb\":4}\n"
    "{\"event\":\"eval\",\"step\":1,\"tokens\":2000,\"flops\":8e9,\"bpb\":2}\n";

static void put_run(const char *name, const char *lines)
{
    char *folder = strdup(folder_path(name));
    assert_int_equal(mkdir(folder, 0777), 0);
    char file[64];
    snprintf(file, sizeof file, "%s/metrics.jsonl", name);
    folder_put(file, lines, -1);
    free(folder);
}

static Status read_runs(Report *report, const char *const *names, int count, Err *err)
{
    StringList folders = {0};
    for (int i = 0; i < count; i++)
        string_list_add(&folders, folder_path(names[i]));
    Status status = report_read(report, &folders, err);
    string_list_clear(&folders);
    return status;
}

static void the_numbers_are_on_the_page(void **state)
{
    (void)state;
    Err err = {.text = ""};
    folder_begin();
    put_run("grown", grown);
    put_run("whole", whole);
    Report report;
    ASSERT_OK(read_runs(&report, (const char *const[]){"grown", "whole"}, 2, &err));
    assert_float_equal(report_common(&report, "", REPORT_EQUAL_TOKENS), 2000.0, 0.0);
    assert_float_equal(report_common(&report, "", REPORT_EQUAL_FLOPS), 5e9, 0.0);
    StrBuf page = {0};
    report_page(&report, &(ReportScores){0}, &page);
    static const char *const wanted[] = {
        /* The second stage, its costs alone and its mean speed. */
        "<td>2</td><td class=\"left\">head</td><td>2</td><td>5</td>",
        "<td>2 K</td><td>4 G</td><td>6.1234</td><td>1.5000</td><td>300</td>",
        "<td>8.074 M</td><td>4.928 M</td><td>3.146 M</td>",
        /* At 2000 tokens and at 5 GFLOPs: measured, and halfway or 5/8 between measurements. */
        "<th>at 2 K tokens</th><th>at 5 G FLOPs</th><th>at most 4.928 M active</th>",
        "grown</td><td>2.0000</td><td>1.5000</td><td>2.5000</td>",
        "whole</td><td>2.0000</td><td>2.7500</td><td>–</td>",
        "stage 2 begins",
        ">stage 2</text>",
        "Training loss (nats per token) over FLOPs",
        "prefers-color-scheme:dark",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(page.data, wanted[i]))
            fail_msg("not on the page: %s\n%s", wanted[i], page.data);
    assert_null(strstr(page.data, "nan"));
    strbuf_clear(&page);
    report_clear(&report);
    folder_end();
}

/* Two packs (in whatever folder) make two curves, each compared with the runs that were validated
 * on it alone, and a run that trains more at one time than another is compared before it does. */
static void texts_are_compared_apart(void **state)
{
    (void)state;
    Err err = {.text = ""};
    folder_begin();
    put_run("both",
            "{\"event\":\"stage\",\"tokens\":0,\"flops\":0,\"stage\":1,\"params_active\":9}\n"
            "{\"event\":\"eval\",\"tokens\":1000,\"flops\":1e9,\"stage\":1,\"bpb\":2,"
            "\"sources\":[{\"data\":\"a.pack\",\"bpb\":1},{\"data\":\"b&.pack\",\"bpb\":3}]}\n"
            "{\"event\":\"stage\",\"tokens\":1000,\"flops\":1e9,\"stage\":2,"
            "\"params_active\":11}\n"
            "{\"event\":\"eval\",\"tokens\":2000,\"flops\":4e9,\"stage\":2,\"bpb\":1.5,"
            "\"sources\":[{\"data\":\"a.pack\",\"bpb\":0.5}]}\n");
    put_run("one",
            "{\"event\":\"stage\",\"tokens\":0,\"flops\":0,\"stage\":1,\"params_active\":10}\n"
            "{\"event\":\"eval\",\"tokens\":1000,\"flops\":2e9,\"stage\":1,\"bpb\":9,"
            "\"sources\":[{\"data\":\"../x/a.pack\",\"bpb\":4}]}\n");
    Report report;
    ASSERT_OK(read_runs(&report, (const char *const[]){"both", "one"}, 2, &err));
    assert_int_equal(report.texts.count, 2);
    StrBuf page = {0};
    report_page(&report, &(ReportScores){0}, &page);
    const char *a = strstr(page.data, "<caption>Validation on a.pack (bits per byte)");
    const char *b = strstr(page.data, "<caption>Validation on b&amp;.pack (bits per byte)");
    assert_true(a && b && a < b);
    assert_non_null(strstr(a, "<th>at 1 K tokens</th><th>at 2 G FLOPs</th><th>at most 10 active"));
    const char *both = strstr(a, "/both</td><td>1.0000</td><td>0.8333</td><td>1.0000</td>");
    const char *one = strstr(a, "/one</td><td>4.0000</td><td>4.0000</td><td>4.0000</td>");
    assert_true(both && one && both < b && one < b);
    assert_non_null(strstr(b, "/both</td><td>3.0000</td><td>3.0000</td><td>3.0000</td>"));
    assert_null(strstr(strstr(b, "/both</td>"), "/one</td><td>4"));
    /* The mixture of both texts is in the table of stages. */
    assert_non_null(strstr(page.data, "<td>1.5000</td>"));
    strbuf_clear(&page);
    report_clear(&report);
    folder_end();
}

/* Over tokens the two runs' bits per byte go 4 to 2 and 2 to 4: the mean is flat, the band is not.
 */
static void seeds_become_a_band(void **state)
{
    (void)state;
    Err err = {.text = ""};
    folder_begin();
    put_run("x-seed1", "{\"event\":\"eval\",\"tokens\":0,\"flops\":0,\"bpb\":4}\n"
                       "{\"event\":\"eval\",\"tokens\":2000,\"flops\":8e9,\"bpb\":2}\n");
    put_run("x-seed2", "{\"event\":\"eval\",\"tokens\":0,\"flops\":0,\"bpb\":2}\n"
                       "{\"event\":\"eval\",\"tokens\":2000,\"flops\":8e9,\"bpb\":4}\n");
    put_run("x-seed", whole);
    Report report;
    ASSERT_OK(read_runs(&report, (const char *const[]){"x-seed1", "x-seed2", "x-seed"}, 3, &err));
    StrBuf page = {0};
    report_page(&report, &(ReportScores){0}, &page);
    const char *band = strstr(page.data, "/x: mean and range of the seeds</title>");
    assert_non_null(band);
    double x0, y0, x1, y1, x2, y2, x3, y3, m0, m1;
    assert_int_equal(sscanf(strstr(band, "points=\"") + 8, "%lf,%lf %lf,%lf %lf,%lf %lf,%lf", &x0,
                            &y0, &x1, &y1, &x2, &y2, &x3, &y3),
                     8);
    assert_int_equal(sscanf(strstr(band, "curve\" points=\"") + 15, "%*f,%lf %*f,%lf", &m0, &m1),
                     2);
    assert_true(x0 < x1 && x0 == x3 && x1 == x2);
    assert_true(y0 == y1 && y2 == y3 && y0 < m0 && m0 == m1 && m0 < y2);
    /* At 2000 tokens, where the third run ends too. */
    assert_non_null(strstr(page.data, "/x (2 seeds)</td><td>3.0000 (2.0000 to 4.0000)</td>"));
    /* The name without a number is a curve of its own. */
    assert_non_null(strstr(page.data, "/x-seed</title><polyline"));
    assert_null(strstr(page.data, "/x-seed2</title><polyline"));
    strbuf_clear(&page);
    report_clear(&report);
    folder_end();
}

static void texts_are_escaped(void **state)
{
    (void)state;
    Err err = {.text = ""};
    folder_begin();
    static const char name[] = "<b>&\"x'<i>\xFF\x01";
    put_run(name, grown);
    Report report;
    ASSERT_OK(read_runs(&report, (const char *const[]){name}, 1, &err));
    StrBuf page = {0};
    report_page(&report, &(ReportScores){0}, &page);
    assert_non_null(strstr(page.data, "/&lt;b&gt;&amp;&quot;x&#39;&lt;i&gt;\xEF\xBF\xBD "));
    assert_non_null(strstr(page.data, "newest,&lt;head&gt;"));
    assert_non_null(strstr(page.data, "<b>&lt;b&gt;&amp;</b>a &quot;quoted&quot; &lt;script&gt;  "
                                      "слово</blockquote>"));
    assert_null(strstr(page.data, "<script"));
    assert_null(strstr(page.data, "<i>"));
    assert_null(strstr(page.data, "http"));
    strbuf_clear(&page);
    report_clear(&report);
    folder_end();
}

/* A crash leaves half a line: what stands before it is read. */
static void a_torn_last_line_is_left_out(void **state)
{
    (void)state;
    folder_begin();
    for (size_t cut = sizeof whole - 2; cut > sizeof whole / 2 + 1; cut -= 7) {
        char name[32], text[sizeof whole];
        snprintf(name, sizeof name, "torn%zu", cut);
        snprintf(text, sizeof text, "%.*s", (int)cut, whole);
        put_run(name, text);
        Err err = {.text = ""};
        Report report;
        const char *names[] = {name};
        assert_int_equal(read_runs(&report, names, 1, &err), STATUS_OK);
        int64_t expected = cut == sizeof whole - 2 ? 2 : 1; /* only the line's end is missing */
        assert_int_equal(report.runs[0].texts[0].count, expected);
        report_clear(&report);
    }
    folder_end();
}

static void expect_refusal(const char *name, const char *lines, const char *words)
{
    Err err = {.text = ""};
    Report report;
    if (lines)
        put_run(name, lines);
    assert_int_equal(read_runs(&report, &name, 1, &err), STATUS_FAIL);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    report_clear(&report);
}

static void bad_input_is_named(void **state)
{
    (void)state;
    folder_begin();
    expect_refusal("absent", NULL, "no such run folder");
    assert_int_equal(mkdir(folder_path("bare"), 0777), 0);
    expect_refusal("bare", NULL, "has no metrics.jsonl");
    expect_refusal("empty", "", "nothing to report");
    expect_refusal("cut", "{\"event\":\"x\",\"tokens\":1,\"flops\":1}\n{\"event\":\"tr\n",
                   "cut/metrics.jsonl:2: ");
    expect_refusal("list", "[1]\n", "metrics.jsonl:1: a line without \"event\"");
    expect_refusal("source", "{\"event\":\"eval\",\"tokens\":1,\"flops\":1,\"sources\":[{}]}\n",
                   "jsonl:1: a source without \"data\"");
    expect_refusal("place", "{\"event\":\"train\",\"loss\":1,\"flops\":1}\n",
                   "jsonl:1: \"tokens\" is missing");
    expect_refusal("kind", "{\"event\":\"train\",\"tokens\":1,\"flops\":1,\"loss\":\"low\"}\n",
                   "jsonl:1: \"loss\"");
    expect_refusal("huge", "{\"event\":\"train\",\"tokens\":1,\"flops\":1,\"loss\":1e300}\n",
                   "jsonl:1: \"loss\"");
    folder_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_are_on_the_page),  cmocka_unit_test(texts_are_compared_apart),
        cmocka_unit_test(seeds_become_a_band),          cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(a_torn_last_line_is_left_out), cmocka_unit_test(bad_input_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
