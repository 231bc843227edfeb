/* What a run goes on from: a table, the model of --init, or its own checkpoint. */
#ifndef CAMBIUM_TRAIN_RUN_SOURCE_H
#define CAMBIUM_TRAIN_RUN_SOURCE_H

#include "train/run.h"

/* The tokenizer, what is said of the table, and what was read before. A folder that is resumed has
 * all of it: then --table and --init may have moved. A --table beside a model must be the model's.
 */
Status run_read_source(Run *run, Err *err);

#endif
