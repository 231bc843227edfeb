/* Log-softmax, mixtures of experts' logits, and the largest values of a row. */
#include "core/cuda/row.cuh"

__global__ void log_softmax_kernel(const float *x, float *y, float *lse, int64_t V)
{
    __shared__ double shared[WARP];
    const float *row = x + (int64_t)blockIdx.x * V;
    double own = row_log_sum_exp(row, V, shared);
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x)
        y[(int64_t)blockIdx.x * V + v] = (float)((double)row[v] - own);
    if (lse && threadIdx.x == 0)
        lse[blockIdx.x] = (float)own;
}

void cuda_log_softmax(Queue *queue, const LogSoftmaxArgs *args)
{
    log_softmax_check(args);
    int64_t V = tensor_cols(&args->x);
    launch<log_softmax_kernel>(queue, (unsigned)tensor_rows(&args->x),
                               row_threads(V, VOCAB_THREADS), 0, device_at<const float>(&args->x),
                               device_at<float>(&args->y), device_at<float>(&args->lse), V);
}

/* ---- mixtures ------------------------------------------------------------------------------- */

/* out = sum_e w_e logits_e, or log sum_e w_e softmax(logits_e); one block a row. `terms`, shared
 * memory for E: log w_e - lse_e. */
template <bool PROBS>
__global__ void mix_kernel(const float *logits, const float *weights, float *out, int64_t N,
                           int64_t V, int E)
{
    __shared__ double shared[WARP];
    double *terms = (double *)shared_memory();
    int64_t n = blockIdx.x;
    const float *w = weights + n * E;
    for (int e = 0; PROBS && e < E; e++) {
        double lse = row_log_sum_exp(logits + (e * N + n) * V, V, shared);
        if (threadIdx.x == 0)
            terms[e] = log((double)w[e]) - lse;
    }
    __syncthreads();
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        double sum = 0.0, max = -INFINITY;
        for (int e = 0; e < E; e++) {
            double x = (double)logits[(e * N + n) * V + v];
            if (!PROBS)
                sum += w[e] != 0.0f ? (double)w[e] * x : 0.0;
            else if (w[e] > 0.0f)
                max = fmax(max, x + terms[e]);
        }
        for (int e = 0; PROBS && e < E; e++)
            if (w[e] > 0.0f && max > -INFINITY)
                sum += exp((double)logits[(e * N + n) * V + v] + terms[e] - max);
        out[n * V + v] = (float)(PROBS ? max + log(sum) : sum);
    }
}

void cuda_mix(Queue *queue, const MixArgs *args)
{
    mix_check(args);
    int64_t E = args->logits.shape[0], N = args->logits.shape[1], V = args->logits.shape[2];
    const float *logits = device_at<const float>(&args->logits);
    const float *weights = device_at<const float>(&args->weights);
    float *out = device_at<float>(&args->out);
    size_t shared = (size_t)E * sizeof(double);
    if (args->kind == MIX_PROBS)
        launch<mix_kernel<true>>(queue, (unsigned)N, row_threads(V, VOCAB_THREADS), shared, logits,
                                 weights, out, N, V, (int)E);
    else
        launch<mix_kernel<false>>(queue, (unsigned)N, row_threads(V, VOCAB_THREADS), shared, logits,
                                  weights, out, N, V, (int)E);
}

/* ---- the largest ---------------------------------------------------------------------------- */

/* One block a row; in each round the largest of those that come after the last one found. */
__global__ void top_k_kernel(const float *x, float *values, int32_t *ids, int64_t V, int64_t k)
{
    __shared__ uint64_t shared[WARP];
    const float *row = x + (int64_t)blockIdx.x * V;
    uint64_t last = ~(uint64_t)0;
    for (int64_t i = 0; i < k; i++) {
        uint64_t best = 0;
        for (int64_t v = threadIdx.x; v < V; v += blockDim.x) {
            uint64_t rank = rank_of(row[v], v);
            best = rank < last && rank > best ? rank : best;
        }
        last = block_largest(best, shared);
        if (threadIdx.x == 0) {
            int64_t id = id_of(last);
            values[(int64_t)blockIdx.x * k + i] = isnan(row[id]) ? -INFINITY : row[id];
            ids[(int64_t)blockIdx.x * k + i] = (int32_t)id;
        }
    }
}

void cuda_top_k(Queue *queue, const TopKArgs *args)
{
    top_k_check(args);
    int64_t V = args->x.shape[1];
    launch<top_k_kernel>(queue, (unsigned)args->x.shape[0], row_threads(V, VOCAB_THREADS), 0,
                         device_at<const float>(&args->x), device_at<float>(&args->values),
                         device_at<int32_t>(&args->ids), V, args->values.shape[1]);
}
