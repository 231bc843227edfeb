/* Members of a request's JSON object: which there may be, and their values with OpenAI's defaults
 * and limits. A member that is null counts as absent. Errors name the member. */
#ifndef CAMBIUM_INFER_SERVE_REQUEST_FIELDS_H
#define CAMBIUM_INFER_SERVE_REQUEST_FIELDS_H

#include "infer/serve/request.h"

/* Refuses members that would change the text and are not done here, those of the other kind of
 * request, and names that look mistyped. Others that nobody knows are a vendor's own: their names
 * go to `ignored` (`room` bytes), with commas. */
Status fields_check(const json_t *object, RequestKind kind, char *ignored, size_t room,
                    ApiError *error);

const json_t *field_get(const json_t *object, const char *name); /* NULL: absent */
bool field_given(const json_t *object, const char *name);

/* `value` is left alone when the member is absent. */
Status field_bool(const json_t *object, const char *name, bool *value, ApiError *error);
Status field_int(const json_t *object, const char *name, int64_t least, int64_t most,
                 int64_t *value, ApiError *error);
Status field_real(const json_t *object, const char *name, double least, double most, double *value,
                  ApiError *error);

/* A whole number, which clients also write as 1.0. */
bool field_whole(const json_t *value, int64_t *out);

/* An array of token ids. */
Status field_ids(const json_t *array, const char *name, int64_t vocab_size, IdList *ids,
                 ApiError *error);

/* How a text becomes a prompt. */
typedef struct PromptForm {
    bool start;    /* behind the token that texts begin after */
    bool specials; /* names of special tokens are those tokens */
} PromptForm;

void prompt_encode_text(const Tokenizer *tokenizer, const json_t *text, const PromptForm *form,
                        IdList *ids);

#endif
