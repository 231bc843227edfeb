#include "infer/eval/squad_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "infer/eval/written.h"

char *squad_answer_text(const Task *task, const Tokenizer *tokenizer, const IdList *written)
{
    char *answer = written_line(tokenizer, written);
    if (task_has_unanswerable(task) &&
        strncasecmp(answer, squad_no_answer, strlen(squad_no_answer)) == 0)
        answer[0] = '\0';
    return answer;
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
