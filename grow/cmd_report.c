/* `cambium report`: the curves, costs and samples of runs on one page. */
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/cli/options.h"
#include "grow/report_page.h"
#include "grow/report_scores_read.h"
#include "grow/report_text.h"

typedef struct ReportSettings {
    char *output;
} ReportSettings;

static const Option report_options[] = {
    {"output", OPTION_OUTPUT, offsetof(ReportSettings, output), "FILE", "report.html",
     "write the page to FILE", NULL, 'o', NULL},
    {0},
};

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static Status report_run(const void *opaque, const StringList *paths, Err *err)
{
    const ReportSettings *settings = opaque;
    Report report = {0};
    ReportScores scores = {0};
    StringList folders = {0}, results = {0};
    StrBuf page = {0};
    for (int64_t i = 0; i < paths->count; i++)
        string_list_add(is_file(paths->items[i]) ? &results : &folders, paths->items[i]);
    Status status = file_check_target(settings->output, err);
    if (status == STATUS_OK)
        status = report_scores_read(&scores, &results, err);
    if (status == STATUS_OK)
        status = report_read(&report, &folders, err);
    if (status == STATUS_OK) {
        report_page(&report, &scores, &page);
        status = file_write(settings->output, page.data, (size_t)page.size, err);
    }
    if (status == STATUS_OK) {
        if (report.n_runs > 0)
            report_text(&report, stdout);
        log_info("%s: %lld %s", settings->output,
                 (long long)(report.n_runs ? report.n_runs : scores.count),
                 report.n_runs ? "runs" : "scores");
        if (report.n_runs && scores.count)
            log_info("%s: %lld scores", settings->output, (long long)scores.count);
    }
    strbuf_clear(&page);
    report_clear(&report);
    report_scores_clear(&scores);
    string_list_clear(&folders);
    string_list_clear(&results);
    return status;
}

const Verb verb_report = {
    .name = "report",
    .summary = "draw the curves, costs and samples of runs on one HTML page",
    .positionals = "RUN|RESULT...",
    .results = "*.html",
    .positionals_min = 1,
    .positionals_max = -1,
    .details = "RESULT is a file of `cambium eval -o`: bars with 95 % intervals, MMLU by category, "
               "translations by BLEU, chrF and TER, scores against depth, bits per byte also by "
               "position. RUN is a folder that "
               "`cambium train` or `cambium grow` "
               "wrote. The page stands "
               "alone (no network, no script): training loss and bits per byte over tokens and "
               "over FLOPs; the runs compared at equal tokens, equal FLOPs and equal active "
               "parameters on every text that they were validated on; every stage with its "
               "parameters and costs; the samples. The tables are printed, too. Runs named "
               "NAME-seed1, NAME-seed2 and so on "
               "are drawn as their mean and range.",
    .examples =
        {
            "report stage1.json stage2.json -o scores.html",
            "report ru zh whole -o report.html",
            "report grown-seed1 grown-seed2 grown-seed3 whole -o report.html",
        },
    .options = report_options,
    .settings_size = sizeof(ReportSettings),
    .run = report_run,
};
