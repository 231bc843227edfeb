#include "grow/report_html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

enum { COLOURS = 8 };

static void put_character(StrBuf *out, char c)
{
    switch (c) {
    case '&':
        strbuf_puts(out, "&amp;");
        break;
    case '<':
        strbuf_puts(out, "&lt;");
        break;
    case '>':
        strbuf_puts(out, "&gt;");
        break;
    case '"':
        strbuf_puts(out, "&quot;");
        break;
    case '\'':
        strbuf_puts(out, "&#39;");
        break;
    default: {
        /* HTML has no control characters besides white space. */
        unsigned char byte = (unsigned char)c;
        bool control = (byte < ' ' && c != '\n' && c != '\t') || byte == 0x7F;
        strbuf_putc(out, control ? ' ' : c);
    }
    }
}

void html_text(StrBuf *out, const char *text)
{
    StrBuf clean = {0};
    utf8_append_clean(&clean, text, (int64_t)strlen(text));
    for (int64_t i = 0; i < (int64_t)clean.size; i++)
        put_character(out, clean.data[i]);
    strbuf_clear(&clean);
}

void html_count(StrBuf *out, double value)
{
    static const char *const units[] = {"", " K", " M", " G", " T", " P", " E"};
    size_t unit = 0;
    if (isnan(value)) {
        strbuf_puts(out, "–");
        return;
    }
    for (; fabs(value) >= 999.95 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1000.0;
    strbuf_printf(out, "%.4g%s", value, units[unit]);
}

void html_value(StrBuf *out, double value)
{
    if (isnan(value))
        strbuf_puts(out, "–");
    else
        strbuf_printf(out, "%.4f", value);
}

int html_colour(const Report *report, int64_t run)
{
    int64_t first = report_group(report, run), groups = 0;
    for (int64_t i = 0; i < first; i++)
        groups += report_group(report, i) == i;
    return (int)(groups % COLOURS);
}

static void put_patch(StrBuf *out, const Report *report, int64_t run)
{
    strbuf_printf(out, "<span class=\"key\" style=\"background:var(--c%d)\"></span>",
                  html_colour(report, run));
}

void html_run(StrBuf *out, const Report *report, int64_t run)
{
    put_patch(out, report, run);
    html_text(out, report->runs[run].name);
}

void html_group(StrBuf *out, const Report *report, int64_t first)
{
    int64_t size = report_group_size(report, first);
    const char *name = report->runs[first].name;
    if (size == 1) {
        html_run(out, report, first);
        return;
    }
    put_patch(out, report, first);
    char *stem = xstrndup(name, report_seed_stem(name));
    html_text(out, stem);
    free(stem);
    strbuf_printf(out, " (%lld seeds)", (long long)size);
}

void html_measure(StrBuf *out, const char *text)
{
    if (!text) {
        strbuf_puts(out, "Training loss (nats per token)");
        return;
    }
    strbuf_puts(out, *text ? "Validation on " : "Validation");
    html_text(out, text);
    strbuf_puts(out, " (bits per byte)");
}
