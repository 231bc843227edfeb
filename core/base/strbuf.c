#include "core/base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void strbuf_append(StrBuf *buf, const char *bytes, size_t count)
{
    buf->data = mem_grow(buf->data, &buf->capacity, buf->size + (int64_t)count + 1, 1);
    if (count)
        memcpy(buf->data + buf->size, bytes, count);
    buf->size += (int64_t)count;
    buf->data[buf->size] = '\0';
}

void strbuf_puts(StrBuf *buf, const char *text)
{
    strbuf_append(buf, text, strlen(text));
}

void strbuf_putc(StrBuf *buf, char c)
{
    strbuf_append(buf, &c, 1);
}

void strbuf_printf(StrBuf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(length >= 0, "bad format");
    buf->data = mem_grow(buf->data, &buf->capacity, buf->size + length + 1, 1);
    vsnprintf(buf->data + buf->size, (size_t)length + 1, format, again);
    va_end(again);
    buf->size += length;
}

void strbuf_reset(StrBuf *buf)
{
    buf->size = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void strbuf_clear(StrBuf *buf)
{
    free(buf->data);
    *buf = (StrBuf){0};
}

char *strbuf_detach(StrBuf *buf)
{
    char *text = buf->data ? buf->data : xstrdup("");
    *buf = (StrBuf){0};
    return text;
}
