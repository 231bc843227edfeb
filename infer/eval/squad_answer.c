#include "infer/eval/squad_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"

const char squad_no_answer[] = "unanswerable";

bool *squad_ends_new(const Tokenizer *tokenizer)
{
    int64_t V = tokenizer_size(tokenizer);
    bool *ends = xcalloc((size_t)V, sizeof *ends);
    for (int64_t id = 0; id < V; id++) {
        int64_t bytes;
        const char *text = tokenizer_token(tokenizer, (int32_t)id, &bytes);
        ends[id] = tokenizer_spec(tokenizer)->types[id] == TOKEN_SPECIAL ||
                   (bytes > 0 && memchr(text, '\n', (size_t)bytes));
    }
    return ends;
}

char *squad_answer_text(const Task *task, const Tokenizer *tokenizer, const IdList *written)
{
    StrBuf text = {0};
    strbuf_puts(&text, "");
    tokenizer_decode(tokenizer, written->items, written->count, false, &text);
    text.data[strcspn(text.data, "\n")] = '\0';
    size_t begin = strspn(text.data, " \t\r"), end = strlen(text.data);
    while (end > begin && strchr(" \t\r", text.data[end - 1]))
        end--;
    char *clean = xstrndup(text.data + begin, end - begin);
    strbuf_clear(&text);
    if (task_has_unanswerable(task) &&
        strncasecmp(clean, squad_no_answer, strlen(squad_no_answer)) == 0)
        clean[0] = '\0';
    return clean;
}

SquadAnswer squad_judge(const Task *task, const Question *question, const char *answer,
                        double no_answer)
{
    size_t n = (size_t)question->n_choices;
    Segment *references = xcalloc(n + 1, sizeof *references);
    for (size_t i = 0; i < n; i++)
        references[i] = (Segment){question->choices[i], (int64_t)strlen(question->choices[i])};
    Segment given = {answer, (int64_t)strlen(answer)};
    SquadAnswer out = {.score = squad_score(task->version, task->rule, given, references, (int)n),
                       .answerable = n > 0,
                       .answered = *answer != '\0',
                       .no_answer = no_answer};
    free(references);
    return out;
}
