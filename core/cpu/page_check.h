/* What slots, rows, limits and page tables hold, checked where their memory can be looked at: an
 * index out of range would read or overwrite another sequence's memory. */
#ifndef CAMBIUM_CORE_CPU_PAGE_CHECK_H
#define CAMBIUM_CORE_CPU_PAGE_CHECK_H

#include "core/tensor/attn_check.h"

void slots_check(const KvWriteArgs *args);
void pages_check(const AttnDecodeArgs *args);

#endif
