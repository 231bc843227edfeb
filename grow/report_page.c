#include "grow/report_page.h"

#include <math.h>

#include "grow/report_chart.h"
#include "grow/report_html.h"
#include "grow/report_scores_page.h"

static const char style[] =
    ":root{color-scheme:light dark;--page:#fcfcfb;--ink:#1a1a19;--soft:#6b6a66;--line:#dddcd6;"
    "--c0:#2a78d6;--c1:#d9541e;--c2:#128a5c;--c3:#8a4fc4;--c4:#b0820a;--c5:#c7397f;--c6:#16858f;"
    "--c7:#5d6470}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#1a1a19;--ink:#f0efec;--soft:#a3a29c;"
    "--line:#3b3a37;--c0:#5ea2f2;--c1:#f5844f;--c2:#3fc08c;--c3:#b78ae8;--c4:#dcb03c;"
    "--c5:#ee76ac;--c6:#4dbdc7;--c7:#a9b0bd}}\n"
    "body{margin:0 auto;padding:1rem;max-width:84rem;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p,figcaption{color:var(--soft)}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));"
    "gap:1.5rem}\n"
    "figure{margin:0}svg{width:100%;height:auto;display:block}\n"
    "svg text{fill:var(--soft);font-size:13px}.grid{stroke:var(--line)}\n"
    ".curve{fill:none;stroke-width:2;stroke-linejoin:round}.band{opacity:.2}.mark{stroke-dasharray:"
    "4 8}\n"
    "@media(max-width:44rem){svg text{font-size:20px}}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap}th:first-child,td:first-child,.left{text-align:left}\n"
    "th{color:var(--soft);font-weight:500}tr>:first-child{position:sticky;left:0;"
    "background:var(--page)}\n"
    /* Scores: figures one below the other, a bar in each row of a table. */
    ".flow{columns:30rem;column-gap:1.5rem}.flow figure{break-inside:avoid;padding-bottom:1.5rem}\n"
    ".bars{width:100%;table-layout:fixed}.bars th,.bars td{border:0;padding:.1rem .4rem;"
    "white-space:normal;font-size:.875rem}.who{width:36%}.much{width:9.5rem}.bars "
    "th{color:inherit;font-weight:400;"
    "line-height:1.25;overflow-wrap:anywhere}.bars th.part{color:var(--soft);padding-top:.6rem}\n"
    ".bars td:last-child{text-align:left}small{color:var(--soft);"
    "white-space:nowrap}@media(max-width:44rem){.much{width:5.5rem}}\n"
    ".track{position:relative;height:1.6rem;border-left:1px solid var(--line)}"
    ".track i{position:absolute}.bar{left:0;top:.3rem;bottom:.3rem}"
    ".range{top:50%;height:2px;margin-top:-1px;min-width:2px;background:var(--ink)}"
    ".chance{top:-.1rem;bottom:-.1rem;border-left:1px dashed var(--ink)}\n"
    /* The second, third and fourth round of colours: bars with stripes, lines with dashes. */
    ".turn1{stroke-dasharray:8 4;background-image:repeating-linear-gradient(45deg,"
    "transparent 0 4px,var(--page) 4px 6px)}"
    ".turn2{stroke-dasharray:2 3;background-image:repeating-linear-gradient(90deg,"
    "transparent 0 2px,var(--page) 2px 4px)}"
    ".turn3{stroke-dasharray:12 3 2 3;background-image:repeating-linear-gradient(0deg,"
    "transparent 0 3px,var(--page) 3px 5px)}\n"
    "caption{text-align:left;padding:.3rem .7rem}.name{margin-left:.8em;white-space:nowrap}"
    ".flow .name{display:inline-block;white-space:normal;overflow-wrap:anywhere}\n"
    ".key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}\n"
    "blockquote{margin:.5rem 0;padding:.2rem .8rem;border-left:3px solid var(--line);"
    "white-space:pre-wrap;overflow-wrap:anywhere}\n";

static void count_cell(StrBuf *out, double value)
{
    strbuf_puts(out, "<td>");
    html_count(out, value);
    strbuf_puts(out, "</td>");
}

static void value_cell(StrBuf *out, double value)
{
    strbuf_puts(out, "<td>");
    html_value(out, value);
    strbuf_puts(out, "</td>");
}

/* ---- tables --------------------------------------------------------------------------------- */

static void put_stage(const Report *report, int64_t run, const ReportStage *stage, StrBuf *out)
{
    strbuf_puts(out, "<tr><td>");
    html_run(out, report, run);
    strbuf_printf(out, "</td><td>%lld</td><td class=\"left\">", (long long)stage->number);
    html_text(out, stage->train ? stage->train : "–");
    strbuf_puts(out, "</td>");
    count_cell(out, stage->blocks);
    count_cell(out, stage->layers);
    count_cell(out, stage->params_total);
    count_cell(out, stage->params_active);
    count_cell(out, stage->params_frozen);
    for (int axis = 0; axis < REPORT_AXES; axis++)
        count_cell(out, stage->end[axis] - stage->begin[axis]);
    value_cell(out, stage->last_loss);
    value_cell(out, stage->last_bpb);
    count_cell(out,
               stage->speed_count ? stage->speed_sum / (double)stage->speed_count : (double)NAN);
    strbuf_puts(out, "</tr>\n");
}

static void put_stages(const Report *report, StrBuf *out)
{
    strbuf_puts(out,
                "<h2>Stages</h2>\n<div class=\"scroll\"><table><tr><th>Run</th><th>Stage</th>"
                "<th class=\"left\">Trained</th><th>Blocks added</th><th>Layers</th>"
                "<th>Parameters</th><th>Active</th><th>Frozen</th><th>Tokens</th><th>FLOPs</th>"
                "<th>Last loss</th><th>Last bits per byte</th><th>Tokens/s</th></tr>\n");
    for (int64_t run = 0; run < report->n_runs; run++)
        for (int64_t i = 0; i < report->runs[run].n_stages; i++)
            put_stage(report, run, &report->runs[run].stages[i], out);
    strbuf_puts(out, "</table></div>\n<p>Tokens and FLOPs are those of the stage alone.</p>\n");
}

static void put_source(const Report *report, int64_t run, const ReportSource *s, StrBuf *out)
{
    strbuf_puts(out, "<tr><td>");
    html_run(out, report, run);
    strbuf_puts(out, "</td><td class=\"left\">");
    html_text(out, s->name);
    strbuf_puts(out, "</td>");
    count_cell(out, s->tokens);
    count_cell(out, s->read);
    strbuf_printf(out, "<td>%.2f</td><td>%.1f %%</td></tr>\n", s->epochs,
                  100.0 * report_never_read(s));
}

static void put_sources(const Report *report, StrBuf *out)
{
    int64_t count = 0;
    for (int64_t run = 0; run < report->n_runs; run++)
        count += report->runs[run].n_sources;
    if (count == 0)
        return;
    strbuf_puts(out, "<h2>Data</h2>\n<div class=\"scroll\"><table><tr><th>Run</th>"
                     "<th class=\"left\">Pack</th><th>Tokens</th><th>Read</th><th>Epochs</th>"
                     "<th>Never read</th></tr>\n");
    for (int64_t run = 0; run < report->n_runs; run++)
        for (int64_t i = 0; i < report->runs[run].n_sources; i++)
            put_source(report, run, &report->runs[run].sources[i], out);
    strbuf_puts(out,
                "</table></div>\n<p>Of the training split, by all stages together, those of the "
                "model that the run began with included.</p>\n");
}

static void spread_cell(StrBuf *out, ReportSpread spread)
{
    strbuf_puts(out, "<td>");
    html_value(out, spread.mean);
    if (spread.low < spread.high)
        strbuf_printf(out, " (%.4f to %.4f)", spread.low, spread.high);
    strbuf_puts(out, "</td>");
}

/* The runs that were validated on one text. */
static void put_comparison(const Report *report, const char *text, StrBuf *out)
{
    static const char *const heads[REPORT_EQUALS][2] = {
        {"at ", " tokens"}, {"at ", " FLOPs"}, {"at most ", " active"}};
    double common[REPORT_EQUALS];
    strbuf_puts(out, "<div class=\"scroll\"><table><caption>");
    html_measure(out, text);
    strbuf_puts(out, "</caption>\n<tr><th>Run</th>");
    for (int i = 0; i < REPORT_EQUALS; i++) {
        common[i] = report_common(report, text, (ReportEqual)i);
        strbuf_printf(out, "<th>%s", heads[i][0]);
        html_count(out, common[i]);
        strbuf_printf(out, "%s</th>", heads[i][1]);
    }
    strbuf_puts(out, "</tr>\n");
    for (int64_t run = 0; run < report->n_runs; run++) {
        if (report_group(report, run) != run || !report_curve(&report->runs[run], text))
            continue;
        strbuf_puts(out, "<tr><td>");
        html_group(out, report, run);
        strbuf_puts(out, "</td>");
        for (int i = 0; i < REPORT_EQUALS; i++)
            spread_cell(out, report_equal_spread(report, run, text, (ReportEqual)i, common[i]));
        strbuf_puts(out, "</tr>\n");
    }
    strbuf_puts(out, "</table></div>\n");
}

static void put_comparisons(const Report *report, StrBuf *out)
{
    if (report->texts.count == 0)
        return;
    strbuf_puts(out, "<h2>Compared at equal cost</h2>\n<div class=\"charts\">\n");
    for (int64_t i = 0; i < report->texts.count; i++)
        put_comparison(report, report->texts.items[i], out);
    strbuf_puts(
        out, "</div>\n<p>Tokens and FLOPs: as far as every run of the table has come; between two "
             "measurements on a straight line. Active: the last measurement while the run "
             "trained at most so many parameters at one time, whatever it had spent by then. "
             "A dash: the run has no such measurement. Several seeds: their mean, and from the "
             "least to the greatest.</p>\n");
}

static void put_samples(const Report *report, StrBuf *out)
{
    bool first = true;
    for (int64_t run = 0; run < report->n_runs; run++)
        for (int64_t i = 0; i < report->runs[run].n_samples; i++) {
            const ReportSample *sample = &report->runs[run].samples[i];
            strbuf_puts(out, first ? "<h2>Samples</h2>\n<p>" : "<p>");
            first = false;
            html_run(out, report, run);
            strbuf_printf(out, ", stage %lld, ", (long long)sample->stage);
            html_count(out, sample->tokens);
            strbuf_puts(out, " tokens</p>\n<blockquote><b>");
            html_text(out, sample->prompt);
            strbuf_puts(out, "</b>");
            html_text(out, sample->text);
            strbuf_puts(out, "</blockquote>\n");
        }
}

/* ---- the page ------------------------------------------------------------------------------- */

static void put_runs(const Report *report, StrBuf *out)
{
    strbuf_puts(out, "<div class=\"charts\">\n");
    for (int axis = 0; axis < REPORT_AXES; axis++)
        report_chart(report, NULL, (ReportAxis)axis, out);
    for (int64_t i = 0; i < report->texts.count; i++)
        for (int axis = 0; axis < REPORT_AXES; axis++)
            report_chart(report, report->texts.items[i], (ReportAxis)axis, out);
    strbuf_puts(out, "</div>\n<p>Dashed lines: a stage begins. Runs named NAME-seedN: their mean, "
                     "and a band from the least to the greatest.</p>\n");
    put_comparisons(report, out);
    put_stages(report, out);
    put_sources(report, out);
    put_samples(report, out);
}

void report_page(const Report *report, const ReportScores *scores, StrBuf *out)
{
    strbuf_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                     "<title>Cambium report</title>\n<style>\n");
    strbuf_puts(out, style);
    strbuf_puts(out, "</style></head><body>\n<h1>Cambium report</h1>\n");
    report_scores_page(scores, out);
    if (report->n_runs > 0)
        put_runs(report, out);
    strbuf_puts(out, "</body></html>\n");
}
