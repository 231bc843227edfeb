#include "infer/serve/request_fields.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

const json_t *field_get(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value) ? value : NULL;
}

bool field_given(const json_t *object, const char *name)
{
    return field_get(object, name) != NULL;
}

Status field_bool(const json_t *object, const char *name, bool *value, ApiError *error)
{
    const json_t *member = field_get(object, name);
    if (!member)
        return STATUS_OK;
    int64_t number;
    bool is_number = field_whole(member, &number) && (number == 0 || number == 1);
    if (!json_is_boolean(member) && !is_number)
        return api_error_param(error, name, "'%s' is true or false", name);
    *value = is_number ? number == 1 : json_is_true(member);
    return STATUS_OK;
}

bool field_whole(const json_t *value, int64_t *out)
{
    double real = json_real_value(value);
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value) || real != floor(real) || !(fabs(real) < 9e15))
        return false;
    *out = (int64_t)real;
    return true;
}

Status field_int(const json_t *object, const char *name, int64_t least, int64_t most,
                 int64_t *value, ApiError *error)
{
    const json_t *member = field_get(object, name);
    if (!member)
        return STATUS_OK;
    int64_t number;
    if (!field_whole(member, &number) || number < least || number > most)
        return api_error_param(error, name, "'%s' is a whole number from %" PRId64 " to %" PRId64,
                               name, least, most);
    *value = number;
    return STATUS_OK;
}

Status field_real(const json_t *object, const char *name, double least, double most, double *value,
                  ApiError *error)
{
    const json_t *member = field_get(object, name);
    if (!member)
        return STATUS_OK;
    double number = json_number_value(member);
    if (!json_is_number(member) || !isfinite(number) || number < least || number > most)
        return api_error_param(error, name, "'%s' is a number from %g to %g", name, least, most);
    *value = number;
    return STATUS_OK;
}

Status field_ids(const json_t *array, const char *name, int64_t vocab_size, IdList *ids,
                 ApiError *error)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        int64_t id;
        if (!field_whole(item, &id) || id < 0 || id >= vocab_size)
            return api_error_param(error, name,
                                   "'%s': a token id is a whole number from 0 to %" PRId64, name,
                                   vocab_size - 1);
        id_list_add(ids, (int32_t)id);
    }
    return STATUS_OK;
}
