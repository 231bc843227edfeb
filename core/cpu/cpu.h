/* The CPU backend: always there, and the definition of correct. Its table is filled with the
 * plain-C reference of every operation (ref_*.c) and then overridden by the fast versions.
 *
 * Queues are synchronous. A queue belongs to one thread (a rank) and holds what its kernels keep
 * between calls. Kernels ask cpu_isa() at every call, so that tests compare all instruction sets in
 * one process. */
#ifndef CAMBIUM_CORE_CPU_CPU_H
#define CAMBIUM_CORE_CPU_CPU_H

#include "core/tensor/backend.h"

/* Registers the CPU under the name "cpu". Called once by main and by tests; more calls are
 * harmless. */
void backend_cpu_register(void);

/* The table of plain-C references, with the same kind of queue and memory: what tests compare with.
 */
const Backend *backend_cpu_reference(void);

typedef struct ProductCache ProductCache; /* product.c */

struct Queue {
    void *scratch;
    size_t scratch_bytes;
    ProductCache *products;
};

/* MEM_ALIGN-aligned scratch of the queue, valid until the next call of this function: an operation
 * takes all it needs at once. Contents are undefined. Allocates only when more is asked for than
 * ever before. */
void *cpu_scratch(Queue *queue, size_t bytes);

/* With CAMBIUM_SPLIT_ADDRESSES device addresses are not valid pointers (bit 62 is flipped, which no
 * user address has), so that code which forgets the operation table faults at once. */
#ifdef CAMBIUM_SPLIT_ADDRESSES
#define CPU_ADDRESS_FLIP ((uintptr_t)1 << 62)
#else
#define CPU_ADDRESS_FLIP ((uintptr_t)0)
#endif

/* Device address to pointer, or back: the flip is its own inverse. NULL stays NULL. */
static inline void *cpu_flip(const void *address)
{
    return address ? (void *)((uintptr_t)address ^ CPU_ADDRESS_FLIP) : NULL;
}

/* The memory of a tensor of this backend; NULL when it is absent. */
static inline void *cpu_ptr(const Tensor *t)
{
    return cpu_flip(t->data);
}

static inline float *cpu_f32(const Tensor *t)
{
    DCHECK(!t->data || t->dtype == DTYPE_F32, "a %s tensor where float32 is wanted",
           dtype_name(t->dtype));
    return cpu_flip(t->data);
}

/* Where element `index` of a tensor is; NULL when it is absent. */
static inline void *cpu_at(const Tensor *t, int64_t index)
{
    char *data = cpu_flip(t->data);
    return data ? data + (size_t)index * dtype_bytes(t->dtype) : NULL;
}

/* One element of `data` (a pointer, not an address) as float; int8 without its scale. */
static inline float element_get(const void *data, DType dtype, int64_t index)
{
    switch (dtype) {
    case DTYPE_F32:
        return ((const float *)data)[index];
    case DTYPE_BF16:
        return bf16_to_f32(((const uint16_t *)data)[index]);
    case DTYPE_I8:
        return (float)((const int8_t *)data)[index];
    case DTYPE_I32:
        return (float)((const int32_t *)data)[index];
    case DTYPE_U8:
        return (float)((const uint8_t *)data)[index];
    case DTYPE_I64:
    case DTYPE_U16: /* in files only */
        break;
    }
    return 0.0f;
}

/* Stores into float32 or bfloat16 memory. */
static inline void element_put(void *data, DType dtype, int64_t index, float value)
{
    if (dtype == DTYPE_F32)
        ((float *)data)[index] = value;
    else
        ((uint16_t *)data)[index] = f32_to_bf16(value);
}

#endif
