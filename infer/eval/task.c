#include "infer/eval/task.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/cli/options.h"
#include "infer/eval/author.h"
#include "infer/eval/mmlu.h"
#include "infer/eval/squad.h"
#include "infer/eval/translation.h"

static const Task tasks[] = {
    {.name = "bpb", .kind = TASK_BPB},
    {.name = "mmlu", .kind = TASK_CHOICE, .folder = "mmlu", .shots = 5},
    {.name = "arc_easy",
     .kind = TASK_CHOICE,
     .folder = "choice",
     .file = "arc_easy.jsonl",
     .form = form_question_answer,
     .by_bytes = true},
    {.name = "arc_challenge",
     .kind = TASK_CHOICE,
     .folder = "choice",
     .file = "arc_challenge.jsonl",
     .form = form_question_answer,
     .by_bytes = true},
    {.name = "openbookqa",
     .kind = TASK_CHOICE,
     .folder = "choice",
     .file = "openbook_qa.jsonl",
     .form = form_as_it_is,
     .by_bytes = true},
    {.name = "commonsense_qa",
     .kind = TASK_CHOICE,
     .folder = "choice",
     .file = "commonsense_qa.jsonl",
     .form = form_letters},
    {.name = "boolq",
     .kind = TASK_CHOICE,
     .folder = "choice",
     .file = "boolq.jsonl",
     .form = form_passage},
    {.name = "copa",
     .kind = TASK_CHOICE,
     .folder = "choice",
     .file = "copa.jsonl",
     .form = form_connected},
    {.name = "lambada_openai",
     .kind = TASK_LAST_WORD,
     .folder = "choice",
     .file = "lambada_openai.jsonl",
     .form = form_as_it_is},
    {.name = "squad", .kind = TASK_SQUAD, .folder = "squad", .file = "dev-v1.1.json"},
    {.name = "squad2",
     .kind = TASK_SQUAD,
     .folder = "squad",
     .file = "dev-v2.0.json",
     .version = SQUAD_V2},
    {.name = "xquad_en", .kind = TASK_SQUAD, .folder = "squad", .file = "xquad.en.json"},
    {.name = "xquad_ru", .kind = TASK_SQUAD, .folder = "squad", .file = "xquad.ru.json"},
    {.name = "xquad_zh",
     .kind = TASK_SQUAD,
     .folder = "squad",
     .file = "xquad.zh.json",
     .rule = SQUAD_RULE_CHINESE},
    {.name = "flores",
     .kind = TASK_TRANSLATE,
     .folder = "parallel",
     .file = "flores200-devtest.",
     .shots = 5},
    {.name = "ntrex",
     .kind = TASK_TRANSLATE,
     .folder = "parallel",
     .file = "ntrex-newstest2019.",
     .shots = 5},
    {.name = "passkey", .kind = TASK_PASSKEY},
    {.name = "needle", .kind = TASK_NEEDLE},
};

enum { TASKS = sizeof tasks / sizeof *tasks };

bool task_has_unanswerable(const Task *task)
{
    return task->kind == TASK_SQUAD && task->version == SQUAD_V2;
}

bool task_is_greedy(const Task *task)
{
    return task->kind == TASK_LAST_WORD || task->kind == TASK_PASSKEY || task->kind == TASK_NEEDLE;
}

bool task_has_files(const Task *task)
{
    return task->kind == TASK_CHOICE || task->kind == TASK_LAST_WORD || task->kind == TASK_SQUAD ||
           task->kind == TASK_TRANSLATE;
}

bool task_wants_text(const Task *task)
{
    return task->kind == TASK_BPB || task->kind == TASK_NEEDLE;
}

/* ---- which tasks ----------------------------------------------------------------------------- */

static Status unknown_task(const char *name, Err *err)
{
    const char *names[TASKS];
    StrBuf all = {0};
    for (int i = 0; i < TASKS; i++) {
        names[i] = tasks[i].name;
        strbuf_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = nearest_name(name, names, TASKS);
    if (near)
        err_set(err, "there is no task '%s'; did you mean %s?", name, near);
    else
        err_set(err,
                "there is no task '%s'; there are %s, and mmlu_SUBJECT and mmlu_CATEGORY; those of "
                "translations end in the languages, as in flores_en-ru",
                name, all.data);
    strbuf_clear(&all);
    return STATUS_FAIL;
}

/* What stands behind the task in a name like "mmlu_stem" or "flores_en-ru", if it has such parts;
 * NULL where it is another task's name. */
static const char *part_of(const Task *task, const char *name)
{
    size_t bytes = strlen(task->name);
    if (strncmp(name, task->name, bytes) != 0 || name[bytes] != '_')
        return NULL;
    const char *part = name + bytes + 1;
    bool known = task->kind == TASK_TRANSLATE
                     ? translation_has_pair(part)
                     : task->kind == TASK_CHOICE && !task->file && mmlu_has_part(part);
    return known ? part : NULL;
}

static Status add_task(TaskRuns *runs, const char *name, Err *err)
{
    const Task *task = NULL;
    const char *part = NULL;
    for (int i = 0; i < TASKS && !task; i++) {
        part = part_of(&tasks[i], name);
        if (part || strcmp(tasks[i].name, name) == 0)
            task = &tasks[i];
    }
    if (!task)
        return unknown_task(name, err);
    if (task->kind == TASK_TRANSLATE && !part)
        return err_set(err, "%s wants its languages: %s_en-ru, of en, ru and zh", name, name);
    for (int64_t i = 0; i < runs->count; i++)
        if (strcmp(runs->items[i].name, name) == 0)
            return err_set(err, "the task %s is named twice", name);
    runs->items = mem_grow(runs->items, &runs->capacity, runs->count + 1, sizeof *runs->items);
    runs->items[runs->count++] = (TaskRun){
        .task = task, .name = xstrdup(name), .part = part ? xstrdup(part) : NULL, .source = -1};
    return STATUS_OK;
}

void task_runs_clear(TaskRuns *runs)
{
    for (int64_t i = 0; i < runs->count; i++) {
        question_groups_clear(&runs->items[i].groups);
        free(runs->items[i].name);
        free(runs->items[i].part);
    }
    free(runs->items);
    *runs = (TaskRuns){0};
}

/* ---- where their files are ------------------------------------------------------------------- */

/* The name of the task's file: of a translation, that of the language that it is from. NULL for
 * MMLU. The caller frees. */
static char *file_of(const TaskRun *run)
{
    const Task *task = run->task;
    if (task->kind == TASK_TRANSLATE)
        return xasprintf("%s%.*s", task->file, (int)strcspn(run->part, "-"), run->part);
    return task->file ? xstrdup(task->file) : NULL;
}

/* `file`, or MMLU's folder, in one of --data; NULL when it is not there. The caller frees. */
static char *look_in(const char *place, const TaskRun *run, const char *file, const char *split)
{
    if (file && !file_is_folder(place))
        return strcmp(file_base_name(place), file) == 0 ? xstrdup(place) : NULL;
    for (int deeper = 0; deeper < 2; deeper++) {
        char *path = deeper ? file_join(place, run->task->folder) : xstrdup(place);
        char *probe = file_join(path, file ? file : split);
        bool found = file ? file_exists(probe) : file_is_folder(probe);
        free(file ? path : probe);
        if (found)
            return file ? probe : path;
        free(file ? probe : path);
    }
    return NULL;
}

static Status find_file(TaskRun *run, const TaskSettings *settings, char **out, Err *err)
{
    char *file = file_of(run);
    *out = NULL;
    for (int64_t i = 0; i < settings->data->count && !*out; i++) {
        *out = look_in(settings->data->items[i], run, file, settings->split);
        run->source = i;
    }
    if (!*out)
        err_set(err, "no --data folder holds %s%s, which %s wants", file ? file : "mmlu/",
                file ? "" : settings->split, run->name);
    free(file);
    return *out ? STATUS_OK : STATUS_FAIL;
}

/* ---- shots ----------------------------------------------------------------------------------- */

/* Solved examples as a text: as questions are asked, each with its answer. */
static void add_shot(StrBuf *out, const Question *shot)
{
    strbuf_printf(out, "%s %s\n\n", shot->context, shot->choices[shot->gold]);
}

/* Moves `shots` questions of the list into the group's prefix: the first ones, or drawn ones. */
static Status take_shots(QuestionGroup *group, QuestionList *list, int64_t shots, int64_t seed,
                         const char *name, Err *err)
{
    if (shots > list->count)
        return err_set(err, "--shots %lld: %s has %lld solved examples", (long long)shots, name,
                       (long long)list->count);
    StrBuf prefix = {0};
    Rng rng;
    rng_init(&rng, (uint64_t)seed, hash_for_table(name, (int64_t)strlen(name)));
    strbuf_puts(&prefix, group->prefix);
    for (int64_t i = 0; i < shots; i++) {
        int64_t index = seed ? rng_below(&rng, list->count) : 0;
        add_shot(&prefix, &list->items[index]);
        question_list_drop(list, index);
    }
    free(group->prefix);
    group->prefix = strbuf_detach(&prefix);
    return STATUS_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void apply_limit(QuestionGroup *group, int64_t limit)
{
    if (limit && limit < group->questions.count)
        question_list_cut(&group->questions, limit);
}

static Status read_mmlu(TaskRun *run, const char *folder, const TaskSettings *settings, Err *err)
{
    TRY(mmlu_read(&run->groups, folder, settings->split, run->part, run->protocol, err));
    for (int64_t g = 0; g < run->groups.count; g++) {
        QuestionGroup *group = &run->groups.items[g];
        QuestionList solved = {0};
        Status status = run->shots ? mmlu_read_shots(&solved, folder, group->name, err) : STATUS_OK;
        if (status == STATUS_OK)
            status = take_shots(group, &solved, run->shots, settings->seed, group->name, err);
        question_list_clear(&solved);
        TRY(status);
        apply_limit(group, settings->limit);
    }
    return STATUS_OK;
}

/* Solved examples are the first questions, which are then not asked. */
static Status set_aside(TaskRun *run, const TaskSettings *settings, Err *err)
{
    QuestionGroup *group = &run->groups.items[0];
    TRY(take_shots(group, &group->questions, run->shots, settings->seed, run->name, err));
    apply_limit(group, settings->limit);
    return STATUS_OK;
}

static Status read_file(TaskRun *run, const char *path, const TaskSettings *settings, Err *err)
{
    QuestionGroup *group = question_groups_add(&run->groups, NULL, NULL);
    TRY(choice_file_read(&group->questions, path, run->task->form, err));
    for (int64_t i = 0; i < group->questions.count; i++)
        if ((group->questions.items[i].n_choices == 1) != (run->task->kind == TASK_LAST_WORD))
            return err_set(err, "%s: question %s is not one of %s; put the task's own file there",
                           path, group->questions.items[i].id, run->name);
    return set_aside(run, settings, err);
}

static Status read_translation(TaskRun *run, const char *path, const TaskSettings *settings,
                               Err *err)
{
    QuestionGroup *group = question_groups_add(&run->groups, NULL, NULL);
    TRY(translation_read(&group->questions, path, run->part, err));
    return set_aside(run, settings, err);
}

static Status read_squad(TaskRun *run, const char *path, const TaskSettings *settings, Err *err)
{
    if (run->shots > 0)
        return err_set(err, "%s is asked without solved examples; leave --shots out", run->name);
    if (run->protocol != PROTOCOL_AUTHOR)
        return squad_read(&run->groups, path, run->protocol, settings->limit, err);
    TRY(squad_read(&run->groups, path, run->protocol, 0, err));
    author_select(&run->groups, settings->limit, settings->seed);
    return STATUS_OK;
}

static Status read_task(TaskRun *run, const TaskSettings *settings, Err *err)
{
    char *path;
    TRY(find_file(run, settings, &path, err));
    Status status = run->task->kind == TASK_SQUAD       ? read_squad(run, path, settings, err)
                    : run->task->kind == TASK_TRANSLATE ? read_translation(run, path, settings, err)
                    : run->task->file                   ? read_file(run, path, settings, err)
                                                        : read_mmlu(run, path, settings, err);
    free(path);
    if (status == STATUS_OK && question_groups_total(&run->groups) == 0)
        status = err_set(err, "%s: no question is left to ask", run->name);
    return status;
}

Status task_runs_read(TaskRuns *out, const TaskSettings *settings, Err *err)
{
    char *names = xstrdup(settings->names), *rest = names, *name;
    Status status = STATUS_OK;
    while (status == STATUS_OK && (name = strsep(&rest, ",")) != NULL)
        status = add_task(out, name, err);
    free(names);
    for (int64_t i = 0; i < out->count && status == STATUS_OK; i++) {
        TaskRun *run = &out->items[i];
        run->protocol = settings->protocol;
        run->shots = settings->shots < 0 ? run->task->shots : settings->shots;
        if (run->protocol == PROTOCOL_AUTHOR)
            status = author_check(run, settings->shots, err);
        if (status == STATUS_OK && task_has_files(run->task))
            status = read_task(run, settings, err);
    }
    return status;
}

double task_chance(const TaskRun *run)
{
    double sum = 0.0;
    if (run->task->kind != TASK_CHOICE)
        return 0.0;
    for (int64_t g = 0; g < run->groups.count; g++) {
        const QuestionList *list = &run->groups.items[g].questions;
        for (int64_t i = 0; i < list->count; i++)
            sum += 1.0 / (double)list->items[i].n_choices;
    }
    return sum / (double)question_groups_total(&run->groups);
}
