/* What other programs' files call the parameters of models of the Llama family. */
#ifndef CAMBIUM_CORE_IO_PARAM_NAMES_H
#define CAMBIUM_CORE_IO_PARAM_NAMES_H

#include "core/model/params.h"

typedef enum NameScheme {
    NAMES_HF,   /* "model.layers.3.self_attn.q_proj.weight" */
    NAMES_GGUF, /* "blk.3.attn_q.weight" */
} NameScheme;

enum { PARAM_NAME_MAX = 256 };

/* The name of a parameter ("blocks/3/attn_q"); false for parameters that the family does not have.
 */
bool param_name(NameScheme scheme, const char *param, char name[PARAM_NAME_MAX]);

/* How many of the names that a model of this shape can have, a head of its own included, `has` says
 * are there: what a file holds beyond these would be left out silently. */
int64_t param_names_known(NameScheme scheme, const ModelConfig *config,
                          bool (*has)(const void *context, const char *name), const void *context);

/* Whether files of this architecture of GGUF's order the rows of each head of a parameter as rotary
 * pairs (2i, 2i + 1): those of attn_q and attn_k of "llama". "qwen2" has them half-split, as here.
 */
bool gguf_pairs_rows(const char *architecture, const char *param);

#endif
