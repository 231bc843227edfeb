/* The options that a run was started with: kept in its checkpoints and compared when it goes on. */
#ifndef CAMBIUM_TRAIN_RUN_OPTIONS_H
#define CAMBIUM_TRAIN_RUN_OPTIONS_H

#include "core/cli/options.h"
#include "core/tensor/dtype.h"

/* Takes the options of a verb (options_json) and keeps those that decide the bits of its run; of
 * files only the names without folders, so that they may move. `compute`: the type that the run
 * chose. The caller owns the result. */
json_t *run_options_that_decide(json_t *options, DType compute);

/* Fails when an option has another value than `then`, naming it, both values and the folder. What
 * `then` does not know was not an option yet. A run may become longer or shorter (steps, tokens)
 * and its learning rate lower: these are told. */
Status run_options_compare(const json_t *now, const json_t *then, const char *folder, Err *err);

#endif
