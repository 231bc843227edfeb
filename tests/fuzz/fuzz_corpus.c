/* Corpus files of any bytes: text, JSON lines and packed ones. The first byte chooses the name, and
 * whether bad lines are left out. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "core/text/utf8.h"
#include "core/io/corpus_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static StrBuf document;
    char path[64];
    if (size < 1)
        return 0;
    snprintf(path, sizeof path, "/tmp/fuzz-corpus-%d.%s", (int)getpid(),
             data[0] % 2 ? "jsonl" : "txt");
    FILE *stream = fopen(path, "wb");
    if (!stream)
        return 0;
    fwrite(data + 1, 1, size - 1, stream);
    fclose(stream);
    Err err;
    bool found = true;
    CorpusSkips skips = {0};
    CorpusOptions options = {.field = "text", .skips = data[0] & 2 ? &skips : NULL};
    CorpusReader *reader = corpus_reader_open(path, &options, &err);
    while (reader && found && corpus_reader_next(reader, &document, &found, &err) == STATUS_OK)
        if (utf8_valid_prefix(document.data, document.size) != document.size)
            __builtin_trap();
    corpus_reader_close(reader);
    unlink(path);
    return 0;
}
