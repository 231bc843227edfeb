/* Numbers with units, as people write them: 20ms, 900GB/s, 80GB, 989TFLOP/s. */
#ifndef CAMBIUM_INFER_PLAN_QUANTITY_H
#define CAMBIUM_INFER_PLAN_QUANTITY_H

#include "core/base/err.h"
#include "core/base/strbuf.h"

/* Reads a finite number that is not below 0, a prefix (n, u, m, K, M, G, T, P; Ki, Mi, Gi, Ti) and
 * `unit` ("s", "B", "B/s", "FLOP/s"), with or without a space before the prefix. The result is in
 * that unit. `what` names the number in the error. */
Status quantity_parse(const char *text, const char *unit, const char *what, double *out, Err *err);

/* The other way, with three digits and the prefix that fits: "20 ms", "4.8 TB/s". */
void quantity_put(StrBuf *out, double value, const char *unit);

#endif
