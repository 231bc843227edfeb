/* The kernels that this plug-in (or test) can launch, and what the driver would say of each. */
#ifndef CAMBIUM_CORE_CUDA_EMULATE_KERNELS_H
#define CAMBIUM_CORE_CUDA_EMULATE_KERNELS_H

#include <stddef.h>

struct EmulatedKernel {
    const char *symbol;    /* its mangled name, different for each instance of a template */
    size_t static_shared;  /* bytes of its variables that are __shared__ */
    size_t dynamic_shared; /* bytes that a launch may ask for */
    size_t launches;
    size_t threads, threads_again; /* of launches of several blocks; of those in other orders */
    size_t blocks_again;           /* the most of them in other orders */
};

/* Adds a kernel to those known; before main, once for each that some launch names. */
bool emulate_register(const void *kernel);

/* One that has been registered. It lives as long as the process. */
EmulatedKernel *emulate_kernel(const void *kernel);

/* Bytes of shared memory, static and dynamic, that a block of the device may have. */
size_t emulate_shared_most();

/* With CAMBIUM_EMULATE_KERNELS naming a file, the symbols of all kernels are written to it. */
void emulate_list_kernels();

#endif
