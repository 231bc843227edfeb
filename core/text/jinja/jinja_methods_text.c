/* Methods of texts that make texts of them, or look into them. */
#include <string.h>

#include "core/text/jinja/jinja_run.h"

#define METHOD(name) static JinjaValue name(JinjaRun *run, JinjaValue self, const JinjaArgs *args)

/* Whether an argument stands for Python's None. */
static bool is_none(JinjaValue v)
{
    return !jinja_given(v) || v.kind == JINJA_NONE;
}

/* A text that went through `safe` would escape what is put into it. */
static void check_plain(JinjaRun *run, JinjaValue self, const char *name)
{
    if (self.text->markup)
        jinja_fail(run->work, "the method '%s' of a safe text is not supported", name);
}

/* ---- case and white space -------------------------------------------------------------------- */

METHOD(upper)
{
    (void)args;
    return jinja_of_text(text_case(run->work, self.text, CASE_UPPER));
}

METHOD(lower)
{
    (void)args;
    return jinja_of_text(text_case(run->work, self.text, CASE_LOWER));
}

METHOD(casefold)
{
    (void)args;
    return jinja_of_text(text_case(run->work, self.text, CASE_FOLD));
}

METHOD(swapcase)
{
    (void)args;
    return jinja_of_text(text_case(run->work, self.text, CASE_SWAP));
}

METHOD(capitalize)
{
    return jinja_apply(run, jinja_filter_find("capitalize"), self, args->items, args->named);
}

METHOD(title)
{
    (void)args;
    return jinja_of_text(text_case(run->work, self.text, CASE_WORDS));
}

static JinjaValue strip_by(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool left,
                           bool right)
{
    const JinjaText *set = is_none(args->bound[0]) ? NULL
                                                   : arg_text(run, args->bound[0],
                                                              "what strip "
                                                              "takes off");
    return jinja_of_text(text_strip(run->work, self.text, set, left, right));
}

METHOD(strip)
{
    return strip_by(run, self, args, true, true);
}

METHOD(lstrip)
{
    return strip_by(run, self, args, true, false);
}

METHOD(rstrip)
{
    return strip_by(run, self, args, false, true);
}

static JinjaValue remove_end(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool front)
{
    const JinjaText *part = arg_text(run, args->bound[0], "what is removed"), *text = self.text;
    int64_t at = front ? 0 : text->size - part->size;
    bool there = at >= 0 && text->size >= part->size &&
                 memcmp(text->data + at, part->data, (size_t)part->size) == 0;
    int64_t begin = there && front ? part->size : 0;
    return jinja_of_text(text_slice(run->work, text, begin, there && !front ? at : text->size));
}

METHOD(remove_prefix)
{
    return remove_end(run, self, args, true);
}

METHOD(remove_suffix)
{
    return remove_end(run, self, args, false);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void add_part(JinjaRun *run, JinjaList *list, const JinjaText *text, int64_t begin,
                     int64_t end)
{
    jinja_list_add(run->work, list, jinja_of_text(text_slice(run->work, text, begin, end)));
}

/* By runs of white space; at most `most` cuts. */
static JinjaList *split_space(JinjaRun *run, const JinjaText *text, int64_t most)
{
    JinjaList *list = jinja_list_new(run->work);
    int64_t start = -1;
    uint32_t code;
    for (int64_t i = 0; i < text->size;) {
        int length = text_next(text, i, &code);
        if (!jinja_code_is_space(code)) {
            if (start < 0 && most == 0) {
                const JinjaText *rest = text_slice(run->work, text, i, text->size);
                add_part(run, list, text, i,
                         i + text_strip(run->work, rest, NULL, false, true)->size);
                return list;
            }
            start = start < 0 ? i : start;
        } else if (start >= 0) {
            add_part(run, list, text, start, i);
            most--;
            start = -1;
        }
        i += length;
    }
    if (start >= 0)
        add_part(run, list, text, start, text->size);
    return list;
}

static void turn_round(JinjaList *list)
{
    for (int64_t i = 0; i < list->count / 2; i++) {
        JinjaValue keep = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = keep;
    }
}

/* The same from the right. */
static JinjaList *rsplit_space(JinjaRun *run, const JinjaText *text, int64_t most)
{
    JinjaList *all = split_space(run, text, -1);
    if (most < 0 || all->count <= most + 1)
        return all;
    /* The words before the last `most` stay together, as they stand in the text. */
    const JinjaText *first_cut = all->items[all->count - most].text;
    const JinjaText *head =
        text_slice(run->work, text, 0, most ? first_cut->data - text->data : text->size);
    JinjaList *list = jinja_list_new(run->work);
    const JinjaText *left = text_strip(run->work, head, NULL, false, true);
    jinja_list_add(run->work, list, jinja_of_text(text_strip(run->work, left, NULL, false, true)));
    for (int64_t i = all->count - most; i < all->count; i++)
        jinja_list_add(run->work, list, all->items[i]);
    return list;
}

static JinjaList *split_by(JinjaRun *run, const JinjaText *text, const JinjaText *by, int64_t most)
{
    JinjaList *list = jinja_list_new(run->work);
    int64_t start = 0;
    for (; most != 0; most--) {
        int64_t at = text_find(run->work, text, by, start, text->size, false);
        if (at < 0)
            break;
        add_part(run, list, text, start, at);
        start = at + by->size;
    }
    add_part(run, list, text, start, text->size);
    return list;
}

static JinjaList *rsplit_by(JinjaRun *run, const JinjaText *text, const JinjaText *by, int64_t most)
{
    JinjaList *list = jinja_list_new(run->work);
    int64_t end = text->size;
    for (; most != 0; most--) {
        int64_t at = text_find(run->work, text, by, 0, end, true);
        if (at < 0)
            break;
        add_part(run, list, text, at + by->size, end);
        end = at;
    }
    add_part(run, list, text, 0, end);
    turn_round(list);
    return list;
}

static JinjaValue split_any(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool right)
{
    int64_t most = arg_int(run, args->bound[1], -1, "maxsplit");
    if (is_none(args->bound[0]))
        return jinja_of_list(JINJA_LIST, right ? rsplit_space(run, self.text, most)
                                               : split_space(run, self.text, most));
    const JinjaText *by = arg_text(run, args->bound[0], "what split cuts at");
    if (by->size == 0)
        jinja_fail(run->work, "split at an empty text");
    return jinja_of_list(JINJA_LIST, right ? rsplit_by(run, self.text, by, most)
                                           : split_by(run, self.text, by, most));
}

METHOD(split)
{
    return split_any(run, self, args, false);
}

METHOD(rsplit)
{
    return split_any(run, self, args, true);
}

METHOD(split_lines)
{
    bool ends = arg_truth(run, args->bound[0], false);
    return jinja_of_list(JINJA_LIST, text_lines(run->work, self.text, ends));
}

static JinjaValue divide(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool last)
{
    const JinjaText *by = arg_text(run, args->bound[0], "what partition cuts at");
    const JinjaText *text = self.text;
    if (by->size == 0)
        jinja_fail(run->work, "partition at an empty text");
    int64_t at = text_find(run->work, text, by, 0, text->size, last);
    int64_t cut = at >= 0 ? at : last ? 0 : text->size, behind = at >= 0 ? at + by->size : cut;
    JinjaList *list = jinja_list_new(run->work);
    add_part(run, list, text, 0, cut);
    add_part(run, list, text, cut, behind);
    add_part(run, list, text, behind, text->size);
    return jinja_of_list(JINJA_TUPLE, list);
}

METHOD(partition)
{
    return divide(run, self, args, false);
}

METHOD(rpartition)
{
    return divide(run, self, args, true);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The bytes that start and end mean; false when start is behind the text. */
static bool range_of(JinjaRun *run, const JinjaText *text, JinjaValue start, JinjaValue end,
                     int64_t *from, int64_t *to)
{
    int64_t n = text->chars;
    int64_t a = is_none(start) ? 0 : arg_int(run, start, 0, "a place in a text");
    int64_t b = is_none(end) ? n : arg_int(run, end, n, "a place in a text");
    a += a < 0 ? n : 0;
    b += b < 0 ? n : 0;
    a = a < 0 ? 0 : a;
    b = b < 0 ? 0 : b > n ? n : b;
    if (a > n)
        return false;
    *from = text_byte_of(run->work, text, a);
    *to = text_byte_of(run->work, text, b);
    return true;
}

static int64_t place(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool last)
{
    int64_t from, to;
    const JinjaText *part = arg_text(run, args->bound[0], "what is looked for");
    if (!range_of(run, self.text, args->bound[1], args->bound[2], &from, &to))
        return -1;
    int64_t at = text_find(run->work, self.text, part, from, to, last);
    return at < 0 ? -1 : text_char_of(self.text, at);
}

METHOD(find)
{
    return jinja_int(place(run, self, args, false));
}

METHOD(rfind)
{
    return jinja_int(place(run, self, args, true));
}

static JinjaValue must_find(JinjaRun *run, int64_t at)
{
    if (at < 0)
        jinja_fail(run->work, "substring not found");
    return jinja_int(at);
}

METHOD(text_index)
{
    return must_find(run, place(run, self, args, false));
}

METHOD(text_rindex)
{
    return must_find(run, place(run, self, args, true));
}

METHOD(count)
{
    int64_t from, to, n = 0;
    const JinjaText *part = arg_text(run, args->bound[0], "what is counted");
    if (!range_of(run, self.text, args->bound[1], args->bound[2], &from, &to))
        return jinja_int(0);
    if (part->size == 0)
        return jinja_int(
            to < from ? 0 : text_char_of(self.text, to) - text_char_of(self.text, from) + 1);
    while ((from = text_find(run->work, self.text, part, from, to, false)) >= 0) {
        from += part->size;
        n++;
    }
    return jinja_int(n);
}

static bool has_end(const JinjaText *text, int64_t from, int64_t to, const JinjaText *part,
                    bool front)
{
    int64_t at = front ? from : to - part->size;
    return to - from >= part->size && memcmp(text->data + at, part->data, (size_t)part->size) == 0;
}

/* One text, or any of a tuple of them. */
static JinjaValue ends(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool front)
{
    int64_t from, to;
    bool fits = false;
    JinjaValue parts = args->bound[0];
    if (!range_of(run, self.text, args->bound[1], args->bound[2], &from, &to))
        return jinja_bool(false);
    if (parts.kind != JINJA_TUPLE)
        return jinja_bool(has_end(self.text, from, to,
                                  arg_text(run, parts, "what a text begins or ends with"), front));
    for (int64_t i = 0; i < parts.list->count && !fits; i++)
        fits =
            has_end(self.text, from, to,
                    arg_text(run, parts.list->items[i], "what a text begins or ends with"), front);
    return jinja_bool(fits);
}

METHOD(starts_with)
{
    return ends(run, self, args, true);
}

METHOD(ends_with)
{
    return ends(run, self, args, false);
}

/* ---- putting together ------------------------------------------------------------------------ */

METHOD(replace)
{
    check_plain(run, self, "replace");
    return jinja_of_text(text_replace(run->work, self.text,
                                      arg_text(run, args->bound[0], "what is replaced"),
                                      arg_text(run, args->bound[1], "the replacement"),
                                      arg_int(run, args->bound[2], -1, "the count of replace")));
}

METHOD(join)
{
    check_plain(run, self, "join");
    const JinjaList *list = jinja_items(run->work, args->bound[0]);
    JinjaBuild b = build_new(run->work, NULL);
    for (int64_t i = 0; i < list->count; i++) {
        if (i > 0)
            build_text(&b, self.text);
        build_text(&b, arg_text(run, list->items[i], "what is joined"));
    }
    return jinja_of_text(build_done(&b));
}

METHOD(format)
{
    check_plain(run, self, "format");
    return jinja_of_text(jinja_braces(run, self.text, args));
}

static const JinjaText *fill_of(JinjaRun *run, JinjaValue v)
{
    if (!jinja_given(v))
        return NULL;
    const JinjaText *fill = arg_text(run, v, "the fill character");
    if (fill->chars != 1)
        jinja_fail(run->work, "the fill character is exactly one character");
    return fill;
}

static JinjaValue pad(JinjaRun *run, JinjaValue self, const JinjaArgs *args, int side)
{
    int64_t width = arg_int(run, args->bound[0], 0, "the width");
    int64_t space = width - self.text->chars;
    const JinjaText *fill = fill_of(run, args->bound[1]);
    if (space <= 0)
        return self;
    int64_t left = side < 0 ? 0 : side > 0 ? space : space / 2 + (space & width & 1);
    return jinja_of_text(text_pad(run->work, self.text, left, space - left, fill));
}

METHOD(ljust)
{
    return pad(run, self, args, -1);
}

METHOD(rjust)
{
    return pad(run, self, args, 1);
}

METHOD(center)
{
    return pad(run, self, args, 0);
}

METHOD(zfill)
{
    const JinjaText *text = self.text;
    int64_t zeros = arg_int(run, args->bound[0], 0, "the width") - text->chars;
    bool sign = text->size > 0 && (text->data[0] == '-' || text->data[0] == '+');
    JinjaBuild b = build_new(run->work, NULL);
    build_slice(&b, text, 0, sign);
    for (; zeros > 0; zeros--)
        build_puts(&b, "0", false);
    build_slice(&b, text, sign, text->size);
    return jinja_of_text(build_done(&b));
}

const JinjaEntry jinja_text_methods[] = {
    {"upper", upper, "", 0},
    {"lower", lower, "", 0},
    {"casefold", casefold, "", 0},
    {"swapcase", swapcase, "", 0},
    {"capitalize", capitalize, "", 0},
    {"title", title, "", 0},
    {"strip", strip, "chars", 0},
    {"lstrip", lstrip, "chars", 0},
    {"rstrip", rstrip, "chars", 0},
    {"removeprefix", remove_prefix, "prefix", 1},
    {"removesuffix", remove_suffix, "suffix", 1},
    {"split", split, "sep,maxsplit", 0},
    {"rsplit", rsplit, "sep,maxsplit", 0},
    {"splitlines", split_lines, "keepends", 0},
    {"partition", partition, "sep", 1},
    {"rpartition", rpartition, "sep", 1},
    {"find", find, "sub,start,end", 1},
    {"rfind", rfind, "sub,start,end", 1},
    {"index", text_index, "sub,start,end", 1},
    {"rindex", text_rindex, "sub,start,end", 1},
    {"count", count, "sub,start,end", 1},
    {"startswith", starts_with, "prefix,start,end", 1},
    {"endswith", ends_with, "suffix,start,end", 1},
    {"replace", replace, "old,new,count", 2},
    {"join", join, "iterable", 1},
    {"format", format, NULL, 0},
    {"ljust", ljust, "width,fillchar", 1},
    {"rjust", rjust, "width,fillchar", 1},
    {"center", center, "width,fillchar", 1},
    {"zfill", zfill, "width", 1},
    {0},
};
