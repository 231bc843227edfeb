/* Operations on logits, and embedding, against the reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

static void call_log_softmax(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    LogSoftmaxArgs args = {t[0], t[1], t[2]};
    device->ops->log_softmax(device->queue, &args);
}

static void log_softmax_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++) {
            int64_t N = parity_sizes[i], V = j < 5 ? parity_sizes[j] : 5003;
            Parity p;
            parity_begin(&p, "log_softmax %d %d", (int)N, (int)V);
            parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, V), 50.0, 4.0);
            parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, V));
            parity_output(&p, tensor_1d(NULL, DTYPE_F32, N));
            if (V > 2)
                ((float *)p.items[0].host)[1] = -INFINITY;
            parity_check(&p, "log_softmax", DTYPE_F32, call_log_softmax, NULL);
            parity_end(&p);
        }
}

static void call_mix(const Device *device, const Tensor *t, const void *context)
{
    MixArgs args = {*(const MixKind *)context, t[0], t[1], t[2]};
    device->ops->mix(device->queue, &args);
}

/* An expert of weight 0 has no say even where its logits are broken. */
static void mix_agrees(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < 5; i++) {
            int64_t E = 1 + i, N = parity_sizes[i], V = i == 3 ? 9001 : parity_sizes[4 - i];
            MixKind mix = (MixKind)kind;
            Parity p;
            parity_begin(&p, "mix %d E %d N %d V %d", kind, (int)E, (int)N, (int)V);
            parity_normal(&p, tensor_3d(NULL, DTYPE_F32, E, N, V), 1.0, 3.0);
            parity_integers(&p, tensor_2d(NULL, DTYPE_F32, N, E), 1, 9);
            parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, V));
            float *weights = p.items[1].host, *logits = p.items[0].host;
            for (int64_t k = 0; k < N * E; k++)
                weights[k] /= 16.0f;
            if (E > 1) {
                weights[1] = 0.0f;
                logits[N * V] = NAN;
            }
            parity_check(&p, "mix", DTYPE_F32, call_mix, &mix);
            parity_end(&p);
        }
}

static void call_top_k(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    TopKArgs args = {t[0], t[1], t[2]};
    device->ops->top_k(device->queue, &args);
}

/* Whole numbers from a small range have many ties. */
static void top_k_agrees(void **state)
{
    (void)state;
    const int64_t widths[] = {1, 3, 65, 1000, 20011}, counts[] = {1, 2, 17, 63, 150, 300};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++)
            for (int ties = 0; ties < 2; ties++) {
                int64_t V = widths[i], k = counts[j] < V ? counts[j] : V;
                Parity p;
                parity_begin(&p, "top_k %d of %d%s", (int)k, (int)V, ties ? ", ties" : "");
                if (ties)
                    parity_integers(&p, tensor_2d(NULL, DTYPE_F32, 3, V), -20, 20);
                else
                    parity_normal(&p, tensor_2d(NULL, DTYPE_F32, 3, V), 0.0, 3.0);
                parity_output(&p, tensor_2d(NULL, DTYPE_F32, 3, k));
                parity_output(&p, tensor_2d(NULL, DTYPE_I32, 3, k));
                float *x = p.items[0].host;
                x[V / 2] = NAN;
                for (int64_t v = 0; v < V; v++)
                    x[2 * V + v] = v % 7 == 3 ? 1.0f : -INFINITY;
                parity_check(&p, "top_k", DTYPE_F32, call_top_k, NULL);
                parity_end(&p);
            }
}

static void call_sample(const Device *device, const Tensor *t, const void *context)
{
    SampleArgs args = {t[0], t[1], t[2], context};
    device->ops->sample(device->queue, &args);
}

static SampleRule rule_number(int i, Rng *rng, const int32_t *recent)
{
    SampleRule rule = {.temperature = 0.8f, .uniform = (float)(int)(rng_uniform(rng) * 1e6) / 1e6f};
    rule.temperature = i % 7 == 0 ? 0.0f : 0.4f + 0.3f * (float)(i % 5);
    rule.top_k = i % 3 == 1 ? 1 + i * 3 : 0;
    rule.top_p = i % 4 == 2 ? 0.9f : i % 4 == 3 ? 0.3f : 0.0f;
    rule.min_p = i % 5 == 4 ? 0.05f : 0.0f;
    rule.repetition_penalty = i % 2 ? 1.3f : 0.0f;
    rule.recent = recent;
    rule.n_recent = 3;
    return rule;
}

static void sample_agrees(void **state)
{
    (void)state;
    const int64_t widths[] = {1, 3, 65, 1000, 20011};
    for (int i = 0; i < 5; i++)
        for (int wide = 0; wide < 2; wide++) {
            enum { N = 60 };
            int64_t V = widths[i];
            Parity p;
            parity_begin(&p, "sample %d", (int)V);
            int32_t recent[3] = {0, (int32_t)(V / 2), (int32_t)(V / 2)};
            SampleRule rules[N];
            for (int n = 0; n < N; n++)
                rules[n] = rule_number(n, &p.rng, recent);
            parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, V), 0.0, wide ? 0.3 : 4.0);
            parity_output(&p, tensor_1d(NULL, DTYPE_I32, N));
            parity_output(&p, tensor_1d(NULL, DTYPE_F32, N));
            float *x = p.items[0].host;
            for (int64_t v = 0; v < V; v++) {
                x[5 * V + v] = -INFINITY; /* nothing is allowed: any valid id */
                x[6 * V + v] = v == V - 1 ? 2.0f : -INFINITY;
                x[7 * V + v] = 1.0f; /* all equal */
            }
            x[8 * V + V / 3] = NAN;
            x[9 * V + V / 3] = INFINITY;
            parity_check(&p, "sample", DTYPE_F32, call_sample, rules);
            parity_end(&p);
        }
}

/* Penalties for more tokens than travel at once, of a list that the caller reuses at once. */
static void call_sample_with_list(const Device *device, const Tensor *t, const void *context)
{
    enum { N = 6, RECENT = 2500 };
    SampleRule rules[N];
    int32_t *recent = xmalloc((size_t)(N * RECENT) * sizeof *recent);
    int64_t V = t[0].shape[1];
    (void)context;
    for (int n = 0; n < N; n++) {
        for (int i = 0; i < RECENT; i++)
            recent[n * RECENT + i] = (int32_t)((i * 3 + n) % V);
        rules[n] = (SampleRule){.temperature = n ? 0.9f : 0.0f,
                                .uniform = 0.15f * (float)n,
                                .top_p = n == 3 ? 0.8f : 0.0f,
                                .repetition_penalty = 1.5f,
                                .recent = recent + n * RECENT,
                                .n_recent = RECENT - 7 * n};
    }
    SampleArgs args = {t[0], t[1], t[2], rules};
    device->ops->sample(device->queue, &args);
    for (int i = 0; i < N * RECENT; i++)
        recent[i] = INT32_MAX;
    memset(rules, 0xff, sizeof rules);
    free(recent);
}

static void sample_with_long_lists(void **state)
{
    (void)state;
    Parity p;
    parity_begin(&p, "sample, 2500 recent tokens");
    parity_normal(&p, tensor_2d(NULL, DTYPE_F32, 6, 8009), 0.0, 2.0);
    parity_output(&p, tensor_1d(NULL, DTYPE_I32, 6));
    parity_output(&p, tensor_1d(NULL, DTYPE_F32, 6));
    parity_check(&p, "sample", DTYPE_F32, call_sample_with_list, NULL);
    parity_end(&p);
}

/* Frequencies follow the probabilities: 4,000 draws with evenly spread numbers. */
static void sample_follows_probabilities(void **state)
{
    (void)state;
    enum { N = 4000, V = 4 };
    static SampleRule rules[N];
    const float p_wanted[V] = {0.1f, 0.2f, 0.3f, 0.4f};
    Parity p;
    parity_begin(&p, "frequencies");
    parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, V));
    parity_output(&p, tensor_1d(NULL, DTYPE_I32, N));
    parity_output(&p, tensor_1d(NULL, DTYPE_F32, N));
    for (int n = 0; n < N; n++) {
        rules[n] = (SampleRule){.temperature = 1.0f, .uniform = ((float)n + 0.5f) / N};
        for (int v = 0; v < V; v++)
            ((float *)p.items[0].host)[n * V + v] = logf(p_wanted[v]);
    }
    int32_t *ids = parity_reference(&p, call_sample, rules, 1);
    int counts[V] = {0};
    for (int n = 0; n < N; n++)
        counts[ids[n]]++;
    for (int v = 0; v < V; v++)
        assert_true(abs(counts[v] - (int)lrintf(p_wanted[v] * N)) <= 1);
    parity_check(&p, "sample", DTYPE_F32, call_sample, rules);
    free(ids);
    parity_end(&p);
}

static void call_embed(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    EmbedArgs args = {t[0], t[1], t[2], 0.7f};
    device->ops->embed(device->queue, &args);
}

static void call_embed_backward(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    EmbedBackwardArgs args = {t[0], t[1], t[2], 0.7f};
    device->ops->embed_backward(device->queue, &args);
}

static void embed_agrees(void **state)
{
    (void)state;
    const DType types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_U8};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 3; j++) {
            int64_t N = parity_sizes[i], n_embed = parity_sizes[(i + j) % 5], C = n_embed * (1 + j);
            Parity p;
            parity_begin(&p, "embed %d %d %s", (int)N, (int)n_embed, dtype_name(types[j]));
            parity_integers(&p, tensor_1d(NULL, DTYPE_I32, N), 0, 30);
            parity_integers(&p, tensor_2d(NULL, types[j], 30, n_embed), 0, 9);
            parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, C));
            parity_check(&p, "embed", types[j], call_embed, NULL);
            parity_end(&p);
            parity_begin(&p, "embed_backward %d %d", (int)N, (int)n_embed);
            parity_integers(&p, tensor_1d(NULL, DTYPE_I32, N), 0, 30);
            parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, C), 0.0, 1.0);
            parity_normal(&p, tensor_2d(NULL, DTYPE_F32, 30, n_embed), 0.0, 1.0);
            parity_check(&p, "embed_backward", DTYPE_F32, call_embed_backward, NULL);
            parity_end(&p);
        }
}

/* Words that come many times, in rows of more components than a block has threads. */
static void embed_backward_many(void **state)
{
    (void)state;
    const int64_t N = 290, V = 7, n_embed = 300;
    Parity p;
    parity_begin(&p, "embed_backward of many tokens");
    parity_integers(&p, tensor_1d(NULL, DTYPE_I32, N), 0, V);
    parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, n_embed), 0.0, 1.0);
    parity_normal(&p, tensor_2d(NULL, DTYPE_F32, V, n_embed), 0.0, 1.0);
    parity_check(&p, "embed_backward", DTYPE_F32, call_embed_backward, NULL);
    parity_end(&p);
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_softmax_agrees),     cmocka_unit_test(mix_agrees),
        cmocka_unit_test(top_k_agrees),           cmocka_unit_test(sample_agrees),
        cmocka_unit_test(sample_with_long_lists), cmocka_unit_test(sample_follows_probabilities),
        cmocka_unit_test(embed_agrees),           cmocka_unit_test(embed_backward_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
