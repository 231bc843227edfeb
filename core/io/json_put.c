#include "core/io/json_put.h"

#include <math.h>
#include <string.h>

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

json_t *json_name(const char *name)
{
    return json_text(name, (int64_t)strlen(name));
}

json_t *json_number(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}
