/* Words and numbers of a report's page. Every text from outside passes through html_text. */
#ifndef CAMBIUM_GROW_REPORT_HTML_H
#define CAMBIUM_GROW_REPORT_HTML_H

#include "core/base/strbuf.h"
#include "grow/report_compare.h"

/* Text as HTML: special characters escaped, bytes that are no character replaced. */
void html_text(StrBuf *out, const char *text);

/* A count in powers of 1000: 40.96 K, 1.309 T. NaN is a dash, here and below. */
void html_count(StrBuf *out, double value);
void html_value(StrBuf *out, double value);

/* The run's colour, 0 to 7: that of its group. */
int html_colour(const Report *report, int64_t run);

/* A patch of the run's colour and its name; html_group: the name without the seed. */
void html_run(StrBuf *out, const Report *report, int64_t run);
void html_group(StrBuf *out, const Report *report, int64_t first);

/* "Training loss (nats per token)" for NULL, else "Validation on ... (bits per byte)". */
void html_measure(StrBuf *out, const char *text);

#endif
