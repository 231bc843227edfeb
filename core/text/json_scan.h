/* JSON as other programs write it, read in place: a value is found and the rest is passed over
 * without being kept. What has one meaning is accepted, also where the standard or a library is
 * narrower: NaN, Infinity and numbers of any size, nesting of any depth, half a surrogate pair,
 * members that stand twice (the last one counts), control characters inside of strings. Bytes that
 * are no UTF-8 matter only in a string that is asked for. Thread-safe. */
#ifndef CAMBIUM_CORE_TEXT_JSON_SCAN_H
#define CAMBIUM_CORE_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

typedef enum JsonKind {
    JSON_KIND_NONE, /* there is no such value */
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_TEXT,
    JSON_KIND_NUMBER, /* NaN, Infinity and -Infinity, too */
    JSON_KIND_BOOL,
    JSON_KIND_NULL,
} JsonKind;

const char *json_kind_name(JsonKind kind); /* "an object", "a number" */

/* A value where it stands, with its brackets or quotes. It borrows the text. */
typedef struct JsonSpan {
    JsonKind kind;
    const char *text;
    int64_t bytes;
} JsonSpan;

typedef struct JsonFault {
    char why[96];
    int64_t at; /* byte, from 0 */
} JsonFault;

/* The value that the text consists of. false with a fault when it is not JSON. */
bool json_scan(const char *text, int64_t bytes, JsonSpan *out, JsonFault *fault);

/* The same, and in it a member of the object: `name`, or, when it has no such member, by way of
 * the objects that its dots part ("meta.text"). `*member` is of kind NONE when there is none or the
 * value is no object. */
bool json_scan_find(const char *text, int64_t bytes, const char *name, JsonSpan *value,
                    JsonSpan *member, JsonFault *fault);

/* Appends what a TEXT says. Half a surrogate pair becomes U+FFFD. false when it has an escape that
 * JSON does not know, or bytes that are not UTF-8; `at` counts from the start of the span. */
bool json_scan_text(const JsonSpan *span, StrBuf *out, JsonFault *fault);

/* Goes through a value that json_scan() found: the pieces of an object or array in their order.
 * `key` is of kind NONE in an array. Begin with `walk = json_walk(span)`. */
typedef struct JsonWalk {
    const char *next, *end;
    bool object;
} JsonWalk;
JsonWalk json_walk(const JsonSpan *span);
bool json_walk_next(JsonWalk *walk, JsonSpan *key, JsonSpan *value);

#endif
