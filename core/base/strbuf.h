/* A growing byte string, always terminated by a zero that `size` does not count. */
#ifndef CAMBIUM_CORE_BASE_STRBUF_H
#define CAMBIUM_CORE_BASE_STRBUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct StrBuf {
    char *data; /* NULL only before the first append */
    int64_t size;
    int64_t capacity;
} StrBuf;

void strbuf_append(StrBuf *buf, const char *bytes, size_t count);
void strbuf_puts(StrBuf *buf, const char *text);
void strbuf_putc(StrBuf *buf, char c);
void strbuf_printf(StrBuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_reset(StrBuf *buf);   /* empties it and keeps its memory */
void strbuf_clear(StrBuf *buf);   /* releases its memory; may be used again */
char *strbuf_detach(StrBuf *buf); /* the text, owned by the caller (never NULL); buf is empty */

#endif
