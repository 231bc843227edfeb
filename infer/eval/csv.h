/* Comma-separated values as RFC 4180 has them: fields in double quotes may hold commas, line ends
 * and doubled quotes. */
#ifndef CAMBIUM_INFER_EVAL_CSV_H
#define CAMBIUM_INFER_EVAL_CSV_H

#include "core/base/file.h"

typedef struct CsvReader {
    const char *name; /* of the file, for errors; borrowed */
    const char *text; /* borrowed */
    int64_t size, at;
    int64_t line; /* of `at`, counted from 0 */
} CsvReader;

/* The next row that is not blank: its fields (emptied first) and the line it begins on, counted
 * from 1; `*found` is false at the end. Fails on quotes that nothing closes. */
Status csv_next(CsvReader *reader, StringList *fields, int64_t *line, bool *found, Err *err);

#endif
