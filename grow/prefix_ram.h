/* The output of a frozen prefix, kept in memory window by window, exactly as it was computed: a
 * window that comes again costs a copy instead of the prefix. */
#ifndef CAMBIUM_GROW_PREFIX_RAM_H
#define CAMBIUM_GROW_PREFIX_RAM_H

#include "train/backward.h"

typedef struct PrefixRam PrefixRam;

/* Room for `windows` windows of `context` x `d_model` float32 values; memory is touched only as
 * windows come. Fails when the machine cannot promise so much. */
Status prefix_ram_new(PrefixRam **out, const Device *device, int64_t windows, int64_t context,
                      int64_t d_model, Err *err);
void prefix_ram_free(PrefixRam *ram);
PrefixCache prefix_ram_cache(PrefixRam *ram); /* borrowed */

#endif
