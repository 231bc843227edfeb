#include "infer/eval/choice_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/lines.h"
#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "core/text/json_read.h"
#include "infer/eval/data_text.h"

/* The prompts are those of lm-evaluation-harness, so that scores can be compared with its. */

static void set_context(Question *question, char *context)
{
    free(question->context);
    question->context = context;
}

Status form_as_it_is(Question *question, Err *err)
{
    (void)question;
    (void)err;
    return STATUS_OK;
}

Status form_question_answer(Question *question, Err *err)
{
    (void)err;
    set_context(question, xasprintf("%s\nAnswer:", question->context));
    return STATUS_OK;
}

Status form_letters(Question *question, Err *err)
{
    static const char heading[] = "\nChoices:\n";
    char *at = strstr(question->context, heading);
    if (!at)
        return err_set(err, "the query has no line 'Choices:'");
    *at = '\0';
    set_context(question, xasprintf("%s\n%s", question->context, at + strlen(heading)));
    return STATUS_OK;
}

Status form_passage(Question *question, Err *err)
{
    static const char heading[] = "Passage: ";
    if (strncmp(question->context, heading, strlen(heading)) != 0)
        return err_set(err, "the query does not begin with 'Passage: '");
    set_context(question, xasprintf("%s\nAnswer:", question->context + strlen(heading)));
    return STATUS_OK;
}

Status form_connected(Question *question, Err *err)
{
    char *comma = strrchr(question->context, ',');
    if (!comma || (strcmp(comma, ", because") != 0 && strcmp(comma, ", therefore") != 0))
        return err_set(err, "the query ends neither in ', because' nor in ', therefore'");
    memmove(comma, comma + 1, strlen(comma));
    /* Two blanks stand before COPA's answers there: one of the answer, one between all prompts and
     * their answers. */
    for (int64_t i = 0; i < question->n_choices; i++) {
        char *choice = xasprintf(" %s", question->choices[i]);
        free(question->choices[i]);
        question->choices[i] = choice;
    }
    return STATUS_OK;
}

static Status take_choices(Question *question, const json_t *choices, Err *err)
{
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *value = json_array_get(choices, i);
        const char *choice = json_string_value(value);
        if (json_unreadable(value))
            return err_set(err, "choice %zu is %s", i, json_unreadable(value));
        if (!choice || !*choice)
            return err_set(err, choice ? "choice %zu is empty" : "choice %zu is not a text", i);
        if (strlen(choice) != json_string_length(value))
            return err_set(err, "choice %zu holds a zero byte, which no prompt can", i);
        question_add_choice(question, choice);
    }
    return STATUS_OK;
}

static Status read_choice(QuestionList *out, const char *id, const json_t *object,
                          const char *where, QuestionForm *form, Err *err)
{
    const char *query;
    json_t *choices;
    int64_t gold;
    TRY(json_get_text(object, "query", where, &query, err));
    TRY(json_get_array(object, "choices", where, &choices, err));
    TRY(json_get_int(object, "gold", where, &gold, err));
    if (json_array_size(choices) < 2)
        return err_set(err, "%s: a question wants at least two choices", where);
    if (gold < 0 || gold >= (int64_t)json_array_size(choices))
        return err_set(err, "%s: 'gold' is %lld, where the choices count from 0 to %zu", where,
                       (long long)gold, json_array_size(choices) - 1);
    Question *question = question_list_add(out, id, query);
    question->gold = gold;
    Status status = take_choices(question, choices, err);
    if (status == STATUS_OK)
        status = form(question, err);
    return status == STATUS_OK ? status : err_wrap(err, "%s", where);
}

static Status read_last_word(QuestionList *out, const char *id, const json_t *object,
                             const char *where, Err *err)
{
    const char *context, *word;
    TRY(json_get_text(object, "context", where, &context, err));
    TRY(json_get_text(object, "continuation", where, &word, err));
    if (!*word)
        return err_set(err, "%s: 'continuation' is empty", where);
    question_add_choice(question_list_add(out, id, context), word);
    return STATUS_OK;
}

static Status read_line(QuestionList *out, const char *line, size_t bytes, const char *id,
                        const char *where, QuestionForm *form, Err *err)
{
    json_error_t error;
    json_t *object = json_read(line, (int64_t)bytes, 0, &error);
    if (!object)
        return err_set(err, "%s: not JSON at column %d: %s", where, error.column, error.text);
    Status status;
    if (!json_is_object(object))
        status = err_set(err, "%s: a line must be an object", where);
    else if (json_object_get(object, "continuation"))
        status = read_last_word(out, id, object, where, err);
    else
        status = read_choice(out, id, object, where, form, err);
    json_decref(object);
    return status;
}

Status choice_file_parse(QuestionList *out, const char *name, const StrBuf *text,
                         QuestionForm *form, Err *err)
{
    TextLine line = lines_of(text->data, text->size);
    Status status = STATUS_OK;
    while (status == STATUS_OK && lines_next(&line)) {
        if (strspn(line.text, " \t\r\n") >= (size_t)line.bytes)
            continue; /* blank */
        char id[24];
        char *where = xasprintf("%s:%lld", name, (long long)line.number);
        snprintf(id, sizeof id, "%lld", (long long)out->count + 1);
        status = read_line(out, line.text, (size_t)line.bytes, id, where, form, err);
        free(where);
    }
    return status;
}

Status choice_file_read(QuestionList *out, const char *path, QuestionForm *form, Err *err)
{
    StrBuf text = {0};
    Status status = data_text_read(path, &text, err);
    if (status == STATUS_OK)
        status = data_text_remedy(choice_file_parse(out, path, &text, form, err), err);
    strbuf_clear(&text);
    return status;
}
