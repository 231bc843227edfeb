/* Members of a request's JSON object: which there may be, and their values with OpenAI's defaults
 * and limits. A member that is null counts as absent. Errors name the member. */
#ifndef CAMBIUM_INFER_SERVE_REQUEST_FIELDS_H
#define CAMBIUM_INFER_SERVE_REQUEST_FIELDS_H

#include "infer/serve/request.h"

/* Refuses members that this kind of request does not have, or that this server does not do. */
Status fields_check(const json_t *object, RequestKind kind, ApiError *error);

const json_t *field_get(const json_t *object, const char *name); /* NULL: absent */
bool field_given(const json_t *object, const char *name);

/* `value` is left alone when the member is absent. */
Status field_bool(const json_t *object, const char *name, bool *value, ApiError *error);
Status field_int(const json_t *object, const char *name, int64_t least, int64_t most,
                 int64_t *value, ApiError *error);
Status field_real(const json_t *object, const char *name, double least, double most, double *value,
                  ApiError *error);

/* An array of token ids. */
Status field_ids(const json_t *array, const char *name, int64_t vocab_size, IdList *ids,
                 ApiError *error);

#endif
