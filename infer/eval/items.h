/* A file of evaluated questions, JSON lines: first an object that says what was asked of which
 * model and how, then one object for each question. A run that was interrupted goes on from it. */
#ifndef CAMBIUM_INFER_EVAL_ITEMS_H
#define CAMBIUM_INFER_EVAL_ITEMS_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/err.h"

typedef struct ItemsFile ItemsFile;

extern const char items_format[]; /* the header's "format" */

/* Opens a new file, or, with `resume`, one that is there: its header must be equal to `header`
 * (borrowed), else the first setting that differs is named. A line that is cut off at the end is
 * taken off. A file that is there is not overwritten. */
Status items_open(ItemsFile **out, const char *path, const json_t *header, bool resume, Err *err);
Status items_close(ItemsFile *items, Err *err); /* NULL is allowed */

/* Lines that the file had when it was opened, and each of them (borrowed). */
int64_t items_count(const ItemsFile *items);
const json_t *items_line(const ItemsFile *items, int64_t index);
const char *items_path(const ItemsFile *items);

/* Keeps the first `count` of its lines; what is added comes after them. */
Status items_cut(ItemsFile *items, int64_t count, Err *err);
/* Adds a line and takes `line` over. It is in the file's buffer until the flush. */
Status items_add(ItemsFile *items, json_t *line, Err *err);
Status items_flush(ItemsFile *items, Err *err);

#endif
