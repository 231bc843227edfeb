/* Log-probability of documents with a strided context: windows of `context` tokens, each `stride`
 * further on, in which only the tokens that no earlier window scored count. */
#ifndef CAMBIUM_CORE_DECODE_SCORE_H
#define CAMBIUM_CORE_DECODE_SCORE_H

#include "core/decode/decoder.h"

/* Told of every scored token: which one of which document, how many tokens stand before it in its
 * window, and log p in nats. */
typedef void ScoreToken(void *context, int64_t document, int64_t token, int64_t before,
                        double logprob);

typedef struct ScoreOptions {
    int64_t context;   /* tokens of a window, the start token included */
    int64_t stride;    /* at most `context` - 1 */
    int32_t start;     /* the token that stands before every document: eos of the one before */
    ScoreToken *token; /* may be NULL */
    void *token_context;
} ScoreOptions;

/* One document: in, tokens (host, borrowed); out, the sum over its tokens of log p in nats. */
typedef struct ScoreDocument {
    const int32_t *tokens;
    int64_t n_tokens;
    double logprob;
} ScoreDocument;

/* Told after each batch of windows: how many tokens were scored since the last call. */
typedef void ScoreProgress(void *context, int64_t tokens);

/* Scores all documents, several windows at a time (as many as the decoder has sequences, all of
 * them closed when this is called). STATUS_STOPPED when the user asks to stop. */
Status score_documents(Decoder *decoder, int64_t max_sequences, const ScoreOptions *options,
                       ScoreDocument *documents, int64_t n_documents, ScoreProgress *progress,
                       void *progress_context, Err *err);

#endif
