#include "core/metrics/ter.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/metrics/edit_distance.h"
#include "core/metrics/segment_words.h"

/* Tercom's limits, and one of sacrebleu's: how many shifts are tried for one pair of texts. */
enum { SHIFT_WORDS_MAX = 10, SHIFT_DISTANCE_MAX = 50, SHIFTS_TRIED_MAX = 1000 };

typedef struct Shift {
    int64_t start, length, target; /* `length` words from `start` go before word `target` */
    int64_t gain;                  /* edits saved */
} Shift;

typedef struct TerSearch {
    const Symbols *ref;
    Symbols words;   /* the hypothesis as shifted so far */
    Symbols shifted; /* and with the shift that is being tried */
    EditDistance *distance;
    int64_t tried;
} TerSearch;

static void add_words(Symbols *out, const Symbols *words, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        symbols_add(out, words->items[i]);
}

/* The words after a shift. */
static void shift_words(const Symbols *words, const Shift *shift, Symbols *out)
{
    int64_t start = shift->start, end = start + shift->length, target = shift->target;
    /* A target within the run counts from its beginning: the words behind it move up. */
    int64_t to = target < start || target > end ? target : target + shift->length;
    if (to > words->count)
        to = words->count;
    out->count = 0;
    if (to < start) {
        add_words(out, words, 0, to);
        add_words(out, words, start, end);
        add_words(out, words, to, start);
        add_words(out, words, end, words->count);
    } else {
        add_words(out, words, 0, start);
        add_words(out, words, end, to);
        add_words(out, words, start, end);
        add_words(out, words, to, words->count);
    }
}

/* Tercom's ranking: more saved, then longer, then from further left, then to further left. */
static bool is_better(const Shift *a, const Shift *b)
{
    if (a->gain != b->gain)
        return a->gain > b->gain;
    if (a->length != b->length)
        return a->length > b->length;
    if (a->start != b->start)
        return a->start < b->start;
    return a->target < b->target;
}

static bool any_error(const bool *errors, int64_t start, int64_t length)
{
    for (int64_t i = start; i < start + length; i++)
        if (errors[i])
            return true;
    return false;
}

/* Tries to put the run before the place of its twin in the reference, and after each word of that.
 */
static void try_targets(TerSearch *search, const Alignment *align, Shift run, int64_t start_ref,
                        int64_t edits, Shift *best)
{
    int64_t before = -1;
    for (int64_t offset = -1; offset < run.length; offset++) {
        int64_t at = start_ref + offset;
        run.target = at == -1 ? 0 : align->of_ref[at] + 1;
        if (run.target == before)
            continue;
        before = run.target;
        shift_words(&search->words, &run, &search->shifted);
        run.gain = edits - edit_distance_try(search->distance, &search->shifted);
        search->tried++;
        if (best->length == 0 || is_better(&run, best))
            *best = run;
    }
}

/* The best single shift; its length is 0 when there is none to try. */
static Shift find_shift(TerSearch *search)
{
    const Symbols *hyp = &search->words, *ref = search->ref;
    const Alignment *align;
    int64_t edits = edit_distance_align(search->distance, hyp, &align);
    Shift best = {0};
    for (int64_t h = 0; h < hyp->count; h++) {
        int64_t last =
            h + SHIFT_DISTANCE_MAX < ref->count ? h + SHIFT_DISTANCE_MAX + 1 : ref->count;
        for (int64_t r = h > SHIFT_DISTANCE_MAX ? h - SHIFT_DISTANCE_MAX : 0; r < last; r++) {
            for (int64_t n = 1;
                 n <= SHIFT_WORDS_MAX && h + n <= hyp->count && r + n <= ref->count &&
                 hyp->items[h + n - 1] == ref->items[r + n - 1];
                 n++) {
                /* Only where both sides are wrong now, and the twin lies outside the run. */
                int64_t twin = align->of_ref[r];
                if (!any_error(align->hyp_wrong, h, n) || !any_error(align->ref_wrong, r, n) ||
                    (twin >= h && twin < h + n))
                    continue;
                Shift run = {.start = h, .length = n};
                try_targets(search, align, run, r, edits, &best);
                if (search->tried >= SHIFTS_TRIED_MAX)
                    return best;
            }
        }
    }
    return best;
}

static int64_t count_edits(const Symbols *hyp, const Symbols *ref)
{
    if (ref->count == 0)
        return hyp->count;
    TerSearch search = {.ref = ref, .distance = edit_distance_new(ref, hyp->count)};
    for (int64_t i = 0; i < hyp->count; i++)
        symbols_add(&search.words, hyp->items[i]);
    int64_t shifts = 0;
    for (;;) {
        Shift shift = find_shift(&search);
        if (search.tried >= SHIFTS_TRIED_MAX || shift.length == 0 || shift.gain <= 0)
            break;
        shift_words(&search.words, &shift, &search.shifted);
        symbols_swap(&search.words, &search.shifted);
        shifts++;
    }
    const Alignment *align;
    int64_t edits = edit_distance_align(search.distance, &search.words, &align);
    edit_distance_free(search.distance);
    symbols_clear(&search.words);
    symbols_clear(&search.shifted);
    return shifts + edits;
}

void ter_count(const TercomOptions *options, Segment hyp, const Segment *refs, int n_refs,
               double *stats)
{
    Symbols *texts = xcalloc((size_t)n_refs + 1, sizeof *texts); /* the hypothesis first */
    for (int i = 0; i <= n_refs; i++) {
        symbols_decode(&texts[i], i == 0 ? hyp : refs[i - 1]);
        symbols_strip_end(&texts[i]);
        tercom_tokenize(options, &texts[i]);
        if (i > 0) /* sacrebleu's references go through it twice, which can split a word more */
            tercom_tokenize(options, &texts[i]);
    }
    segment_words(texts, n_refs + 1);
    int64_t best = INT64_MAX, words = 0;
    for (int i = 1; i <= n_refs; i++) {
        int64_t edits = count_edits(&texts[0], &texts[i]);
        best = edits < best ? edits : best;
        words += texts[i].count;
    }
    stats[0] = (double)best;
    stats[1] = (double)words / n_refs;
    for (int i = 0; i <= n_refs; i++)
        symbols_clear(&texts[i]);
    free(texts);
}

double ter_score(const double *stats)
{
    if (stats[1] > 0)
        return 100 * (stats[0] / stats[1]);
    return stats[0] > 0 ? 100.0 : 0.0;
}

static const char *yes_or_no(bool value)
{
    return value ? "yes" : "no";
}

void ter_signature(const TercomOptions *options, int n_refs, StrBuf *out)
{
    strbuf_printf(out, "TER|nrefs:%d|case:%s|tok:tercom|norm:%s|punct:%s|asian:%s|version:2.6.0",
                  n_refs, options->case_sensitive ? "mixed" : "lc", yes_or_no(options->normalize),
                  yes_or_no(!options->no_punctuation), yes_or_no(options->asian));
}
