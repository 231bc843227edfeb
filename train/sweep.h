/* Evaluation over a split of a pack, as `cambium eval` scores texts: every document on its own,
 * behind an eos token; a token counts in one window only; the eos that closes a document does not
 * count. Windows are those of core/decode/score.h with the row as context and half of it as stride,
 * so that bits per byte are the same figure. */
#ifndef CAMBIUM_TRAIN_SWEEP_H
#define CAMBIUM_TRAIN_SWEEP_H

#include "train/pack.h"

/* Rows of T inputs and T targets over one split. Targets that do not count are -1. */
typedef struct Sweep {
    const Pack *pack;
    PackSplit split;
    int64_t row;      /* T */
    int64_t rows;     /* that are still to come */
    int64_t document; /* the one that is being read */
    int64_t scored;   /* its tokens that rows have counted */
    int64_t seen;     /* bytes that were given to these */
} Sweep;

/* `limit`: at most so many tokens, padding included, but one row at least (0: all). Fails on a
 * split without tokens. */
Status sweep_init(Sweep *sweep, const Pack *pack, PackSplit split, int64_t row, int64_t limit,
                  Err *err);

/* Rows of such a sweep. */
int64_t sweep_rows(const Pack *pack, PackSplit split, int64_t row, int64_t limit);

/* Fills up to `rows` rows and returns how many (0 at the end); the rest is padded with eos inputs
 * and targets of -1. `inputs`, `targets`, `bytes`: (rows, T). `bytes` is the text that a counted
 * target stands for, 0 elsewhere: its sum over whole documents is exactly the bytes of their text
 * (what tokens alone do not tell, a dropped prefix space for example, is put on the last one).
 * Bits per byte = sum of -log2 p over the counted targets / sum of `bytes`. */
int64_t sweep_next(Sweep *sweep, int64_t rows, int32_t *inputs, int32_t *targets, int32_t *bytes);

#endif
