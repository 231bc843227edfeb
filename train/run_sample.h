/* Text from a model in the middle of its training. */
#ifndef CAMBIUM_TRAIN_RUN_SAMPLE_H
#define CAMBIUM_TRAIN_RUN_SAMPLE_H

#include "core/text/tokenizer.h"
#include "train/metrics.h"
#include "train/trainer.h"

/* Continues `prompt` by some tokens, shows it, and writes a metrics line "sample" with "prompt" and
 * "text". The same step gives the same text. */
Status run_sample(Model *model, const Tokenizer *tokenizer, const char *prompt,
                  const TrainerStatus *status, const json_t *fields, Metrics *metrics, Err *err);

#endif
