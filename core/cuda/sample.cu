/* Choosing a token of each row by its rule, without sorting: thresholds are found bit by bit in the
 * order of the logits' keys, with counts and masses of the whole block. */
#include "core/cuda/row.cuh"

/* ---- the repetition penalty ------------------------------------------------------------------ */

enum { RECENT_MOST = 960 }; /* tokens that travel in a launch's parameters */

struct Recent {
    int32_t ids[RECENT_MOST];
    int n;
};

/* Divides the logits of recent tokens by the penalty where positive, multiplies them where
 * negative. A token that comes twice is written twice, with the same value. */
__global__ void penalise_kernel(const float *original, float *row, Recent recent, float penalty)
{
    for (int i = (int)threadIdx.x; i < recent.n; i += (int)blockDim.x) {
        float x = original[recent.ids[i]];
        row[recent.ids[i]] = x > 0.0f ? x / penalty : x * penalty;
    }
}

static bool penalises(const SampleRule *rule)
{
    return rule->repetition_penalty > 0.0f && rule->repetition_penalty != 1.0f &&
           rule->n_recent > 0;
}

static void penalise(Queue *queue, const float *original, float *row, const SampleRule *rule)
{
    for (int64_t at = 0; at < rule->n_recent; at += RECENT_MOST) {
        Recent recent = {};
        while (recent.n < RECENT_MOST && at + recent.n < rule->n_recent) {
            recent.ids[recent.n] = rule->recent[at + recent.n];
            recent.n++;
        }
        launch<penalise_kernel>(queue, 1, row_threads(recent.n), 0, original, row, recent,
                                rule->repetition_penalty);
    }
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* A rule's numbers for the device. */
struct RowRule {
    float temperature, top_p, min_p, uniform;
    int32_t top_k;
};

/* The tokens kept: those whose key is above `key`, and the first `ties` (by id) of those at it. */
struct Kept {
    uint32_t key;
    int64_t ties;
};

/* One row as the block sees it. */
struct Row {
    const float *x;
    int64_t V;
    float max;
    double temperature;
    double *shared;
    __device__ __forceinline__ double weight(int64_t v) const
    {
        float value = isnan(x[v]) ? -INFINITY : x[v];
        return exp(((double)value - (double)max) / temperature);
    }
};

/* Tokens with keys of at least `key`: how many, or their mass. */
template <bool MASS> static __device__ __forceinline__ double above(const Row &row, uint32_t key)
{
    double sum = 0.0;
    for (int64_t v = threadIdx.x; v < row.V; v += blockDim.x)
        if (key_of(row.x[v]) >= key)
            sum += MASS ? row.weight(v) : 1.0;
    return block_sum(sum, row.shared);
}

/* The largest key such that the tokens at and above it are at least `wanted` (in number or mass).
 */
template <bool MASS>
static __device__ __forceinline__ uint32_t find_key(const Row &row, double wanted)
{
    uint32_t key = 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t higher = key | 1u << bit;
        if (above<MASS>(row, higher) >= wanted)
            key = higher;
    }
    return key;
}

static __device__ __forceinline__ double weight_at(const Row &row, uint32_t key)
{
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    return exp(((double)__uint_as_float(bits) - (double)row.max) / row.temperature);
}

/* The k largest. */
static __device__ __forceinline__ Kept keep_top_k(const Row &row, int64_t k)
{
    if (k <= 0 || k >= row.V)
        return Kept{0, row.V};
    uint32_t key = find_key<false>(row, (double)k);
    return Kept{key, k - (int64_t)above<false>(row, key + 1)};
}

/* Of those kept, the fewest largest whose mass reaches top_p of theirs. */
static __device__ __forceinline__ Kept keep_top_p(const Row &row, Kept kept, double top_p)
{
    if (!(top_p > 0.0 && top_p < 1.0))
        return kept;
    double higher = above<true>(row, kept.key + 1);
    int64_t at_key =
        (int64_t)above<false>(row, kept.key) - (int64_t)above<false>(row, kept.key + 1);
    int64_t ties = kept.ties < at_key ? kept.ties : at_key;
    double at_ties = ties > 0 ? (double)ties * weight_at(row, kept.key) : 0.0;
    double wanted = top_p * (higher + at_ties);
    if (higher >= wanted) {
        kept.key = find_key<true>(row, wanted);
        higher = above<true>(row, kept.key + 1);
        ties = row.V;
    }
    double each = weight_at(row, kept.key), missing = ceil((wanted - higher) / each);
    int64_t needed = missing < 1.0 ? 1 : missing > (double)ties ? ties : (int64_t)missing;
    return Kept{kept.key, needed};
}

/* The sum over the threads before this one, and over all; `shared` holds two per thread. */
static __device__ __forceinline__ double before_me(double x, double *shared, double *all)
{
    shared[threadIdx.x] = x;
    __syncthreads();
    if (threadIdx.x == 0) {
        double sum = 0.0;
        for (unsigned t = 0; t < blockDim.x; t++) {
            double own = shared[t];
            shared[t] = sum;
            sum += own;
        }
        shared[blockDim.x] = sum;
    }
    __syncthreads();
    double sum = shared[threadIdx.x];
    *all = shared[blockDim.x];
    __syncthreads();
    return sum;
}

/* Calls f(v, weight) for the tokens kept among [begin, end), in order of id. `ties_before`: how
 * many at the key come before. */
template <typename F>
static __device__ __forceinline__ void each_kept(const Row &row, Kept kept, double min_p,
                                                 int64_t begin, int64_t end, int64_t ties_before,
                                                 int64_t first, F f)
{
    for (int64_t v = begin; v < end; v++) {
        uint32_t key = key_of(row.x[v]);
        bool keeps = key > kept.key;
        if (key == kept.key)
            keeps = ties_before++ < kept.ties;
        if (!keeps)
            continue;
        double weight = row.weight(v);
        if (weight >= min_p || v == first)
            f(v, weight);
    }
}

/* The first token, by id, whose running mass exceeds uniform times the mass of all that is kept;
 * each thread goes through neighbouring ids. */
static __device__ int64_t choose(const Row &row, Kept kept, const RowRule &rule, int64_t first,
                                 double *prefix, int *chosen)
{
    int64_t per = (row.V + blockDim.x - 1) / blockDim.x;
    int64_t begin = per * threadIdx.x < row.V ? per * threadIdx.x : row.V;
    int64_t end = begin + per < row.V ? begin + per : row.V;
    double ties = 0.0, all, mass = 0.0;
    for (int64_t v = begin; v < end; v++)
        ties += key_of(row.x[v]) == kept.key ? 1.0 : 0.0;
    int64_t ties_before = (int64_t)before_me(ties, prefix, &all);
    each_kept(row, kept, (double)rule.min_p, begin, end, ties_before, first,
              [&](int64_t, double weight) { mass += weight; });
    double running = before_me(mass, prefix, &all);
    if (threadIdx.x < 2)
        chosen[threadIdx.x] = threadIdx.x == 0 ? (int)row.V : -1;
    __syncthreads();
    int crossing = (int)row.V, last = -1;
    double wanted = (double)rule.uniform * all;
    each_kept(row, kept, (double)rule.min_p, begin, end, ties_before, first,
              [&](int64_t v, double weight) {
                  running += weight;
                  if (running > wanted && crossing == (int)row.V)
                      crossing = (int)v;
                  if (weight > 0.0)
                      last = (int)v;
              });
    atomicMin(&chosen[0], crossing);
    atomicMax(&chosen[1], last);
    __syncthreads();
    return chosen[0] < (int)row.V ? chosen[0] : chosen[1];
}

enum { RULES_MOST = 64 };

struct RowRules {
    RowRule rules[RULES_MOST];
};

/* One block a row: `rows` (N, V) with penalties applied, `original` without. */
__global__ void sample_kernel(const float *original, const float *rows, RowRules list, int32_t *ids,
                              float *logprobs, int64_t V)
{
    __shared__ double shared[WARP], prefix[1025];
    __shared__ uint64_t largest[WARP];
    __shared__ int chosen[2];
    const RowRule &rule = list.rules[blockIdx.x];
    int64_t at = (int64_t)blockIdx.x * V;
    Row row = {rows + at, V, 0.0f, (double)rule.temperature, shared};
    uint64_t best = 0;
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        uint64_t rank = rank_of(row.x[v], v);
        best = rank > best ? rank : best;
    }
    int64_t first = id_of(block_largest(best, largest)), id = first;
    row.max = isnan(row.x[first]) ? -INFINITY : row.x[first];
    if (rule.temperature > 0.0f && !isinf(row.max)) {
        Kept kept = keep_top_p(row, keep_top_k(row, rule.top_k), (double)rule.top_p);
        id = choose(row, kept, rule, first, prefix, chosen);
    }
    if (threadIdx.x == 0)
        ids[blockIdx.x] = (int32_t)id;
    if (!logprobs)
        return;
    double lse = row_log_sum_exp(original + at, V, shared);
    if (threadIdx.x == 0)
        logprobs[blockIdx.x] = (float)((double)original[at + id] - lse);
}

void cuda_sample(Queue *queue, const SampleArgs *args)
{
    sample_check(args);
    int64_t N = args->logits.shape[0], V = args->logits.shape[1];
    const float *original = device_at<const float>(&args->logits);
    const float *rows = original;
    bool any = false;
    for (int64_t n = 0; n < N; n++)
        any = any || penalises(&args->rules[n]);
    if (any) {
        float *copy = (float *)queue_scratch(queue, tensor_bytes(&args->logits), "sampling");
        if (!copy)
            return;
        queue_copy(queue, copy, original, tensor_bytes(&args->logits));
        for (int64_t n = 0; n < N; n++)
            if (penalises(&args->rules[n]))
                penalise(queue, original + n * V, copy + n * V, &args->rules[n]);
        rows = copy;
    }
    for (int64_t at = 0; at < N; at += RULES_MOST) {
        RowRules list = {};
        int64_t most = RULES_MOST, n = N - at < most ? N - at : most;
        for (int64_t i = 0; i < n; i++) {
            const SampleRule *rule = &args->rules[at + i];
            list.rules[i] = {rule->temperature, rule->top_p, rule->min_p, rule->uniform,
                             rule->top_k};
        }
        launch<sample_kernel>(
            queue, (unsigned)n, row_threads(V, VOCAB_THREADS), 0, original + at * V, rows + at * V,
            list, device_at<int32_t>(&args->ids, at), device_at<float>(&args->logprobs, at), V);
    }
}
