#include "infer/eval/written.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

bool *line_ends_new(const Tokenizer *tokenizer)
{
    int64_t V = tokenizer_size(tokenizer);
    bool *ends = xcalloc((size_t)V, sizeof *ends);
    for (int64_t id = 0; id < V; id++) {
        int64_t bytes;
        const char *text = tokenizer_token(tokenizer, (int32_t)id, &bytes);
        ends[id] = tokenizer_is_control(tokenizer, (int32_t)id) ||
                   (bytes > 0 && memchr(text, '\n', (size_t)bytes));
    }
    return ends;
}

char *written_line(const Tokenizer *tokenizer, const IdList *written)
{
    StrBuf bytes = {0}, text = {0};
    tokenizer_decode(tokenizer, written->items, written->count, false, &bytes);
    strbuf_puts(&text, "");
    utf8_append_clean(&text, bytes.data, bytes.size);
    strbuf_clear(&bytes);
    text.data[strcspn(text.data, "\n")] = '\0';
    size_t begin = strspn(text.data, " \t\r"), end = strlen(text.data);
    while (end > begin && strchr(" \t\r", text.data[end - 1]))
        end--;
    char *line = xstrndup(text.data + begin, end - begin);
    strbuf_clear(&text);
    return line;
}
