/* Filters that make texts of texts. */
#include <string.h>

#include "core/text/jinja/jinja_run.h"

#define FILTER(name) static JinjaValue name(JinjaRun *run, JinjaValue self, const JinjaArgs *args)

/* A new text that is markup when the old one was. */
static JinjaValue like(JinjaText *text, const JinjaText *old)
{
    text->markup = old->markup;
    return jinja_of_text(text);
}

FILTER(trim)
{
    JinjaText *text = jinja_str(run->work, self), *set = NULL;
    if (jinja_given(args->bound[0]) && args->bound[0].kind != JINJA_NONE)
        set = arg_text(run, args->bound[0], "what trim takes off");
    return jinja_of_text(text_strip(run->work, text, set, true, true));
}

FILTER(upper)
{
    (void)args;
    return jinja_of_text(text_case(run->work, jinja_str(run->work, self), CASE_UPPER));
}

FILTER(lower)
{
    (void)args;
    return jinja_of_text(text_case(run->work, jinja_str(run->work, self), CASE_LOWER));
}

static void put_capitalised(JinjaBuild *b, const JinjaText *text, int64_t begin, int64_t end,
                            TextCase first)
{
    uint32_t code;
    int64_t next = begin < end ? begin + text_next(text, begin, &code) : end;
    build_case(b, text, begin, next, first);
    build_case(b, text, next, end, CASE_LOWER);
}

FILTER(capitalize)
{
    (void)args;
    const JinjaText *text = jinja_str(run->work, self);
    JinjaBuild b = build_new(run->work, NULL);
    put_capitalised(&b, text, 0, text->size, CASE_TITLE);
    return like(build_done(&b), text);
}

/* Words begin behind white space, hyphens and opening brackets. */
FILTER(title)
{
    (void)args;
    const JinjaText *text = jinja_str(run->work, self);
    JinjaBuild b = build_new(run->work, NULL);
    int64_t start = 0;
    bool in_break = true;
    uint32_t code;
    for (int64_t i = 0; i < text->size;) {
        int length = text_next(text, i, &code);
        bool is_break =
            jinja_code_is_space(code) || (code < 0x80 && code && strchr("-({[<", (int)code));
        if (i > 0 && is_break != in_break) {
            put_capitalised(&b, text, start, i, CASE_UPPER);
            start = i;
        }
        in_break = is_break;
        i += length;
    }
    put_capitalised(&b, text, start, text->size, CASE_UPPER);
    return jinja_of_text(build_done(&b));
}

FILTER(replace)
{
    int64_t count = args->bound[2].kind == JINJA_NONE
                        ? -1
                        : arg_int(run, args->bound[2], -1, "the count of replace");
    return jinja_of_text(text_replace(run->work, jinja_str(run->work, self),
                                      jinja_str(run->work, args->bound[0]),
                                      jinja_str(run->work, args->bound[1]), count));
}

static JinjaText *indentation(JinjaRun *run, JinjaValue width)
{
    if (width.kind == JINJA_TEXT)
        return width.text;
    JinjaBuild b = build_new(run->work, NULL);
    build_spaces(&b, arg_int(run, width, 4, "the width of indent"));
    return build_done(&b);
}

FILTER(indent)
{
    const JinjaText *text = arg_text(run, self, "what indent indents");
    const JinjaText *space = indentation(run, args->bound[0]);
    bool first = arg_truth(run, args->bound[1], false);
    bool blank = arg_truth(run, args->bound[2], false);
    JinjaBuild b = build_new(run->work, text), out = build_new(run->work, NULL);
    build_puts(&b, "\n", false); /* as Jinja does: a line end at the end stays */
    const JinjaList *lines = text_lines(run->work, build_done(&b), false);
    for (int64_t i = 0; i < lines->count; i++) {
        const JinjaText *line = lines->items[i].text;
        if (i > 0)
            build_puts(&out, "\n", false);
        if (i == 0 ? first : blank || line->size > 0)
            build_text(&out, space);
        build_text(&out, line);
    }
    return like(build_done(&out), text);
}

FILTER(center)
{
    const JinjaText *text = jinja_str(run->work, self);
    int64_t space = arg_int(run, args->bound[0], 80, "the width of center") - text->chars;
    if (space <= 0)
        return jinja_of_text(text_slice(run->work, text, 0, text->size));
    int64_t left = space / 2 + (space & (space + text->chars) & 1);
    return like(text_pad(run->work, text, left, space - left, NULL), text);
}

FILTER(truncate)
{
    const JinjaText *end = jinja_given(args->bound[2])
                               ? arg_text(run, args->bound[2], "the end of truncate")
                               : text_of(run->work, "...", 3, false);
    int64_t length = arg_int(run, args->bound[0], 255, "the length of truncate");
    int64_t leeway = args->bound[3].kind == JINJA_NONE
                         ? 5
                         : arg_int(run, args->bound[3], 5, "the leeway of truncate");
    if (length < end->chars || leeway < 0)
        jinja_fail(run->work, "truncate to less than its end");
    if (jinja_length(run->work, self) - leeway <= length)
        return self;
    const JinjaText *text = arg_text(run, self, "what truncate shortens");
    int64_t cut = text_byte_of(run->work, text, length - end->chars);
    if (!arg_truth(run, args->bound[1], false)) {
        const JinjaText space = {.data = " ", .size = 1, .chars = 1};
        int64_t at = text_find(run->work, text, &space, 0, cut, true);
        cut = at >= 0 ? at : cut;
    }
    JinjaBuild b = build_new(run->work, NULL);
    build_slice(&b, text, 0, cut);
    build_text(&b, end);
    return jinja_of_text(build_done(&b));
}

FILTER(word_count)
{
    (void)args;
    const JinjaText *text = jinja_str(run->work, self);
    int64_t words = 0;
    bool within = false;
    uint32_t code;
    for (int64_t i = 0; i < text->size;) {
        i += text_next(text, i, &code);
        words += !within && jinja_code_is_word(code);
        within = jinja_code_is_word(code);
    }
    return jinja_int(words);
}

FILTER(string)
{
    (void)args;
    return jinja_of_text(jinja_str(run->work, self));
}

JinjaText *jinja_escape(JinjaWork *work, const JinjaText *text)
{
    JinjaBuild b = build_new(work, NULL);
    int64_t span = 0, start = 0;
    for (int64_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        const char *entity = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '"'  ? "&#34;"
                             : c == '\'' ? "&#39;"
                                         : NULL;
        if (!entity)
            continue;
        build_slice(&b, text, start, i);
        build_puts(&b, entity, text_plain_at(text, i, &span));
        start = i + 1;
    }
    build_slice(&b, text, start, text->size);
    JinjaText *out = build_done(&b);
    out->markup = true;
    return out;
}

FILTER(escape)
{
    (void)args;
    JinjaText *text = jinja_str(run->work, self);
    return jinja_of_text(text->markup ? text : jinja_escape(run->work, text));
}

FILTER(force_escape)
{
    (void)args;
    return jinja_of_text(jinja_escape(run->work, jinja_str(run->work, self)));
}

FILTER(safe)
{
    (void)args;
    const JinjaText *text = jinja_str(run->work, self);
    JinjaText *out = text_slice(run->work, text, 0, text->size);
    out->markup = true;
    return jinja_of_text(out);
}

FILTER(format)
{
    if (args->named->count > 0 && args->items->count > 0)
        jinja_fail(run->work, "format takes arguments by place or by name, not both");
    JinjaValue values = args->named->count > 0 ? jinja_of_dict(args->named)
                                               : jinja_of_list(JINJA_TUPLE, args->items);
    return jinja_of_text(jinja_percent(run, jinja_str(run->work, self), values));
}

const JinjaEntry jinja_text_filters[] = {
    {"trim", trim, "chars", 0},
    {"upper", upper, "", 0},
    {"lower", lower, "", 0},
    {"capitalize", capitalize, "", 0},
    {"title", title, "", 0},
    {"replace", replace, "old,new,count", 2},
    {"indent", indent, "width,first,blank", 0},
    {"center", center, "width", 0},
    {"truncate", truncate, "length,killwords,end,leeway", 0},
    {"wordcount", word_count, "", 0},
    {"string", string, "", 0},
    {"escape", escape, "", 0},
    {"e", escape, "", 0},
    {"forceescape", force_escape, "", 0},
    {"safe", safe, "", 0},
    {"format", format, NULL, 0},
    {0},
};
