/* Any bytes as a translation, its reference and its options: what is measured must be a score. The
 * first byte chooses the options; the first line feed behind it is between the two texts. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/metrics/corpus_metric.h"
#include "core/metrics/squad_score.h"
#include "core/metrics/ter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fine)
{
    if (!fine)
        __builtin_trap();
}

static void measure(const CorpusMetric *metric, Segment hyp, Segment ref)
{
    double stats[CHRF_STATS_MAX], most = metric->kind == METRIC_TER ? INFINITY : 100 + 1e-9;
    if (metric->kind == METRIC_BLEU)
        bleu_count(&metric->bleu, hyp, &ref, 1, stats);
    else if (metric->kind == METRIC_CHRF)
        chrf_count(&metric->chrf, hyp, &ref, 1, stats);
    else
        ter_count(&metric->ter, hyp, &ref, 1, stats);
    double score = corpus_metric_score(metric, stats);
    require(score >= 0 && score <= most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t bits = data[0];
    const char *text = (const char *)data + 1;
    int64_t bytes = (int64_t)size - 1;
    const char *feed = memchr(text, '\n', (size_t)bytes);
    int64_t first = feed ? feed - text : bytes;
    Segment hyp = {text, first}, ref = {text + first, bytes - first};
    CorpusMetric bleu = {.kind = METRIC_BLEU,
                         .bleu = {.tokenizer = (MtTokenizer)(bits % 5),
                                  .lowercase = bits & 8,
                                  .smoothing = (BleuSmoothing)(bits >> 6),
                                  .smooth_value = 0.5,
                                  .effective_order = bits & 16}};
    CorpusMetric chrf = {.kind = METRIC_CHRF,
                         .chrf = {.char_order = 6,
                                  .word_order = bits & 1 ? 2 : 0,
                                  .beta = 2,
                                  .lowercase = bits & 2,
                                  .whitespace = bits & 4,
                                  .eps_smoothing = bits & 8}};
    CorpusMetric ter = {.kind = METRIC_TER,
                        .ter = {.normalize = bits & 1,
                                .no_punctuation = bits & 2,
                                .asian = bits & 4,
                                .case_sensitive = bits & 8}};
    measure(&bleu, hyp, ref);
    measure(&chrf, hyp, ref);
    measure(&ter, hyp, ref);
    SquadScore squad =
        squad_score((SquadVersion)(bits % 2), (SquadRule)(bits / 2 % 2), hyp, &ref, 1);
    require(squad.f1 >= 0 && squad.f1 <= 1 && (squad.exact == 0 || squad.exact == 1));
    return 0;
}
