#include "core/text/nfc.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

enum {
    FIRST_MARK = 0x300,
    JAMO = 0x1100,
    JAMO_END = 0x1200,
    CLASSES = 256,
    LONGEST = 32, /* code points of a decomposition; canonical ones have four at most */
};

enum { SYLLABLE = 0xAC00, SYLLABLE_END = 0xD7A4, NO_DECOMPOSITION = UINT16_MAX };

/* Code points that are being decomposed, ordered and composed; grows as needed. */
typedef struct NfcWork {
    utf8proc_int32_t *points, *sorted;
    int64_t count, capacity, sorted_capacity;
    UnicodeForm form;
} NfcWork;

static int combining_class(utf8proc_int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Whether a character that has a decomposition is what that decomposition composes to. */
static bool composes_back(utf8proc_int32_t c)
{
    utf8proc_int32_t points[LONGEST];
    int bound = 0;
    int64_t count =
        utf8proc_decompose_char(c, points, LONGEST, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &bound);
    count = utf8proc_normalize_utf32(points, count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return count == 1 && points[0] == c;
}

/* Whether the character stays as it is and joins nothing before it: then texts may be cut there. */
static bool is_plain(uint32_t c)
{
    if (c < FIRST_MARK)
        return true;
    if (c >= JAMO && c < JAMO_END)
        return false;
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
    bool mark =
        property->category >= UTF8PROC_CATEGORY_MN && property->category <= UTF8PROC_CATEGORY_ME;
    if (mark || property->combining_class != 0)
        return false;
    bool decomposes = property->decomp_type == 0 && property->decomp_seqindex != UINT16_MAX;
    return !decomposes || composes_back((utf8proc_int32_t)c);
}

/* The same for the other forms, in which no character that decomposes stays. */
static bool is_plain_in(uint32_t c, UnicodeForm form)
{
    if (form == FORM_C || c < 0x80)
        return is_plain(c);
    if ((c >= JAMO && c < JAMO_END) || (c >= SYLLABLE && c < SYLLABLE_END))
        return false;
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
    bool mark =
        property->category >= UTF8PROC_CATEGORY_MN && property->category <= UTF8PROC_CATEGORY_ME;
    return !mark && property->combining_class == 0 && property->decomp_seqindex == NO_DECOMPOSITION;
}

bool nfc_is_plain(const char *text, int64_t bytes)
{
    for (int64_t i = 0; i < bytes;) {
        int length = utf8_length(text[i]);
        if (length > 1 && !is_plain(utf8_code(text + i, length)))
            return false;
        i += length;
    }
    return true;
}

static void decompose(NfcWork *work, const char *text, int64_t bytes)
{
    work->count = 0;
    bool compatible = work->form == FORM_KC || work->form == FORM_KD;
    utf8proc_option_t options =
        UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0);
    for (int64_t i = 0; i < bytes;) {
        int length = utf8_length(text[i]), bound = 0;
        work->points =
            mem_grow(work->points, &work->capacity, work->count + LONGEST, sizeof *work->points);
        work->count +=
            utf8proc_decompose_char((utf8proc_int32_t)utf8_code(text + i, length),
                                    work->points + work->count, LONGEST, options, &bound);
        i += length;
    }
}

/* Stable order by class: utf8proc's own insertion sort is quadratic in the length of the run. */
static void sort_marks(NfcWork *work, int64_t begin, int64_t end)
{
    int64_t places[CLASSES + 1] = {0};
    work->sorted =
        mem_grow(work->sorted, &work->sorted_capacity, end - begin, sizeof *work->sorted);
    for (int64_t i = begin; i < end; i++)
        places[combining_class(work->points[i]) + 1]++;
    for (int c = 1; c <= CLASSES; c++)
        places[c] += places[c - 1];
    for (int64_t i = begin; i < end; i++)
        work->sorted[places[combining_class(work->points[i])]++] = work->points[i];
    memcpy(work->points + begin, work->sorted, (size_t)(end - begin) * sizeof *work->points);
}

static void order(NfcWork *work)
{
    for (int64_t i = 0; i < work->count;) {
        int64_t begin = i;
        while (i < work->count && combining_class(work->points[i]) != 0)
            i++;
        if (i - begin > 1)
            sort_marks(work, begin, i);
        i += i == begin;
    }
}

/* Text from one plain character to the next. */
static void append_composed(NfcWork *work, StrBuf *out, const char *text, int64_t bytes)
{
    decompose(work, text, bytes);
    order(work);
    int64_t count = work->count;
    if (work->form == FORM_C || work->form == FORM_KC)
        count = utf8proc_normalize_utf32(work->points, count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (int64_t i = 0; i < count; i++) {
        char utf8[UTF8_MAX];
        strbuf_append(out, utf8, (size_t)utf8_encode((uint32_t)work->points[i], utf8));
    }
}

/* Appends bytes of one run with all bits of what they were made from. */
static void append_tags(StrBuf *out, int64_t count, const char *tags, int64_t n)
{
    char bits = 0;
    for (int64_t i = 0; i < n; i++)
        bits |= tags[i];
    for (int64_t i = 0; i < count; i++)
        strbuf_putc(out, bits);
}

void unicode_form_append(StrBuf *out, const char *text, int64_t bytes, UnicodeForm form,
                         const char *tags, StrBuf *out_tags)
{
    NfcWork work = {.form = form};
    int64_t copied = 0;
    for (int64_t i = 0, end; i < bytes; i = end) {
        int length = utf8_length(text[i]);
        bool alone = is_plain_in(utf8_code(text + i, length), form);
        end = i + length;
        while (end < bytes && !is_plain_in(utf8_code(text + end, utf8_length(text[end])), form)) {
            end += utf8_length(text[end]);
            alone = false;
        }
        if (alone)
            continue;
        strbuf_append(out, text + copied, (size_t)(i - copied));
        int64_t before = out->size;
        append_composed(&work, out, text + i, end - i);
        if (tags) {
            strbuf_append(out_tags, tags + copied, (size_t)(i - copied));
            append_tags(out_tags, out->size - before, tags + i, end - i);
        }
        copied = end;
    }
    strbuf_append(out, text + copied, (size_t)(bytes - copied));
    if (tags)
        strbuf_append(out_tags, tags + copied, (size_t)(bytes - copied));
    free(work.points);
    free(work.sorted);
}

void nfc_append(StrBuf *out, const char *text, int64_t bytes)
{
    unicode_form_append(out, text, bytes, FORM_C, NULL, NULL);
}
