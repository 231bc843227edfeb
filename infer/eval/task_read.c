#include "infer/eval/task_read.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "infer/eval/author.h"
#include "infer/eval/mmlu.h"
#include "infer/eval/translation.h"

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
    if (!*out && settings->data->count == 0)
        err_usage(err, "%s wants --data FOLDER, with %s%s in it or in its folder %s/", run->name,
                  file ? file : settings->split, file ? "" : "/", run->task->folder);
    else if (!*out)
        err_set(err, "no --data folder holds %s%s, which %s wants; name the right one",
                file ? file : "mmlu/", file ? "" : settings->split, run->name);
    free(file);
    return *out ? STATUS_OK : STATUS_FAIL;
}

/* ---- shots ----------------------------------------------------------------------------------- */

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
        const Question *shot = &list->items[index];
        question_put_solved(&prefix, shot, shot->choices[shot->gold]);
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

Status task_read_mmlu(TaskRun *run, const char *folder, const TaskSettings *settings, Err *err)
{
    if (run->shots && strcmp(settings->split, "dev") == 0)
        return err_usage(err,
                         "--split dev: its questions are the solved examples; take another, or "
                         "--shots 0");
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

Status task_read_choices(TaskRun *run, const char *path, const TaskSettings *settings, Err *err)
{
    QuestionGroup *group = question_groups_add(&run->groups, NULL, NULL);
    TRY(choice_file_read(&group->questions, path, run->task->form, err));
    for (int64_t i = 0; i < group->questions.count; i++)
        if ((group->questions.items[i].n_choices == 1) != (run->task->kind == TASK_LAST_WORD))
            return err_set(err, "%s: question %s is not one of %s; put the task's own file there",
                           path, group->questions.items[i].id, run->name);
    return set_aside(run, settings, err);
}

Status task_read_translation(TaskRun *run, const char *path, const TaskSettings *settings, Err *err)
{
    QuestionGroup *group = question_groups_add(&run->groups, NULL, NULL);
    TRY(translation_read(&group->questions, path, run->part, err));
    return set_aside(run, settings, err);
}

Status task_read_squad(TaskRun *run, const char *path, const TaskSettings *settings, Err *err)
{
    bool author = run->protocol == PROTOCOL_AUTHOR;
    TRY(squad_read(&run->groups, path, author ? &squad_form_author : run->task->squad, err));
    if (author) {
        author_select(&run->groups, settings->limit, settings->seed);
        return STATUS_OK;
    }
    TRY(squad_take_shots(&run->groups, run->shots, settings->seed, run->name, err));
    if (settings->limit)
        question_groups_cut(&run->groups, settings->limit);
    return STATUS_OK;
}

Status task_read(TaskRun *run, const TaskSettings *settings, Err *err)
{
    char *path;
    TRY(find_file(run, settings, &path, err));
    Status status = run->task->read(run, path, settings, err);
    if (status == STATUS_OK && question_groups_total(&run->groups) == 0)
        status = run->shots > 0
                     ? err_set(err, "%s: no question is left to ask; take fewer --shots", path)
                     : err_set(err, "%s holds no question; download it again", path);
    free(path);
    return status;
}
