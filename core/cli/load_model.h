/* The options of every verb that runs a model, and the loading they mean. */
#ifndef CAMBIUM_CORE_CLI_LOAD_MODEL_H
#define CAMBIUM_CORE_CLI_LOAD_MODEL_H

#include "core/cli/device_options.h"
#include "core/model/context_extension.h"
#include "core/model/ensemble.h"
#include "core/model/shard.h"
#include "core/text/tokenizer.h"

typedef struct LoadSettings {
    char *device;          /* auto, cpu, cuda */
    char *require;         /* libraries, or NULL */
    char *weights;         /* auto, float32, bfloat16, int8 */
    char *kv;              /* auto, float32, bfloat16, int8 */
    char *table;           /* for checkpoints that left the table out */
    ContextExtension rope; /* its context is what the verb's --context says */
} LoadSettings;

/* Rows of a verb's option table; `field` is its LoadSettings. */
#define LOAD_OPTIONS(Settings, field)                                                              \
    DEVICE_OPTIONS(offsetof(Settings, field) + offsetof(LoadSettings, device),                     \
                   offsetof(Settings, field) + offsetof(LoadSettings, require),                    \
                   "where to compute: auto, cpu or cuda", "Model"),                                \
        {"weights",                                                                                \
         OPTION_CHOICE,                                                                            \
         offsetof(Settings, field) + offsetof(LoadSettings, weights),                              \
         NULL,                                                                                     \
         "auto",                                                                                   \
         "type of the weights (auto: bfloat16 where the processor has it)",                        \
         "auto|float32|bfloat16|int8",                                                             \
         0,                                                                                        \
         NULL},                                                                                    \
        {"kv",                                                                                     \
         OPTION_CHOICE,                                                                            \
         offsetof(Settings, field) + offsetof(LoadSettings, kv),                                   \
         NULL,                                                                                     \
         "auto",                                                                                   \
         "type of the KV cache (auto: float32 beside float32 weights, else bfloat16)",             \
         "auto|float32|bfloat16|int8",                                                             \
         0,                                                                                        \
         NULL},                                                                                    \
        {"table",                                                                                  \
         OPTION_INPUT,                                                                             \
         offsetof(Settings, field) + offsetof(LoadSettings, table),                                \
         "FILE",                                                                                   \
         NULL,                                                                                     \
         "the substrate, for a model file that left it out",                                       \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"rope-scaling",                                                                           \
         OPTION_CHOICE,                                                                            \
         offsetof(Settings, field) + offsetof(LoadSettings, rope.scaling),                         \
         NULL,                                                                                     \
         "model",                                                                                  \
         "how rotary positions are stretched beyond the context that the model was trained on "    \
         "(model: as its file says)",                                                              \
         "model|none|linear|ntk|yarn",                                                             \
         0,                                                                                        \
         NULL},                                                                                    \
    {                                                                                              \
        "rope-factor", OPTION_REAL,                                                                \
            offsetof(Settings, field) + offsetof(LoadSettings, rope.factor), "F", "0",             \
            "by how much, 1 or more (0: as --context asks)", NULL, 0, NULL                         \
    }

typedef struct LoadedModel {
    Device device;
    Ensemble *ensemble;
    Tokenizer *tokenizer;
    DType kv_dtype;
} LoadedModel;

/* The fastest type of products that a device does well: bfloat16 where it has the instructions. */
DType dtype_for_device(const Device *device);

/* What `--weights` and `--kv` mean on a device. */
typedef struct LoadTypes {
    DType weights, compute, kv; /* compute: of products */
} LoadTypes;
Status load_model_types(const LoadSettings *settings, const Device *device, LoadTypes *out,
                        Err *err);

Status load_model(LoadedModel *model, const char *path, const LoadSettings *settings, Err *err);
/* The same on an open device, which is taken over (also when it fails), and only this part of every
 * parameter; `shards` NULL: whole models. */
Status load_model_on(LoadedModel *model, const char *path, const LoadSettings *settings,
                     const Device *device, const ShardPlan *shards, Err *err);
void load_model_close(LoadedModel *model);

#endif
