/* What a model may take of the memory that its ranks have. */
#ifndef CAMBIUM_INFER_HELIX_MEMORY_H
#define CAMBIUM_INFER_HELIX_MEMORY_H

#include "core/cli/load_model.h"
#include "core/decode/budget.h"
#include "core/io/checkpoint.h"
#include "infer/helix/grid.h"

typedef struct HelixMemory {
    const Container *file; /* the model's, and what it says of itself */
    const CheckpointInfo *info;
    const LoadSettings *load;
    const Device *device;
    int64_t ranks, local; /* all, and those that share this memory */
    int kvp;
    double asked; /* bytes; 0: what is free now */
} HelixMemory;

/* Weights are counted by the configurations: the matrices in the type they are loaded in, and the
 * table; once where ranks map one file, else with the copies that the ranks of a KVP group have. */
Status helix_memory_budget(const HelixMemory *memory, MemoryBudget *out, Err *err);

#endif
