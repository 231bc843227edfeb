/* This program's own models as Hugging Face folders (CambiumForCausalLM, modeling_cambium.py): what
 * their config.json says, and how their tensors are called. */
#ifndef CAMBIUM_CORE_IO_HF_OWN_H
#define CAMBIUM_CORE_IO_HF_OWN_H

#include "core/io/checkpoint.h"
#include "core/io/hf_weights.h"

/* Whether a config.json is of such a folder. */
bool hf_own_is(const json_t *config);

/* "blocks/3/attn_q_bias" of expert 0 -> "experts.0.blocks.3.attn_q.bias"; "embedding" of the first,
 * "adapter/w1" and "pictures/mean" belong to no expert. The caller frees it. */
char *hf_own_name(int64_t expert, const char *param);

/* A frozen table that is not the one that froze (transformers trains it unless told otherwise)
 * counts as learned, with a warning. `folder` names the folder; without
 * weights the table is taken for what config.json says. Cleared with
 * checkpoint_info_clear. */
Status hf_own_info(const json_t *config, const char *where, const char *folder,
                   const HfWeights *weights, CheckpointInfo *info, Err *err);

/* The sizes of the frozen table's pictures (picture_basis.h); 0 where there are none. */
void hf_own_pictures(const CheckpointInfo *info, const HfWeights *weights, int64_t *side,
                     int64_t *kept);

/* Tensors that such a model has, of those that are there. */
int64_t hf_own_known(const CheckpointInfo *info, const HfWeights *weights);

/* What config.json keeps beyond what its class needs ("cambium"), in folders of every class, so
 * that it comes back through import: names, histories, the frozen table's hash and recipe, and that
 * texts begin with the end token where there is none to begin with. A new object. */
json_t *hf_provenance_json(const CheckpointInfo *info, const TokenizerSpec *spec);
/* Name and history of a model of another class, and of its tokenizer, where config.json has them.
 */
void hf_provenance_read(const json_t *config, CheckpointInfo *info);
void hf_provenance_tokenizer(const json_t *config, TokenizerSpec *spec);

/* The hash of a tensor's values as float32. */
void hf_values_hash(const SafeEntry *entry, char text[SHA256_TEXT]);

/* config.json of such a model; the caller owns it. Ids below 0: none. */
json_t *hf_own_config_json(const Ensemble *ensemble, int32_t bos, int32_t eos, const char *dtype);

#endif
