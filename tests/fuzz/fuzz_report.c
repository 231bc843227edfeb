/* Metrics of any bytes: what is accepted is drawn. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "grow/report_page.h"
#include "tests/support/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static StringList folders;
    if (!folders.count) {
        folder_begin();
        atexit(folder_end);
        string_list_add(&folders, folder_path("."));
    }
    folder_put("metrics.jsonl", data, (int64_t)size);
    Err err;
    Report report;
    StrBuf page = {0};
    if (report_read(&report, &folders, &err) == STATUS_OK)
        report_page(&report, &(ReportScores){0}, &page);
    strbuf_clear(&page);
    report_clear(&report);
    return 0;
}
