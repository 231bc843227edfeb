/* safetensors and npy files of any bytes: what is accepted lies inside the input. */
#include <stddef.h>
#include <stdint.h>

#include "core/io/npy.h"
#include "core/io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t touch(const void *data, int64_t bytes)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < bytes; i++)
        sum += ((const uint8_t *)data)[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    SafeFile *file;
    NpyFile array;
    volatile int64_t sum = 0;
    if (safe_parse(&file, data, (int64_t)size, "input", &err) == STATUS_OK) {
        for (int64_t i = 0; i < safe_count(file); i++)
            sum += touch(safe_entry(file, i)->data, safe_entry(file, i)->bytes);
        safe_close(file);
    }
    if (npy_parse(&array, data, (int64_t)size, "input", &err) == STATUS_OK)
        sum += touch(array.data, array.bytes);
    (void)sum;
    return 0;
}
