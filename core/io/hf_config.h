/* Hugging Face's config.json for models of the Llama family, both ways. */
#ifndef CAMBIUM_CORE_IO_HF_CONFIG_H
#define CAMBIUM_CORE_IO_HF_CONFIG_H

#include <jansson.h>

#include "core/model/config.h"

/* Reads the shape of a LlamaForCausalLM, MistralForCausalLM or Qwen2ForCausalLM. Other
 * architectures, and settings that this program does not compute (other rope scaling than linear,
 * llama3 and yarn, sliding windows, other activations), are refused by name. `where` names the
 * file. */
Status hf_config_parse(const json_t *json, const char *where, ModelConfig *out, Err *err);

/* Whether `transformers` has this shape as it is: "LlamaForCausalLM", "Qwen2ForCausalLM" (q, k and
 * v with biases, the output projection without), or NULL. */
const char *hf_architecture(const ModelConfig *config);

/* config.json of such a model; the caller owns it. Ids below 0: none. */
json_t *hf_config_json(const ModelConfig *config, const char *architecture, int32_t bos,
                       int32_t eos, const char *dtype);

#endif
