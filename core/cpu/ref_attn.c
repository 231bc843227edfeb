#include "core/cpu/ref_attn.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/cpu/page_check.h"
#include "core/cpu/cpu.h"
#include "core/cpu/quant_row.h"

/* scores[j] = scale * <q row, k row j> for j in [0, n); returns their log-sum-exp. */
typedef struct Keys {
    const void *data;
    DType dtype;
    int64_t row0, stride; /* elements: row j starts at row0 + j * stride */
} Keys;

static double dot(const void *a, DType a_type, int64_t a0, const Keys *b, int64_t row, int64_t D)
{
    double sum = 0.0;
    for (int64_t d = 0; d < D; d++)
        sum += (double)element_get(a, a_type, a0 + d) *
               (double)element_get(b->data, b->dtype, b->row0 + row * b->stride + d);
    return sum;
}

static double log_sum_exp(const double *x, int64_t n)
{
    double max = -HUGE_VAL, sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    if (max == -HUGE_VAL)
        return -HUGE_VAL;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

void ref_attn(Queue *queue, const AttnArgs *args)
{
    (void)queue;
    AttnShape s = attn_check(args);
    const void *q = cpu_ptr(&args->q);
    void *out = cpu_ptr(&args->out);
    float *lse = cpu_ptr(&args->lse);
    DType type = args->q.dtype;
    double *scores = xmalloc((size_t)s.T * sizeof *scores);
    for (int64_t i = 0; i < s.B * s.T * s.H; i++) {
        int64_t h = i % s.H, t = i / s.H % s.T, b = i / s.H / s.T;
        int64_t kv0 = (b * s.T * s.K + h / (s.H / s.K)) * s.D;
        Keys k = {cpu_ptr(&args->k), type, kv0, s.K * s.D};
        Keys v = {cpu_ptr(&args->v), type, kv0, s.K * s.D};
        for (int64_t j = 0; j <= t; j++)
            scores[j] = (double)args->scale * dot(q, type, i * s.D, &k, j, s.D);
        double row_lse = log_sum_exp(scores, t + 1);
        for (int64_t d = 0; d < s.D; d++) {
            double sum = 0.0;
            for (int64_t j = 0; j <= t; j++)
                sum += exp(scores[j] - row_lse) *
                       (double)element_get(v.data, type, v.row0 + j * v.stride + d);
            element_put(out, type, i * s.D + d, (float)sum);
        }
        if (lse)
            lse[(b * s.H + h) * s.T + t] = (float)row_lse;
    }
    free(scores);
}

/* Gradients of one query row i = (b, t, h), added to float64 copies of dq, dk and dv:
 * p = exp(score - lse), dv += p dout, ds = p (<dout, v> - delta), dq += ds k, dk += ds q. */
static void backward_row(const AttnBackwardArgs *args, const AttnShape *s, int64_t i, double *dq,
                         double *dk, double *dv)
{
    int64_t h = i % s->H, t = i / s->H % s->T, b = i / s->H / s->T;
    int64_t kv0 = (b * s->T * s->K + h / (s->H / s->K)) * s->D, stride = s->K * s->D;
    DType type = args->q.dtype;
    const void *q = cpu_ptr(&args->q), *out = cpu_ptr(&args->out), *dout = cpu_ptr(&args->dout);
    Keys k = {cpu_ptr(&args->k), type, kv0, stride}, v = {cpu_ptr(&args->v), type, kv0, stride};
    const float *lse = cpu_ptr(&args->lse);
    float *scratch = cpu_ptr(&args->scratch);
    double delta = 0.0;
    for (int64_t d = 0; d < s->D; d++)
        delta += (double)element_get(out, type, i * s->D + d) *
                 (double)element_get(dout, type, i * s->D + d);
    scratch[(b * s->H + h) * s->T + t] = (float)delta;
    for (int64_t j = 0; j <= t; j++) {
        double score = (double)args->scale * dot(q, type, i * s->D, &k, j, s->D);
        double p = exp(score - (double)lse[(b * s->H + h) * s->T + t]);
        double ds = p * (dot(dout, type, i * s->D, &v, j, s->D) - delta) * (double)args->scale;
        for (int64_t d = 0; d < s->D; d++) {
            int64_t kv = kv0 + j * stride + d;
            dv[kv] += p * (double)element_get(dout, type, i * s->D + d);
            dk[kv] += ds * (double)element_get(q, type, i * s->D + d);
            dq[i * s->D + d] += ds * (double)element_get(k.data, type, kv);
        }
    }
}

void ref_attn_backward(Queue *queue, const AttnBackwardArgs *args)
{
    (void)queue;
    AttnShape s = attn_backward_check(args);
    const Tensor *outs[3] = {&args->dq, &args->dk, &args->dv};
    double *sums[3];
    for (int i = 0; i < 3; i++)
        sums[i] = xcalloc((size_t)tensor_count(outs[i]), sizeof(double));
    for (int64_t i = 0; i < s.B * s.T * s.H; i++)
        backward_row(args, &s, i, sums[0], sums[1], sums[2]);
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < tensor_count(outs[i]); j++)
            element_put(cpu_ptr(outs[i]), outs[i]->dtype, j, (float)sums[i][j]);
        free(sums[i]);
    }
}

/* One row of D elements into a page row, quantised when the pages are int8. */
static void write_row(const void *x, DType type, int64_t from, const Tensor *pages,
                      const Tensor *scales, int64_t row, int64_t D)
{
    void *to = cpu_ptr(pages);
    if (pages->dtype == DTYPE_I8) {
        int8_t *q = (int8_t *)to + row * D;
        ((float *)cpu_ptr(scales))[row] = quantise_row(x, type, from, q, D);
        return;
    }
    for (int64_t d = 0; d < D; d++)
        element_put(to, pages->dtype, row * D + d, element_get(x, type, from + d));
}

void ref_kv_write(Queue *queue, const KvWriteArgs *args)
{
    (void)queue;
    kv_write_check(args);
    slots_check(args);
    const KvPages *kv = &args->kv;
    int64_t N = args->k.shape[0], K = args->k.shape[1], D = args->k.shape[2];
    int64_t page_size = kv->k_pages.shape[2];
    const int32_t *slots = cpu_ptr(&args->slots);
    for (int64_t n = 0; n < N; n++) {
        if (slots[n] < 0)
            continue;
        for (int64_t head = 0; head < K; head++) {
            int64_t row = (slots[n] / page_size * K + head) * page_size + slots[n] % page_size;
            int64_t from = (n * K + head) * D;
            write_row(cpu_ptr(&args->k), args->k.dtype, from, &kv->k_pages, &kv->k_scales, row, D);
            write_row(cpu_ptr(&args->v), args->v.dtype, from, &kv->v_pages, &kv->v_scales, row, D);
        }
    }
}

static double page_element(const Tensor *pages, const Tensor *scales, int64_t row, int64_t D,
                           int64_t d)
{
    double x = (double)element_get(cpu_ptr(pages), pages->dtype, row * D + d);
    return pages->dtype == DTYPE_I8 ? x * (double)((const float *)cpu_ptr(scales))[row] : x;
}

void ref_attn_decode(Queue *queue, const AttnDecodeArgs *args)
{
    (void)queue;
    attn_decode_check(args);
    pages_check(args);
    const KvPages *kv = &args->kv;
    int64_t N = args->q.shape[0], H = args->q.shape[1], D = args->q.shape[2];
    int64_t K = kv->k_pages.shape[1], page_size = kv->k_pages.shape[2];
    int64_t max_pages = kv->page_table.shape[1];
    const int32_t *rows = cpu_ptr(&args->rows), *limits = cpu_ptr(&args->limits);
    const int32_t *table = cpu_ptr(&kv->page_table);
    float *lse = cpu_ptr(&args->lse);
    double *scores = xmalloc((size_t)(max_pages * page_size + 1) * sizeof *scores);
    for (int64_t i = 0; i < N * H; i++) {
        int64_t n = i / H, head = i % H / (H / K), limit = limits[n];
        const int32_t *pages = table + rows[n] * max_pages;
        double row_lse = -HUGE_VAL;
        for (int64_t j = 0; j < limit; j++) {
            int64_t row = (pages[j / page_size] * K + head) * page_size + j % page_size;
            scores[j] = 0.0;
            for (int64_t d = 0; d < D; d++)
                scores[j] += (double)element_get(cpu_ptr(&args->q), args->q.dtype, i * D + d) *
                             page_element(&kv->k_pages, &kv->k_scales, row, D, d);
            scores[j] *= (double)args->scale;
        }
        row_lse = log_sum_exp(scores, limit);
        for (int64_t d = 0; d < D; d++) {
            double sum = 0.0;
            for (int64_t j = 0; j < limit; j++) {
                int64_t row = (pages[j / page_size] * K + head) * page_size + j % page_size;
                sum +=
                    exp(scores[j] - row_lse) * page_element(&kv->v_pages, &kv->v_scales, row, D, d);
            }
            element_put(cpu_ptr(&args->out), args->out.dtype, i * D + d, (float)sum);
        }
        if (lse)
            lse[i] = (float)row_lse;
    }
    free(scores);
}

void ref_attn_merge(Queue *queue, const AttnMergeArgs *args)
{
    (void)queue;
    attn_merge_check(args);
    int64_t S = args->parts.shape[0], D = args->parts.shape[3];
    int64_t rows = args->parts.shape[1] * args->parts.shape[2];
    const float *part_lse = cpu_ptr(&args->part_lse);
    float *lse = cpu_ptr(&args->lse);
    double *column = xmalloc((size_t)S * sizeof *column);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t s = 0; s < S; s++)
            column[s] = (double)part_lse[s * rows + i];
        double row_lse = log_sum_exp(column, S);
        for (int64_t d = 0; d < D; d++) {
            double sum = 0.0;
            for (int64_t s = 0; s < S; s++)
                if (column[s] != -HUGE_VAL)
                    sum += exp(column[s] - row_lse) * (double)element_get(cpu_ptr(&args->parts),
                                                                          args->parts.dtype,
                                                                          (s * rows + i) * D + d);
            element_put(cpu_ptr(&args->out), args->out.dtype, i * D + d, (float)sum);
        }
        if (lse)
            lse[i] = (float)row_lse;
    }
    free(column);
}

void ref_rope(Queue *queue, const RopeArgs *args)
{
    (void)queue;
    rope_check(args);
    int64_t N = args->x.shape[0], heads = args->x.shape[1], D = args->x.shape[2];
    void *x = cpu_ptr(&args->x);
    DType type = args->x.dtype;
    const int32_t *positions = cpu_ptr(&args->positions);
    const float *inv_freq = cpu_ptr(&args->inv_freq);
    double sign = args->inverse ? -1.0 : 1.0, scale = (double)args->scale;
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < D / 2; i++) {
            /* The product is exact enough only in float64: positions reach millions. */
            double angle = (double)positions[n] * (double)inv_freq[i];
            double c = cos(angle) * scale, s = sin(angle) * sign * scale;
            for (int64_t h = 0; h < heads; h++) {
                int64_t first = (n * heads + h) * D + i, second = first + D / 2;
                double a = (double)element_get(x, type, first);
                double b = (double)element_get(x, type, second);
                element_put(x, type, first, (float)(a * c - b * s));
                element_put(x, type, second, (float)(a * s + b * c));
            }
        }
}
