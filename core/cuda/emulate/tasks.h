/* Between the emulated runtime and what it runs: kernels, and products in a library's place. */
#ifndef CAMBIUM_CORE_CUDA_EMULATE_TASKS_H
#define CAMBIUM_CORE_CUDA_EMULATE_TASKS_H

#include <functional>
#include <string>

struct EmulatedStream;

/* What a task is: its name, and all it is given as bytes (emulate_bytes), addresses among them. */
struct EmulatedWork {
    std::string name, bytes;
};

/* Puts work at the end of a stream, or into the graph that is being captured from it. */
void emulate_enqueue(EmulatedStream *stream, const EmulatedWork &work, std::function<void()> task);

/* Arguments as bytes, each from a multiple of eight on. The gaps between members become zeros:
 * equal arguments are equal bytes. */
template <typename... Args> std::string emulate_bytes(Args... args)
{
    std::string bytes;
    [[maybe_unused]] auto add = [&](auto *arg) {
#if defined __has_builtin
#if __has_builtin(__builtin_clear_padding)
        __builtin_clear_padding(arg);
#endif
#endif
        bytes.append((const char *)arg, sizeof *arg);
        bytes.resize((bytes.size() + 7) / 8 * 8);
    };
    (add(&args), ...);
    return bytes;
}

/* What cudaGetLastError tells this thread next. */
void emulate_fail(int code);

/* The compute capability that the emulated device has. */
void emulate_capability(int *major, int *minor);

#endif
