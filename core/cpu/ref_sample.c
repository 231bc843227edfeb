#include "core/cpu/ref_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "core/tensor/sample_check.h"

static double row_log_sum_exp(const float *x, int64_t n)
{
    double max = -HUGE_VAL, sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    if (max == -HUGE_VAL)
        return -HUGE_VAL;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

void ref_log_softmax(Queue *queue, const LogSoftmaxArgs *args)
{
    (void)queue;
    log_softmax_check(args);
    int64_t N = tensor_rows(&args->x), V = tensor_cols(&args->x);
    const float *x = cpu_ptr(&args->x);
    float *y = cpu_ptr(&args->y), *lse = cpu_ptr(&args->lse);
    for (int64_t n = 0; n < N; n++) {
        double row_lse = row_log_sum_exp(x + n * V, V);
        for (int64_t v = 0; v < V; v++)
            y[n * V + v] = (float)((double)x[n * V + v] - row_lse);
        if (lse)
            lse[n] = (float)row_lse;
    }
}

void ref_mix(Queue *queue, const MixArgs *args)
{
    (void)queue;
    mix_check(args);
    int64_t E = args->logits.shape[0], N = args->logits.shape[1], V = args->logits.shape[2];
    const float *logits = cpu_ptr(&args->logits), *weights = cpu_ptr(&args->weights);
    float *out = cpu_ptr(&args->out);
    double *bias = xmalloc((size_t)E * sizeof *bias); /* log w_e - lse_e */
    for (int64_t n = 0; n < N; n++) {
        const float *w = weights + n * E;
        for (int64_t e = 0; e < E; e++)
            bias[e] = log((double)w[e]) - row_log_sum_exp(logits + (e * N + n) * V, V);
        for (int64_t v = 0; v < V; v++) {
            double sum = 0.0, max = -HUGE_VAL;
            for (int64_t e = 0; e < E; e++) {
                double x = (double)logits[(e * N + n) * V + v];
                sum += w[e] != 0.0f ? (double)w[e] * x : 0.0;
                max = w[e] > 0.0f && x + bias[e] > max ? x + bias[e] : max;
            }
            if (args->kind == MIX_PROBS) {
                sum = 0.0;
                for (int64_t e = 0; e < E; e++)
                    if (w[e] > 0.0f && max > -HUGE_VAL)
                        sum += exp((double)logits[(e * N + n) * V + v] + bias[e] - max);
                sum = max + log(sum);
            }
            out[n * V + v] = (float)sum;
        }
    }
    free(bias);
}

typedef struct Candidate {
    double value;
    int32_t id;
} Candidate;

/* Falling by value, ties by lower id; NaN counts as minus infinity. */
static int candidate_order(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void sort_row(Candidate *list, const float *x, int64_t V)
{
    for (int64_t v = 0; v < V; v++)
        list[v] = (Candidate){isnan(x[v]) ? -HUGE_VAL : (double)x[v], (int32_t)v};
    qsort(list, (size_t)V, sizeof *list, candidate_order);
}

void ref_top_k(Queue *queue, const TopKArgs *args)
{
    (void)queue;
    top_k_check(args);
    int64_t N = args->x.shape[0], V = args->x.shape[1], k = args->values.shape[1];
    const float *x = cpu_ptr(&args->x);
    float *values = cpu_ptr(&args->values);
    int32_t *ids = cpu_ptr(&args->ids);
    Candidate *list = xmalloc((size_t)V * sizeof *list);
    for (int64_t n = 0; n < N; n++) {
        sort_row(list, x + n * V, V);
        for (int64_t i = 0; i < k; i++) {
            values[n * k + i] = (float)list[i].value;
            ids[n * k + i] = list[i].id;
        }
    }
    free(list);
}

/* Divides the logits of recent tokens by the penalty where positive, multiplies them where
 * negative (Keskar et al., 2019, as commonly practised); each token once, however often it came. */
static void penalise(float *row, const SampleRule *rule, const float *original)
{
    float penalty = rule->repetition_penalty;
    if (penalty <= 0.0f || penalty == 1.0f)
        return;
    for (int64_t i = 0; i < rule->n_recent; i++) {
        float x = original[rule->recent[i]];
        row[rule->recent[i]] = x > 0.0f ? x / penalty : x * penalty;
    }
}

static int by_id(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

/* The first candidates that the rule keeps, from a sorted list whose values become weights
 * exp((x - x_max) / temperature). At least one is kept. */
static int64_t keep(Candidate *list, int64_t n, const SampleRule *rule)
{
    if (rule->top_k > 0 && rule->top_k < n)
        n = rule->top_k;
    double max = list[0].value, sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        list[i].value = exp((list[i].value - max) / (double)rule->temperature);
        sum += list[i].value;
    }
    if (rule->top_p > 0.0f && rule->top_p < 1.0f) {
        double mass = 0.0;
        int64_t kept = 0;
        while (kept < n && mass < (double)rule->top_p * sum)
            mass += list[kept++].value;
        n = kept > 1 ? kept : 1;
    }
    while (n > 1 && list[n - 1].value < (double)rule->min_p)
        n--;
    return n;
}

static int32_t choose(const float *row, int64_t V, const SampleRule *rule, Candidate *list)
{
    sort_row(list, row, V);
    if (rule->temperature == 0.0f || isinf(list[0].value))
        return list[0].id;
    int64_t n = keep(list, V, rule);
    qsort(list, (size_t)n, sizeof *list, by_id);
    double sum = 0.0, running = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += list[i].value;
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        running += list[i].value;
        last = list[i].value > 0.0 ? i : last;
        if (running > (double)rule->uniform * sum)
            return list[i].id;
    }
    return list[last].id;
}

void ref_sample(Queue *queue, const SampleArgs *args)
{
    (void)queue;
    sample_check(args);
    int64_t N = args->logits.shape[0], V = args->logits.shape[1];
    const float *logits = cpu_ptr(&args->logits);
    int32_t *ids = cpu_ptr(&args->ids);
    float *logprobs = cpu_ptr(&args->logprobs);
    Candidate *list = xmalloc((size_t)V * sizeof *list);
    float *row = xmalloc((size_t)V * sizeof *row);
    for (int64_t n = 0; n < N; n++) {
        const float *original = logits + n * V;
        memcpy(row, original, (size_t)V * sizeof *row);
        penalise(row, &args->rules[n], original);
        ids[n] = choose(row, V, &args->rules[n], list);
        if (logprobs)
            logprobs[n] = (float)((double)original[ids[n]] - row_log_sum_exp(original, V));
    }
    free(row);
    free(list);
}
