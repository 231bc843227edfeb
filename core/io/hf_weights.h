/* The weights of a Hugging Face folder: which of its safetensors files hold the model, and the
 * tensors in them. Opened files are mapped and immutable; any number of threads may read them. */
#ifndef CAMBIUM_CORE_IO_HF_WEIGHTS_H
#define CAMBIUM_CORE_IO_HF_WEIGHTS_H

#include "core/io/safetensors.h"

typedef struct HfWeights HfWeights;

/* What is read, in this order: the files that model.safetensors.index.json names and the tensors
 * that it names in them; model.safetensors; a complete set of numbered shards; the only safetensors
 * file. Other weight files beside these (adapters, other forms of the model) are left alone. `file`
 * is a safetensors file of the folder that the user named, or NULL: when it is not one of those,
 * it alone is read. Fails, naming the file, when a shard is missing, when the choice is open, and
 * on folders that only hold weights of formats that are not read. */
Status hf_weights_open(HfWeights **out, const char *folder, const char *file, Err *err);
void hf_weights_close(HfWeights *weights); /* NULL is allowed */

const SafeEntry *hf_weights_find(const HfWeights *weights, const char *name); /* or NULL */
/* Tensors that hold at least one number. */
int64_t hf_weights_count(const HfWeights *weights);

#endif
