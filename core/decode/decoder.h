/* One decoding step for several sequences at once, for one model or for several merged experts.
 *
 * A step takes any mix of prompts and single tokens, appends them to their sequences' KV caches,
 * and leaves the logits (combined by the ensemble's rule) of each item's last token. A sequence's
 * result does not depend on what else is in the step. The merge weights of `bayes` are part of a
 * sequence's state. A Decoder belongs to one thread. */
#ifndef CAMBIUM_CORE_DECODE_DECODER_H
#define CAMBIUM_CORE_DECODE_DECODER_H

#include "core/decode/runner.h"

typedef struct Decoder Decoder;

size_t decoder_bytes(const Ensemble *ensemble, const DecoderOptions *options);
/* Fails before it allocates when options->budget is smaller. The ensemble is borrowed and must
 * outlive the decoder. */
Status decoder_new(Decoder **out, const Ensemble *ensemble, const DecoderOptions *options,
                   Err *err);
void decoder_free(Decoder *decoder);

Device decoder_device(const Decoder *decoder); /* where its tensors live */

/* A new sequence, or -1 when max_sequences are open. */
int64_t decoder_open(Decoder *decoder);
void decoder_close(Decoder *decoder, int64_t sequence);
int64_t decoder_length(const Decoder *decoder, int64_t sequence);
/* Back to the empty sequence with the prior's weights. */
void decoder_reset(Decoder *decoder, int64_t sequence);

/* An empty sequence takes over what another has computed: `length` is how many tokens from the
 * beginning are the same in both, all of them in the other's cache. Whole pages are shared, nothing
 * is copied; returns how many positions the sequence then has (0 when none can be shared). At least
 * one of the `length` tokens stays to be stepped, so that what follows is the same as without
 * sharing, the merge weights included. That first step may not score its first token. */
int64_t decoder_share(Decoder *decoder, int64_t sequence, int64_t from, int64_t length);

/* An empty sequence becomes one of `length` tokens whose keys and values are synthetic (kv_fill.h):
 * for measurements of long contexts. Its first step may not score its first token, and the merge
 * weights are the prior's. */
Status decoder_fill(Decoder *decoder, int64_t sequence, int64_t length, uint64_t seed, Err *err);

/* An empty sequence becomes one of `length` positions whose keys and values the caller writes;
 * `weights` (n_experts): the merge weights once the token that follows them was seen. Its first
 * step may not score, and no other sequence may share from it under a rule whose weights move. */
Status decoder_restore(Decoder *decoder, int64_t sequence, int64_t length, const float *weights,
                       Err *err);
/* What decoder_restore wants: the weights (n_experts) that `token`, the sequence's next one, leads
 * to. */
Status decoder_weights_after(Decoder *decoder, int64_t sequence, int32_t token, float *weights,
                             Err *err);
/* Keys and values over all ranks, to host memory or from there; `first` is a multiple of
 * decoder_page_size. The type is options.kv_dtype, the shapes are the experts'. */
Status decoder_read_kv(Decoder *decoder, const KvRows *rows, void *host, Err *err);
Status decoder_write_kv(Decoder *decoder, const KvRows *rows, const void *host, Err *err);

/* Positions in pages that no sequence has, and positions that are shared at
 * once. */
int64_t decoder_free_positions(const Decoder *decoder);
int64_t decoder_page_size(const Decoder *decoder);

typedef struct DecodeItem {
    int64_t sequence;
    const int32_t *tokens; /* host; borrowed for the call */
    int64_t n_tokens;      /* at least 1 */
} DecodeItem;

/* At most max_sequences items, each of another sequence. On failure (the cache is full) no sequence
 * has changed. */
Status decoder_step(Decoder *decoder, const DecodeItem *items, int64_t n_items, Err *err);

/* After decoder_step: (n_items, V) float32 on the device, row i for item i. Valid until the next
 * call. Log-probabilities for the rules that mix probabilities, logits for the others. */
Tensor decoder_logits(const Decoder *decoder);

/* decoder_step, and logprobs[i][t] (host, logprobs[i] NULL: not this item) = log
 * p(items[i].tokens[t] | all before) in nats under the ensemble's rule. The first token of an empty
 * sequence has nothing before it: 0. */
Status decoder_score(Decoder *decoder, const DecodeItem *items, int64_t n_items,
                     float *const *logprobs, Err *err);

/* The same, but the tokens of item i before first[i] are context: their entries stay as they are.
 */
Status decoder_score_from(Decoder *decoder, const DecodeItem *items, int64_t n_items,
                          const int64_t *first, float *const *logprobs, Err *err);

typedef struct TopToken {
    int32_t id;
    float logprob;
} TopToken;

enum { LOOK_TOP = 20 };

/* A look at what could follow each token of an item, under the ensemble's rule. All of it comes
 * from the same rows, so that a token's own log p is exactly that of its place among the best. */
typedef struct DecodeLook {
    int32_t next;  /* the token that will follow the item; -1: not known */
    int64_t n_top; /* 0 to LOOK_TOP, at most V */
    TopToken *top; /* host (n_tokens, n_top): the most probable tokens after each, falling */
    float *given;  /* host (n_tokens): log p of the token that does follow, 0 where not known */
} DecodeLook;

/* decoder_step with a look at every item i whose looks[i] is not NULL. */
Status decoder_look(Decoder *decoder, const DecodeItem *items, int64_t n_items,
                    const DecodeLook *const *looks, Err *err);

/* The weight each expert has for the sequence's next token: (n_experts), borrowed. */
const float *decoder_weights(const Decoder *decoder, int64_t sequence);

#endif
