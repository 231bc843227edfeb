#include "core/tensor/sample_check.h"

static bool is_matrix(const Tensor *t)
{
    return tensor_present(t) && t->n_dims == 2 && t->dtype == DTYPE_F32;
}

static bool is_list(const Tensor *t, DType dtype, int64_t n)
{
    return t->dtype == dtype && tensor_count(t) == n;
}

void sample_check(const SampleArgs *args)
{
    CHECK(is_matrix(&args->logits) && args->logits.shape[1] > 0, "logits are float32 (N, V)");
    int64_t N = args->logits.shape[0];
    CHECK(is_list(&args->ids, DTYPE_I32, N) && args->rules, "an int32 id and a rule per row");
    CHECK(!tensor_present(&args->logprobs) || is_list(&args->logprobs, DTYPE_F32, N),
          "a float32 log-probability per row");
    for (int64_t n = 0; n < N; n++) {
        const SampleRule *rule = &args->rules[n];
        CHECK(rule->temperature >= 0.0f && rule->uniform >= 0.0f && rule->uniform < 1.0f &&
                  rule->top_k >= 0,
              "row %lld: temperature %g, uniform %g, top_k %d", (long long)n,
              (double)rule->temperature, (double)rule->uniform, rule->top_k);
        for (int64_t i = 0; i < rule->n_recent; i++)
            CHECK(rule->recent[i] >= 0 && rule->recent[i] < args->logits.shape[1],
                  "recent token %d", rule->recent[i]);
    }
}

void top_k_check(const TopKArgs *args)
{
    CHECK(is_matrix(&args->x) && is_matrix(&args->values), "x and values are float32 matrices");
    CHECK(args->values.shape[0] == args->x.shape[0] && args->values.shape[1] <= args->x.shape[1],
          "%lld largest of %lld", (long long)args->values.shape[1], (long long)args->x.shape[1]);
    CHECK(is_list(&args->ids, DTYPE_I32, tensor_count(&args->values)), "an int32 id per value");
}

void log_softmax_check(const LogSoftmaxArgs *args)
{
    CHECK(args->x.dtype == DTYPE_F32 && args->y.dtype == DTYPE_F32 &&
              tensor_same_shape(&args->x, &args->y),
          "x and y are float32 and of one shape");
    CHECK(!tensor_present(&args->lse) || is_list(&args->lse, DTYPE_F32, tensor_rows(&args->x)),
          "a float32 log-sum-exp per row");
}

void mix_check(const MixArgs *args)
{
    const Tensor *x = &args->logits;
    CHECK(x->n_dims == 3 && x->dtype == DTYPE_F32, "logits are float32 (E, N, V)");
    CHECK(is_matrix(&args->weights) && args->weights.shape[0] == x->shape[1] &&
              args->weights.shape[1] == x->shape[0],
          "weights are float32 (N, E)");
    CHECK(is_matrix(&args->out) && args->out.shape[0] == x->shape[1] &&
              args->out.shape[1] == x->shape[2],
          "out is float32 (N, V)");
}
