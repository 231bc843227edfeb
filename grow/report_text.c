#include "grow/report_text.h"

#include <math.h>
#include <string.h>

#include "grow/report_compare.h"

/* "6.70 M" in ten columns; "-" where there is no number. */
static void put_count(FILE *out, double value)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P"};
    size_t unit = 0;
    while (fabs(value) >= 1000.0 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000.0;
        unit++;
    }
    char text[32] = "-";
    if (isfinite(value))
        snprintf(text, sizeof text, "%.3g%s", value, units[unit]);
    fprintf(out, " %9s", text);
}

static void put_value(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, " %9.4f", value);
    else
        fprintf(out, " %9s", "-");
}

static void put_stages(const Report *report, FILE *out)
{
    fprintf(out, "%-16s %5s  %-16s %9s %9s %9s %9s %9s %9s %9s %9s\n", "run", "stage", "trained",
            "params", "active", "frozen", "tokens", "FLOPs", "loss", "bits/byte", "tokens/s");
    for (int64_t r = 0; r < report->n_runs; r++)
        for (int64_t i = 0; i < report->runs[r].n_stages; i++) {
            const ReportStage *s = &report->runs[r].stages[i];
            fprintf(out, "%-16s %5lld  %-16s", report->runs[r].name, (long long)s->number,
                    s->train ? s->train : "-");
            put_count(out, s->params_total);
            put_count(out, s->params_active);
            put_count(out, s->params_frozen);
            for (int axis = 0; axis < REPORT_AXES; axis++)
                put_count(out, s->end[axis] - s->begin[axis]);
            put_value(out, s->last_loss);
            put_value(out, s->last_bpb);
            put_count(out, s->speed_count ? s->speed_sum / (double)s->speed_count : (double)NAN);
            fputc('\n', out);
        }
}

static void put_sources(const Report *report, FILE *out)
{
    bool any = false;
    for (int64_t r = 0; r < report->n_runs; r++)
        for (int64_t i = 0; i < report->runs[r].n_sources; i++) {
            const ReportSource *s = &report->runs[r].sources[i];
            if (!any)
                fprintf(out, "\n%-16s %-24s %9s %9s %9s %12s\n", "run", "data", "tokens", "read",
                        "epochs", "never read");
            any = true;
            fprintf(out, "%-16s %-24s", report->runs[r].name, s->name);
            put_count(out, s->tokens);
            put_count(out, s->read);
            fprintf(out, " %9.2f %10.1f %%\n", s->epochs, 100.0 * report_never_read(s));
        }
}

static int64_t runs_with(const Report *report, const char *text)
{
    int64_t n = 0;
    for (int64_t r = 0; r < report->n_runs; r++)
        n += report_group(report, r) == r && report_curve(&report->runs[r], text) != NULL;
    return n;
}

static void put_comparison(const Report *report, const char *text, FILE *out)
{
    static const char *const heads[REPORT_EQUALS] = {"tokens", "FLOPs", "active"};
    double common[REPORT_EQUALS];
    fprintf(out, "\nbits per byte of %s at equal", *text ? text : "the validation text");
    for (int i = 0; i < REPORT_EQUALS; i++) {
        common[i] = report_common(report, text, (ReportEqual)i);
        fprintf(out, "%s %s", i ? "," : "", heads[i]);
        put_count(out, common[i]);
    }
    fputc('\n', out);
    for (int64_t r = 0; r < report->n_runs; r++) {
        if (report_group(report, r) != r || !report_curve(&report->runs[r], text))
            continue;
        fprintf(out, "  %-20s", report->runs[r].name);
        for (int i = 0; i < REPORT_EQUALS; i++)
            put_value(out, report_equal_spread(report, r, text, (ReportEqual)i, common[i]).mean);
        fputc('\n', out);
    }
}

void report_text(const Report *report, FILE *out)
{
    put_stages(report, out);
    put_sources(report, out);
    for (int64_t i = 0; i < report->texts.count; i++)
        if (runs_with(report, report->texts.items[i]) > 1)
            put_comparison(report, report->texts.items[i], out);
}
