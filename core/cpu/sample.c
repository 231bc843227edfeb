#include "core/cpu/sample.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/tensor/sample_check.h"
#include "core/cpu/sample_kernels.h"

/* ---- log_softmax and mix --------------------------------------------------------------------- */

static double log_sum_exp(const float *x, int64_t n)
{
    float max = sample_kernels()->max(x, n);
    double sum = sample_kernels()->sum_exp(x, n, max);
    return sum > 0.0 ? (double)max + log(sum) : -HUGE_VAL;
}

static void log_softmax_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const LogSoftmaxArgs *args = context;
    int64_t V = tensor_cols(&args->x);
    float *lse = cpu_f32(&args->lse);
    for (int64_t n = begin; n < end; n++) {
        const float *x = cpu_f32(&args->x) + n * V;
        float row_lse = (float)log_sum_exp(x, V);
        sample_kernels()->shift(x, V, -row_lse, cpu_f32(&args->y) + n * V);
        if (lse)
            lse[n] = row_lse;
    }
}

void cpu_log_softmax(Queue *queue, const LogSoftmaxArgs *args)
{
    (void)queue;
    log_softmax_check(args);
    LogSoftmaxArgs copy = *args;
    parallel_dynamic(tensor_rows(&args->x), 1, log_softmax_work, &copy);
}

typedef struct Mix {
    const MixArgs *args;
    float *bias; /* (N, E) log weight - log-sum-exp */
} Mix;

static void mix_bias_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Mix *mix = context;
    const Tensor *x = &mix->args->logits;
    int64_t E = x->shape[0], N = x->shape[1], V = x->shape[2];
    const float *weights = cpu_f32(&mix->args->weights);
    for (int64_t i = begin; i < end; i++) {
        const float *row = cpu_f32(x) + (i % E * N + i / E) * V;
        mix->bias[i] = -INFINITY;
        if (weights[i] > 0.0f)
            mix->bias[i] = (float)(log((double)weights[i]) - log_sum_exp(row, V));
    }
}

static void mix_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    enum { PIECE = 4096 }; /* entries of a row: one row alone is shared out too */
    const Mix *mix = context;
    const Tensor *x = &mix->args->logits;
    int64_t E = x->shape[0], N = x->shape[1], V = x->shape[2], pieces = (V + PIECE - 1) / PIECE;
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / pieces, from = i % pieces * PIECE;
        int64_t count = V - from < PIECE ? V - from : PIECE;
        const float *rows = cpu_f32(x) + n * V + from;
        float *out = cpu_f32(&mix->args->out) + n * V + from;
        if (mix->args->kind == MIX_PROBS)
            sample_kernels()->mix_probs(rows, N * V, mix->bias + n * E, E, count, out);
        else
            sample_kernels()->mix_logits(rows, N * V, cpu_f32(&mix->args->weights) + n * E, E,
                                         count, out);
    }
}

void cpu_mix(Queue *queue, const MixArgs *args)
{
    mix_check(args);
    int64_t E = args->logits.shape[0], N = args->logits.shape[1], V = args->logits.shape[2];
    Mix mix = {args, NULL};
    if (args->kind == MIX_PROBS) {
        mix.bias = cpu_scratch(queue, (size_t)(N * E) * sizeof *mix.bias);
        parallel_dynamic(N * E, 1, mix_bias_work, &mix);
    }
    parallel_for(N * ((V + 4095) / 4096), 2, mix_work, &mix);
}

/* ---- the largest of a row -------------------------------------------------------------------- */

typedef struct Candidate {
    double value;
    int32_t id;
} Candidate;

/* What one worker needs for a row of V logits. */
typedef struct Desk {
    Candidate *list;
    double *weights;
    float *row, *maxima;
    int32_t *ids;
} Desk;

enum { GROUP = 64 }; /* logits whose maximum is kept to find a threshold */

static size_t desk_layout(Desk *desk, char *base, int64_t V)
{
    size_t n = (size_t)(V + 63) / 64 * 64, used = 0;
    desk->list = (Candidate *)(void *)(base + used);
    used += n * sizeof *desk->list;
    desk->weights = (double *)(void *)(base + used);
    used += n * sizeof *desk->weights;
    desk->row = (float *)(void *)(base + used);
    used += n * sizeof *desk->row;
    desk->ids = (int32_t *)(void *)(base + used);
    used += n * sizeof *desk->ids;
    desk->maxima = (float *)(void *)(base + used);
    return used + n * sizeof *desk->maxima;
}

/* Falling by value, ties by lower id. */
static int candidate_order(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

/* The k-th largest of n numbers (k from 1), by quickselect; reorders them. */
static float kth_largest(float *x, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (x[i] > pivot)
                i++;
            while (x[j] < pivot)
                j--;
            if (i <= j) {
                float kept = x[i];
                x[i++] = x[j];
                x[j--] = kept;
            }
        }
        if (k - 1 <= j)
            high = j;
        else if (k - 1 >= i)
            low = i;
        else
            break;
    }
    return x[k - 1];
}

/* The k largest of a row, in order, at the front of desk->list. k groups have a maximum of at least
 * the k-th largest maximum, so no smaller logit can be among the k largest. */
static void largest(const Desk *desk, const float *x, int64_t V, int64_t k)
{
    int64_t groups = (V + GROUP - 1) / GROUP, count = 0;
    float least = -INFINITY;
    if (k <= groups / 2) {
        for (int64_t g = 0; g < groups; g++)
            desk->maxima[g] =
                sample_kernels()->max(x + g * GROUP, V - g * GROUP < GROUP ? V - g * GROUP : GROUP);
        least = kth_largest(desk->maxima, groups, k);
    }
    if (least > -INFINITY) {
        count = sample_kernels()->at_least(x, V, least, desk->ids);
        for (int64_t i = 0; i < count; i++)
            desk->list[i] = (Candidate){(double)x[desk->ids[i]], desk->ids[i]};
    } else {
        for (; count < V; count++)
            desk->list[count] =
                (Candidate){isnan(x[count]) ? -HUGE_VAL : (double)x[count], (int32_t)count};
    }
    qsort(desk->list, (size_t)count, sizeof *desk->list, candidate_order);
}

typedef struct Rows {
    const void *args; /* SampleArgs or TopKArgs */
    char *scratch;
    size_t scratch_bytes; /* of one worker */
    int64_t V;
} Rows;

static Rows rows_start(Queue *queue, const void *args, int64_t V)
{
    Desk desk;
    Rows rows = {.args = args, .V = V, .scratch_bytes = desk_layout(&desk, NULL, V)};
    rows.scratch = cpu_scratch(queue, (size_t)parallel_width() * rows.scratch_bytes);
    return rows;
}

static Desk rows_desk(const Rows *rows, int worker)
{
    Desk desk;
    desk_layout(&desk, rows->scratch + (size_t)worker * rows->scratch_bytes, rows->V);
    return desk;
}

static void top_k_work(void *context, int64_t begin, int64_t end, int worker)
{
    const Rows *rows = context;
    const TopKArgs *args = rows->args;
    Desk desk = rows_desk(rows, worker);
    int64_t k = args->values.shape[1];
    int32_t *ids = cpu_ptr(&args->ids);
    for (int64_t n = begin; n < end; n++) {
        largest(&desk, cpu_f32(&args->x) + n * rows->V, rows->V, k);
        for (int64_t i = 0; i < k; i++) {
            cpu_f32(&args->values)[n * k + i] = (float)desk.list[i].value;
            ids[n * k + i] = desk.list[i].id;
        }
    }
}

void cpu_top_k(Queue *queue, const TopKArgs *args)
{
    top_k_check(args);
    if (tensor_count(&args->values) == 0)
        return;
    Rows rows = rows_start(queue, args, args->x.shape[1]);
    parallel_dynamic(args->x.shape[0], 1, top_k_work, &rows);
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* The logits after the repetition penalty (see ref_sample.c): the row itself where there is none.
 */
static const float *penalised(const Desk *desk, const float *x, int64_t V, const SampleRule *rule)
{
    float penalty = rule->repetition_penalty;
    if (penalty <= 0.0f || penalty == 1.0f || rule->n_recent == 0)
        return x;
    memcpy(desk->row, x, (size_t)V * sizeof *x);
    for (int64_t i = 0; i < rule->n_recent; i++) {
        float now = x[rule->recent[i]];
        desk->row[rule->recent[i]] = now > 0.0f ? now / penalty : now * penalty;
    }
    return desk->row;
}

/* Every token may be chosen: weights in pieces whose sums find the piece first. */
static int32_t choose_of_all(const Desk *desk, const float *x, int64_t V, float max,
                             const SampleRule *rule)
{
    enum { PIECE = 1024 };
    double sum = 0.0, running = 0.0;
    double *pieces = (double *)(void *)desk->list; /* not used otherwise here */
    for (int64_t i = 0; i < V; i += PIECE) {
        int64_t count = V - i < PIECE ? V - i : PIECE;
        sum += pieces[i / PIECE] = sample_kernels()->weights(x + i, count, max, rule->temperature,
                                                             rule->min_p, desk->weights + i);
    }
    double wanted = (double)rule->uniform * sum;
    int64_t piece = 0, last = 0;
    while ((piece + 1) * PIECE < V && running + pieces[piece] <= wanted)
        running += pieces[piece++];
    for (int64_t i = piece * PIECE; i < V; i++) {
        running += desk->weights[i];
        last = desk->weights[i] > 0.0 ? i : last;
        if (running > wanted)
            return (int32_t)i;
    }
    return (int32_t)last;
}

/* The first candidates that top-k and top-p keep, their values turned into weights. */
static int64_t keep(const Desk *desk, const float *x, int64_t V, float max, const SampleRule *rule)
{
    Candidate *list = desk->list;
    bool nucleus = rule->top_p > 0.0f && rule->top_p < 1.0f;
    double sum = 0.0, mass;
    int64_t n = rule->top_k > 0 && rule->top_k < V ? rule->top_k : V, kept;
    bool some = n < V;
    if (!some)
        for (int64_t i = 0; i < V; i += GROUP)
            sum += sample_kernels()->weights(x + i, V - i < GROUP ? V - i : GROUP, max,
                                             rule->temperature, 0.0f, desk->weights + i);
    /* Without top-k nobody knows how many tokens the nucleus has: try more and more. */
    for (int64_t k = some ? n : 256;; k *= 8) {
        k = k < V ? k : V;
        largest(desk, x, V, k);
        for (int64_t i = 0; i < k; i++)
            list[i].value = exp((list[i].value - (double)max) / (double)rule->temperature);
        for (int64_t i = 0; some && i < k; i++)
            sum += list[i].value;
        for (mass = 0.0, kept = 0; kept < k && nucleus && mass < (double)rule->top_p * sum; kept++)
            mass += list[kept].value;
        if (!nucleus)
            return k;
        if (some || k == V || mass >= (double)rule->top_p * sum)
            return kept > 1 ? kept : 1;
    }
}

static int32_t choose(const Desk *desk, const float *x, int64_t V, const SampleRule *rule)
{
    float max = sample_kernels()->max(x, V);
    if (max == -INFINITY)
        return 0;
    if (rule->temperature == 0.0f || isinf(max)) {
        sample_kernels()->at_least(x, V, max, desk->ids);
        return desk->ids[0];
    }
    bool nucleus = rule->top_p > 0.0f && rule->top_p < 1.0f;
    if (!nucleus && (rule->top_k == 0 || rule->top_k >= V))
        return choose_of_all(desk, x, V, max, rule);
    Candidate *list = desk->list;
    int64_t n = keep(desk, x, V, max, rule), last = 0;
    while (n > 1 && list[n - 1].value < (double)rule->min_p)
        n--;
    qsort(list, (size_t)n, sizeof *list, by_id);
    double sum = 0.0, running = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += list[i].value;
    for (int64_t i = 0; i < n; i++) {
        running += list[i].value;
        last = list[i].value > 0.0 ? i : last;
        if (running > (double)rule->uniform * sum)
            return list[i].id;
    }
    return list[last].id;
}

static void sample_work(void *context, int64_t begin, int64_t end, int worker)
{
    const Rows *rows = context;
    const SampleArgs *args = rows->args;
    Desk desk = rows_desk(rows, worker);
    int64_t V = rows->V;
    int32_t *ids = cpu_ptr(&args->ids);
    float *logprobs = cpu_f32(&args->logprobs);
    for (int64_t n = begin; n < end; n++) {
        const float *x = cpu_f32(&args->logits) + n * V;
        ids[n] = choose(&desk, penalised(&desk, x, V, &args->rules[n]), V, &args->rules[n]);
        if (logprobs) {
            float max = sample_kernels()->max(x, V);
            double log_sum = log(sample_kernels()->sum_exp(x, V, max));
            logprobs[n] = (float)((double)x[ids[n]] - (double)max - log_sum);
        }
    }
}

void cpu_sample(Queue *queue, const SampleArgs *args)
{
    sample_check(args);
    if (args->logits.shape[0] == 0)
        return;
    Rows rows = rows_start(queue, args, args->logits.shape[1]);
    parallel_dynamic(args->logits.shape[0], 1, sample_work, &rows);
}
