/* The insides of a run, shared by its files alone. */
#ifndef CAMBIUM_TRAIN_RUN_IMPL_H
#define CAMBIUM_TRAIN_RUN_IMPL_H

#include "train/run.h"

/* The tokenizer, what is said of the table, and what was read before. A folder that is resumed has
 * all of it: then --table and --init may have moved. A --table beside a model must be the model's.
 */
Status run_read_source(Run *run, Err *err);

/* Writes FOLDER/trainer.h5, from which a finished stage can go on: optimizer, loader and place. */
Status run_keep_trainer(const Run *run, const Trainer *trainer, Err *err);

#endif
