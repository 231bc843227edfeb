#include "core/text/jinja/jinja_text.h"

#include <string.h>

#include "core/text/utf8.h"

enum { NO_CHARACTER = 0x110000 };

/* ---- building -------------------------------------------------------------------------------- */

static bool can_go_on(const JinjaText *text)
{
    const JinjaRoom *room = text->room;
    return room && text->data == room->data && text->size == room->size &&
           text->plain == room->plain && text->n_plain == room->n_plain;
}

JinjaBuild build_new(JinjaWork *work, const JinjaText *first)
{
    JinjaBuild build = {.work = work};
    if (first && can_go_on(first)) {
        build.room = first->room;
        build.size = first->size;
        build.chars = first->chars;
        build.n_plain = build.borrowed = first->n_plain;
        return build;
    }
    build.room = jinja_take(work, sizeof *build.room);
    if (first)
        build_text(&build, first);
    return build;
}

static void add_span(JinjaBuild *b, int64_t begin, int64_t end)
{
    JinjaRoom *room = b->room;
    if (b->n_plain > b->borrowed && room->plain[b->n_plain - 1].end == begin) {
        room->plain[b->n_plain - 1].end = end;
        return;
    }
    room->plain = jinja_grow(b->work, room->plain, room->n_plain, &room->plain_capacity,
                             room->n_plain + 1, sizeof *room->plain);
    room->plain[room->n_plain++] = (TextSpan){begin, end};
    b->n_plain++;
}

/* Room for `bytes` more, and a zero. */
static void reserve(JinjaBuild *b, int64_t bytes)
{
    JinjaRoom *room = b->room;
    jinja_charge(b->work, 1 + bytes / 64);
    if (bytes > b->work->max_bytes)
        jinja_take(b->work, bytes);
    room->data =
        jinja_grow(b->work, room->data, room->size, &room->capacity, room->size + bytes + 1, 1);
}

static void put(JinjaBuild *b, const char *text, int64_t bytes)
{
    reserve(b, bytes);
    if (bytes > 0)
        memcpy(b->room->data + b->room->size, text, (size_t)bytes);
    b->room->size += bytes;
    b->room->data[b->room->size] = '\0';
    b->size += bytes;
}

static int next_char(const char *text, int64_t bytes, uint32_t *code)
{
    int length = utf8_decode(text, bytes, code);
    if (length > 0)
        return length;
    *code = NO_CHARACTER + (uint8_t)text[0];
    return 1;
}

static int64_t count_chars(const char *text, int64_t bytes)
{
    int64_t chars = 0;
    uint32_t code;
    for (int64_t i = 0; i < bytes; chars++)
        i += next_char(text + i, bytes - i, &code);
    return chars;
}

/* Bytes without a mark. Characters are whole within what is put at once. */
static void put_counted(JinjaBuild *b, const char *text, int64_t bytes)
{
    put(b, text, bytes);
    b->chars += count_chars(text, bytes);
}

void build_bytes(JinjaBuild *b, const char *text, int64_t bytes, bool plain)
{
    int64_t begin = b->size;
    put_counted(b, text, bytes);
    if (plain && bytes > 0)
        add_span(b, begin, b->size);
}

void build_puts(JinjaBuild *b, const char *text, bool plain)
{
    build_bytes(b, text, (int64_t)strlen(text), plain);
}

void build_code(JinjaBuild *b, uint32_t code, bool plain)
{
    char bytes[UTF8_MAX] = {(char)(uint8_t)(code - NO_CHARACTER)};
    int length = code >= NO_CHARACTER ? 1 : utf8_encode(code, bytes);
    build_bytes(b, bytes, length, plain);
}

/* The first span that ends after `at`. */
static int64_t first_span(const JinjaText *text, int64_t at)
{
    int64_t low = 0, high = text->n_plain;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (text->plain[middle].end <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void build_slice(JinjaBuild *b, const JinjaText *text, int64_t begin, int64_t end)
{
    if (end <= begin)
        return;
    int64_t shift = b->size - begin;
    if (begin == 0 && end == text->size) {
        put(b, text->data, end);
        b->chars += text->chars;
    } else {
        put_counted(b, text->data + begin, end - begin);
    }
    for (int64_t i = first_span(text, begin); i < text->n_plain && text->plain[i].begin < end;
         i++) {
        TextSpan span = text->plain[i];
        add_span(b, (span.begin > begin ? span.begin : begin) + shift,
                 (span.end < end ? span.end : end) + shift);
    }
}

void build_text(JinjaBuild *b, const JinjaText *text)
{
    build_slice(b, text, 0, text->size);
}

void build_spaces(JinjaBuild *b, int64_t count)
{
    if (count <= 0)
        return;
    reserve(b, count);
    memset(b->room->data + b->room->size, ' ', (size_t)count);
    b->room->size += count;
    b->room->data[b->room->size] = '\0';
    b->size += count;
    b->chars += count;
}

JinjaText *build_done(JinjaBuild *b)
{
    JinjaText *text = jinja_take(b->work, sizeof *text);
    if (!b->room->data)
        reserve(b, 0);
    *text = (JinjaText){.data = b->room->data,
                        .size = b->size,
                        .chars = b->chars,
                        .plain = b->room->plain,
                        .n_plain = b->n_plain,
                        .room = b->room};
    return text;
}

JinjaText *text_of(JinjaWork *work, const char *text, int64_t bytes, bool plain)
{
    JinjaText *out = jinja_take(work, sizeof *out);
    *out = (JinjaText){
        .data = jinja_keep(work, text, bytes), .size = bytes, .chars = count_chars(text, bytes)};
    if (plain && bytes > 0) {
        TextSpan *span = jinja_take(work, sizeof *span);
        *span = (TextSpan){0, bytes};
        out->plain = span;
        out->n_plain = 1;
    }
    return out;
}

JinjaValue text_value(JinjaWork *work, const char *text)
{
    return jinja_of_text(text_of(work, text, (int64_t)strlen(text), false));
}

JinjaText *text_slice(JinjaWork *work, const JinjaText *text, int64_t begin, int64_t end)
{
    JinjaText *out = jinja_take(work, sizeof *out);
    if (end < begin)
        end = begin;
    *out = (JinjaText){.data = text->data + begin, .size = end - begin, .markup = text->markup};
    bool ascii = text->chars == text->size;
    out->chars = ascii ? out->size : count_chars(out->data, out->size);
    jinja_charge(work, 1 + out->size / 64);
    int64_t from = first_span(text, begin), to = from;
    while (to < text->n_plain && text->plain[to].begin < end)
        to++;
    if (to == from || end == begin)
        return out;
    TextSpan *spans = jinja_take(work, (to - from) * (int64_t)sizeof *spans);
    for (int64_t i = from; i < to; i++) {
        TextSpan span = text->plain[i];
        spans[i - from] = (TextSpan){(span.begin > begin ? span.begin : begin) - begin,
                                     (span.end < end ? span.end : end) - begin};
    }
    out->plain = spans;
    out->n_plain = to - from;
    return out;
}

/* ---- places ---------------------------------------------------------------------------------- */

bool text_plain_at(const JinjaText *text, int64_t at, int64_t *span)
{
    while (*span < text->n_plain && text->plain[*span].end <= at)
        ++*span;
    return *span < text->n_plain && text->plain[*span].begin <= at;
}

int text_next(const JinjaText *text, int64_t at, uint32_t *code)
{
    return next_char(text->data + at, text->size - at, code);
}

int64_t text_byte_of(JinjaWork *work, const JinjaText *text, int64_t index)
{
    if (text->chars == text->size)
        return index;
    jinja_charge(work, 1 + index / 64);
    int64_t at = 0;
    uint32_t code;
    for (int64_t i = 0; i < index; i++)
        at += text_next(text, at, &code);
    return at;
}

int64_t text_char_of(const JinjaText *text, int64_t byte)
{
    return text->chars == text->size ? byte : count_chars(text->data, byte);
}

int64_t text_find(JinjaWork *work, const JinjaText *text, const JinjaText *part, int64_t from,
                  int64_t to, bool last)
{
    jinja_charge(work, 1 + (to > from ? to - from : 0) / 64);
    if (to - from < part->size)
        return -1;
    if (part->size == 0)
        return last ? to : from;
    if (!last) {
        const char *at =
            memmem(text->data + from, (size_t)(to - from), part->data, (size_t)part->size);
        return at ? at - text->data : -1;
    }
    for (int64_t i = to - part->size; i >= from; i--)
        if (text->data[i] == part->data[0] &&
            memcmp(text->data + i, part->data, (size_t)part->size) == 0)
            return i;
    return -1;
}

bool text_same(const JinjaText *a, const JinjaText *b)
{
    return a->size == b->size && memcmp(a->data, b->data, (size_t)a->size) == 0;
}

bool text_is(const JinjaText *text, const char *other)
{
    return text->size == (int64_t)strlen(other) &&
           memcmp(text->data, other, (size_t)text->size) == 0;
}

int text_compare(const JinjaText *a, const JinjaText *b)
{
    int64_t common = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->data, b->data, (size_t)common);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* ---- changes --------------------------------------------------------------------------------- */

static bool is_among(const JinjaText *set, uint32_t code)
{
    uint32_t one;
    for (int64_t i = 0; set && i < set->size;) {
        i += text_next(set, i, &one);
        if (one == code)
            return true;
    }
    return !set && jinja_code_is_space(code);
}

JinjaText *text_strip(JinjaWork *work, const JinjaText *text, const JinjaText *set, bool left,
                      bool right)
{
    int64_t begin = 0, end = 0;
    uint32_t code;
    bool leading = left;
    jinja_charge(work, 1 + text->size / 16);
    for (int64_t i = 0; i < text->size;) {
        int length = text_next(text, i, &code);
        bool goes = is_among(set, code);
        if (leading && goes)
            begin = i + length;
        else
            leading = false;
        if (!goes)
            end = i + length;
        i += length;
    }
    if (!right || end < begin)
        end = right ? begin : text->size;
    return text_slice(work, text, begin, end);
}

/* An empty `old` is found before every character and at the end. */
static JinjaText *put_between(JinjaWork *work, const JinjaText *text, const JinjaText *new,
                              int64_t count)
{
    JinjaBuild build = build_new(work, NULL);
    uint32_t code;
    int64_t at = 0;
    for (; at < text->size && count != 0; count--) {
        int length = text_next(text, at, &code);
        build_text(&build, new);
        build_slice(&build, text, at, at + length);
        at += length;
    }
    if (count != 0)
        build_text(&build, new);
    build_slice(&build, text, at, text->size);
    return build_done(&build);
}

JinjaText *text_replace(JinjaWork *work, const JinjaText *text, const JinjaText *old,
                        const JinjaText *new, int64_t count)
{
    if (old->size == 0)
        return put_between(work, text, new, count);
    JinjaBuild build = build_new(work, NULL);
    int64_t at = 0;
    for (; count != 0; count--) {
        int64_t found = text_find(work, text, old, at, text->size, false);
        if (found < 0)
            break;
        build_slice(&build, text, at, found);
        build_text(&build, new);
        at = found + old->size;
    }
    build_slice(&build, text, at, text->size);
    return build_done(&build);
}

JinjaList *text_lines(JinjaWork *work, const JinjaText *text, bool ends)
{
    JinjaList *lines = jinja_list_new(work);
    int64_t start = 0;
    uint32_t code;
    for (int64_t i = 0; i < text->size;) {
        int64_t end = i;
        i += text_next(text, i, &code);
        if (!jinja_code_is_line_end(code) && i < text->size)
            continue;
        if (!jinja_code_is_line_end(code))
            end = i;
        else if (code == '\r' && i < text->size && text->data[i] == '\n')
            i++;
        jinja_list_add(work, lines, jinja_of_text(text_slice(work, text, start, ends ? i : end)));
        start = i;
    }
    return lines;
}

JinjaText *text_pad(JinjaWork *work, const JinjaText *text, int64_t left, int64_t right,
                    const JinjaText *fill)
{
    JinjaBuild build = build_new(work, NULL);
    if (!fill)
        build_spaces(&build, left);
    for (int64_t i = 0; fill && i < left; i++)
        build_text(&build, fill);
    build_text(&build, text);
    if (!fill)
        build_spaces(&build, right);
    for (int64_t i = 0; fill && i < right; i++)
        build_text(&build, fill);
    return build_done(&build);
}
