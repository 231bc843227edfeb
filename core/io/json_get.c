#include "core/io/json_get.h"

#include <string.h>

#include "core/text/json_read.h"

typedef enum Wanted { WANT_OBJECT, WANT_ARRAY, WANT_TEXT, WANT_INT, WANT_NUMBER, WANT_BOOL } Wanted;

static const char *const wanted_names[] = {
    [WANT_OBJECT] = "an object", [WANT_ARRAY] = "a list",    [WANT_TEXT] = "a text",
    [WANT_INT] = "an integer",   [WANT_NUMBER] = "a number", [WANT_BOOL] = "true or false",
};

static bool is_wanted(const json_t *value, Wanted wanted)
{
    switch (wanted) {
    case WANT_OBJECT:
        return json_is_object(value);
    case WANT_ARRAY:
        return json_is_array(value);
    case WANT_TEXT:
        return json_is_string(value);
    case WANT_INT:
        return json_is_integer(value);
    case WANT_NUMBER:
        return json_is_number(value);
    case WANT_BOOL:
        return json_is_boolean(value);
    }
    return false;
}

static Status get(const json_t *object, const char *key, const char *where, Wanted wanted,
                  json_t **out, Err *err)
{
    *out = json_object_get(object, key);
    if (!*out)
        return err_set(err, "%s has no '%s'", where, key);
    if (json_unreadable(*out))
        return err_set(err, "%s: '%s' is %s", where, key, json_unreadable(*out));
    if (!is_wanted(*out, wanted))
        return err_set(err, "%s: '%s' must be %s", where, key, wanted_names[wanted]);
    return STATUS_OK;
}

Status json_get_object(const json_t *object, const char *key, const char *where, json_t **out,
                       Err *err)
{
    return get(object, key, where, WANT_OBJECT, out, err);
}

Status json_get_array(const json_t *object, const char *key, const char *where, json_t **out,
                      Err *err)
{
    return get(object, key, where, WANT_ARRAY, out, err);
}

Status json_get_text(const json_t *object, const char *key, const char *where, const char **out,
                     Err *err)
{
    json_t *value;
    TRY(get(object, key, where, WANT_TEXT, &value, err));
    *out = json_string_value(value);
    return strlen(*out) == json_string_length(value)
               ? STATUS_OK
               : err_set(err, "%s: '%s' holds a zero byte", where, key);
}

Status json_get_int(const json_t *object, const char *key, const char *where, int64_t *out,
                    Err *err)
{
    json_t *value;
    TRY(get(object, key, where, WANT_INT, &value, err));
    *out = json_integer_value(value);
    return STATUS_OK;
}

Status json_get_real(const json_t *object, const char *key, const char *where, double *out,
                     Err *err)
{
    json_t *value;
    TRY(get(object, key, where, WANT_NUMBER, &value, err));
    *out = json_number_value(value);
    return STATUS_OK;
}

Status json_get_bool(const json_t *object, const char *key, const char *where, bool *out, Err *err)
{
    json_t *value;
    TRY(get(object, key, where, WANT_BOOL, &value, err));
    *out = json_is_true(value);
    return STATUS_OK;
}
