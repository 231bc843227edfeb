/* Results of made-up models on a report's page: what is read, what is drawn, what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "grow/report_scores_page.h"
#include "grow/report_scores_read.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

/* Reads the files; their names are given relative to the test's folder. */
static Status read_files(ReportScores *scores, const char *const *names, int n, Err *err)
{
    StringList paths = {0};
    for (int i = 0; i < n; i++)
        string_list_add(&paths, folder_path(names[i]));
    Status status = report_scores_read(scores, &paths, err);
    string_list_clear(&paths);
    return status;
}

static void read_text(ReportScores *scores, const char *text)
{
    Err err;
    folder_put("r.json", text, -1);
    ASSERT_OK(read_files(scores, (const char *const[]){"r.json"}, 1, &err));
}

/* The page of these scores, which it releases; the caller frees. */
static char *page_of(ReportScores *scores)
{
    StrBuf page = {0};
    report_scores_page(scores, &page);
    report_scores_clear(scores);
    return strbuf_detach(&page);
}

static char *page_of_text(const char *text)
{
    ReportScores scores;
    read_text(&scores, text);
    return page_of(&scores);
}

static void assert_has(const char *page, const char *words)
{
    if (!strstr(page, words))
        fail_msg("not on the page: %s\n%s", words, page);
}

static int count_of(const char *page, const char *words)
{
    int count = 0;
    for (const char *at = page; (at = strstr(at, words)) != NULL; at += strlen(words))
        count++;
    return count;
}

/* ---- intervals ------------------------------------------------------------------------------- */

static const char tasks[] =
    "[{\"task\":\"mmlu\",\"model\":\"m.h5\",\"questions\":263,\"accuracy\":0.30798479,\"stderr\":0."
    "03,"
    "\"chance\":0.25,\"layers\":4,\"protocol\":\"log-probability\",\"categories\":["
    "{\"name\":\"stem\",\"questions\":20,\"accuracy\":0,\"stderr\":0},"
    "{\"name\":\"other\",\"questions\":1,\"accuracy\":1}]},"
    "{\"task\":\"squad\",\"model\":\"m.h5\",\"questions\":50,\"accuracy\":0.5,\"stderr\":0.07,"
    "\"exact\":50,\"cut\":7,\"f1\":61,\"f1_stderr\":5},"
    "{\"task\":\"mmlu_author\",\"model\":\"m.h5\",\"questions\":16,\"accuracy\":0.2,\"stderr\":0."
    "05,"
    "\"protocol\":\"author\"}]";

static void intervals_are_of_their_kind(void **state)
{
    (void)state;
    ReportScores scores;
    read_text(&scores, tasks);
    assert_int_equal(scores.count, 6);
    assert_int_equal(scores.models.count, 1);
    const ReportScore *all = &scores.items[0];
    /* Newcombe's example of Wilson's interval: 81 of 263. */
    assert_true(fabs(all->range.low - 0.2553) < 5e-5 && fabs(all->range.high - 0.3662) < 5e-5);
    assert_string_equal(all->measure, "accuracy");
    assert_true(all->chance == 0.25 && all->layers == 4 && all->questions == 263 && !all->part);
    /* 0 of 20 is not certain, and 1 of 1 still less. */
    assert_string_equal(scores.items[1].part, "stem");
    assert_true(scores.items[1].range.low == 0.0);
    assert_true(fabs(scores.items[1].range.high - 0.1611) < 5e-5);
    assert_true(fabs(scores.items[2].range.low - 0.2065) < 5e-5);
    const ReportScore *exact = &scores.items[3], *f1 = &scores.items[4];
    assert_string_equal(exact->measure, "exact match");
    assert_true(fabs(exact->range.low - 0.3664) < 5e-5 && fabs(exact->range.high - 0.6336) < 5e-5);
    assert_string_equal(f1->measure, "F1");
    assert_true(fabs(f1->value - 0.61) < 1e-12 && f1->questions == 50);
    assert_true(fabs(f1->range.high - f1->range.low - 2 * 1.959964 * 0.05) < 1e-6);
    const ReportScore *author = &scores.items[5];
    assert_true(author->author && !all->author);
    assert_true(fabs(author->range.low - (0.2 - 1.959964 * 0.05)) < 1e-6);
    report_scores_clear(&scores);
}

/* Nothing is known of a single F1 in between, nor of a single line. */
static void a_single_score_has_no_interval(void **state)
{
    (void)state;
    char *page = page_of_text("[{\"task\":\"squad\",\"model\":\"m\",\"questions\":1,"
                              "\"accuracy\":0,\"exact\":0,\"f1\":40}]");
    assert_has(page, "exact match, 1 question</figcaption>");
    assert_has(page, "<td>0.0 % <small>0.0–79.3</small></td>");
    assert_has(page, "<td>40.0 %</td>");
    assert_int_equal(count_of(page, "class=\"range\""), 1);
    free(page);
    page =
        page_of_text("[{\"task\":\"flores_en-ru\",\"model\":\"m\",\"questions\":1,\"accuracy\":0.3,"
                     "\"bleu\":{\"score\":12.5,\"interval\":[null,null],\"signature\":\"BLEU\"}}]");
    assert_has(page, "<td>12.5 %</td>");
    assert_int_equal(count_of(page, "class=\"range\""), 0);
    free(page);
}

static void tasks_are_bars(void **state)
{
    (void)state;
    char *page = page_of_text(tasks);
    static const char *const wanted[] = {
        "<b>mmlu</b> accuracy, 263 questions</figcaption>",
        "<b>mmlu by category</b> accuracy, 1 to 20 questions</figcaption>",
        "class=\"part\">stem</th>",
        "<td>30.8 % <small>25.5–36.6</small></td>",
        "style=\"left:25.53%;width:11.09%\"",
        "class=\"chance\" style=\"left:25.00%\"",
        "<b>squad</b> exact match, 50 questions, 7 prompts longer than the context</figcaption>",
        "<b>squad</b> F1, 50 questions, 7 prompts longer than the context</figcaption>",
        "style=\"width:61.00%;",
        "<b>mmlu_author</b> accuracy, 16 questions; sampled by the author's protocol, not",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_has(page, wanted[i]);
    assert_int_equal(count_of(page, "sampled by"), 1);
    assert_int_equal(count_of(page, "<figure>"), 5);
    /* One depth is nothing to compare. */
    assert_null(strstr(page, "<svg"));
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "Bits per byte"));
    free(page);
}

/* ---- solved examples ------------------------------------------------------------------------- */

static void shots_stand_apart(void **state)
{
    (void)state;
    static const char *const shots[] = {
        "\"shots\":5,", "\"shots\":5,", "\"shots\":0,", "\"shots\":1,", "", ""};
    StrBuf text = {0};
    for (int i = 0; i < 6; i++)
        strbuf_printf(&text,
                      "%c{\"task\":\"copa\",\"model\":\"m%d\",\"layers\":%d,%s"
                      "\"questions\":4,\"accuracy\":0.5,"
                      "\"categories\":[{\"name\":\"a\",\"questions\":4,\"accuracy\":0.5}]}",
                      i == 0 ? '[' : ',', i, i + 1, shots[i]);
    strbuf_putc(&text, ']');
    char *page = page_of_text(text.data);
    strbuf_clear(&text);
    static const char *const figures[] = {
        "<b>copa</b> accuracy, 5 shots, 4 questions</figcaption>",
        "<b>copa</b> accuracy, 0 shots, 4 questions</figcaption>",
        "<b>copa</b> accuracy, 1 shot, 4 questions</figcaption>",
        "<b>copa</b> accuracy, 4 questions</figcaption>",
        "<b>copa by category</b> accuracy, 5 shots, 4 questions</figcaption>",
        "<b>copa by category</b> accuracy, 1 shot, 4 questions</figcaption>",
        "<b>copa against depth</b> accuracy, 5 shots <span",
        "<b>copa against depth</b> accuracy <span",
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (count_of(page, figures[i]) != 1)
            fail_msg("not once on the page: %s\n%s", figures[i], page);
    /* Of 0 shots and of 1 there is one depth only. */
    assert_int_equal(count_of(page, "<figure>"), 10);
    assert_int_equal(count_of(page, "<svg"), 2);
    free(page);
}

/* ---- translations ---------------------------------------------------------------------------- */

/* A perfect BLEU; a TER as of a model that does not stop. */
static const char translations[] =
    "[{\"task\":\"flores_en-ru\",\"model\":\"a.h5\",\"questions\":20,\"shots\":0,\"cut\":3,"
    "\"accuracy\":0.41,\"stderr\":0.02,\"layers\":2,"
    "\"bleu\":{\"score\":27.5,\"interval\":[20,31.25],\"signature\":\"BLEU|nrefs:1\"},"
    "\"chrf\":{\"score\":44,\"interval\":[40,48.0],\"signature\":\"chrF2++|nrefs:1|nw:2\"},"
    "\"ter\":{\"score\":180,\"interval\":[150,200],\"signature\":\"TER\"}},"
    "{\"task\":\"flores_en-ru\",\"model\":\"b.h5\",\"questions\":20,\"shots\":0,\"cut\":3,"
    "\"accuracy\":0.41,\"layers\":4,"
    "\"bleu\":{\"score\":100.0,\"interval\":[100.0,100.0],\"signature\":\"BLEU|nrefs:1\"},"
    "\"ter\":{\"score\":0,\"interval\":[0,0],\"signature\":\"TER|nrefs:1\"}}]";

static void translations_keep_intervals(void **state)
{
    (void)state;
    static const struct {
        const char *measure;
        double value, low, high;
        bool less_is_better;
    } wanted[] = {{"BLEU", 0.275, 0.2, 0.3125, false},
                  {"chrF2++", 0.44, 0.4, 0.48, false},
                  {"TER", 1.8, 1.5, 2.0, true},
                  {"BLEU", 1.0, 1.0, 1.0, false},
                  {"TER", 0.0, 0.0, 0.0, true}};
    ReportScores scores;
    read_text(&scores, translations);
    assert_int_equal(scores.count, 5);
    for (int i = 0; i < 5; i++) {
        const ReportScore *score = &scores.items[i];
        assert_string_equal(score->task, "flores_en-ru");
        assert_string_equal(score->measure, wanted[i].measure);
        assert_true(fabs(score->value - wanted[i].value) < 1e-12);
        assert_true(fabs(score->range.low - wanted[i].low) < 1e-12);
        assert_true(fabs(score->range.high - wanted[i].high) < 1e-12);
        assert_int_equal(score->less_is_better, wanted[i].less_is_better);
        assert_true(score->questions == 20 && score->cut == 3 && score->shots == 0);
        assert_true(score->layers == (i < 3 ? 2 : 4) && !score->is_bits && isnan(score->chance));
    }
    assert_true(report_scores_alike(&scores.items[0], &scores.items[3]));
    assert_false(report_scores_alike(&scores.items[0], &scores.items[2]));
    report_scores_clear(&scores);
}

static void translations_are_figures(void **state)
{
    (void)state;
    char *page = page_of_text(translations);
    static const char *const counts =
        "20 questions, 3 prompts longer than the context</figcaption>";
    static const char *const figures[] = {
        "<b>flores_en-ru</b> BLEU, 0 shots, ",
        "<b>flores_en-ru</b> chrF2++, 0 shots, ",
        "<b>flores_en-ru</b> TER, less is better, 0 shots, ",
    };
    for (int i = 0; i < 3; i++) {
        char *caption = xasprintf("%s%s", figures[i], counts);
        assert_has(page, caption);
        free(caption);
    }
    assert_has(page, "<td>27.5 % <small>20.0–31.2</small></td>");
    assert_has(page, "style=\"left:20.00%;width:11.25%\"");
    assert_has(page, "<td>100.0 % <small>100.0–100.0</small></td>");
    /* The end of the highest interval is the whole width. */
    assert_has(page, "<td>180.0 % <small>150.0–200.0</small></td>");
    assert_has(page, "style=\"width:90.00%;background-color:var(--c0)\"");
    assert_has(page, "style=\"left:75.00%;width:25.00%\"");
    assert_has(page, "of translations (BLEU, chrF, TER) the bootstrap");
    assert_null(strstr(page, "accuracy"));
    assert_null(strstr(page, "41.0 %"));
    /* chrF is known at one depth only. */
    assert_int_equal(count_of(page, "<figure>"), 5);
    assert_has(page, "<b>flores_en-ru against depth</b> BLEU, 0 shots <span");
    const char *depth = strstr(page, "<b>flores_en-ru against depth</b> TER, less is better, 0 ");
    assert_non_null(depth);
    assert_has(depth, "a.h5: 180.0 % at 2 layers");
    assert_has(depth, ">150 %</text>");
    /* All of the interval is inside the frame. */
    double top, bottom, point;
    const char *circle = strstr(depth, "<circle");
    assert_int_equal(sscanf(circle, "<circle cx=\"%*f\" cy=\"%lf\"", &point), 1);
    assert_int_equal(sscanf(strstr(circle, "<path"), "<path d=\"M%*f %lfV%lf\"", &bottom, &top), 2);
    assert_true(28.0 <= top && top < point && point < bottom && bottom < 340.0 - 46.0);
    free(page);
}

/* ---- who is who ------------------------------------------------------------------------------ */

static void put_result(const char *file, const char *model, int layers, double accuracy)
{
    char text[256];
    snprintf(
        text, sizeof text,
        "[{\"task\":\"copa\",\"model\":\"%s\",\"questions\":100,\"accuracy\":%g,\"layers\":%d}]",
        model, accuracy, layers);
    folder_put(file, text, -1);
}

static void names_tell_models_apart(void **state)
{
    (void)state;
    Err err;
    ReportScores scores;
    static const char *const files[] = {"ru/x/r.json", "zh/x/r.json", "one.json", "s1.json"};
    static const char *const labels[] = {"ru/x/r.json: model.h5", "zh/x/r.json: model.h5",
                                         "other.h5", "s1.json: model.h5"};
    mkdir(folder_path("ru"), 0777);
    mkdir(folder_path("ru/x"), 0777);
    mkdir(folder_path("zh"), 0777);
    mkdir(folder_path("zh/x"), 0777);
    for (int i = 0; i < 4; i++)
        put_result(files[i], i == 2 ? "other.h5" : "model.h5", 3, 0.5);
    ASSERT_OK(read_files(&scores, files, 4, &err));
    assert_int_equal(scores.models.count, 4);
    for (int i = 0; i < 4; i++) {
        const ReportModel *model = &scores.models.items[scores.items[i].model];
        assert_string_equal(model->label, labels[i]);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(model->label, scores.models.items[k].label);
            assert_true(report_look_colour(i) != report_look_colour(k));
        }
    }
    report_scores_clear(&scores);
}

/* Twenty models have twenty looks. */
static void more_models_than_colours_differ(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 20; i++)
        for (int64_t k = 0; k < i; k++)
            assert_true(report_look_colour(i) != report_look_colour(k) ||
                        strcmp(report_look_class(i), report_look_class(k)) != 0);
}

/* ---- depth ----------------------------------------------------------------------------------- */

static char *page_of_files(const char *const *files, int n)
{
    Err err;
    ReportScores scores;
    ASSERT_OK(read_files(&scores, files, n, &err));
    return page_of(&scores);
}

static void stages_are_one_line(void **state)
{
    (void)state;
    static const char *const files[] = {"b10.json", "b2.json", "b6.json", "whole.json"};
    put_result("b10.json", "model.h5", 10, 0.7);
    put_result("b2.json", "model.h5", 2, 0.5);
    put_result("b6.json", "model.h5", 6, 0.6);
    put_result("whole.json", "whole.h5", 10, 0.65);
    char *page = page_of_files(files, 4);
    assert_has(page, "<b>copa against depth</b> accuracy");
    assert_has(page, "b*.json: model.h5</span>");
    assert_has(page, ">layers, logarithmic</text>"); /* 10 is more than four times 2 */
    assert_has(page, "b10.json: model.h5: 70.0 % at 10 layers");
    assert_int_equal(count_of(page, "<polyline"), 2);
    /* From the left upwards, whatever the order of the files. */
    double x[3], y[3];
    const char *points = strstr(page, "points=\"");
    assert_int_equal(sscanf(points, "points=\"%lf,%lf %lf,%lf %lf,%lf \"/>", &x[0], &y[0], &x[1],
                            &y[1], &x[2], &y[2]),
                     6);
    assert_true(x[0] < x[1] && x[1] < x[2] && y[0] > y[1] && y[1] > y[2]);
    free(page);
}

static void seeds_are_not(void **state)
{
    (void)state;
    static const char *const files[] = {"b1.json", "b2.json", "b3.json"};
    put_result("b1.json", "model.h5", 2, 0.7);
    put_result("b2.json", "model.h5", 2, 0.5);
    put_result("b3.json", "model.h5", 6, 0.6);
    char *page = page_of_files(files, 3);
    assert_int_equal(count_of(page, "<polyline"), 3);
    assert_null(strstr(page, "b*.json"));
    free(page);
}

/* ---- bits per byte --------------------------------------------------------------------------- */

static void bits_have_their_own_scale(void **state)
{
    (void)state;
    char *page = page_of_text(
        "[{\"task\":\"bpb\",\"model\":\"expert 0 (ru)\",\"data\":\"ru.txt\",\"bits_per_byte\":2,"
        "\"layers\":4,\"places\":[{\"from\":1,\"bits_per_byte\":4},{\"from\":4,\"bits_per_byte\":3}"
        ","
        "{\"from\":16,\"bits_per_byte\":1.5}]},"
        "{\"task\":\"bpb\",\"model\":\"expert 0 (ru)\",\"data\":\"zh.txt\",\"bits_per_byte\":8},"
        "{\"task\":\"bpb\",\"model\":\"oracle\",\"data\":\"ru.txt\",\"bits_per_byte\":1,"
        "\"places\":[]},"
        "{\"task\":\"bpb\",\"model\":\"both.h5, mean\",\"data\":\"ru.txt\",\"bits_per_byte\":1.5,"
        "\"layers\":6}]");
    assert_has(page, "<b>ru.txt</b> bits per byte, less is better</figcaption>");
    assert_has(page, "style=\"width:100.00%;background-color:var(--c0)\"");
    assert_has(page, "style=\"width:50.00%;background-color:var(--c1)\"");
    assert_has(page, "style=\"width:75.00%;background-color:var(--c2)\"");
    assert_has(page, "<td>1.5000</td>");
    assert_has(page, "<b>zh.txt</b> bits per byte");
    assert_has(page, "<b>ru.txt by position</b>");
    assert_has(page, "expert 0 (ru): 3.0000 at 4 tokens before");
    assert_has(page, "<b>ru.txt against depth</b> bits per byte");
    assert_null(strstr(page, "zh.txt against"));
    assert_null(strstr(page, "<h2>Scores"));
    /* By its logarithm: 1, 4 and 16 are as far from each other. */
    double x[3];
    const char *points = strstr(strstr(page, "by position</b>"), "points=\"");
    assert_int_equal(sscanf(points, "points=\"%lf,%*f %lf,%*f %lf,", &x[0], &x[1], &x[2]), 3);
    assert_true(fabs((x[1] - x[0]) - (x[2] - x[1])) < 0.2);
    free(page);
}

/* ---- words and damage ------------------------------------------------------------------------ */

static void texts_are_escaped(void **state)
{
    (void)state;
    char *page = page_of_text(
        "[{\"task\":\"<i>\",\"model\":\"<b>&\",\"questions\":4,\"accuracy\":1,\"layers\":1,"
        "\"categories\":[{\"name\":\"<script>\",\"questions\":4,\"accuracy\":1}]},"
        "{\"task\":\"<i>\",\"model\":\"<b>2\",\"questions\":4,\"accuracy\":1,\"layers\":2},"
        "{\"task\":\"bpb\",\"model\":\"<u>\",\"data\":\"<u>\",\"bits_per_byte\":1,"
        "\"places\":[{\"from\":1,\"bits_per_byte\":1},{\"from\":2,\"bits_per_byte\":1}]},"
        "{\"task\":\"flores_en-ru\",\"model\":\"a\",\"questions\":1,\"layers\":1,"
        "\"ter\":{\"score\":1,\"interval\":[1,1],\"signature\":\"<u>|\"}},"
        "{\"task\":\"flores_en-ru\",\"model\":\"b\",\"questions\":1,\"layers\":2,"
        "\"ter\":{\"score\":1,\"interval\":[1,1],\"signature\":\"<u>|\"}}]");
    assert_has(page, "<b>flores_en-ru</b> &lt;u&gt;, less is better");
    assert_has(page, "&lt;script&gt;");
    assert_has(page, "&lt;b&gt;&amp;");
    assert_null(strstr(page, "<i>"));
    assert_null(strstr(page, "<u>"));
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<b><b>"));
    free(page);
}

static void expect_refusal(const char *text, const char *words)
{
    Err err = {.text = ""};
    ReportScores scores;
    folder_put("r.json", text, -1);
    assert_int_equal(read_files(&scores, (const char *const[]){"r.json"}, 1, &err), STATUS_FAIL);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    report_scores_clear(&scores);
}

#define ROW(members) "[{\"task\":\"t\",\"model\":\"m\"," members "}]"
#define BITS(members) "[{\"task\":\"bpb\",\"model\":\"m\",\"data\":\"d\"," members "}]"
#define GOOD "\"questions\":2,\"accuracy\":0.5"

static void bad_translations_are_named(void **state)
{
    (void)state;
#define METRIC(key, members) ROW("\"questions\":2,\"" key "\":{" members "}")
#define WITH_INTERVAL(list) METRIC("bleu", "\"score\":2,\"signature\":\"BLEU\",\"interval\":" list)
    static const char bounds[] = "[0]: bleu: 'interval' is [low, high], both between 0 and 100";
    expect_refusal(ROW("\"bleu\":{}"), "r.json: [0] has no 'questions'");
    expect_refusal(ROW("\"questions\":2,\"chrf\":41.5"), "r.json: [0]: chrf has no 'score'");
    expect_refusal(ROW("\"questions\":2,\"ter\":null"), "r.json: [0]: ter has no 'score'");
    expect_refusal(METRIC("bleu", "\"score\":\"high\""), "bleu: 'score' must be a number");
    expect_refusal(METRIC("bleu", "\"score\":101"), "'score' is between 0 and 100, not 101");
    expect_refusal(METRIC("chrf", "\"score\":-1"), "'score' is between 0 and 100, not -1");
    expect_refusal(METRIC("ter", "\"score\":1e9"), "'score' is between 0 and 100000, not 1e+09");
    expect_refusal(METRIC("ter", "\"score\":120"), "[0]: ter has no 'interval'");
    expect_refusal(WITH_INTERVAL("{}"), "bleu: 'interval' must be a list");
    expect_refusal(WITH_INTERVAL("[1]"), bounds);
    expect_refusal(WITH_INTERVAL("[1,2,3]"), bounds);
    expect_refusal(WITH_INTERVAL("[1,\"2\"]"), bounds);
    expect_refusal(WITH_INTERVAL("[null,2]"), bounds);
    expect_refusal(WITH_INTERVAL("[3,2]"), bounds);
    expect_refusal(WITH_INTERVAL("[-1,2]"), bounds);
    expect_refusal(WITH_INTERVAL("[1,100.5]"), bounds);
    expect_refusal(METRIC("ter", "\"score\":1,\"interval\":[1,2]"), "ter has no 'signature'");
    expect_refusal(METRIC("ter", "\"score\":1,\"interval\":[1,2],\"signature\":\"|TER\""),
                   "[0]: ter: 'signature' begins with the metric's name");
    /* The first metric is right, the second one is not. */
    expect_refusal(
        METRIC("bleu", "\"score\":1,\"interval\":[0,2],\"signature\":\"BLEU\"},\"ter\":{"),
        "r.json: [0]: ter has no 'score'");
}

static void bad_rows_are_named(void **state)
{
    (void)state;
    expect_refusal("", "r.json:1: not JSON");
    expect_refusal("[\n{]", "r.json:2: not JSON");
    expect_refusal("{}", "r.json is not a result of 'cambium eval -o'");
    expect_refusal("[]", "r.json holds no results");
    expect_refusal("[3]", "r.json: [0]");
    expect_refusal("[{\"task\":\"t\"}]", "r.json: [0] has no 'model'");
    expect_refusal(ROW("\"questions\":2"), "[0] has no 'accuracy'");
    expect_refusal(ROW("\"accuracy\":1"), "[0] has no 'questions'");
    expect_refusal(ROW("\"questions\":0,\"accuracy\":1"), "[0]: a score of 0 questions");
    expect_refusal(ROW("\"questions\":4000000000000000000,\"accuracy\":1"), "000 questions");
    expect_refusal(ROW("\"questions\":2,\"accuracy\":1.5"),
                   "'accuracy' is between 0 and 1, not 1.5");
    expect_refusal(ROW(GOOD ",\"stderr\":-1"), "'stderr' is between 0 and 1, not -1");
    expect_refusal(ROW(GOOD ",\"stderr\":\"low\""), "r.json: [0]");
    expect_refusal(ROW(GOOD ",\"chance\":2"), "'chance'");
    expect_refusal(ROW(GOOD ",\"layers\":-1"), "'layers' is between 0 and 1000000, not -1");
    expect_refusal(ROW(GOOD ",\"shots\":-1"), "[0]: 'shots' is between 0 and 1000000, not -1");
    expect_refusal(ROW(GOOD ",\"shots\":2.5"), "[0]: 'shots' must be an integer");
    expect_refusal(ROW(GOOD ",\"cut\":3"), "'cut' is between 0 and 2, not 3");
    expect_refusal(ROW(GOOD ",\"f1\":101"), "'f1' is between 0 and 100");
    expect_refusal(ROW(GOOD ",\"categories\":3"), "r.json: [0]");
    expect_refusal(ROW(GOOD ",\"categories\":[{\"name\":\"a\"}]"),
                   "r.json: [0]: categories[0] has no");
    expect_refusal("[{\"task\":\"bpb\",\"model\":\"m\",\"bits_per_byte\":1}]", "has no 'data'");
    expect_refusal(BITS("\"bits_per_byte\":-1"), "'bits_per_byte' is between 0 and 1000");
    expect_refusal(BITS("\"bits_per_byte\":1,\"places\":[{\"from\":1}]"), "places[0] has no");
    expect_refusal(BITS("\"bits_per_byte\":1,\"places\":[{\"from\":0,\"bits_per_byte\":1}]"),
                   "places[0]: 'from' grows");
    folder_put("r.json", ROW(GOOD), -1);
    Err err = {.text = ""};
    ReportScores scores;
    static const char *const twice[] = {"r.json", "r.json"};
    assert_int_equal(read_files(&scores, twice, 2, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "r.json is named twice"));
    report_scores_clear(&scores);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_set_up, folder_tear_down)
    const struct CMUnitTest list[] = {
        IN_FOLDER(intervals_are_of_their_kind), IN_FOLDER(tasks_are_bars),
        IN_FOLDER(names_tell_models_apart),     cmocka_unit_test(more_models_than_colours_differ),
        IN_FOLDER(stages_are_one_line),         IN_FOLDER(seeds_are_not),
        IN_FOLDER(bits_have_their_own_scale),   IN_FOLDER(texts_are_escaped),
        IN_FOLDER(bad_rows_are_named),          IN_FOLDER(a_single_score_has_no_interval),
        IN_FOLDER(shots_stand_apart),           IN_FOLDER(bad_translations_are_named),
        IN_FOLDER(translations_keep_intervals), IN_FOLDER(translations_are_figures),
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}
