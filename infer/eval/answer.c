#include "infer/eval/answer.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"

static int64_t best_of(const double *scores, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

/* The choice with the largest log-probability, or the largest per byte. (lm-evaluation-harness
 * divides by characters: the same for answers in ASCII.) */
static int64_t choose(const Question *question, const Prompt *prompt, bool per_byte)
{
    double *scores = xmalloc((size_t)question->n_choices * sizeof *scores);
    for (int64_t i = 0; i < question->n_choices; i++)
        scores[i] = prompt->logprobs[i] / (per_byte ? (double)strlen(question->choices[i]) : 1.0);
    int64_t best = best_of(scores, question->n_choices);
    free(scores);
    return best;
}

Outcome outcome_of(const Question *question, const Prompt *prompt)
{
    Outcome out = {.logprob = prompt->logprobs[question->gold]};
    if (prompt->greedy) {
        out.correct = out.correct_per_byte = prompt->is_greedy;
    } else {
        out.correct = choose(question, prompt, false) == question->gold;
        out.correct_per_byte = choose(question, prompt, true) == question->gold;
    }
    return out;
}

/* ---- items ----------------------------------------------------------------------------------- */

static char *item_id(const QuestionGroup *group, const Question *question)
{
    return group->name ? xasprintf("%s/%s", group->name, question->id) : xstrdup(question->id);
}

/* An item is all that the result is made of, and what a reader wants to see of it. */
static json_t *item_json(const TaskRun *run, const QuestionGroup *group, const Question *question,
                         const Prompt *prompt)
{
    Outcome outcome = outcome_of(question, prompt);
    char *id = item_id(group, question);
    char *text = xasprintf("%s%s", group->prefix, question->context);
    json_t *logprobs = json_array(), *choices = json_array();
    for (int64_t i = 0; i < question->n_choices; i++) {
        json_array_append_new(logprobs, json_real(prompt->logprobs[i]));
        json_array_append_new(choices, json_string(question->choices[i]));
    }
    json_t *item =
        json_pack("{s:s, s:s, s:s?, s:i, s:f}", "task", run->name, "id", id, "group", group->name,
                  "correct", outcome.correct, "score", outcome.correct ? 1.0 : 0.0);
    if (run->task->by_bytes)
        json_object_set_new(item, "correct_per_byte", json_integer(outcome.correct_per_byte));
    if (!prompt->greedy)
        json_object_set_new(item, "answer", json_integer(choose(question, prompt, false)));
    json_object_set_new(item, "gold", json_integer(question->gold));
    json_object_set_new(item, "logprobs", logprobs);
    json_object_set_new(item, "choices", choices);
    json_object_set_new(item, "prompt", json_string(text));
    free(text);
    free(id);
    return item;
}

/* The outcome that line `index` of the items file holds, which must be this question's. */
static Status take_over(const ItemsFile *items, int64_t index, const TaskRun *run,
                        const QuestionGroup *group, const Question *question, Outcome *out,
                        Err *err)
{
    const json_t *line = items_line(items, index);
    const char *task = json_string_value(json_object_get(line, "task"));
    const char *found = json_string_value(json_object_get(line, "id"));
    const json_t *correct = json_object_get(line, "correct");
    const json_t *per_byte = json_object_get(line, "correct_per_byte");
    const json_t *logprobs = json_object_get(line, "logprobs");
    char *id = item_id(group, question);
    bool same = task && found && strcmp(task, run->name) == 0 && strcmp(found, id) == 0 &&
                json_is_integer(correct) &&
                json_array_size(logprobs) == (size_t)question->n_choices;
    free(id);
    if (!same)
        return err_set(err, "%s:%lld: not the item that belongs there; remove the file",
                       items_path(items), (long long)index + 2);
    out->correct = json_integer_value(correct) != 0;
    out->correct_per_byte = json_integer_value(per_byte) != 0;
    out->logprob = json_real_value(json_array_get(logprobs, (size_t)question->gold));
    return STATUS_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

typedef struct Asking {
    const TaskRun *run;
    const QuestionGroup *group;
    const AnswerOptions *options;
    Prompt *prompts;   /* of the group */
    Status *statuses;  /* of encoding them */
    Outcome *outcomes; /* of the group */
    int64_t line;      /* of the group's first question in the items file */
    int64_t before;    /* questions of the task before the group */
    Progress bar;
} Asking;

static Status encode_question(const Asking *asking, int64_t q, Err *err)
{
    PromptRule rule = {.tokenizer = asking->options->tokenizer, .limit = asking->options->context};
    const Question *question = &asking->group->questions.items[q];
    size_t n = (size_t)question->n_choices;
    char *text = xasprintf("%s%s", asking->group->prefix, question->context);
    char **answers = xcalloc(n, sizeof *answers);
    for (size_t i = 0; i < n; i++)
        answers[i] = xasprintf(" %s", question->choices[i]);
    Prompt *prompt = &asking->prompts[q];
    Status status =
        prompt_encode(prompt, &rule, text, (const char *const *)answers, question->n_choices, err);
    prompt->greedy = task_is_greedy(asking->run->task);
    for (size_t i = 0; i < n; i++)
        free(answers[i]);
    free(answers);
    free(text);
    return status;
}

static void encode_range(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Asking *asking = context;
    Err err;
    for (int64_t q = begin; q < end; q++)
        asking->statuses[q] = encode_question(asking, q, &err);
}

/* All questions of the group; the first that cannot be encoded is told of. */
static Status encode_group(Asking *asking, Err *err)
{
    int64_t n = asking->group->questions.count;
    asking->statuses = xcalloc((size_t)n, sizeof *asking->statuses);
    parallel_dynamic(n, 8, encode_range, asking);
    Status status = STATUS_OK;
    for (int64_t q = 0; q < n && status == STATUS_OK; q++) {
        if (asking->statuses[q] == STATUS_OK)
            continue;
        prompt_clear(&asking->prompts[q]);
        encode_question(asking, q, err);
        status = err_wrap(err, "%s, question %s", asking->run->name,
                          asking->group->questions.items[q].id);
    }
    free(asking->statuses);
    return status;
}

static Status take_batch(void *context, int64_t first, int64_t count, Err *err)
{
    Asking *asking = context;
    ItemsFile *items = asking->options->items;
    if (items && asking->line + first < items_count(items))
        TRY(items_cut(items, asking->line + first, err));
    for (int64_t q = first; q < first + count; q++) {
        const Question *question = &asking->group->questions.items[q];
        const Prompt *prompt = &asking->prompts[q];
        asking->outcomes[q] = outcome_of(question, prompt);
        if (items)
            TRY(items_add(items, item_json(asking->run, asking->group, question, prompt), err));
    }
    progress_update(&asking->bar, asking->before + first + count, NULL);
    return items ? items_flush(items, err) : STATUS_OK;
}

static Status answer_group(Asking *asking, Scorer *scorer, Err *err)
{
    const ItemsFile *items = asking->options->items;
    const QuestionList *list = &asking->group->questions;
    int64_t n = list->count, done = items ? items_count(items) - asking->line : 0;
    done = done < 0 ? 0 : done < n ? done : n;
    for (int64_t q = 0; q < done; q++)
        TRY(take_over(items, asking->line + q, asking->run, asking->group, &list->items[q],
                      &asking->outcomes[q], err));
    if (done == n)
        return STATUS_OK;
    asking->prompts = xcalloc((size_t)n, sizeof *asking->prompts);
    Status status = encode_group(asking, err);
    if (status == STATUS_OK)
        status = scorer_run(scorer, asking->prompts, n, done, take_batch, asking, err);
    for (int64_t q = 0; q < n; q++)
        prompt_clear(&asking->prompts[q]);
    free(asking->prompts);
    return status;
}

Status answer_task(const TaskRun *run, Scorer *scorer, const AnswerOptions *options,
                   Outcome *outcomes, Err *err)
{
    Asking asking = {.run = run, .options = options};
    Status status = STATUS_OK;
    progress_start(&asking.bar, run->name, question_groups_total(&run->groups));
    if (options->items && items_count(options->items) > options->first)
        asking.bar.first = items_count(options->items) - options->first;
    for (int64_t g = 0; g < run->groups.count && status == STATUS_OK; g++) {
        asking.group = &run->groups.items[g];
        asking.outcomes = outcomes + asking.before;
        asking.line = options->first + asking.before;
        status = answer_group(&asking, scorer, err);
        asking.before += asking.group->questions.count;
    }
    progress_end(&asking.bar);
    return status;
}
