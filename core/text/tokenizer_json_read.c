#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/text/byte_alphabet.h"
#include "core/text/json_read.h"
#include "core/text/text_step.h"
#include "core/text/token_roles.h"
#include "core/text/tokenizer_json.h"
#include "core/text/tokenizer_json_reader.h"
#include "core/text/utf8.h"

enum {
    FILE_LIMIT = 1 << 30,
    STAND_IN = 0x10FFFF, /* the first choice: it is no character */
    STAND_IN_CHOICES = 64,
    ZERO_BYTES = 6,
};
static const char zero_escape[] = "\\u0000";

typedef JsonReader Reader;

static bool is_nothing(const json_t *value)
{
    return !value || json_is_null(value) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

static Status refuse(const Reader *reader, const char *role, const char *what)
{
    return err_set(reader->err, "tokenizer.json: the %s %s is not supported", role, what);
}

/* The id of a surface in the vocabulary, or -1. */
static int64_t surface_id(const Reader *reader, const char *surface)
{
    const json_t *id = json_object_get(reader->vocab, surface);
    return json_is_integer(id) ? json_integer_value(id) : -1;
}

/* ---- vocabulary ------------------------------------------------------------------------------ */

static Status check_id(const Reader *reader, const json_t *id, const char *token, int64_t limit)
{
    if (!json_is_integer(id))
        return err_set(reader->err, "tokenizer.json: the id of token \"%.60s\" is not a number",
                       token);
    if (json_integer_value(id) < 0 || json_integer_value(id) >= limit)
        return err_set(
            reader->err,
            "tokenizer.json: token \"%.60s\" has the id %lld, far outside the vocabulary", token,
            (long long)json_integer_value(id));
    return STATUS_OK;
}

static Status check_added_token(const Reader *reader, const json_t *token)
{
    const json_t *content = json_object_get(token, "content");
    if (is_nothing(content) || !json_is_string(content))
        return err_set(reader->err, "tokenizer.json: an added token has no content");
    const char *text = json_string_value(content);
    int64_t known = surface_id(reader, text);
    if (known >= 0 && known != json_integer_value(json_object_get(token, "id")))
        return err_set(reader->err, "tokenizer.json: the added token \"%.60s\" has two ids", text);
    return STATUS_OK;
}

static Status set_surface(Reader *reader, const char *surface, int64_t id)
{
    if (reader->surfaces[id] && strcmp(reader->surfaces[id], surface) != 0)
        return err_set(reader->err, "tokenizer.json: tokens \"%.60s\" and \"%.60s\" share id %lld",
                       reader->surfaces[id], surface, (long long)id);
    reader->surfaces[id] = surface;
    return STATUS_OK;
}

/* How names are found. Without a normalizer the last bit only says who goes first, which is nothing
 * to say where it is the same of all. */
static void read_ways(Reader *reader, const json_t *added)
{
    static const char *const ways[] = {"single_word", "lstrip", "rstrip", "normalized"};
    TokenizerSpec *spec = reader->spec;
    uint8_t *find = xcalloc((size_t)spec->n_tokens + 1, 1), all = 0;
    size_t i, normalized = 0;
    json_t *token;
    json_array_foreach(added, i, token)
    {
        uint8_t *bits = &find[json_integer_value(json_object_get(token, "id"))];
        *bits = 0;
        for (int way = 0; way < 4; way++)
            if (text_step_flag(token, ways[way], false))
                *bits |= (uint8_t)(1 << way);
        normalized += (*bits & FIND_NORMALIZED) != 0;
        const char *content = json_string_value(json_object_get(token, "content"));
        if (!text_step_flag(token, "special", false) && surface_id(reader, content) >= 0 &&
            content[utf8_length(content[0])] == '\0')
            *bits |= FIND_CHARACTER;
    }
    bool same = normalized == json_array_size(added) && !spec->normalizer && !spec->nfc &&
                !reader->metaspace;
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        if (same)
            find[id] &= (uint8_t)~FIND_NORMALIZED;
        all |= find[id];
    }
    if (all)
        spec->find = find;
    else
        free(find);
}

/* Finds each token's id, surface and type; ids that nothing has are unused tokens. */
static Status list_tokens(Reader *reader, const json_t *added)
{
    TokenizerSpec *spec = reader->spec;
    int64_t limit =
        2 * ((int64_t)json_object_size(reader->vocab) + (int64_t)json_array_size(added)) + 65536;
    int64_t greatest = -1;
    const char *surface;
    json_t *id, *token;
    size_t i;
    json_object_foreach(reader->vocab, surface, id)
    {
        TRY(check_id(reader, id, surface, limit));
        if (json_integer_value(id) > greatest)
            greatest = json_integer_value(id);
    }
    json_array_foreach(added, i, token)
    {
        TRY(check_added_token(reader, token));
        id = json_object_get(token, "id");
        TRY(check_id(reader, id, json_string_value(json_object_get(token, "content")), limit));
        if (json_integer_value(id) > greatest)
            greatest = json_integer_value(id);
    }
    spec->n_tokens = greatest + 1;
    reader->surfaces = xcalloc((size_t)spec->n_tokens + 1, sizeof *reader->surfaces);
    spec->types = xcalloc((size_t)spec->n_tokens + 1, 1);
    memset(spec->types, TOKEN_UNUSED, (size_t)spec->n_tokens);
    json_object_foreach(reader->vocab, surface, id)
    {
        TRY(set_surface(reader, surface, json_integer_value(id)));
        /* Some files hold an empty token, which no text ever becomes. */
        spec->types[json_integer_value(id)] = *surface ? TOKEN_TEXT : TOKEN_UNUSED;
    }
    json_array_foreach(added, i, token)
    {
        int64_t at = json_integer_value(json_object_get(token, "id"));
        TRY(set_surface(reader, json_string_value(json_object_get(token, "content")), at));
        spec->types[at] = text_step_flag(token, "special", false) ? TOKEN_SPECIAL : TOKEN_ADDED;
    }
    read_ways(reader, added);
    return STATUS_OK;
}

static void append_replaced(StrBuf *out, const char *text, const char *what, const char *by,
                            size_t by_bytes)
{
    for (const char *found; (found = strstr(text, what)); text = found + strlen(what)) {
        strbuf_append(out, text, (size_t)(found - text));
        strbuf_append(out, by, by_bytes);
    }
    strbuf_puts(out, text);
}

/* Appends the bytes that token `id` stands for, and may settle its type. */
static Status append_token(Reader *reader, int64_t id, StrBuf *out)
{
    const char *surface = reader->surfaces[id];
    uint8_t *type = &reader->spec->types[id];
    if (*type == TOKEN_UNUSED)
        return STATUS_OK;
    int byte = reader->byte_fallback && *type == TOKEN_TEXT
                   ? byte_token_value(surface, strlen(surface))
                   : -1;
    if (byte >= 0) {
        *type = TOKEN_BYTE;
        strbuf_putc(out, (char)byte);
    } else if (*type == TOKEN_TEXT && reader->byte_level) {
        if (!byte_alphabet_read(out, surface, (int64_t)strlen(surface)))
            return err_set(reader->err,
                           "tokenizer.json: token \"%.60s\" is not written in the byte alphabet",
                           surface);
    } else if (*type == TOKEN_TEXT && reader->metaspace) {
        append_replaced(out, surface, TEXT_METASPACE, " ", 1);
    } else if (reader->stand_in[0]) {
        append_replaced(out, surface, reader->stand_in, "", 1);
    } else {
        strbuf_puts(out, surface);
    }
    return STATUS_OK;
}

static Status read_texts(Reader *reader)
{
    TokenizerSpec *spec = reader->spec;
    StrBuf text = {0};
    Status status = STATUS_OK;
    spec->offsets = xcalloc((size_t)spec->n_tokens + 1, sizeof *spec->offsets);
    for (int64_t id = 0; id < spec->n_tokens && status == STATUS_OK; id++) {
        status = append_token(reader, id, &text);
        spec->offsets[id + 1] = text.size;
    }
    spec->text = strbuf_detach(&text);
    return status;
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* The two surfaces of a merge, "a b" or ["a", "b"], as one text with a zero between them. */
static Status merge_surfaces(const Reader *reader, const json_t *merge, size_t number, StrBuf *out)
{
    strbuf_reset(out);
    if (json_is_string(merge)) {
        strbuf_append(out, json_string_value(merge), json_string_length(merge));
        char *space = strchr(out->data, ' ');
        if (space && !strchr(space + 1, ' ')) {
            *space = '\0';
            return STATUS_OK;
        }
    } else if (json_array_size(merge) == 2 && json_is_string(json_array_get(merge, 0)) &&
               json_is_string(json_array_get(merge, 1))) {
        strbuf_puts(out, json_string_value(json_array_get(merge, 0)));
        strbuf_putc(out, '\0');
        strbuf_puts(out, json_string_value(json_array_get(merge, 1)));
        return STATUS_OK;
    }
    return err_set(reader->err, "tokenizer.json: merge %zu is not a pair of tokens", number);
}

static Status merge_part(const Reader *reader, const char *surface, size_t number, int32_t *id)
{
    int64_t found = surface_id(reader, surface);
    if (found < 0)
        return err_set(reader->err,
                       "tokenizer.json: merge %zu needs the token \"%.60s\", which is not in the "
                       "vocabulary",
                       number, surface);
    *id = (int32_t)found;
    return STATUS_OK;
}

static Status read_merges(Reader *reader, const json_t *merges)
{
    TokenizerSpec *spec = reader->spec;
    Status status = STATUS_OK;
    StrBuf pair = {0}, joined = {0};
    spec->n_merges = (int64_t)json_array_size(merges);
    spec->merges = xcalloc((size_t)spec->n_merges + 1, 3 * sizeof *spec->merges);
    size_t i;
    json_t *merge;
    json_array_foreach(merges, i, merge)
    {
        int32_t *ids = spec->merges + 3 * i;
        TRY_GOTO(merge_surfaces(reader, merge, i, &pair));
        const char *left = pair.data, *right = pair.data + strlen(pair.data) + 1;
        strbuf_reset(&joined);
        strbuf_puts(&joined, left);
        strbuf_puts(&joined, right);
        TRY_GOTO(merge_part(reader, left, i, &ids[0]));
        TRY_GOTO(merge_part(reader, right, i, &ids[1]));
        TRY_GOTO(merge_part(reader, joined.data, i, &ids[2]));
    }
done:
    strbuf_clear(&pair);
    strbuf_clear(&joined);
    return status;
}

/* An added token may be a token of the vocabulary, too. Where that stands for other bytes than it
 * is written with, and texts become it, one token would have two meanings. */
static Status check_meanings(const Reader *reader)
{
    const TokenizerSpec *spec = reader->spec;
    Status status = STATUS_OK;
    StrBuf meaning = {0};
    for (int32_t id = 0; id < spec->n_tokens && status == STATUS_OK; id++) {
        const char *surface = reader->surfaces[id];
        if ((spec->types[id] != TOKEN_ADDED && spec->types[id] != TOKEN_SPECIAL) ||
            surface_id(reader, surface) < 0)
            continue;
        bool letter = text_surface_differs(surface, (int64_t)strlen(surface), reader->byte_level,
                                           reader->metaspace, &meaning);
        if (meaning.size > 0 && (letter || token_role_is_merged(spec, id)))
            status = err_set(reader->err,
                             "tokenizer.json: the added token \"%.60s\" is a token of the "
                             "vocabulary for other bytes, which is not supported",
                             surface);
    }
    strbuf_clear(&meaning);
    return status;
}

/* ---- special tokens -------------------------------------------------------------------------- */

static int32_t find_special(const Reader *reader, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int64_t id = 0; id < reader->spec->n_tokens; id++)
            if (reader->spec->types[id] == TOKEN_SPECIAL &&
                strcmp(reader->surfaces[id], names[i]) == 0)
                return (int32_t)id;
    return -1;
}

/* The file does not say which special token is which, except that a template may put them around
 * the text; otherwise the usual names tell. */
static void name_specials(Reader *reader)
{
    static const char *const pad[] = {"<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"};
    static const char *const bos[] = {"<s>", "<|begin_of_text|>", "<bos>", "[BOS]",
                                      "<|startoftext|>"};
    static const char *const eos[] = {"</s>",  "<|end_of_text|>", "<eos>",
                                      "[EOS]", "<|endoftext|>",   "<|im_end|>"};
    TokenizerSpec *spec = reader->spec;
    spec->pad = find_special(reader, pad, sizeof pad / sizeof *pad);
    if (spec->bos < 0)
        spec->bos = find_special(reader, bos, sizeof bos / sizeof *bos);
    if (spec->eos < 0)
        spec->eos = find_special(reader, eos, sizeof eos / sizeof *eos);
}

/* The id that the template's own table gives the name. */
static Status template_id(const Reader *reader, const json_t *part, const char *name, int32_t *out)
{
    const json_t *entry = json_object_get(json_object_get(part, "special_tokens"), name);
    const json_t *ids = json_object_get(entry, "ids"), *id = json_array_get(ids, 0);
    if (json_array_size(ids) > 1)
        return refuse(reader, "post-processor", "TemplateProcessing with several tokens in one");
    *out = find_special(reader, &name, 1);
    if (json_is_integer(id) && json_integer_value(id) >= 0 &&
        json_integer_value(id) < reader->spec->n_tokens)
        *out = (int32_t)json_integer_value(id);
    return STATUS_OK;
}

static Status read_template(Reader *reader, const json_t *part)
{
    size_t i, before = 0;
    json_t *item;
    bool behind = false;
    json_array_foreach(json_object_get(part, "single"), i, item)
    {
        int32_t id = -1;
        const char *name =
            json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
        if (!name) {
            behind = true;
            continue;
        }
        TRY(template_id(reader, part, name, &id));
        if (behind) {
            reader->spec->eos = id;
        } else if (before++ > 0) {
            return refuse(reader, "post-processor",
                          "TemplateProcessing with several tokens before a text");
        } else {
            reader->spec->bos = id;
            reader->spec->bare_start = id < 0;
        }
    }
    return STATUS_OK;
}

static Status read_post_processor(Reader *reader, const json_t *part)
{
    if (is_nothing(part))
        return STATUS_OK;
    const char *type = text_step_type(part);
    if (strcmp(type, "Sequence") == 0) {
        size_t i;
        json_t *item;
        json_array_foreach(json_object_get(part, "processors"), i, item)
            TRY(read_post_processor(reader, item));
    } else if (strcmp(type, "TemplateProcessing") == 0) {
        TRY(read_template(reader, part));
    } else if (strcmp(type, "ByteLevel") != 0) {
        return refuse(reader, "post-processor", type);
    }
    return STATUS_OK;
}

/* ---- the model ------------------------------------------------------------------------------- */

static Status check_model(Reader *reader, const json_t *model)
{
    if (!json_is_object(model))
        return err_set(reader->err, "tokenizer.json: there is no \"model\"");
    reader->vocab = json_object_get(model, "vocab");
    const json_t *type = json_object_get(model, "type");
    bool nameless = !type && json_is_object(reader->vocab) && json_object_get(model, "merges");
    if (!nameless && !text_step_is(model, "type", "BPE"))
        return refuse(reader, "model", text_step_type(model));
    if (!json_is_object(reader->vocab) || json_object_size(reader->vocab) == 0)
        return err_set(reader->err, "tokenizer.json: the model has no vocabulary");
    if (!json_is_array(json_object_get(model, "merges")))
        return err_set(reader->err, "tokenizer.json: the model has no list of merges");
    if (json_number_value(json_object_get(model, "dropout")) != 0.0)
        return refuse(reader, "setting", "dropout");
    if (!is_nothing(json_object_get(model, "continuing_subword_prefix")))
        return refuse(reader, "setting", "continuing_subword_prefix");
    if (!is_nothing(json_object_get(model, "end_of_word_suffix")))
        return refuse(reader, "setting", "end_of_word_suffix");
    return STATUS_OK;
}

/* Whether byte tokens stand for some, and for all that a vocabulary lacks: a character of one byte
 * that it has needs none, and some bytes are in no character. */
static void find_bytes(const Reader *reader, bool *some, bool *all)
{
    bool covered[256] = {[0xc0] = true, true, [0xf5] = true, true, true, true, true,
                         true,          true, true,          true, true, true};
    *some = false;
    *all = reader->byte_fallback;
    for (int64_t i = 0; i < reader->spec->n_tokens && reader->byte_fallback; i++) {
        const char *surface = reader->surfaces[i];
        int byte = surface ? byte_token_value(surface, strlen(surface)) : -1;
        *some = *some || byte >= 0;
        if (byte < 0 && surface && (signed char)surface[0] > 0 && !surface[1])
            byte = surface[0];
        if (surface && reader->stand_in[0] && strcmp(surface, reader->stand_in) == 0)
            byte = 0;
        if (byte >= 0)
            covered[byte] = true;
    }
    for (int i = 0; i < 256; i++)
        *all = *all && covered[i];
}

static Status read_unk(Reader *reader, const json_t *model)
{
    const json_t *name = json_object_get(model, "unk_token");
    if (is_nothing(name))
        return STATUS_OK;
    int64_t id = json_is_string(name) ? surface_id(reader, json_string_value(name)) : -1;
    if (id < 0)
        return err_set(reader->err, "tokenizer.json: the unknown token is not in the vocabulary");
    reader->spec->unk = (int32_t)id;
    if (reader->spec->types[id] == TOKEN_TEXT)
        reader->spec->types[id] = TOKEN_SPECIAL;
    bool some, all;
    find_bytes(reader, &some, &all);
    /* There the order of the two would depend on what comes between them. */
    if (some && !all)
        return refuse(reader, "setting",
                      "byte_fallback without all byte tokens, but with unk_token");
    /* With all byte tokens nothing is unknown. */
    reader->spec->fuse_unk = text_step_flag(model, "fuse_unk", false) && !all;
    return STATUS_OK;
}

static Status read_root(Reader *reader)
{
    const json_t *model = json_object_get(reader->root, "model");
    const json_t *added = json_object_get(reader->root, "added_tokens");
    TRY(check_model(reader, model));
    reader->spec->ignore_merges = text_step_flag(model, "ignore_merges", false);
    TRY(tokenizer_json_steps(reader));
    reader->byte_fallback = text_step_flag(model, "byte_fallback", false) && !reader->byte_level;
    TRY(list_tokens(reader, added));
    TRY(read_unk(reader, model));
    TRY(read_texts(reader));
    TRY(read_merges(reader, json_object_get(model, "merges")));
    TRY(check_meanings(reader));
    reader->spec->bare_start = true; /* unless the template puts bos before texts */
    TRY(read_post_processor(reader, json_object_get(reader->root, "post_processor")));
    name_specials(reader);
    reader->spec->byte_level = reader->byte_level;
    reader->spec->name = xstrdup("tokenizer.json");
    return STATUS_OK;
}

/* Finds a character that the file holds neither as it is nor escaped. */
static Status choose_stand_in(Reader *reader, const char *json, int64_t bytes)
{
    for (uint32_t code = STAND_IN; code > STAND_IN - STAND_IN_CHOICES; code--) {
        char escapes[2][16]; /* 12 are used; the compiler counts digits that cannot come */
        uint32_t high = 0xD800 + ((code - 0x10000) >> 10), low = 0xDC00 + (code & 0x3FF);
        snprintf(escapes[0], sizeof escapes[0], "\\u%04x\\u%04x", high, low);
        snprintf(escapes[1], sizeof escapes[1], "\\u%04X\\u%04X", high, low);
        utf8_encode(code, reader->stand_in);
        if (!memmem(json, (size_t)bytes, reader->stand_in, UTF8_MAX) &&
            !memmem(json, (size_t)bytes, escapes[0], 12) &&
            !memmem(json, (size_t)bytes, escapes[1], 12))
            return STATUS_OK;
    }
    return err_set(reader->err, "tokenizer.json: tokens with U+0000 and with U+10FFFF and its "
                                "neighbours in one file are not supported");
}

/* Copies the file with stand-ins for escaped zeros. */
static void replace_zeros(const Reader *reader, const char *json, int64_t bytes, StrBuf *out)
{
    for (int64_t i = 0; i < bytes;) {
        const char *next = memchr(json + i, '\\', (size_t)(bytes - i));
        int64_t until = next ? next - json : bytes;
        strbuf_append(out, json + i, (size_t)(until - i));
        i = until;
        if (bytes - i >= ZERO_BYTES && memcmp(json + i, zero_escape, ZERO_BYTES) == 0) {
            strbuf_puts(out, reader->stand_in);
            i += ZERO_BYTES;
        } else if (i < bytes) {
            int64_t pair = bytes - i < 2 ? bytes - i : 2;
            strbuf_append(out, json + i, (size_t)pair);
            i += pair;
        }
    }
}

static Status parse_with(const char *json, int64_t bytes, const json_t *added, TokenizerSpec *spec,
                         Err *err)
{
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    Reader reader = {.spec = spec, .err = err};
    StrBuf replaced = {0};
    Status status = STATUS_OK;
    json_error_t fault;
    if (memmem(json, (size_t)bytes, zero_escape, ZERO_BYTES)) {
        TRY_GOTO(choose_stand_in(&reader, json, bytes));
        replace_zeros(&reader, json, bytes, &replaced);
        json = replaced.data;
        bytes = replaced.size;
    }
    reader.root = json_read(json, bytes, JSON_REJECT_DUPLICATES, &fault);
    if (!reader.root)
        status = err_set(err, "tokenizer.json: not JSON: %s (line %d, column %d)", fault.text,
                         fault.line, fault.column);
    else if (added)
        tokenizer_json_merge_added(reader.root, added);
    if (reader.root)
        status = read_root(&reader);
done:
    if (status != STATUS_OK)
        tokenizer_spec_clear(spec);
    json_decref(reader.root);
    free(reader.surfaces);
    strbuf_clear(&replaced);
    return status;
}

Status tokenizer_json_parse(const char *json, int64_t bytes, TokenizerSpec *spec, Err *err)
{
    return parse_with(json, bytes, NULL, spec, err);
}

Status tokenizer_json_read(const char *path, TokenizerSpec *spec, Err *err)
{
    return tokenizer_json_read_with(path, NULL, spec, err);
}

Status tokenizer_json_read_with(const char *path, const json_t *added, TokenizerSpec *spec,
                                Err *err)
{
    StrBuf json = {0};
    Status status = file_read(path, FILE_LIMIT, &json, err);
    if (status == STATUS_OK) {
        status = parse_with(json.data, json.size, added, spec, err);
        if (status != STATUS_OK)
            err_wrap(err, "%s", path);
    } else {
        *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    }
    strbuf_clear(&json);
    return status;
}
