/* Readers of published questions: what they make of good files, and one sentence for bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/eval/choice_file.h"
#include "infer/eval/csv.h"
#include "infer/eval/data_text.h"
#include "infer/eval/mmlu.h"
#include "infer/eval/task.h"
#include "tests/support/assert_ok.h"
#include "tests/support/data_file.h"
#include "tests/support/folder.h"

/* ---- CSV ------------------------------------------------------------------------------------- */

static void quotes_hold_commas_and_lines(void **state)
{
    (void)state;
    static const char text[] = "a,\"b, \"\"c\"\"\",\r\n\n\"two\nlines\",\"\",x\"y\nlast";
    static const char *const want[][3] = {
        {"a", "b, \"c\"", ""}, {"two\nlines", "", "x\"y"}, {"last", NULL, NULL}};
    static const int64_t lines[] = {1, 3, 5};
    CsvReader reader = {.name = "t.csv", .text = text, .size = sizeof text - 1};
    StringList fields = {0};
    Err err;
    int64_t line;
    bool found;
    for (int row = 0; row < 3; row++) {
        ASSERT_OK(csv_next(&reader, &fields, &line, &found, &err));
        assert_true(found);
        assert_int_equal(line, lines[row]);
        assert_int_equal(fields.count, want[row][1] ? 3 : 1);
        for (int64_t f = 0; f < fields.count; f++)
            assert_string_equal(fields.items[f], want[row][f]);
    }
    ASSERT_OK(csv_next(&reader, &fields, &line, &found, &err));
    assert_false(found);
}

/* ---- good files ------------------------------------------------------------------------------ */

static void read_tasks(TaskRuns *runs, const char *names, const char *folder, int64_t shots,
                       int64_t limit, int64_t seed)
{
    Err err;
    StringList data = {0};
    string_list_add(&data, folder);
    TaskSettings settings = {.names = names,
                             .data = &data,
                             .split = "test",
                             .shots = shots,
                             .limit = limit,
                             .seed = seed};
    *runs = (TaskRuns){0};
    ASSERT_OK(task_runs_read(runs, &settings, &err));
    string_list_clear(&data);
}

static void put_mmlu(void)
{
    mkdir(folder_path("mmlu"), 0777);
    mkdir(folder_path("mmlu/test"), 0777);
    mkdir(folder_path("mmlu/dev"), 0777);
    folder_put("mmlu/test/high_school_biology_test.csv",
               "\" What is \"\"it\"\"?\",1,2,3,4,C\n2nd?,a,b,c,d,A\n", -1);
    folder_put("mmlu/dev/high_school_biology_dev.csv", "shot?,w,x,y,z,D\nother?,k,l,m,n,B\n", -1);
    folder_put("mmlu/test/home_made_test.csv", "own?,1,2,3,4,B\n", -1);
    folder_put("mmlu/dev/home_made_dev.csv", "s1,1,2,3,4,B\ns2,1,2,3,4,A\n", -1);
}

static void mmlu_is_asked_as_published(void **state)
{
    (void)state;
    TaskRuns runs;
    put_mmlu();
    read_tasks(&runs, "mmlu", folder_path("mmlu"), 1, 0, 0);
    const QuestionGroups *groups = &runs.items[0].groups;
    assert_int_equal(groups->count, 2);
    assert_string_equal(groups->items[0].name, "high_school_biology");
    assert_string_equal(groups->items[0].category, "stem");
    assert_null(groups->items[1].category); /* not among the 57 */
    assert_string_equal(groups->items[0].prefix,
                        "The following are multiple choice questions (with answers) about high "
                        "school biology.\n\nshot?\nA. w\nB. x\nC. y\nD. z\nAnswer: D\n\n");
    const Question *q = &groups->items[0].questions.items[0];
    assert_string_equal(q->context, "What is \"it\"?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:");
    assert_int_equal(q->n_choices, 4);
    assert_string_equal(q->choices[2], "C");
    assert_int_equal(q->gold, 2);
    task_runs_clear(&runs);
    read_tasks(&runs, "mmlu_stem", folder_path(""), 0, 1, 0);
    assert_int_equal(runs.items[0].groups.count, 1);
    assert_int_equal(question_groups_total(&runs.items[0].groups), 1);
    task_runs_clear(&runs);
}

static void prompts_are_the_usual_ones(void **state)
{
    (void)state;
    static const struct {
        const char *task, *file, *line, *context, *choice;
        int64_t gold;
    } cases[] = {
        {"arc_easy", "arc_easy.jsonl",
         "{\"query\": \"Question: Why?\", \"choices\": [\"a\", \"b b\"], \"gold\": 1}",
         "Question: Why?\nAnswer:", "b b", 1},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"Fog is\", \"choices\": [\"wet\", \"dry\"], \"gold\": 0, \"more\": 7}",
         "Fog is", "wet", 0},
        {"commonsense_qa", "commonsense_qa.jsonl",
         "{\"query\": \"Question: Q?\\nChoices:\\nA. x\\nB. y\\nAnswer:\", \"choices\": [\"A\", "
         "\"B\"], \"gold\": 1}",
         "Question: Q?\nA. x\nB. y\nAnswer:", "B", 1},
        {"boolq", "boolq.jsonl",
         "{\"query\": \"Passage: P.\\nQuestion: is it?\", \"choices\": [\"no\", \"yes\"], "
         "\"gold\": 0}",
         "P.\nQuestion: is it?\nAnswer:", "no", 0},
        {"copa", "copa.jsonl",
         "{\"query\": \"If so, it fell, because\", \"choices\": [\"i\", \"j\"], \"gold\": 1}",
         "If so, it fell because", " j", 1},
        {"lambada_openai", "lambada_openai.jsonl",
         "{\"context\": \"I don't care about\", \"continuation\": \"signs\"}", "I don't care about",
         "signs", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TaskRuns runs;
        folder_put(cases[i].file, cases[i].line, -1);
        read_tasks(&runs, cases[i].task, folder_path(cases[i].file), 0, 0, 0);
        const Question *q = &runs.items[0].groups.items[0].questions.items[0];
        assert_string_equal(q->context, cases[i].context);
        assert_string_equal(q->choices[cases[i].gold], cases[i].choice);
        assert_int_equal(q->gold, cases[i].gold);
        task_runs_clear(&runs);
    }
}

static void put_numbered(int n)
{
    StrBuf text = {0};
    for (int i = 0; i < n; i++)
        strbuf_printf(&text, "{\"query\": \"q%d\", \"choices\": [\"x\", \"y\"], \"gold\": 0}\n", i);
    folder_put("openbook_qa.jsonl", text.data, text.size);
    strbuf_clear(&text);
}

/* Shots of a file without solved examples are its own questions, which are then not asked. */
static void shots_are_not_asked(void **state)
{
    (void)state;
    TaskRuns runs, drawn, again;
    put_numbered(9);
    read_tasks(&runs, "openbookqa", folder_path(""), 2, 0, 0);
    const QuestionGroup *group = &runs.items[0].groups.items[0];
    assert_string_equal(group->prefix, "q0 x\n\nq1 x\n\n");
    assert_int_equal(group->questions.count, 7);
    assert_string_equal(group->questions.items[0].context, "q2");
    assert_string_equal(group->questions.items[0].id, "3");
    read_tasks(&drawn, "openbookqa", folder_path(""), 3, 0, 5);
    read_tasks(&again, "openbookqa", folder_path(""), 3, 0, 5);
    const char *prefix = drawn.items[0].groups.items[0].prefix;
    assert_string_equal(prefix, again.items[0].groups.items[0].prefix);
    assert_string_not_equal(prefix, "q0 x\n\nq1 x\n\nq2 x\n\n");
    for (int i = 0; i < 6; i++)
        assert_null(strstr(prefix, drawn.items[0].groups.items[0].questions.items[i].context));
    Sha256 a = question_groups_hash(&drawn.items[0].groups);
    Sha256 b = question_groups_hash(&again.items[0].groups);
    Sha256 c = question_groups_hash(&runs.items[0].groups);
    assert_true(hash_equal(&a, &b));
    assert_false(hash_equal(&a, &c));
    task_runs_clear(&runs);
    task_runs_clear(&drawn);
    task_runs_clear(&again);
}

/* ---- bad files ------------------------------------------------------------------------------- */

static void other_members_may_hold_anything(void **state)
{
    (void)state;
    static const char line[] =
        "{\"id\": 18446744073709551616, \"p\": NaN, \"q\": -1e999, \"note\": \"\\u0000 \\ud800\", "
        "\"query\": \"a\", \"choices\": [\"x\", \"y\"], \"gold\": 0, \"gold\": 1}\r\n";
    Err err;
    QuestionList list = {0};
    StrBuf text = {0};
    strbuf_puts(&text, line);
    ASSERT_OK(choice_file_parse(&list, "f.jsonl", &text, form_as_it_is, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].context, "a");
    assert_int_equal(list.items[0].gold, 1);
    question_list_clear(&list);
    strbuf_clear(&text);
}

static void damage_is_told_by_file_and_line(void **state)
{
    (void)state;
    static const char good[] = "{\"query\": \"a\", \"choices\": [\"x\", \"y\"], \"gold\": 0}\n";
    static const struct {
        const char *task, *file, *text;
        int64_t bytes;
        const char *said;
    } cases[] = {
        {"openbookqa", "openbook_qa.jsonl", "", 0, "openbook_qa.jsonl is empty; download it again"},
        {"openbookqa", "openbook_qa.jsonl", " \n\n", -1, "is empty"},
        {"openbookqa", "openbook_qa.jsonl", "{\"query\": \"a\"\n", -1, ":1: not JSON at column"},
        {"openbookqa", "openbook_qa.jsonl", "[1]\n", -1, ":1: a line must be an object"},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"a\\u0000b\", \"choices\": [\"x\", \"y\"], \"gold\": 0}", -1,
         ":1: 'query' holds a zero byte"},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"a\", \"choices\": [\"x\", \"y\\u0000\"], \"gold\": 0}", -1,
         ":1: choice 1 holds a zero byte"},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"a\", \"choices\": [\"x\", \"\\ud800\"], \"gold\": 0}", -1,
         ":1: choice 1 is not Unicode"},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"a\", \"choices\": [\"x\", \"y\"], \"gold\": 18446744073709551616}", -1,
         ":1: 'gold' must be an integer"},
        {"openbookqa", "openbook_qa.jsonl", "{\"choices\": [\"x\"], \"gold\": 0}", -1,
         ":1 has no 'query'"},
        {"openbookqa", "openbook_qa.jsonl", "{\"query\": \"a\", \"choices\": \"xy\", \"gold\": 0}",
         -1, ":1: 'choices' must be a list"},
        {"openbookqa", "openbook_qa.jsonl", "{\"query\": \"a\", \"choices\": [\"x\"], \"gold\": 0}",
         -1, ":1: a question wants at least two choices"},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"a\", \"choices\": [\"x\", 3], \"gold\": 0}", -1,
         ":1: choice 1 is not a text"},
        {"openbookqa", "openbook_qa.jsonl",
         "\n{\"query\": \"a\", \"choices\": [\"x\", \"y\"], \"gold\": 2}", -1,
         ":2: 'gold' is 2, where the choices count from 0 to 1"},
        {"openbookqa", "openbook_qa.jsonl",
         "{\"query\": \"a\", \"choices\": [\"x\", \"y\"], \"gold\": \"A\"}", -1,
         ":1: 'gold' must be an integer"},
        {"openbookqa", "openbook_qa.jsonl", "{\"context\": \"a\", \"continuation\": \"b\"}", -1,
         "question 1 is not one of openbookqa"},
        {"openbookqa", "openbook_qa.jsonl", "{\"query\": \"a\n\xFF\"}", -1,
         ":2: the bytes there are not UTF-8 text; convert the file: 'iconv"},
        {"openbookqa", "openbook_qa.jsonl", "{\0\"\0q", 5, ":1: the bytes there are not UTF-8"},
        {"boolq", "boolq.jsonl", good, -1, ":1: the query does not begin with 'Passage: '"},
        {"copa", "copa.jsonl", good, -1, ":1: the query ends neither in"},
        {"commonsense_qa", "commonsense_qa.jsonl", good, -1,
         ":1: the query has no line 'Choices:'"},
        {"lambada_openai", "lambada_openai.jsonl", "{\"context\": \"a\", \"continuation\": \"\"}",
         -1, ":1: 'continuation' is empty"},
        {"lambada_openai", "lambada_openai.jsonl", good, -1, "is not one of lambada_openai"},
        {"mmlu", "test/anatomy_test.csv", "q,a,b,c,A\n", -1,
         "anatomy_test.csv:1: 5 columns, where MMLU has 6"},
        {"mmlu", "test/anatomy_test.csv", "q,a,b,c,d,A\nq,a,b,c,d,E\n", -1,
         "anatomy_test.csv:2: the answer 'E' is none of A, B, C and D"},
        {"mmlu", "test/anatomy_test.csv", "q,a,b,c,d,A\n\"q,a\nb", -1,
         "anatomy_test.csv:2: nothing closes the quote that opens there"},
        {"mmlu", "test/anatomy_test.csv", "\"q\"x,a,b,c,d,A\n", -1,
         ":1: text follows a closing quote"},
        {"mmlu", "test/anatomy_test.csv", "", 0, "anatomy_test.csv is empty"},
    };
    mkdir(folder_path("test"), 0777);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {.text = ""};
        TaskRuns runs = {0};
        StringList data = {0};
        folder_put(cases[i].file, cases[i].text, cases[i].bytes);
        string_list_add(&data, folder_path(""));
        TaskSettings settings = {.names = cases[i].task, .data = &data, .split = "test"};
        assert_int_equal(task_runs_read(&runs, &settings, &err), STATUS_FAIL);
        if (!strchr(err.text, ';'))
            fail_msg("'%s' says no remedy", err.text);
        if (!strstr(err.text, cases[i].said) || !strstr(err.text, cases[i].task))
            if (!strstr(err.text, cases[i].said) || !strstr(err.text, cases[i].file))
                fail_msg("case %d says: %s", (int)i, err.text);
        task_runs_clear(&runs);
        string_list_clear(&data);
    }
}

static void requests_that_cannot_be_met_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *tasks, *said;
        int64_t shots;
    } cases[] = {
        {"arc_esay", "did you mean arc_easy?", -1},
        {"astrology", "there is no task 'astrology'; there are bpb, mmlu", -1},
        {"mmlu_astrology", "there is no task", -1},
        {"copa,copa", "named twice", 0},
        {"arc_challenge", "no --data folder holds arc_challenge.jsonl", 0},
        {"openbookqa", "--shots 9: openbookqa has 3 solved examples", 9},
        {"openbookqa", "openbook_qa.jsonl: no question is left to ask; take fewer --shots", 3},
    };
    put_numbered(3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {.text = ""};
        TaskRuns runs = {0};
        StringList data = {0};
        string_list_add(&data, folder_path(""));
        TaskSettings settings = {
            .names = cases[i].tasks, .data = &data, .split = "test", .shots = cases[i].shots};
        if (strcmp(cases[i].tasks, "copa,copa") == 0)
            folder_put("copa.jsonl", "{}", -1);
        assert_int_equal(task_runs_read(&runs, &settings, &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("%s: %s", cases[i].tasks, err.text);
        task_runs_clear(&runs);
        string_list_clear(&data);
    }
}

/* ---- the real files -------------------------------------------------------------------------- */

static void published_files_are_read_whole(void **state)
{
    (void)state;
    static const struct {
        const char *task;
        int64_t groups, questions;
        double chance;
    } cases[] = {
        {"mmlu", 57, 14042, 0.25},
        {"mmlu_humanities", 13, 4705, 0.25},
        {"mmlu_stem", 18, 3018, 0.25},
        {"mmlu_social_sciences", 12, 3077, 0.25},
        {"mmlu_other", 14, 3242, 0.25},
        {"arc_easy", 1, 2376, 0.25},
        {"arc_challenge", 1, 1172, 0.25},
        {"openbookqa", 1, 500, 0.25},
        {"commonsense_qa", 1, 1221, 0.25},
        {"boolq", 1, 3270, 0.5},
        {"copa", 1, 100, 0.5},
        {"lambada_openai", 1, 5153, 0.0},
    };
    const char *folder = data_file("");
    if (!data_file("mmlu") || !data_file("choice"))
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TaskRuns runs;
        read_tasks(&runs, cases[i].task, folder, -1, 0, 0);
        assert_int_equal(runs.items[0].groups.count, cases[i].groups);
        assert_int_equal(question_groups_total(&runs.items[0].groups), cases[i].questions);
        assert_true(task_chance(&runs.items[0]) == cases[i].chance);
        assert_int_equal(runs.items[0].shots, strncmp(cases[i].task, "mmlu", 4) == 0 ? 5 : 0);
        task_runs_clear(&runs);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_set_up, folder_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_hold_commas_and_lines),
        IN_FOLDER(mmlu_is_asked_as_published),
        IN_FOLDER(prompts_are_the_usual_ones),
        IN_FOLDER(shots_are_not_asked),
        cmocka_unit_test(other_members_may_hold_anything),
        IN_FOLDER(damage_is_told_by_file_and_line),
        IN_FOLDER(requests_that_cannot_be_met_are_told),
        cmocka_unit_test(published_files_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
