/* Between the emulated runtime and the emulated kernels. */
#ifndef CAMBIUM_CORE_CUDA_EMULATE_TASKS_H
#define CAMBIUM_CORE_CUDA_EMULATE_TASKS_H

#include <functional>

struct EmulatedStream;

/* Puts work at the end of a stream, or into the graph that is being captured from it. */
void emulate_enqueue(EmulatedStream *stream, std::function<void()> task);

#endif
