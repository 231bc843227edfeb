/* All parallel loops of the program. OpenMP in normal builds; plain pthreads when built with
 * CAMBIUM_PTHREADS (the thread sanitizer does not understand libgomp).
 *
 * The team belongs to the calling thread: a rank that is a thread owns its own. Each index must be
 * computed the same way whichever worker gets it, and sums over indices are made by the caller in a
 * fixed order, so that results do not depend on the number of threads. */
#ifndef CAMBIUM_CORE_BASE_PARALLEL_H
#define CAMBIUM_CORE_BASE_PARALLEL_H

#include <stdint.h>

/* Called with a range [begin, end) and the worker's number in [0, parallel_width()). */
typedef void ParallelFn(void *context, int64_t begin, int64_t end, int worker);

/* Cuts [0, n) into one contiguous piece per worker; stays on this thread when n <= grain. */
void parallel_for(int64_t n, int64_t grain, ParallelFn *fn, void *context);

/* Hands out [0, n) piece by piece of `grain` indices, for work of uneven size. */
void parallel_dynamic(int64_t n, int64_t grain, ParallelFn *fn, void *context);

/* Workers of the calling thread's team: the cores this process may use unless set. */
int parallel_width(void);
void parallel_set_width(int width); /* for the calling thread */

int parallel_cores(void); /* cores that this process may use (affinity mask, OMP_NUM_THREADS) */

#endif
