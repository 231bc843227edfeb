/* Errors as OpenAI's clients expect them:
 * {"error": {"message": ..., "type": ..., "param": ..., "code": ...}} and an HTTP status. */
#ifndef CAMBIUM_INFER_SERVE_API_ERROR_H
#define CAMBIUM_INFER_SERVE_API_ERROR_H

#include <jansson.h>

#include "core/base/err.h"

typedef struct ApiError {
    int status;
    const char *code; /* or NULL */
    char param[96];   /* the member that is wrong, or "" */
    Err message;
} ApiError;

/* Each fills the error and returns STATUS_FAIL. */
Status api_error(ApiError *error, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* 400 for a member of the request. */
Status api_error_param(ApiError *error, const char *param, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

json_t *api_error_json(const ApiError *error); /* the caller owns it */

#endif
