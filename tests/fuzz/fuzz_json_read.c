/* Other programs' JSON of any bytes: what jansson reads is read alike. */
#include <stddef.h>
#include <stdint.h>

#include "core/text/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t why;
    const char *text = (const char *)data;
    json_t *want = json_loadb(text, size, JSON_ALLOW_NUL, &why);
    json_t *got = json_read(text, (int64_t)size, 0, &why);
    if (want && !got)
        __builtin_trap();
    if (want && size < JSON_READ_DEPTH && !json_equal(want, got))
        __builtin_trap();
    json_decref(want);
    json_decref(got);
    return 0;
}
