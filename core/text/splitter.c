#include "core/text/splitter.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/text/byte_alphabet.h"
#include "core/text/regex.h"
#include "core/text/text_step.h"

enum { STAGES_MAX = 16 };

/* What becomes of the stretches that a pattern finds, as Hugging Face names it. */
typedef enum Behavior {
    ISOLATED,
    REMOVED,
    CONTIGUOUS,
    WITH_PREVIOUS,
    WITH_NEXT,
} Behavior;

static const char *const behavior_names[] = {
    [ISOLATED] = "Isolated",        [REMOVED] = "Removed",
    [CONTIGUOUS] = "Contiguous",    [WITH_PREVIOUS] = "MergedWithPrevious",
    [WITH_NEXT] = "MergedWithNext",
};
enum { BEHAVIORS = sizeof behavior_names / sizeof *behavior_names };

typedef enum Prefix { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS } Prefix;

/* A stage may bring a piece into another form first, and then cuts it where it has a pattern. */
typedef struct Stage {
    Regex *regex; /* NULL: the piece stays whole */
    Behavior behavior;
    bool invert;
    bool is_plain;      /* ISOLATED, and the piece stays as it is */
    bool metaspace;     /* spaces become U+2581 */
    bool alphabet;      /* bytes become the letters that stand for them */
    const char *prefix; /* what a piece that does not begin with it gets, or NULL */
    Prefix when;
} Stage;

struct Splitter {
    Stage stages[STAGES_MAX];
    int n_stages;
    bool alphabet; /* pieces come out of the last stage in the byte alphabet */
};

struct SplitterWork {
    RegexWork *regex;
    StrBuf formed[STAGES_MAX];
    StrBuf bytes;
};

/* ---- making ---------------------------------------------------------------------------------- */

static Status add_stage(Splitter *splitter, Stage stage, Err *err)
{
    if (splitter->n_stages == STAGES_MAX) {
        regex_free(stage.regex);
        return err_set(err, "the pre-tokenizer has more than %d patterns", STAGES_MAX);
    }
    stage.is_plain = stage.regex && stage.behavior == ISOLATED && !stage.metaspace && !stage.prefix;
    splitter->stages[splitter->n_stages++] = stage;
    return STATUS_OK;
}

static Status add_pattern(Splitter *splitter, const char *pattern, size_t length, Stage stage,
                          Err *err)
{
    stage.regex = regex_new(pattern, length, SCRIPTS_EXTENDED, err);
    return stage.regex ? add_stage(splitter, stage, err) : STATUS_FAIL;
}

Splitter *splitter_new(const char *patterns, Err *err)
{
    Splitter *splitter = xcalloc(1, sizeof *splitter);
    for (const char *line = patterns;;) {
        size_t length = strcspn(line, "\n");
        if (add_pattern(splitter, line, length, (Stage){0}, err) != STATUS_OK)
            break;
        if (line[length] == '\0')
            return splitter;
        line += length + 1;
    }
    splitter_free(splitter);
    return NULL;
}

static Status read_behavior(const json_t *step, Behavior standard, Behavior *out, Err *err)
{
    const json_t *value = json_object_get(step, "behavior");
    const char *name = json_string_value(value);
    *out = standard;
    if (!value)
        return STATUS_OK;
    for (int i = 0; i < BEHAVIORS && name; i++)
        if (strcmp(name, behavior_names[i]) == 0) {
            *out = (Behavior)i;
            return STATUS_OK;
        }
    return err_set(err, "the pre-tokenizer behavior '%.40s' is not supported", name ? name : "");
}

static Status add_split(Splitter *splitter, const json_t *step, Err *err)
{
    Stage stage = {.invert = text_step_flag(step, "invert", false)};
    TRY(read_behavior(step, ISOLATED, &stage.behavior, err));
    stage.regex = text_step_pattern(step, err);
    return stage.regex ? add_stage(splitter, stage, err) : STATUS_FAIL;
}

static Status add_digits(Splitter *splitter, const json_t *step, Err *err)
{
    bool single = text_step_flag(step, "individual_digits", false);
    return add_pattern(splitter, "\\p{N}", 5, (Stage){.behavior = single ? ISOLATED : CONTIGUOUS},
                       err);
}

static Status add_punctuation(Splitter *splitter, const json_t *step, Err *err)
{
    static const char pattern[] = "[!-/:-@\\[-`{-~\\p{P}]";
    Stage stage = {0};
    TRY(read_behavior(step, ISOLATED, &stage.behavior, err));
    return add_pattern(splitter, pattern, sizeof pattern - 1, stage, err);
}

/* Runs of what a word is made of, and runs of anything else but white space. */
static Status add_whitespace(Splitter *splitter, Err *err)
{
    static const char pattern[] =
        "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}"
        "\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}\\x{200C}\\x{200D}]+|"
        "[^\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}"
        "\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}\\x{200C}\\x{200D}\\s]+";
    return add_pattern(splitter, pattern, sizeof pattern - 1,
                       (Stage){.behavior = REMOVED, .invert = true}, err);
}

static Status add_metaspace(Splitter *splitter, const json_t *step, Err *err)
{
    const json_t *scheme = json_object_get(step, "prepend_scheme");
    const char *name = json_string_value(scheme);
    if (!text_step_is(step, "replacement", TEXT_METASPACE))
        return err_set(err, "the pre-tokenizer Metaspace with a replacement other than U+2581 is "
                            "not supported");
    Stage stage = {.metaspace = true, .prefix = TEXT_METASPACE, .when = PREFIX_ALWAYS};
    if (name && strcmp(name, "first") == 0)
        stage.when = PREFIX_FIRST;
    else if (name && strcmp(name, "never") == 0)
        stage.when = PREFIX_NEVER;
    else if (name && strcmp(name, "always") != 0)
        return err_set(err,
                       "the pre-tokenizer Metaspace with the prepend_scheme '%.40s' is not "
                       "supported",
                       name);
    if (!text_step_flag(step, "add_prefix_space", true))
        stage.when = PREFIX_NEVER;
    if (!text_step_flag(step, "split", true))
        return add_stage(splitter, stage, err);
    stage.behavior = WITH_NEXT;
    return add_pattern(splitter, TEXT_METASPACE, 3, stage, err);
}

/* Pre-tokenizers behind it see letters that stand for bytes. */
static Status add_byte_level(Splitter *splitter, const json_t *step, bool last, Err *err)
{
    Stage stage = {.behavior = ISOLATED};
    if (text_step_flag(step, "add_prefix_space", true)) {
        stage.prefix = " ";
        stage.when = PREFIX_ALWAYS;
    }
    if (text_step_flag(step, "use_regex", true))
        TRY(add_pattern(splitter, text_gpt2_pattern, strlen(text_gpt2_pattern), stage, err));
    else if (stage.prefix)
        TRY(add_stage(splitter, stage, err));
    if (last)
        return STATUS_OK;
    splitter->alphabet = true;
    return add_stage(splitter, (Stage){.alphabet = true}, err);
}

static Status add_step(Splitter *splitter, const json_t *step, bool last, Err *err)
{
    const char *type = text_step_type(step);
    if (strcmp(type, "Split") == 0)
        return add_split(splitter, step, err);
    if (strcmp(type, "Digits") == 0)
        return add_digits(splitter, step, err);
    if (strcmp(type, "Punctuation") == 0)
        return add_punctuation(splitter, step, err);
    if (strcmp(type, "Whitespace") == 0)
        return add_whitespace(splitter, err);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return add_pattern(splitter, "\\s", 2, (Stage){.behavior = REMOVED}, err);
    bool bytes = strcmp(type, "ByteLevel") == 0;
    if (splitter->alphabet && (bytes || strcmp(type, "Metaspace") == 0))
        return err_set(err, "the pre-tokenizer %.60s after ByteLevel is not supported", type);
    if (strcmp(type, "Metaspace") == 0)
        return add_metaspace(splitter, step, err);
    return bytes ? add_byte_level(splitter, step, last, err)
                 : err_set(err, "the pre-tokenizer %.60s is not supported", type);
}

Splitter *splitter_new_steps(const char *steps, Err *err)
{
    json_t *list, *step;
    if (text_steps_load(steps, "pre-tokenizer", &list, err) != STATUS_OK)
        return NULL;
    Splitter *splitter = xcalloc(1, sizeof *splitter);
    Status status = STATUS_OK;
    size_t i;
    json_array_foreach(list, i, step) if (status == STATUS_OK) status =
        add_step(splitter, step, i + 1 == json_array_size(list), err);
    json_decref(list);
    if (status == STATUS_OK)
        return splitter;
    splitter_free(splitter);
    return NULL;
}

void splitter_free(Splitter *splitter)
{
    if (!splitter)
        return;
    for (int i = 0; i < splitter->n_stages; i++)
        regex_free(splitter->stages[i].regex);
    free(splitter);
}

SplitterWork *splitter_work_new(void)
{
    SplitterWork *work = xcalloc(1, sizeof *work);
    work->regex = regex_work_new();
    return work;
}

void splitter_work_free(SplitterWork *work)
{
    if (!work)
        return;
    regex_work_free(work->regex);
    strbuf_clear(&work->bytes);
    for (int i = 0; i < STAGES_MAX; i++)
        strbuf_clear(&work->formed[i]);
    free(work);
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct Run {
    const Splitter *splitter;
    SplitterWork *work;
    PieceFn *fn;
    void *context;
} Run;

/* The piece in the stage's form. */
static const char *formed(const Run *run, int number, const char *text, int64_t *bytes, bool first)
{
    const Stage *stage = &run->splitter->stages[number];
    if (!stage->metaspace && !stage->prefix && !stage->alphabet)
        return text;
    size_t length = stage->prefix ? strlen(stage->prefix) : 0;
    StrBuf *out = &run->work->formed[number];
    bool wanted = stage->when == PREFIX_ALWAYS || (stage->when == PREFIX_FIRST && first);
    bool has =
        !stage->prefix || (*bytes >= (int64_t)length && memcmp(text, stage->prefix, length) == 0);
    has = has || (stage->metaspace && text[0] == ' ');
    strbuf_reset(out);
    if (stage->alphabet) {
        byte_alphabet_write(out, text, *bytes);
        *bytes = out->size;
        return out->data;
    }
    if (wanted && !has)
        strbuf_append(out, stage->prefix, length);
    if (stage->metaspace)
        text_put_metaspace(out, text, *bytes);
    else
        strbuf_append(out, text, (size_t)*bytes);
    *bytes = out->size;
    return out->data;
}

/* Whether a stretch joins the piece before it. */
static bool joins(Behavior behavior, bool match_before, bool match)
{
    switch (behavior) {
    case CONTIGUOUS:
        return match == match_before;
    case WITH_PREVIOUS:
        return match && !match_before;
    case WITH_NEXT:
        return match_before && !match;
    case ISOLATED:
    case REMOVED:
        break;
    }
    return false;
}

/* What the letters of the byte alphabet stand for. */
static void real_bytes(SplitterWork *work, const char **text, int64_t *bytes)
{
    strbuf_reset(&work->bytes);
    if (!byte_alphabet_read(&work->bytes, *text, *bytes))
        return;
    *text = work->bytes.data;
    *bytes = work->bytes.size;
}

static void run_stage(const Run *run, int number, const char *text, int64_t bytes, bool first);

/* The usual stage: each stretch is a piece. */
static void run_isolated(const Run *run, int number, const char *text, int64_t bytes, bool first)
{
    RegexScan scan;
    int64_t begin, end;
    bool match;
    regex_scan_start(&scan, run->splitter->stages[number].regex, run->work->regex, text, bytes);
    while (regex_scan_next(&scan, &begin, &end, &match))
        run_stage(run, number + 1, text + begin, end - begin, first && begin == 0);
}

static void run_stage(const Run *run, int number, const char *text, int64_t bytes, bool first)
{
    if (bytes == 0)
        return;
    if (number == run->splitter->n_stages) {
        if (run->splitter->alphabet)
            real_bytes(run->work, &text, &bytes);
        run->fn(run->context, text, bytes);
        return;
    }
    const Stage *stage = &run->splitter->stages[number];
    if (stage->is_plain) {
        run_isolated(run, number, text, bytes, first);
        return;
    }
    text = formed(run, number, text, &bytes, first);
    if (!stage->regex) {
        run_stage(run, number + 1, text, bytes, first);
        return;
    }
    RegexScan scan;
    int64_t begin, end, start = 0, behind = 0; /* the piece that is being put together */
    bool match, before = false, any = false;
    regex_scan_start(&scan, stage->regex, run->work->regex, text, bytes);
    while (regex_scan_next(&scan, &begin, &end, &match)) {
        match = match != stage->invert;
        if (!any || !joins(stage->behavior, before, match)) {
            if (any)
                run_stage(run, number + 1, text + start, behind - start, first && start == 0);
            start = begin;
        }
        bool dropped = stage->behavior == REMOVED && match;
        any = !dropped;
        behind = end;
        before = match;
    }
    if (any)
        run_stage(run, number + 1, text + start, behind - start, first && start == 0);
}

void splitter_run(const Splitter *splitter, SplitterWork *work, const char *text, int64_t bytes,
                  bool first, PieceFn *fn, void *context)
{
    Run run = {splitter, work, fn, context};
    run_stage(&run, 0, text, bytes, first);
}
