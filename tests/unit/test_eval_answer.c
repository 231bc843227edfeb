/* Answers to tasks: a model that knows them is right everywhere and its opposite nowhere, order
 * changes nothing but positions, and what was stopped ends as what was not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "infer/eval/result.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

enum { V = 97, CHARACTERS = 90, MOST = 100 };

static Tokenizer *characters(void)
{
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    for (char c = ' '; c < ' ' + CHARACTERS; c++)
        spec_text(&spec, (char[]){c, '\0'});
    spec.bare_start = true;
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    return tokenizer;
}

/* A model whose logits are the same after everything: `scale` for the liked character, -`scale` for
 * the disliked one, 0 for all others. */
static Ensemble *opinion(char liked, char disliked, float scale)
{
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 5, 3);
    float *zeros = xcalloc((size_t)(V * config.d_model), sizeof *zeros);
    float bias[V] = {0};
    bias[liked - ' '] = scale;
    bias[disliked - ' '] = -scale;
    ASSERT_OK(model_write_rows(model, &model->head[HEAD_HEAD], 0, V, zeros, DTYPE_F32, &err));
    ASSERT_OK(model_write_rows(model, &model->head[HEAD_HEAD_BIAS], 0, V, bias, DTYPE_F32, &err));
    free(zeros);
    return tiny_ensemble(&model, 1, MERGE_MEAN);
}

/* Knows nothing, and is right now and then. */
static Ensemble *stranger(void)
{
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 11, 3);
    return tiny_ensemble(&model, 1, MERGE_MEAN);
}

static void read_task_by(TaskRuns *runs, const char *name, EvalProtocol protocol)
{
    Err err;
    StringList data = {0};
    string_list_add(&data, folder_path(""));
    TaskSettings settings = {.names = name, .data = &data, .split = "test", .protocol = protocol};
    *runs = (TaskRuns){0};
    ASSERT_OK(task_runs_read(runs, &settings, &err));
    string_list_clear(&data);
}

static void read_task(TaskRuns *runs, const char *name)
{
    read_task_by(runs, name, PROTOCOL_LOGPROB);
}

static Status answer(const TaskRun *run, const Ensemble *ensemble, ItemsFile *items,
                     Outcome *outcomes, Err *err)
{
    Tokenizer *tokenizer = characters();
    ScorerOptions options = {.kv_dtype = DTYPE_F32};
    Scorer *scorer = scorer_new(ensemble, &options);
    AnswerOptions how = {.tokenizer = tokenizer, .context = 64, .items = items};
    Status status = answer_task(run, scorer, &how, outcomes, err);
    scorer_free(scorer);
    tokenizer_free(tokenizer);
    return status;
}

static Tally tally_of(const TaskRun *run, Ensemble *ensemble)
{
    Err err;
    Outcome outcomes[MOST];
    ASSERT_OK(answer(run, ensemble, NULL, outcomes, &err));
    TaskResult result;
    ASSERT_OK(task_result_make(&result, run, "m", outcomes, &err));
    Tally tally = result.all;
    task_result_clear(&result);
    ensemble_free(ensemble);
    return tally;
}

/* ---- files of questions ---------------------------------------------------------------------- */

/* The right answer has more of the letter e than of q; its place moves. */
static void put_choices(int n)
{
    static const char *const wrong[] = {"qqq", "qxx", "eqq"};
    StrBuf text = {0};
    for (int i = 0; i < n; i++) {
        strbuf_printf(&text, "{\"query\": \"Question %d is \", \"choices\": [", i);
        for (int c = 0, w = 0; c < 4; c++)
            strbuf_printf(&text, "%s\"%s\"", c ? ", " : "", c == i % 4 ? "eex" : wrong[w++]);
        strbuf_printf(&text, "], \"gold\": %d}\n", i % 4);
    }
    folder_put("openbook_qa.jsonl", text.data, text.size);
    strbuf_clear(&text);
}

static void put_words(int n)
{
    StrBuf text = {0};
    for (int i = 0; i < n; i++)
        strbuf_printf(&text, "{\"context\": \"Line %d goes on\", \"continuation\": \"%.*s\"}\n", i,
                      1 + i % 3, "   ");
    folder_put("lambada_openai.jsonl", text.data, text.size);
    strbuf_clear(&text);
}

static void put_subjects(void)
{
    static const char *const subjects[] = {"anatomy", "sociology", "home_made"};
    mkdir(folder_path("test"), 0777);
    for (int s = 0; s < 3; s++) {
        char name[64];
        StrBuf text = {0};
        for (int i = 0; i < 4 + 4 * s; i++)
            strbuf_printf(&text, "Number %d?,one,two,three,four,%c\n", i, i < 3 * s ? 'A' : 'B');
        snprintf(name, sizeof name, "test/%s_test.csv", subjects[s]);
        folder_put(name, text.data, text.size);
        strbuf_clear(&text);
    }
}

/* ---- what scores mean ------------------------------------------------------------------------ */

static void knowing_scores_all_and_the_opposite_nothing(void **state)
{
    (void)state;
    TaskRuns runs;
    put_choices(70);
    read_task(&runs, "openbookqa");
    Tally knows = tally_of(runs.items, opinion('e', 'q', 4.0f));
    Tally opposite = tally_of(runs.items, opinion('q', 'e', 4.0f));
    assert_int_equal(knows.n, 70);
    assert_true(knows.score == 70.0);
    assert_int_equal(knows.correct_per_byte, 70);
    assert_true(opposite.score == 0.0);
    assert_int_equal(opposite.correct_per_byte, 0);
    assert_true(knows.logprob > opposite.logprob);
    task_runs_clear(&runs);

    put_words(40);
    read_task(&runs, "lambada_openai");
    assert_true(tally_of(runs.items, opinion(' ', 'x', 4.0f)).score == 40.0);
    assert_true(tally_of(runs.items, opinion('x', ' ', 4.0f)).score == 0.0);
    task_runs_clear(&runs);
}

/* The log-probabilities themselves, where they can be worked out by hand. */
static void sums_are_what_the_formula_says(void **state)
{
    (void)state;
    Err err;
    Outcome outcomes[4];
    TaskRuns runs;
    put_choices(4);
    read_task(&runs, "openbookqa");
    Ensemble *ensemble = opinion('e', 'q', 2.0f);
    ASSERT_OK(answer(runs.items, ensemble, NULL, outcomes, &err));
    /* The context's closing blank and the one before the answer are tokens of the answer: two
     * blanks, two e, one x. */
    double total = log(exp(2.0) + exp(-2.0) + (V - 2.0));
    for (int i = 0; i < 4; i++)
        assert_true(fabs(outcomes[i].logprob - (2 * 2.0 - 5 * total)) < 1e-4);
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

static void subjects_add_up(void **state)
{
    (void)state;
    Err err;
    Outcome outcomes[MOST];
    TaskRuns runs;
    put_subjects();
    read_task(&runs, "mmlu");
    Ensemble *ensemble = opinion('A', 'D', 4.0f); /* always answers A */
    ASSERT_OK(answer(runs.items, ensemble, NULL, outcomes, &err));
    TaskResult result;
    ASSERT_OK(task_result_make(&result, runs.items, "m", outcomes, &err));
    /* anatomy 0 of 4, home_made 6 of 12, sociology 3 of 8, in the order of their names */
    assert_int_equal(result.all.n, 24);
    assert_true(result.all.score == 9.0);
    assert_true(result.groups[1].score == 6.0);
    assert_true(fabs(tally_accuracy(&result.all) - 9.0 / 24) < 1e-12);
    assert_true(fabs(tally_error(&result.all) - sqrt(9.0 / 24 * 15.0 / 24 / 23)) < 1e-12);
    json_t *row = task_result_json(&result);
    double macro = json_real_value(json_object_get(row, "macro_accuracy"));
    assert_true(fabs(macro - (0.0 + 6.0 / 12 + 3.0 / 8) / 3) < 1e-12);
    assert_int_equal(json_array_size(json_object_get(row, "groups")), 3);
    json_t *categories = json_object_get(row, "categories");
    assert_int_equal(json_array_size(categories), 2);
    const char *first = json_string_value(json_object_get(json_array_get(categories, 0), "name"));
    assert_string_equal(first, "other"); /* anatomy's: the first */
    /* Sociology is all of social sciences, and has the sample's error, too. */
    const json_t *social = json_array_get(categories, 1);
    double error = json_real_value(json_object_get(social, "stderr"));
    assert_true(fabs(error - sqrt(3.0 / 8 * 5.0 / 8 / 7)) < 1e-12);
    assert_true(json_is_true(json_object_get(row, "at_chance"))); /* 21.2 to 57.3 % */
    json_decref(row);
    task_result_clear(&result);
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

/* One answer says nothing of its error; two of two right, or wrong, may be luck. */
static void few_questions_are_not_certain(void **state)
{
    (void)state;
    Err err;
    Outcome outcomes[12];
    /* Wilson: from 20.7 % for one right, 34.2 % for two; to 49.0 % for four wrong, 24.2 % for
     * twelve. Chance is 25 %. */
    static const struct {
        int n;
        bool right, chance;
    } cases[] = {{1, true, true}, {2, true, false}, {4, false, true}, {12, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = cases[i].n;
        TaskRuns runs;
        put_choices(n);
        read_task(&runs, "openbookqa");
        Ensemble *ensemble = cases[i].right ? opinion('e', 'q', 4.0f) : opinion('q', 'e', 4.0f);
        ASSERT_OK(answer(runs.items, ensemble, NULL, outcomes, &err));
        TaskResult result;
        ASSERT_OK(task_result_make(&result, runs.items, "m", outcomes, &err));
        json_t *row = task_result_json(&result);
        assert_true(json_number_value(json_object_get(row, "accuracy")) == cases[i].right);
        assert_int_equal(json_object_get(row, "stderr") != NULL, n > 1);
        assert_int_equal(json_object_get(row, "stderr_per_byte") != NULL, n > 1);
        assert_int_equal(json_is_true(json_object_get(row, "at_chance")), cases[i].chance);
        json_decref(row);
        task_result_clear(&result);
        ensemble_free(ensemble);
        task_runs_clear(&runs);
    }
}

/* ---- laws ------------------------------------------------------------------------------------ */

static void order_changes_only_positions(void **state)
{
    (void)state;
    Err err;
    Outcome straight[40], turned[40];
    TaskRuns runs;
    put_choices(40);
    read_task(&runs, "openbookqa");
    Ensemble *ensemble = stranger();
    ASSERT_OK(answer(runs.items, ensemble, NULL, straight, &err));
    for (int64_t q = 0; q < 40; q++) { /* each question's choices turn by another step */
        Question *question = &runs.items[0].groups.items[0].questions.items[q];
        char *old[4];
        memcpy(old, question->choices, sizeof old);
        for (int64_t c = 0; c < 4; c++)
            question->choices[(c + q) % 4] = old[c];
        question->gold = (question->gold + q) % 4;
    }
    ASSERT_OK(answer(runs.items, ensemble, NULL, turned, &err));
    int64_t right = 0;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(straight[i].correct, turned[i].correct);
        assert_int_equal(straight[i].correct_per_byte, turned[i].correct_per_byte);
        assert_true(fabs(straight[i].logprob - turned[i].logprob) < 1e-4);
        right += straight[i].correct;
    }
    assert_true(right > 0 && right < 40); /* else it says nothing */
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

static ItemsFile *open_items(const char *name, bool resume)
{
    Err err;
    ItemsFile *items;
    json_t *header = json_pack("{s:s}", "format", "cambium-items");
    ASSERT_OK(items_open(&items, folder_path(name), header, resume, &err));
    json_decref(header);
    return items;
}

static char *content(const char *name)
{
    Err err;
    StrBuf text = {0};
    ASSERT_OK(file_read(folder_path(name), 0, &text, &err));
    return strbuf_detach(&text);
}

/* Stopped after every batch, and torn in the middle of a line besides. */
static void what_was_stopped_ends_the_same(void **state)
{
    (void)state;
    Err err;
    Outcome whole[MOST], pieces[MOST];
    TaskRuns runs;
    put_choices(MOST);
    read_task(&runs, "openbookqa");
    Ensemble *ensemble = stranger();
    ItemsFile *items = open_items("whole.jsonl", false);
    ASSERT_OK(answer(runs.items, ensemble, items, whole, &err));
    ASSERT_OK(items_close(items, &err));
    Status status = STATUS_STOPPED;
    int rounds = 0;
    for (; status == STATUS_STOPPED && rounds < 20; rounds++) {
        items = open_items("pieces.jsonl", true);
        memset(pieces, 0, sizeof pieces);
        stop_request();
        status = answer(runs.items, ensemble, items, pieces, &err);
        stop_reset();
        ASSERT_OK(items_close(items, &err));
        char *text = content("pieces.jsonl");
        if (status == STATUS_STOPPED && rounds % 2 == 0)
            folder_put("pieces.jsonl", text, (int64_t)strlen(text) - 40 * (rounds + 1));
        free(text);
    }
    /* The last batch was asked for under the wish to stop, too. */
    assert_true(rounds > 3 && rounds < 20);
    char *a = content("whole.jsonl"), *b = content("pieces.jsonl");
    assert_string_equal(a, b);
    for (int i = 0; i < MOST; i++) {
        assert_int_equal(whole[i].correct, pieces[i].correct);
        assert_int_equal(whole[i].correct_per_byte, pieces[i].correct_per_byte);
        assert_true(whole[i].logprob == pieces[i].logprob);
    }
    /* Lines of other questions are told. */
    char *other = strstr(b, "\"id\":\"2\"");
    assert_non_null(other);
    other[6] = '9';
    folder_put("pieces.jsonl", b, -1);
    items = open_items("pieces.jsonl", true);
    assert_int_equal(answer(runs.items, ensemble, items, pieces, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "pieces.jsonl:3: not the item that belongs there"));
    ASSERT_OK(items_close(items, &err));
    free(a);
    free(b);
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

/* Every third prompt is longer than the context: the result says how many, also when the items were
 * there. */
static void prompts_that_do_not_fit_are_counted(void **state)
{
    (void)state;
    enum { N = 7 };
    Err err;
    Outcome asked[N] = {{0}}, found[N] = {{0}};
    TaskRuns runs;
    StrBuf text = {0};
    for (int i = 0; i < N; i++)
        strbuf_printf(&text, "{\"query\": \"%*s\", \"choices\": [\"ee\", \"x\"], \"gold\": 0}\n",
                      i % 3 == 1 ? 70 : 20, "is");
    folder_put("openbook_qa.jsonl", text.data, text.size);
    strbuf_clear(&text);
    read_task(&runs, "openbookqa");
    Ensemble *ensemble = stranger();
    for (int again = 0; again < 2; again++) {
        Outcome *outcomes = again ? found : asked;
        ItemsFile *items = open_items("cut.jsonl", again);
        ASSERT_OK(answer(runs.items, ensemble, items, outcomes, &err));
        ASSERT_OK(items_close(items, &err));
        for (int i = 0; i < N; i++)
            assert_int_equal(outcomes[i].cut, i % 3 == 1);
        TaskResult result;
        ASSERT_OK(task_result_make(&result, runs.items, "m", outcomes, &err));
        json_t *row = task_result_json(&result);
        assert_int_equal(json_integer_value(json_object_get(row, "cut")), 2);
        json_decref(row);
        task_result_clear(&result);
    }
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

/* ---- the author's protocol ------------------------------------------------------------------- */

/* A paragraph with n questions, whose answers are the given ones in turn. */
static void put_squad(int n, const char *const *answers, int n_answers)
{
    StrBuf text = {0};
    strbuf_puts(&text, "{\"data\": [{\"paragraphs\": [{\"context\": \"See.\", \"qas\": [");
    for (int i = 0; i < n; i++)
        strbuf_printf(&text,
                      "%s{\"id\": \"%d\", \"question\": \"No %d?\", \"answers\": [{\"text\": "
                      "\"%s\"}, {\"text\": \"never asked\"}]}",
                      i ? ", " : "", i + 1, i, answers[i % n_answers]);
    strbuf_puts(&text, "]}]}]}");
    folder_put("dev-v2.0.json", text.data, text.size);
    strbuf_clear(&text);
}

static void drawn_letters_score_their_probability(void **state)
{
    (void)state;
    Err err;
    Outcome one[MOST], two[MOST];
    TaskRuns runs;
    put_subjects();
    read_task_by(&runs, "mmlu", PROTOCOL_AUTHOR);
    assert_string_equal(runs.items[0].name, "mmlu_author");
    assert_string_equal(runs.items[0].groups.items[0].prefix, "");
    assert_string_equal(runs.items[0].groups.items[0].questions.items[0].context,
                        "Question: Number 0?\nOptions: A) one B) two C) three D) four\nAnswer:");
    /* Sure of A, which is right for 9 of 24; of the same, small; of D; and of a blank. */
    Tally sure = tally_of(runs.items, opinion('A', 'D', 30.0f));
    assert_true(fabs(tally_accuracy(&sure) - 9.0 / 24) < 1e-12);
    assert_true(tally_of(runs.items, opinion('a', 'D', 30.0f)).score > 8.99);
    assert_true(tally_of(runs.items, opinion('D', 'A', 30.0f)).score == 0.0);
    assert_true(tally_of(runs.items, opinion(' ', 'A', 30.0f)).score == 0.0);
    /* As sure as one half: p = e^s / (e^s + e^-s + V - 2) for s = log(V - 2). */
    float half = logf(V - 2.0f);
    Tally tally = tally_of(runs.items, opinion('B', 'D', half));
    assert_true(fabs(tally.score / 15 - 0.5) < 4 * sqrt(0.25 / 150)); /* 150 draws */
    Ensemble *ensemble = opinion('B', 'D', half);
    ASSERT_OK(answer(runs.items, ensemble, NULL, one, &err));
    ASSERT_OK(answer(runs.items, ensemble, NULL, two, &err));
    int64_t differ = 0;
    for (int i = 0; i < 24; i++) {
        assert_memory_equal(one[i].replies, two[i].replies, sizeof one[i].replies);
        differ += i > 0 && memcmp(one[i].replies, one[i - 1].replies, sizeof one[i].replies) != 0;
    }
    assert_true(differ > 5); /* each question draws its own */
    TaskResult result;
    ASSERT_OK(task_result_make(&result, runs.items, "m", one, &err));
    json_t *row = task_result_json(&result);
    assert_string_equal(json_string_value(json_object_get(row, "protocol")), "author");
    assert_true(json_real_value(json_object_get(row, "repeat_sigma")) > 0.0);
    assert_true(json_real_value(json_object_get(row, "chance")) == 0.25);
    json_decref(row);
    task_result_clear(&result);
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

/* Who writes nothing but e: right where e's alone, as many as the answer has, hold the answer. */
static void lengths_leak_and_substrings_count(void **state)
{
    (void)state;
    static const char *const answers[] = {"e", "EEE", "exe", "eeeeeeeee"};
    Err err;
    Outcome outcomes[MOST];
    TaskRuns runs;
    put_squad(8, answers, 4);
    read_task_by(&runs, "squad2", PROTOCOL_AUTHOR);
    const QuestionList *list = &runs.items[0].groups.items[0].questions;
    assert_int_equal(list->count, 6); /* nine characters are not asked for */
    assert_int_equal(list->items[1].n_choices, 1);
    Ensemble *ensemble = opinion('e', 'x', 30.0f);
    ItemsFile *items = open_items("drawn.jsonl", false);
    ASSERT_OK(answer(runs.items, ensemble, items, outcomes, &err));
    ASSERT_OK(items_close(items, &err));
    for (int i = 0; i < 6; i++)
        assert_true(outcome_score(runs.items, &outcomes[i]) == (i % 3 == 2 ? 0.0 : 1.0));
    char *text = content("drawn.jsonl");
    assert_non_null(strstr(text, "[\"eee\",\"eee\",")); /* three for three */
    assert_null(strstr(text, "\"eeee"));
    const Task *squad = runs.items[0].task;
    Question *q = &list->items[1];
    assert_true(author_is_right(squad, q, "seeend"));
    assert_false(author_is_right(squad, q, "ee e"));
    free(q->choices[0]);
    q->choices[0] = xstrdup("\u0430\u043D\u043D\u0430"); /* in small letters */
    assert_true(author_is_right(squad, q, "\u0410\u043D\u043D\u0410."));
    free(text);
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

static void what_cannot_be_asked_names_its_question(void **state)
{
    (void)state;
    Err err = {.text = ""};
    Outcome outcomes[2];
    TaskRuns runs;
    StrBuf line = {0};
    for (int i = 0; i < 2; i++)
        strbuf_printf(&line, "{\"query\": \"ask\", \"choices\": [\"e\", \"%.*s\"], \"gold\": 0}\n",
                      i ? 80 : 1,
                      "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
                      "eeeeeeeeeeeeeeeeeeeee");
    folder_put("openbook_qa.jsonl", line.data, line.size);
    strbuf_clear(&line);
    read_task(&runs, "openbookqa");
    Ensemble *ensemble = stranger();
    assert_int_equal(answer(runs.items, ensemble, NULL, outcomes, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "openbookqa, question 2: the context is too short"));
    ensemble_free(ensemble);
    task_runs_clear(&runs);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_set_up, folder_tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(knowing_scores_all_and_the_opposite_nothing),
        IN_FOLDER(sums_are_what_the_formula_says),
        IN_FOLDER(subjects_add_up),
        IN_FOLDER(few_questions_are_not_certain),
        IN_FOLDER(order_changes_only_positions),
        IN_FOLDER(what_was_stopped_ends_the_same),
        IN_FOLDER(prompts_that_do_not_fit_are_counted),
        IN_FOLDER(drawn_letters_score_their_probability),
        IN_FOLDER(lengths_leak_and_substrings_count),
        IN_FOLDER(what_cannot_be_asked_names_its_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
