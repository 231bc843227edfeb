/* JSON that other programs wrote. One member that nobody asks for never makes a document
 * unreadable: what C or jansson cannot hold is read as a stand-in, which is none of the types that
 * a reader of that member would accept. Thread-safe. */
#ifndef CAMBIUM_CORE_TEXT_JSON_READ_H
#define CAMBIUM_CORE_TEXT_JSON_READ_H

#include <jansson.h>
#include <stdint.h>

/* Reads a document as Python does: a byte order mark may come first; of members with one name the
 * last counts; an integer beyond 64 bits is a real number. Stand-ins take the place of numbers that
 * are not finite (NaN, Infinity, 1e999), of texts that are not Unicode (lone surrogates, bytes that
 * are not UTF-8) and of what is nested deeper than JSON_READ_DEPTH. Texts may hold zero bytes.
 * Within a name, U+FFFD stands for what a name cannot hold. `flags` are further ones of jansson's
 * (JSON_REJECT_DUPLICATES where names are what is read).
 * NULL, with `why` filled, when it is not JSON. The caller owns the result. */
json_t *json_read(const char *text, int64_t bytes, size_t flags, json_error_t *why);

enum { JSON_READ_DEPTH = 512 };

/* Why a value is a stand-in ("not a finite number", ...), or NULL when it is none. */
const char *json_unreadable(const json_t *value);

#endif
