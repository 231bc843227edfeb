#include "core/io/gguf_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/byte_alphabet.h"
#include "core/text/token_index.h"
#include "core/text/tokenizer_json.h"

/* U+2581, which stands for a space in SentencePiece's vocabularies. */
static const char metaspace[] = "\xE2\x96\x81";

#define PADDING_NAME "[PAD%lld]"
enum { PADDING_MAX = 32 };

/* llama.cpp's numbers of token types. */
enum { KIND_TEXT = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER, KIND_UNUSED, KIND_BYTE };

/* ---- pre-tokenizers ------------------------------------------------------------------------- */

/* Words as cl100k cuts them; `digits` says how many make a piece. */
#define WORDS(digits)                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

typedef struct PreTokenizer {
    const char *name;    /* in GGUF files */
    const char *pattern; /* as the models' own tokenizers have it */
    bool digits;         /* before it, every digit is set apart */
    bool ignore_merges, nfc;
    bool bos; /* texts begin with bos unless the file says otherwise */
} PreTokenizer;

/* The first name of a pattern is the one that is written. */
static const PreTokenizer pre_tokenizers[] = {
    {.name = "gpt-2", .pattern = tokenizer_gpt2_pattern},
    {.name = "smollm", .pattern = tokenizer_gpt2_pattern, .digits = true},
    {.name = "starcoder", .pattern = tokenizer_gpt2_pattern, .digits = true},
    {.name = "llama-bpe", .pattern = WORDS("\\p{N}{1,3}"), .ignore_merges = true, .bos = true},
    {.name = "llama3", .pattern = WORDS("\\p{N}{1,3}"), .ignore_merges = true, .bos = true},
    {.name = "llama-v3", .pattern = WORDS("\\p{N}{1,3}"), .ignore_merges = true, .bos = true},
    {.name = "qwen2", .pattern = WORDS("\\p{N}"), .nfc = true},
    {.name = "deepseek-r1-qwen", .pattern = WORDS("\\p{N}"), .nfc = true},
    {.name = "tekken",
     .pattern = "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER
                "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     .ignore_merges = true,
     .bos = true},
};
enum { N_PRE = sizeof pre_tokenizers / sizeof *pre_tokenizers };

/* As core/text/splitter.h wants it; the caller frees. */
static char *pattern_of(const PreTokenizer *pre)
{
    return xasprintf("%s%s", pre->digits ? "\\p{N}\n" : "", pre->pattern);
}

static Status find_pre(const GgufFile *file, const PreTokenizer **out, Err *err)
{
    static const char key[] = "tokenizer.ggml.pre";
    char *name = NULL;
    if (gguf_find(file, key))
        TRY(gguf_get_text(file, key, &name, err));
    else
        name = xstrdup("default"); /* old files name none, and it was often another */
    *out = NULL;
    for (int i = 0; i < N_PRE && !*out; i++)
        if (strcmp(pre_tokenizers[i].name, name) == 0)
            *out = &pre_tokenizers[i];
    Status status = STATUS_OK;
    if (!*out)
        status = err_set(err,
                         "%s: the pre-tokenizer '%.60s' is not known; give the model's "
                         "tokenizer.json with --tokenizer FILE",
                         gguf_name(file), name);
    free(name);
    return status;
}

/* ---- reading -------------------------------------------------------------------------------- */

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
            bool space = end - p >= 3 && memcmp(p, metaspace, 3) == 0;
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
    char name[PADDING_MAX];
    int length = snprintf(name, sizeof name, PADDING_NAME, (long long)id);
    return kind == KIND_UNUSED && surface.bytes == length &&
           memcmp(surface.data, name, (size_t)length) == 0;
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

/* A token that may be missing: -1. */
static Status read_id(const GgufFile *file, const char *key, const TokenizerSpec *spec,
                      int32_t *out, Err *err)
{
    int64_t id;
    *out = -1;
    if (!gguf_find(file, key))
        return STATUS_OK;
    TRY(gguf_get_int(file, key, &id, err));
    if (id < 0 || id >= spec->n_tokens)
        return err_set(err, "%s: '%s' is token %lld of %lld", gguf_name(file), key, (long long)id,
                       (long long)spec->n_tokens);
    *out = (int32_t)id;
    return STATUS_OK;
}

static Status read_specials(const GgufFile *file, bool begins_with_bos, TokenizerSpec *spec,
                            Err *err)
{
    TRY(read_id(file, "tokenizer.ggml.bos_token_id", spec, &spec->bos, err));
    TRY(read_id(file, "tokenizer.ggml.eos_token_id", spec, &spec->eos, err));
    TRY(read_id(file, "tokenizer.ggml.unknown_token_id", spec, &spec->unk, err));
    TRY(read_id(file, "tokenizer.ggml.padding_token_id", spec, &spec->pad, err));
    if (gguf_find(file, "tokenizer.ggml.add_bos_token"))
        TRY(gguf_get_bool(file, "tokenizer.ggml.add_bos_token", &begins_with_bos, err));
    spec->bare_start = !begins_with_bos;
    if (gguf_find(file, "tokenizer.chat_template"))
        TRY(gguf_get_text(file, "tokenizer.chat_template", &spec->chat_template, err));
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
        spec->pattern = pattern_of(pre);
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
    return read_specials(file, bos, spec, err);
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

/* ---- writing -------------------------------------------------------------------------------- */

static int32_t kind_of(const TokenizerSpec *spec, int64_t id)
{
    switch ((TokenType)spec->types[id]) {
    case TOKEN_BYTE:
        return spec->byte_level ? KIND_TEXT : KIND_BYTE;
    case TOKEN_SPECIAL:
        return id == spec->unk && !spec->byte_level ? KIND_UNKNOWN : KIND_CONTROL;
    case TOKEN_UNUSED:
        return KIND_UNUSED;
    case TOKEN_ADDED:
        return KIND_USER;
    case TOKEN_TEXT:
        break;
    }
    return KIND_TEXT;
}

/* As the format writes the token. */
static void append_surface(const TokenizerSpec *spec, int64_t id, StrBuf *out)
{
    const char *text = spec->text + spec->offsets[id];
    int64_t bytes = spec->offsets[id + 1] - spec->offsets[id];
    bool from_text = spec->types[id] == TOKEN_TEXT || spec->types[id] == TOKEN_BYTE;
    if (spec->types[id] == TOKEN_UNUSED && bytes == 0) {
        strbuf_printf(out, "[UNUSED%lld]", (long long)id);
    } else if (from_text && spec->byte_level) {
        byte_alphabet_write(out, text, bytes);
    } else if (spec->types[id] == TOKEN_BYTE) {
        strbuf_printf(out, "<0x%02X>", (uint8_t)text[0]);
    } else if (spec->types[id] == TOKEN_TEXT) {
        for (int64_t i = 0; i < bytes; i++)
            strbuf_append(out, text[i] == ' ' ? metaspace : text + i, text[i] == ' ' ? 3 : 1);
    } else {
        strbuf_append(out, text, (size_t)bytes);
    }
}

/* The tokens one behind the other, and where each is; the caller frees. Rows that no token has are
 * unused tokens. */
static GgufText *make_surfaces(const TokenizerSpec *spec, int64_t rows, StrBuf *text)
{
    GgufText *surfaces = xcalloc((size_t)rows, sizeof *surfaces);
    for (int64_t id = 0; id < rows; id++) {
        int64_t before = text->size;
        if (id < spec->n_tokens)
            append_surface(spec, id, text);
        else
            strbuf_printf(text, PADDING_NAME, (long long)id);
        surfaces[id].bytes = text->size - before;
    }
    for (int64_t id = 0, at = 0; id < rows; at += surfaces[id++].bytes)
        surfaces[id].data = text->data + at;
    return surfaces;
}

static void put_kinds(GgufWriter *writer, const TokenizerSpec *spec, int64_t rows)
{
    int32_t *kinds = xmalloc((size_t)rows * sizeof *kinds);
    for (int64_t id = 0; id < rows; id++)
        kinds[id] = id < spec->n_tokens ? kind_of(spec, id) : KIND_UNUSED;
    gguf_put_i32s(writer, "tokenizer.ggml.token_type", kinds, rows);
    free(kinds);
}

static void put_merges(GgufWriter *writer, const TokenizerSpec *spec, const GgufText *surfaces)
{
    StrBuf text = {0};
    GgufText *merges = xcalloc((size_t)spec->n_merges + 1, sizeof *merges);
    for (int64_t i = 0; i < spec->n_merges; i++) {
        GgufText left = surfaces[spec->merges[3 * i]], right = surfaces[spec->merges[3 * i + 1]];
        strbuf_append(&text, left.data, (size_t)left.bytes);
        strbuf_putc(&text, ' ');
        strbuf_append(&text, right.data, (size_t)right.bytes);
        merges[i].bytes = left.bytes + 1 + right.bytes;
    }
    for (int64_t i = 0, at = 0; i < spec->n_merges; at += merges[i++].bytes)
        merges[i].data = text.data + at;
    gguf_put_texts(writer, "tokenizer.ggml.merges", merges, spec->n_merges);
    free(merges);
    strbuf_clear(&text);
}

/* Scores of a vocabulary that merges by rank: of a token, minus the rank of the merges that make
 * it. False when these are not together: then no scores merge alike. */
static bool scores_of_ranks(const TokenizerSpec *spec, float *scores)
{
    for (int64_t id = 0; id < spec->n_tokens; id++)
        scores[id] = -(float)spec->n_merges; /* what no merge makes */
    for (int64_t i = 0; i < spec->n_merges; i++) {
        int32_t result = spec->merges[3 * i + 2];
        bool again = i > 0 && result == spec->merges[3 * (i - 1) + 2];
        if (!again && scores[result] != -(float)spec->n_merges)
            return false;
        if (!again)
            scores[result] = -(float)i;
    }
    return true;
}

static Status put_scores(GgufWriter *writer, const TokenizerSpec *spec, int64_t rows, Err *err)
{
    float *scores = xcalloc((size_t)rows, sizeof *scores);
    Status status = STATUS_OK;
    if (spec->scores)
        memcpy(scores, spec->scores, (size_t)spec->n_tokens * sizeof *scores);
    else if (!spec->add_prefix_space || spec->pattern || !scores_of_ranks(spec, scores))
        status = err_set(err, "GGUF cannot hold this vocabulary: it merges characters in an order "
                              "that no scores give");
    if (status == STATUS_OK)
        gguf_put_f32s(writer, "tokenizer.ggml.scores", scores, rows);
    free(scores);
    return status;
}

static Status put_pre(GgufWriter *writer, const TokenizerSpec *spec, Err *err)
{
    for (int i = 0; i < N_PRE; i++) {
        char *pattern = pattern_of(&pre_tokenizers[i]);
        bool same = spec->pattern && strcmp(pattern, spec->pattern) == 0;
        free(pattern);
        if (!same)
            continue;
        gguf_put_text(writer, "tokenizer.ggml.pre", pre_tokenizers[i].name);
        return STATUS_OK;
    }
    return err_set(err, "GGUF cannot hold this vocabulary: its pre-tokenizer pattern has no name "
                        "there");
}

static void put_specials(GgufWriter *writer, const TokenizerSpec *spec)
{
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", spec->bos},
        {"tokenizer.ggml.eos_token_id", spec->eos},
        {"tokenizer.ggml.unknown_token_id", spec->unk},
        {"tokenizer.ggml.padding_token_id", spec->pad},
    };
    for (int i = 0; i < 4; i++)
        if (ids[i].id >= 0)
            gguf_put_u32(writer, ids[i].key, (uint32_t)ids[i].id);
    gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", !spec->bare_start && spec->bos >= 0);
    gguf_put_bool(writer, "tokenizer.ggml.add_eos_token", false);
    gguf_put_bool(writer, "tokenizer.ggml.add_space_prefix", spec->add_prefix_space);
    if (spec->chat_template)
        gguf_put_text(writer, "tokenizer.chat_template", spec->chat_template);
}

Status gguf_tokenizer_write(GgufWriter *writer, const Tokenizer *tokenizer, int64_t rows, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    StrBuf text = {0};
    gguf_put_text(writer, "tokenizer.ggml.model", spec->byte_level ? "gpt2" : "llama");
    TRY(spec->byte_level ? put_pre(writer, spec, err) : put_scores(writer, spec, rows, err));
    GgufText *surfaces = make_surfaces(spec, rows, &text);
    gguf_put_texts(writer, "tokenizer.ggml.tokens", surfaces, rows);
    put_kinds(writer, spec, rows);
    if (spec->byte_level)
        put_merges(writer, spec, surfaces);
    put_specials(writer, spec);
    free(surfaces);
    strbuf_clear(&text);
    return STATUS_OK;
}
