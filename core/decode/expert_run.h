/* One expert's part of a decoding step: its buffers, its KV cache and the pass over its layers. */
#ifndef CAMBIUM_CORE_DECODE_EXPERT_RUN_H
#define CAMBIUM_CORE_DECODE_EXPERT_RUN_H

#include "core/decode/kv_cache.h"
#include "core/model/forward.h"

typedef struct ExpertRun ExpertRun;

/* Rows of a step, all on the host. They stay as they are until the device's queue is waited for. */
typedef struct ExpertRows {
    int64_t n; /* at most the run's chunk */
    const int32_t *tokens, *positions, *sequences, *limits, *slots;
} ExpertRows;

size_t expert_run_bytes(const Model *model, const KvShape *kv, int64_t chunk);
Status expert_run_new(ExpertRun **out, const Model *model, const KvShape *kv, int64_t chunk,
                      Err *err);
void expert_run_free(ExpertRun *run);
KvCache *expert_run_cache(ExpertRun *run); /* borrowed */

/* Runs the rows through all layers and the final norm, whose output stays in the run's buffers. */
Status expert_run_rows(ExpertRun *run, const ExpertRows *rows, Err *err);
/* logits (count, V) float32 of rows [begin, begin + count) of the last expert_run_rows. */
void expert_run_logits(ExpertRun *run, int64_t begin, int64_t count, const Tensor *logits);
/* logp[i] (host) = log p(targets[i]) of those rows, 0 where the target is -1; targets (n, host). */
Status expert_run_target_logprobs(ExpertRun *run, const int32_t *targets, int64_t n, float *logp,
                                  Err *err);

#endif
