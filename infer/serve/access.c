#include "infer/serve/access.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/mem.h"

enum { NAME_MAX_BYTES = 254 };

/* ---- names ----------------------------------------------------------------------------------- */

/* The name in HOST, HOST:PORT or [ADDRESS]:PORT, without brackets, port and closing dot; false
 * where that is none of them. */
static bool host_name(const char *host, char out[NAME_MAX_BYTES])
{
    bool bracketed = *host == '[';
    const char *begin = host + bracketed;
    size_t length = strcspn(begin, bracketed ? "]" : ":");
    const char *rest = begin + length + (bracketed && begin[length] ? 1 : 0);
    if (length == 0 || length >= NAME_MAX_BYTES || (bracketed && begin[length] != ']'))
        return false;
    if (*rest == ':')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (*rest)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = begin[i];
        if (!isalnum((unsigned char)c) && !strchr(bracketed ? ":.%" : "-._", c) &&
            (unsigned char)c < 0x80)
            return false;
        out[i] = (char)tolower((unsigned char)c);
    }
    if (length > 1 && out[length - 1] == '.')
        length--;
    out[length] = '\0';
    return true;
}

/* An address in the form that inet_ntop writes, IPv4 in IPv6 as IPv4; false: it is none. */
static bool canonical_address(const char *text, char out[INET6_ADDRSTRLEN])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET, text, &four) == 1)
        return inet_ntop(AF_INET, &four, out, INET6_ADDRSTRLEN) != NULL;
    if (inet_pton(AF_INET6, text, &six) != 1)
        return false;
    if (memcmp(&six, mapped, sizeof mapped) == 0)
        return inet_ntop(AF_INET, (const uint8_t *)&six + 12, out, INET6_ADDRSTRLEN) != NULL;
    return inet_ntop(AF_INET6, &six, out, INET6_ADDRSTRLEN) != NULL;
}

static bool same_name(const char *a, const char *b)
{
    char x[INET6_ADDRSTRLEN], y[INET6_ADDRSTRLEN];
    if (canonical_address(a, x) && canonical_address(b, y))
        return strcmp(x, y) == 0;
    return strcasecmp(a, b) == 0;
}

bool access_knows_host(const Access *access, const char *host, const char *local)
{
    char name[NAME_MAX_BYTES];
    if (!host_name(host, name))
        return false;
    if (access->any_host || (local && same_name(name, local)))
        return true;
    for (int64_t i = 0; i < access->hosts.count; i++)
        if (same_name(name, access->hosts.items[i]))
            return true;
    return false;
}

static Status add_host(Access *access, const char *text, Err *err)
{
    char name[NAME_MAX_BYTES], bare[INET6_ADDRSTRLEN];
    if (strcmp(text, "*") == 0)
        access->any_host = true;
    else if (canonical_address(text, bare)) /* IPv6 without brackets */
        string_list_add(&access->hosts, bare);
    else if (host_name(text, name))
        string_list_add(&access->hosts, name);
    else
        return err_usage(err, "--allow-host '%s' is not a name or address, such as llm.example.org",
                         text);
    return STATUS_OK;
}

/* ---- origins --------------------------------------------------------------------------------- */

/* SCHEME://HOST[:PORT] as browsers write it: lower case, without the scheme's own port. */
static bool normal_origin(const char *text, StrBuf *out)
{
    static const char *const defaults[][2] = {{"http://", ":80"}, {"https://", ":443"}};
    char name[NAME_MAX_BYTES];
    const char *authority = strstr(text, "://");
    if (strcmp(text, "null") == 0 || strcmp(text, "*") == 0) {
        strbuf_puts(out, text);
        return true;
    }
    if (!authority || authority == text || !host_name(authority + 3, name))
        return false;
    for (const char *c = text; *c; c++)
        strbuf_printf(out, "%c", tolower((unsigned char)*c));
    for (int i = 0; i < 2; i++) {
        size_t port = strlen(defaults[i][1]);
        if (strncmp(out->data, defaults[i][0], strlen(defaults[i][0])) == 0 &&
            (size_t)out->size > port && strcmp(out->data + out->size - port, defaults[i][1]) == 0) {
            out->size -= (int64_t)port;
            out->data[out->size] = '\0';
        }
    }
    return true;
}

static Status add_origin(Access *access, const char *text, Err *err)
{
    StrBuf normal = {0};
    bool good = normal_origin(text, &normal);
    if (good)
        string_list_add(&access->origins, normal.data);
    strbuf_clear(&normal);
    return good ? STATUS_OK
                : err_usage(err,
                            "--allow-origin '%s' is not an origin: SCHEME://HOST or "
                            "SCHEME://HOST:PORT without a path, null, or * for all",
                            text);
}

const char *access_allows(const Access *access, const char *origin)
{
    StrBuf normal = {0};
    const char *allowed = NULL;
    bool good = normal_origin(origin, &normal);
    for (int64_t i = 0; i < access->origins.count && !allowed; i++) {
        if (strcmp(access->origins.items[i], "*") == 0)
            allowed = access->origins.items[i];
        else if (good && strcmp(access->origins.items[i], normal.data) == 0)
            allowed = origin;
    }
    strbuf_clear(&normal);
    return allowed;
}

bool access_own_page(const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");
    return authority && host && strcasecmp(authority + 3, host) == 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

Status access_init(Access *access, const char *host, const StringList *hosts,
                   const StringList *origins, Err *err)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "::1"};
    char machine[NAME_MAX_BYTES] = "";
    *access = (Access){.any_host = false};
    for (int i = 0; i < 3; i++)
        string_list_add(&access->hosts, own[i]);
    string_list_add(&access->hosts, host);
    if (gethostname(machine, sizeof machine - 1) == 0 && machine[0])
        string_list_add(&access->hosts, machine);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < hosts->count && status == STATUS_OK; i++)
        status = add_host(access, hosts->items[i], err);
    for (int64_t i = 0; i < origins->count && status == STATUS_OK; i++)
        status = add_origin(access, origins->items[i], err);
    if (status != STATUS_OK)
        access_clear(access);
    return status;
}

void access_clear(Access *access)
{
    string_list_clear(&access->hosts);
    string_list_clear(&access->origins);
}

const char *access_bearer(const char *authorization)
{
    static const char scheme[] = "bearer";
    size_t length = strlen(scheme);
    if (!authorization || strncasecmp(authorization, scheme, length) != 0 ||
        authorization[length] != ' ')
        return NULL;
    return authorization + length + strspn(authorization + length, " ");
}
