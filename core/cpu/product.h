/* Matrix products of one core, by oneDNN.
 *
 * oneDNN's own threads split long sums by the number of threads, so here every product runs on one
 * thread; who wants more cuts c into tiles whose size depends on the shapes alone and runs them in
 * a parallel loop. Results then cannot depend on the number of threads, and all loops stay in
 * parallel.h. Plans belong to a queue and are kept; any worker of the queue's team may run one.
 *
 * A row of a gives the same row of c wherever it stands in a product, unless a is transposed, and
 * wherever it stands among products by one plan: a text's values do not depend on what else is in
 * its batch. */
#ifndef CAMBIUM_CORE_CPU_PRODUCT_H
#define CAMBIUM_CORE_CPU_PRODUCT_H

#include "core/cpu/cpu.h"

/* c (M, N) (+)= op(a) op(b) (+ bias): row-major with leading dimensions in elements; transposed
 * operands are stored the other way round. bias (N) float32. Sums are made in float32. */
typedef struct Product {
    int64_t M, N, K;
    int64_t lda, ldb, ldc;
    DType in, out;
    bool a_transposed, b_transposed, accumulate, bias;
} Product;

typedef struct ProductPlan ProductPlan;

/* Once, before threads start: the instruction set that CAMBIUM_ISA names holds for oneDNN too. */
void product_start(void);

/* Every operation that asks for plans begins with this; it ends the plans of earlier operations
 * when there are too many. */
void product_begin(Queue *queue);

/* The plan of a product for all workers of the calling thread's team. Valid for the rest of the
 * operation. bfloat16 operands need product_takes_bf16(K). */
const ProductPlan *product_plan(Queue *queue, const Product *product);

void product_run(const ProductPlan *plan, int worker, const void *a, const void *b,
                 const float *bias, void *c);

/* The same for the first `rows` rows of a and c alone, which may be fewer than the plan's M where a
 * is not transposed: their bits are those that the whole plan gives. */
void product_run_rows(const ProductPlan *plan, int worker, int64_t rows, const void *a,
                      const void *b, const float *bias, void *c);

/* The least number of rows, `rows` or a few more, that is computed without copies: who is free to
 * choose M takes this. */
int64_t product_rows(int64_t rows, DType in, bool b_transposed);

/* Whether products of bfloat16 with this inner size run as they are; otherwise convert to float32
 * first. */
bool product_takes_bf16(int64_t inner);

void product_cache_free(ProductCache *cache);

#endif
