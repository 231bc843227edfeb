/* One row of softmax and cross-entropy. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/kernels.h"

#define LOG2_E 1.44269504f

static float row_max(const float *logits, int64_t n)
{
    float max = logits[0];
    for (int64_t i = 1; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    return max;
}

KERNEL_INLINE void gradient_of(DType type, const float *logits, int64_t n, float max, float scale,
                               void *out)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF x = elements_load(logits, DTYPE_F32, i, n - i);
        elements_store(out, type, i, n - i, vec_exp2((x - max) * LOG2_E) * scale);
    }
}

static float cross_entropy(const CrossEntropyTask *task)
{
    const float *logits = task->logits;
    int64_t n = task->n;
    float max = row_max(logits, n);
    double total = 0.0;
    /* Sums of at most 4096 terms in float32, then in float64. */
    for (int64_t at = 0; at < n; at += 4096) {
        int64_t end = at + 4096 < n ? at + 4096 : n;
        VecF sum = {0};
        int64_t i = at;
        for (; i + LANES <= end; i += LANES)
            sum += vec_exp2((vec_load(logits + i) - max) * LOG2_E);
        for (; i < end; i++)
            total += (double)expf(logits[i] - max);
        total += (double)vec_sum(sum);
    }
    float target = logits[task->target];
    float loss = (float)(log(total) + (double)max - (double)target);
    if (!task->out)
        return loss;
    float scale = (float)((double)task->scale / total);
    if (task->type == DTYPE_BF16)
        gradient_of(DTYPE_BF16, logits, n, max, scale, task->out);
    else
        gradient_of(DTYPE_F32, logits, n, max, scale, task->out);
    float at_target = expf(target - max) * scale - task->scale;
    elements_store(task->out, task->type, task->target, 1, vec_set(at_target));
    return loss;
}

const LossKernels ISA_SYMBOL(loss_kernels) = {cross_entropy};
