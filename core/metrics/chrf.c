#include "core/metrics/chrf.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/metrics/ngram_match.h"
#include "core/metrics/segment_words.h"

/* One text in the two forms whose n-grams are counted. */
typedef struct ChrfText {
    Symbols codes;      /* after lower case */
    Symbols characters; /* without spaces, unless they count */
    Symbols words;      /* ids */
} ChrfText;

static void text_clear(ChrfText *text)
{
    symbols_clear(&text->codes);
    symbols_clear(&text->characters);
    symbols_clear(&text->words);
}

static void set_characters(const ChrfOptions *options, ChrfText *text)
{
    for (int64_t i = 0; i < text->codes.count; i++)
        if (options->whitespace || !code_is_space(text->codes.items[i]))
            symbols_add(&text->characters, text->codes.items[i]);
}

/* Words, with one mark of punctuation taken off: the last character, else the first. */
static void set_words(Trie *words, ChrfText *text)
{
    const Symbols *codes = &text->codes;
    int64_t begin, end = 0;
    while (symbols_next_word(codes, &begin, &end)) {
        int64_t cut = begin;
        if (end - begin > 1 && code_is_ascii_punctuation(codes->items[end - 1]))
            cut = end - 1;
        else if (end - begin > 1 && code_is_ascii_punctuation(codes->items[begin]))
            cut = begin + 1;
        if (cut > begin)
            symbols_add(&text->words, word_id(words, codes, begin, cut));
        symbols_add(&text->words, word_id(words, codes, cut, end));
    }
}

/* Counts of one kind of n-gram, of orders 1 to max_order. */
static void count_orders(const Symbols *hyp, const Symbols *ref, int max_order, double *stats)
{
    int64_t matches[CHRF_ORDER_MAX];
    ngram_match(hyp, ref, 1, max_order, matches);
    for (int n = 0; n < max_order; n++) {
        int64_t in_ref = ngram_total(ref->count, n + 1);
        /* Where the reference has none of this length, those of the hypothesis do not count. */
        stats[3 * n] = in_ref > 0 ? (double)ngram_total(hyp->count, n + 1) : 0.0;
        stats[3 * n + 1] = (double)in_ref;
        stats[3 * n + 2] = (double)matches[n];
    }
}

void chrf_count(const ChrfOptions *options, Segment hyp, const Segment *refs, int n_refs,
                double *stats)
{
    ChrfText *texts = xcalloc((size_t)n_refs + 1, sizeof *texts); /* the hypothesis first */
    int64_t steps = 0;
    for (int i = 0; i <= n_refs; i++) {
        symbols_decode(&texts[i].codes, i == 0 ? hyp : refs[i - 1]);
        if (options->lowercase)
            symbols_lower(&texts[i].codes);
        set_characters(options, &texts[i]);
        steps += texts[i].codes.count;
    }
    if (options->word_order > 0) {
        Trie words;
        trie_init(&words, steps);
        for (int i = 0; i <= n_refs; i++)
            set_words(&words, &texts[i]);
        trie_clear(&words);
    }
    double best = -1.0;
    int width = chrf_stats(options);
    for (int i = 1; i <= n_refs; i++) {
        double counts[CHRF_STATS_MAX];
        count_orders(&texts[0].characters, &texts[i].characters, options->char_order, counts);
        if (options->word_order > 0)
            count_orders(&texts[0].words, &texts[i].words, options->word_order,
                         counts + 3 * options->char_order);
        double score = chrf_score(options, counts);
        if (score > best) {
            best = score;
            memcpy(stats, counts, (size_t)width * sizeof *stats);
        }
    }
    for (int i = 0; i <= n_refs; i++)
        text_clear(&texts[i]);
    free(texts);
}

double chrf_score(const ChrfOptions *options, const double *stats)
{
    const double eps = 1e-16, factor = (double)options->beta * options->beta;
    int orders = options->char_order + options->word_order, seen = 0;
    double sum = 0.0, precision = 0.0, recall = 0.0;
    for (int n = 0; n < orders; n++) {
        double in_hyp = stats[3 * n], in_ref = stats[3 * n + 1], in_both = stats[3 * n + 2];
        double p = in_hyp > 0 ? in_both / in_hyp : eps, r = in_ref > 0 ? in_both / in_ref : eps;
        double denominator = factor * p + r;
        sum += denominator > 0 ? (1 + factor) * p * r / denominator : eps;
        if (in_hyp > 0 && in_ref > 0) {
            precision += p;
            recall += r;
            seen++;
        }
    }
    if (options->eps_smoothing)
        return 100 * sum / orders;
    if (seen == 0 || precision + recall == 0)
        return 0.0;
    precision /= seen;
    recall /= seen;
    return 100 * ((1 + factor) * precision * recall / (factor * precision + recall));
}

void chrf_signature(const ChrfOptions *options, int n_refs, StrBuf *out)
{
    strbuf_printf(out, "chrF%d", options->beta);
    for (int n = 0; n < options->word_order; n++)
        strbuf_putc(out, '+');
    strbuf_printf(out, "|nrefs:%d|case:%s|eff:%s|nc:%d|nw:%d|space:%s|version:2.6.0", n_refs,
                  options->lowercase ? "lc" : "mixed", options->eps_smoothing ? "no" : "yes",
                  options->char_order, options->word_order, options->whitespace ? "yes" : "no");
}
