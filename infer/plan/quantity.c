#include "infer/plan/quantity.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    double factor;
} prefixes[] = {
    {"", 1.0},   {"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40},
    {"n", 1e-9}, {"u", 1e-6},    {"µ", 1e-6},    {"m", 1e-3},    {"K", 1e3},
    {"k", 1e3},  {"M", 1e6},     {"G", 1e9},     {"T", 1e12},    {"P", 1e15},
};

Status quantity_parse(const char *text, const char *unit, const char *what, double *out, Err *err)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end != text && errno == 0 && isfinite(value) && value >= 0.0) {
        end += strspn(end, " ");
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
            size_t n = strlen(prefixes[i].text);
            if (strncmp(end, prefixes[i].text, n) == 0 && strcmp(end + n, unit) == 0) {
                *out = value * prefixes[i].factor;
                return isfinite(*out) ? STATUS_OK : err_set(err, "%s is too large", what);
            }
        }
    }
    const char *example = strcmp(unit, "s") == 0 ? "20ms" : "900G";
    return err_set(err, "%s is '%.60s'; write a number and its unit, such as %s%s", what, text,
                   example, strcmp(unit, "s") == 0 ? "" : unit);
}

void quantity_put(StrBuf *out, double value, const char *unit)
{
    static const char names[] = "num KMGTP"; /* from 1e-9 in steps of 1000; ' ' is none */
    int at = 3;
    while (value >= 999.5 && names[at + 1]) {
        value /= 1000.0;
        at++;
    }
    while (value > 0.0 && value < 0.9995 && at > 0) {
        value *= 1000.0;
        at--;
    }
    if (names[at] == ' ')
        strbuf_printf(out, "%.3g %s", value, unit);
    else
        strbuf_printf(out, "%.3g %c%s", value, names[at], unit);
}
