#include "core/text/regex.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/text/utf8.h"

enum {
    MATCH_LIMIT = 5000000, /* steps of one match, and so many more for each byte of the text: far */
    MATCH_STEPS = 8,       /* above any honest pattern's need */
    MATCH_HEAP_KIB = 65536,
    JIT_STACK_START = 32 << 10,
    JIT_STACK_MAX = 16 << 20,
    NAME_MAX_LENGTH = 32, /* of a property */
};

struct Regex {
    pcre2_code *code;
    bool matches_nothing;
};

struct RegexWork {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* ---- translation ----------------------------------------------------------------------------- */

/* PCRE2 takes a script's name for the script and its extensions, Oniguruma for the script alone. */
static bool is_script(const char *name, size_t length)
{
    static const char *const scripts[] = {
        "Han",      "Hiragana", "Katakana", "Hangul",   "Latin",    "Cyrillic",
        "Greek",    "Arabic",   "Hebrew",   "Thai",     "Lao",      "Devanagari",
        "Bengali",  "Tamil",    "Khmer",    "Myanmar",  "Common",   "Armenian",
        "Georgian", "Ethiopic", "Tibetan",  "Bopomofo", "Mongolian"};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (strlen(scripts[i]) == length && strncasecmp(scripts[i], name, length) == 0)
            return true;
    return false;
}

/* \p{...} or \P{...} at `text`; returns its length. */
static size_t put_property(StrBuf *out, const char *text, size_t length, RegexScripts scripts)
{
    const char *close = memchr(text, '}', length);
    if (length < 4 || text[2] != '{' || !close || close - text > NAME_MAX_LENGTH) {
        strbuf_append(out, text, 2);
        return 2;
    }
    const char *name = text + 3 + (text[3] == '^');
    size_t whole = (size_t)(close - text) + 1;
    strbuf_append(out, text, (size_t)(name - text));
    if (scripts == SCRIPTS_ALONE && is_script(name, (size_t)(close - name)))
        strbuf_puts(out, "sc:");
    strbuf_append(out, name, (size_t)(close - name) + 1);
    return whole;
}

/* An escape at `text`; returns its length, 0 when PCRE2 has no word for it. */
static size_t put_escape(StrBuf *out, const char *text, size_t length, bool in_class,
                         RegexScripts scripts)
{
    switch (text[1]) {
    case 's':
        strbuf_puts(out, "\\p{White_Space}");
        return 2;
    case 'S':
        strbuf_puts(out, "\\P{White_Space}");
        return 2;
    case 'w':
        strbuf_puts(out, in_class ? "\\p{L}\\p{M}\\p{Nd}\\p{Pc}" : "[\\p{L}\\p{M}\\p{Nd}\\p{Pc}]");
        return 2;
    case 'W':
        if (in_class)
            return 0;
        strbuf_puts(out, "[^\\p{L}\\p{M}\\p{Nd}\\p{Pc}]");
        return 2;
    case 'h': /* a hexadecimal digit there, a blank here */
    case 'H':
        return 0;
    case 'p':
    case 'P':
        return put_property(out, text, length, scripts);
    default:
        strbuf_append(out, text, 2);
        return 2;
    }
}

/* Writes the pattern for PCRE2; false where it has no form for it. */
static bool translate(StrBuf *out, const char *pattern, size_t length, RegexScripts scripts)
{
    bool in_class = false;
    size_t class_start = 0;
    for (size_t i = 0; i < length;) {
        if (pattern[i] == '\\' && i + 1 < length) {
            size_t taken = put_escape(out, pattern + i, length - i, in_class, scripts);
            if (taken == 0)
                return false;
            i += taken;
            continue;
        }
        if (!in_class && pattern[i] == '[') {
            in_class = true;
            class_start = i + 1 + (i + 1 < length && pattern[i + 1] == '^');
        } else if (in_class && pattern[i] == ']' && i > class_start) {
            in_class = false;
        } else if (in_class && pattern[i] == '[') {
            /* [:alpha:] is known to both, a class inside a class to Oniguruma alone. */
            const char *close =
                pattern[i + 1] == ':' ? memmem(pattern + i, length - i, ":]", 2) : NULL;
            if (!close)
                return false;
            size_t whole = (size_t)(close - (pattern + i)) + 2;
            strbuf_append(out, pattern + i, whole);
            i += whole;
            continue;
        } else if (in_class && pattern[i] == '&' && i + 1 < length && pattern[i + 1] == '&') {
            return false;
        }
        strbuf_putc(out, pattern[i++]);
    }
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

static Regex *compile(const StrBuf *text, Err *err)
{
    int fault;
    PCRE2_SIZE place;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, nothing = 0;
    const char *pattern = text->data ? text->data : "";
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, (PCRE2_SIZE)text->size, options, &fault, &place, NULL);
    if (!code) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(fault, message, sizeof message);
        err_set(err, "the pre-tokenizer pattern \"%.200s\" is wrong at byte %lld: %s", pattern,
                (long long)place, (const char *)message);
        return NULL;
    }
    /* Without just-in-time code the same matches are only slower. */
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &nothing);
    Regex *regex = xcalloc(1, sizeof *regex);
    *regex = (Regex){code, nothing != 0};
    return regex;
}

bool regex_names_script(const char *pattern)
{
    for (const char *at = pattern; (at = strchr(at, '\\')); at += 2) {
        if (at[1] == '\0')
            break;
        const char *close = at[1] == 'p' || at[1] == 'P' ? strchr(at, '}') : NULL;
        const char *name = at + 3 + (at[2] == '{' && at[3] == '^');
        if (close && at[2] == '{' && close > name && is_script(name, (size_t)(close - name)))
            return true;
    }
    return false;
}

Regex *regex_new(const char *pattern, size_t length, RegexScripts scripts, Err *err)
{
    StrBuf text = {0};
    Regex *regex = NULL;
    if (length == 0)
        err_set(err, "the pre-tokenizer pattern is empty");
    else if (!translate(&text, pattern, length, scripts))
        err_set(err,
                "the pre-tokenizer pattern \"%.*s\" is not supported: it has a class inside a "
                "class, or an escape that is Oniguruma's alone",
                (int)(length < 200 ? length : 200), pattern);
    else
        regex = compile(&text, err);
    strbuf_clear(&text);
    return regex;
}

Regex *regex_new_literal(const char *text, Err *err)
{
    StrBuf escaped = {0};
    for (const char *p = text; *p; p++) {
        if ((signed char)*p > 0 && strchr("\\^$.[]|()?*+{}#", *p))
            strbuf_putc(&escaped, '\\');
        strbuf_putc(&escaped, *p);
    }
    Regex *regex = compile(&escaped, err);
    strbuf_clear(&escaped);
    return regex;
}

void regex_free(Regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    free(regex);
}

bool regex_matches_nothing(const Regex *regex)
{
    return regex->matches_nothing;
}

RegexWork *regex_work_new(void)
{
    RegexWork *work = xcalloc(1, sizeof *work);
    /* Only the place of the whole match is wanted. */
    work->match = pcre2_match_data_create(1, NULL);
    work->context = pcre2_match_context_create(NULL);
    CHECK(work->match && work->context, "out of memory");
    pcre2_set_heap_limit(work->context, MATCH_HEAP_KIB);
    /* NULL where there is no just-in-time compiler; nothing needs it then. */
    work->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
    if (work->stack)
        pcre2_jit_stack_assign(work->context, NULL, work->stack);
    return work;
}

void regex_work_free(RegexWork *work)
{
    if (!work)
        return;
    pcre2_match_data_free(work->match);
    pcre2_match_context_free(work->context);
    pcre2_jit_stack_free(work->stack);
    free(work);
}

/* ---- scanning -------------------------------------------------------------------------------- */

void regex_scan_start(RegexScan *scan, const Regex *regex, RegexWork *work, const char *text,
                      int64_t bytes)
{
    *scan = (RegexScan){
        .regex = regex, .work = work, .text = text, .bytes = bytes, .last = -1, .begin = -1};
}

/* Finds the next match behind `from`. An empty one counts unless it touches the one before. */
static bool find(RegexScan *scan)
{
    /* Scans may be nested, and share the work. */
    int64_t limit = MATCH_LIMIT + MATCH_STEPS * scan->bytes;
    pcre2_set_match_limit(scan->work->context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
    while (scan->from <= scan->bytes) {
        /* The text was checked before: checking again for every match would be quadratic. */
        int found = pcre2_match(scan->regex->code, (PCRE2_SPTR)scan->text, (PCRE2_SIZE)scan->bytes,
                                (PCRE2_SIZE)scan->from, PCRE2_NO_UTF_CHECK, scan->work->match,
                                scan->work->context);
        if (found < 0) {
            if (found != PCRE2_ERROR_NOMATCH)
                log_warn("the pre-tokenizer pattern gave up on a text of %lld bytes (PCRE2 error "
                         "%d): the rest is taken as one piece",
                         (long long)scan->bytes, found);
            return false;
        }
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(scan->work->match);
        int64_t begin = (int64_t)place[0], end = (int64_t)place[1];
        /* \K in a lookaround can report nonsense; a piece never goes back. */
        if (begin < scan->from || end < begin)
            return false;
        bool empty = begin == end, touches = end == scan->last;
        scan->from =
            !empty || end >= scan->bytes ? end + empty : end + utf8_length(scan->text[end]);
        if (empty && touches)
            continue;
        scan->begin = begin;
        scan->last = scan->end = end;
        return true;
    }
    return false;
}

bool regex_scan_next(RegexScan *scan, int64_t *begin, int64_t *end, bool *is_match)
{
    if (scan->begin < 0 && !scan->over)
        scan->over = !find(scan);
    if (scan->begin < 0 && scan->done == scan->bytes)
        return false;
    *begin = scan->done;
    *is_match = scan->begin == scan->done;
    *end = *is_match ? scan->end : scan->begin >= 0 ? scan->begin : scan->bytes;
    if (*is_match)
        scan->begin = -1;
    scan->done = *end;
    return true;
}
