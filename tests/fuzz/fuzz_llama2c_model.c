/* llama2.c models of any bytes, with a vocabulary of a few tokens: what is accepted is a model file
 * that opens. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/container.h"
#include "core/io/model_import.h"
#include "tests/support/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* tokenizer.bin: the longest token's length, then score, length and bytes of each. */
static const char *write_vocabulary(void)
{
    static const char *const tokens[] = {"<unk>", "\n<s>\n", "\n</s>\n", " ", "a", "b", "ab", " a"};
    StrBuf file = {0};
    int32_t longest = 6;
    strbuf_append(&file, (const char *)&longest, sizeof longest);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        float score = -(float)i;
        int32_t bytes = (int32_t)strlen(tokens[i]);
        strbuf_append(&file, (const char *)&score, sizeof score);
        strbuf_append(&file, (const char *)&bytes, sizeof bytes);
        strbuf_puts(&file, tokens[i]);
    }
    char *path = xstrdup(folder_put("words.bin", file.data, file.size));
    strbuf_clear(&file);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *words, *out;
    if (!words) {
        folder_begin();
        atexit(folder_end);
        words = write_vocabulary();
        out = xstrdup(folder_path("out.h5"));
    }
    Err err;
    Container *file;
    const char *model = folder_put("model.bin", data, (int64_t)size);
    if (llama2c_import(model, words, out, &err) != STATUS_OK)
        return 0;
    CHECK(container_open(&file, out, &err) == STATUS_OK, "%s", err.text);
    container_close(file);
    return 0;
}
