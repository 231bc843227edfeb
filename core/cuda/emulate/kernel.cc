/* Runs a kernel's threads as contexts that wait for each other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/cuda/emulate/device.h"
#include "core/cuda/emulate/recording.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" {
#include "core/base/err.h"
}

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

static const int LANES = 32, SLOT = 64, STACK = 256 * 1024;

/* A copy to shared memory that has been asked for. */
struct PendingCopy {
    void *to;
    const void *from;
    bool valid;
};

/* A stack of its own on which threads run, one after the other. */
struct Fiber {
    void *state[5]; /* of __builtin_setjmp */
    char *stack;
    bool begun;
    void *fake_stack;
};

enum Wait { WAIT_NONE, WAIT_BLOCK, WAIT_WARP };

struct Thread {
    uint3 index;
    Fiber *fiber;
    Wait wait;
    const char *what; /* it waits in */
    bool finished;
    std::vector<std::vector<PendingCopy>> groups; /* the last one is open */
};

struct Warp {
    unsigned char slots[2][LANES * SLOT];
    int turn[LANES]; /* which of the two a lane writes next */
    int arrived;
    const char *what;
};

/* The block that runs. */
static struct {
    const char *kernel;
    const std::function<void()> *body;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    int at_barrier, finished;
    int votes, votes_result;
    unsigned char *shared;
    Thread *current;
} block;

/* Never destroyed: streams may still run when the process ends. */
static std::vector<Fiber *> &idle = *new std::vector<Fiber *>;
static void *scheduler[5];
static void *scheduler_fake_stack;
static const void *scheduler_stack;
static size_t scheduler_stack_size;

/* ---- switching ------------------------------------------------------------------------------- */

static void switch_begins(void **fake_stack, const void *stack, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

static void switch_ended(void *fake_stack, const void **stack, size_t *size)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

/* GCC's own pair of jumps: the library's is intercepted by the address sanitizer, which then clears
 * the whole stack's shadow at every switch. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static void jump(void **to)
{
    __builtin_longjmp(to, 1);
}

__attribute__((noinline, no_sanitize("address", "undefined"))) static void
change_stacks(void **from, void **to)
{
    if (__builtin_setjmp(from) == 0)
        jump(to);
}

static void to_scheduler(Fiber *fiber)
{
    switch_begins(&fiber->fake_stack, scheduler_stack, scheduler_stack_size);
    change_stacks(fiber->state, scheduler);
    switch_ended(fiber->fake_stack, &scheduler_stack, &scheduler_stack_size);
}

static void fiber_main()
{
    switch_ended(nullptr, &scheduler_stack, &scheduler_stack_size);
    for (;;) {
        Thread *thread = block.current;
        (*block.body)();
        thread->finished = true;
        block.finished++;
        to_scheduler(thread->fiber);
    }
}

static Fiber *fiber_take()
{
    if (!idle.empty()) {
        Fiber *fiber = idle.back();
        idle.pop_back();
        return fiber;
    }
    Fiber *fiber = new Fiber();
    fiber->stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(fiber->stack != MAP_FAILED, "no memory for an emulated thread");
    return fiber;
}

/* Enters a stack for the first time. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static void begin(Fiber *fiber)
{
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber->stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    if (__builtin_setjmp(scheduler) == 0)
        setcontext(&context);
}

static void resume(Thread *thread)
{
    block.current = thread;
    threadIdx = thread->index;
    Fiber *fiber = thread->fiber;
    switch_begins(&scheduler_fake_stack, fiber->stack, STACK);
    if (fiber->begun) {
        change_stacks(scheduler, fiber->state);
    } else {
        fiber->begun = true;
        begin(fiber);
    }
    switch_ended(scheduler_fake_stack, nullptr, nullptr);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void fail(const char *what)
{
    fprintf(stderr, "emulated kernel %s, block (%u, %u, %u): %s\n", block.kernel, blockIdx.x,
            blockIdx.y, blockIdx.z, what);
    for (size_t i = 0; i < block.threads.size(); i += LANES) {
        const Thread *t = &block.threads[i];
        fprintf(stderr, "  thread %zu: %s\n", i, t->finished ? "finished" : t->what ? t->what : "");
    }
    abort();
}

static void wait_here(Wait wait, const char *what)
{
    Thread *thread = block.current;
    thread->wait = wait;
    thread->what = what;
    to_scheduler(thread->fiber);
    thread->what = nullptr;
}

/* The last thread to come lets all go on, itself included. */
static int barrier(int vote)
{
    block.votes += vote;
    if (++block.at_barrier < (int)block.threads.size()) {
        wait_here(WAIT_BLOCK, "waits at __syncthreads");
    } else {
        block.votes_result = block.votes;
        block.votes = block.at_barrier = 0;
        for (Thread &thread : block.threads)
            if (thread.wait == WAIT_BLOCK)
                thread.wait = WAIT_NONE;
    }
    return block.votes_result;
}

void __syncthreads()
{
    barrier(0);
}

int __syncthreads_count(int predicate)
{
    return barrier(predicate != 0);
}

int __syncthreads_or(int predicate)
{
    return barrier(predicate != 0) != 0;
}

int emulate_lane()
{
    return (int)((block.current - block.threads.data()) % LANES);
}

const unsigned char *emulate_exchange(const void *mine, int bytes, const char *what)
{
    int number = (int)(block.current - block.threads.data()), lane = number % LANES;
    Warp *warp = &block.warps[(size_t)(number / LANES)];
    int turn = warp->turn[lane];
    warp->turn[lane] = 1 - turn;
    if (warp->arrived > 0 && strcmp(warp->what, what) != 0)
        fail("lanes of one warp are in different collectives");
    warp->what = what;
    memcpy(warp->slots[turn] + lane * SLOT, mine, (size_t)bytes);
    if (++warp->arrived < LANES) {
        wait_here(WAIT_WARP, what);
    } else {
        warp->arrived = 0;
        size_t first = (size_t)(number / LANES * LANES);
        for (size_t i = first; i < first + (size_t)LANES; i++)
            block.threads[i].wait = WAIT_NONE;
    }
    return warp->slots[turn];
}

void __syncwarp(unsigned)
{
    emulate_exchange("", 0, "__syncwarp");
}

unsigned __ballot_sync(unsigned, int predicate)
{
    unsigned char bit = predicate != 0;
    const unsigned char *all = emulate_exchange(&bit, 1, "a vote");
    unsigned ballot = 0;
    for (int lane = 0; lane < LANES; lane++)
        ballot |= (unsigned)all[lane * SLOT] << lane;
    return ballot;
}

/* ---- tensor cores and asynchronous copies ---------------------------------------------------- */

static float half_of(const unsigned char *lane, int word, int high)
{
    uint32_t pair;
    memcpy(&pair, lane + 4 * word, sizeof pair);
    return bf16_to_f32((uint16_t)(high ? pair >> 16 : pair));
}

void emulate_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const unsigned char *all = emulate_exchange(mine, sizeof mine, "mma");
    int g = emulate_lane() / 4, t = emulate_lane() % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (int k = 0; k < 16; k++) {
            /* Who holds a[row][k] and b[k][column]. */
            const unsigned char *of_a = all + SLOT * (row % 8 * 4 + k % 8 / 2);
            const unsigned char *of_b = all + SLOT * (column * 4 + k % 8 / 2);
            d[i] += half_of(of_a, row / 8 + k / 8 * 2, k % 2) * half_of(of_b, 4 + k / 8, k % 2);
        }
    }
}

void emulate_load_matrices(uint32_t out[4], const void *row, bool transposed)
{
    const unsigned char *all = emulate_exchange(&row, sizeof row, "ldmatrix");
    int lane = emulate_lane();
    for (int m = 0; m < 4; m++) {
        uint16_t pair[2];
        for (int i = 0; i < 2; i++) {
            int r = transposed ? 2 * (lane % 4) + i : lane / 4;
            int c = transposed ? lane / 4 : 2 * (lane % 4) + i;
            const uint16_t *from;
            memcpy(&from, all + SLOT * (m * 8 + r), sizeof from);
            CHECK((uintptr_t)from % 16 == 0, "%s: ldmatrix from an unaligned row", block.kernel);
            pair[i] = from[c];
        }
        out[m] = (uint32_t)pair[0] | (uint32_t)pair[1] << 16;
    }
}

void emulate_copy_async(void *shared, const void *global, bool valid)
{
    CHECK((uintptr_t)shared % 16 == 0 && (!valid || (uintptr_t)global % 16 == 0),
          "%s: an asynchronous copy is not aligned to 16 bytes", block.kernel);
    memset(shared, 0xff, 16); /* whoever reads before the copy is waited for sees no number */
    block.current->groups.back().push_back({shared, global, valid});
}

void emulate_copy_commit()
{
    block.current->groups.emplace_back();
}

void emulate_copy_wait(int groups_left)
{
    std::vector<std::vector<PendingCopy>> &groups = block.current->groups;
    while ((int)groups.size() - 1 > groups_left) {
        for (const PendingCopy &copy : groups.front()) {
            if (copy.valid)
                memcpy(copy.to, copy.from, 16);
            else
                memset(copy.to, 0, 16);
        }
        groups.erase(groups.begin());
    }
}

unsigned char *emulate_shared_memory()
{
    return block.shared;
}

/* ---- running --------------------------------------------------------------------------------- */

enum Order { FORWARDS, BACKWARDS, SHUFFLED };

static Order order_wanted()
{
    const char *name = getenv("CAMBIUM_EMULATE_ORDER");
    return !name                            ? FORWARDS
           : strcmp(name, "backwards") == 0 ? BACKWARDS
           : strcmp(name, "shuffled") == 0  ? SHUFFLED
                                            : FORWARDS;
}

static void shuffle(std::vector<size_t> *order, uint32_t *random)
{
    for (size_t i = order->size(); i > 1; i--) {
        *random = *random * 1664525u + 1013904223u;
        std::swap((*order)[i - 1], (*order)[(*random >> 8) % i]);
    }
}

static void run_block(dim3 size, size_t shared)
{
    size_t n = (size_t)size.x * size.y * size.z;
    block.threads.assign(n, Thread());
    block.warps.assign(n / LANES, Warp());
    block.at_barrier = block.finished = block.votes = 0;
    block.shared = nullptr;
    if (shared) {
        CHECK(posix_memalign((void **)&block.shared, 128, shared) == 0, "no shared memory");
        memset(block.shared, 0xff, shared);
    }
    std::vector<size_t> order(n);
    for (size_t i = 0; i < n; i++) {
        unsigned number = (unsigned)i;
        order[i] = i;
        block.threads[i].index = {number % size.x, number / size.x % size.y,
                                  number / size.x / size.y};
        block.threads[i].groups.emplace_back();
    }
    uint32_t random = blockIdx.x * 977u + blockIdx.y * 131u + 7u;
    Order wanted = order_wanted();
    if (wanted == BACKWARDS)
        std::reverse(order.begin(), order.end());
    while (block.finished < (int)n) {
        bool moved = false;
        if (wanted == SHUFFLED)
            shuffle(&order, &random);
        for (size_t i : order) {
            Thread *thread = &block.threads[i];
            if (thread->finished || thread->wait != WAIT_NONE)
                continue;
            if (!thread->fiber)
                thread->fiber = fiber_take();
            resume(thread);
            moved = true;
            if (thread->finished)
                idle.push_back(thread->fiber);
        }
        if (!moved)
            fail("its threads wait for others that will not come");
    }
    free(block.shared);
}

/* With CAMBIUM_EMULATE_LOG naming a file, each kernel that ran is added to it as a line. */
static void note_kernel(EmulatedKernel *kernel)
{
    const char *path = getenv("CAMBIUM_EMULATE_LOG");
    if (kernel->launches++ > 0 || !path)
        return;
    FILE *file = fopen(path, "a");
    if (file) {
        fprintf(file, "%s\n", kernel->symbol);
        fclose(file);
    }
}

/* ---- blocks in several orders ---------------------------------------------------------------- */

/* Device memory with what it held. */
typedef std::map<uint64_t, std::string> Memory;

/* The blocks of device memory that a kernel's arguments reach into. */
static Memory memory_of(const std::string &arguments)
{
    Memory memory;
    for (size_t at = 0; at + sizeof(uint64_t) <= arguments.size(); at += sizeof(uint64_t)) {
        uint64_t word, begin;
        memcpy(&word, arguments.data() + at, sizeof word);
        size_t bytes = emulate_block_range(word, &begin);
        if (bytes && !memory.count(begin))
            memory[begin] = std::string((const char *)begin, bytes);
    }
    return memory;
}

static void run_blocks(dim3 size, size_t shared, Order wanted)
{
    std::vector<size_t> order((size_t)gridDim.x * gridDim.y * gridDim.z);
    for (size_t i = 0; i < order.size(); i++)
        order[i] = i;
    uint32_t random = 4711;
    if (wanted == BACKWARDS)
        std::reverse(order.begin(), order.end());
    if (wanted == SHUFFLED)
        shuffle(&order, &random);
    for (size_t i : order) {
        blockIdx = {(unsigned)(i % gridDim.x), (unsigned)(i / gridDim.x % gridDim.y),
                    (unsigned)(i / gridDim.x / gridDim.y)};
        run_block(size, shared);
    }
}

/* Runs the blocks once more in another order, which must leave the same bits. */
static void run_again(dim3 size, size_t shared, Order order, const Memory &before,
                      const Memory &after)
{
    for (const auto &[begin, bytes] : before)
        memcpy((void *)begin, bytes.data(), bytes.size());
    run_blocks(size, shared, order);
    for (const auto &[begin, bytes] : after)
        CHECK(memcmp((const void *)begin, bytes.data(), bytes.size()) == 0,
              "%s: its blocks leave other bits when they run %s", block.kernel,
              order == BACKWARDS ? "backwards" : "shuffled");
}

/* Whether this launch of several blocks is also made in other orders: one of more blocks than all
 * before it is (two that get in each other's way may do so unseen, as a + b = b + a), and so many
 * of the others that little time goes into them. */
static bool in_other_orders(EmulatedKernel *kernel, size_t blocks, size_t threads)
{
    const size_t largest = 1 << 14, free_threads = 1 << 12, share = 16;
    size_t cost = 2 * blocks * threads;
    if (blocks == 1)
        return false;
    kernel->threads += blocks * threads;
    if ((blocks <= kernel->blocks_again || cost > largest) &&
        cost + kernel->threads_again > free_threads + kernel->threads / share)
        return false;
    kernel->blocks_again = std::max(kernel->blocks_again, blocks);
    kernel->threads_again += cost;
    return true;
}

static void run_kernel(EmulatedKernel *kernel, dim3 grid, dim3 size, size_t shared,
                       const std::function<void()> &body, const std::string &arguments)
{
    note_kernel(kernel);
    block.kernel = kernel->symbol;
    block.body = &body;
    gridDim = grid;
    blockDim = size;
    bool again =
        in_other_orders(kernel, (size_t)grid.x * grid.y * grid.z, (size_t)size.x * size.y * size.z);
    Memory before = again ? memory_of(arguments) : Memory();
    run_blocks(size, shared, FORWARDS);
    if (!again)
        return;
    Memory after = memory_of(arguments);
    run_again(size, shared, BACKWARDS, before, after);
    run_again(size, shared, SHUFFLED, before, after);
}

void emulate_launch_kernel(cudaStream_t stream, const void *function, dim3 grid, dim3 size,
                           size_t shared, std::function<void()> thread,
                           const std::string &arguments)
{
    size_t n = (size_t)size.x * size.y * size.z;
    EmulatedKernel *kernel = emulate_kernel(function);
    CHECK(n > 0 && n <= 1024 && n % LANES == 0, "%s: a block of %zu threads", kernel->symbol, n);
    CHECK(grid.y < 65536 && grid.z < 65536, "%s: a grid of %u x %u x %u", kernel->symbol, grid.x,
          grid.y, grid.z);
    if (shared > kernel->dynamic_shared || kernel->static_shared + shared > emulate_shared_most()) {
        emulate_fail(cudaErrorInvalidValue);
        return;
    }
    emulate_enqueue(stream, {kernel->symbol, emulate_bytes(grid, size, shared) + arguments},
                    [=] { run_kernel(kernel, grid, size, shared, thread, arguments); });
}
