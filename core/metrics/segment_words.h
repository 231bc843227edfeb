/* The words of a segment and of its references as ids: equal words, equal numbers. */
#ifndef CAMBIUM_CORE_METRICS_SEGMENT_WORDS_H
#define CAMBIUM_CORE_METRICS_SEGMENT_WORDS_H

#include "core/metrics/symbols.h"
#include "core/metrics/trie.h"

/* The id of the word [begin, end) of the code points. */
uint32_t word_id(Trie *words, const Symbols *codes, int64_t begin, int64_t end);

/* Replaces the code points of each of `n` texts by the ids of its words. */
void segment_words(Symbols *texts, int n);

#endif
