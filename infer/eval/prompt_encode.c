#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "infer/eval/continuation.h"

static void drop_first(IdList *list, int64_t count)
{
    list->count -= count;
    memmove(list->items, list->items + count, (size_t)list->count * sizeof *list->items);
}

/* The tokens of context and text together, behind those of the context alone. */
static void encode_text(IdList *out, const Tokenizer *tokenizer, const IdList *context,
                        const StrBuf *whole)
{
    tokenizer_encode(tokenizer, whole->data, whole->size, out);
    bool longer = out->count > context->count;
    size_t bytes = (size_t)out->count * sizeof *out->items;
    bool same = out->count == context->count &&
                (bytes == 0 || memcmp(out->items, context->items, bytes) == 0);
    if (longer || same) /* the same: the text left no token */
        drop_first(out, context->count);
    else if (out->count > 0)
        drop_first(out, out->count - 1);
}

Status prompt_encode(Prompt *out, const PromptRule *rule, const char *context,
                     const char *const *texts, int64_t n_texts, Err *err)
{
    const Tokenizer *tokenizer = rule->tokenizer;
    *out = (Prompt){.n_texts = n_texts,
                    .texts = xcalloc((size_t)n_texts, sizeof *out->texts),
                    .logprobs = xcalloc((size_t)n_texts, sizeof *out->logprobs)};
    size_t bytes = strlen(context);
    while (bytes > 0 && strchr(" \t\r\n\v\f", context[bytes - 1]))
        bytes--;
    StrBuf whole = {0};
    strbuf_append(&whole, context, bytes);
    tokenizer_encode(tokenizer, whole.data, whole.size, &out->context);
    int64_t longest = 0;
    bool empty = false;
    for (int64_t i = 0; i < n_texts; i++) {
        whole.size = (int64_t)bytes;
        strbuf_puts(&whole, context + bytes); /* the blanks */
        strbuf_puts(&whole, texts[i]);
        encode_text(&out->texts[i], tokenizer, &out->context, &whole);
        empty |= out->texts[i].count == 0;
        longest = out->texts[i].count > longest ? out->texts[i].count : longest;
    }
    strbuf_clear(&whole);
    if (empty)
        return err_set(err, "the tokenizer has no token for a text of an answer");
    int32_t start = tokenizer_start(tokenizer);
    if (start < 0 && out->context.count == 0) {
        const TokenizerSpec *spec = tokenizer_spec(tokenizer);
        start = spec->bos >= 0 ? spec->bos : spec->eos;
        if (start < 0)
            return err_set(err,
                           "the tokenizer has no token that an empty context could begin with");
    }
    if (start >= 0) {
        id_list_add(&out->context, start);
        memmove(out->context.items + 1, out->context.items,
                (size_t)(out->context.count - 1) * sizeof *out->context.items);
        out->context.items[0] = start;
    }
    /* The last token of a text is only ever predicted, never read. */
    int64_t room = rule->limit + 1 - longest;
    if (room < 1)
        return err_set(err, "the context is too short for its answer; give more with --context");
    out->cut = out->context.count > room;
    if (out->cut)
        drop_first(&out->context, out->context.count - room);
    return STATUS_OK;
}

void prompt_clear(Prompt *prompt)
{
    for (int64_t i = 0; i < prompt->n_texts; i++)
        id_list_clear(&prompt->texts[i]);
    id_list_clear(&prompt->context);
    id_list_clear(&prompt->written);
    free(prompt->texts);
    free(prompt->logprobs);
    *prompt = (Prompt){0};
}
