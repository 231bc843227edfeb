#include "embed/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/json_put.h"
#include "core/text/utf8.h"
#include "embed/preview.h"
#include "embed/vocabulary.h"

typedef struct Measure {
    const Tokenizer *tokenizer;
    IdList ids;
    int64_t bytes, characters, tokens, byte_tokens, unknown;
} Measure;

static void measure_document(void *context, const char *text, int64_t bytes)
{
    Measure *m = context;
    const TokenizerSpec *spec = tokenizer_spec(m->tokenizer);
    m->ids.count = 0;
    tokenizer_encode(m->tokenizer, text, bytes, &m->ids);
    m->bytes += bytes;
    m->tokens += m->ids.count;
    for (int64_t i = 0; i < bytes; i++)
        m->characters += ((uint8_t)text[i] & 0xC0) != 0x80;
    for (int64_t i = 0; i < m->ids.count; i++) {
        m->byte_tokens += spec->types[m->ids.items[i]] == TOKEN_BYTE;
        m->unknown += m->ids.items[i] == spec->unk;
    }
}

Status report_file(const Tokenizer *tokenizer, const char *path, const CorpusOptions *reading,
                   int64_t limit, json_t **out, Err *err)
{
    Measure m = {.tokenizer = tokenizer};
    Status status = corpus_read(path, reading, limit, measure_document, &m, err);
    id_list_clear(&m.ids);
    TRY(status);
    *out = json_pack("{s:o, s:I, s:I, s:I, s:f, s:I, s:I}", "file", json_name(file_base_name(path)),
                     "bytes", (json_int_t)m.bytes, "characters", (json_int_t)m.characters, "tokens",
                     (json_int_t)m.tokens, "characters_per_token",
                     m.tokens > 0 ? (double)m.characters / (double)m.tokens : 0.0, "byte_tokens",
                     (json_int_t)m.byte_tokens, "unknown", (json_int_t)m.unknown);
    return STATUS_OK;
}

void report_files_print(const json_t *files)
{
    size_t i;
    json_t *file;
    printf("%-32s %12s %12s %10s %9s %9s\n", "file", "characters", "tokens", "char/tok", "bytes %",
           "unknown %");
    json_array_foreach(files, i, file)
    {
        double tokens = (double)json_integer_value(json_object_get(file, "tokens"));
        double share = tokens > 0 ? 100 / tokens : 0;
        printf("%-32.32s %12lld %12.0f %10.3f %9.4f %9.4f\n",
               json_string_value(json_object_get(file, "file")),
               (long long)json_integer_value(json_object_get(file, "characters")), tokens,
               json_real_value(json_object_get(file, "characters_per_token")),
               share * (double)json_integer_value(json_object_get(file, "byte_tokens")),
               share * (double)json_integer_value(json_object_get(file, "unknown")));
    }
}

static int by_size(const void *a, const void *b, void *context)
{
    const int64_t *starts = context, x = *(const int64_t *)a, y = *(const int64_t *)b;
    int64_t sizes[2] = {starts[x + 1] - starts[x], starts[y + 1] - starts[y]};
    if (sizes[0] != sizes[1])
        return sizes[0] < sizes[1] ? 1 : -1;
    return (x > y) - (x < y);
}

static void print_group(const RowGroups *alike, int64_t group, const TokenizerSpec *tokens)
{
    enum { SHOWN = 12 };
    int64_t begin = alike->starts[group], end = alike->starts[group + 1];
    StrBuf line = {0};
    for (int64_t i = begin; i < end && i < begin + SHOWN; i++) {
        int64_t id = alike->rows[i], start = tokens->offsets[id];
        uint32_t code;
        strbuf_puts(&line, "  '");
        token_label(tokens, id, &line);
        strbuf_puts(&line, "'");
        int64_t bytes = tokens->offsets[id + 1] - start;
        if (utf8_decode(tokens->text + start, bytes, &code) == bytes)
            strbuf_printf(&line, " U+%04X", code);
    }
    printf("%5lld:%s%s\n", (long long)(end - begin), line.data, end - begin > SHOWN ? " ..." : "");
    strbuf_clear(&line);
}

void report_alike_print(const RowGroups *alike, const TokenizerSpec *tokens, int64_t limit)
{
    int64_t *order = xmalloc((size_t)(alike->n_groups + 1) * sizeof *order);
    for (int64_t g = 0; g < alike->n_groups; g++)
        order[g] = g;
    qsort_r(order, (size_t)alike->n_groups, sizeof *order, by_size, alike->starts);
    for (int64_t g = 0; g < alike->n_groups && g < limit; g++)
        print_group(alike, order[g], tokens);
    if (alike->n_groups > limit)
        printf("       and %lld smaller groups (all of them with --json)\n",
               (long long)(alike->n_groups - limit));
    free(order);
}

json_t *report_alike_json(const RowGroups *alike)
{
    json_t *list = json_array();
    for (int64_t g = 0; g < alike->n_groups; g++) {
        json_t *group = json_array();
        for (int64_t i = alike->starts[g]; i < alike->starts[g + 1]; i++)
            json_array_append_new(group, json_integer(alike->rows[i]));
        json_array_append_new(list, group);
    }
    return list;
}
