#include "merge/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/decode/decoder.h"

/* ---- weights on logits -------------------------------------------------------------------------
 */

enum { BATCH = 8, ROUNDS = 2, HALVINGS = 9 };

/* Mean loss of the sample under the ensemble's present weights, nats per token. */
static Status sample_loss(const Ensemble *ensemble, const Sample *sample, double *loss, Err *err)
{
    DecoderOptions options = {.max_sequences = BATCH,
                              .max_positions = sample->length,
                              .chunk = BATCH * sample->length,
                              .kv_dtype = ensemble->experts[0]->compute};
    Decoder *decoder;
    TRY(decoder_new(&decoder, ensemble, &options, err));
    float *logprobs = xmalloc((size_t)(BATCH * sample->length) * sizeof *logprobs);
    DecodeItem items[BATCH];
    float *rows[BATCH];
    for (int64_t i = 0; i < BATCH; i++) {
        items[i].sequence = decoder_open(decoder);
        rows[i] = logprobs + i * sample->length;
    }
    Status status = STATUS_OK;
    double sum = 0.0;
    for (int64_t w = 0; w < sample->n_windows && status == STATUS_OK; w += BATCH) {
        int64_t n = sample->n_windows - w < BATCH ? sample->n_windows - w : BATCH;
        for (int64_t i = 0; i < n; i++) {
            decoder_reset(decoder, items[i].sequence);
            items[i].tokens = sample->tokens + (w + i) * sample->length;
            items[i].n_tokens = sample->length;
        }
        status = decoder_score(decoder, items, n, rows, err);
        for (int64_t i = 0; i < n; i++)
            for (int64_t t = 1; t < sample->length; t++)
                sum -= (double)rows[i][t];
        if (status == STATUS_OK && stop_requested())
            status = STATUS_STOPPED;
    }
    free(logprobs);
    decoder_free(decoder);
    *loss = sum / (double)(sample->n_windows * (sample->length - 1));
    return status;
}

/* Gives expert `e` the weight `w` and the others the rest, in their proportions. */
static void set_share(float *weights, int64_t n, int64_t e, double w)
{
    double rest = 0.0;
    for (int64_t i = 0; i < n; i++)
        rest += i == e ? 0.0 : (double)weights[i];
    for (int64_t i = 0; i < n; i++)
        if (i != e)
            weights[i] = (float)(rest > 0.0 ? (double)weights[i] * (1.0 - w) / rest
                                            : (1.0 - w) / (double)(n - 1));
    weights[e] = (float)w;
}

/* Golden-section search of one weight in [0, 1]; the loss is convex along it. */
static Status search_share(Ensemble *ensemble, const Sample *sample, int64_t e, double *best,
                           Err *err)
{
    const double golden = 0.6180339887498949;
    float *weights = ensemble->weights;
    int64_t n = ensemble->n_experts;
    double low = 0.0, high = 1.0, f1, f2;
    double x1 = high - golden * (high - low), x2 = low + golden * (high - low);
    set_share(weights, n, e, x1);
    TRY(sample_loss(ensemble, sample, &f1, err));
    set_share(weights, n, e, x2);
    TRY(sample_loss(ensemble, sample, &f2, err));
    for (int i = 0; i < HALVINGS; i++) {
        bool left = f1 < f2;
        if (left) {
            high = x2;
            x2 = x1;
            f2 = f1;
            x1 = high - golden * (high - low);
        } else {
            low = x1;
            x1 = x2;
            f1 = f2;
            x2 = low + golden * (high - low);
        }
        set_share(weights, n, e, left ? x1 : x2);
        TRY(sample_loss(ensemble, sample, left ? &f1 : &f2, err));
    }
    set_share(weights, n, e, f1 < f2 ? x1 : x2);
    *best = f1 < f2 ? f1 : f2;
    return STATUS_OK;
}

Status fit_weights(Ensemble *ensemble, const Sample *sample, float *weights, double *before,
                   double *after, Err *err)
{
    MergeRule rule = ensemble->rule;
    float *own = ensemble->weights;
    int64_t n = ensemble->n_experts;
    ensemble->rule = MERGE_WEIGHTED;
    ensemble->weights = weights;
    Status status = sample_loss(ensemble, sample, before, err);
    *after = *before;
    /* With two experts one search settles both. */
    int64_t searches = n <= 2 ? n - 1 : ROUNDS * n;
    float *kept = xmalloc((size_t)n * sizeof *kept);
    for (int64_t s = 0; s < searches && status == STATUS_OK; s++) {
        double best;
        memcpy(kept, weights, (size_t)n * sizeof *kept);
        status = search_share(ensemble, sample, s % n, &best, err);
        if (status != STATUS_OK || best >= *after)
            memcpy(weights, kept, (size_t)n * sizeof *kept);
        else
            *after = best;
    }
    free(kept);
    ensemble->rule = rule;
    ensemble->weights = own;
    return status;
}

/* ---- adapter ------------------------------------------------------------------------------------
 */

enum { EPOCHS = 30, MINIBATCH = 64 };

/* All parameters in one vector: W1, b1, W2, b2. */
typedef struct Net {
    int64_t inputs, hidden, outputs, count;
    double *p, *grad, *m, *v;
    double *z, *h, *w; /* of one row: before and after the activation, the weights */
} Net;

static void net_init(Net *net, int64_t inputs, int64_t hidden, int64_t outputs, uint64_t seed)
{
    *net = (Net){.inputs = inputs, .hidden = hidden, .outputs = outputs};
    net->count = hidden * inputs + hidden + outputs * hidden + outputs;
    double **vectors[] = {&net->p, &net->grad, &net->m, &net->v};
    for (int i = 0; i < 4; i++)
        *vectors[i] = xcalloc((size_t)net->count, sizeof(double));
    net->z = xcalloc((size_t)hidden, sizeof(double));
    net->h = xcalloc((size_t)hidden, sizeof(double));
    net->w = xcalloc((size_t)outputs, sizeof(double));
    Rng rng;
    rng_init(&rng, seed, 0);
    /* The second layer starts at zero: equal weights, whatever the features. */
    for (int64_t i = 0; i < hidden * inputs; i++)
        net->p[i] = rng_normal(&rng) / sqrt((double)inputs) / 4.0;
}

static void net_clear(Net *net)
{
    double *vectors[] = {net->p, net->grad, net->m, net->v, net->z, net->h, net->w};
    for (int i = 0; i < 7; i++)
        free(vectors[i]);
}

/* One row forward and, with `learn`, its gradient added. Returns -log sum_e w_e p_e. */
static double net_row(Net *net, const float *features, const float *logp, bool learn)
{
    int64_t I = net->inputs, H = net->hidden, E = net->outputs;
    const double *w1 = net->p, *b1 = w1 + H * I, *w2 = b1 + H, *b2 = w2 + E * H;
    double *g1 = net->grad, *gb1 = g1 + H * I, *g2 = gb1 + H, *gb2 = g2 + E * H;
    double top = -INFINITY, sum = 0.0, p = 0.0;
    for (int64_t h = 0; h < H; h++) {
        double z = b1[h];
        for (int64_t i = 0; i < I; i++)
            z += w1[h * I + i] * (double)features[i];
        net->z[h] = z;
        net->h[h] = 0.5 * z * (1.0 + erf(z * 0.70710678118654752));
    }
    for (int64_t e = 0; e < E; e++) {
        net->w[e] = b2[e];
        for (int64_t h = 0; h < H; h++)
            net->w[e] += w2[e * H + h] * net->h[h];
        top = fmax(top, net->w[e]);
    }
    for (int64_t e = 0; e < E; e++)
        sum += net->w[e] = exp(net->w[e] - top);
    for (int64_t e = 0; e < E; e++)
        p += (net->w[e] /= sum) * exp((double)logp[e]);
    p = fmax(p, 1e-300);
    for (int64_t e = 0; e < E && learn; e++) {
        /* d(-log p) / d output_e = w_e - w_e p_e / p */
        double d = net->w[e] - net->w[e] * exp((double)logp[e]) / p;
        gb2[e] += d;
        for (int64_t h = 0; h < H; h++) {
            g2[e * H + h] += d * net->h[h];
            double z = net->z[h];
            double slope = 0.5 * (1.0 + erf(z * 0.70710678118654752)) +
                           z * exp(-0.5 * z * z) * 0.3989422804014327;
            double dz = d * w2[e * H + h] * slope;
            gb1[h] += dz;
            for (int64_t i = 0; i < I; i++)
                g1[h * I + i] += dz * (double)features[i];
        }
    }
    return -log(p);
}

static void net_step(Net *net, double lr, int64_t step, int64_t rows)
{
    double c1 = 1.0 - pow(0.9, (double)step), c2 = 1.0 - pow(0.999, (double)step);
    for (int64_t i = 0; i < net->count; i++) {
        double g = net->grad[i] / (double)rows;
        net->m[i] = 0.9 * net->m[i] + 0.1 * g;
        net->v[i] = 0.999 * net->v[i] + 0.001 * g * g;
        net->p[i] -= lr * (net->m[i] / c1) / (sqrt(net->v[i] / c2) + 1e-8);
        net->grad[i] = 0.0;
    }
}

static double net_loss(Net *net, const Observations *data)
{
    double sum = 0.0;
    for (int64_t n = 0; n < data->n; n++)
        sum += net_row(net, data->features + n * net->inputs, data->logp + n * net->outputs, false);
    return sum / (double)data->n;
}

static float *floats(const double *from, int64_t n)
{
    float *out = xmalloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)from[i];
    return out;
}

void fit_adapter(const Observations *data, int64_t hidden, uint64_t seed, MergeAdapter *adapter,
                 double *before, double *after)
{
    int64_t I = data->n_experts * data->top, E = data->n_experts;
    Net net;
    net_init(&net, I, hidden, E, seed);
    *before = net_loss(&net, data);
    Rng rng;
    rng_init(&rng, seed, 1);
    int64_t steps = EPOCHS * ((data->n + MINIBATCH - 1) / MINIBATCH);
    for (int64_t step = 1; step <= steps; step++) {
        for (int i = 0; i < MINIBATCH; i++) {
            int64_t n = rng_below(&rng, data->n);
            net_row(&net, data->features + n * I, data->logp + n * E, true);
        }
        net_step(&net, 3e-3 * (1.0 - (double)step / (double)(steps + 1)), step, MINIBATCH);
    }
    *after = net_loss(&net, data);
    const double *w1 = net.p, *b1 = w1 + hidden * I, *w2 = b1 + hidden, *b2 = w2 + E * hidden;
    *adapter = (MergeAdapter){.top = data->top,
                              .hidden = hidden,
                              .w1 = floats(w1, hidden * I),
                              .b1 = floats(b1, hidden),
                              .w2 = floats(w2, E * hidden),
                              .b2 = floats(b2, E)};
    net_clear(&net);
}
