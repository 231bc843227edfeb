/* Learning byte-pair merges from counted words (Sennrich, Haddow and Birch, 2016). The most
 * frequent pair of neighbours is joined, again and again; each pair knows where it stands and a
 * priority queue knows the most frequent, so a merge costs what it changes. */
#ifndef CAMBIUM_CORE_TEXT_BPE_TRAIN_H
#define CAMBIUM_CORE_TEXT_BPE_TRAIN_H

#include "core/base/err.h"
#include "core/text/bpe_words.h"
#include "core/text/spec_edit.h"

typedef struct BpeTrainOptions {
    int64_t n_tokens;  /* the size of the vocabulary at which to stop */
    int64_t min_count; /* pairs seen less often are not joined; at least 1 */
    int64_t max_chars; /* longer tokens are not made */
} BpeTrainOptions;

/* Appends tokens and merges to `edit`. Its text tokens of one character are the alphabet; words are
 * cut at other characters. Stops earlier when no pair is frequent enough. Among equally frequent
 * pairs the one with the lower ids comes first, so the result depends on the counts alone. */
Status bpe_train(const BpeWords *words, const BpeTrainOptions *options, SpecEdit *edit, Err *err);

#endif
