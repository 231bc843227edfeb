/* Files of hypotheses and references: one segment a line. */
#ifndef CAMBIUM_INFER_EVAL_SEGMENT_FILE_H
#define CAMBIUM_INFER_EVAL_SEGMENT_FILE_H

#include "core/base/err.h"
#include "core/metrics/symbols.h"

typedef struct SegmentFile {
    StrBuf text;
    Segment *segments; /* into the text */
    int64_t count, capacity;
} SegmentFile;

/* "-" is standard input. Whitespace at the ends of lines is taken off, as sacrebleu's command does.
 * Refuses what is empty, not UTF-8, or has a line that is too long to be a segment. Clear it also
 * when this fails. */
Status segment_file_read(SegmentFile *out, const char *path, Err *err);
void segment_file_clear(SegmentFile *file);

/* The same for text in memory; `name` stands for the file in errors. Takes over `text`. */
Status segment_file_parse(SegmentFile *out, StrBuf *text, const char *name, Err *err);

#endif
