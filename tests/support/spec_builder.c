#include "tests/support/spec_builder.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void spec_start(TokenizerSpec *spec)
{
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1, .name = xstrdup("test")};
    spec->offsets = xcalloc(1, sizeof *spec->offsets);
    spec->text = xcalloc(1, 1);
}

int32_t spec_token(TokenizerSpec *spec, const char *text, int64_t bytes, TokenType type)
{
    int64_t id = spec->n_tokens++, start = spec->offsets[id];
    spec->offsets = xrealloc(spec->offsets, (size_t)(id + 2) * sizeof *spec->offsets);
    spec->types = xrealloc(spec->types, (size_t)(id + 1));
    spec->text = xrealloc(spec->text, (size_t)(start + bytes + 1));
    memcpy(spec->text + start, text, (size_t)bytes);
    spec->offsets[id + 1] = start + bytes;
    spec->types[id] = (uint8_t)type;
    return (int32_t)id;
}

int32_t spec_text(TokenizerSpec *spec, const char *text)
{
    return spec_token(spec, text, (int64_t)strlen(text), TOKEN_TEXT);
}

int32_t spec_find(const TokenizerSpec *spec, const char *text, int64_t bytes)
{
    for (int64_t id = 0; id < spec->n_tokens; id++)
        if (spec->types[id] == TOKEN_TEXT && spec->offsets[id + 1] - spec->offsets[id] == bytes &&
            memcmp(spec->text + spec->offsets[id], text, (size_t)bytes) == 0)
            return (int32_t)id;
    return -1;
}

int32_t spec_merge(TokenizerSpec *spec, int32_t left, int32_t right)
{
    for (int64_t m = 0; m < spec->n_merges; m++)
        if (spec->merges[3 * m] == left && spec->merges[3 * m + 1] == right)
            return spec->merges[3 * m + 2];
    int64_t n = spec->offsets[left + 1] - spec->offsets[left];
    int64_t m = spec->offsets[right + 1] - spec->offsets[right];
    char *joined = xmalloc((size_t)(n + m));
    memcpy(joined, spec->text + spec->offsets[left], (size_t)n);
    memcpy(joined + n, spec->text + spec->offsets[right], (size_t)m);
    int32_t result = spec_find(spec, joined, n + m);
    if (result < 0)
        result = spec_token(spec, joined, n + m, TOKEN_TEXT);
    free(joined);
    spec->merges = xrealloc(spec->merges, (size_t)(spec->n_merges + 1) * 3 * sizeof *spec->merges);
    memcpy(spec->merges + 3 * spec->n_merges++, (int32_t[]){left, right, result},
           3 * sizeof *spec->merges);
    return result;
}

void spec_bytes(TokenizerSpec *spec)
{
    for (int byte = 0; byte < 256; byte++)
        spec_token(spec, (char[]){(char)byte}, 1, TOKEN_BYTE);
}
