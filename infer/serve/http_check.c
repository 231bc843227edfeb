#include "infer/serve/http_check.h"

#include <string.h>
#include <strings.h>

/* What the headers of one request are. */
typedef struct Head {
    int hosts, lengths, codings; /* how many of them */
    const char *coding, *encoding, *expect;
    int64_t bytes;
    bool bad_name;
} Head;

/* RFC 9110's token. */
static bool is_token(const char *text)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *text && strspn(text, allowed) == strlen(text);
}

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    Head *head = context;
    (void)kind;
    head->bytes += (int64_t)(strlen(name) + (value ? strlen(value) : 0) + 4);
    head->bad_name |= !is_token(name);
    if (strcasecmp(name, "Host") == 0)
        head->hosts++;
    else if (strcasecmp(name, "Content-Length") == 0)
        head->lengths++;
    else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        head->codings++;
        head->coding = value;
    } else if (strcasecmp(name, "Content-Encoding") == 0)
        head->encoding = value;
    else if (strcasecmp(name, "Expect") == 0)
        head->expect = value;
    return MHD_YES;
}

static bool is_other(const char *value, const char *known)
{
    return value && *value && strcasecmp(value, known) != 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

size_t http_unescape(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    char *out = text;
    for (const char *in = text; *in; in++) {
        int high = *in == '%' ? hex_digit(in[1]) : -1, low = high >= 0 ? hex_digit(in[2]) : -1;
        bool escaped = low >= 0 && high + low > 0;
        *out++ = escaped ? (char)(high * 16 + low) : *in;
        in += escaped ? 2 : 0;
    }
    *out = '\0';
    return (size_t)(out - text);
}

int http_check(struct MHD_Connection *connection, const char *url, const char *version,
               int64_t limit, const char **why)
{
    Head head = {.bytes = (int64_t)strlen(url)};
    if (head.bytes > limit) {
        *why = "the path is longer than --max-header allows";
        return 414;
    }
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &head);
    bool needs_host = strcmp(version, "HTTP/1.0") != 0;
    *why = head.bad_name                          ? "the name of a header is none"
           : needs_host && head.hosts == 0        ? "the Host header is missing"
           : head.hosts > 1                       ? "there is more than one Host header"
           : head.lengths > 1                     ? "there is more than one Content-Length"
           : head.codings > 1                     ? "there is more than one Transfer-Encoding"
           : head.lengths > 0 && head.codings > 0 ? "Content-Length and Transfer-Encoding exclude "
                                                    "each other"
                                                  : NULL;
    if (*why)
        return 400;
    if (head.bytes > limit) {
        *why = "the headers are larger than --max-header allows";
        return 431;
    }
    if (is_other(head.coding, "chunked")) {
        *why = "of transfer encodings this server knows chunked alone";
        return 501;
    }
    if (is_other(head.encoding, "identity")) {
        *why = "bodies are read as they are: send them without Content-Encoding";
        return 415;
    }
    if (is_other(head.expect, "100-continue")) {
        *why = "of expectations this server knows 100-continue alone";
        return 417;
    }
    return 0;
}
