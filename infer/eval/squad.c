#include "infer/eval/squad.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/json_get.h"
#include "core/text/json_read.h"
#include "infer/eval/data_text.h"

const char squad_no_answer[] = "unanswerable";

const SquadForm squad_form = {"Title: ", "Background: ", "Question: ", "Answer:", "\n\n"};
const SquadForm xquad_form_en = {NULL, "Context: ", "Question: ", "Answer:", "\n\n"};
const SquadForm xquad_form_ru = {NULL, "Контекст: ", "Вопрос: ", "Ответ:", "\n\n"};
const SquadForm xquad_form_zh = {NULL, "语境: ", "问题: ", "回答:", "\n\n"};
const SquadForm squad_form_author = {NULL, "Context: ", "Question: ", "Answer:", "\n"};

typedef struct Reading {
    QuestionGroups *groups;
    const char *name; /* of the file */
    const SquadForm *form;
} Reading;

static Status read_answers(Question *question, const json_t *answers, const char *where, Err *err)
{
    for (size_t i = 0; i < json_array_size(answers); i++) {
        const char *text;
        TRY(json_get_text(json_array_get(answers, i), "text", where, &text, err));
        question_add_choice(question, text);
    }
    return STATUS_OK;
}

static Status read_question(QuestionGroup *group, const json_t *object, const SquadForm *form,
                            const char *where, Err *err)
{
    const char *id, *text;
    json_t *answers;
    bool impossible = false;
    TRY(json_get_text(object, "id", where, &id, err));
    TRY(json_get_text(object, "question", where, &text, err));
    TRY(json_get_array(object, "answers", where, &answers, err));
    if (json_object_get(object, "is_impossible"))
        TRY(json_get_bool(object, "is_impossible", where, &impossible, err));
    if (!impossible && json_array_size(answers) == 0)
        return err_set(err, "%s: 'answers' is empty, and 'is_impossible' does not say so", where);
    char *context = xasprintf("%s%s%s%s", form->question, text, form->gap, form->answer);
    Question *question = question_list_add(&group->questions, id, context);
    free(context);
    return impossible ? STATUS_OK : read_answers(question, answers, where, err);
}

/* The article's title, if the form wants it and there is one, and the paragraph. */
static char *prefix_of(const SquadForm *form, const char *title, const char *paragraph)
{
    StrBuf prefix = {0};
    if (form->title && title)
        strbuf_printf(&prefix, "%s%s%s", form->title, title, form->gap);
    strbuf_printf(&prefix, "%s%s%s", form->paragraph, paragraph, form->gap);
    return strbuf_detach(&prefix);
}

static Status read_paragraph(Reading *reading, const json_t *object, const char *title,
                             const char *where, Err *err)
{
    const char *text;
    json_t *questions;
    TRY(json_get_text(object, "context", where, &text, err));
    TRY(json_get_array(object, "qas", where, &questions, err));
    QuestionGroup *group = question_groups_add(reading->groups, NULL, NULL);
    free(group->prefix);
    group->prefix = prefix_of(reading->form, title, text);
    Status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(questions); i++) {
        char *place = xasprintf("%s.qas[%zu]", where, i);
        status = read_question(group, json_array_get(questions, i), reading->form, place, err);
        free(place);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

static Status read_article(Reading *reading, const json_t *object, size_t index, Err *err)
{
    json_t *paragraphs;
    Status status = STATUS_OK;
    const char *title = json_string_value(json_object_get(object, "title"));
    char *where = xasprintf("%s: data[%zu]", reading->name, index);
    status = json_get_array(object, "paragraphs", where, &paragraphs, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(paragraphs); i++) {
        char *place = xasprintf("%s.paragraphs[%zu]", where, i);
        status = read_paragraph(reading, json_array_get(paragraphs, i), title, place, err);
        free(place);
    }
    free(where);
    return status;
}

Status squad_parse(QuestionGroups *out, const char *name, const StrBuf *text, const SquadForm *form,
                   Err *err)
{
    json_error_t error;
    json_t *root = json_read(text->data, text->size, 0, &error), *data;
    if (!root)
        return err_set(err, "%s:%d: not JSON at column %d: %s", name, error.line, error.column,
                       error.text);
    Reading reading = {.groups = out, .name = name, .form = form};
    Status status = json_get_array(root, "data", name, &data, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(data); i++)
        status = read_article(&reading, json_array_get(data, i), i, err);
    json_decref(root);
    return status;
}

Status squad_read(QuestionGroups *out, const char *path, const SquadForm *form, Err *err)
{
    StrBuf text = {0};
    Status status = data_text_read(path, &text, err);
    if (status == STATUS_OK)
        status = data_text_remedy(squad_parse(out, path, &text, form, err), err);
    strbuf_clear(&text);
    return status;
}

/* A question of the paragraph that has an answer or has none, as is wanted; else its first one. */
static const Question *example_of(const QuestionGroup *paragraph, bool answered)
{
    const QuestionList *list = &paragraph->questions;
    for (int64_t i = 0; i < list->count; i++)
        if ((list->items[i].n_choices > 0) == answered)
            return &list->items[i];
    return &list->items[0];
}

Status squad_take_shots(QuestionGroups *groups, int64_t shots, int64_t seed, const char *name,
                        Err *err)
{
    StrBuf examples = {0};
    Rng rng;
    int64_t taken = 0;
    rng_init(&rng, (uint64_t)seed, hash_for_table(name, (int64_t)strlen(name)));
    while (taken < shots && groups->count > 0) {
        int64_t index = seed ? rng_below(&rng, groups->count) : 0;
        const QuestionGroup *paragraph = &groups->items[index];
        if (paragraph->questions.count > 0) {
            const Question *shot = example_of(paragraph, taken++ % 2 == 0);
            strbuf_puts(&examples, paragraph->prefix);
            question_put_solved(&examples, shot,
                                shot->n_choices > 0 ? shot->choices[0] : squad_no_answer);
        }
        question_groups_drop(groups, index);
    }
    for (int64_t g = 0; g < groups->count && taken > 0; g++) {
        char *prefix = xasprintf("%s%s", examples.data, groups->items[g].prefix);
        free(groups->items[g].prefix);
        groups->items[g].prefix = prefix;
    }
    strbuf_clear(&examples);
    if (taken < shots)
        return err_set(err, "--shots %lld: %s has %lld paragraphs", (long long)shots, name,
                       (long long)taken);
    return STATUS_OK;
}
