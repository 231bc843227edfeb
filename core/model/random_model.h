/* Models with random values: for measurements of speed alone. */
#ifndef CAMBIUM_CORE_MODEL_RANDOM_MODEL_H
#define CAMBIUM_CORE_MODEL_RANDOM_MODEL_H

#include "core/model/model.h"

/* Gives every parameter of a new model its random start, and a frozen embedding a table of random
 * rows. The same config gives the same values for every type of weights, up to rounding. */
Status random_model_fill(Model *model, Err *err);

#endif
