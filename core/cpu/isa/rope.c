/* Rotary positions: sines and cosines once per row and pair, then all heads. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/rope.h"

enum { PAIRS = 64 }; /* pairs whose sines are kept at a time */

/* Sine and cosine of LANES angles of up to an eighth of a turn, then turned by quarters. The
 * polynomials are those of the Cephes library for single precision. */
KERNEL_INLINE void sine_cosine(VecF turns, VecF *sine, VecF *cosine)
{
    VecF half = vec_select(turns < 0.0f, vec_set(-0.5f), vec_set(0.5f));
    VecI quarter = __builtin_convertvector(4.0f * turns + half, VecI);
    VecF x = (turns - 0.25f * __builtin_convertvector(quarter, VecF)) * 6.283185307f;
    VecF z = x * x;
    VecF s = x + x * z * ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f);
    VecF c =
        1.0f - 0.5f * z +
        z * z * ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
    VecI odd = (quarter & 1) != 0, turned = (quarter & 2) != 0, crossed = odd ^ turned;
    VecF sine_now = vec_select(odd, c, s), cosine_now = vec_select(odd, s, c);
    *sine = vec_select(turned, -sine_now, sine_now);
    *cosine = vec_select(crossed, -cosine_now, cosine_now);
}

/* Fractions of a turn, in float64 until the whole turns are gone: positions reach millions. */
KERNEL_INLINE VecF fractions(int32_t position, const float *inv_freq, int64_t count)
{
    float turns[LANES] = {0};
    for (int64_t i = 0; i < count; i++) {
        double all = (double)position * (double)inv_freq[i] * 0.15915494309189535; /* 1 / 2 pi */
        turns[i] = (float)(all - (double)(int32_t)all);
    }
    return vec_load(turns);
}

/* Pairs [0, count) at x and x + D / 2 of one head. */
KERNEL_INLINE void rotate(void *x, DType type, int64_t first, int64_t second, int64_t count,
                          const float *sines, const float *cosines)
{
    for (int64_t i = 0; i < count; i += LANES) {
        VecF a = elements_load(x, type, first + i, count - i);
        VecF b = elements_load(x, type, second + i, count - i);
        VecF s = vec_load(sines + i), c = vec_load(cosines + i);
        elements_store(x, type, first + i, count - i, a * c - b * s);
        elements_store(x, type, second + i, count - i, a * s + b * c);
    }
}

void ISA_SYMBOL(rope_rows)(const RopeRows *t)
{
    float sines[PAIRS] __attribute__((aligned(64))), cosines[PAIRS] __attribute__((aligned(64)));
    int64_t half = t->D / 2;
    for (int64_t n = t->first; n < t->last; n++)
        for (int64_t pair = 0; pair < half; pair += PAIRS) {
            int64_t count = half - pair < PAIRS ? half - pair : PAIRS;
            for (int64_t i = 0; i < count; i += LANES) {
                VecF s, c;
                int64_t some = count - i < LANES ? count - i : LANES;
                sine_cosine(fractions(t->positions[n], t->inv_freq + pair + i, some), &s, &c);
                vec_store(sines + i, s * (t->inverse ? -t->scale : t->scale));
                vec_store(cosines + i, c * t->scale);
            }
            for (int64_t head = 0; head < t->heads; head++) {
                int64_t at = (n * t->heads + head) * t->D + pair;
                if (t->type == DTYPE_BF16)
                    rotate(t->x, DTYPE_BF16, at, at + half, count, sines, cosines);
                else
                    rotate(t->x, DTYPE_F32, at, at + half, count, sines, cosines);
            }
        }
}
