/* What the experts of an ensemble say about given text, position by position: the data that weights
 * and adapters are fitted to, and that a merged model is verified with. */
#ifndef CAMBIUM_MERGE_OBSERVE_H
#define CAMBIUM_MERGE_OBSERVE_H

#include "core/io/corpus_reader.h"
#include "core/model/ensemble.h"
#include "core/text/tokenizer.h"

/* Windows of equal length out of documents; each begins with the start token. */
typedef struct Sample {
    int64_t n_windows, length;
    int32_t *tokens; /* (n_windows, length) */
} Sample;

/* Takes windows from the beginnings of the file's documents and, where those are long, further on,
 * until there are about `tokens` tokens. Fails on a file without text. */
Status sample_read(Sample *sample, const char *path, const CorpusOptions *reading,
                   const Tokenizer *tokenizer, int64_t length, int64_t tokens, Err *err);
void sample_clear(Sample *sample);

/* For each of the n_windows * (length - 1) positions, in order of windows: every expert's log p of
 * the token that follows, (positions, n_experts), and its `top` largest log-probabilities, falling,
 * (positions, n_experts, top). Host memory, owned. */
typedef struct Observations {
    int64_t n, n_experts, top;
    float *logp;
    float *features;
} Observations;

Status observe(Observations *out, const Ensemble *ensemble, const Sample *sample, int64_t top,
               Err *err);
void observations_clear(Observations *observations);

#endif
