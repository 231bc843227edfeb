/* Names, origins and keys of HTTP headers from arbitrary bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "infer/serve/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    StringList given = {0}, none = {0};
    Access access;
    Err err;
    string_list_add(&given, text);
    if (access_init(&access, "127.0.0.1", &none, &given, &err) == STATUS_OK) {
        if (!access_allows(&access, text)) /* an origin that is taken allows itself */
            __builtin_trap();
        access_clear(&access);
    }
    if (access_init(&access, "127.0.0.1", &given, &none, &err) == STATUS_OK)
        access_clear(&access);
    if (access_init(&access, "127.0.0.1", &none, &none, &err) == STATUS_OK) {
        access_knows_host(&access, text, text);
        if (access_allows(&access, text))
            __builtin_trap();
        access_clear(&access);
    }
    access_own_page(text, text);
    access_bearer(text);
    string_list_clear(&given);
    free(text);
    return 0;
}
