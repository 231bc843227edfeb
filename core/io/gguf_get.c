/* Values of a GGUF file by key, as what a reader wants them to be. */
#include <string.h>

#include "core/base/mem.h"
#include "core/io/gguf.h"

static bool is_real(GgufType type)
{
    return type == GGUF_F32 || type == GGUF_F64;
}

static Status get(const GgufFile *file, const char *key, const GgufValue **out, Err *err)
{
    *out = gguf_find(file, key);
    return *out ? STATUS_OK : err_set(err, "%s has no '%s'", gguf_name(file), key);
}

static Status refuse(const GgufFile *file, const GgufValue *value, const char *wanted, Err *err)
{
    GgufType type = value->type;
    const char *is = value->is_array       ? "an array"
                     : type == GGUF_STRING ? "a text"
                     : is_real(type)       ? "a real number"
                     : type == GGUF_BOOL   ? "a truth value"
                                           : "an integer";
    return err_set(err, "%s: '%s' is %s and not %s", gguf_name(file), value->key, is, wanted);
}

static bool is_integer(GgufType type)
{
    return !is_real(type) && type != GGUF_STRING && type != GGUF_ARRAY && type != GGUF_BOOL;
}

Status gguf_get_int(const GgufFile *file, const char *key, int64_t *out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, &value, err));
    if (!is_integer(value->type) || value->count < 1)
        return refuse(file, value, "an integer", err);
    *out = gguf_int_at(value, 0);
    if (value->type == GGUF_U64 && *out < 0)
        return err_set(err, "%s: '%s' is beyond 64 bits with a sign", gguf_name(file), key);
    for (int64_t i = 1; i < value->count; i++)
        if (gguf_int_at(value, i) != *out)
            return err_set(err, "%s: '%s' differs between layers, which is not supported",
                           gguf_name(file), key);
    return STATUS_OK;
}

Status gguf_get_real(const GgufFile *file, const char *key, double *out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, &value, err));
    if (value->is_array || !(is_real(value->type) || is_integer(value->type)))
        return refuse(file, value, "a real number", err);
    *out = is_real(value->type) ? gguf_real_at(value, 0) : (double)gguf_int_at(value, 0);
    return STATUS_OK;
}

Status gguf_get_bool(const GgufFile *file, const char *key, bool *out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, &value, err));
    int64_t number = value->count == 1 ? gguf_int_at(value, 0) : -1;
    if (value->is_array ||
        !(value->type == GGUF_BOOL || (is_integer(value->type) && number >= 0 && number <= 1)))
        return refuse(file, value, "a truth value", err);
    *out = number != 0;
    return STATUS_OK;
}

Status gguf_get_text(const GgufFile *file, const char *key, char **out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, &value, err));
    if (value->is_array || value->type != GGUF_STRING)
        return refuse(file, value, "a text", err);
    if (memchr(value->texts[0].data, 0, (size_t)value->texts[0].bytes))
        return err_set(err, "%s: '%s' holds a zero byte", gguf_name(file), key);
    *out = xstrndup(value->texts[0].data, (size_t)value->texts[0].bytes);
    return STATUS_OK;
}
