#include "core/text/token_name.h"

#include <string.h>

#include "core/text/utf8.h"

static const char bytes_mark[] = "bytes:\\x", id_mark[] = "token_id:";

static bool begins_with(const char *text, int64_t bytes, const char *mark)
{
    size_t length = strlen(mark);
    return bytes >= (int64_t)length && memcmp(text, mark, length) == 0;
}

/* Whether a text can be a name as it is: a C string of characters that no other form takes. */
static bool is_plain(const char *text, int64_t bytes)
{
    return utf8_valid_prefix(text, bytes) == bytes && !memchr(text, '\0', (size_t)bytes) &&
           !begins_with(text, bytes, bytes_mark) && !begins_with(text, bytes, id_mark);
}

void token_name(const Tokenizer *tokenizer, int32_t id, StrBuf *out)
{
    int64_t bytes = 0;
    bool known = id >= 0 && id < tokenizer_size(tokenizer);
    const char *text = known ? tokenizer_token(tokenizer, id, &bytes) : "";
    if (!known || tokenizer_find(tokenizer, text, bytes) != id) {
        strbuf_printf(out, "%s%d", id_mark, (int)id);
    } else if (is_plain(text, bytes)) {
        strbuf_append(out, text, (size_t)bytes);
    } else {
        strbuf_puts(out, "bytes:");
        for (int64_t i = 0; i < bytes; i++)
            strbuf_printf(out, "\\x%02x", (unsigned)(uint8_t)text[i]);
    }
}
