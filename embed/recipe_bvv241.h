/* The published vocabularies bvv241-2-3, -max and -abs, with their ids: a code point of the Basic
 * Multilingual Plane is its own id; n-grams, longest first, take the places of the surrogates, of
 * most of the private use area and (max, abs) of plane 1; U+E000 to U+E0FF are specials. There is
 * no pre-tokenizer, no byte fallback and no normaliser: what has no token becomes <unk>. */
#ifndef CAMBIUM_EMBED_RECIPE_BVV241_H
#define CAMBIUM_EMBED_RECIPE_BVV241_H

#include <stdbool.h>

#include "core/base/err.h"
#include "core/text/tokenizer.h"
#include "embed/ngrams.h"
#include "embed/render.h"

typedef struct Bvv241Recipe {
    const char *name;
    int64_t n_tokens;
    int32_t n_max;     /* the longest n-grams taken from the lists per language */
    int32_t top;       /* how many of each such list */
    bool intersection; /* plain lists are taken too */
    RenderOptions render;
} Bvv241Recipe;

/* "bvv241-2-3", "bvv241-max" or "bvv241-abs"; NULL for another name. */
const Bvv241Recipe *bvv241_find(const char *name);

typedef struct Bvv241Stats {
    int64_t n_grams;   /* distinct, as wanted */
    int64_t n_dropped; /* for which there was no place */
    int64_t n_unused;  /* places left over */
} Bvv241Stats;

/* Makes the vocabulary and its merges. The caller clears `out` with tokenizer_spec_clear. Fails
 * when `ngrams` holds none of the lists that the recipe takes. */
Status bvv241_build(const Bvv241Recipe *recipe, const NgramList *ngrams, TokenizerSpec *out,
                    Bvv241Stats *stats, Err *err);

#endif
