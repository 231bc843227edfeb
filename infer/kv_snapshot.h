/* The KV cache of one sequence as a file, from which its text goes on without being read again: by
 * any number of ranks in any grid, whatever wrote it.
 *
 *   /meta                    format, kind "kv", the model's SHA-256, type of the cache, experts;
 *                            "rope": how keys were rotated, where that is not as the model's file
 *                            says
 *   /tokens                  (n) int32: the whole text, n >= 1
 *   /weights                 (experts) float32: the merge weights once the last token was seen
 *   /kv/0/3/keys, values     (n - 1, K, D) of the cache's type: expert 0, layer 3
 *   /kv/0/3/key_scales, ...  (n - 1, K) float32, of int8 caches
 *
 * The last token's keys are not there: it is stepped again, for its logits. A container
 * (core/io/container.h): whole and unaltered, or refused. */
#ifndef CAMBIUM_INFER_KV_SNAPSHOT_H
#define CAMBIUM_INFER_KV_SNAPSHOT_H

#include "core/decode/decoder.h"
#include "core/text/tokenizer.h"

/* What a snapshot must come from to be of use. */
typedef struct KvSource {
    const char *model; /* the file's path */
    const Ensemble *ensemble;
    DType kv_dtype;
} KvSource;

/* Writes a sequence whose text is `tokens`: all of them in the cache, or all but the last. The file
 * appears when it is complete. */
Status kv_snapshot_save(const char *path, const KvSource *source, Decoder *decoder,
                        int64_t sequence, const IdList *tokens, Err *err);

typedef struct KvSnapshot KvSnapshot;

/* Fails for a snapshot of another model, rotary scaling or type, and for anything that is none. The
 * source must outlive it. */
Status kv_snapshot_open(KvSnapshot **out, const char *path, const KvSource *source, Err *err);
void kv_snapshot_close(KvSnapshot *snapshot); /* NULL is allowed */

/* The text so far: (*n), borrowed. */
const int32_t *kv_snapshot_tokens(const KvSnapshot *snapshot, int64_t *n);
/* Fills an empty sequence with all of the text but its last token. */
Status kv_snapshot_restore(const KvSnapshot *snapshot, Decoder *decoder, int64_t sequence,
                           Err *err);

#endif
