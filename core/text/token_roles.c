#include "core/text/token_roles.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

static int64_t text_of(const TokenizerSpec *spec, int64_t id, const char **text)
{
    *text = spec->text + spec->offsets[id];
    return spec->offsets[id + 1] - spec->offsets[id];
}

int32_t token_role_find(const TokenizerSpec *spec, const char *text, size_t bytes)
{
    int32_t found = -1;
    for (int64_t id = 0; id < spec->n_tokens && bytes > 0; id++) {
        const char *name;
        TokenType type = spec->types[id];
        if (text_of(spec, id, &name) != (int64_t)bytes || memcmp(name, text, bytes) != 0)
            continue;
        if (type == TOKEN_SPECIAL || type == TOKEN_ADDED)
            return (int32_t)id;
        if (type == TOKEN_TEXT && found < 0)
            found = (int32_t)id;
    }
    return found;
}

bool token_role_is_merged(const TokenizerSpec *spec, int32_t id)
{
    for (int64_t i = 0; i < 3 * spec->n_merges; i++)
        if (spec->merges[i] == id)
            return true;
    return false;
}

void token_roles_settle(TokenizerSpec *spec)
{
    for (int64_t i = -2; i < spec->n_ends; i++) {
        const char *text;
        int32_t id = i == -2 ? spec->bos : i == -1 ? spec->eos : spec->ends[i];
        if (id < 0 || id >= spec->n_tokens || spec->types[id] != TOKEN_TEXT)
            continue;
        int64_t bytes = text_of(spec, id, &text);
        if (bytes > utf8_length(text[0]) && !token_role_is_merged(spec, id))
            spec->types[id] = TOKEN_SPECIAL;
    }
}

static bool starts_with(const char *text, int64_t bytes, const char *mark)
{
    size_t length = strlen(mark);
    return bytes >= (int64_t)length && memcmp(text, mark, length) == 0;
}

static bool ends_with(const char *text, int64_t bytes, const char *mark)
{
    int64_t length = (int64_t)strlen(mark);
    return bytes >= length && memcmp(text + bytes - length, mark, (size_t)length) == 0;
}

/* The second form has full-width bars. */
static bool is_written_as_mark(const char *text, int64_t bytes)
{
    return (bytes > 4 && starts_with(text, bytes, "<|") && ends_with(text, bytes, "|>")) ||
           (bytes > 8 && starts_with(text, bytes, "<\xEF\xBD\x9C") &&
            ends_with(text, bytes, "\xEF\xBD\x9C>"));
}

bool token_role_is_mark(const char *text, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        if ((uint8_t)text[i] < 0x80 && ispunct((unsigned char)text[i]) && text[i] != '_')
            return true;
    return false;
}

static bool is_within(const char *jinja, const char *text, int64_t bytes)
{
    return jinja && memmem(jinja, strlen(jinja), text, (size_t)bytes);
}

bool *token_roles_control(const TokenizerSpec *spec)
{
    bool *control = xcalloc((size_t)spec->n_tokens, sizeof *control);
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        const char *text;
        int64_t bytes = text_of(spec, id, &text);
        control[id] = spec->types[id] == TOKEN_SPECIAL;
        if (spec->types[id] == TOKEN_ADDED)
            control[id] =
                id == spec->pad || id == spec->unk || is_written_as_mark(text, bytes) ||
                (token_role_is_mark(text, bytes) && (is_within(spec->chat_template, text, bytes) ||
                                                     is_within(spec->tool_template, text, bytes)));
    }
    const int32_t roles[] = {spec->bos, spec->eos};
    for (int i = 0; i < 2; i++)
        if (roles[i] >= 0)
            control[roles[i]] = true;
    for (int64_t i = 0; i < spec->n_ends; i++)
        control[spec->ends[i]] = true;
    return control;
}
