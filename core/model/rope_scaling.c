#include "core/model/rope_scaling.h"

#include <math.h>
#include <string.h>

static const double tau = 6.283185307179586;

static const char *const names[] = {
    [ROPE_LINEAR] = "linear", [ROPE_LLAMA3] = "llama3", [ROPE_YARN] = "yarn"};

const char *rope_scaling_name(RopeScalingKind kind)
{
    return names[kind];
}

RopeScalingKind rope_scaling_parse(const char *name)
{
    for (int i = ROPE_LINEAR; i <= ROPE_YARN; i++)
        if (strcmp(name, names[i]) == 0)
            return (RopeScalingKind)i;
    return ROPE_UNSCALED;
}

Status rope_scaling_check(const RopeScaling *s, Err *err)
{
    if (s->kind == ROPE_UNSCALED)
        return STATUS_OK;
    if (!(s->factor >= 1.0 && s->factor < 1e6))
        return err_set(err, "rope scaling: the factor %g is not from 1 to a million", s->factor);
    if (s->kind == ROPE_LINEAR)
        return STATUS_OK;
    if (s->original_context < 1 || s->original_context > INT32_MAX)
        return err_set(err, "rope scaling: an original context of %lld positions",
                       (long long)s->original_context);
    if (!(s->low > 0.0 && s->high > s->low && s->high < 1e6))
        return err_set(err, "rope scaling: bounds of %g and %g", s->low, s->high);
    if (!(s->attention >= 0.0 && s->attention < 1e6))
        return err_set(err, "rope scaling: an attention factor of %g", s->attention);
    return STATUS_OK;
}

/* How much of the unscaled frequency stays, 0 to 1. */
static double share_llama3(double frequency, const RopeScaling *s)
{
    double waves = (double)s->original_context * frequency / tau;
    return fmin(fmax((waves - s->low) / (s->high - s->low), 0.0), 1.0);
}

/* The pair, as a real number, whose wave fits into the original context so many times. */
static double pair_of(double waves, double base, int64_t half, const RopeScaling *s)
{
    return (double)half * log((double)s->original_context / (waves * tau)) / log(base);
}

static double share_yarn(int64_t i, double base, int64_t half, const RopeScaling *s)
{
    double first = fmax(floor(pair_of(s->high, base, half, s)), 0.0);
    double last = fmin(ceil(pair_of(s->low, base, half, s)), (double)(2 * half - 1));
    if (first == last)
        last += 0.001; /* as published: the ramp must have a width */
    return 1.0 - fmin(fmax(((double)i - first) / (last - first), 0.0), 1.0);
}

void rope_frequencies(double base, int64_t half, const RopeScaling *s, float *inv_freq)
{
    for (int64_t i = 0; i < half; i++) {
        double frequency = pow(base, -(double)i / (double)half), share = 1.0;
        if (s->kind == ROPE_LINEAR)
            share = 0.0;
        else if (s->kind == ROPE_LLAMA3)
            share = share_llama3(frequency, s);
        else if (s->kind == ROPE_YARN)
            share = share_yarn(i, base, half, s);
        if (share < 1.0)
            frequency = share * frequency + (1.0 - share) * frequency / s->factor;
        inv_freq[i] = (float)frequency;
    }
}

float rope_attention_factor(const RopeScaling *s)
{
    if (s->kind != ROPE_YARN)
        return 1.0f;
    return (float)(s->attention > 0.0 ? s->attention : 0.1 * log(s->factor) + 1.0);
}
