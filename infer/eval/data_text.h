/* Text files that people publish data sets as: read whole, checked to be text, with errors that
 * name the line. */
#ifndef CAMBIUM_INFER_EVAL_DATA_TEXT_H
#define CAMBIUM_INFER_EVAL_DATA_TEXT_H

#include "core/base/file.h"

/* Reads the file into `out` (emptied first), without a byte order mark. Refuses what is empty or
 * not UTF-8. */
Status data_text_read(const char *path, StrBuf *out, Err *err);

/* The same checks on text that is in memory; `name` stands for the file in errors. */
Status data_text_check(const char *name, StrBuf *text, Err *err);

/* For the status of making questions of the text: adds what to do about damage to the error. */
Status data_text_remedy(Status status, Err *err);

#endif
