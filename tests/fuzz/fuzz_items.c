/* Items files and files of segments from any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "core/text/utf8.h"
#include "infer/eval/item_scores.h"
#include "infer/eval/segment_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    StrBuf text = {0};
    strbuf_append(&text, (const char *)data, size);
    ItemScores scores;
    if (item_scores_parse(&scores, &text, "items", &err) == STATUS_OK)
        for (int64_t i = 0; i < scores.count; i++)
            if (!(scores.items[i].score >= 0 && scores.items[i].score <= 1))
                __builtin_trap();
    item_scores_clear(&scores);
    SegmentFile file;
    if (segment_file_parse(&file, &text, "segments", &err) == STATUS_OK)
        for (int64_t i = 0; i < file.count; i++)
            if (utf8_valid_prefix(file.segments[i].text, file.segments[i].bytes) !=
                file.segments[i].bytes)
                __builtin_trap();
    segment_file_clear(&file);
    return 0;
}
