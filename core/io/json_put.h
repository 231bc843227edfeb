/* JSON values of what need not be one. */
#ifndef CAMBIUM_CORE_IO_JSON_PUT_H
#define CAMBIUM_CORE_IO_JSON_PUT_H

#include <jansson.h>

/* A new string; what is not UTF-8 becomes U+FFFD. */
json_t *json_text(const char *bytes, int64_t count);
/* The same of a text that ends with a zero, such as a file's name. */
json_t *json_name(const char *name);
/* A new number; null for NaN, which stands for what is not known. */
json_t *json_number(double value);

#endif
