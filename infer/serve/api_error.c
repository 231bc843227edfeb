#include "infer/serve/api_error.h"

#include <stdio.h>
#include <string.h>

#include "core/io/json_put.h"

static void set(ApiError *error, int status, const char *code, const char *format,
                va_list arguments)
{
    char text[sizeof error->message.text];
    vsnprintf(text, sizeof text, format, arguments);
    error->status = status;
    error->code = code;
    error->param[0] = '\0';
    err_set(&error->message, "%s", text);
}

Status api_error(ApiError *error, int status, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(error, status, code, format, arguments);
    va_end(arguments);
    return STATUS_FAIL;
}

Status api_error_param(ApiError *error, const char *param, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(error, 400, NULL, format, arguments);
    va_end(arguments);
    snprintf(error->param, sizeof error->param, "%s", param);
    return STATUS_FAIL;
}

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static json_t *text_or_null(const char *text)
{
    return text && text[0] ? json_text(text, (int64_t)strlen(text)) : json_null();
}

json_t *api_error_json(const ApiError *error)
{
    return json_pack("{s:{s:o, s:s, s:o, s:o}}", "error", "message",
                     text_or_null(error->message.text), "type", type_of(error->status), "param",
                     text_or_null(error->param), "code", text_or_null(error->code));
}
