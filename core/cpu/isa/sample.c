/* Rows of logits: maxima, sums of exponentials, mixtures and choices of the largest. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/sample_kernels.h"

#define LOG2_E 1.44269504f

static float row_max(const float *x, int64_t n)
{
    VecF a = vec_set(-INFINITY), b = a;
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        a = vec_max(vec_load(x + i), a);
        b = vec_max(vec_load(x + i + LANES), b);
    }
    float max = vec_hmax(vec_max(a, b));
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* Float exponentials, float64 sums: next to one large term the small ones still count. */
static double sum_exp(const float *x, int64_t n, float max)
{
    double sums[LANES] = {0}, total = 0.0;
    if (max == -INFINITY)
        return 0.0;
    for (int64_t i = 0; i < n; i += LANES) {
        float lanes[LANES];
        VecF now = n - i >= LANES ? vec_load(x + i) : elements_load(x, DTYPE_F32, i, n - i);
        vec_store(lanes, vec_exp2((now - max) * LOG2_E));
        for (int k = 0; k < LANES; k++)
            sums[k] += i + k < n ? (double)lanes[k] : 0.0;
    }
    for (int k = 0; k < LANES; k++)
        total += sums[k];
    return total;
}

/* exp(x) for x <= 0 with a relative error of 1e-15, in a form that compilers make vectors of. */
KERNEL_INLINE double exp_double(double x)
{
    double bounded = x > -700.0 ? x : -700.0;
    int32_t whole = (int32_t)(bounded * 1.4426950408889634 - 0.5);
    double r = bounded - (double)whole * 0.6931471805599453, p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    int64_t bits = ((int64_t)whole + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return x > -700.0 ? p * power : 0.0;
}

static double weights(const float *x, int64_t n, float max, float temperature, float least,
                      double *w)
{
    double sum = 0.0, inverse = 1.0 / (double)temperature;
    for (int64_t i = 0; i < n; i++) {
        double now = exp_double(((double)x[i] - (double)max) * inverse);
        w[i] = now >= (double)least ? now : 0.0; /* NaN too becomes 0 */
    }
    for (int64_t i = 0; i < n; i++)
        sum += w[i];
    return sum;
}

static void shift(const float *x, int64_t n, float by, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] + by;
}

static void mix_logits(const float *x, int64_t stride, const float *w, int64_t n_rows, int64_t n,
                       float *y)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF sum = (VecF){0};
        for (int64_t e = 0; e < n_rows; e++)
            if (w[e] != 0.0f)
                sum += w[e] * elements_load(x + e * stride, DTYPE_F32, i, n - i);
        elements_store(y, DTYPE_F32, i, n - i, sum);
    }
}

/* The logarithm of x >= 1, from 2 atanh(f / (2 + f)) of its mantissa 1 + f in [sqrt(1/2), sqrt(2)).
 */
KERNEL_INLINE VecF log_above_one(VecF x)
{
    VecU bits = (VecU)x + (0x3f800000u - 0x3f3504f3u); /* so that sqrt(1/2) starts an octave */
    VecI exponent = (VecI)(bits >> 23) - 127;
    VecF f = (VecF)((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    VecF s = f / (2.0f + f), z = s * s;
    VecF series = z * (0.6666666667f + z * (0.4f + z * (0.2857142857f + z * 0.2222222222f)));
    return __builtin_convertvector(exponent, VecF) * 0.6931471806f + s * (2.0f + series);
}

static void mix_probs(const float *x, int64_t stride, const float *bias, int64_t n_rows, int64_t n,
                      float *y)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF max = vec_set(-INFINITY), sum = (VecF){0};
        for (int64_t e = 0; e < n_rows; e++)
            if (bias[e] != -INFINITY)
                max = vec_max(elements_load(x + e * stride, DTYPE_F32, i, n - i) + bias[e], max);
        VecF base = vec_select(max == -INFINITY, vec_set(0.0f), max);
        for (int64_t e = 0; e < n_rows; e++)
            if (bias[e] != -INFINITY) {
                VecF now = elements_load(x + e * stride, DTYPE_F32, i, n - i) + bias[e];
                sum += vec_exp2((now - base) * LOG2_E);
            }
        VecF value = vec_select(max == -INFINITY, max, base + log_above_one(sum));
        elements_store(y, DTYPE_F32, i, n - i, value);
    }
}

static int64_t at_least(const float *x, int64_t n, float least, int32_t *ids)
{
    int64_t count = 0, i = 0;
#if LANES == 16
    for (; i + 16 <= n; i += 16) {
        __mmask16 mask = _mm512_cmp_ps_mask(vec_load(x + i), vec_set(least), _CMP_GE_OQ);
        if (mask) {
            __m512i index = (__m512i)(vec_iota() + (int32_t)i);
            _mm512_mask_compressstoreu_epi32(ids + count, mask, index);
            count += __builtin_popcount(mask);
        }
    }
#endif
    for (; i < n; i++)
        if (x[i] >= least)
            ids[count++] = (int32_t)i;
    return count;
}

const SampleKernels ISA_SYMBOL(sample_kernels) = {row_max,    sum_exp,   weights, shift,
                                                  mix_logits, mix_probs, at_least};
