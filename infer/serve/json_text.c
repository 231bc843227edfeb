#include "infer/serve/json_text.h"

#include "core/text/utf8.h"

json_t *json_text(const char *bytes, int64_t count)
{
    json_t *text = json_stringn(bytes, (size_t)count);
    if (text)
        return text;
    StrBuf clean = {0};
    utf8_append_clean(&clean, bytes, count);
    text = json_stringn(clean.data, (size_t)clean.size);
    strbuf_clear(&clean);
    return text;
}
