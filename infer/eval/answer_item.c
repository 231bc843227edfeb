#include "infer/eval/answer_item.h"

#include <stdlib.h>

#include "core/base/mem.h"

enum { HASH_DIGITS = 16 }; /* questions of two files with one id are equal or not: 64 bits tell */

char *item_id(const QuestionGroup *group, const Question *question)
{
    return group->name ? xasprintf("%s/%s", group->name, question->id) : xstrdup(question->id);
}

/* What every item has: all that the result is made of, and what a reader wants to see of it.
 * `correct`: -1 where there is more than right and wrong. */
static json_t *start_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                          int correct, double score)
{
    char *id = item_id(group, question);
    char digits[SHA256_TEXT];
    /* Models with other tokenizers get other prompts of a length, and yet the same numbers. */
    Sha256 hash = question_hash(question, task_is_made(run->task));
    hash_text(&hash, digits);
    digits[HASH_DIGITS] = '\0';
    json_t *item = json_pack("{s:s, s:s, s:s, s:s?}", "task", run->name, "id", id, "question",
                             digits, "group", group->name);
    if (correct >= 0)
        json_object_set_new(item, "correct", json_integer(correct));
    json_object_set_new(item, "score", json_real(score));
    if (group->category)
        json_object_set_new(item, "category", json_string(group->category));
    free(id);
    return item;
}

static void end_item(json_t *item, const QuestionGroup *group, const Question *question,
                     const Outcome *outcome, const char *answers)
{
    if (outcome->cut)
        json_object_set_new(item, "cut", json_true());
    json_t *choices = json_array();
    for (int64_t i = 0; i < question->n_choices; i++)
        json_array_append_new(choices, json_string(question->choices[i]));
    json_object_set_new(item, answers, choices);
    char *text = xasprintf("%s%s", group->prefix, question->context);
    json_object_set_new(item, "prompt", json_string(text));
    free(text);
}

json_t *choice_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                    const Prompt *prompt, const Outcome *outcome)
{
    json_t *item = start_item(run, group, question, outcome->correct, outcome->correct);
    if (run->task->by_bytes)
        json_object_set_new(item, "correct_per_byte", json_integer(outcome->correct_per_byte));
    if (!prompt->greedy)
        json_object_set_new(item, "answer", json_integer(prompt_choice(question, prompt, false)));
    json_t *logprobs = json_array();
    for (int64_t i = 0; i < question->n_choices; i++)
        json_array_append_new(logprobs, json_real(prompt->logprobs[i]));
    json_object_set_new(item, "gold", json_integer(question->gold));
    json_object_set_new(item, "logprobs", logprobs);
    end_item(item, group, question, outcome, "choices");
    return item;
}

json_t *squad_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                   const char *answer, const Outcome *outcome)
{
    const SquadAnswer *squad = &outcome->squad;
    json_t *item = start_item(run, group, question, outcome->correct, squad->score.f1);
    json_object_set_new(item, "answer", json_string(answer));
    if (task_has_unanswerable(run->task))
        json_object_set_new(item, "no_answer", json_real(squad->no_answer));
    end_item(item, group, question, outcome, "references");
    return item;
}

json_t *translation_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                         const Outcome *outcome)
{
    json_t *item = start_item(run, group, question, -1, outcome->chrf);
    json_object_set_new(item, "answer", json_string(outcome->written));
    end_item(item, group, question, outcome, "references");
    return item;
}

json_t *author_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                    char *const *replies, const Outcome *outcome)
{
    json_t *item = start_item(run, group, question, -1, outcome_score(run, outcome));
    json_object_set_new(item, "protocol", json_string("author"));
    json_t *right = json_array(), *texts = json_array();
    for (int r = 0; r < AUTHOR_REPEATS; r++) {
        json_array_append_new(right, json_integer(outcome->replies[r]));
        json_array_append_new(texts, json_string(replies[r]));
    }
    json_object_set_new(item, "right", right);
    json_object_set_new(item, "replies", texts);
    json_object_set_new(item, "gold", json_string(question->choices[question->gold]));
    end_item(item, group, question, outcome,
             run->task->kind == TASK_SQUAD ? "references" : "choices");
    return item;
}

static bool outcome_of_author_item(const json_t *line, Outcome *out)
{
    const json_t *right = json_object_get(line, "right");
    for (size_t r = 0; r < AUTHOR_REPEATS; r++) {
        const json_t *reply = json_array_get(right, r);
        if (!json_is_integer(reply))
            return false;
        out->replies[r] = json_integer_value(reply) != 0;
    }
    return json_array_size(right) == AUTHOR_REPEATS;
}

bool outcome_of_item(const TaskRun *run, const Question *question, const json_t *line, Outcome *out)
{
    const Task *task = run->task;
    out->cut = json_is_true(json_object_get(line, "cut"));
    if (run->protocol == PROTOCOL_AUTHOR)
        return outcome_of_author_item(line, out);
    const json_t *correct = json_object_get(line, "correct");
    const json_t *score = json_object_get(line, "score");
    const json_t *answer = json_object_get(line, "answer");
    const json_t *logprobs = json_object_get(line, "logprobs");
    if ((task->kind != TASK_TRANSLATE && !json_is_integer(correct)) || !json_is_number(score))
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
    if (task->kind == TASK_TRANSLATE) {
        out->chrf = json_number_value(score);
        out->written = json_is_string(answer) ? xstrdup(json_string_value(answer)) : NULL;
        return out->written != NULL;
    }
    out->logprob = json_number_value(json_array_get(logprobs, (size_t)question->gold));
    return json_array_size(logprobs) == (size_t)question->n_choices;
}
