#include "core/metrics/bleu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/metrics/ngram_match.h"
#include "core/metrics/segment_words.h"

static const char *const smoothing_names[] = {
    [BLEU_SMOOTHING_EXP] = "exp",
    [BLEU_SMOOTHING_FLOOR] = "floor",
    [BLEU_SMOOTHING_ADD_K] = "add-k",
    [BLEU_SMOOTHING_NONE] = "none",
};

Status bleu_smoothing_parse(const char *name, BleuSmoothing *out, Err *err)
{
    for (size_t i = 0; i < sizeof smoothing_names / sizeof *smoothing_names; i++)
        if (strcmp(smoothing_names[i], name) == 0) {
            *out = (BleuSmoothing)i;
            return STATUS_OK;
        }
    return err_set(err, "no smoothing '%s'; there are exp, floor, add-k and none", name);
}

double bleu_smoothing_default(BleuSmoothing smoothing)
{
    return smoothing == BLEU_SMOOTHING_FLOOR ? 0.1 : smoothing == BLEU_SMOOTHING_ADD_K ? 1.0 : 0.0;
}

static void tokenize(const BleuOptions *options, Segment segment, Symbols *out)
{
    symbols_decode(out, segment);
    if (options->lowercase)
        symbols_lower(out);
    symbols_strip_end(out);
    mt_tokenize(options->tokenizer, out);
}

static int64_t nearest_length(int64_t length, const Symbols *refs, int n_refs)
{
    int64_t best = refs[0].count;
    for (int r = 1; r < n_refs; r++) {
        int64_t distance = llabs(refs[r].count - length), least = llabs(best - length);
        if (distance < least || (distance == least && refs[r].count < best))
            best = refs[r].count;
    }
    return best;
}

void bleu_count(const BleuOptions *options, Segment hyp, const Segment *refs, int n_refs,
                double *stats)
{
    Symbols *texts = xcalloc((size_t)n_refs + 1, sizeof *texts); /* the hypothesis first */
    tokenize(options, hyp, &texts[0]);
    for (int r = 0; r < n_refs; r++)
        tokenize(options, refs[r], &texts[1 + r]);
    segment_words(texts, n_refs + 1);

    int64_t matches[BLEU_ORDER];
    ngram_match(&texts[0], texts + 1, n_refs, BLEU_ORDER, matches);
    stats[0] = (double)texts[0].count;
    stats[1] = (double)nearest_length(texts[0].count, texts + 1, n_refs);
    for (int n = 0; n < BLEU_ORDER; n++) {
        stats[2 + n] = (double)matches[n];
        stats[2 + BLEU_ORDER + n] = (double)ngram_total(texts[0].count, n + 1);
    }
    for (int i = 0; i <= n_refs; i++)
        symbols_clear(&texts[i]);
    free(texts);
}

static double brevity_penalty(double hyp_words, double ref_words)
{
    if (hyp_words >= ref_words)
        return 1.0;
    return hyp_words > 0 ? exp(1 - ref_words / hyp_words) : 0.0;
}

/* Precisions in percent; returns the highest order that the text is long enough for. */
static int smoothed_precisions(const BleuOptions *options, const double *matches,
                               const double *totals, double *precisions)
{
    double halving = 1.0;
    int reached = 0;
    for (int n = 0; n < BLEU_ORDER; n++) {
        double added =
            options->smoothing == BLEU_SMOOTHING_ADD_K && n > 0 ? options->smooth_value : 0.0;
        double match = matches[n] + added, total = totals[n] + added;
        if (total == 0)
            break;
        reached = n + 1;
        if (match != 0) {
            precisions[n] = 100.0 * match / total;
        } else if (options->smoothing == BLEU_SMOOTHING_EXP) {
            halving *= 2;
            precisions[n] = 100.0 / (halving * total);
        } else if (options->smoothing == BLEU_SMOOTHING_FLOOR) {
            precisions[n] = 100.0 * options->smooth_value / total;
        }
    }
    return reached;
}

BleuScore bleu_score(const BleuOptions *options, const double *stats)
{
    BleuScore out = {.brevity_penalty = brevity_penalty(stats[0], stats[1]),
                     .hyp_words = (int64_t)stats[0],
                     .ref_words = (int64_t)stats[1]};
    const double *matches = stats + 2, *totals = stats + 2 + BLEU_ORDER;
    bool any = false;
    for (int n = 0; n < BLEU_ORDER; n++)
        any |= matches[n] != 0;
    if (!any)
        return out; /* nothing to smooth: the score is 0 */
    int reached = smoothed_precisions(options, matches, totals, out.precisions);
    int orders = options->effective_order ? reached : BLEU_ORDER;
    double sum = 0.0;
    for (int n = 0; n < orders; n++) {
        if (out.precisions[n] == 0.0)
            return out;
        sum += log(out.precisions[n]);
    }
    out.score = out.brevity_penalty * exp(sum / orders);
    return out;
}

void bleu_signature(const BleuOptions *options, int n_refs, StrBuf *out)
{
    strbuf_printf(out, "BLEU|nrefs:%d|case:%s|eff:%s|tok:%s|smooth:%s", n_refs,
                  options->lowercase ? "lc" : "mixed", options->effective_order ? "yes" : "no",
                  mt_tokenizer_name(options->tokenizer), smoothing_names[options->smoothing]);
    if (options->smoothing == BLEU_SMOOTHING_FLOOR || options->smoothing == BLEU_SMOOTHING_ADD_K)
        strbuf_printf(out, "[%.2f]", options->smooth_value);
    strbuf_puts(out, "|version:2.6.0");
}
