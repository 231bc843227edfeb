#include "core/text/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/text/char_class.h"
#include "core/text/nfc.h"
#include "core/text/text_step.h"
#include "core/text/utf8.h"

enum { STEPS_MAX = 32, CAPITAL_I_DOT = 0x130, DOT_ABOVE = 0x307 };

typedef struct Step Step;
typedef void StepFn(const Step *step, const TaggedText *in, TaggedText *out);

struct Step {
    StepFn *run;
    UnicodeForm form;
    Regex *regex; /* Replace */
    char *text;   /* Prepend, Replace: what is put there; owned */
    bool left, right;
};

struct Normalizer {
    Step steps[STEPS_MAX];
    int n_steps;
};

/* ---- the steps ------------------------------------------------------------------------------- */

static void copy(const TaggedText *in, int64_t begin, int64_t end, TaggedText *out)
{
    strbuf_append(&out->text, in->text.data + begin, (size_t)(end - begin));
    strbuf_append(&out->tags, in->tags.data + begin, (size_t)(end - begin));
}

static void put(TaggedText *out, const char *text, size_t bytes, char tag)
{
    strbuf_append(&out->text, text, bytes);
    for (size_t i = 0; i < bytes; i++)
        strbuf_putc(&out->tags, tag);
}

static void run_form(const Step *step, const TaggedText *in, TaggedText *out)
{
    unicode_form_append(&out->text, in->text.data, in->text.size, step->form, in->tags.data,
                        &out->tags);
}

static void put_code(TaggedText *out, uint32_t code, char tag)
{
    char utf8[UTF8_MAX];
    put(out, utf8, (size_t)utf8_encode(code, utf8), tag);
}

/* Character by character: no final sigma. One capital becomes two characters. */
static void run_lowercase(const Step *step, const TaggedText *in, TaggedText *out)
{
    (void)step;
    for (int64_t i = 0; i < in->text.size;) {
        int length = utf8_length(in->text.data[i]);
        uint32_t code = utf8_code(in->text.data + i, length);
        put_code(out, code == CAPITAL_I_DOT ? 'i' : (uint32_t)utf8proc_tolower((int32_t)code),
                 in->tags.data[i]);
        if (code == CAPITAL_I_DOT)
            put_code(out, DOT_ABOVE, in->tags.data[i]);
        i += length;
    }
}

static void run_strip(const Step *step, const TaggedText *in, TaggedText *out)
{
    int64_t end = in->text.size;
    int64_t begin = step->left ? char_spaces_before(in->text.data, end) : 0;
    if (step->right)
        end -= char_spaces_behind(in->text.data + begin, end - begin);
    copy(in, begin, end, out);
}

static void run_strip_accents(const Step *step, const TaggedText *in, TaggedText *out)
{
    (void)step;
    for (int64_t i = 0; i < in->text.size;) {
        int length = utf8_length(in->text.data[i]);
        utf8proc_category_t category =
            utf8proc_category((int32_t)utf8_code(in->text.data + i, length));
        if (category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME)
            copy(in, i, i + length, out);
        i += length;
    }
}

static void run_prepend(const Step *step, const TaggedText *in, TaggedText *out)
{
    if (in->text.size > 0)
        put(out, step->text, strlen(step->text), in->tags.data[0]);
    copy(in, 0, in->text.size, out);
}

static void run_replace(const Step *step, const TaggedText *in, TaggedText *out)
{
    RegexWork *work = regex_work_new();
    RegexScan scan;
    int64_t begin, end;
    bool match;
    regex_scan_start(&scan, step->regex, work, in->text.data, in->text.size);
    while (regex_scan_next(&scan, &begin, &end, &match)) {
        if (match)
            put(out, step->text, strlen(step->text), in->tags.data[begin]);
        else
            copy(in, begin, end, out);
    }
    regex_work_free(work);
}

/* ---- making ---------------------------------------------------------------------------------- */

static Status text_member(const json_t *step, const char *name, char **out, Err *err)
{
    const json_t *value = json_object_get(step, name);
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return err_set(err, "the normalizer %.60s without a text to put in", text_step_type(step));
    *out = xstrdup(json_string_value(value));
    return STATUS_OK;
}

static Status read_replace(const json_t *json, Step *step, Err *err)
{
    step->run = run_replace;
    TRY(text_member(json, "content", &step->text, err));
    step->regex = text_step_pattern(json, err);
    if (!step->regex)
        return STATUS_FAIL;
    if (regex_matches_nothing(step->regex))
        return err_set(err, "the normalizer Replace with a pattern that matches the empty text is "
                            "not supported");
    return STATUS_OK;
}

static Status read_step(const json_t *json, Step *step, Err *err)
{
    static const char *const forms[] = {
        [FORM_C] = "NFC", [FORM_D] = "NFD", [FORM_KC] = "NFKC", [FORM_KD] = "NFKD"};
    const char *type = text_step_type(json);
    *step = (Step){.left = text_step_flag(json, "strip_left", true),
                   .right = text_step_flag(json, "strip_right", true)};
    for (int i = 0; i < 4; i++)
        if (strcmp(type, forms[i]) == 0) {
            step->form = (UnicodeForm)i;
            step->run = run_form;
            return STATUS_OK;
        }
    if (strcmp(type, "Replace") == 0)
        return read_replace(json, step, err);
    if (strcmp(type, "Lowercase") == 0)
        step->run = run_lowercase;
    else if (strcmp(type, "Strip") == 0)
        step->run = run_strip;
    else if (strcmp(type, "StripAccents") == 0)
        step->run = run_strip_accents;
    else if (strcmp(type, "Prepend") == 0)
        step->run = run_prepend;
    else
        return err_set(err, "the normalizer %.60s is not supported", type);
    return step->run == run_prepend ? text_member(json, "prepend", &step->text, err) : STATUS_OK;
}

Normalizer *normalizer_new(const char *steps, Err *err)
{
    json_t *list, *json;
    if (text_steps_load(steps, "normalizer", &list, err) != STATUS_OK)
        return NULL;
    Normalizer *normalizer = xcalloc(1, sizeof *normalizer);
    Status status = STATUS_OK;
    if (json_array_size(list) > STEPS_MAX)
        status = err_set(err, "the normalizer has more than %d steps", STEPS_MAX);
    size_t i;
    json_array_foreach(list, i, json)
    {
        if (status == STATUS_OK)
            status = read_step(json, &normalizer->steps[normalizer->n_steps++], err);
    }
    json_decref(list);
    if (status == STATUS_OK)
        return normalizer;
    normalizer_free(normalizer);
    return NULL;
}

void normalizer_free(Normalizer *normalizer)
{
    if (!normalizer)
        return;
    for (int i = 0; i < normalizer->n_steps; i++) {
        regex_free(normalizer->steps[i].regex);
        free(normalizer->steps[i].text);
    }
    free(normalizer);
}

void tagged_text_clear(TaggedText *text)
{
    strbuf_clear(&text->text);
    strbuf_clear(&text->tags);
}

void normalizer_run(const Normalizer *normalizer, TaggedText *text)
{
    for (int i = 0; i < normalizer->n_steps && text->text.size > 0; i++) {
        TaggedText out = {0};
        normalizer->steps[i].run(&normalizer->steps[i], text, &out);
        tagged_text_clear(text);
        *text = out;
    }
}
