/* GGUF files of any bytes: what is accepted lies inside the input, its blocks become numbers, and
 * its vocabulary, where it has one, a tokenizer. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/io/gguf.h"
#include "core/io/gguf_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t read_by_key(const GgufFile *file, const char *key)
{
    Err err;
    int64_t number = 0;
    double real;
    bool flag;
    char *text;
    (void)gguf_get_int(file, key, &number, &err);
    (void)gguf_get_real(file, key, &real, &err);
    (void)gguf_get_bool(file, key, &flag, &err);
    if (gguf_get_text(file, key, &text, &err) == STATUS_OK)
        free(text);
    return number;
}

static int64_t touch(const GgufFile *file)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < gguf_value_count(file); i++) {
        const GgufValue *value = gguf_value(file, i);
        sum += read_by_key(file, value->key);
        if (value->count > 0)
            sum += gguf_int_at(value, value->count - 1) + (gguf_real_at(value, 0) > 1.0);
        for (int64_t t = 0; value->texts && t < value->count; t++)
            for (int64_t b = 0; b < value->texts[t].bytes; b++)
                sum += value->texts[t].data[b];
    }
    return sum;
}

static int64_t read_blocks(const GgufFile *file)
{
    float numbers[256];
    int64_t sum = 0;
    for (int64_t i = 0; i < gguf_tensor_count(file); i++) {
        const GgufTensor *tensor = gguf_tensor(file, i);
        int64_t step = block_values(tensor->type),
                blocks = tensor->bytes / block_bytes(tensor->type);
        for (int64_t b = 0; b < blocks; b++) {
            block_to_f32(tensor->data, tensor->type, b * step, step, numbers);
            sum += numbers[0] > 1.0f;
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    GgufFile *file;
    TokenizerSpec spec;
    if (gguf_parse(&file, data, (int64_t)size, "input", &err) != STATUS_OK)
        return 0;
    volatile int64_t sum = touch(file) + read_blocks(file);
    (void)sum;
    if (gguf_tokenizer_read(file, &spec, &err) == STATUS_OK)
        tokenizer_free(tokenizer_new(&spec, &err));
    gguf_close(file);
    return 0;
}
