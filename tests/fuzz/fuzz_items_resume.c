/* A file of evaluated questions of any bytes: it is refused, or goes on and can then be read. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "infer/eval/items.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Status open_once(const char *path, json_t *header, ItemsFile **items)
{
    Err err;
    return items_open(items, path, header, true, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/fuzz_items_resume_XXXXXX";
    int file = mkstemp(path);
    if (file < 0 || write(file, data, size) != (ssize_t)size || close(file) != 0)
        abort();
    Err err;
    ItemsFile *items;
    json_t *header = json_pack("{s:s}", "format", "cambium-items");
    if (open_once(path, header, &items) == STATUS_OK) {
        int64_t count = items_count(items);
        if (items_add(items, json_pack("{s:i}", "n", 1), &err) != STATUS_OK ||
            items_close(items, &err) != STATUS_OK)
            abort();
        if (open_once(path, header, &items) != STATUS_OK || items_count(items) != count + 1)
            __builtin_trap();
        items_close(items, &err);
    }
    json_decref(header);
    unlink(path);
    return 0;
}
