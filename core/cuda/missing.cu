#include "core/cuda/cuda.h"
#define MISSING(name, Args, f32, bf16)                                                             \
    __attribute__((weak)) void cuda_##name(Queue *, const Args *)                                  \
    {                                                                                              \
        CHECK(false, "cuda " #name " is missing");                                                 \
    }
CAMBIUM_OPS(MISSING)
#ifndef CAMBIUM_EMULATE
#include "core/cuda/attn_fused.h"
#include "core/cuda/products.h"
__attribute__((weak)) void products_free(LtCache *)
{
}
__attribute__((weak)) bool products_run(Queue *, const GemmArgs *)
{
    return false;
}
__attribute__((weak)) void attn_fused_free(FusedCache *)
{
}
__attribute__((weak)) bool attn_fused_forward(Queue *, const AttnArgs *)
{
    return false;
}
__attribute__((weak)) bool attn_fused_backward(Queue *, const AttnBackwardArgs *)
{
    return false;
}
#endif
