/* Results of any bytes: what is accepted is drawn. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "grow/report_scores_page.h"
#include "grow/report_scores_read.h"
#include "tests/support/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static StringList files;
    if (!files.count) {
        folder_begin();
        atexit(folder_end);
        /* Two files with the same names in them: labels must tell them apart. */
        string_list_add(&files, folder_path("a.json"));
        string_list_add(&files, folder_path("b.json"));
        static const char other[] = "[{\"task\":\"mmlu\",\"model\":\"model.h5\",\"questions\":4,"
                                    "\"accuracy\":0.5,\"layers\":2}]";
        folder_put("b.json", other, -1);
    }
    folder_put("a.json", data, (int64_t)size);
    Err err;
    ReportScores scores;
    StrBuf page = {0};
    if (report_scores_read(&scores, &files, &err) == STATUS_OK) {
        report_scores_page(&scores, &page);
        if (page.size == 0)
            __builtin_trap();
    }
    strbuf_clear(&page);
    report_scores_clear(&scores);
    return 0;
}
