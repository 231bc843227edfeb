/* Sequences that ended but keep their place in the decoder, so that a prompt which begins like one
 * of them need not be read again. The one used longest ago leaves first. */
#ifndef CAMBIUM_INFER_SERVE_PARKED_H
#define CAMBIUM_INFER_SERVE_PARKED_H

#include "core/decode/decoder.h"
#include "core/text/tokenizer.h"

typedef struct Parked Parked;

/* At most `capacity` sequences; the decoder is kept. */
Parked *parked_new(Decoder *decoder, int64_t capacity);
void parked_free(Parked *parked); /* closes its sequences */

/* Takes over an open sequence, whose tokens are the first decoder_length of `ids`. */
void parked_add(Parked *parked, int64_t sequence, const IdList *ids);
bool parked_evict(Parked *parked); /* closes one; false: there is none */

/* Tokens from the beginning that two lists have in common. */
int64_t common_prefix(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b);

/* The sequence with the longest beginning in common with `ids`, of more than `*length` tokens;
 * *length is raised to it. Returns -1 (and leaves *length) when there is none. */
int64_t parked_find(Parked *parked, const IdList *ids, int64_t *length);

#endif
