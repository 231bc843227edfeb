/* What is in a file, as one JSON object: for `cambium inspect`, which prints it. Containers of any
 * kind, safetensors, GGUF and npy, told apart by their first bytes. */
#ifndef CAMBIUM_CORE_IO_DESCRIBE_H
#define CAMBIUM_CORE_IO_DESCRIBE_H

#include <jansson.h>

#include "core/base/err.h"

/* Members: `file`, `format` ("cambium", "safetensors", "gguf", "npy"), `kind` (of containers),
 * `bytes`, `tensors` (a list of name, type, shape, bytes and, where there are some, digest and
 * frozen), `texts` (a list of names); for models `experts` (name, config, history, parameters:
 * total, active and frozen) and `merge`; for tables and models `table` and `tokenizer`; for other
 * containers `meta`. With `verify`, all hashes are checked and `verified` is true. The caller owns
 * `*out`. */
Status describe_file(const char *path, bool verify, json_t **out, Err *err);

#endif
