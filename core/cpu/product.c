#include "core/cpu/product.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/isa.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cpu/onednn.h"

/* libgomp's; declared here because builds without OpenMP (for the thread sanitizer) need it too. */
extern void omp_set_num_threads(int threads);

enum { PLANS_KEPT = 512, SLOTS = 1024 };

/* What one worker needs to execute a plan: oneDNN wants objects around the pointers. */
typedef struct Seat {
    dnnl_memory_t a, b, bias, c, scratch;
} Seat;

struct ProductPlan {
    Product product;
    ProductCache *cache;
    int64_t rows;     /* that the primitive computes: product_rows(M) */
    int64_t lda, ldc; /* that it sees: a vector's elements lie side by side */
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t a, b, bias, c, scratch;
    Seat *seats;
    int n_seats;
};

/* A worker's copies of operands that are not as the primitive takes them. */
typedef struct Pad {
    void *memory;
    size_t bytes;
} Pad;

struct ProductCache {
    ProductPlan *slots[SLOTS]; /* open addressing */
    int n_plans;
    void **scratch; /* one block per worker */
    size_t scratch_bytes;
    Pad *pads; /* one per worker */
    int n_workers;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine;
static dnnl_stream_t stream; /* CPU streams keep no state between executions */

static void must(dnnl_status_t status, const char *what)
{
    CHECK(status == dnnl_success, "oneDNN: %s gave status %d", what, (int)status);
}

static void make_engine(void)
{
    must(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
}

void product_start(void)
{
    const dnnl_cpu_isa_t limits[] = {
        [ISA_GENERIC] = dnnl_cpu_isa_sse41,
        [ISA_AVX2] = dnnl_cpu_isa_avx2,
        [ISA_AVX512] = dnnl_cpu_isa_avx512_core,
        [ISA_AVX512BF16] = dnnl_cpu_isa_avx512_core_amx, /* where the machine has tiles */
    };
    dnnl_set_max_cpu_isa(limits[cpu_isa()]);
}

static bool onednn_has(dnnl_cpu_isa_t wanted)
{
    return ((int)dnnl_get_effective_cpu_isa() & (int)wanted) == (int)wanted;
}

/* oneDNN 2.6's tile kernels end in an illegal instruction when the inner size is 63 and 1 to 16
 * rows are left of blocks of 64; every other size up to 600 was tried and is right. */
bool product_takes_bf16(int64_t inner)
{
    enum { BROKEN = 63 };
    if (cpu_isa() < ISA_AVX512BF16 || !onednn_has(dnnl_cpu_isa_avx512_core_bf16))
        return false;
    return inner != BROKEN || DNNL_VERSION_MAJOR >= 3 || !onednn_has(dnnl_cpu_isa_avx512_core_amx);
}

/* Whether oneDNN's AVX2 kernel computes all of so many rows alike. It takes them in blocks, halves
 * what is left where that is more than a block and a half, and goes through each block by sixes.
 * One to three rows at the end of a block are summed in another order; four and five are not. */
static bool alike(int64_t rows, bool b_transposed)
{
    enum { STEP = 6, FEWEST = 4 };
    int64_t block = b_transposed ? 96 : 48;
    if (rows >= 2 * block)
        rows = block + rows % block;
    bool halved = rows > block + block / 2;
    int64_t first = halved ? (rows + 1) / 2 : rows, second = rows - first;
    return (first % STEP == 0 || first % STEP >= FEWEST) &&
           (second % STEP == 0 || second % STEP >= FEWEST);
}

int64_t product_rows(int64_t rows, DType in, bool b_transposed)
{
    bool by_sixes =
        in == DTYPE_F32 && onednn_has(dnnl_cpu_isa_avx2) && !onednn_has(dnnl_cpu_isa_avx512_core);
    while (by_sixes && !alike(rows, b_transposed))
        rows++;
    return rows;
}

/* ---- plans ----------------------------------------------------------------------------------- */

static void describe(dnnl_memory_desc_t *desc, int64_t rows, int64_t cols, int64_t leading,
                     bool transposed, DType type)
{
    dnnl_dims_t dims = {rows, cols};
    dnnl_dims_t strides = {transposed ? 1 : leading, transposed ? leading : 1};
    must(onednn_describe(desc, dims, type == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32, strides),
         "memory description");
}

static dnnl_primitive_attr_t attributes(bool accumulate)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    must(dnnl_primitive_attr_create(&attr), "attributes");
    must(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), "scratchpad");
    must(dnnl_post_ops_create(&post), "post operations");
    if (accumulate)
        must(onednn_append_sum(post), "sum");
    must(dnnl_primitive_attr_set_post_ops(attr, post), "post operations");
    must(dnnl_post_ops_destroy(post), "post operations");
    return attr;
}

/* oneDNN 3.7's AVX-512 kernels overlook the stride of a transposed operand with one row and of a
 * result with one column: those are copied. */
static ProductPlan *plan_new(ProductCache *cache, const Product *p)
{
    ProductPlan *plan = xcalloc(1, sizeof *plan);
    plan->product = *p;
    plan->cache = cache;
    plan->rows = p->M;
    if (!p->a_transposed)
        plan->rows = product_rows(p->M, p->in, p->b_transposed);
    plan->lda = p->a_transposed && p->M == 1 ? 1 : p->lda;
    plan->ldc = p->N == 1 ? 1 : p->ldc;
    describe(&plan->a, plan->rows, p->K, plan->lda, p->a_transposed, p->in);
    describe(&plan->b, p->K, p->N, p->ldb, p->b_transposed, p->in);
    describe(&plan->c, plan->rows, p->N, plan->ldc, false, p->out);
    describe(&plan->bias, 1, p->N, p->N, false, DTYPE_F32);
    dnnl_primitive_attr_t attr = attributes(p->accumulate);
    dnnl_primitive_desc_t primitive_desc;
    omp_set_num_threads(1);
    must(onednn_matmul(&primitive_desc, engine, &plan->a, &plan->b, p->bias ? &plan->bias : NULL,
                       &plan->c, attr),
         "product description");
    must(dnnl_primitive_create(&plan->primitive, primitive_desc), "product");
    must(onednn_scratch(&plan->scratch, primitive_desc), "scratch description");
    must(dnnl_primitive_desc_destroy(primitive_desc), "product");
    must(dnnl_primitive_attr_destroy(attr), "attributes");
    return plan;
}

static void plan_free(ProductPlan *plan)
{
    for (int i = 0; i < plan->n_seats; i++) {
        Seat *seat = &plan->seats[i];
        dnnl_memory_destroy(seat->a);
        dnnl_memory_destroy(seat->b);
        dnnl_memory_destroy(seat->bias);
        dnnl_memory_destroy(seat->c);
        dnnl_memory_destroy(seat->scratch);
    }
    dnnl_primitive_destroy(plan->primitive);
    onednn_forget(&plan->a);
    onednn_forget(&plan->b);
    onednn_forget(&plan->bias);
    onednn_forget(&plan->c);
    onednn_forget(&plan->scratch);
    free(plan->seats);
    free(plan);
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *desc)
{
    dnnl_memory_t result;
    must(onednn_memory(&result, desc, engine), "memory");
    return result;
}

/* Seats and scratch for every worker of the team, which may have grown since the last call. */
static void plan_seat(ProductPlan *plan, int width)
{
    ProductCache *cache = plan->cache;
    if (plan->n_seats < width) {
        plan->seats = xrealloc(plan->seats, (size_t)width * sizeof *plan->seats);
        for (int i = plan->n_seats; i < width; i++)
            plan->seats[i] = (Seat){memory(&plan->a), memory(&plan->b), memory(&plan->bias),
                                    memory(&plan->c), memory(&plan->scratch)};
        plan->n_seats = width;
    }
    size_t bytes = onednn_bytes(&plan->scratch);
    if (bytes <= cache->scratch_bytes && width <= cache->n_workers)
        return;
    for (int i = 0; i < cache->n_workers; i++)
        free(cache->scratch[i]);
    cache->scratch_bytes = bytes > cache->scratch_bytes ? bytes : cache->scratch_bytes;
    int had = cache->n_workers;
    cache->n_workers = width > had ? width : had;
    cache->scratch = xrealloc(cache->scratch, (size_t)cache->n_workers * sizeof *cache->scratch);
    cache->pads = xrealloc(cache->pads, (size_t)cache->n_workers * sizeof *cache->pads);
    memset(cache->pads + had, 0, (size_t)(cache->n_workers - had) * sizeof *cache->pads);
    Err err;
    for (int i = 0; i < cache->n_workers; i++)
        CHECK(mem_try(&cache->scratch[i], cache->scratch_bytes + MEM_ALIGN, "product scratch",
                      &err) == STATUS_OK,
              "%s", err.text);
}

/* ---- the cache ------------------------------------------------------------------------------- */

static bool same_product(const Product *x, const Product *y)
{
    return x->M == y->M && x->N == y->N && x->K == y->K && x->lda == y->lda && x->ldb == y->ldb &&
           x->ldc == y->ldc && x->in == y->in && x->out == y->out &&
           x->a_transposed == y->a_transposed && x->b_transposed == y->b_transposed &&
           x->accumulate == y->accumulate && x->bias == y->bias;
}

static unsigned slot_of(const Product *p)
{
    const int64_t parts[] = {
        p->M,  p->N,   p->K,    p->lda,        p->ldb,          p->ldc,
        p->in, p->out, p->bias, p->accumulate, p->a_transposed, p->b_transposed};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash = (hash ^ (uint64_t)parts[i]) * 0x9e3779b97f4a7c15u;
    return (unsigned)(hash >> 32) % SLOTS;
}

static void cache_empty(ProductCache *cache)
{
    for (int i = 0; i < SLOTS; i++)
        if (cache->slots[i])
            plan_free(cache->slots[i]);
    memset(cache->slots, 0, sizeof cache->slots);
    cache->n_plans = 0;
}

void product_cache_free(ProductCache *cache)
{
    if (!cache)
        return;
    cache_empty(cache);
    for (int i = 0; i < cache->n_workers; i++) {
        free(cache->scratch[i]);
        free(cache->pads[i].memory);
    }
    free(cache->scratch);
    free(cache->pads);
    free(cache);
}

void product_begin(Queue *queue)
{
    pthread_once(&once, make_engine);
    if (!queue->products)
        queue->products = xcalloc(1, sizeof *queue->products);
    if (queue->products->n_plans > PLANS_KEPT)
        cache_empty(queue->products);
}

const ProductPlan *product_plan(Queue *queue, const Product *product)
{
    ProductCache *cache = queue->products;
    unsigned slot = slot_of(product);
    while (cache->slots[slot] && !same_product(&cache->slots[slot]->product, product))
        slot = (slot + 1) % SLOTS;
    if (!cache->slots[slot]) {
        CHECK(product->in == DTYPE_F32 || product_takes_bf16(product->K),
              "no bfloat16 products here");
        cache->slots[slot] = plan_new(cache, product);
        cache->n_plans++;
    }
    plan_seat(cache->slots[slot], parallel_width());
    return cache->slots[slot];
}

/* ---- execution ------------------------------------------------------------------------------- */

static void execute(const ProductPlan *plan, int worker, const void *a, const void *b,
                    const float *bias, void *c)
{
    const Seat *seat = &plan->seats[worker];
    omp_set_num_threads(1);
    /* oneDNN's interface does not know const. */
    dnnl_memory_set_data_handle(seat->a, (void *)(uintptr_t)a);
    dnnl_memory_set_data_handle(seat->b, (void *)(uintptr_t)b);
    dnnl_memory_set_data_handle(seat->bias, (void *)(uintptr_t)bias);
    dnnl_memory_set_data_handle(seat->c, c);
    dnnl_memory_set_data_handle(seat->scratch, plan->cache->scratch[worker]);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, seat->a},
                                    {DNNL_ARG_WEIGHTS, seat->b},
                                    {DNNL_ARG_DST, seat->c},
                                    {DNNL_ARG_SCRATCHPAD, seat->scratch},
                                    {DNNL_ARG_BIAS, seat->bias}};
    must(dnnl_primitive_execute(plan->primitive, stream, plan->product.bias ? 5 : 4, args),
         "execution");
}

static void *pad_of(const ProductPlan *plan, int worker, size_t bytes)
{
    Pad *pad = &plan->cache->pads[worker];
    if (bytes > pad->bytes) {
        free(pad->memory);
        Err err;
        CHECK(mem_try(&pad->memory, bytes, "product scratch", &err) == STATUS_OK, "%s", err.text);
        pad->bytes = bytes;
    }
    return pad->memory;
}

static void copy_rows(void *to, size_t to_stride, const void *from, size_t from_stride,
                      int64_t rows, size_t row_bytes)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)to + (size_t)i * to_stride, (const char *)from + (size_t)i * from_stride,
               row_bytes);
}

static void run_copied(const ProductPlan *plan, int worker, int64_t rows, const void *a,
                       const void *b, const float *bias, void *c)
{
    const Product *p = &plan->product;
    bool copy_a = rows != plan->rows || plan->lda != p->lda;
    bool copy_c = rows != plan->rows || plan->ldc != p->ldc;
    int64_t a_rows = p->a_transposed ? p->K : rows, missing = plan->rows - rows;
    size_t in = dtype_bytes(p->in), out = dtype_bytes(p->out);
    size_t a_row = (size_t)(p->a_transposed ? p->M : p->K) * in, c_row = (size_t)p->N * out;
    size_t a_stride = (size_t)plan->lda * in, c_stride = (size_t)plan->ldc * out;
    size_t a_bytes = copy_a ? (size_t)(a_rows + missing) * a_stride : 0;
    a_bytes = (a_bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    size_t c_bytes = copy_c ? (size_t)plan->rows * c_stride : 0;
    char *a_pad = pad_of(plan, worker, a_bytes + c_bytes), *c_pad = a_pad + a_bytes;
    if (copy_a) {
        copy_rows(a_pad, a_stride, a, (size_t)p->lda * in, a_rows, a_row);
        memset(a_pad + (size_t)a_rows * a_stride, 0, (size_t)missing * a_stride);
    }
    if (copy_c && p->accumulate) {
        copy_rows(c_pad, c_stride, c, (size_t)p->ldc * out, rows, c_row);
        memset(c_pad + (size_t)rows * c_stride, 0, (size_t)missing * c_stride);
    }
    execute(plan, worker, copy_a ? a_pad : a, b, bias, copy_c ? c_pad : c);
    if (copy_c)
        copy_rows(c, (size_t)p->ldc * out, c_pad, c_stride, rows, c_row);
}

void product_run_rows(const ProductPlan *plan, int worker, int64_t rows, const void *a,
                      const void *b, const float *bias, void *c)
{
    const Product *p = &plan->product;
    DCHECK(worker < plan->n_seats, "worker %d of a plan for %d", worker, plan->n_seats);
    DCHECK(rows <= p->M && !(rows < p->M && p->a_transposed), "%lld rows of a plan for %lld",
           (long long)rows, (long long)p->M);
    if (rows == plan->rows && plan->lda == p->lda && plan->ldc == p->ldc)
        execute(plan, worker, a, b, bias, c);
    else
        run_copied(plan, worker, rows, a, b, bias, c);
}

void product_run(const ProductPlan *plan, int worker, const void *a, const void *b,
                 const float *bias, void *c)
{
    product_run_rows(plan, worker, plan->product.M, a, b, bias, c);
}
