#include "infer/eval/answer.h"

#include <math.h>
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

static Outcome choice_outcome(const Question *question, const Prompt *prompt)
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

/* `answer`: what the model wrote. */
static Outcome squad_outcome(const Task *task, const Question *question, const Prompt *prompt,
                             const char *answer)
{
    double no_answer = prompt->n_texts > 0 ? exp(prompt->logprobs[0]) : 0.0;
    SquadAnswer squad = squad_judge(task, question, answer, no_answer);
    return (Outcome){.correct = squad.score.exact == 1.0, .squad = squad};
}

/* ---- items ----------------------------------------------------------------------------------- */

static char *item_id(const QuestionGroup *group, const Question *question)
{
    return group->name ? xasprintf("%s/%s", group->name, question->id) : xstrdup(question->id);
}

/* What every item has: all that the result is made of, and what a reader wants to see of it. */
static json_t *start_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                          bool correct, double score)
{
    char *id = item_id(group, question);
    json_t *item = json_pack("{s:s, s:s, s:s?, s:i, s:f}", "task", run->name, "id", id, "group",
                             group->name, "correct", correct, "score", score);
    free(id);
    return item;
}

static void end_item(json_t *item, const QuestionGroup *group, const Question *question,
                     const char *answers)
{
    json_t *choices = json_array();
    for (int64_t i = 0; i < question->n_choices; i++)
        json_array_append_new(choices, json_string(question->choices[i]));
    json_object_set_new(item, answers, choices);
    char *text = xasprintf("%s%s", group->prefix, question->context);
    json_object_set_new(item, "prompt", json_string(text));
    free(text);
}

static json_t *choice_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                           const Prompt *prompt, const Outcome *outcome)
{
    json_t *item = start_item(run, group, question, outcome->correct, outcome->correct);
    if (run->task->by_bytes)
        json_object_set_new(item, "correct_per_byte", json_integer(outcome->correct_per_byte));
    if (!prompt->greedy)
        json_object_set_new(item, "answer", json_integer(choose(question, prompt, false)));
    json_t *logprobs = json_array();
    for (int64_t i = 0; i < question->n_choices; i++)
        json_array_append_new(logprobs, json_real(prompt->logprobs[i]));
    json_object_set_new(item, "gold", json_integer(question->gold));
    json_object_set_new(item, "logprobs", logprobs);
    end_item(item, group, question, "choices");
    return item;
}

static json_t *squad_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                          const char *answer, const Outcome *outcome)
{
    const SquadAnswer *squad = &outcome->squad;
    json_t *item = start_item(run, group, question, outcome->correct, squad->score.f1);
    json_object_set_new(item, "answer", json_string(answer));
    if (task_has_unanswerable(run->task))
        json_object_set_new(item, "no_answer", json_real(squad->no_answer));
    end_item(item, group, question, "references");
    return item;
}

/* The outcome that an item holds; false when it is not one of the task. */
static bool outcome_of_item(const Task *task, const Question *question, const json_t *line,
                            Outcome *out)
{
    const json_t *correct = json_object_get(line, "correct");
    const json_t *score = json_object_get(line, "score");
    const json_t *answer = json_object_get(line, "answer");
    const json_t *logprobs = json_object_get(line, "logprobs");
    if (!json_is_integer(correct) || !json_is_number(score))
        return false;
    out->correct = json_integer_value(correct) != 0;
    out->correct_per_byte = json_integer_value(json_object_get(line, "correct_per_byte")) != 0;
    if (task->kind == TASK_SQUAD) {
        out->squad =
            (SquadAnswer){.score = {.exact = out->correct, .f1 = json_number_value(score)},
                          .answerable = question->n_choices > 0,
                          .answered = json_string_length(answer) > 0,
                          .no_answer = json_number_value(json_object_get(line, "no_answer"))};
        return json_is_string(answer);
    }
    out->logprob = json_number_value(json_array_get(logprobs, (size_t)question->gold));
    return json_array_size(logprobs) == (size_t)question->n_choices;
}

/* The outcome that line `index` of the items file holds, which must be this question's. */
static Status take_over(const ItemsFile *items, int64_t index, const TaskRun *run,
                        const QuestionGroup *group, const Question *question, Outcome *out,
                        Err *err)
{
    const json_t *line = items_line(items, index);
    const char *task = json_string_value(json_object_get(line, "task"));
    const char *found = json_string_value(json_object_get(line, "id"));
    char *id = item_id(group, question);
    bool same = task && found && strcmp(task, run->name) == 0 && strcmp(found, id) == 0 &&
                outcome_of_item(run->task, question, line, out);
    free(id);
    if (!same)
        return err_set(err, "%s:%lld: not the item that belongs there; remove the file",
                       items_path(items), (long long)index + 2);
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

/* The texts whose log-probabilities are asked for; one behind the other, n. The caller frees. */
static char **texts_of(const Task *task, const Question *question, int64_t *n)
{
    bool squad = task->kind == TASK_SQUAD;
    *n = !squad ? question->n_choices : task_has_unanswerable(task) ? 1 : 0;
    char **texts = xcalloc((size_t)*n + 1, sizeof *texts);
    for (int64_t i = 0; i < *n; i++)
        texts[i] = xasprintf(" %s", squad ? squad_no_answer : question->choices[i]);
    return texts;
}

static Status encode_question(const Asking *asking, int64_t q, Err *err)
{
    const Task *task = asking->run->task;
    const Question *question = &asking->group->questions.items[q];
    int64_t n, generate = task->kind == TASK_SQUAD ? SQUAD_TOKENS : 0;
    PromptRule rule = {.tokenizer = asking->options->tokenizer,
                       .limit = asking->options->context - generate};
    char *context = xasprintf("%s%s", asking->group->prefix, question->context);
    char **texts = texts_of(task, question, &n);
    Prompt *prompt = &asking->prompts[q];
    Status status = prompt_encode(prompt, &rule, context, (const char *const *)texts, n, err);
    prompt->greedy = task_is_greedy(task);
    prompt->generate = generate;
    for (int64_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
    free(context);
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
        json_t *item;
        if (asking->run->task->kind == TASK_SQUAD) {
            char *answer =
                squad_answer_text(asking->run->task, asking->options->tokenizer, &prompt->written);
            asking->outcomes[q] = squad_outcome(asking->run->task, question, prompt, answer);
            item = squad_item(asking->run, asking->group, question, answer, &asking->outcomes[q]);
            free(answer);
        } else {
            asking->outcomes[q] = choice_outcome(question, prompt);
            item = choice_item(asking->run, asking->group, question, prompt, &asking->outcomes[q]);
        }
        if (items)
            TRY(items_add(items, item, err));
        else
            json_decref(item);
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
