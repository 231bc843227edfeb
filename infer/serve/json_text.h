/* JSON strings of bytes that need not be text. */
#ifndef CAMBIUM_INFER_SERVE_JSON_TEXT_H
#define CAMBIUM_INFER_SERVE_JSON_TEXT_H

#include <jansson.h>

/* A new string; what is not UTF-8 becomes U+FFFD. */
json_t *json_text(const char *bytes, int64_t count);

#endif
