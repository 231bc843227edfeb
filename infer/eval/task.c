#include "infer/eval/task.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/options.h"
#include "infer/eval/author.h"
#include "infer/eval/mmlu.h"
#include "infer/eval/task_read.h"
#include "infer/eval/translation.h"

static const Task tasks[] = {
    {.name = "bpb", .kind = TASK_BPB},
    {.name = "mmlu",
     .kind = TASK_CHOICE,
     .read = task_read_mmlu,
     .has_part = mmlu_has_part,
     .folder = "mmlu",
     .shots = 5},
    {.name = "arc_easy",
     .kind = TASK_CHOICE,
     .read = task_read_choices,
     .folder = "choice",
     .file = "arc_easy.jsonl",
     .form = form_question_answer,
     .by_bytes = true},
    {.name = "arc_challenge",
     .kind = TASK_CHOICE,
     .read = task_read_choices,
     .folder = "choice",
     .file = "arc_challenge.jsonl",
     .form = form_question_answer,
     .by_bytes = true},
    {.name = "openbookqa",
     .kind = TASK_CHOICE,
     .read = task_read_choices,
     .folder = "choice",
     .file = "openbook_qa.jsonl",
     .form = form_as_it_is,
     .by_bytes = true},
    {.name = "commonsense_qa",
     .kind = TASK_CHOICE,
     .read = task_read_choices,
     .folder = "choice",
     .file = "commonsense_qa.jsonl",
     .form = form_letters},
    {.name = "boolq",
     .kind = TASK_CHOICE,
     .read = task_read_choices,
     .folder = "choice",
     .file = "boolq.jsonl",
     .form = form_passage},
    {.name = "copa",
     .kind = TASK_CHOICE,
     .read = task_read_choices,
     .folder = "choice",
     .file = "copa.jsonl",
     .form = form_connected},
    {.name = "lambada_openai",
     .kind = TASK_LAST_WORD,
     .read = task_read_choices,
     .folder = "choice",
     .file = "lambada_openai.jsonl",
     .form = form_as_it_is},
    {.name = "squad",
     .kind = TASK_SQUAD,
     .read = task_read_squad,
     .folder = "squad",
     .file = "dev-v1.1.json",
     .squad = &squad_form},
    {.name = "squad2",
     .kind = TASK_SQUAD,
     .read = task_read_squad,
     .folder = "squad",
     .file = "dev-v2.0.json",
     .squad = &squad_form,
     .version = SQUAD_V2},
    {.name = "xquad_en",
     .kind = TASK_SQUAD,
     .read = task_read_squad,
     .folder = "squad",
     .file = "xquad.en.json",
     .squad = &xquad_form_en},
    {.name = "xquad_ru",
     .kind = TASK_SQUAD,
     .read = task_read_squad,
     .folder = "squad",
     .file = "xquad.ru.json",
     .squad = &xquad_form_ru},
    {.name = "xquad_zh",
     .kind = TASK_SQUAD,
     .read = task_read_squad,
     .folder = "squad",
     .file = "xquad.zh.json",
     .squad = &xquad_form_zh,
     .rule = SQUAD_RULE_CHINESE},
    {.name = "flores",
     .kind = TASK_TRANSLATE,
     .read = task_read_translation,
     .has_part = translation_has_pair,
     .folder = "parallel",
     .file = "flores200-devtest.",
     .shots = 5},
    {.name = "ntrex",
     .kind = TASK_TRANSLATE,
     .read = task_read_translation,
     .has_part = translation_has_pair,
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

bool task_is_made(const Task *task)
{
    return task->kind == TASK_PASSKEY || task->kind == TASK_NEEDLE;
}

bool task_is_greedy(const Task *task)
{
    return task->kind == TASK_LAST_WORD || task_is_made(task);
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
        err_usage(err, "there is no task '%s'; did you mean %s?", name, near);
    else
        err_usage(
            err,
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
    if (!task->has_part || strncmp(name, task->name, bytes) != 0 || name[bytes] != '_')
        return NULL;
    const char *part = name + bytes + 1;
    return task->has_part(part) ? part : NULL;
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
        return err_usage(err, "%s wants its languages: %s_en-ru, of en, ru and zh", name, name);
    for (int64_t i = 0; i < runs->count; i++)
        if (strcmp(runs->items[i].name, name) == 0)
            return err_usage(err, "the task %s is named twice", name);
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

/* ---- reading --------------------------------------------------------------------------------- */

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
        if (task_is_made(run->task) && run->shots > 0) {
            log_warn("%s has no solved examples; --shots does not change it", run->name);
            run->shots = 0;
        }
        if (run->protocol == PROTOCOL_AUTHOR)
            status = author_check(run, settings->shots, err);
        if (status == STATUS_OK && run->task->read)
            status = task_read(run, settings, err);
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
