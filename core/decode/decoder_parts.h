/* What the decoder's files share. decoder.c makes the steps; decoder_rows.c reads the rows of a
 * run: it mixes the experts' logits and says what could follow. */
#ifndef CAMBIUM_CORE_DECODE_DECODER_PARTS_H
#define CAMBIUM_CORE_DECODE_DECODER_PARTS_H

#include "core/decode/decoder.h"
#include "core/decode/prefix.h"

enum { SCORE_ROWS = 32 }; /* rows whose logits are made at a time */

struct Decoder {
    const Ensemble *ensemble;
    DecoderOptions options; /* defaults filled in */
    Device device;
    int64_t vocab;
    Runner *runner;
    /* Host side of one chunk, and what the whole step needs. */
    int32_t *tokens, *positions, *sequences, *targets; /* (step rows) */
    int64_t rows_capacity;
    float *logp;        /* (n_experts, step rows): log p_e of the row's target */
    float *row_weights; /* (step rows, n_experts): bayes, what each row's logits are mixed by */
    int64_t *lengths;   /* (max_sequences): positions already in the cache */
    float *weights;     /* (max_sequences, n_experts) */
    /* Rules that learn from what was seen (bayes), else NULL. */
    PrefixWeights *prefix;
    bool *shared; /* (max_sequences): the weights know the next token already */
    /* Device memory. */
    void *memory;
    Tensor expert_logits;         /* (n_experts, max_sequences, V): of this step's items */
    Tensor previous;              /* (n_experts, max_sequences, V): log-probabilities by sequence */
    Tensor logits;                /* (max_sequences, V): combined */
    Tensor mix_weights;           /* (max_sequences, n_experts) */
    Tensor score_logits;          /* (n_experts, SCORE_ROWS, V) */
    Tensor score_mixed;           /* (SCORE_ROWS, V) */
    Tensor score_weights;         /* (SCORE_ROWS, n_experts) */
    float *score_weights_host;    /* the same */
    Tensor top_values, top_ids;   /* adapter: (max(max_sequences, SCORE_ROWS), top) */
    Tensor look_values, look_ids; /* (SCORE_ROWS, LOOK_TOP) */
    int64_t n_items;              /* of the last step */
};

/* ---- decoder_rows.c -------------------------------------------------------------------------- */

/* MERGE_ADAPTER: the weights (rows, n_experts) for expert logits (n_experts, rows, V). */
Status decoder_adapter_weights(Decoder *decoder, const Tensor *logits, float *weights, Err *err);

/* Combines expert logits (n_experts, rows, V) into `out` (rows, V) by weights (rows, n_experts) on
 * the host, which go to the device through `on_device`. */
void decoder_combine(Decoder *decoder, const Tensor *logits, const float *weights,
                     const Tensor *on_device, const Tensor *out);

/* The log-probabilities of the targets of rows [begin, begin + count) of the step, which are the
 * rows of the last run, under a rule that needs all logits of a row; to decoder->logp[begin..]. */
Status decoder_score_rows(Decoder *decoder, int64_t begin, int64_t count, Err *err);

/* What the looks ask of the same rows. */
Status decoder_look_rows(Decoder *decoder, const DecodeItem *items, int64_t n_items,
                         const DecodeLook *const *looks, int64_t begin, int64_t count, Err *err);

#endif
