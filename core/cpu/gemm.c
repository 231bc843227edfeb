/* gemm and sum_rows: cut into tiles by shape, each tile on one core. */
#include "core/base/parallel.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/kernels.h"
#include "core/cpu/product.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

static int64_t ceil_div(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int64_t round_up(int64_t n, int64_t to)
{
    return ceil_div(n, to) * to;
}

/* One product and how c is cut: `by_rows` into strips of `step` rows, else of `step` columns. */
typedef struct GemmRun {
    const GemmArgs *args;
    GemmDims d;
    bool by_rows;
    int64_t step, tiles;
    const ProductPlan *whole, *last; /* plans of a full tile and of the last one; the same for
                                      * strips of rows, so that all rows are computed alike */
} GemmRun;

/* The activation of rows [row, row + rows) and columns [col, col + cols) of c, from pre when it is
 * kept, else in place. */
static void activate(const GemmRun *run, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    const GemmArgs *args = run->args;
    if (args->act != ACT_GELU)
        return;
    const Tensor *from = args->pre.data ? &args->pre : &args->c;
    const ActKernels *kernels = act_kernels();
    if (cols == run->d.N) { /* whole rows are one run of memory */
        cols *= rows;
        rows = 1;
    }
    for (int64_t i = row; i < row + rows; i++) {
        int64_t at = i * run->d.N + col;
        kernels->gelu(args->c.dtype, cpu_at(from, at), cpu_at(&args->c, at), cols);
    }
}

static void run_tiles(void *context, int64_t begin, int64_t end, int worker)
{
    const GemmRun *run = context;
    const GemmArgs *args = run->args;
    const GemmDims *d = &run->d;
    const Tensor *target = args->pre.data ? &args->pre : &args->c;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t from = tile * run->step;
        int64_t row = run->by_rows ? from : 0, col = run->by_rows ? 0 : from;
        bool last = tile == run->tiles - 1;
        int64_t size = last ? (run->by_rows ? d->M : d->N) - from : run->step;
        product_run_rows(last ? run->last : run->whole, worker, run->by_rows ? size : d->M,
                         cpu_at(&args->a, args->a_transposed ? row : row * d->K),
                         cpu_at(&args->b, args->b_transposed ? col * d->K : col),
                         args->bias.data ? cpu_f32(&args->bias) + col : NULL,
                         cpu_at(target, row * d->N + col));
        activate(run, row, run->by_rows ? size : d->M, col, run->by_rows ? d->N : size);
    }
}

/* oneDNN packs b anew for every strip of rows, so strips are high; their number is a multiple of
 * four so that small teams share them evenly. Low products are cut by columns. */
static void choose_tiles(GemmRun *run)
{
    enum { TINY = 1 << 20, ROWS = 256, COLS = 1024 };
    const GemmDims *d = &run->d;
    run->by_rows = d->M >= ROWS || d->M >= d->N;
    int64_t n = run->by_rows ? d->M : d->N;
    if (d->M * d->N * d->K < TINY) {
        run->step = n;
    } else {
        int64_t tiles = round_up(ceil_div(n, run->by_rows ? ROWS : COLS), 4);
        int64_t step = round_up(ceil_div(n, tiles), run->by_rows ? 16 : 64);
        if (run->by_rows && !run->args->a_transposed)
            step = product_rows(step, run->args->a.dtype, run->args->b_transposed);
        run->step = step < n ? step : n;
    }
    /* oneDNN sums a single column in an order of its own: the last tile takes it along. */
    bool lone = !run->by_rows && n > run->step && n % run->step == 1;
    run->tiles = ceil_div(n - lone, run->step);
}

static void gemm_tiles(Queue *queue, const GemmArgs *args, GemmDims d)
{
    GemmRun run = {.args = args, .d = d};
    choose_tiles(&run);
    Product p = {.M = d.M,
                 .N = d.N,
                 .K = d.K,
                 .lda = args->a_transposed ? d.M : d.K,
                 .ldb = args->b_transposed ? d.K : d.N,
                 .ldc = d.N,
                 .in = args->a.dtype,
                 .out = args->c.dtype,
                 .a_transposed = args->a_transposed,
                 .b_transposed = args->b_transposed,
                 .accumulate = args->accumulate,
                 .bias = args->bias.data != NULL};
    int64_t *cut = run.by_rows ? &p.M : &p.N, n = *cut;
    product_begin(queue);
    *cut = run.step;
    run.whole = product_plan(queue, &p);
    if (!run.by_rows || args->a_transposed)
        *cut = n - (run.tiles - 1) * run.step;
    run.last = product_plan(queue, &p);
    parallel_dynamic(run.tiles, 1, run_tiles, &run);
}

/* ---- few rows -------------------------------------------------------------------------------- */

static void run_gemv(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const GemmRun *run = context;
    const GemmArgs *args = run->args;
    const Tensor *target = args->pre.data ? &args->pre : &args->c;
    GemvTask task = {.a = cpu_ptr(&args->a),
                     .w = cpu_at(&args->b, begin * run->d.K),
                     .bias = args->bias.data ? cpu_f32(&args->bias) + begin : NULL,
                     .c = cpu_at(target, begin),
                     .in = args->a.dtype,
                     .out = args->c.dtype,
                     .accumulate = args->accumulate,
                     .M = run->d.M,
                     .n = end - begin,
                     .K = run->d.K,
                     .ldc = run->d.N};
    gemm_kernels()->gemv(&task);
    activate(run, 0, run->d.M, begin, end - begin);
}

/* ---- bfloat16 that no instructions take ------------------------------------------------------ */

typedef struct Conversion {
    const void *from;
    void *to;
    DType from_type, to_type;
} Conversion;

static void run_conversion(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Conversion *c = context;
    for (int64_t i = begin; i < end; i++)
        element_put(c->to, c->to_type, i, element_get(c->from, c->from_type, i));
}

static void convert(const Tensor *from, const Tensor *to)
{
    Conversion c = {cpu_ptr(from), cpu_ptr(to), from->dtype, to->dtype};
    parallel_for(tensor_count(from), 4096, run_conversion, &c);
}

/* The same product on float32 copies of the operands, and of c where that is bfloat16. */
static void gemm_converted(Queue *queue, const GemmArgs *args, GemmDims d)
{
    size_t a_count = (size_t)(d.M * d.K), b_count = (size_t)(d.K * d.N);
    bool copy_c = args->c.dtype == DTYPE_BF16;
    size_t c_count = copy_c ? (size_t)(d.M * d.N) : 0;
    float *scratch = cpu_scratch(queue, (a_count + b_count + c_count) * sizeof *scratch);
    GemmArgs wide = *args;
    wide.a.dtype = wide.b.dtype = wide.c.dtype = DTYPE_F32;
    wide.a.data = cpu_flip(scratch);
    wide.b.data = cpu_flip(scratch + a_count);
    convert(&args->a, &wide.a);
    convert(&args->b, &wide.b);
    if (copy_c) {
        wide.c.data = cpu_flip(scratch + a_count + b_count);
        wide.act = ACT_NONE;
        wide.pre.data = NULL;
        if (args->accumulate)
            convert(&args->c, &wide.c);
    }
    gemm_tiles(queue, &wide, d);
    if (!copy_c)
        return;
    convert(&wide.c, args->pre.data ? &args->pre : &args->c);
    activate(&(GemmRun){.args = args, .d = d}, 0, d.M, 0, d.N);
}

void cpu_gemm(Queue *queue, const GemmArgs *args)
{
    GemmDims d = gemm_dims(args);
    if (d.M == 0 || d.N == 0)
        return;
    if (d.K == 0) {
        ref_gemm(queue, args); /* bias and activation alone */
    } else if (d.M <= GEMV_ROWS_MAX && !args->a_transposed && args->b_transposed) {
        GemmRun run = {.args = args, .d = d};
        parallel_for(d.N, ceil_div(1 << 15, d.K), run_gemv, &run);
    } else if (args->a.dtype == DTYPE_BF16 && !product_takes_bf16(d.K)) {
        gemm_converted(queue, args, d);
    } else {
        gemm_tiles(queue, args, d);
    }
}

/* ---- sum_rows -------------------------------------------------------------------------------- */

typedef struct SumRun {
    const SumRowsArgs *args;
    int64_t rows, N;
} SumRun;

/* Columns are shared out, and each column is summed in blocks of rows whose sums are added in
 * order: enough for float32 sums of any length. */
static void run_sum_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    enum { BLOCK = 256, COLS = 256 };
    const SumRun *run = context;
    const Tensor *x = &run->args->x;
    const GemmKernels *kernels = gemm_kernels();
    float *out = cpu_f32(&run->args->out);
    for (int64_t col = begin; col < end; col += COLS) {
        int64_t n = end - col < COLS ? end - col : COLS;
        float total[COLS] = {0}, sums[COLS];
        for (int64_t row = 0; row < run->rows; row += BLOCK) {
            int64_t rows = run->rows - row < BLOCK ? run->rows - row : BLOCK;
            memset(sums, 0, sizeof sums);
            kernels->add_rows(x->dtype, cpu_at(x, row * run->N + col), rows, run->N, sums, n);
            for (int64_t j = 0; j < n; j++)
                total[j] += sums[j];
        }
        for (int64_t j = 0; j < n; j++)
            out[col + j] = total[j] + (run->args->accumulate ? out[col + j] : 0.0f);
    }
}

void cpu_sum_rows(Queue *queue, const SumRowsArgs *args)
{
    (void)queue;
    SumRun run = {args, tensor_rows(&args->x), tensor_cols(&args->x)};
    CHECK(is_compute_type(args->x.dtype) && tensor_count(&args->out) == run.N, "sum_rows: shapes");
    parallel_for(run.N, 64, run_sum_rows, &run);
}
