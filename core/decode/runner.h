/* What takes rows of tokens through the layers of all experts and keeps their KV caches: the seam
 * between the decoder, which knows items, merge rules and logits, and where layers run. The local
 * runner runs whole models in this process; the Helix decoder runs shards of them on many ranks.
 *
 * A Runner belongs to one thread. All calls that change sequences apply to every expert alike. */
#ifndef CAMBIUM_CORE_DECODE_RUNNER_H
#define CAMBIUM_CORE_DECODE_RUNNER_H

#include "core/decode/kv_rows.h"
#include "core/model/ensemble.h"

typedef struct DecoderOptions {
    int64_t max_sequences; /* open at a time */
    int64_t max_positions; /* of one sequence */
    int64_t kv_positions;  /* of all sequences; 0: max_sequences * max_positions */
    int64_t page_size;     /* 0: 64 */
    int64_t chunk;         /* tokens processed at once; longer prompts go in chunks. 0: 512 */
    DType kv_dtype;
    const struct MemoryBudget *budget; /* what it must fit into; NULL: anything. Borrowed */
    struct RunnerSource *source;       /* where layers run; NULL: in this process. Borrowed */
} DecoderOptions;

/* The same with every default filled in. */
DecoderOptions decoder_options_complete(const DecoderOptions *given);

/* Rows of one run, all on the host. They stay as they are until the device's queue is waited for.
 */
typedef struct RunnerRows {
    int64_t n; /* at most options.chunk */
    const int32_t *tokens, *positions, *sequences;
    const int32_t *targets; /* the token after each row, -1 where it is not known */
} RunnerRows;

typedef struct Runner Runner;

typedef struct RunnerTable {
    /* As kv_cache_open, close, truncate; share: the first `units` whole units (see `unit`). */
    int64_t (*open)(Runner *runner);
    void (*close)(Runner *runner, int64_t sequence);
    void (*truncate)(Runner *runner, int64_t sequence, int64_t length);
    void (*share)(Runner *runner, int64_t sequence, int64_t from, int64_t units);
    /* Makes room for `count` more positions in every cache. On failure the sequence may have become
     * longer in some of them: the caller truncates it. */
    Status (*extend)(Runner *runner, int64_t sequence, int64_t count, Err *err);
    int64_t (*free_positions)(const Runner *runner);
    /* Gives every position of a sequence synthetic keys and values (see kv_fill.h). */
    Status (*fill)(Runner *runner, int64_t sequence, uint64_t seed, Err *err);
    /* Rows of an expert's cache over all ranks, to host memory or from there; `first` is a multiple
     * of `unit`. */
    Status (*read_kv)(Runner *runner, const KvRows *rows, void *host, Err *err);
    Status (*write_kv)(Runner *runner, const KvRows *rows, const void *host, Err *err);
    /* All layers and the final norm of every expert; positions have room already. */
    Status (*run)(Runner *runner, const RunnerRows *rows, Err *err);
    /* Of the last run: logits (count, V) float32 on the device, of rows [begin, begin + count). */
    Status (*logits)(Runner *runner, int64_t expert, int64_t begin, int64_t count,
                     const Tensor *logits, Err *err);
    /* Of the last run: logp[i] (host) = log p(targets[i]) of each row, 0 where the target is -1. */
    Status (*target_logprobs)(Runner *runner, int64_t expert, const RunnerRows *rows, float *logp,
                              Err *err);
    void (*free)(Runner *runner);
} RunnerTable;

struct Runner {
    const RunnerTable *table;
    int64_t unit; /* positions that sequences share at least: a page, on every rank */
};

/* Where runners come from: one for each decoder. */
typedef struct RunnerSource {
    Status (*make)(struct RunnerSource *source, const DecoderOptions *options, Runner **out,
                   Err *err);
    /* Bytes that `make` takes on the rank that takes most. */
    size_t (*bytes)(const struct RunnerSource *source, const DecoderOptions *options);
} RunnerSource;

/* Whole models in this process. The ensemble is borrowed; options are complete. */
Status runner_local_new(Runner **out, const Ensemble *ensemble, const DecoderOptions *options,
                        Err *err);
size_t runner_local_bytes(const Ensemble *ensemble, const DecoderOptions *options);

/* The shape of a model's cache under these (complete) options. */
KvShape runner_kv_shape(const Model *model, const DecoderOptions *options);

#endif
