/* The step loop: data, forward, backward, optimizer, evaluation, metrics, checkpoints. `cambium
 * train` is one trainer; growth runs one per stage.
 *
 * A trainer is new -> (restore) -> run -> free. Everything it needs is allocated by trainer_new and
 * by the first step; nothing allocates after that. The same settings give the same bits, and a run
 * that was stopped and restored gives the bits of one that was not.
 *
 * With R ranks each step's rows are split among them; R ranks give the losses of one rank up to the
 * order of sums (about 1e-6 relative in float32, and the rounding of bfloat16). */
#ifndef CAMBIUM_TRAIN_TRAINER_H
#define CAMBIUM_TRAIN_TRAINER_H

#include <jansson.h>

#include "core/comm/comm.h"
#include "core/io/container.h"
#include "train/backward.h"
#include "train/loader.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/schedule.h"

typedef struct TrainConfig {
    Schedule schedule; /* with the number of steps */
    AdamwConfig adamw;
    int64_t batch;        /* rows of an optimizer step, over all ranks and micro-batches */
    int64_t micro_batch;  /* rows that a rank computes at once; 0: batch / ranks */
    int64_t context;      /* tokens of a row */
    uint64_t seed;        /* of the data's order and, with the growth's steps, of dropout */
    int ranks;            /* data-parallel ranks */
    bool processes;       /* each rank is a process of its own, else a thread of this one */
    int64_t bucket_bytes; /* gradients that ranks sum at once, while backward goes on */
    int64_t eval_every;   /* steps; 0: only at the end */
    int64_t eval_tokens;  /* of each source's validation split; 0: all */
    int64_t save_every;   /* steps; 0: only at the end */
    int64_t sample_every; /* steps; 0: never */
    int64_t log_every;    /* steps between metrics lines */
} TrainConfig;

TrainConfig train_config_default(void);
/* Ranks that this process computes. */
static inline int train_own_ranks(const TrainConfig *config)
{
    return config->processes ? 1 : config->ranks;
}

typedef struct Trainer Trainer;

/* What the owner of a run does for its trainer; each may be NULL. Called on the thread that called
 * trainer_run, between steps. */
typedef struct TrainerHooks {
    void *context;
    /* Writes a checkpoint: the model, trainer_put, and whatever the owner needs to find its place
     * again. Called every save_every steps, when the user stops the run, and at its end. */
    Status (*save)(void *context, const Trainer *trainer, Err *err);
    /* Generates text with the model as it is. */
    Status (*sample)(void *context, const Trainer *trainer, Err *err);
    /* Called by trainer_new once it is marked what trains, before the masters of all else are
     * released: values that no file has yet must be written now to be saved later. */
    Status (*release)(void *context, Err *err);
} TrainerHooks;

typedef struct TrainerSetup {
    Model *model; /* borrowed; its values are set. What does not train is frozen by
                     trainer_new, which releases masters that nothing needs */
    TrainSet trained;
    TrainConfig config;
    const LoaderSource *sources; /* copied; the packs are borrowed */
    int64_t n_sources;
    const Reading *reading;    /* what the growth has read before; copied. NULL: nothing */
    bool from_start;           /* read the sources from their beginning all the same */
    const PrefixCache *prefix; /* or NULL; borrowed; one rank only */
    Metrics *metrics;          /* or NULL; borrowed */
    const json_t *fields;      /* members of every metrics line ("stage": 2), or NULL; borrowed */
    int64_t tokens_before;     /* trained by earlier stages: metrics count on from here */
    double flops_before;
    TrainerHooks hooks;
    bool quiet; /* no progress bar */
    Comm *comm; /* config.processes: this process's place among them; borrowed. Every process has a
                   trainer of its own; hooks, metrics and evaluation are the first one's alone */
    const CommWire *wire; /* between threads, to measure overlap; NULL: none */
} TrainerSetup;

/* Fails when the settings make no sense, or memory is short. */
Status trainer_new(Trainer **out, const TrainerSetup *setup, Err *err);
void trainer_free(Trainer *trainer);

/* Trains to the last step. STATUS_STOPPED after SIGINT, once hooks.save has run. A loss that is not
 * finite fails with the step and the tensor. Checks at the end that what is frozen did not change.
 */
Status trainer_run(Trainer *trainer, Err *err);

/* /optimizer, /loader (what was read) and /trainer (JSON: step, tokens, settings that must agree).
 */
Status trainer_put(const Trainer *trainer, ContainerWriter *writer, Err *err);
/* Goes on where trainer_put was called; the model's values must come from the same file. Fails when
 * settings that decide the run (data, batch, seed...) differ, naming one. The schedule may be
 * another: that is its owner's to compare. */
Status trainer_restore(Trainer *trainer, const Container *container, Err *err);

/* ---- what happened -------------------------------------------------------------------------- */

typedef struct TrainerStatus {
    int64_t step;             /* finished */
    int64_t tokens;           /* with those before */
    double flops;             /* with those before; what a run that nobody stopped computes */
    double loss;              /* of the last step, nats per token */
    double eval_loss;         /* of the last evaluation; NaN before the first */
    double eval_bpb;          /* bits per byte of it */
    double tokens_per_second; /* lately */
    int64_t own_tokens;       /* trained by this process, in `seconds` */
    double seconds;           /* of this process, in trainer_run */
} TrainerStatus;
TrainerStatus trainer_status(const Trainer *trainer);
const Model *trainer_model(const Trainer *trainer);
/* What the growth has read by now, with its steps; `out` is cleared before. */
void trainer_reading(const Trainer *trainer, Reading *out);

/* ---- planning ------------------------------------------------------------------------------- */

/* What a run takes on a device, computed without allocating (--dry-run). */
typedef struct TrainPlan {
    int64_t params_total, params_active, params_frozen;
    double flops_per_token; /* forward and backward of what trains; without a cached prefix */
    double flops_per_token_cached; /* with it */
    size_t bytes_weights, bytes_grads, bytes_moments, bytes_activations, bytes_scratch;
    size_t bytes; /* everything, per process, in the device's memory: the peak to expect. On the CPU
                     the process itself is included, on a GPU its context is not. */
} TrainPlan;
Status train_plan(const Device *device, const ModelConfig *model, DType compute, DType table,
                  const TrainSet *trained, const TrainConfig *config, TrainPlan *out, Err *err);

#endif
