/* A run folder and everything that lives in it: the model file, its metrics, the data it reads.
 * `train` makes one stage in it, `grow` several. After a kill the folder holds the last whole
 * checkpoint, and a run that is resumed gives the bits of one that was not disturbed. */
#ifndef CAMBIUM_TRAIN_RUN_H
#define CAMBIUM_TRAIN_RUN_H

#include "core/base/file_lock.h"
#include "core/cli/device_options.h"
#include "core/io/checkpoint.h"
#include "core/comm/ranks.h"
#include "train/model_options.h"
#include "train/trainer.h"

/* Options that both verbs have. */
typedef struct RunSettings {
    char *out, *table, *init, *device, *require, *dtype, *prompt, *comm, *data_from;
    StringList data;
    int64_t batch, micro_batch, row, seed, ranks;
    int64_t eval_every, eval_tokens, save_every, sample_every, log_every;
    double weight_decay, clip, floor;
    bool resume, dry_run, deterministic;
} RunSettings;

#define RUN_OPTION(Settings, field, member)                                                        \
    (offsetof(Settings, field) + offsetof(RunSettings, member))
#define RUN_OPTIONS(Settings, field)                                                               \
    {"output", OPTION_OUTPUT, RUN_OPTION(Settings, field, out),                                    \
     "FOLDER", NULL,          "the run folder",                                                    \
     NULL,     'o',           "Run"},                                                              \
        {"table", OPTION_INPUT, RUN_OPTION(Settings, field, table),                                \
         "FILE",  NULL,         "the substrate that a new model stands on ('cambium embed')",      \
         NULL,    't',          NULL},                                                             \
        {"init",                                                                                   \
         OPTION_INPUT,                                                                             \
         RUN_OPTION(Settings, field, init),                                                        \
         "MODEL",                                                                                  \
         NULL,                                                                                     \
         "go on with this model instead of a new one",                                             \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"data",                                                                                   \
         OPTION_INPUTS,                                                                            \
         RUN_OPTION(Settings, field, data),                                                        \
         "PACK[:WEIGHT]",                                                                          \
         NULL,                                                                                     \
         "packed text ('cambium pack'); several make a weighted mixture",                          \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"data-from",                                                                              \
         OPTION_CHOICE,                                                                            \
         RUN_OPTION(Settings, field, data_from),                                                   \
         NULL,                                                                                     \
         "continue",                                                                               \
         "read packs on where the stage or the model before stopped, or from their start",         \
         "continue|start",                                                                         \
         0,                                                                                        \
         NULL},                                                                                    \
        {"resume", OPTION_FLAG, RUN_OPTION(Settings, field, resume),                               \
         NULL,     NULL,        "go on where the run in this folder was stopped",                  \
         NULL,     0,           NULL},                                                             \
        {"dry-run", OPTION_FLAG, RUN_OPTION(Settings, field, dry_run),                             \
         NULL,      NULL,        "print the plan, parameters and memory, and stop",                \
         NULL,      0,           NULL},                                                            \
        {"batch", OPTION_INT, RUN_OPTION(Settings, field, batch),                                  \
         "N",     "16",       "rows of an optimizer step",                                         \
         NULL,    0,          NULL},                                                               \
        {"micro-batch", OPTION_INT, RUN_OPTION(Settings, field, micro_batch),                      \
         "N",           "0",        "rows computed at once (0: all; gradients are accumulated)",   \
         NULL,          0,          NULL},                                                         \
        {"row",                                                                                    \
         OPTION_INT,                                                                               \
         RUN_OPTION(Settings, field, row),                                                         \
         "N",                                                                                      \
         "0",                                                                                      \
         "tokens of a row (0: the context; with --init as before, or at most 512)",                \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"ranks", OPTION_INT, RUN_OPTION(Settings, field, ranks),                                  \
         "N",     "1",        "data-parallel ranks (under mpirun: its processes)",                 \
         NULL,    0,          NULL},                                                               \
        {"comm",                                                                                   \
         OPTION_CHOICE,                                                                            \
         RUN_OPTION(Settings, field, comm),                                                        \
         NULL,                                                                                     \
         "auto",                                                                                   \
         "what joins ranks (auto: threads; under mpirun nccl where each has a GPU, else mpi)",     \
         "auto|threads|mpi|nccl",                                                                  \
         0,                                                                                        \
         NULL},                                                                                    \
        DEVICE_OPTIONS(RUN_OPTION(Settings, field, device), RUN_OPTION(Settings, field, require),  \
                       "where to compute: auto, cpu or cuda", NULL),                               \
        {"deterministic",                                                                          \
         OPTION_FLAG,                                                                              \
         RUN_OPTION(Settings, field, deterministic),                                               \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "the same bits in every run (they are without it too: every sum has one order)",          \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"dtype",                                                                                  \
         OPTION_CHOICE,                                                                            \
         RUN_OPTION(Settings, field, dtype),                                                       \
         NULL,                                                                                     \
         "auto",                                                                                   \
         "type of products (auto: bfloat16 where the processor has it)",                           \
         "auto|float32|bfloat16",                                                                  \
         0,                                                                                        \
         NULL},                                                                                    \
        {"seed", OPTION_INT, RUN_OPTION(Settings, field, seed),                                    \
         "S",    "1",        "of starts, data order and dropout",                                  \
         NULL,   0,          NULL},                                                                \
        {"weight-decay",                                                                           \
         OPTION_REAL,                                                                              \
         RUN_OPTION(Settings, field, weight_decay),                                                \
         "X",                                                                                      \
         "0.1",                                                                                    \
         "pulls matrices towards zero (AdamW); not biases, norms, LoRA pairs and a learned "       \
         "table, nor a "                                                                           \
         "tied head, which is the table",                                                          \
         "0..1000",                                                                                \
         0,                                                                                        \
         NULL},                                                                                    \
        {"clip",   OPTION_REAL, RUN_OPTION(Settings, field, clip),                                 \
         "X",      "1",         "largest norm of the gradient (0: no clipping)",                   \
         "0..1e9", 0,           NULL},                                                             \
        {"lr-floor", OPTION_REAL, RUN_OPTION(Settings, field, floor),                              \
         "X",        "0.1",       "last learning rate, as a share of the highest",                 \
         "0..1",     0,           NULL},                                                           \
        {"eval-every", OPTION_INT, RUN_OPTION(Settings, field, eval_every),                        \
         "N",          "0",        "steps between evaluations (0: only at the end)",               \
         NULL,         0,          NULL},                                                          \
        {"eval-tokens",                                                                            \
         OPTION_INT,                                                                               \
         RUN_OPTION(Settings, field, eval_tokens),                                                 \
         "N",                                                                                      \
         "65536",                                                                                  \
         "at most so many of each validation split, in rows that may be partly empty (0: all)",    \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"save-every", OPTION_INT, RUN_OPTION(Settings, field, save_every),                        \
         "N",          "200",      "steps between checkpoints",                                    \
         NULL,         0,          NULL},                                                          \
        {"sample-every",                                                                           \
         OPTION_INT,                                                                               \
         RUN_OPTION(Settings, field, sample_every),                                                \
         "N",                                                                                      \
         "0",                                                                                      \
         "steps between samples of text (0: never)",                                               \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"prompt", OPTION_TEXT, RUN_OPTION(Settings, field, prompt),                               \
         "TEXT",   "",          "what samples begin with",                                         \
         NULL,     0,           NULL},                                                             \
    {                                                                                              \
        "log-every", OPTION_INT, RUN_OPTION(Settings, field, log_every), "N", "10",                \
            "steps between lines of metrics.jsonl", NULL, 0, NULL                                  \
    }

/* Packs that a mixture reads, opened. */
typedef struct RunData {
    Pack **packs;
    LoaderSource *sources;
    int64_t count;
} RunData;
Status run_data_open(RunData *data, const StringList *list, Err *err);
void run_data_close(RunData *data);

typedef struct Run {
    const RunSettings *settings;
    json_t *options; /* those that decide the run; see train/run_options.h */
    Ranks ranks;
    Device device;
    DType compute;
    char *model_path; /* FOLDER/model.h5; NULL in a dry run */
    bool resumes;     /* it goes on with the checkpoint there */
    int64_t row;      /* tokens of a row; set by run_choose_row */
    FileLock lock;    /* of the folder, held by the first process for the run's whole life */
    bool made_folder; /* it was not there before */
    Tokenizer *tokenizer;
    TableInfo table;
    json_t *table_meta; /* what `table` borrows from */
    bool learns_table;  /* the model that the run goes on with has an embedding of its own */
    Model *model;
    Container *base;       /* the file that the model came from, or NULL */
    Container *table_file; /* of a new model, or NULL */
    Container *kept;       /* frozen values of this stage that `base` does not have, or NULL */
    Metrics *metrics;      /* NULL in processes that are not the first */
    json_t *history;       /* a list: stages that are finished */
    json_t *place;         /* /run of the checkpoint that is resumed, or NULL */
    Reading reading;       /* what the growth has read: finished stages, the model it began with */
    int64_t tokens;        /* trained by finished stages */
    double flops;
} Run;

/* Opens ranks and device, tokenizer, table and, unless it is a dry run, the folder. A folder that
 * holds a run already is refused unless --resume is given; with it, `place` says where that run
 * stands, and `options` (the verb's own, by options_json; taken) must be those that it was started
 * with. To be closed also when it fails. */
Status run_open(Run *run, const RunSettings *settings, json_t *options, Err *err);
/* Returns what the verb should: a run of several processes has failed when one of them has. */
Status run_close(Run *run, Status status, Err *err);

/* Fails unless the packs were made with this model's tokenizer. */
Status run_check_data(const Run *run, const RunData *data, Err *err);

/* A new model, its values set. */
Status run_new_model(Run *run, const ModelConfig *config, Err *err);
/* The model of a file, ready to train: all masters in memory. */
Status run_load_model(Run *run, const char *path, Err *err);

/* The model that --init names, adapted to this run. */
Status run_init_model(Run *run, const ModelSettings *settings, Err *err);
/* The configuration of the model that the run goes on with: that of --init, adapted, or of its own
 * checkpoint. */
Status run_base_config(const Run *run, const ModelSettings *settings, ModelConfig *out, Err *err);
/* How long the rows of this run are, which belongs to the run and not to the model. */
Status run_choose_row(Run *run, const ModelSettings *settings, const ModelConfig *config, Err *err);

/* One stage of a run. */
typedef struct RunStage {
    TrainSet trained;
    Schedule schedule; /* with the number of steps */
    const RunData *data;
    const json_t *fields;      /* of every metrics line; borrowed */
    json_t *place;             /* goes to /run of its checkpoints; borrowed */
    const PrefixCache *prefix; /* or NULL */
    bool from_start;           /* reads its data from the start */
    bool keep_trainer;         /* when it is finished, so that it can be extended */
    const char *state;         /* with `restore`: the file of a trainer that was kept, or NULL */
    bool restore;              /* the model comes from a checkpoint in the middle of this stage */
} RunStage;
/* The line of the metrics that opens a stage: what it adds and trains. */
typedef struct RunOpening {
    int64_t number, count; /* this stage, from 1, and how many there are */
    int64_t blocks;        /* that it adds */
    BlockStart start;
    const char *trains;
} RunOpening;
void run_write_opening(const Run *run, const RunOpening *opening, const TrainPlan *plan);
TrainConfig run_train_config(const Run *run, const Schedule *schedule);
/* Trains; on success the history has the stage (with `fields`) but nothing says that it is done
 * until run_save. STATUS_STOPPED: saved, and --resume goes on. */
Status run_train(Run *run, const RunStage *stage, TrainerStatus *out, Err *err);
/* Makes the finished stage that the run ends with an unfinished one of more steps: takes it from
 * the history. `state` receives the file of its trainer; the caller frees it. */
Status run_extend(Run *run, char **state, Err *err);
/* Steps of the stage that was finished last. */
int64_t run_steps_done(const Run *run);
/* ", 0.38 epochs of ru.pack": how often the packs of the last stage were read by now. */
void run_print_epochs(const Run *run, FILE *out);
/* Saves the model without a trainer's state: between stages. Collective; the first process saves,
 * once no other reads the last checkpoint any more. */
Status run_save(Run *run, const json_t *place, Err *err);
/* The same to another file of the run folder. */
Status run_keep(Run *run, const char *name, const json_t *place, Err *err);

#endif
