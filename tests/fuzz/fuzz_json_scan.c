/* JSON lines of any bytes. What jansson reads the scanner reads, and both find the same text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "core/text/json_scan.h"
#include "core/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const json_t *peer, const JsonSpan *member, const StrBuf *text)
{
    const json_t *wanted = json_object_get(peer, "text");
    if (json_is_string(wanted)) {
        if (member->kind != JSON_KIND_TEXT || json_string_length(wanted) != (size_t)text->size ||
            memcmp(json_string_value(wanted), text->data, (size_t)text->size) != 0)
            __builtin_trap();
    } else if (member->kind == JSON_KIND_TEXT) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static StrBuf text;
    const char *line = (const char *)data;
    JsonSpan value, member;
    JsonFault fault;
    strbuf_reset(&text);
    bool read = json_scan_find(line, (int64_t)size, "text", &value, &member, &fault);
    if (read && member.kind == JSON_KIND_TEXT && json_scan_text(&member, &text, &fault) &&
        utf8_valid_prefix(text.data, text.size) != text.size)
        __builtin_trap();
    if (!read && (fault.at < 0 || fault.at > (int64_t)size))
        __builtin_trap();
    /* jansson takes a zero byte for the end of the text. */
    json_t *peer = size && memchr(line, '\0', size)
                       ? NULL
                       : json_loadb(line, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (peer && !read)
        __builtin_trap();
    if (peer)
        compare(peer, &member, &text);
    json_decref(peer);
    /* A name with dots only must not run on. */
    json_scan_find(line, (int64_t)size, "a.b.c", &value, &member, &fault);
    return 0;
}
