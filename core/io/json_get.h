/* Members of JSON objects from files, fetched with one sentence when they are missing or of another
 * type. `where` names the object in it: "stories.h5: /meta". */
#ifndef CAMBIUM_CORE_IO_JSON_GET_H
#define CAMBIUM_CORE_IO_JSON_GET_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/err.h"

/* The results are borrowed from `object`. */
Status json_get_object(const json_t *object, const char *key, const char *where, json_t **out,
                       Err *err);
Status json_get_array(const json_t *object, const char *key, const char *where, json_t **out,
                      Err *err);
Status json_get_text(const json_t *object, const char *key, const char *where, const char **out,
                     Err *err);
Status json_get_int(const json_t *object, const char *key, const char *where, int64_t *out,
                    Err *err);
Status json_get_real(const json_t *object, const char *key, const char *where, double *out,
                     Err *err);
Status json_get_bool(const json_t *object, const char *key, const char *where, bool *out, Err *err);

#endif
