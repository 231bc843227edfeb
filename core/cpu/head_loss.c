/* Head, softmax and cross-entropy in pieces of the vocabulary.
 *
 * For a group of rows: (1) per chunk of words, logits in float32, their largest value and the sum
 * of exponentials; only the exponentials, relative to the chunk's largest, are kept, in compute
 * type. (2) Per row, the log-sum-exp from the chunks' sums. (3) Per chunk, the exponentials become
 * gradients of the logits by one factor per row, and the products for dweight and dx follow while
 * they are in cache. So three products are enough, dweight is read and written once per group, and
 * the loss sees float32 logits. The group is as large as a fixed size of scratch allows, since each
 * group passes over weight and dweight anew. Cuts depend on the shapes alone. */
#include <math.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/kernels.h"
#include "core/cpu/product.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

enum {
    WORDS = 384,        /* of a chunk */
    LEADING = 384 + 32, /* of its rows in memory: no power of two, which would share cache sets */
    ROWS_MAX = 512,
    SLICES_MAX = 16,
    SCRATCH_COUNT = 32 << 20, /* elements for the exponentials of a group, and for parts of dx */
};

typedef struct HeadRun {
    const HeadLossArgs *args;
    int64_t N, C, V;
    DType type; /* of the products: the compute type, or float32 where bfloat16 has none */
    bool converted, gradients;
    int64_t group, chunks, slices; /* group: rows of each group but the last */

    int64_t row, rows;          /* the present group */
    bool add;                   /* to dweight and dbias; else the group overwrites them */
    const void *x;              /* (rows, C) of `type` */
    void *terms;                /* (chunks, group, LEADING) of `type`: exponentials, then dlogits */
    float *maxima, *sums;       /* (chunks, group) */
    float *target_logits, *lse; /* (group) */
    float *dx_parts;            /* (slices, group, C) */
    float *x_converted;         /* (N, C) */
    float *tiles, *weights;     /* per worker: (group, LEADING) and (WORDS, C) */
    const ProductPlan *logits[2]; /* [1]: the last chunk, which may be smaller */
    const ProductPlan *dweight[2];
    const ProductPlan *dx_first[2], *dx_add[2];
} HeadRun;

static int64_t ceil_div(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t words_of(const HeadRun *run, int64_t chunk)
{
    return smaller(WORDS, run->V - chunk * WORDS);
}

/* Row `row` of a chunk's exponentials. */
static void *terms_at(const HeadRun *run, int64_t chunk, int64_t row)
{
    size_t index = (size_t)((chunk * run->group + row) * LEADING);
    return (char *)run->terms + index * dtype_bytes(run->type);
}

/* The rows of the weight that belong to a chunk, in the products' type. */
static const void *chunk_weight(const HeadRun *run, int64_t chunk, int worker)
{
    int64_t from = chunk * WORDS * run->C, count = words_of(run, chunk) * run->C;
    if (!run->converted)
        return cpu_at(&run->args->weight, from);
    float *to = run->weights + worker * WORDS * run->C;
    const uint16_t *bits = cpu_at(&run->args->weight, from);
    for (int64_t i = 0; i < count; i++)
        to[i] = bf16_to_f32(bits[i]);
    return to;
}

/* ---- (1) logits and their exponentials ------------------------------------------------------- */

static void run_logits(void *context, int64_t begin, int64_t end, int worker)
{
    const HeadRun *run = context;
    const HeadKernels *kernels = head_kernels();
    const int32_t *targets = (const int32_t *)cpu_ptr(&run->args->targets) + run->row;
    const float *bias = cpu_f32(&run->args->bias);
    float *tile = run->tiles + worker * run->group * LEADING;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        int64_t first = chunk * WORDS, words = words_of(run, chunk);
        product_run_rows(run->logits[chunk == run->chunks - 1], worker, run->rows, run->x,
                         chunk_weight(run, chunk, worker), bias ? bias + first : NULL, tile);
        for (int64_t i = 0; i < run->rows; i++) {
            int64_t at = chunk * run->group + i;
            const float *logits = tile + i * LEADING;
            void *terms = run->gradients ? terms_at(run, chunk, i) : NULL;
            run->sums[at] = kernels->exp_row(logits, words, run->type, terms, &run->maxima[at]);
            if (targets[i] >= first && targets[i] < first + words)
                run->target_logits[i] = logits[targets[i] - first];
        }
    }
}

/* ---- (2) losses ------------------------------------------------------------------------------ */

static void run_losses(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const HeadRun *run = context;
    const int32_t *targets = (const int32_t *)cpu_ptr(&run->args->targets) + run->row;
    float *losses = cpu_f32(&run->args->losses) + run->row;
    for (int64_t i = begin; i < end; i++) {
        float max = -INFINITY;
        double sum = 0;
        for (int64_t chunk = 0; chunk < run->chunks; chunk++)
            max = fmaxf(max, run->maxima[chunk * run->group + i]);
        for (int64_t chunk = 0; chunk < run->chunks; chunk++) {
            int64_t at = chunk * run->group + i;
            sum += (double)run->sums[at] * exp((double)run->maxima[at] - (double)max);
        }
        double lse = (double)max + log(sum);
        run->lse[i] = (float)lse;
        losses[i] = targets[i] < 0 ? 0.0f : (float)(lse - (double)run->target_logits[i]);
    }
}

/* ---- (3) gradients --------------------------------------------------------------------------- */

/* grad_scale * (softmax - one hot) of every row of a chunk, in place. */
static void make_dlogits(const HeadRun *run, int64_t chunk)
{
    const HeadKernels *kernels = head_kernels();
    const int32_t *targets = (const int32_t *)cpu_ptr(&run->args->targets) + run->row;
    int64_t first = chunk * WORDS, words = words_of(run, chunk);
    float scale = run->args->grad_scale;
    for (int64_t i = 0; i < run->rows; i++) {
        void *terms = terms_at(run, chunk, i);
        if (targets[i] < 0) {
            memset(terms, 0, (size_t)words * dtype_bytes(run->type));
            continue;
        }
        float factor = scale * expf(run->maxima[chunk * run->group + i] - run->lse[i]);
        int64_t target = targets[i] - first;
        bool here = target >= 0 && target < words;
        float term = here ? element_get(terms, run->type, target) : 0.0f;
        kernels->scale_row(run->type, terms, factor, words);
        if (here)
            element_put(terms, run->type, target, term * factor - scale);
    }
}

static void add_dbias(const HeadRun *run, int64_t chunk)
{
    float sums[WORDS] = {0};
    float *dbias = cpu_f32(&run->args->dbias) + chunk * WORDS;
    int64_t words = words_of(run, chunk);
    gemm_kernels()->add_rows(run->type, terms_at(run, chunk, 0), run->rows, LEADING, sums, words);
    for (int64_t v = 0; v < words; v++)
        dbias[v] = run->add ? dbias[v] + sums[v] : sums[v];
}

static void run_slices(void *context, int64_t begin, int64_t end, int worker)
{
    const HeadRun *run = context;
    const HeadLossArgs *args = run->args;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t first = slice * run->chunks / run->slices;
        int64_t past = (slice + 1) * run->chunks / run->slices;
        for (int64_t chunk = first; chunk < past; chunk++) {
            bool last = chunk == run->chunks - 1;
            void *dlogits = terms_at(run, chunk, 0);
            make_dlogits(run, chunk);
            if (args->dweight.data)
                product_run(run->dweight[last], worker, dlogits, run->x, NULL,
                            cpu_at(&args->dweight, chunk * WORDS * run->C));
            if (args->dx.data)
                product_run((chunk == first ? run->dx_first : run->dx_add)[last], worker, dlogits,
                            chunk_weight(run, chunk, worker), NULL,
                            run->dx_parts + slice * run->group * run->C);
            if (args->dbias.data)
                add_dbias(run, chunk);
        }
    }
}

/* The parts of dx in the order of the slices. */
static void run_dx(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const HeadRun *run = context;
    const Tensor *dx = &run->args->dx;
    void *out = cpu_at(dx, run->row * run->C);
    for (int64_t i = begin * run->C; i < end * run->C; i++) {
        float sum = 0;
        for (int64_t slice = 0; slice < run->slices; slice++)
            sum += run->dx_parts[slice * run->group * run->C + i];
        element_put(out, dx->dtype, i, sum);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void choose_sizes(HeadRun *run)
{
    run->chunks = ceil_div(run->V, WORDS);
    int64_t fit = run->gradients ? SCRATCH_COUNT / (run->chunks * LEADING) : ROWS_MAX;
    fit = fit < 16 ? 16 : smaller(fit, ROWS_MAX);
    run->group = ceil_div(ceil_div(run->N, ceil_div(run->N, fit)), 16) * 16;
    int64_t part = run->group * run->C;
    run->slices = smaller(smaller(SLICES_MAX, run->chunks), SCRATCH_COUNT / part);
    run->slices = run->slices < 1 ? 1 : run->slices;
}

static void lay_out(HeadRun *run, Arena *arena)
{
    size_t group = (size_t)run->group, chunks = (size_t)run->chunks, C = (size_t)run->C;
    size_t workers = (size_t)parallel_width(), f = sizeof(float);
    run->maxima = arena_take(arena, chunks * group * f);
    run->sums = arena_take(arena, chunks * group * f);
    run->target_logits = arena_take(arena, group * f);
    run->lse = arena_take(arena, group * f);
    run->tiles = arena_take(arena, workers * group * LEADING * f);
    if (run->gradients)
        run->terms = arena_take(arena, chunks * group * LEADING * dtype_bytes(run->type));
    if (run->args->dx.data)
        run->dx_parts = arena_take(arena, (size_t)run->slices * group * C * f);
    if (run->converted) {
        run->weights = arena_take(arena, workers * WORDS * C * f);
        run->x_converted = arena_take(arena, (size_t)run->N * C * f);
    }
}

static void make_plans(Queue *queue, HeadRun *run)
{
    for (int last = 0; last < 2; last++) {
        int64_t words = last ? words_of(run, run->chunks - 1) : smaller(WORDS, run->V);
        Product logits = {.M = run->group, /* the last group is computed as the others are */
                          .N = words,
                          .K = run->C,
                          .lda = run->C,
                          .ldb = run->C,
                          .ldc = LEADING,
                          .in = run->type,
                          .out = DTYPE_F32,
                          .b_transposed = true,
                          .bias = run->args->bias.data != NULL};
        run->logits[last] = product_plan(queue, &logits);
        if (!run->gradients)
            continue;
        Product dweight = {.M = words,
                           .N = run->C,
                           .K = run->rows,
                           .lda = LEADING,
                           .ldb = run->C,
                           .ldc = run->C,
                           .in = run->type,
                           .out = DTYPE_F32,
                           .a_transposed = true,
                           .accumulate = run->add};
        run->dweight[last] = product_plan(queue, &dweight);
        Product dx = {.M = run->rows,
                      .N = run->C,
                      .K = words,
                      .lda = LEADING,
                      .ldb = run->C,
                      .ldc = run->C,
                      .in = run->type,
                      .out = DTYPE_F32};
        run->dx_first[last] = product_plan(queue, &dx);
        dx.accumulate = true;
        run->dx_add[last] = product_plan(queue, &dx);
    }
}

static void check_targets(const HeadRun *run)
{
    const int32_t *targets = cpu_ptr(&run->args->targets);
    for (int64_t i = 0; i < run->N; i++)
        CHECK(targets[i] < run->V, "head_loss: target %d of %lld", targets[i], (long long)run->V);
}

/* Whether all products of the run may be in bfloat16: their inner sizes are the channels and, for
 * gradients, the rows and words of a full tile and of the last. */
static bool takes_bf16(const HeadRun *run)
{
    const int64_t inner[] = {run->C, run->group, run->N % run->group, smaller(WORDS, run->V),
                             words_of(run, run->chunks - 1)};
    for (size_t i = 0; i < (run->gradients ? sizeof inner / sizeof *inner : 1); i++)
        if (!product_takes_bf16(inner[i]))
            return false;
    return true;
}

/* Sizes of the whole run and of its scratch; only shapes and types of `args` are looked at. */
static HeadRun run_of(const HeadLossArgs *args)
{
    HeadRun run = {.args = args,
                   .N = tensor_rows(&args->x),
                   .C = tensor_cols(&args->x),
                   .V = tensor_rows(&args->weight),
                   .type = args->x.dtype,
                   .gradients = args->dx.data || args->dweight.data || args->dbias.data};
    choose_sizes(&run);
    run.converted = run.type == DTYPE_BF16 && !takes_bf16(&run);
    if (run.converted)
        run.type = DTYPE_F32;
    return run;
}

static size_t scratch_of(HeadRun *run)
{
    Arena arena;
    arena_init(&arena, NULL, 0);
    lay_out(run, &arena);
    return arena.used;
}

size_t cpu_loss_scratch(const HeadLossArgs *shapes, const AttnShape *attn)
{
    (void)attn; /* keeps nothing beside its arguments */
    HeadRun run = run_of(shapes);
    return scratch_of(&run);
}

void cpu_head_loss(Queue *queue, const HeadLossArgs *args)
{
    head_loss_check(args);
    if (tensor_rows(&args->x) == 0) {
        ref_head_loss(queue, args); /* only gradients to be cleared, if at all */
        return;
    }
    HeadRun run = run_of(args);
    check_targets(&run);
    size_t bytes = scratch_of(&run);
    Arena arena;
    arena_init(&arena, cpu_scratch(queue, bytes), bytes);
    lay_out(&run, &arena);
    if (run.converted)
        for (int64_t i = 0; i < run.N * run.C; i++)
            run.x_converted[i] = element_get(cpu_ptr(&args->x), DTYPE_BF16, i);
    product_begin(queue);
    for (run.row = 0; run.row < run.N; run.row += run.group) {
        run.rows = smaller(run.group, run.N - run.row);
        run.x =
            run.converted ? run.x_converted + run.row * run.C : cpu_at(&args->x, run.row * run.C);
        run.add = args->accumulate || run.row > 0;
        make_plans(queue, &run);
        parallel_dynamic(run.chunks, 1, run_logits, &run);
        parallel_for(run.rows, 16, run_losses, &run);
        if (!run.gradients)
            continue;
        parallel_dynamic(run.slices, 1, run_slices, &run);
        if (args->dx.data)
            parallel_for(run.rows, 16, run_dx, &run);
    }
}
