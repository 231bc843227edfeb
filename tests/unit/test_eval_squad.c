/* SQuAD: its files, what counts as the answer in what a model writes, and what it scores. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/eval/result.h"
#include "infer/eval/squad.h"
#include "infer/eval/squad_answer.h"
#include "infer/eval/written.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/data_file.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_model.h"

#define QUESTION                                                                                   \
    "{\"id\": \"q1\", \"question\": \"Who?\", \"answers\": [{\"text\": \"Ann\"}, {\"text\": "      \
    "\"her\"}]}"
#define IMPOSSIBLE                                                                                 \
    "{\"id\": \"q2\", \"question\": \"Why?\", \"answers\": [], \"is_impossible\": true}"
#define FILE_OF(questions)                                                                         \
    "{\"data\": [{\"title\": \"T\", \"paragraphs\": [{\"context\": \"It was Ann.\", \"qas\": "     \
    "[" questions "]}]}]}"

#define PARAGRAPH(text) "{\"context\": \"" text "\", \"qas\": [" QUESTION "," IMPOSSIBLE "]}"
#define THREE_PARAGRAPHS                                                                           \
    "{\"data\": [{\"title\": \"T\", \"paragraphs\": [" PARAGRAPH("One.") "," PARAGRAPH(            \
        "Two.") ",{\"context\": \"Empty.\", \"qas\": []}," PARAGRAPH("Three.") "]}]}"

static Status try_tasks(TaskRuns *runs, const char *name, const char *folder, TaskSettings settings,
                        Err *err)
{
    StringList data = {0};
    string_list_add(&data, folder);
    settings.names = name;
    settings.data = &data;
    settings.split = "test";
    *runs = (TaskRuns){0};
    Status status = task_runs_read(runs, &settings, err);
    string_list_clear(&data);
    return status;
}

static void read_tasks(TaskRuns *runs, const char *name, const char *folder, int64_t limit)
{
    Err err;
    ASSERT_OK(try_tasks(runs, name, folder, (TaskSettings){.limit = limit}, &err));
}

static void paragraphs_become_prompts(void **state)
{
    (void)state;
    TaskRuns runs;
    folder_put("dev-v2.0.json", FILE_OF(QUESTION "," IMPOSSIBLE), -1);
    read_tasks(&runs, "squad2", folder_path(""), 0);
    const QuestionGroup *group = &runs.items[0].groups.items[0];
    assert_string_equal(group->prefix, "Title: T\n\nBackground: It was Ann.\n\n");
    assert_int_equal(group->questions.count, 2);
    const Question *q = group->questions.items;
    assert_string_equal(q[0].context, "Question: Who?\n\nAnswer:");
    assert_string_equal(q[0].id, "q1");
    assert_int_equal(q[0].n_choices, 2);
    assert_string_equal(q[0].choices[1], "her");
    assert_int_equal(q[1].n_choices, 0);
    task_runs_clear(&runs);
    read_tasks(&runs, "squad2", folder_path(""), 1);
    assert_int_equal(question_groups_total(&runs.items[0].groups), 1);
    task_runs_clear(&runs);
}

/* XQuAD asks in its own language, without titles, as lm-evaluation-harness does. */
static void questions_are_in_the_language_of_the_text(void **state)
{
    (void)state;
    static const struct {
        const char *file, *task, *prefix, *question;
    } cases[] = {
        {"xquad.en.json", "xquad_en", "Context: It was Ann.\n\n", "Question: Who?\n\nAnswer:"},
        {"xquad.ru.json", "xquad_ru", "Контекст: It was Ann.\n\n", "Вопрос: Who?\n\nОтвет:"},
        {"xquad.zh.json", "xquad_zh", "语境: It was Ann.\n\n", "问题: Who?\n\n回答:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TaskRuns runs;
        folder_put(cases[i].file, FILE_OF(QUESTION), -1);
        read_tasks(&runs, cases[i].task, folder_path(""), 0);
        const QuestionGroup *group = &runs.items[0].groups.items[0];
        assert_string_equal(group->prefix, cases[i].prefix);
        assert_string_equal(group->questions.items[0].context, cases[i].question);
        task_runs_clear(&runs);
    }
}

#define EXAMPLES                                                                                   \
    "Title: T\n\nBackground: One.\n\nQuestion: Who?\n\nAnswer: Ann\n\n"                            \
    "Title: T\n\nBackground: Two.\n\nQuestion: Why?\n\nAnswer: unanswerable\n\n"

static void solved_paragraphs_are_not_asked_about(void **state)
{
    (void)state;
    Err err;
    TaskRuns runs;
    folder_put("dev-v2.0.json", THREE_PARAGRAPHS, -1);
    ASSERT_OK(try_tasks(&runs, "squad2", folder_path(""), (TaskSettings){.shots = 2}, &err));
    const QuestionGroups *groups = &runs.items[0].groups;
    for (int64_t g = 0; g < groups->count; g++)
        assert_true(strncmp(groups->items[g].prefix, EXAMPLES "Title: ", sizeof EXAMPLES) == 0);
    assert_string_equal(groups->items[groups->count - 1].prefix,
                        EXAMPLES "Title: T\n\nBackground: Three.\n\n");
    assert_int_equal(question_groups_total(groups), 2);
    task_runs_clear(&runs);

    ASSERT_OK(
        try_tasks(&runs, "squad2", folder_path(""), (TaskSettings){.shots = 1, .limit = 3}, &err));
    groups = &runs.items[0].groups;
    assert_int_equal(question_groups_total(groups), 3);
    assert_int_equal(groups->items[groups->count - 1].questions.count, 1);
    task_runs_clear(&runs);

    for (int64_t shots = 3; shots < 5; shots++) {
        assert_int_equal(
            try_tasks(&runs, "squad2", folder_path(""), (TaskSettings){.shots = shots}, &err),
            STATUS_FAIL);
        assert_non_null(strstr(
            err.text, shots == 3 ? "dev-v2.0.json: no question is left to ask; take fewer --shots"
                                 : "--shots 4: squad2 has 3 paragraphs"));
        task_runs_clear(&runs);
    }
}

/* Every paragraph is drawn now and then, and none that is in an example is asked about. */
static void a_seed_draws_paragraphs(void **state)
{
    (void)state;
    static const char *const names[] = {"One.", "Two.", "Three."};
    bool drawn[3] = {false};
    folder_put("dev-v2.0.json", THREE_PARAGRAPHS, -1);
    for (int64_t seed = 1; seed < 20; seed++) {
        Err err;
        TaskRuns runs, again;
        TaskSettings settings = {.shots = 1, .seed = seed};
        ASSERT_OK(try_tasks(&runs, "squad2", folder_path(""), settings, &err));
        ASSERT_OK(try_tasks(&again, "squad2", folder_path(""), settings, &err));
        const QuestionGroups *groups = &runs.items[0].groups;
        Sha256 a = question_groups_hash(groups), b = question_groups_hash(&again.items[0].groups);
        assert_memory_equal(&a, &b, sizeof a);
        assert_int_equal(question_groups_total(groups), 4);
        for (int i = 0; i < 3; i++) {
            const char *at = strstr(groups->items[0].prefix, names[i]);
            if (!at || at - groups->items[0].prefix > 30)
                continue;
            drawn[i] = true;
            for (int64_t g = 0; g < groups->count; g++)
                assert_null(strstr(strstr(groups->items[g].prefix, "Answer:"), names[i]));
        }
        task_runs_clear(&runs);
        task_runs_clear(&again);
    }
    for (int i = 0; i < 3; i++)
        assert_true(drawn[i]);
}

static void damage_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"{\"data\": [\n{]}", "f.json:2: not JSON at column"},
        {"{}", "f.json has no 'data'"},
        {"{\"data\": [3]}", "f.json: data[0] has no 'paragraphs'"},
        {FILE_OF(QUESTION ", {\"id\": \"q\"}"),
         "f.json: data[0].paragraphs[0].qas[1] has no 'question'"},
        {FILE_OF("{\"id\": \"q\", \"question\": \"?\", \"answers\": [{}]}"), "has no 'text'"},
        {FILE_OF("{\"id\": \"q\", \"question\": \"?\", \"answers\": []}"),
         "'answers' is empty, and 'is_impossible' does not say so"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {.text = ""};
        StrBuf text = {0};
        QuestionGroups groups = {0};
        strbuf_puts(&text, cases[i].text);
        assert_int_equal(squad_parse(&groups, "f.json", &text, &squad_form, &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("case %d says: %s", (int)i, err.text);
        question_groups_clear(&groups);
        strbuf_clear(&text);
    }
}

static void answers_are_lines(void **state)
{
    (void)state;
    static const struct {
        const char *written, *answer;
        bool version2;
    } cases[] = {
        {" Ann\n\nQuestion: more", "Ann", false},
        {"  Ann B. \t", "Ann B.", true},
        {"\nAnn", "", false},
        {"", "", true},
        {" Unanswerable.", "", true},
        {" unanswerable", "unanswerable", false},
    };
    Tokenizer *tokenizer = byte_vocabulary();
    bool *ends = line_ends_new(tokenizer);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TaskRuns runs;
        IdList ids = {0};
        folder_put(cases[i].version2 ? "dev-v2.0.json" : "dev-v1.1.json", FILE_OF(QUESTION), -1);
        read_tasks(&runs, cases[i].version2 ? "squad2" : "squad", folder_path(""), 0);
        tokenizer_encode(tokenizer, cases[i].written, (int64_t)strlen(cases[i].written), &ids);
        char *answer = squad_answer_text(runs.items[0].task, tokenizer, &ids);
        assert_string_equal(answer, cases[i].answer);
        bool ended = false;
        for (int64_t t = 0; t < ids.count; t++)
            ended |= ends[ids.items[t]];
        assert_int_equal(ended, strchr(cases[i].written, '\n') != NULL);
        free(answer);
        id_list_clear(&ids);
        task_runs_clear(&runs);
    }
    assert_true(ends[tokenizer_spec(tokenizer)->eos]);
    free(ends);
    tokenizer_free(tokenizer);
}

/* Judged by hand: exact, half right, rightly and wrongly silent. */
static void totals_follow_from_answers(void **state)
{
    (void)state;
    static const char *const answers[] = {"the Ann", "Ann Lee", "", "Ann"};
    TaskRuns runs;
    Err err;
    Outcome outcomes[4];
    folder_put("dev-v2.0.json", FILE_OF(QUESTION "," QUESTION "," IMPOSSIBLE "," IMPOSSIBLE), -1);
    read_tasks(&runs, "squad2", folder_path(""), 0);
    const TaskRun *run = &runs.items[0];
    for (int i = 0; i < 4; i++) {
        const Question *q = &run->groups.items[0].questions.items[i];
        SquadAnswer squad = squad_judge(run->task, q, answers[i], i < 3 ? 0.1 : 0.9);
        outcomes[i] = (Outcome){.correct = squad.score.exact == 1.0, .squad = squad};
    }
    TaskResult result;
    ASSERT_OK(task_result_make(&result, run, "m", outcomes, &err));
    assert_true(fabs(result.squad.exact - 50.0) < 1e-9);
    assert_true(fabs(result.squad.f1 - 100.0 * (1 + 2.0 / 3 + 1 + 0) / 4) < 1e-9);
    assert_true(fabs(result.squad.unanswerable - 50.0) < 1e-9);
    assert_true(fabs(result.squad_best.exact.percent - 75.0) < 1e-9); /* the last one is silenced */
    assert_true(result.all.score == 2.0);
    json_t *row = task_result_json(&result);
    assert_true(json_number_value(json_object_get(row, "best_exact")) == 75.0);
    json_decref(row);
    task_result_clear(&result);
    task_runs_clear(&runs);
}

/* Greedy decoding through the scorer writes what decoding step by step writes, wherever contexts
 * share their beginnings, and the texts are scored as without it. */
static void writing_is_greedy_decoding(void **state)
{
    (void)state;
    enum { N = 12, V = 97, TOKENS = 9 };
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 5, 3);
    Ensemble *ensemble = tiny_ensemble(&model, 1, MERGE_MEAN);
    bool ends[V] = {false};
    Prompt prompts[N];
    Rng rng;
    rng_init(&rng, 3, 0);
    for (int v = 0; v < V; v += 7)
        ends[v] = true;
    for (int i = 0; i < N; i++) {
        prompts[i] = (Prompt){.n_texts = i % 2, .generate = TOKENS};
        prompts[i].texts = xcalloc(1, sizeof(IdList));
        prompts[i].logprobs = xcalloc(1, sizeof(double));
        for (int t = 0; t < 20; t++)
            id_list_add(&prompts[i].context, 3 * t % V);
        for (int64_t t = rng_below(&rng, 9); t >= 0; t--)
            id_list_add(&prompts[i].context, (int32_t)rng_below(&rng, V));
        for (int t = 0; t < 3; t++)
            id_list_add(&prompts[i].texts[0], (int32_t)rng_below(&rng, V));
    }
    ScorerOptions options = {.kv_dtype = DTYPE_F32, .page_size = 4, .ends = ends};
    Scorer *scorer = scorer_new(ensemble, &options);
    ASSERT_OK(scorer_run(scorer, prompts, N, 0, NULL, NULL, &err));
    scorer_free(scorer);
    int64_t ended = 0;
    for (int i = 0; i < N; i++) {
        Decoder *decoder;
        DecoderOptions how = {.max_sequences = 2, .max_positions = 64};
        ASSERT_OK(decoder_new(&decoder, ensemble, &how, &err));
        IdList all = {0};
        for (int64_t t = 0; t < prompts[i].context.count; t++)
            id_list_add(&all, prompts[i].context.items[t]);
        DecodeItem item = {decoder_open(decoder), all.items, all.count};
        for (int64_t t = 0; t < TOKENS; t++) {
            float logits[V];
            int32_t best = 0;
            ASSERT_OK(decoder_step(decoder, &item, 1, &err));
            Tensor row = decoder_logits(decoder);
            ASSERT_OK(device_download(tiny_device(), &row, logits, &err));
            for (int32_t v = 1; v < V; v++)
                best = logits[v] > logits[best] ? v : best;
            assert_true(t < prompts[i].written.count);
            assert_int_equal(prompts[i].written.items[t], best);
            item.tokens = &prompts[i].written.items[t];
            item.n_tokens = 1;
            if (ends[best]) {
                ended++;
                assert_int_equal(prompts[i].written.count, t + 1);
                break;
            }
        }
        if (prompts[i].n_texts) {
            float logprobs[64];
            for (int64_t t = 0; t < prompts[i].texts[0].count; t++)
                id_list_add(&all, prompts[i].texts[0].items[t]);
            DecodeItem whole = {decoder_open(decoder), all.items, all.count};
            ASSERT_OK(decoder_score(decoder, &whole, 1, (float *const[]){logprobs}, &err));
            double sum = 0.0;
            for (int64_t t = prompts[i].context.count; t < all.count; t++)
                sum += (double)logprobs[t];
            assert_true(fabs(sum - prompts[i].logprobs[0]) < 1e-4 * (1.0 + fabs(sum)));
        }
        id_list_clear(&all);
        decoder_free(decoder);
        prompts[i].n_texts = 1;
        prompt_clear(&prompts[i]);
    }
    assert_true(ended > 0 && ended < N);
    ensemble_free(ensemble);
}

static void published_files_are_read_whole(void **state)
{
    (void)state;
    static const struct {
        const char *task;
        int64_t questions, unanswerable;
    } cases[] = {{"squad", 10570, 0},
                 {"squad2", 11873, 5945},
                 {"xquad_en", 1190, 0},
                 {"xquad_ru", 1190, 0},
                 {"xquad_zh", 1190, 0}};
    const char *folder = data_file("");
    if (!data_file("squad"))
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TaskRuns runs;
        int64_t silent = 0;
        read_tasks(&runs, cases[i].task, folder, 0);
        const QuestionGroups *groups = &runs.items[0].groups;
        for (int64_t g = 0; g < groups->count; g++)
            for (int64_t q = 0; q < groups->items[g].questions.count; q++)
                silent += groups->items[g].questions.items[q].n_choices == 0;
        assert_int_equal(question_groups_total(groups), cases[i].questions);
        assert_int_equal(silent, cases[i].unanswerable);
        task_runs_clear(&runs);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_set_up, folder_tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(paragraphs_become_prompts),
        IN_FOLDER(questions_are_in_the_language_of_the_text),
        IN_FOLDER(solved_paragraphs_are_not_asked_about),
        IN_FOLDER(a_seed_draws_paragraphs),
        cmocka_unit_test(damage_is_told_with_its_place),
        IN_FOLDER(answers_are_lines),
        IN_FOLDER(totals_follow_from_answers),
        cmocka_unit_test(writing_is_greedy_decoding),
        cmocka_unit_test(published_files_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
