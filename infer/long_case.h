/* Decoding steps over long synthetic contexts, on ranks that are threads of this process: what the
 * measurements of Helix and of the planner have in common. */
#ifndef CAMBIUM_INFER_LONG_CASE_H
#define CAMBIUM_INFER_LONG_CASE_H

#include "core/cli/bench.h"
#include "core/model/config.h"

/* One way of decoding. */
typedef struct LongCase {
    const char *path; /* a model file, or NULL: random values of `config` */
    ModelConfig config;
    int ranks;
    const char *grid;       /* as --grid */
    int64_t batch, context; /* sequences, and positions that each has cached */
    bool lockstep;          /* HOP-B off */
    uint64_t seed;          /* of keys and values */
} LongCase;

typedef struct LongTimes {
    BenchTimes steps, rates; /* seconds of each step; GB/s of the machine's memory right after it */
    double bytes_read;       /* keys, values and weights of a step */
    double bytes_planned, bytes_used;
    float *logits; /* (V) of the first step's first sequence; owned */
} LongTimes;

/* A model for long contexts: 512 wide, 8 heads. */
ModelConfig long_config(int64_t layers, int64_t kv_heads);

/* Steps for how->seconds and at least three; the caller frees times->logits. */
Status long_case(const BenchRun *how, const LongCase *what, LongTimes *times, Err *err);

#endif
