#include "infer/eval/answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "infer/eval/answer_item.h"
#include "infer/eval/translation.h"
#include "infer/eval/written.h"

static int64_t best_of(const double *scores, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

int64_t prompt_choice(const Question *question, const Prompt *prompt, bool per_byte)
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
    Outcome out = {.logprob = prompt->logprobs[question->gold], .cut = prompt->cut};
    if (prompt->greedy) {
        out.correct = out.correct_per_byte = prompt->is_greedy;
    } else {
        out.correct = prompt_choice(question, prompt, false) == question->gold;
        out.correct_per_byte = prompt_choice(question, prompt, true) == question->gold;
    }
    return out;
}

/* `answer`: what the model wrote. */
static Outcome squad_outcome(const Task *task, const Question *question, const Prompt *prompt,
                             const char *answer)
{
    double no_answer = prompt->n_texts > 0 ? exp(prompt->logprobs[0]) : 0.0;
    SquadAnswer squad = squad_judge(task, question, answer, no_answer);
    return (Outcome){.correct = squad.score.exact == 1.0, .squad = squad, .cut = prompt->cut};
}

static Outcome translation_outcome(const Question *question, const Prompt *prompt, char *written)
{
    return (Outcome){.written = written,
                     .cut = prompt->cut,
                     .chrf = translation_line_score(written, question->choices[question->gold])};
}

/* What was drawn after the prompts of a question, of which `prompt` is one. */
static Outcome author_outcome(const Task *task, const Question *question, const Prompt *prompt,
                              char *const *replies)
{
    Outcome out = {.cut = prompt->cut};
    for (int r = 0; r < AUTHOR_REPEATS; r++)
        out.replies[r] = author_is_right(task, question, replies[r]);
    return out;
}

void outcomes_clear(Outcome *outcomes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        free(outcomes[i].written);
        outcomes[i].written = NULL;
    }
}

double outcome_score(const TaskRun *run, const Outcome *outcome)
{
    int64_t right = 0;
    if (run->protocol != PROTOCOL_AUTHOR)
        return run->task->kind == TASK_TRANSLATE ? outcome->chrf : outcome->correct;
    for (int r = 0; r < AUTHOR_REPEATS; r++)
        right += outcome->replies[r];
    return (double)right / AUTHOR_REPEATS;
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
                outcome_of_item(run, question, line, out);
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
    int64_t per;       /* prompts of a question */
    int64_t done;      /* questions of the group whose items were there */
    Prompt *prompts;   /* of the group */
    AuthorDraw *draws; /* (prompts), of the author's protocol */
    Status *statuses;  /* of encoding them */
    Outcome *outcomes; /* of the group */
    int64_t line;      /* of the group's first question in the items file */
    int64_t before;    /* questions of the task before the group */
    Progress bar;
} Asking;

/* The texts whose log-probabilities are asked for; one behind the other, n. The caller frees. */
static char **texts_of(const Task *task, const Question *question, int64_t *n)
{
    bool squad = task->kind == TASK_SQUAD, written = squad || task->kind == TASK_TRANSLATE;
    *n = !written ? question->n_choices : task_has_unanswerable(task) ? 1 : 0;
    char **texts = xcalloc((size_t)*n + 1, sizeof *texts);
    for (int64_t i = 0; i < *n; i++)
        texts[i] = xasprintf(" %s", squad ? squad_no_answer : question->choices[i]);
    return texts;
}

/* The author's protocol: the same prompt, and what is drawn after each. */
static Status encode_author(const Asking *asking, int64_t q, Err *err)
{
    const Task *task = asking->run->task;
    const Question *question = &asking->group->questions.items[q];
    int64_t generate = author_tokens(task, question);
    PromptRule rule = {.tokenizer = asking->options->tokenizer,
                       .limit = asking->options->context - generate};
    char *context = xasprintf("%s%s", asking->group->prefix, question->context);
    char *id = item_id(asking->group, question);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < asking->per && status == STATUS_OK; i++) {
        Prompt *prompt = &asking->prompts[q * asking->per + i];
        AuthorDraw *draw = &asking->draws[q * asking->per + i];
        status = prompt_encode(prompt, &rule, context, NULL, 0, err);
        author_draw_init(draw, task, id, i, asking->options->seed);
        prompt->generate = generate;
        prompt->pick = author_pick;
        prompt->pick_context = draw;
    }
    free(id);
    free(context);
    return status;
}

/* Tokens that the model may write. */
static int64_t tokens_to_write(const Task *task, int64_t context)
{
    if (task->kind != TASK_SQUAD && task->kind != TASK_TRANSLATE)
        return 0;
    int64_t most = task->kind == TASK_SQUAD ? SQUAD_TOKENS : TRANSLATION_TOKENS;
    return context / 2 < most ? context / 2 : most;
}

static Status encode_question(const Asking *asking, int64_t q, Err *err)
{
    if (asking->run->protocol == PROTOCOL_AUTHOR)
        return encode_author(asking, q, err);
    const Task *task = asking->run->task;
    const Question *question = &asking->group->questions.items[q];
    int64_t n, generate = tokens_to_write(task, asking->options->context);
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
        for (int64_t i = 0; i < asking->per; i++)
            prompt_clear(&asking->prompts[q * asking->per + i]);
        encode_question(asking, q, err);
        status = err_wrap(err, "%s, question %s", asking->run->name,
                          asking->group->questions.items[q].id);
    }
    free(asking->statuses);
    return status;
}

/* What the model said to question q, as an item that the caller owns. */
static json_t *judge_author(const Asking *asking, int64_t q)
{
    const TaskRun *run = asking->run;
    const Question *question = &asking->group->questions.items[q];
    char *replies[AUTHOR_REPEATS];
    for (int r = 0; r < AUTHOR_REPEATS; r++)
        replies[r] =
            author_reply(run->task, asking->options->tokenizer, &asking->draws[q * asking->per], r);
    asking->outcomes[q] =
        author_outcome(run->task, question, &asking->prompts[q * asking->per], replies);
    json_t *item = author_item(run, asking->group, question, replies, &asking->outcomes[q]);
    for (int r = 0; r < AUTHOR_REPEATS; r++)
        free(replies[r]);
    return item;
}

static json_t *judge(const Asking *asking, int64_t q)
{
    const TaskRun *run = asking->run;
    const Question *question = &asking->group->questions.items[q];
    const Prompt *prompt = &asking->prompts[q * asking->per];
    if (run->protocol == PROTOCOL_AUTHOR)
        return judge_author(asking, q);
    if (run->task->kind == TASK_SQUAD) {
        char *answer = squad_answer_text(run->task, asking->options->tokenizer, &prompt->written);
        asking->outcomes[q] = squad_outcome(run->task, question, prompt, answer);
        json_t *item = squad_item(run, asking->group, question, answer, &asking->outcomes[q]);
        free(answer);
        return item;
    }
    if (run->task->kind == TASK_TRANSLATE) {
        asking->outcomes[q] = translation_outcome(
            question, prompt, written_line(asking->options->tokenizer, &prompt->written));
        return translation_item(run, asking->group, question, &asking->outcomes[q]);
    }
    asking->outcomes[q] = choice_outcome(question, prompt);
    return choice_item(run, asking->group, question, prompt, &asking->outcomes[q]);
}

/* Takes the questions whose last prompt is in the batch. Those that had items keep them: the first
 * batch begins where it would have begun without, and may hold some of their prompts. */
static Status take_batch(void *context, int64_t first, int64_t count, Err *err)
{
    Asking *asking = context;
    ItemsFile *items = asking->options->items;
    int64_t begin = first / asking->per, end = (first + count) / asking->per;
    for (int64_t q = begin > asking->done ? begin : asking->done; q < end; q++) {
        json_t *item = judge(asking, q);
        if (items)
            TRY(items_add(items, item, err));
        else
            json_decref(item);
    }
    progress_update(&asking->bar, asking->before + end, NULL);
    return items ? items_flush(items, err) : STATUS_OK;
}

static Status answer_group(Asking *asking, Scorer *scorer, Err *err)
{
    const ItemsFile *items = asking->options->items;
    const QuestionList *list = &asking->group->questions;
    int64_t n = list->count, done = items ? items_count(items) - asking->line : 0;
    int64_t n_prompts = n * asking->per;
    asking->done = done < 0 ? 0 : done < n ? done : n;
    for (int64_t q = 0; q < asking->done; q++)
        TRY(take_over(items, asking->line + q, asking->run, asking->group, &list->items[q],
                      &asking->outcomes[q], err));
    if (asking->done == n)
        return STATUS_OK;
    asking->prompts = xcalloc((size_t)n_prompts, sizeof *asking->prompts);
    asking->draws = xcalloc((size_t)n_prompts, sizeof *asking->draws);
    Status status = encode_group(asking, err);
    if (status == STATUS_OK)
        status = scorer_run(scorer, asking->prompts, n_prompts, asking->done * asking->per,
                            take_batch, asking, err);
    for (int64_t i = 0; i < n_prompts; i++) {
        prompt_clear(&asking->prompts[i]);
        id_list_clear(&asking->draws[i].ids);
    }
    free(asking->prompts);
    free(asking->draws);
    return status;
}

Status answer_task(const TaskRun *run, Scorer *scorer, const AnswerOptions *options,
                   Outcome *outcomes, Err *err)
{
    bool author = run->protocol == PROTOCOL_AUTHOR;
    Asking asking = {.run = run, .options = options, .per = author ? author_prompts(run->task) : 1};
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
