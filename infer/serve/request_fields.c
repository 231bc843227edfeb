#include "infer/serve/request_fields.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/cli/options.h"

typedef enum FieldUse {
    FIELD_TAKEN,
    FIELD_IGNORED, /* about the client's bookkeeping, not about the text */
    FIELD_REFUSED,
} FieldUse;

typedef struct Field {
    const char *name;
    int kinds; /* RequestKind bits */
    FieldUse use;
} Field;

enum { BOTH = REQUEST_COMPLETION | REQUEST_CHAT };

static const Field fields[] = {
    {"model", BOTH, FIELD_TAKEN},
    {"prompt", REQUEST_COMPLETION, FIELD_TAKEN},
    {"messages", REQUEST_CHAT, FIELD_TAKEN},
    {"max_tokens", BOTH, FIELD_TAKEN},
    {"max_completion_tokens", REQUEST_CHAT, FIELD_TAKEN},
    {"temperature", BOTH, FIELD_TAKEN},
    {"top_p", BOTH, FIELD_TAKEN},
    {"n", BOTH, FIELD_TAKEN},
    {"best_of", REQUEST_COMPLETION, FIELD_TAKEN},
    {"stream", BOTH, FIELD_TAKEN},
    {"stream_options", BOTH, FIELD_TAKEN},
    {"logprobs", BOTH, FIELD_TAKEN},
    {"top_logprobs", REQUEST_CHAT, FIELD_TAKEN},
    {"echo", REQUEST_COMPLETION, FIELD_TAKEN},
    {"stop", BOTH, FIELD_TAKEN},
    {"presence_penalty", BOTH, FIELD_TAKEN},
    {"frequency_penalty", BOTH, FIELD_TAKEN},
    {"seed", BOTH, FIELD_TAKEN},
    {"logit_bias", BOTH, FIELD_TAKEN},
    {"response_format", BOTH, FIELD_TAKEN},
    /* Not OpenAI's, but common. */
    {"top_k", BOTH, FIELD_TAKEN},
    {"min_p", BOTH, FIELD_TAKEN},
    {"repetition_penalty", BOTH, FIELD_TAKEN},
    {"ignore_eos", BOTH, FIELD_TAKEN},
    {"return_tokens", BOTH, FIELD_TAKEN},
    {"user", BOTH, FIELD_IGNORED},
    {"store", REQUEST_CHAT, FIELD_IGNORED},
    {"metadata", REQUEST_CHAT, FIELD_IGNORED},
    {"service_tier", REQUEST_CHAT, FIELD_IGNORED},
    {"parallel_tool_calls", REQUEST_CHAT, FIELD_IGNORED},
    {"safety_identifier", REQUEST_CHAT, FIELD_IGNORED},
    {"prompt_cache_key", REQUEST_CHAT, FIELD_IGNORED},
    {"suffix", REQUEST_COMPLETION, FIELD_REFUSED},
    {"tools", REQUEST_CHAT, FIELD_REFUSED},
    {"tool_choice", REQUEST_CHAT, FIELD_REFUSED},
    {"functions", REQUEST_CHAT, FIELD_REFUSED},
    {"function_call", REQUEST_CHAT, FIELD_REFUSED},
    {"modalities", REQUEST_CHAT, FIELD_REFUSED},
    {"audio", REQUEST_CHAT, FIELD_REFUSED},
    {"prediction", REQUEST_CHAT, FIELD_REFUSED},
    {"reasoning_effort", REQUEST_CHAT, FIELD_REFUSED},
    {"verbosity", REQUEST_CHAT, FIELD_REFUSED},
    {"web_search_options", REQUEST_CHAT, FIELD_REFUSED},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static Status unknown_field(const char *name, RequestKind kind, ApiError *error)
{
    const char *names[N_FIELDS];
    int n = 0;
    for (int i = 0; i < N_FIELDS; i++)
        if (fields[i].kinds & (int)kind && fields[i].use == FIELD_TAKEN)
            names[n++] = fields[i].name;
    const char *near = nearest_name(name, names, n);
    return api_error_param(error, name, "unknown member '%.64s'%s%s%s", name,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

Status fields_check(const json_t *object, RequestKind kind, ApiError *error)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const Field *field = NULL;
        for (int i = 0; i < N_FIELDS && !field; i++)
            if (fields[i].kinds & (int)kind && strcmp(fields[i].name, name) == 0)
                field = &fields[i];
        if (!field)
            return unknown_field(name, kind, error);
        if (field->use == FIELD_REFUSED && !json_is_null(value))
            return api_error_param(error, name, "'%s' is not supported by this server", name);
    }
    return STATUS_OK;
}

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
    if (!json_is_boolean(member))
        return api_error_param(error, name, "'%s' is true or false", name);
    *value = json_is_true(member);
    return STATUS_OK;
}

Status field_int(const json_t *object, const char *name, int64_t least, int64_t most,
                 int64_t *value, ApiError *error)
{
    const json_t *member = field_get(object, name);
    if (!member)
        return STATUS_OK;
    int64_t number = json_integer_value(member);
    if (!json_is_integer(member) || number < least || number > most)
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
        int64_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id >= vocab_size)
            return api_error_param(error, name,
                                   "'%s': a token id is a whole number from 0 to %" PRId64, name,
                                   vocab_size - 1);
        id_list_add(ids, (int32_t)id);
    }
    return STATUS_OK;
}
