/* tokenizer.bin files of any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "core/text/llama2c_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    TokenizerSpec spec;
    if (llama2c_tokenizer_parse((const char *)data, (int64_t)size, &spec, &err) != STATUS_OK)
        return 0;
    Tokenizer *t = tokenizer_new(&spec, &err);
    IdList ids = {0};
    if (t)
        tokenizer_encode(t, (const char *)data, (int64_t)size, &ids);
    id_list_clear(&ids);
    tokenizer_free(t);
    return 0;
}
