#include "core/base/parallel.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#ifdef CAMBIUM_PTHREADS
#include <pthread.h>
#else
#include <omp.h>
#endif

#include "core/base/err.h"

enum { WIDTH_MAX = 256 };

static _Thread_local int team_width;    /* 0: not set yet */
static _Thread_local int inside_region; /* a nested loop runs on its own thread */

int parallel_cores(void)
{
    const char *text = getenv("OMP_NUM_THREADS");
    int wanted = text ? atoi(text) : 0;
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int width = wanted > 0 ? wanted : cores;
    return width < WIDTH_MAX ? width : WIDTH_MAX;
}

int parallel_width(void)
{
    if (inside_region)
        return 1;
    if (!team_width)
        team_width = parallel_cores();
    return team_width;
}

void parallel_set_width(int width)
{
    CHECK(width >= 1, "a team needs a worker, not %d", width);
    team_width = width < WIDTH_MAX ? width : WIDTH_MAX;
}

/* One loop, shared by its workers. */
typedef struct Region {
    ParallelFn *fn;
    void *context;
    int64_t n;
    int64_t grain;
    int width;
    bool dynamic;
    atomic_llong next; /* dynamic: first index not handed out */
} Region;

static void region_work(Region *region, int worker)
{
    int outer = inside_region;
    inside_region = 1;
    if (!region->dynamic) {
        int64_t begin = region->n * worker / region->width;
        int64_t end = region->n * (worker + 1) / region->width;
        if (begin < end)
            region->fn(region->context, begin, end, worker);
    } else {
        for (;;) {
            int64_t begin = atomic_fetch_add(&region->next, region->grain);
            if (begin >= region->n)
                break;
            int64_t end = begin + region->grain < region->n ? begin + region->grain : region->n;
            region->fn(region->context, begin, end, worker);
        }
    }
    inside_region = outer;
}

#ifdef CAMBIUM_PTHREADS
typedef struct Seat {
    Region *region;
    int worker;
} Seat;

static void *seat_main(void *argument)
{
    Seat *seat = argument;
    region_work(seat->region, seat->worker);
    return NULL;
}

static void region_run(Region *region)
{
    pthread_t threads[WIDTH_MAX];
    Seat seats[WIDTH_MAX];
    for (int i = 1; i < region->width; i++) {
        seats[i] = (Seat){region, i};
        CHECK(pthread_create(&threads[i], NULL, seat_main, &seats[i]) == 0, "no thread");
    }
    region_work(region, 0);
    for (int i = 1; i < region->width; i++)
        pthread_join(threads[i], NULL);
}
#else
static void region_run(Region *region)
{
#pragma omp parallel num_threads(region->width)
    {
        /* OpenMP may give fewer threads than asked for: each then takes several shares. */
        for (int w = omp_get_thread_num(); w < region->width; w += omp_get_num_threads())
            region_work(region, w);
    }
}
#endif

static void loop(int64_t n, int64_t grain, bool dynamic, ParallelFn *fn, void *context)
{
    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
    int width = parallel_width();
    int64_t pieces = (n + grain - 1) / grain;
    if (width > pieces)
        width = (int)pieces;
    Region region = {
        .fn = fn, .context = context, .n = n, .grain = grain, .width = width, .dynamic = dynamic};
    if (width == 1)
        fn(context, 0, n, 0);
    else
        region_run(&region);
}

void parallel_for(int64_t n, int64_t grain, ParallelFn *fn, void *context)
{
    loop(n, grain, false, fn, context);
}

void parallel_dynamic(int64_t n, int64_t grain, ParallelFn *fn, void *context)
{
    loop(n, grain, true, fn, context);
}
