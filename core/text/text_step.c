#include "core/text/text_step.h"

#include <string.h>

#include "core/text/byte_alphabet.h"

const char text_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

Status text_steps_load(const char *steps, const char *role, json_t **out, Err *err)
{
    json_error_t why;
    *out = json_loads(steps, JSON_ALLOW_NUL, &why);
    if (json_is_array(*out))
        return STATUS_OK;
    json_decref(*out);
    *out = NULL;
    return err_set(err, "the %s is no list of steps", role);
}

const char *text_step_type(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    return type ? type : "(without a type)";
}

bool text_step_flag(const json_t *step, const char *name, bool standard)
{
    const json_t *value = json_object_get(step, name);
    return json_is_boolean(value) ? json_is_true(value) : standard;
}

bool text_step_is(const json_t *step, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(step, name));
    return value && strcmp(value, text) == 0;
}

Regex *text_step_pattern(const json_t *step, Err *err)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    if (json_is_string(regex))
        return regex_new(json_string_value(regex), json_string_length(regex), SCRIPTS_ALONE, err);
    if (literal && *literal)
        return regex_new_literal(literal, err);
    err_set(err, "a %.60s without a pattern", text_step_type(step));
    return NULL;
}

void text_step_replace(StrBuf *out, const char *text, int64_t bytes, const char *what,
                       const char *by)
{
    size_t length = strlen(what);
    for (const char *end = text + bytes, *found; text < end; text = found + length) {
        found = memmem(text, (size_t)(end - text), what, length);
        if (!found) {
            strbuf_append(out, text, (size_t)(end - text));
            return;
        }
        strbuf_append(out, text, (size_t)(found - text));
        strbuf_puts(out, by);
    }
}

void text_put_metaspace(StrBuf *out, const char *text, int64_t bytes)
{
    text_step_replace(out, text, bytes, " ", TEXT_METASPACE);
}

void text_put_spaces(StrBuf *out, const char *text, int64_t bytes)
{
    text_step_replace(out, text, bytes, TEXT_METASPACE, " ");
}

bool text_surface_differs(const char *surface, int64_t bytes, bool byte_level, bool metaspace,
                          StrBuf *out)
{
    strbuf_reset(out);
    if (byte_level && !byte_alphabet_read(out, surface, bytes))
        strbuf_reset(out);
    else if (metaspace)
        text_put_spaces(out, surface, bytes);
    if (out->size == bytes && memcmp(out->data, surface, (size_t)bytes) == 0)
        strbuf_reset(out);
    return out->size == 1;
}
