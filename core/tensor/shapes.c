#include "core/tensor/shapes.h"

GemmDims gemm_dims(const GemmArgs *args)
{
    GemmDims d = {.M = tensor_rows(&args->c), .N = tensor_cols(&args->c)};
    int64_t a_rows = tensor_rows(&args->a), a_cols = tensor_cols(&args->a);
    int64_t b_rows = tensor_rows(&args->b), b_cols = tensor_cols(&args->b);
    d.K = args->a_transposed ? a_rows : a_cols;
    CHECK((args->a_transposed ? a_cols : a_rows) == d.M, "gemm: a does not have %lld rows",
          (long long)d.M);
    CHECK((args->b_transposed ? b_rows : b_cols) == d.N, "gemm: b does not have %lld columns",
          (long long)d.N);
    CHECK((args->b_transposed ? b_cols : b_rows) == d.K, "gemm: the inner sizes differ from %lld",
          (long long)d.K);
    CHECK(is_compute_type(args->a.dtype) && args->a.dtype == args->b.dtype,
          "gemm: types of a and b");
    CHECK(args->c.dtype == DTYPE_F32 || args->c.dtype == args->a.dtype, "gemm: type of c");
    CHECK(args->act == ACT_NONE || (args->act == ACT_GELU && !args->accumulate),
          "gemm: activation %d", (int)args->act);
    CHECK(!args->bias.data || (args->bias.dtype == DTYPE_F32 && tensor_count(&args->bias) == d.N),
          "gemm: bias");
    CHECK(!args->pre.data || (args->act == ACT_GELU && args->pre.dtype == args->c.dtype &&
                              tensor_count(&args->pre) == d.M * d.N),
          "gemm: pre");
    return d;
}

/* An optional float32 tensor of `count` elements. */
static bool fits(const Tensor *t, int64_t count)
{
    return !t->data || (t->dtype == DTYPE_F32 && tensor_count(t) == count);
}

void norm_check(const NormArgs *args)
{
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x);
    CHECK(is_compute_type(args->x.dtype) && is_compute_type(args->y.dtype), "norm: types");
    CHECK(tensor_count(&args->y) == N * C && tensor_cols(&args->y) == C, "norm: shape of y");
    CHECK(fits(&args->residual, N * C) && fits(&args->sum, N * C), "norm: residual and sum");
    CHECK(!args->residual.data || args->sum.data, "norm: a residual needs a sum");
    CHECK(args->weight.data && fits(&args->weight, C) && fits(&args->bias, C), "norm: weight");
    CHECK(fits(&args->mean, N) && fits(&args->rstd, N), "norm: mean and rstd");
}

void norm_backward_check(const NormBackwardArgs *args)
{
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x);
    CHECK(args->x.dtype == DTYPE_F32 && is_compute_type(args->dy.dtype), "norm_backward: types");
    CHECK(tensor_count(&args->dy) == N * C, "norm_backward: shape of dy");
    CHECK(args->dx.data && fits(&args->dx, N * C), "norm_backward: dx");
    CHECK(args->weight.data && fits(&args->weight, C), "norm_backward: weight");
    CHECK(fits(&args->dweight, C) && fits(&args->dbias, C), "norm_backward: gradients");
    CHECK(args->rstd.data && fits(&args->rstd, N), "norm_backward: rstd");
    CHECK(args->kind == NORM_RMS || (args->mean.data && fits(&args->mean, N)),
          "norm_backward: mean");
}

void act_check(const ActArgs *args)
{
    int64_t n = tensor_count(&args->x);
    CHECK(args->act == ACT_GELU || args->act == ACT_SWIGLU, "act: activation %d", (int)args->act);
    CHECK(is_compute_type(args->x.dtype) && args->y.dtype == args->x.dtype &&
              tensor_count(&args->y) == n,
          "act: y");
    CHECK(args->act == ACT_GELU ||
              (args->gate.dtype == args->x.dtype && tensor_count(&args->gate) == n),
          "act: gate");
}

void act_backward_check(const ActBackwardArgs *args)
{
    int64_t n = tensor_count(&args->x);
    CHECK(args->act == ACT_GELU || args->act == ACT_SWIGLU, "act: activation %d", (int)args->act);
    CHECK(is_compute_type(args->x.dtype) && args->dy.dtype == args->x.dtype &&
              args->dx.dtype == args->x.dtype && tensor_count(&args->dy) == n &&
              tensor_count(&args->dx) == n,
          "act_backward: dy and dx");
    CHECK(args->act == ACT_GELU ||
              (args->gate.dtype == args->x.dtype && args->dgate.dtype == args->x.dtype &&
               tensor_count(&args->gate) == n && tensor_count(&args->dgate) == n),
          "act_backward: gate and dgate");
}

void head_loss_check(const HeadLossArgs *args)
{
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x), V = tensor_rows(&args->weight);
    CHECK(is_compute_type(args->x.dtype) && args->weight.dtype == args->x.dtype,
          "head_loss: types");
    CHECK(tensor_cols(&args->weight) == C, "head_loss: weight is not (V, %lld)", (long long)C);
    CHECK(fits(&args->bias, V) && fits(&args->dbias, V), "head_loss: bias");
    CHECK(args->targets.dtype == DTYPE_I32 && tensor_count(&args->targets) == N,
          "head_loss: targets");
    CHECK(args->losses.data && fits(&args->losses, N), "head_loss: losses");
    CHECK(!args->dx.data || (tensor_count(&args->dx) == N * C &&
                             (args->dx.dtype == DTYPE_F32 || args->dx.dtype == args->x.dtype)),
          "head_loss: dx");
    CHECK(fits(&args->dweight, V * C), "head_loss: dweight");
}

void adamw_check(const AdamwArgs *args)
{
    CHECK(args->step >= 1, "adamw: steps count from 1");
    CHECK(fits(&args->grad_scale, 1), "adamw: grad_scale");
    for (int64_t i = 0; i < args->n_items; i++) {
        const AdamwItem *item = &args->items[i];
        int64_t n = tensor_count(&item->param);
        CHECK(item->param.data && item->grad.data && item->m.data && item->v.data &&
                  fits(&item->param, n) && fits(&item->grad, n) && fits(&item->m, n) &&
                  fits(&item->v, n),
              "adamw: item %lld", (long long)i);
        CHECK(!item->copy.data ||
                  (is_compute_type(item->copy.dtype) && tensor_count(&item->copy) == n),
              "adamw: copy of item %lld", (long long)i);
    }
}

void weighted_sum_check(const WeightedSumArgs *args)
{
    CHECK(is_compute_type(args->y.dtype), "weighted_sum: type of y");
    for (int64_t i = 0; i < args->n; i++)
        CHECK(is_compute_type(args->x[i].dtype) &&
                  tensor_count(&args->x[i]) == tensor_count(&args->y),
              "weighted_sum: shape or type of tensor %lld", (long long)i);
}

void gemm_i8_check(const GemmI8Args *args)
{
    const Tensor *a = &args->a, *w = &args->w, *c = &args->c;
    CHECK(a->n_dims == 2 && w->n_dims == 2 && c->n_dims == 2, "a, w and c are matrices");
    CHECK(a->shape[1] == w->shape[1] && c->shape[0] == a->shape[0] && c->shape[1] == w->shape[0],
          "(%lld, %lld) times (%lld, %lld)^T into (%lld, %lld)", (long long)a->shape[0],
          (long long)a->shape[1], (long long)w->shape[0], (long long)w->shape[1],
          (long long)c->shape[0], (long long)c->shape[1]);
    CHECK(is_compute_type(a->dtype) && is_compute_type(c->dtype) && w->dtype == DTYPE_I8,
          "types %s, %s, %s", dtype_name(a->dtype), dtype_name(w->dtype), dtype_name(c->dtype));
    CHECK(args->scales.dtype == DTYPE_F32 && tensor_count(&args->scales) == w->shape[0],
          "one float32 scale per row of w");
    CHECK(!tensor_present(&args->bias) ||
              (args->bias.dtype == DTYPE_F32 && tensor_count(&args->bias) == w->shape[0]),
          "one float32 bias per row of w");
}

void quantise_check(const QuantiseArgs *args)
{
    CHECK(is_compute_type(args->x.dtype) && args->q.dtype == DTYPE_I8 &&
              args->scales.dtype == DTYPE_F32,
          "types %s, %s, %s", dtype_name(args->x.dtype), dtype_name(args->q.dtype),
          dtype_name(args->scales.dtype));
    CHECK(tensor_same_shape(&args->x, &args->q) &&
              tensor_count(&args->scales) == tensor_rows(&args->x),
          "q has x's shape and every row one scale");
}
