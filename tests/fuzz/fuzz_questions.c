/* Files of questions of any bytes, as CSV, JSON lines, SQuAD and parallel text: what is accepted
 * can be asked. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "infer/eval/data_text.h"
#include "infer/eval/mmlu.h"
#include "infer/eval/choice_file.h"
#include "infer/eval/squad.h"
#include "infer/eval/translation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(QuestionList *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        const Question *q = &list->items[i];
        if (q->n_choices < 1 || q->gold < 0 || q->gold >= q->n_choices || strlen(q->id) == 0)
            __builtin_trap();
        for (int64_t c = 0; c < q->n_choices; c++)
            if (!*q->choices[c])
                __builtin_trap();
    }
    question_list_clear(list);
}

/* The source, a form feed, the target. */
static void check_translation(const char *data, size_t size)
{
    static const char *const names[] = {"source", "target"};
    const char *middle = memchr(data, '\f', size);
    size_t bytes = middle ? (size_t)(middle - data) : size;
    StrBuf texts[2] = {{0}, {0}};
    QuestionList list = {0};
    Err err;
    strbuf_append(&texts[0], data, bytes);
    strbuf_puts(&texts[1], "");
    if (middle)
        strbuf_append(&texts[1], middle + 1, size - bytes - 1);
    if (translation_parse(&list, "en-zh", names, texts, &err) == STATUS_OK)
        check(&list);
    question_list_clear(&list);
    strbuf_clear(&texts[0]);
    strbuf_clear(&texts[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static QuestionForm *const forms[] = {form_as_it_is, form_question_answer, form_letters,
                                          form_passage, form_connected};
    enum { FORMS = sizeof forms / sizeof *forms };
    if (size == 0)
        return 0;
    int kind = data[0] % (FORMS + 3);
    bool author = data[0] & 128;
    EvalProtocol protocol = author ? PROTOCOL_AUTHOR : PROTOCOL_LOGPROB;
    StrBuf text = {0};
    QuestionList list = {0};
    Err err;
    if (kind == FORMS + 2) {
        check_translation((const char *)data + 1, size - 1);
        return 0;
    }
    strbuf_append(&text, (const char *)data + 1, size - 1);
    if (data_text_check("file", &text, &err) == STATUS_OK) {
        QuestionGroups groups = {0};
        if (kind == FORMS + 1 &&
            squad_parse(&groups, "file", &text, author ? &squad_form_author : &squad_form, &err) ==
                STATUS_OK)
            (void)squad_take_shots(&groups, 2, data[0] & 64, "squad2", &err);
        question_groups_clear(&groups);
        Status status = kind == FORMS + 1 ? STATUS_FAIL
                        : kind == FORMS
                            ? mmlu_parse(&list, "file", &text, protocol, &err)
                            : choice_file_parse(&list, "file", &text, forms[kind], &err);
        if (status == STATUS_OK)
            check(&list);
    }
    question_list_clear(&list);
    strbuf_clear(&text);
    return 0;
}
