#include "core/base/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/log.h"

static const char *const names[ISA_COUNT] = {"generic", "avx2", "avx512", "avx512bf16"};
static atomic_int chosen = -1; /* -1: not asked yet */

const char *isa_name(Isa isa)
{
    return names[isa];
}

Isa isa_best(void)
{
#ifdef __x86_64__
    /* Every processor with FMA has the half-precision conversions (F16C) too. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return ISA_GENERIC;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return ISA_AVX2;
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni"))
        return ISA_AVX512;
    return ISA_AVX512BF16;
#else
    return ISA_GENERIC;
#endif
}

Isa cpu_isa(void)
{
    int known = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (known >= 0)
        return (Isa)known;
    Isa best = isa_best(), isa = best;
    const char *wish = getenv("CAMBIUM_ISA"), *complaint = NULL;
    if (wish && *wish) {
        int i = 0;
        while (i < ISA_COUNT && strcmp(wish, names[i]) != 0)
            i++;
        if (i == ISA_COUNT)
            complaint = "is none of generic, avx2, avx512, avx512bf16";
        else if (i > (int)best)
            complaint = "is more than this processor has";
        else
            isa = (Isa)i;
    }
    /* Of several threads that come here at once, one decides and speaks. */
    int unset = -1;
    if (atomic_compare_exchange_strong(&chosen, &unset, (int)isa)) {
        if (complaint)
            log_warn("CAMBIUM_ISA=%s %s: using %s", wish, complaint, names[isa]);
        return isa;
    }
    return (Isa)unset;
}

void isa_set(Isa isa)
{
    CHECK(isa <= isa_best(), "this processor has no %s", isa_name(isa));
    atomic_store(&chosen, (int)isa);
}
