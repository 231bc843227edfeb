/* N-gram files of any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "core/text/utf8.h"
#include "embed/ngrams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    NgramList list = {0};
    Err err;
    ngrams_parse(&list, "input", (const char *)data, (int64_t)size, &err);
    for (int64_t i = 0; i < list.count; i++) {
        const Ngram *ngram = &list.items[i];
        const char *text = list.text.data + ngram->offset;
        if (utf8_valid_prefix(text, ngram->bytes) != ngram->bytes)
            __builtin_trap();
    }
    ngrams_clear(&list);
    return 0;
}
