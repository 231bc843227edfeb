/* A stand-in for cuDNN's attention, on the host; only where CAMBIUM_EMULATE_CUDNN is set, so that
 * our own kernels run in all other tests. Like the real one's, its backward leaves a bfloat16 for
 * every query and key in a workspace. */
#include "core/cuda/attn_fused.h"
#include "core/cuda/attn_groups.h"
#include "core/cuda/emulate/tasks.h"
#include "core/cuda/libraries.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <vector>

static const char *refusal()
{
    return getenv("CAMBIUM_EMULATE_CUDNN") ? NULL : "cuDNN 9 was not found (it is not emulated)";
}

void attn_fused_library(Worker *out)
{
    if (refusal())
        snprintf(out->why, sizeof out->why, "%s", refusal());
    else
        snprintf(out->version, sizeof out->version, "emulated cuDNN 0.0.0");
}

void attn_fused_free(FusedCache *)
{
}

/* Heads of a (B, T, heads, D) tensor, of which a piece has some. */
struct Heads {
    bf16 *data;
    int64_t T, heads, D;
    bf16 *row(int64_t b, int64_t t, int64_t h) const
    {
        return data + ((b * T + t) * heads + h) * D;
    }
};

static Heads heads_of(const Tensor &t)
{
    return {(bf16 *)t.data, t.shape[1], t.shape[2], t.shape[3]};
}

static double dot(const bf16 *a, const bf16 *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)(to_f32(a[i]) * to_f32(b[i]));
    return sum;
}

static void add(double *sum, double factor, const bf16 *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += factor * (double)to_f32(x[i]);
}

static void store(bf16 *to, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from_f32<bf16>((float)from[i]);
}

static void forward_row(const AttnArgs &args, const AttnShape &s, int64_t b, int64_t t, int64_t h)
{
    Heads q = heads_of(args.q), k = heads_of(args.k), v = heads_of(args.v);
    std::vector<double> scores((size_t)t + 1), out((size_t)s.D, 0.0);
    int64_t kv = h / (s.H / s.K);
    double most = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j <= t; j++) {
        scores[j] = (double)args.scale * dot(q.row(b, t, h), k.row(b, j, kv), s.D);
        most = fmax(most, scores[j]);
    }
    for (int64_t j = 0; j <= t; j++)
        sum += exp(scores[j] - most);
    for (int64_t j = 0; j <= t; j++)
        add(out.data(), exp(scores[j] - most) / sum, v.row(b, j, kv), s.D);
    store(heads_of(args.out).row(b, t, h), out.data(), s.D);
    if (args.lse.data)
        ((float *)args.lse.data)[(b * s.H + h) * s.T + t] = (float)(most + log(sum));
}

bool attn_fused_forward(Queue *queue, const AttnArgs *args)
{
    if (refusal()) {
        library_refused(queue, WORK_ATTENTION, refusal());
        return false;
    }
    AttnShape s = attn_check(args);
    AttnArgs copy = *args;
    emulate_enqueue(queue->stream, {"attention", emulate_bytes(copy)}, [=] {
        for (int64_t i = 0; i < s.B * s.T * s.H; i++)
            forward_row(copy, s, i / s.H / s.T, i / s.H % s.T, i % s.H);
    });
    library_did(WORK_ATTENTION);
    return true;
}

/* One KV head with its query heads. H is that of the whole operation, which strides follow. */
static void backward_head(const AttnBackwardArgs &args, const AttnShape &s, int64_t H, int64_t b,
                          int64_t kv, bf16 *kept)
{
    Heads q = heads_of(args.q), k = heads_of(args.k), v = heads_of(args.v);
    Heads out = heads_of(args.out), dout = heads_of(args.dout);
    std::vector<double> dk((size_t)(s.T * s.D), 0.0), dv((size_t)(s.T * s.D), 0.0);
    for (int64_t h = kv * (s.H / s.K); h < (kv + 1) * (s.H / s.K); h++)
        for (int64_t t = 0; t < s.T; t++) {
            std::vector<double> dq((size_t)s.D, 0.0);
            int64_t at = (b * H + h) * s.T + t;
            double delta = dot(dout.row(b, t, h), out.row(b, t, h), s.D);
            ((float *)args.scratch.data)[at] = (float)delta;
            for (int64_t j = 0; j <= t; j++) {
                double score = (double)args.scale * dot(q.row(b, t, h), k.row(b, j, kv), s.D);
                double p = exp(score - (double)((const float *)args.lse.data)[at]);
                double dp = dot(dout.row(b, t, h), v.row(b, j, kv), s.D);
                double ds = (double)args.scale * p * (dp - delta);
                kept[((b * s.H + h) * s.T + t) * s.T + j] = from_f32<bf16>((float)ds);
                add(dq.data(), ds, k.row(b, j, kv), s.D);
                add(&dk[(size_t)(j * s.D)], ds, q.row(b, t, h), s.D);
                add(&dv[(size_t)(j * s.D)], p, dout.row(b, t, h), s.D);
            }
            store(heads_of(args.dq).row(b, t, h), dq.data(), s.D);
        }
    for (int64_t t = 0; t < s.T; t++) {
        store(heads_of(args.dk).row(b, t, kv), &dk[(size_t)(t * s.D)], s.D);
        store(heads_of(args.dv).row(b, t, kv), &dv[(size_t)(t * s.D)], s.D);
    }
}

bool attn_fused_backward(Queue *queue, const AttnBackwardArgs *args)
{
    if (refusal()) {
        library_refused(queue, WORK_ATTENTION_GRADIENT, refusal());
        return false;
    }
    AttnShape whole = attn_backward_check(args);
    AttnGroups groups = attn_groups(&whole);
    AttnShape s = groups.part;
    bf16 *kept = (bf16 *)queue_scratch(queue, groups.workspace, "attention by cuDNN");
    if (!kept)
        return false;
    for (int64_t piece = 0; piece < groups.count; piece++) {
        AttnBackwardArgs part = attn_groups_piece(&groups, args, piece);
        emulate_enqueue(queue->stream, {"attention's gradient", emulate_bytes(part)}, [=] {
            for (int64_t i = 0; i < s.B * s.K; i++)
                backward_head(part, s, whole.H, i / s.K, i % s.K, kept);
        });
    }
    library_did(WORK_ATTENTION_GRADIENT);
    return true;
}
