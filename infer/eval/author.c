#include "infer/eval/author.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

const char author_note[] =
    "author's protocol: letters sampled at temperature 1, SQuAD's short answers with their length "
    "given away and "
    "accepted as substrings, 10 draws a question; not comparable with other scores, for "
    "comparison with the published ones only";

/* ---- what is asked --------------------------------------------------------------------------- */

Status author_check(TaskRun *run, int64_t shots, Err *err)
{
    const char *name = run->task->name;
    if (strcmp(name, "mmlu") != 0 && strcmp(name, "squad") != 0 && strcmp(name, "squad2") != 0)
        return err_usage(
            err, "--protocol author is for mmlu, squad and squad2; leave it out for %s", run->name);
    if (shots > 0)
        return err_usage(err, "--protocol author asks without solved examples; leave --shots out");
    char *named = xasprintf("%s_author", run->name);
    free(run->name);
    run->name = named;
    run->shots = 0;
    return STATUS_OK;
}

static int64_t characters(const char *text)
{
    int64_t n = 0;
    for (; *text; text += utf8_length(*text))
        n++;
    return n;
}

static bool is_short(const Question *question)
{
    int64_t n = question->n_choices > 0 ? characters(question->choices[0]) : 0;
    return n > 0 && n <= AUTHOR_CHARACTERS;
}

static void keep_first_answer(Question *question)
{
    for (int64_t i = 1; i < question->n_choices; i++)
        free(question->choices[i]);
    question->n_choices = 1;
}

void author_select(QuestionGroups *groups, int64_t limit, int64_t seed)
{
    int64_t left = 0, wanted = AUTHOR_QUESTIONS;
    if (limit && limit < wanted)
        wanted = limit;
    for (int64_t g = 0; g < groups->count; g++)
        for (int64_t q = 0; q < groups->items[g].questions.count; q++)
            left += is_short(&groups->items[g].questions.items[q]);
    Rng rng;
    rng_init(&rng, (uint64_t)seed, hash_for_table("squad", 5));
    /* Each is taken with the odds that it has among those that are left (Knuth's algorithm S). */
    for (int64_t g = 0; g < groups->count; g++) {
        QuestionList *list = &groups->items[g].questions;
        for (int64_t q = 0; q < list->count;) {
            bool taken = is_short(&list->items[q]) && rng_below(&rng, left--) < wanted;
            wanted -= taken;
            if (taken)
                keep_first_answer(&list->items[q++]);
            else
                question_list_drop(list, q);
        }
    }
}

int64_t author_prompts(const Task *task)
{
    return task->kind == TASK_CHOICE ? 1 : AUTHOR_REPEATS;
}

int64_t author_tokens(const Task *task, const Question *question)
{
    if (task->kind == TASK_CHOICE)
        return 1;
    int64_t n = characters(question->choices[0]);
    return n < AUTHOR_TOKENS ? n : AUTHOR_TOKENS;
}

/* ---- what is drawn --------------------------------------------------------------------------- */

void author_draw_init(AuthorDraw *draw, const Task *task, const char *id, int64_t index,
                      int64_t seed)
{
    uint64_t question = hash_for_table(id, (int64_t)strlen(id));
    *draw = (AuthorDraw){.draws = AUTHOR_REPEATS / author_prompts(task)};
    rng_init(&draw->rng, (uint64_t)seed, hash_mix64(question + (uint64_t)index));
}

static int32_t draw_token(Rng *rng, const float *logprobs, int64_t V)
{
    double total = 0.0, sum = 0.0;
    for (int64_t i = 0; i < V; i++)
        total += exp((double)logprobs[i]);
    double until = rng_uniform(rng) * total;
    int64_t last = 0;
    for (int64_t i = 0; i < V; i++) {
        double p = exp((double)logprobs[i]);
        if (p == 0.0)
            continue;
        sum += p;
        last = i;
        if (sum > until)
            break;
    }
    return (int32_t)last;
}

int32_t author_pick(void *context, const float *logprobs, int64_t V)
{
    AuthorDraw *draw = context;
    for (int64_t i = 0; i < draw->draws; i++)
        id_list_add(&draw->ids, draw_token(&draw->rng, logprobs, V));
    return draw->ids.items[draw->ids.count - 1];
}

/* ---- what it is worth ------------------------------------------------------------------------ */

char *author_reply(const Task *task, const Tokenizer *tokenizer, const AuthorDraw *draws,
                   int64_t repeat)
{
    bool single = author_prompts(task) == 1;
    const IdList *ids = single ? &draws->ids : &draws[repeat].ids;
    StrBuf bytes = {0}, text = {0};
    tokenizer_decode(tokenizer, ids->items + (single ? repeat : 0), single ? 1 : ids->count, false,
                     &bytes);
    strbuf_puts(&text, "");
    utf8_append_clean(&text, bytes.data, bytes.size);
    strbuf_clear(&bytes);
    return strbuf_detach(&text);
}

/* In capitals, character by character; the caller frees. */
static char *upper(const char *text)
{
    StrBuf out = {0};
    int64_t left = (int64_t)strlen(text);
    uint32_t code;
    strbuf_puts(&out, "");
    for (int length; (length = utf8_decode(text, left, &code)) > 0;
         text += length, left -= length) {
        char large[UTF8_MAX];
        int bytes = utf8_encode((uint32_t)utf8proc_toupper((utf8proc_int32_t)code), large);
        strbuf_append(&out, large, (size_t)bytes);
    }
    return strbuf_detach(&out);
}

bool author_is_right(const Task *task, const Question *question, const char *reply)
{
    char *given = upper(reply),
         *gold = upper(question->choices[task->kind == TASK_CHOICE ? question->gold : 0]);
    bool right = task->kind == TASK_CHOICE ? given[strspn(given, " \t\r\n\v\f")] == gold[0]
                                           : strstr(given, gold) != NULL;
    free(given);
    free(gold);
    return right;
}
