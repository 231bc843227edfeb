#include "core/text/splitter.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

enum {
    STAGES_MAX = 16,
    MATCH_LIMIT = 5000000, /* steps of one match, and so many more for each byte of the text: far */
    MATCH_STEPS = 8,       /* above any honest pattern's need */
    MATCH_HEAP_KIB = 65536,
    JIT_STACK_START = 32 << 10,
    JIT_STACK_MAX = 16 << 20,
};

struct Splitter {
    pcre2_code *stages[STAGES_MAX];
    int n_stages;
};

struct SplitterWork {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* Writes \s and \S as Unicode properties; other escapes are copied in pairs, so that an escaped
 * backslash before an s stays what it is. */
static void translate(StrBuf *out, const char *pattern, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (pattern[i] == '\\' && i + 1 < length) {
            i++;
            if (pattern[i] == 's')
                strbuf_puts(out, "\\p{White_Space}");
            else if (pattern[i] == 'S')
                strbuf_puts(out, "\\P{White_Space}");
            else
                strbuf_append(out, pattern + i - 1, 2);
        } else {
            strbuf_putc(out, pattern[i]);
        }
    }
}

static Status compile_stage(Splitter *splitter, const char *pattern, size_t length, Err *err)
{
    if (splitter->n_stages == STAGES_MAX)
        return err_set(err, "the pre-tokenizer has more than %d patterns", STAGES_MAX);
    StrBuf text = {0};
    translate(&text, pattern, length);
    int code;
    PCRE2_SIZE place;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *stage = pcre2_compile((PCRE2_SPTR)(text.data ? text.data : ""),
                                      (PCRE2_SIZE)text.size, options, &code, &place, NULL);
    if (stage) {
        /* Without just-in-time code the same matches are only slower. */
        pcre2_jit_compile(stage, PCRE2_JIT_COMPLETE);
        splitter->stages[splitter->n_stages++] = stage;
    } else {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        err_set(err, "the pre-tokenizer pattern \"%.200s\" is wrong at byte %lld: %s",
                text.data ? text.data : "", (long long)place, (const char *)message);
    }
    strbuf_clear(&text);
    return stage ? STATUS_OK : STATUS_FAIL;
}

Splitter *splitter_new(const char *patterns, Err *err)
{
    Splitter *splitter = xcalloc(1, sizeof *splitter);
    for (const char *line = patterns;;) {
        size_t length = strcspn(line, "\n");
        if (length == 0) {
            err_set(err, "the pre-tokenizer pattern is empty");
            break;
        }
        if (compile_stage(splitter, line, length, err) != STATUS_OK)
            break;
        if (line[length] == '\0')
            return splitter;
        line += length + 1;
    }
    splitter_free(splitter);
    return NULL;
}

void splitter_free(Splitter *splitter)
{
    if (!splitter)
        return;
    for (int i = 0; i < splitter->n_stages; i++)
        pcre2_code_free(splitter->stages[i]);
    free(splitter);
}

SplitterWork *splitter_work_new(void)
{
    SplitterWork *work = xcalloc(1, sizeof *work);
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

void splitter_work_free(SplitterWork *work)
{
    if (!work)
        return;
    pcre2_match_data_free(work->match);
    pcre2_match_context_free(work->context);
    pcre2_jit_stack_free(work->stack);
    free(work);
}

typedef struct Run {
    const Splitter *splitter;
    SplitterWork *work;
    PieceFn *fn;
    void *context;
} Run;

static void run_stage(const Run *run, int stage, const char *text, int64_t bytes)
{
    if (bytes == 0)
        return;
    if (stage == run->splitter->n_stages) {
        run->fn(run->context, text, bytes);
        return;
    }
    int64_t done = 0;
    while (done < bytes) {
        /* The text was checked before: checking again for every match would be quadratic. */
        int found = pcre2_match(run->splitter->stages[stage], (PCRE2_SPTR)text, (PCRE2_SIZE)bytes,
                                (PCRE2_SIZE)done, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                                run->work->match, run->work->context);
        if (found < 0) {
            if (found != PCRE2_ERROR_NOMATCH)
                log_warn("the pre-tokenizer pattern gave up on a text of %lld bytes (PCRE2 error "
                         "%d): the rest is taken as one piece",
                         (long long)bytes, found);
            break;
        }
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(run->work->match);
        int64_t start = (int64_t)place[0], end = (int64_t)place[1];
        /* \K in a lookaround can report nonsense; a piece never goes back. */
        if (start < done || end <= start)
            break;
        run_stage(run, stage + 1, text + done, start - done);
        run_stage(run, stage + 1, text + start, end - start);
        done = end;
    }
    run_stage(run, stage + 1, text + done, bytes - done);
}

void splitter_run(const Splitter *splitter, SplitterWork *work, const char *text, int64_t bytes,
                  PieceFn *fn, void *context)
{
    Run run = {splitter, work, fn, context};
    int64_t limit = MATCH_LIMIT + MATCH_STEPS * bytes;
    pcre2_set_match_limit(work->context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
    run_stage(&run, 0, text, bytes);
}
