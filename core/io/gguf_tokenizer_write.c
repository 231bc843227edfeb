#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/gguf_tokenizer.h"
#include "core/io/gguf_vocabulary.h"
#include "core/text/byte_alphabet.h"
#include "core/text/text_step.h"

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
            strbuf_append(out, text[i] == ' ' ? GGUF_METASPACE : text + i, text[i] == ' ' ? 3 : 1);
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
            strbuf_printf(text, GGUF_PADDING_NAME, (long long)id);
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

/* Whether the only step is one that puts U+2581 for spaces, as newer folders have it; *prefix: and
 * one before the text. */
static bool is_metaspace_step(const TokenizerSpec *spec, bool *prefix)
{
    Err err;
    json_t *steps;
    *prefix = false;
    if (spec->normalizer || !spec->pre_tokenizer ||
        text_steps_load(spec->pre_tokenizer, "pre-tokenizer", &steps, &err) != STATUS_OK)
        return false;
    const json_t *step = json_array_get(steps, 0);
    bool alone = json_array_size(steps) == 1 && strcmp(text_step_type(step), "Metaspace") == 0 &&
                 !text_step_flag(step, "split", true);
    *prefix = alone && text_step_flag(step, "add_prefix_space", true) &&
              !text_step_is(step, "prepend_scheme", "never");
    json_decref(steps);
    return alone;
}

/* Whether texts are only brought into the form that SentencePiece gives them. */
static bool is_sentencepiece(const TokenizerSpec *spec)
{
    bool prefix;
    if (spec->pattern || spec->nfc || spec->ignore_merges)
        return false;
    if (spec->add_prefix_space || (spec->metaspace && !spec->pre_tokenizer && !spec->normalizer))
        return true;
    if (!is_metaspace_step(spec, &prefix))
        return false;
    if (prefix)
        log_warn(
            "GGUF puts a space before every text, and before text behind a special token; this "
            "vocabulary does not where there is one or not at the beginning");
    return true;
}

static Status put_scores(GgufWriter *writer, const TokenizerSpec *spec, int64_t rows, Err *err)
{
    float *scores = xcalloc((size_t)rows, sizeof *scores);
    Status status = STATUS_OK;
    if (spec->scores)
        memcpy(scores, spec->scores, (size_t)spec->n_tokens * sizeof *scores);
    else if (!is_sentencepiece(spec) || !scores_of_ranks(spec, scores))
        status = err_set(err, "GGUF cannot hold this vocabulary: it merges characters in an order "
                              "that no scores give");
    if (status == STATUS_OK)
        gguf_put_f32s(writer, "tokenizer.ggml.scores", scores, rows);
    free(scores);
    return status;
}

static Status put_pre(GgufWriter *writer, const TokenizerSpec *spec, Err *err)
{
    const PreTokenizer *pre = gguf_pre_of(spec);
    if (pre) {
        gguf_put_text(writer, "tokenizer.ggml.pre", pre->name);
        return STATUS_OK;
    }
    return err_set(err, "GGUF cannot hold this vocabulary: its pre-tokenizer has no name there");
}

/* The format has two keys besides eos; where there are more ends, all go under a key of our own. */
static void put_ends(GgufWriter *writer, const TokenizerSpec *spec)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (int64_t i = 0; i < spec->n_ends && i < 2; i++)
        gguf_put_u32(writer, keys[i], (uint32_t)spec->ends[i]);
    if (spec->n_ends <= 2)
        return;
    gguf_put_i32s(writer, GGUF_ENDS, spec->ends, spec->n_ends);
    log_warn("GGUF has a place for two end tokens besides eos: other programs will not see %lld of "
             "the model's",
             (long long)spec->n_ends - 2);
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
    put_ends(writer, spec);
    gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", !spec->bare_start && spec->bos >= 0);
    gguf_put_bool(writer, "tokenizer.ggml.add_eos_token", false);
    bool prefix;
    if (!is_metaspace_step(spec, &prefix))
        prefix = spec->add_prefix_space;
    gguf_put_bool(writer, "tokenizer.ggml.add_space_prefix", prefix);
    if (spec->chat_template)
        gguf_put_text(writer, "tokenizer.chat_template", spec->chat_template);
    if (spec->tool_template)
        gguf_put_text(writer, "tokenizer.chat_template.tool_use", spec->tool_template);
}

/* How names of added tokens are found has no place in the format. */
static void tell_lost_ways(const TokenizerSpec *spec)
{
    const int ways = FIND_SINGLE_WORD | FIND_LSTRIP | FIND_RSTRIP | FIND_NORMALIZED;
    for (int64_t id = 0; id < spec->n_tokens && spec->find; id++)
        if (spec->find[id] & ways) {
            int64_t start = spec->offsets[id];
            log_warn(
                "GGUF does not say how the names of added tokens are found in a text, with white "
                "space around them or as words: '%.*s' will be found everywhere, alone",
                (int)(spec->offsets[id + 1] - start), spec->text + start);
            return;
        }
}

Status gguf_tokenizer_write(GgufWriter *writer, const Tokenizer *tokenizer, int64_t rows, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    StrBuf text = {0};
    tell_lost_ways(spec);
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
