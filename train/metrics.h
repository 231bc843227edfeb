/* The run folder's metrics.jsonl: one JSON object per line, appended and flushed line by line.
 *
 * Every line has "event" ("train", "eval", "sample", "stage", ...), "step", "tokens", "flops" and
 * "seconds"; "train" adds "loss" (nats per token), "lr", "grad_norm" and "tokens_per_second";
 * "train" says "epochs" of the stage's packs together; "eval" adds "loss", "bpb" (bits per byte)
 * and "sources": the same for each pack by itself; "data" has "sources": of each pack its "tokens",
 * those "read" by the growth so far (all its stages), different ones "seen", those "never" read,
 * and "epochs". Not thread-safe. */
#ifndef CAMBIUM_TRAIN_METRICS_H
#define CAMBIUM_TRAIN_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"

typedef struct Metrics Metrics;

/* Whether FOLDER/metrics.jsonl is there and not empty. */
bool metrics_exist(const char *folder);

/* Opens FOLDER/metrics.jsonl for appending and keeps its first `lines` lines: a run that goes on
 * from a checkpoint writes those behind it again. Fewer are left as they are. */
Status metrics_open(Metrics **out, const char *folder, int64_t lines, Err *err);
void metrics_close(Metrics *metrics); /* NULL is allowed */

/* Takes `line`; writes it at once. Failures are remembered and reported by metrics_check, so that a
 * full disk does not go unnoticed. */
void metrics_write(Metrics *metrics, json_t *line);
Status metrics_check(const Metrics *metrics, Err *err);

/* Brings all lines to disk, and says how many the file has: a checkpoint that keeps the number
 * finds them again. */
Status metrics_sync(Metrics *metrics, int64_t *lines, Err *err);

#endif
