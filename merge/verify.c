#include "merge/verify.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/decode/decoder.h"

static const double tolerance = 1e-4;

/* Log-probabilities after each token: (n_tokens, V) on the host. */
static Status run_tokens(const Ensemble *ensemble, const int32_t *tokens, int64_t n, double *out,
                         Err *err)
{
    int64_t V = ensemble->experts[0]->config.vocab_size;
    DecoderOptions options = {
        .max_sequences = 1, .max_positions = n, .kv_dtype = ensemble->experts[0]->compute};
    Decoder *decoder;
    TRY(decoder_new(&decoder, ensemble, &options, err));
    int64_t sequence = decoder_open(decoder);
    Device device = decoder_device(decoder);
    float *row = xmalloc((size_t)V * sizeof *row);
    Status status = STATUS_OK;
    for (int64_t t = 0; t < n && status == STATUS_OK; t++) {
        DecodeItem item = {.sequence = sequence, .tokens = tokens + t, .n_tokens = 1};
        status = decoder_step(decoder, &item, 1, err);
        if (status != STATUS_OK)
            break;
        Tensor logits = decoder_logits(decoder);
        status = device_download(&device, &logits, row, err);
        double top = -INFINITY, sum = 0.0;
        for (int64_t v = 0; v < V; v++)
            top = fmax(top, (double)row[v]);
        for (int64_t v = 0; v < V; v++)
            sum += exp((double)row[v] - top);
        for (int64_t v = 0; v < V; v++)
            out[t * V + v] = (double)row[v] - top - log(sum);
    }
    free(row);
    decoder_free(decoder);
    return status;
}

/* The adapter's weights from the experts' log-probabilities of one position, in float64. */
static void adapter_weights(const MergeAdapter *a, const double *const *parts, int64_t E, int64_t V,
                            double *w)
{
    double *f = xcalloc((size_t)(E * a->top), sizeof *f), top = -INFINITY, sum = 0.0;
    for (int64_t e = 0; e < E; e++) {
        double bound = INFINITY;
        int64_t taken = 0;
        while (taken < a->top) { /* the next largest value, as often as it occurs */
            double next = -INFINITY;
            int64_t times = 0;
            for (int64_t v = 0; v < V; v++) {
                double x = parts[e][v];
                if (x < bound && x > next) {
                    next = x;
                    times = 0;
                }
                times += x == next;
            }
            for (; times > 0 && taken < a->top; times--)
                f[e * a->top + taken++] = next;
            bound = next;
        }
        w[e] = (double)a->b2[e];
    }
    for (int64_t h = 0; h < a->hidden; h++) {
        double z = (double)a->b1[h];
        for (int64_t i = 0; i < E * a->top; i++)
            z += (double)a->w1[h * E * a->top + i] * f[i];
        double active = 0.5 * z * (1.0 + erf(z * 0.70710678118654752));
        for (int64_t e = 0; e < E; e++)
            w[e] += (double)a->w2[e * a->hidden + h] * active;
    }
    for (int64_t e = 0; e < E; e++)
        top = fmax(top, w[e]);
    for (int64_t e = 0; e < E; e++)
        sum += w[e] = exp(w[e] - top);
    for (int64_t e = 0; e < E; e++)
        w[e] /= sum;
    free(f);
}

/* The rule on one position, as the design writes it: log p of every token. */
static void apply_rule(const Ensemble *m, const double *const *parts, const double *w, int64_t V,
                       double *out)
{
    bool probabilities = m->rule == MERGE_BAYES || m->rule == MERGE_ADAPTER;
    double top = -INFINITY, sum = 0.0;
    for (int64_t v = 0; v < V; v++) {
        double x = 0.0;
        for (int64_t e = 0; e < m->n_experts; e++)
            x += w[e] * (probabilities ? exp(parts[e][v]) : parts[e][v]);
        out[v] = probabilities ? log(x) : x;
        top = fmax(top, out[v]);
    }
    for (int64_t v = 0; v < V; v++)
        sum += exp(out[v] - top);
    for (int64_t v = 0; v < V; v++)
        out[v] -= top + log(sum);
}

static void start_weights(const Ensemble *m, double *w)
{
    bool own = m->weights && (m->rule == MERGE_WEIGHTED || m->rule == MERGE_BAYES);
    for (int64_t e = 0; e < m->n_experts; e++)
        w[e] = own ? (double)m->weights[e] : 1.0 / (double)m->n_experts;
}

static void bayes_update(const Ensemble *m, const double *const *parts, int32_t token, double *w)
{
    double sum = 0.0;
    for (int64_t e = 0; e < m->n_experts; e++)
        sum += w[e] *= exp(parts[e][token]);
    for (int64_t e = 0; e < m->n_experts; e++)
        w[e] = (1.0 - (double)m->forget) * w[e] / sum + (double)m->forget / (double)m->n_experts;
}

static Status compare(const Ensemble *m, const int32_t *tokens, int64_t n, const double *merged,
                      double *const *experts, double *worst, Err *err)
{
    int64_t V = m->experts[0]->config.vocab_size, E = m->n_experts;
    double *expected = xmalloc((size_t)V * sizeof *expected);
    double *w = xmalloc((size_t)E * sizeof *w);
    const double **parts = xmalloc((size_t)E * sizeof *parts);
    int64_t bad = -1;
    start_weights(m, w);
    *worst = 0.0;
    for (int64_t t = 0; t < n; t++) {
        double top = 0.0, difference = 0.0;
        for (int64_t e = 0; e < E; e++)
            parts[e] = experts[e] + t * V;
        if (m->rule == MERGE_ADAPTER)
            adapter_weights(&m->adapter, parts, E, V, w);
        apply_rule(m, parts, w, V, expected);
        for (int64_t v = 0; v < V; v++) {
            top = fmax(top, fabs(expected[v]));
            difference = fmax(difference, fabs(expected[v] - merged[t * V + v]));
        }
        if (!(difference <= tolerance * top) && bad < 0)
            bad = t;
        *worst = fmax(*worst, difference / top);
        if (m->rule == MERGE_BAYES && t + 1 < n)
            bayes_update(m, parts, tokens[t + 1], w);
    }
    free(expected);
    free(w);
    free(parts);
    if (bad >= 0)
        return err_set(err,
                       "the merged model does not follow the rule %s: after token %lld it differs "
                       "by %.2g of the largest log-probability",
                       merge_rule_name(m->rule), (long long)bad, *worst);
    return STATUS_OK;
}

Status verify_rule(const Ensemble *merged, const int32_t *tokens, int64_t n, double *worst,
                   Err *err)
{
    int64_t V = merged->experts[0]->config.vocab_size, E = merged->n_experts;
    double *together = xmalloc((size_t)(n * V) * sizeof *together);
    double **alone = xcalloc((size_t)E, sizeof *alone);
    Status status = run_tokens(merged, tokens, n, together, err);
    for (int64_t e = 0; e < E && status == STATUS_OK; e++) {
        Ensemble one = {.n_experts = 1, .experts = merged->experts + e};
        alone[e] = xmalloc((size_t)(n * V) * sizeof **alone);
        status = run_tokens(&one, tokens, n, alone[e], err);
    }
    if (status == STATUS_OK)
        status = compare(merged, tokens, n, together, alone, worst, err);
    for (int64_t e = 0; e < E; e++)
        free(alone[e]);
    free(alone);
    free(together);
    return status;
}
