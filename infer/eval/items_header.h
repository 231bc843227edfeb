/* The header of an items file: everything that the numbers in it follow from. */
#ifndef CAMBIUM_INFER_EVAL_ITEMS_HEADER_H
#define CAMBIUM_INFER_EVAL_ITEMS_HEADER_H

#include <jansson.h>

#include "core/cli/load_model.h"
#include "infer/eval/task.h"

typedef struct ItemsSettings {
    const char *model_path, *model_name;
    const TaskRuns *runs;
    const LoadedModel *model;
    const char *weights; /* as asked for */
    const ContextExtension *rope;
    int ranks;
    const char *grid;
    int64_t context, limit, seed;
    const char *split;
    EvalProtocol protocol;
} ItemsSettings;

/* The caller owns the object. Fails when the model's file has gone. */
Status items_header(json_t **out, const ItemsSettings *settings, Err *err);

#endif
