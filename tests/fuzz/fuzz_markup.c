/* HTML, roff and plain pages of any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "core/text/utf8.h"
#include "train/clean_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Paragraphs paragraphs;
    static StrBuf text;
    if (size < 1)
        return 0;
    strbuf_reset(&text);
    strbuf_append(&text, (const char *)data + 1, size - 1);
    Err err;
    if (page_to_utf8(&text, "KOI8-R", &err) != STATUS_OK)
        return 0;
    paragraphs_reset(&paragraphs);
    page_read((PageKind)(PAGE_HTML + data[0] % 3), &text, NULL, &paragraphs);
    if (utf8_valid_prefix(paragraphs.text.data, paragraphs.text.size) != paragraphs.text.size)
        __builtin_trap();
    return 0;
}
