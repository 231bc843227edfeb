/* Batches of tokens from packed files, in an order that is a function of the seed and of what was
 * read before (train/reading.h).
 *
 * Each source is cut into windows of T + 1 tokens (neighbours share one token, so that every token
 * is a target once). An epoch visits each window once; windows are the same in every epoch, so that
 * a cached prefix can be used again. A pack that is given twice is read by both, each window once.
 * Rows of the global batch go to the sources so that their shares
 * follow the weights to about one row at any moment. Not thread-safe: one loader per rank, over
 * shared packs. */
#ifndef CAMBIUM_TRAIN_LOADER_H
#define CAMBIUM_TRAIN_LOADER_H

#include "train/reading.h"

enum { LOADER_MAX_SOURCES = 16 };

typedef struct LoaderSource {
    const Pack *pack; /* borrowed for the life of the loader */
    double weight;    /* above 0; only the ratios matter */
} LoaderSource;

typedef struct LoaderConfig {
    const LoaderSource *sources;
    int64_t n_sources;
    int64_t batch;  /* rows of the global batch, a multiple of `ranks` */
    int64_t window; /* T: inputs per row */
    uint64_t seed;
    int rank; /* this rank gets rows [rank, rank + 1) * batch / ranks of the global batch */
    int ranks;
    const Reading *reading; /* what was read before, by all ranks together; copied. NULL: nothing */
    bool from_start;        /* begin each source anew all the same */
} LoaderConfig;

typedef struct Loader Loader;

/* Fails when a source is shorter than a window or the sources were made with different tokenizers.
 */
Loader *loader_new(const LoaderConfig *config, Err *err);
void loader_free(Loader *loader);

/* The next global batch, this rank's rows of it: `tokens` (batch / ranks, T + 1), inputs are
 * columns 0 .. T - 1 and targets columns 1 .. T. `windows` (batch / ranks), or NULL: the identity
 * of each row in [0, loader_windows), equal identities mean equal tokens. With `tokens` NULL
 * nothing is read: the loader stands where it would, and tells the windows. */
void loader_next(Loader *loader, int32_t *tokens, int64_t *windows);

/* Goes on by so many rows without reading them; with several sources each is right to about a row.
 * Whether any of them may come twice. */
bool loader_skip(Loader *loader, int64_t rows);

/* Everything that a checkpoint has to keep, but for `steps`, which is the trainer's; borrowed. Any
 * number of ranks may go on from it. */
const Reading *loader_reading(const Loader *loader);
/* Stands where another loader of the same sources and window stood. */
Status loader_restore(Loader *loader, const Reading *reading, Err *err);

/* Of everything that decides the order (packs, weights, split, window, seed): a checkpoint keeps it
 * beside the state, so that going on with other data is noticed. */
Sha256 loader_fingerprint(const Loader *loader);

int64_t loader_windows(const Loader *loader); /* different windows in all sources together */
/* What was read of one of its sources, ever. */
ReadCoverage loader_coverage(const Loader *loader, int64_t source);

#endif
