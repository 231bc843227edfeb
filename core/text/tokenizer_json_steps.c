/* Normalizers, pre-tokenizers and decoders of tokenizer.json. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/normalizer.h"
#include "core/text/splitter.h"
#include "core/text/text_step.h"
#include "core/text/tokenizer_json_reader.h"

static Status refuse(const JsonReader *reader, const char *what)
{
    return err_set(reader->err, "tokenizer.json: %s is not supported", what);
}

/* Appends the steps, without the sequences that hold them. */
static void flatten(json_t *part, const char *members, json_t *out)
{
    size_t i;
    json_t *item;
    if (strcmp(text_step_type(part), "Sequence") == 0) {
        json_array_foreach(json_object_get(part, members), i, item) flatten(item, members, out);
    } else if (json_is_object(part)) {
        json_array_append(out, part);
    } else if (part && !json_is_null(part)) {
        json_array_append_new(out, json_object()); /* it has no type, which is refused by name */
    }
}

/* The spec's pattern grows by a line; line feeds in it become escapes. */
static void add_line(const JsonReader *reader, StrBuf *out, const char *pattern)
{
    if (out->size > 0)
        strbuf_putc(out, '\n');
    size_t zero = strlen(reader->stand_in);
    for (const char *p = pattern; *p; p++) {
        const char *next = p + (*p == '\\');
        if (zero > 0 && strncmp(next, reader->stand_in, zero) == 0) {
            strbuf_puts(out, "\\x00");
            p = next + zero - 1;
        } else if (*p == '\\' && p[1] != '\0' && p[1] != '\n') {
            strbuf_append(out, p++, 2);
        } else if (*p == '\n' || (*p == '\\' && p[1] == '\n')) {
            strbuf_puts(out, "\\n");
            p += *p == '\\';
        } else {
            strbuf_putc(out, *p);
        }
    }
}

static void add_literal(const JsonReader *reader, StrBuf *out, const char *text)
{
    StrBuf escaped = {0};
    for (const char *p = text; *p; p++) {
        if (*p != '\n' && strchr("\\^$.[]|()?*+{}", *p))
            strbuf_putc(&escaped, '\\');
        strbuf_putc(&escaped, *p);
    }
    add_line(reader, out, escaped.data ? escaped.data : "");
    strbuf_clear(&escaped);
}

/* ---- what flags and patterns can say ----------------------------------------------------------
 */

static bool is_spaces_to_marks(const json_t *step)
{
    return strcmp(text_step_type(step), "Replace") == 0 &&
           text_step_is(json_object_get(step, "pattern"), "String", " ") &&
           text_step_is(step, "content", TEXT_METASPACE);
}

/* NFC, then (Prepend and) Replace as Llama combines them. */
static bool plain_normalizer(const json_t *steps, TokenizerSpec *spec)
{
    size_t at = 0, n = json_array_size(steps);
    if (at < n && strcmp(text_step_type(json_array_get(steps, at)), "NFC") == 0) {
        spec->nfc = true;
        at++;
    }
    bool replaces = n > at && is_spaces_to_marks(json_array_get(steps, n - 1));
    const json_t *prepend = json_array_get(steps, at);
    if (replaces && n == at + 2 && strcmp(text_step_type(prepend), "Prepend") == 0 &&
        text_step_is(prepend, "prepend", TEXT_METASPACE)) {
        spec->add_prefix_space = true;
        return true;
    }
    spec->metaspace = replaces;
    return n == at + replaces;
}

static bool plain_byte_level(const JsonReader *reader, const json_t *step, StrBuf *lines)
{
    if (text_step_flag(step, "add_prefix_space", true)) {
        /* Behind another pre-tokenizer the space goes before each of its pieces. */
        if (lines->size > 0)
            return false;
        reader->spec->add_prefix_space = true;
    }
    if (text_step_flag(step, "use_regex", true))
        add_line(reader, lines, text_gpt2_pattern);
    return true;
}

static bool plain_step(const JsonReader *reader, const json_t *step, StrBuf *lines)
{
    const char *type = text_step_type(step);
    if (strcmp(type, "ByteLevel") == 0)
        return plain_byte_level(reader, step, lines);
    if (strcmp(type, "Digits") == 0) {
        add_line(reader, lines,
                 text_step_flag(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
        return true;
    }
    if (!text_step_is(step, "behavior", "Isolated") || text_step_flag(step, "invert", false))
        return false;
    if (strcmp(type, "Punctuation") == 0) {
        add_line(reader, lines, "[!-/:-@\\[-`{-~\\p{P}]");
        return true;
    }
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    if (strcmp(type, "Split") != 0 || (!regex && !literal) || !*(regex ? regex : literal))
        return false;
    bool ours = regex && strncmp(regex, EXTENDED_SCRIPTS, strlen(EXTENDED_SCRIPTS)) == 0;
    if (ours)
        regex += strlen(EXTENDED_SCRIPTS);
    else if (regex && regex_names_script(regex)) /* a line of a pattern would mean more by them */
        return false;
    if (regex)
        add_line(reader, lines, regex);
    else
        add_literal(reader, lines, literal);
    return true;
}

static bool is_split_at_spaces(const json_t *step)
{
    return strcmp(text_step_type(step), "Split") == 0 &&
           text_step_is(json_object_get(step, "pattern"), "String", " ") &&
           !text_step_flag(step, "invert", false);
}

/* Pieces that are matches of patterns or lie between them. Behind a replacement of spaces the
 * patterns would see other characters than the text's. */
static bool plain_pre_tokenizer(const JsonReader *reader, const json_t *steps)
{
    const TokenizerSpec *spec = reader->spec;
    size_t i;
    json_t *step;
    StrBuf lines = {0};
    bool marks = spec->metaspace || spec->add_prefix_space, plain = true;
    json_array_foreach(steps, i, step)
    {
        bool bytes = strcmp(text_step_type(step), "ByteLevel") == 0;
        bool idle = marks && is_split_at_spaces(step); /* there are none left */
        if (plain && !idle)
            plain = !marks && plain_step(reader, step, &lines) &&
                    (!bytes || i + 1 == json_array_size(steps));
    }
    if (plain && lines.size > 0)
        reader->spec->pattern = strbuf_detach(&lines);
    strbuf_clear(&lines);
    return plain;
}

/* ---- what only steps can say ------------------------------------------------------------------
 */

static Status keep_steps(const JsonReader *reader, const json_t *steps, char **out)
{
    *out = NULL;
    if (json_array_size(steps) == 0)
        return STATUS_OK;
    *out = json_dumps(steps, JSON_COMPACT);
    if (!*out || (reader->stand_in[0] && strstr(*out, reader->stand_in)))
        return refuse(reader, "a normalizer or pre-tokenizer with U+0000");
    return STATUS_OK;
}

/* Whether the steps put U+2581 for spaces; one that only puts it before the text would leave two
 * kinds of space. */
static Status find_metaspace(const JsonReader *reader, const json_t *normalizer, const json_t *pre,
                             bool *out)
{
    size_t i;
    json_t *step;
    bool replaces = false, prepends = false;
    json_array_foreach(normalizer, i, step)
    {
        replaces = replaces || is_spaces_to_marks(step);
        prepends = prepends || text_step_is(step, "prepend", TEXT_METASPACE);
    }
    json_array_foreach(pre, i, step) replaces =
        replaces || strcmp(text_step_type(step), "Metaspace") == 0;
    *out = replaces;
    return prepends && !replaces ? refuse(reader, "the normalizer Prepend without Replace")
                                 : STATUS_OK;
}

static Status take_steps(JsonReader *reader, const json_t *normalizer, const json_t *pre)
{
    TokenizerSpec *spec = reader->spec;
    TRY(keep_steps(reader, normalizer, &spec->normalizer));
    TRY(keep_steps(reader, pre, &spec->pre_tokenizer));
    TRY(find_metaspace(reader, normalizer, pre, &spec->metaspace));
    Normalizer *normal = spec->normalizer ? normalizer_new(spec->normalizer, reader->err) : NULL;
    normalizer_free(normal);
    if (spec->normalizer && !normal)
        return err_wrap(reader->err, "tokenizer.json");
    Splitter *splitter =
        spec->pre_tokenizer ? splitter_new_steps(spec->pre_tokenizer, reader->err) : NULL;
    splitter_free(splitter);
    if (spec->pre_tokenizer && !splitter)
        return err_wrap(reader->err, "tokenizer.json");
    return STATUS_OK;
}

/* ---- decoders ---------------------------------------------------------------------------------
 */

static Status read_decoder_step(const JsonReader *reader, const json_t *step, bool *fused,
                                DecodeStrip *strip)
{
    const char *type = text_step_type(step);
    if (strcmp(type, "ByteLevel") == 0)
        return reader->byte_level ? STATUS_OK
                                  : refuse(reader, "the decoder ByteLevel without its "
                                                   "pre-tokenizer");
    if (strcmp(type, "ByteFallback") == 0)
        return STATUS_OK;
    if (strcmp(type, "Fuse") == 0) {
        *fused = true;
        return STATUS_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        bool known = text_step_is(json_object_get(step, "pattern"), "String", TEXT_METASPACE) &&
                     text_step_is(step, "content", " ");
        return known ? STATUS_OK : refuse(reader, "the decoder Replace of this text");
    }
    if (strcmp(type, "Strip") == 0) {
        json_int_t start = json_integer_value(json_object_get(step, "start"));
        bool known = text_step_is(step, "content", " ") && start <= 1 && (*fused || start == 0) &&
                     json_integer_value(json_object_get(step, "stop")) == 0;
        *strip = start == 1 ? STRIP_SPACE : *strip;
        return known ? STATUS_OK : refuse(reader, "the decoder Strip of this form");
    }
    if (strcmp(type, "Metaspace") == 0) {
        bool never = text_step_is(step, "prepend_scheme", "never") ||
                     !text_step_flag(step, "add_prefix_space", true);
        *strip = never ? STRIP_NOTHING : STRIP_TOKEN;
        return STATUS_OK;
    }
    return err_set(reader->err, "tokenizer.json: the decoder %s is not supported", type);
}

/* Decoding follows from the rest, but for what goes off the beginning of a text. */
static Status read_decoder(const JsonReader *reader, const json_t *steps)
{
    TokenizerSpec *spec = reader->spec;
    DecodeStrip strip = STRIP_NOTHING;
    bool fused = false, prefix = spec->add_prefix_space && !reader->byte_level;
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step) TRY(read_decoder_step(reader, step, &fused, &strip));
    if (i > 0 && strip != (prefix ? STRIP_SPACE : STRIP_NOTHING))
        spec->strip = strip;
    return STATUS_OK;
}

/* ---- all --------------------------------------------------------------------------------------
 */

static bool has_byte_level(const json_t *pre)
{
    size_t i;
    json_t *step;
    json_array_foreach(pre, i,
                       step) if (strcmp(text_step_type(step), "ByteLevel") == 0) return true;
    return false;
}

static Status read_parts(JsonReader *reader, const json_t *normalizer, const json_t *pre,
                         const json_t *decoder)
{
    TokenizerSpec *spec = reader->spec;
    reader->byte_level = has_byte_level(pre);
    if (!plain_normalizer(normalizer, spec) || !plain_pre_tokenizer(reader, pre)) {
        spec->nfc = spec->add_prefix_space = spec->metaspace = false;
        TRY(take_steps(reader, normalizer, pre));
    }
    reader->metaspace = spec->metaspace || (spec->add_prefix_space && !reader->byte_level);
    if (reader->metaspace && reader->byte_level)
        return refuse(reader, "U+2581 for spaces before ByteLevel");
    return read_decoder(reader, decoder);
}

Status tokenizer_json_steps(JsonReader *reader)
{
    json_t *normalizer = json_array(), *pre = json_array(), *decoder = json_array();
    flatten(json_object_get(reader->root, "normalizer"), "normalizers", normalizer);
    flatten(json_object_get(reader->root, "pre_tokenizer"), "pretokenizers", pre);
    flatten(json_object_get(reader->root, "decoder"), "decoders", decoder);
    Status status = read_parts(reader, normalizer, pre, decoder);
    json_decref(normalizer);
    json_decref(pre);
    json_decref(decoder);
    return status;
}
