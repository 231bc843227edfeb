#include "core/cuda/emulate/recording.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "core/cuda/emulate/runtime.h"

extern "C" {
#include "core/base/err.h"
}

/* Whatever in the arguments can be an address in device memory is taken for one. */
void recording_add(EmulatedGraph *graph, const EmulatedWork &work, std::function<void()> task)
{
    for (size_t at = 0; at + sizeof(uint64_t) <= work.bytes.size(); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, work.bytes.data() + at, sizeof word);
        uint64_t block = emulate_block_at(word);
        if (block)
            graph->blocks.insert({block, graph->tasks.size()});
    }
    graph->tasks.push_back({work, std::move(task)});
}

void recording_check(const EmulatedGraph *graph)
{
    for (const auto &[block, task] : graph->blocks)
        CHECK(emulate_block_lives(block),
              "recorded work is launched, but memory of it was freed: of task %zu of %zu, %s",
              task + 1, graph->tasks.size(), graph->tasks[task].work.name.c_str());
}

const char *emulate_difference(cudaGraphExec_t before, cudaGraphExec_t now)
{
    static char text[1024];
    size_t was = before->tasks.size(), is = now->tasks.size();
    for (size_t i = 0; i < std::min(was, is); i++) {
        const EmulatedWork &a = before->tasks[i].work, &b = now->tasks[i].work;
        if (a.name != b.name) {
            snprintf(text, sizeof text, "task %zu is %s, it was %s", i + 1, b.name.c_str(),
                     a.name.c_str());
            return text;
        }
        if (a.bytes != b.bytes) {
            size_t at = 0;
            while (at < std::min(a.bytes.size(), b.bytes.size()) && a.bytes[at] == b.bytes[at])
                at++;
            snprintf(text, sizeof text, "task %zu, %s, is given something else, from byte %zu on",
                     i + 1, b.name.c_str(), at);
            return text;
        }
    }
    snprintf(text, sizeof text, "it has %zu tasks, it had %zu", is, was);
    return is == was ? nullptr : text;
}
