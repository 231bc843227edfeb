/* Recorded work of the emulated device. A recording knows what each of its tasks was given, so that
 * it can be compared with another one, and which blocks of device memory that reaches into, so that
 * it cannot be launched once one of them is gone. */
#ifndef CAMBIUM_CORE_CUDA_EMULATE_RECORDING_H
#define CAMBIUM_CORE_CUDA_EMULATE_RECORDING_H

#include <stdint.h>

#include <map>
#include <vector>

#include "core/cuda/emulate/tasks.h"

struct EmulatedTask {
    EmulatedWork work;
    std::function<void()> run;
};

struct EmulatedGraph {
    std::vector<EmulatedTask> tasks;
    std::map<uint64_t, size_t> blocks; /* what it reaches into, and the first task that does */
    int owners = 1;                    /* the graph and its executable form are one object here */
};

void recording_add(EmulatedGraph *graph, const EmulatedWork &work, std::function<void()> task);

/* Ends the program when device memory that the recording reaches into has been freed. */
void recording_check(const EmulatedGraph *graph);

/* ---- the runtime's blocks of device memory ----------------------------------------------------
 */

/* The number of the block with this address, or 0: it is none of the device's memory. Numbers are
 * not used again, as addresses are. */
uint64_t emulate_block_at(uint64_t address);
/* Its size in bytes, or 0, and where it begins. */
size_t emulate_block_range(uint64_t address, uint64_t *begin);
bool emulate_block_lives(uint64_t number);

#endif
