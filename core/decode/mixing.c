#include "core/decode/mixing.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"

bool mixing_on_probabilities(MergeRule rule)
{
    return rule == MERGE_BAYES || rule == MERGE_ADAPTER;
}

void mixing_start(const Ensemble *ensemble, float *weights)
{
    int64_t n = ensemble->n_experts;
    bool own =
        ensemble->weights && (ensemble->rule == MERGE_WEIGHTED || ensemble->rule == MERGE_BAYES);
    for (int64_t e = 0; e < n; e++)
        weights[e] = own ? ensemble->weights[e] : 1.0f / (float)n;
}

double mixing_logprob(int64_t n_experts, const float *weights, const float *logp)
{
    double top = -INFINITY, sum = 0.0;
    for (int64_t e = 0; e < n_experts; e++)
        if (weights[e] > 0.0f && (double)logp[e] > top)
            top = (double)logp[e];
    if (isinf(top))
        return top;
    for (int64_t e = 0; e < n_experts; e++)
        if (weights[e] > 0.0f)
            sum += (double)weights[e] * exp((double)logp[e] - top);
    return top + log(sum);
}

void mixing_observe(const Ensemble *ensemble, float *weights, const float *logp)
{
    if (ensemble->rule != MERGE_BAYES)
        return;
    int64_t n = ensemble->n_experts;
    double total = mixing_logprob(n, weights, logp);
    if (isinf(total))
        return; /* no expert thinks the token possible: nothing is learnt from it */
    double forget = (double)ensemble->forget;
    for (int64_t e = 0; e < n; e++) {
        double updated = (double)weights[e] * exp((double)logp[e] - total);
        weights[e] = (float)((1.0 - forget) * updated + forget / (double)n);
    }
}

static double gelu(double x)
{
    return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
}

void mixing_adapter(const Ensemble *ensemble, const float *features, float *weights)
{
    const MergeAdapter *a = &ensemble->adapter;
    int64_t n = ensemble->n_experts, inputs = n * a->top;
    double top = -INFINITY, sum = 0.0;
    double *out = xcalloc((size_t)n, sizeof *out);
    for (int64_t e = 0; e < n; e++)
        out[e] = (double)a->b2[e];
    for (int64_t h = 0; h < a->hidden; h++) {
        double z = (double)a->b1[h];
        for (int64_t i = 0; i < inputs; i++)
            z += (double)a->w1[h * inputs + i] * (double)features[i];
        z = gelu(z);
        for (int64_t e = 0; e < n; e++)
            out[e] += (double)a->w2[e * a->hidden + h] * z;
    }
    for (int64_t e = 0; e < n; e++)
        top = fmax(top, out[e]);
    for (int64_t e = 0; e < n; e++)
        sum += out[e] = exp(out[e] - top);
    for (int64_t e = 0; e < n; e++)
        weights[e] = (float)(out[e] / sum);
    free(out);
}
