#include "infer/eval/squad.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "infer/eval/data_text.h"

typedef struct Reading {
    QuestionGroups *groups;
    const char *name; /* of the file */
    EvalProtocol protocol;
    int64_t left; /* questions that are still wanted */
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

static Status read_question(QuestionGroup *group, const json_t *object, EvalProtocol protocol,
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
    char *context =
        xasprintf("Question: %s%sAnswer:", text, protocol == PROTOCOL_AUTHOR ? "\n" : "\n\n");
    Question *question = question_list_add(&group->questions, id, context);
    free(context);
    return impossible ? STATUS_OK : read_answers(question, answers, where, err);
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
    group->prefix = reading->protocol == PROTOCOL_AUTHOR ? xasprintf("Context: %s\n", text)
                    : title ? xasprintf("Title: %s\n\nBackground: %s\n\n", title, text)
                            : xasprintf("Background: %s\n\n", text);
    Status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(questions) && reading->left > 0; i++, reading->left--) {
        char *place = xasprintf("%s.qas[%zu]", where, i);
        status = read_question(group, json_array_get(questions, i), reading->protocol, place, err);
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
    const char *title = json_string_value(json_object_get(object, "title")); /* XQuAD has none */
    char *where = xasprintf("%s: data[%zu]", reading->name, index);
    status = json_get_array(object, "paragraphs", where, &paragraphs, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(paragraphs) && reading->left > 0;
         i++) {
        char *place = xasprintf("%s.paragraphs[%zu]", where, i);
        status = read_paragraph(reading, json_array_get(paragraphs, i), title, place, err);
        free(place);
    }
    free(where);
    return status;
}

Status squad_parse(QuestionGroups *out, const char *name, const StrBuf *text, EvalProtocol protocol,
                   int64_t limit, Err *err)
{
    json_error_t error;
    json_t *root = json_loadb(text->data, (size_t)text->size, 0, &error), *data;
    if (!root)
        return err_set(err, "%s:%d: not JSON at column %d: %s", name, error.line, error.column,
                       error.text);
    Reading reading = {
        .groups = out, .name = name, .protocol = protocol, .left = limit ? limit : INT64_MAX};
    Status status = json_get_array(root, "data", name, &data, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(data) && reading.left > 0; i++)
        status = read_article(&reading, json_array_get(data, i), i, err);
    json_decref(root);
    return status;
}

Status squad_read(QuestionGroups *out, const char *path, EvalProtocol protocol, int64_t limit,
                  Err *err)
{
    StrBuf text = {0};
    Status status = data_text_read(path, &text, err);
    if (status == STATUS_OK)
        status = data_text_remedy(squad_parse(out, path, &text, protocol, limit, err), err);
    strbuf_clear(&text);
    return status;
}
