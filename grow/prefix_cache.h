/* The output of a frozen prefix, kept window by window exactly as it was computed: a window that
 * comes again costs a copy instead of the prefix. */
#ifndef CAMBIUM_GROW_PREFIX_CACHE_H
#define CAMBIUM_GROW_PREFIX_CACHE_H

#include "grow/prefix_store.h"
#include "train/backward.h"

typedef struct PrefixKeeper PrefixKeeper;

/* Room for `windows` windows of `context` x `d_model` values in `store`, which is taken over, also
 * when this fails. */
Status prefix_keeper_new(PrefixKeeper **out, const Device *device, PrefixStore *store,
                         int64_t windows, int64_t context, int64_t d_model, Err *err);
void prefix_keeper_free(PrefixKeeper *keeper);
PrefixCache prefix_keeper_cache(PrefixKeeper *keeper); /* borrowed */

#endif
