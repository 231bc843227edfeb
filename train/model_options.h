/* The options that give a new model its shape, shared by `train` and `grow`. */
#ifndef CAMBIUM_TRAIN_MODEL_OPTIONS_H
#define CAMBIUM_TRAIN_MODEL_OPTIONS_H

#include "core/cli/options.h"
#include "core/io/table.h"
#include "core/model/config.h"

typedef struct ModelSettings {
    int64_t d_model, heads, kv_heads, d_ff, context;
    char *norm, *act, *embedding;
    double embed_scale, rope_base, dropout;
    bool bias, tied_head;
} ModelSettings;

/* Rows of a verb's option table; `field` is its ModelSettings. */
#define MODEL_OPTION(Settings, field, member)                                                      \
    (offsetof(Settings, field) + offsetof(ModelSettings, member))
#define MODEL_OPTIONS(Settings, field)                                                             \
    {"d-model", OPTION_INT, MODEL_OPTION(Settings, field, d_model),                                \
     "N",       "0",        "width (0: the table's)",                                              \
     NULL,      0,          "Model"},                                                              \
        {"heads", OPTION_INT, MODEL_OPTION(Settings, field, heads),                                \
         "N",     "0",        "attention heads (0: one per 64 of the width)",                      \
         NULL,    0,          NULL},                                                               \
        {"kv-heads", OPTION_INT, MODEL_OPTION(Settings, field, kv_heads),                          \
         "N",        "0",        "heads of keys and values (0: as many)",                          \
         NULL,       0,          NULL},                                                            \
        {"d-ff", OPTION_INT, MODEL_OPTION(Settings, field, d_ff),                                  \
         "N",    "0",        "width of the feed-forward part (0: 4 x d-model)",                    \
         NULL,   0,          NULL},                                                                \
        {"context", OPTION_INT, MODEL_OPTION(Settings, field, context),                            \
         "N",       "256",      "positions to train for (with --init: a longer context)",          \
         NULL,      0,          NULL},                                                             \
        {"norm",                                                                                   \
         OPTION_CHOICE,                                                                            \
         MODEL_OPTION(Settings, field, norm),                                                      \
         NULL,                                                                                     \
         "layer",                                                                                  \
         "normalisation",                                                                          \
         "layer|rms",                                                                              \
         0,                                                                                        \
         NULL},                                                                                    \
        {"act",                                                                                    \
         OPTION_CHOICE,                                                                            \
         MODEL_OPTION(Settings, field, act),                                                       \
         NULL,                                                                                     \
         "gelu",                                                                                   \
         "activation",                                                                             \
         "gelu|swiglu",                                                                            \
         0,                                                                                        \
         NULL},                                                                                    \
        {"embedding",                                                                              \
         OPTION_CHOICE,                                                                            \
         MODEL_OPTION(Settings, field, embedding),                                                 \
         NULL,                                                                                     \
         "frozen",                                                                                 \
         "the table: as it is in the file, or learned (the baseline)",                             \
         "frozen|learned",                                                                         \
         0,                                                                                        \
         NULL},                                                                                    \
        {"embed-scale",                                                                            \
         OPTION_REAL,                                                                              \
         MODEL_OPTION(Settings, field, embed_scale),                                               \
         "X",                                                                                      \
         "0",                                                                                      \
         "multiplies the table's rows (0: square root of the width; 1: as published)",             \
         "0..1e6",                                                                                 \
         0,                                                                                        \
         NULL},                                                                                    \
        {"rope-base", OPTION_REAL, MODEL_OPTION(Settings, field, rope_base),                       \
         "X",         "10000",     "base of the rotary frequencies",                               \
         NULL,        0,           NULL},                                                          \
        {"dropout", OPTION_REAL, MODEL_OPTION(Settings, field, dropout),                           \
         "P",       "0",         "share of values dropped in training (with --init: as before)",   \
         NULL,      0,           NULL},                                                            \
        {"bias",                                                                                   \
         OPTION_FLAG,                                                                              \
         MODEL_OPTION(Settings, field, bias),                                                      \
         NULL,                                                                                     \
         "true",                                                                                   \
         "biases in output projections, feed-forward parts and the head (--no-bias)",              \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
    {                                                                                              \
        "tied-head", OPTION_FLAG, MODEL_OPTION(Settings, field, tied_head), NULL, NULL,            \
            "the head is the table", NULL, 0, NULL                                                 \
    }

/* The configuration that the settings mean on this table. */
Status model_settings_config(const ModelSettings *settings, const TableInfo *table, int64_t layers,
                             ModelConfig *out, Err *err);
/* Fails when an option was given that says the shape of a new model, for a run that goes on with an
 * old one (--init): its shape is fixed, all but context and dropout. */
Status model_settings_keep_shape(Err *err);
/* Those two of an old model, where they were given: a longer context (rotary frequencies stay as
 * they are, so that nothing changes for positions that it knows; a shorter one only shortens rows,
 * see run_choose_row) and another dropout. */
Status model_settings_adapt(const ModelSettings *settings, ModelConfig *config, Err *err);

#endif
