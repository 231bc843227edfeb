#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/text/byte_alphabet.h"
#include "core/text/text_step.h"
#include "core/text/token_roles.h"
#include "core/text/tokenizer_impl.h"
#include "core/text/tokenizer_json.h"
#include "core/text/tokenizer_json_reader.h"
#include "core/text/utf8.h"

typedef struct Writer {
    const Tokenizer *tokenizer;
    const TokenizerSpec *spec;
    StrBuf *out;
    Err *err;
    bool metaspace;
    StrBuf surfaces;  /* the tokens as the file writes them, each with a zero behind */
    int64_t *offsets; /* (n_tokens + 1) into surfaces */
} Writer;

static const char *surface(const Writer *writer, int64_t id, int64_t *bytes)
{
    *bytes = writer->offsets[id + 1] - writer->offsets[id] - 1;
    return writer->surfaces.data + writer->offsets[id];
}

static void put_string(StrBuf *out, const char *text, int64_t bytes)
{
    strbuf_putc(out, '"');
    for (int64_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '"' || byte == '\\')
            strbuf_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7F)
            strbuf_printf(out, "\\u%04x", byte);
        else
            strbuf_putc(out, (char)byte);
    }
    strbuf_putc(out, '"');
}

static void put_surface(const Writer *writer, int64_t id)
{
    int64_t bytes;
    const char *text = surface(writer, id, &bytes);
    put_string(writer->out, text, bytes);
}

/* ---- surfaces -------------------------------------------------------------------------------- */

static Status append_surface(Writer *writer, int64_t id)
{
    const TokenizerSpec *spec = writer->spec;
    const char *text = spec->text + spec->offsets[id];
    int64_t bytes = spec->offsets[id + 1] - spec->offsets[id];
    bool from_text = spec->types[id] == TOKEN_TEXT || spec->types[id] == TOKEN_BYTE;
    if (spec->types[id] == TOKEN_UNUSED && bytes == 0) {
        strbuf_printf(&writer->surfaces, "<unused_%lld>", (long long)id);
    } else if (from_text && spec->byte_level) {
        byte_alphabet_write(&writer->surfaces, text, bytes);
    } else if (spec->types[id] == TOKEN_BYTE) {
        strbuf_printf(&writer->surfaces, "<0x%02X>", (uint8_t)text[0]);
    } else if (utf8_valid_prefix(text, bytes) != bytes) {
        return err_set(writer->err, "token %lld is not UTF-8, which tokenizer.json cannot hold",
                       (long long)id);
    } else if (from_text && writer->metaspace) {
        if (memmem(text, (size_t)bytes, TEXT_METASPACE, 3))
            return err_set(writer->err,
                           "token %lld contains U+2581, which stands for a space in tokenizer.json",
                           (long long)id);
        for (int64_t i = 0; i < bytes; i++)
            strbuf_append(&writer->surfaces, text[i] == ' ' ? TEXT_METASPACE : text + i,
                          text[i] == ' ' ? 3 : 1);
    } else {
        strbuf_append(&writer->surfaces, text, (size_t)bytes);
    }
    strbuf_putc(&writer->surfaces, '\0');
    return STATUS_OK;
}

static int compare_surfaces(const void *a, const void *b, void *context)
{
    const Writer *writer = context;
    int64_t n, m;
    const char *x = surface(writer, *(const int32_t *)a, &n);
    const char *y = surface(writer, *(const int32_t *)b, &m);
    int order = memcmp(x, y, (size_t)(n < m ? n : m));
    return order ? order : (n > m) - (n < m);
}

/* The vocabulary is an object: no two tokens may be written alike. */
static Status check_distinct(Writer *writer)
{
    int64_t n = writer->spec->n_tokens;
    int32_t *ids = xmalloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)i;
    qsort_r(ids, (size_t)n, sizeof *ids, compare_surfaces, writer);
    Status status = STATUS_OK;
    for (int64_t i = 1; i < n && status == STATUS_OK; i++)
        if (compare_surfaces(&ids[i - 1], &ids[i], writer) == 0)
            status =
                err_set(writer->err,
                        "tokens %d and %d are both \"%.60s\", which tokenizer.json cannot hold",
                        ids[i - 1], ids[i], writer->surfaces.data + writer->offsets[ids[i]]);
    free(ids);
    return status;
}

static Status make_surfaces(Writer *writer)
{
    int64_t n = writer->spec->n_tokens;
    writer->offsets = xcalloc((size_t)n + 1, sizeof *writer->offsets);
    for (int64_t id = 0; id < n; id++) {
        TRY(append_surface(writer, id));
        writer->offsets[id + 1] = writer->surfaces.size;
    }
    return check_distinct(writer);
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* By rank, then (pairs of equal score) by result and left token: the order of the file is total. */
static int compare_pairs(const void *a, const void *b)
{
    const Pair *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->result != y->result)
        return x->result < y->result ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static Pair *sorted_pairs(const Tokenizer *tokenizer)
{
    Pair *pairs = xmalloc((size_t)(tokenizer->pairs.count + 1) * sizeof *pairs);
    uint64_t count = 0;
    for (uint64_t slot = 0; slot <= tokenizer->pairs.mask; slot++)
        if (tokenizer->pairs.slots[slot].rank != BPE_NO_RANK)
            pairs[count++] = tokenizer->pairs.slots[slot];
    qsort(pairs, count, sizeof *pairs, compare_pairs);
    return pairs;
}

/* "a b" is what every reader knows; tokens with spaces in them need ["a", "b"]. */
static bool needs_arrays(const Writer *writer, const Pair *pairs)
{
    for (uint64_t i = 0; i < writer->tokenizer->pairs.count; i++) {
        int64_t bytes;
        const char *text = surface(writer, pairs[i].result, &bytes);
        if (memchr(text, ' ', (size_t)bytes))
            return true;
    }
    return false;
}

static void put_merges(const Writer *writer)
{
    StrBuf *out = writer->out, joined = {0};
    Pair *pairs = sorted_pairs(writer->tokenizer);
    bool arrays = needs_arrays(writer, pairs);
    strbuf_puts(out, "\"merges\":[");
    for (uint64_t i = 0; i < writer->tokenizer->pairs.count; i++) {
        int64_t left = (int64_t)(pairs[i].key >> 32), right = (uint32_t)pairs[i].key;
        strbuf_puts(out, i ? ",\n" : "\n");
        if (arrays) {
            strbuf_putc(out, '[');
            put_surface(writer, left);
            strbuf_putc(out, ',');
            put_surface(writer, right);
            strbuf_putc(out, ']');
        } else {
            int64_t bytes;
            const char *text = surface(writer, left, &bytes);
            strbuf_reset(&joined);
            strbuf_append(&joined, text, (size_t)bytes);
            strbuf_putc(&joined, ' ');
            text = surface(writer, right, &bytes);
            strbuf_append(&joined, text, (size_t)bytes);
            put_string(out, joined.data, joined.size);
        }
    }
    strbuf_puts(out, "]");
    strbuf_clear(&joined);
    free(pairs);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void put_added_tokens(const Writer *writer)
{
    static const char *const ways[] = {"single_word", "lstrip", "rstrip", "normalized"};
    const TokenizerSpec *spec = writer->spec;
    const char *between = "\n";
    strbuf_puts(writer->out, "\"added_tokens\":[");
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        if (spec->types[id] != TOKEN_SPECIAL && spec->types[id] != TOKEN_ADDED)
            continue;
        strbuf_printf(writer->out, "%s{\"id\":%lld,\"content\":", between, (long long)id);
        put_surface(writer, id);
        for (int way = 0; way < 4; way++)
            strbuf_printf(writer->out, ",\"%s\":%s", ways[way],
                          spec->find && spec->find[id] >> way & 1 ? "true" : "false");
        strbuf_printf(writer->out, ",\"special\":%s}",
                      spec->types[id] == TOKEN_SPECIAL ? "true" : "false");
        between = ",\n";
    }
    strbuf_puts(writer->out, "],\n");
}

static void put_splits(const Writer *writer)
{
    for (const char *line = writer->spec->pattern; line;) {
        size_t length = strcspn(line, "\n");
        strbuf_puts(writer->out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
        char *one = xstrndup(line, length);
        char *marked = xasprintf("%s%s", regex_names_script(one) ? EXTENDED_SCRIPTS : "", one);
        put_string(writer->out, marked, (int64_t)strlen(marked));
        free(marked);
        free(one);
        strbuf_puts(writer->out, "},\"behavior\":\"Isolated\",\"invert\":false}");
        line = line[length] ? line + length + 1 : NULL;
        if (line)
            strbuf_putc(writer->out, ',');
    }
}

static void put_byte_level(const Writer *writer, bool pattern)
{
    strbuf_printf(writer->out,
                  "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":false,"
                  "\"use_regex\":%s}",
                  writer->spec->add_prefix_space ? "true" : "false", pattern ? "true" : "false");
}

static Status put_pre_tokenizer(const Writer *writer)
{
    const TokenizerSpec *spec = writer->spec;
    strbuf_puts(writer->out, "\"pre_tokenizer\":");
    if (spec->pre_tokenizer || spec->normalizer) {
        strbuf_puts(writer->out,
                    spec->pre_tokenizer ? "{\"type\":\"Sequence\",\"pretokenizers\":" : "null");
        strbuf_puts(writer->out, spec->pre_tokenizer ? spec->pre_tokenizer : "");
        strbuf_puts(writer->out, spec->pre_tokenizer ? "},\n" : ",\n");
        return STATUS_OK;
    }
    if (writer->metaspace && spec->pattern)
        return err_set(writer->err, "tokenizer.json cannot hold add_prefix_space together with a "
                                    "pattern, unless the vocabulary is byte-level");
    if (!spec->pattern && !spec->byte_level) {
        strbuf_puts(writer->out, "null");
    } else if (!spec->pattern) {
        put_byte_level(writer, false);
    } else if (spec->byte_level && strcmp(spec->pattern, text_gpt2_pattern) == 0) {
        put_byte_level(writer, true);
    } else if (spec->byte_level && spec->add_prefix_space) {
        return err_set(writer->err,
                       "tokenizer.json cannot hold add_prefix_space together with this "
                       "pattern");
    } else {
        strbuf_puts(writer->out, "{\"type\":\"Sequence\",\"pretokenizers\":[");
        put_splits(writer);
        if (spec->byte_level) {
            strbuf_putc(writer->out, ',');
            put_byte_level(writer, false);
        }
        strbuf_puts(writer->out, "]}");
    }
    strbuf_puts(writer->out, ",\n");
    return STATUS_OK;
}

/* bos before every text, where the vocabulary wants it and has it. */
static void put_post_processor(const Writer *writer)
{
    static const char sequence[] = "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}";
    StrBuf *out = writer->out;
    int32_t bos = writer->spec->bos;
    if (bos < 0 || writer->spec->bare_start) {
        strbuf_puts(out, "\"post_processor\":null,\n");
        return;
    }
    strbuf_puts(out, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
                     "{\"SpecialToken\":{\"id\":");
    put_surface(writer, bos);
    strbuf_printf(out, ",\"type_id\":0}},%s],\"pair\":[%s,%s],\"special_tokens\":{", sequence,
                  sequence, sequence);
    put_surface(writer, bos);
    strbuf_puts(out, ":{\"id\":");
    put_surface(writer, bos);
    strbuf_printf(out, ",\"ids\":[%d],\"tokens\":[", bos);
    put_surface(writer, bos);
    strbuf_puts(out, "]}}},\n");
}

static void put_normalizer(const Writer *writer)
{
    const TokenizerSpec *spec = writer->spec;
    const char *between = "";
    strbuf_puts(writer->out, "\"normalizer\":");
    if (spec->normalizer) {
        strbuf_printf(writer->out, "{\"type\":\"Sequence\",\"normalizers\":%s},\n",
                      spec->normalizer);
        return;
    }
    bool marks = writer->metaspace && !spec->pre_tokenizer;
    if (!spec->nfc && !marks) {
        strbuf_puts(writer->out, "null,\n");
        return;
    }
    strbuf_puts(writer->out, "{\"type\":\"Sequence\",\"normalizers\":[");
    if (spec->nfc) {
        strbuf_puts(writer->out, "{\"type\":\"NFC\"}");
        between = ",";
    }
    if (marks && spec->add_prefix_space) {
        strbuf_printf(writer->out, "%s{\"type\":\"Prepend\",\"prepend\":\"" TEXT_METASPACE "\"}",
                      between);
        between = ",";
    }
    if (marks)
        strbuf_printf(
            writer->out,
            "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" TEXT_METASPACE
            "\"}",
            between);
    strbuf_puts(writer->out, "]},\n");
}

static void put_decoder(const Writer *writer)
{
    const TokenizerSpec *spec = writer->spec;
    bool prefix = spec->add_prefix_space && !spec->byte_level;
    DecodeStrip strip = spec->strip != STRIP_PREFIX ? spec->strip
                        : prefix                    ? STRIP_SPACE
                                                    : STRIP_NOTHING;
    strbuf_puts(writer->out, "\"decoder\":");
    if (spec->byte_level) {
        strbuf_puts(writer->out, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                                 "\"trim_offsets\":false,\"use_regex\":false},\n");
        return;
    }
    strbuf_puts(writer->out, "{\"type\":\"Sequence\",\"decoders\":[");
    if (strip == STRIP_TOKEN)
        strbuf_puts(writer->out, "{\"type\":\"ByteFallback\"},{\"type\":\"Metaspace\","
                                 "\"replacement\":\"" TEXT_METASPACE
                                 "\",\"prepend_scheme\":\"always\",\"split\":true},");
    else if (writer->metaspace)
        strbuf_puts(writer->out, "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" TEXT_METASPACE
                                 "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},");
    else
        strbuf_puts(writer->out, "{\"type\":\"ByteFallback\"},");
    strbuf_puts(writer->out, "{\"type\":\"Fuse\"}");
    if (strip == STRIP_SPACE)
        strbuf_puts(writer->out, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
    strbuf_puts(writer->out, "]},\n");
}

/* Added tokens at the end of the ids need not be in the model's vocabulary, where a piece of a text
 * could be taken for one of them. */
static int64_t model_tokens(const TokenizerSpec *spec)
{
    int64_t n = spec->n_tokens;
    while (n > 1 && n - 1 != spec->unk &&
           (spec->types[n - 1] == TOKEN_ADDED || spec->types[n - 1] == TOKEN_SPECIAL) &&
           !(spec->find && spec->find[n - 1] & FIND_CHARACTER) &&
           !token_role_is_merged(spec, (int32_t)(n - 1)))
        n--;
    return n;
}

/* What stays in the vocabulary must not stand for a character there unless it does here. */
static Status check_model_tokens(const Writer *writer)
{
    const TokenizerSpec *spec = writer->spec;
    StrBuf meaning = {0};
    bool fits = true;
    int64_t id = 0;
    for (int64_t n = model_tokens(spec); id < n && fits; id++) {
        int64_t bytes;
        const char *text = surface(writer, id, &bytes);
        bool added = spec->types[id] == TOKEN_ADDED,
             is_new = added || spec->types[id] == TOKEN_SPECIAL;
        if (!is_new)
            continue;
        bool known = spec->find && spec->find[id] & FIND_CHARACTER;
        bool letter =
            text_surface_differs(text, bytes, spec->byte_level, writer->metaspace, &meaning);
        bool alone = added && utf8_length(text[0]) == bytes && !known;
        fits = !letter && !(alone && !token_role_is_merged(spec, (int32_t)id));
    }
    strbuf_clear(&meaning);
    return fits ? STATUS_OK
                : err_set(writer->err,
                          "tokenizer.json cannot hold token %lld: in its vocabulary it would stand "
                          "for a character",
                          (long long)id - 1);
}

static void put_model(const Writer *writer)
{
    const TokenizerSpec *spec = writer->spec;
    StrBuf *out = writer->out;
    bool fallback = !spec->byte_level && memchr(spec->types, TOKEN_BYTE, (size_t)spec->n_tokens);
    strbuf_puts(out, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (spec->unk >= 0)
        put_surface(writer, spec->unk);
    else
        strbuf_puts(out, "null");
    strbuf_printf(out,
                  ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                  "\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":%s,\n\"vocab\":{",
                  spec->fuse_unk ? "true" : "false", fallback ? "true" : "false",
                  spec->ignore_merges ? "true" : "false");
    int64_t n = model_tokens(spec);
    for (int64_t id = 0; id < n; id++) {
        strbuf_puts(out, id ? ",\n" : "\n");
        put_surface(writer, id);
        strbuf_printf(out, ":%lld", (long long)id);
    }
    strbuf_puts(out, "},\n");
    put_merges(writer);
    strbuf_puts(out, "}");
}

Status tokenizer_json_format(const Tokenizer *tokenizer, StrBuf *out, Err *err)
{
    const TokenizerSpec *spec = &tokenizer->spec;
    Writer writer = {.tokenizer = tokenizer,
                     .spec = spec,
                     .out = out,
                     .err = err,
                     .metaspace = tokenizer->spaces};
    Status status = STATUS_OK;
    TRY_GOTO(make_surfaces(&writer));
    TRY_GOTO(check_model_tokens(&writer));
    strbuf_puts(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    put_added_tokens(&writer);
    put_normalizer(&writer);
    TRY_GOTO(put_pre_tokenizer(&writer));
    put_post_processor(&writer);
    put_decoder(&writer);
    put_model(&writer);
    strbuf_puts(out, "}\n");
done:
    strbuf_clear(&writer.surfaces);
    free(writer.offsets);
    return status;
}

Status tokenizer_json_write(const Tokenizer *tokenizer, const char *path, Err *err)
{
    StrBuf out = {0};
    Status status = tokenizer_json_format(tokenizer, &out, err);
    if (status == STATUS_OK)
        status = file_write(path, out.data, (size_t)out.size, err);
    strbuf_clear(&out);
    return status;
}
