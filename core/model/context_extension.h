/* Decoding beyond the context that a model was trained on: its rotary frequencies are stretched
 * when it is loaded, in place of the scaling that its file names. No file is changed. */
#ifndef CAMBIUM_CORE_MODEL_CONTEXT_EXTENSION_H
#define CAMBIUM_CORE_MODEL_CONTEXT_EXTENSION_H

#include "core/model/config.h"

typedef struct ContextExtension {
    /* "model" (or NULL): what the file says. "none": unscaled. "linear" and "yarn": as
     * RopeScalingKind, yarn with its usual bounds. "ntk": the base becomes
     * base * factor^(d / (d - 2)), d = head_dim, which divides the lowest frequency by the factor
     * and leaves the highest as it is ("NTK-aware", bloc97, 2023). */
    char *scaling;
    double factor;   /* 0: `context` by the model's own, at least 1 */
    int64_t context; /* positions asked for; 0: no number of them */
} ContextExtension;

/* Positions that the unscaled frequencies were trained for: `context` unless the model has a
 * scaling, whose trained context is the stretched one. */
int64_t model_unscaled_context(const ModelConfig *config);

/* Fails when the fields do not go together, whatever the model. */
Status context_extension_check(const ContextExtension *extension, Err *err);

/* Replaces the scaling of a model (with ntk its base) and multiplies its own context with the
 * factor. */
Status context_extension_apply(const ContextExtension *extension, ModelConfig *config, Err *err);

#endif
