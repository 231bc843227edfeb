#include "infer/eval/question.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

const char *protocol_name(EvalProtocol protocol)
{
    return protocol == PROTOCOL_AUTHOR ? "author" : "log-probability";
}

Question *question_list_add(QuestionList *list, const char *id, const char *context)
{
    list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    Question *question = &list->items[list->count++];
    *question = (Question){.id = xstrdup(id), .context = xstrdup(context)};
    return question;
}

void question_add_choice(Question *question, const char *choice)
{
    size_t count = (size_t)question->n_choices++;
    question->choices = xrealloc(question->choices, (count + 1) * sizeof *question->choices);
    question->choices[count] = xstrdup(choice);
}

void question_put_solved(StrBuf *out, const Question *question, const char *answer)
{
    strbuf_printf(out, "%s %s\n\n", question->context, answer);
}

static void question_clear(Question *question)
{
    for (int64_t i = 0; i < question->n_choices; i++)
        free(question->choices[i]);
    free(question->choices);
    free(question->context);
    free(question->id);
}

void question_list_drop(QuestionList *list, int64_t index)
{
    question_clear(&list->items[index]);
    list->count--;
    memmove(list->items + index, list->items + index + 1,
            (size_t)(list->count - index) * sizeof *list->items);
}

void question_list_cut(QuestionList *list, int64_t count)
{
    while (list->count > count)
        question_clear(&list->items[--list->count]);
}

void question_list_clear(QuestionList *list)
{
    question_list_cut(list, 0);
    free(list->items);
    *list = (QuestionList){0};
}

QuestionGroup *question_groups_add(QuestionGroups *groups, const char *name, const char *category)
{
    groups->items =
        mem_grow(groups->items, &groups->capacity, groups->count + 1, sizeof *groups->items);
    QuestionGroup *group = &groups->items[groups->count++];
    *group = (QuestionGroup){.name = name ? xstrdup(name) : NULL,
                             .category = category ? xstrdup(category) : NULL,
                             .prefix = xstrdup("")};
    return group;
}

static void group_clear(QuestionGroup *group)
{
    question_list_clear(&group->questions);
    free(group->name);
    free(group->category);
    free(group->prefix);
}

void question_groups_drop(QuestionGroups *groups, int64_t index)
{
    group_clear(&groups->items[index]);
    groups->count--;
    memmove(groups->items + index, groups->items + index + 1,
            (size_t)(groups->count - index) * sizeof *groups->items);
}

void question_groups_cut(QuestionGroups *groups, int64_t count)
{
    int64_t kept = 0;
    while (kept < groups->count && count > 0) {
        QuestionList *list = &groups->items[kept++].questions;
        if (count < list->count)
            question_list_cut(list, count);
        count -= list->count;
    }
    while (groups->count > kept)
        group_clear(&groups->items[--groups->count]);
}

void question_groups_clear(QuestionGroups *groups)
{
    question_groups_cut(groups, 0);
    free(groups->items);
    *groups = (QuestionGroups){0};
}

int64_t question_groups_total(const QuestionGroups *groups)
{
    int64_t total = 0;
    for (int64_t g = 0; g < groups->count; g++)
        total += groups->items[g].questions.count;
    return total;
}

/* With the closing zeros, so that no text can run over into the next. */
static void hash_string(HashStream *stream, const char *text)
{
    hash_update(stream, text, strlen(text) + 1);
}

static void hash_answers(HashStream *stream, const Question *question)
{
    for (int64_t c = 0; c < question->n_choices; c++)
        hash_string(stream, question->choices[c]);
    int64_t numbers[] = {question->n_choices, question->gold};
    hash_update(stream, numbers, sizeof numbers);
}

Sha256 question_hash(const Question *question, bool answers_only)
{
    HashStream *stream = hash_new();
    if (!answers_only)
        hash_string(stream, question->context);
    hash_answers(stream, question);
    return hash_finish_free(stream);
}

Sha256 question_groups_hash(const QuestionGroups *groups)
{
    HashStream *stream = hash_new();
    for (int64_t g = 0; g < groups->count; g++) {
        const QuestionGroup *group = &groups->items[g];
        hash_string(stream, group->prefix);
        for (int64_t i = 0; i < group->questions.count; i++) {
            const Question *q = &group->questions.items[i];
            hash_string(stream, q->id);
            hash_string(stream, q->context);
            hash_answers(stream, q);
        }
    }
    return hash_finish_free(stream);
}
