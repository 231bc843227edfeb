#include "core/io/gguf_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/gguf_vocabulary.h"
#include "core/text/byte_alphabet.h"
#include "core/text/token_index.h"
#include "core/text/token_roles.h"
#include "core/text/utf8.h"

static Status find_pre(const GgufFile *file, const PreTokenizer **out, Err *err)
{
    static const char key[] = "tokenizer.ggml.pre";
    char *name = NULL;
    if (gguf_find(file, key))
        TRY(gguf_get_text(file, key, &name, err));
    else
        name = xstrdup("default"); /* old files name none, and it was often another */
    *out = gguf_pre_named(name);
    Status status = STATUS_OK;
    if (!*out)
        status = err_set(err,
                         "%s: the pre-tokenizer '%.60s' is not known; give the model's "
                         "tokenizer.json with --tokenizer FILE",
                         gguf_name(file), name);
    free(name);
    return status;
}

/* An array of at least `count` texts, reals or integers. */
static Status get_array(const GgufFile *file, const char *key, GgufType type, int64_t count,
                        const GgufValue **out, Err *err)
{
    *out = gguf_find(file, key);
    if (!*out)
        return err_set(err, "%s has no '%s'", gguf_name(file), key);
    if (!(*out)->is_array || (*out)->type != type)
        return err_set(err, "%s: '%s' is of the wrong type", gguf_name(file), key);
    if ((*out)->count < count)
        return err_set(err, "%s: '%s' has %lld elements for %lld tokens", gguf_name(file), key,
                       (long long)(*out)->count, (long long)count);
    return STATUS_OK;
}

static TokenType type_of(int64_t kind)
{
    switch (kind) {
    case KIND_UNKNOWN:
    case KIND_CONTROL:
        return TOKEN_SPECIAL;
    case KIND_USER:
        return TOKEN_ADDED;
    case KIND_UNUSED:
        return TOKEN_UNUSED;
    case KIND_BYTE:
        return TOKEN_BYTE;
    default:
        return TOKEN_TEXT;
    }
}

/* Appends the bytes that a surface of this type stands for, and may settle the type. */
static Status append_token(const GgufFile *file, const TokenizerSpec *spec, int64_t id,
                           GgufText surface, StrBuf *text, Err *err)
{
    uint8_t *type = &spec->types[id];
    if (surface.bytes == 0)
        *type = TOKEN_UNUSED; /* no text ever becomes it */
    if (*type == TOKEN_BYTE) {
        int byte = byte_token_value(surface.data, (size_t)surface.bytes);
        if (byte < 0)
            return err_set(err, "%s: token %lld is to stand for a byte and is not named <0xXX>",
                           gguf_name(file), (long long)id);
        strbuf_putc(text, (char)byte);
    } else if (*type == TOKEN_TEXT && spec->byte_level) {
        if (!byte_alphabet_read(text, surface.data, surface.bytes))
            return err_set(err, "%s: token %lld is not written in the byte alphabet",
                           gguf_name(file), (long long)id);
    } else if (*type == TOKEN_TEXT) {
        const char *end = surface.data + surface.bytes;
        for (const char *p = surface.data; p < end;) {
            bool space = end - p >= 3 && memcmp(p, GGUF_METASPACE, 3) == 0;
            strbuf_putc(text, space ? ' ' : *p);
            p += space ? 3 : 1;
        }
    } else {
        strbuf_append(text, surface.data, (size_t)surface.bytes);
    }
    return STATUS_OK;
}

/* What converters, and gguf_tokenizer_write, name rows of the table that no token has. */
static bool is_padding(GgufText surface, int64_t kind, int64_t id)
{
    char name[32];
    int length = snprintf(name, sizeof name, GGUF_PADDING_NAME, (long long)id);
    return kind == KIND_UNUSED && surface.bytes == length &&
           memcmp(surface.data, name, (size_t)length) == 0;
}

/* Single characters that were added are characters of the vocabulary all the same. */
static void mark_characters(TokenizerSpec *spec)
{
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        int64_t bytes = spec->offsets[id + 1] - spec->offsets[id];
        if (spec->types[id] != TOKEN_ADDED || bytes != utf8_length(spec->text[spec->offsets[id]]))
            continue;
        if (!spec->find)
            spec->find = xcalloc((size_t)spec->n_tokens, 1);
        spec->find[id] = FIND_CHARACTER;
    }
}

static Status read_tokens(const GgufFile *file, TokenizerSpec *spec, Err *err)
{
    const GgufValue *tokens, *kinds = NULL;
    TRY(get_array(file, "tokenizer.ggml.tokens", GGUF_STRING, 1, &tokens, err));
    int64_t n = tokens->count;
    if (n > INT32_MAX)
        return err_set(err, "%s has %lld tokens", gguf_name(file), (long long)n);
    if (gguf_find(file, "tokenizer.ggml.token_type"))
        TRY(get_array(file, "tokenizer.ggml.token_type", GGUF_I32, n, &kinds, err));
    while (n > 1 && kinds && is_padding(tokens->texts[n - 1], gguf_int_at(kinds, n - 1), n - 1))
        n--;
    StrBuf text = {0};
    Status status = STATUS_OK;
    spec->n_tokens = n;
    spec->types = xcalloc((size_t)n, 1);
    spec->offsets = xcalloc((size_t)n + 1, sizeof *spec->offsets);
    for (int64_t id = 0; id < n && status == STATUS_OK; id++) {
        spec->types[id] = kinds ? (uint8_t)type_of(gguf_int_at(kinds, id)) : TOKEN_TEXT;
        status = append_token(file, spec, id, tokens->texts[id], &text, err);
        spec->offsets[id + 1] = text.size;
    }
    spec->text = strbuf_detach(&text);
    if (status == STATUS_OK)
        mark_characters(spec);
    return status;
}

static Status read_scores(const GgufFile *file, TokenizerSpec *spec, Err *err)
{
    const GgufValue *scores;
    TRY(get_array(file, "tokenizer.ggml.scores", GGUF_F32, spec->n_tokens, &scores, err));
    spec->scores = xcalloc((size_t)spec->n_tokens, sizeof *spec->scores);
    for (int64_t i = 0; i < spec->n_tokens; i++)
        spec->scores[i] = (float)gguf_real_at(scores, i);
    return STATUS_OK;
}

/* The ids of "left right", written in the byte alphabet, and of both joined. */
static Status read_merge(const GgufFile *file, const TokenizerSpec *spec, const TokenIndex *index,
                         GgufText merge, int32_t ids[3], Err *err)
{
    /* The alphabet has no space, but a token may begin with what stands for one. */
    const char *space =
        merge.bytes > 0 ? memchr(merge.data + 1, ' ', (size_t)merge.bytes - 1) : NULL;
    StrBuf text = {0};
    bool fine = false;
    if (space) {
        int64_t left = space - merge.data;
        fine = byte_alphabet_read(&text, merge.data, left);
        left = text.size;
        fine = fine && byte_alphabet_read(&text, space + 1, merge.data + merge.bytes - space - 1);
        if (fine) {
            ids[0] = token_index_find(index, spec, text.data, left);
            ids[1] = token_index_find(index, spec, text.data + left, text.size - left);
            ids[2] = token_index_find(index, spec, text.data, text.size);
            fine = ids[0] >= 0 && ids[1] >= 0 && ids[2] >= 0;
        }
    }
    Status status = STATUS_OK;
    if (!fine)
        status = err_set(err, "%s: the merge '%.*s' is not one of two tokens of the vocabulary",
                         gguf_name(file), (int)(merge.bytes < 60 ? merge.bytes : 60), merge.data);
    strbuf_clear(&text);
    return status;
}

static Status read_merges(const GgufFile *file, TokenizerSpec *spec, Err *err)
{
    const GgufValue *merges;
    TokenIndex index;
    TRY(get_array(file, "tokenizer.ggml.merges", GGUF_STRING, 0, &merges, err));
    Status status = STATUS_OK;
    spec->n_merges = merges->count;
    spec->merges = xcalloc((size_t)merges->count + 1, 3 * sizeof *spec->merges);
    token_index_init(&index, spec);
    for (int64_t i = 0; i < merges->count && status == STATUS_OK; i++)
        status = read_merge(file, spec, &index, merges->texts[i], spec->merges + 3 * i, err);
    token_index_clear(&index);
    return status;
}

/* A token that may be missing: then `*out` stays. */
static Status read_id(const GgufFile *file, const char *key, const TokenizerSpec *spec,
                      int32_t *out, Err *err)
{
    int64_t id;
    if (!gguf_find(file, key))
        return STATUS_OK;
    TRY(gguf_get_int(file, key, &id, err));
    if (id < 0 || id >= spec->n_tokens)
        return err_set(err, "%s: '%s' is token %lld of %lld", gguf_name(file), key, (long long)id,
                       (long long)spec->n_tokens);
    *out = (int32_t)id;
    return STATUS_OK;
}

/* The end of a turn and of a message end a text as eos does. */
static Status read_ends(const GgufFile *file, TokenizerSpec *spec, Err *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id = -1;
        TRY(read_id(file, keys[i], spec, &id, err));
        if (id >= 0)
            tokenizer_spec_add_end(spec, id);
    }
    const GgufValue *more;
    if (gguf_find(file, GGUF_ENDS)) {
        TRY(get_array(file, GGUF_ENDS, GGUF_I32, 0, &more, err));
        if (more->count > TOKENIZER_ENDS)
            return err_set(err, "%s: '%s' has %lld tokens", gguf_name(file), GGUF_ENDS,
                           (long long)more->count);
        for (int64_t i = 0; i < more->count; i++)
            tokenizer_spec_add_end(spec, (int32_t)gguf_int_at(more, i));
    }
    token_roles_settle(spec);
    return STATUS_OK;
}

Status gguf_roles_read(const GgufFile *file, TokenizerSpec *spec, Err *err)
{
    bool begins_with_bos = !spec->bare_start;
    TRY(read_id(file, "tokenizer.ggml.bos_token_id", spec, &spec->bos, err));
    TRY(read_id(file, "tokenizer.ggml.eos_token_id", spec, &spec->eos, err));
    TRY(read_id(file, "tokenizer.ggml.unknown_token_id", spec, &spec->unk, err));
    TRY(read_id(file, "tokenizer.ggml.padding_token_id", spec, &spec->pad, err));
    if (gguf_find(file, "tokenizer.ggml.add_bos_token"))
        TRY(gguf_get_bool(file, "tokenizer.ggml.add_bos_token", &begins_with_bos, err));
    spec->bare_start = !begins_with_bos;
    TRY(read_ends(file, spec, err));
    if (gguf_find(file, "tokenizer.chat_template")) {
        free(spec->chat_template);
        spec->chat_template = NULL;
        TRY(gguf_get_text(file, "tokenizer.chat_template", &spec->chat_template, err));
    }
    if (gguf_find(file, "tokenizer.chat_template.tool_use")) {
        free(spec->tool_template);
        spec->tool_template = NULL;
        TRY(gguf_get_text(file, "tokenizer.chat_template.tool_use", &spec->tool_template, err));
    }
    return STATUS_OK;
}

static Status read_kind(const GgufFile *file, const char *kind, TokenizerSpec *spec, Err *err)
{
    bool bos = true;
    if (strcmp(kind, "gpt2") == 0) {
        const PreTokenizer *pre;
        TRY(find_pre(file, &pre, err));
        spec->kind = TOKENIZER_RANKED;
        spec->byte_level = true;
        spec->pattern = gguf_pre_pattern(pre);
        spec->ignore_merges = pre->ignore_merges;
        spec->nfc = pre->nfc;
        bos = pre->bos;
        TRY(read_tokens(file, spec, err));
        TRY(read_merges(file, spec, err));
    } else if (strcmp(kind, "llama") == 0) {
        spec->kind = TOKENIZER_SCORED;
        spec->add_prefix_space = true;
        TRY(read_tokens(file, spec, err));
        TRY(read_scores(file, spec, err));
    } else {
        return err_set(err,
                       "%s: a vocabulary of the kind '%.60s'; gpt2 (byte-level BPE) and llama "
                       "(SentencePiece BPE) are read",
                       gguf_name(file), kind);
    }
    if (gguf_find(file, "tokenizer.ggml.add_space_prefix"))
        TRY(gguf_get_bool(file, "tokenizer.ggml.add_space_prefix", &spec->add_prefix_space, err));
    spec->bare_start = !bos;
    return gguf_roles_read(file, spec, err);
}

Status gguf_tokenizer_read(const GgufFile *file, TokenizerSpec *spec, Err *err)
{
    char *kind;
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    TRY(gguf_get_text(file, "tokenizer.ggml.model", &kind, err));
    Status status = read_kind(file, kind, spec, err);
    free(kind);
    if (status == STATUS_OK)
        spec->name = xstrdup("GGUF");
    else
        tokenizer_spec_clear(spec);
    return status;
}
