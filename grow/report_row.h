/* Numbers of a row of results, within bounds. `where` names the row. */
#ifndef CAMBIUM_GROW_REPORT_ROW_H
#define CAMBIUM_GROW_REPORT_ROW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

/* A number from 0 to `most`. An absent `optional` one stays as it is. */
Status report_row_number(const json_t *row, const char *key, bool optional, double most,
                         const char *where, double *out, Err *err);

/* A whole number from 0 to `most`, or `out` stays as it is. */
Status report_row_count(const json_t *row, const char *key, int64_t most, const char *where,
                        int64_t *out, Err *err);

#endif
