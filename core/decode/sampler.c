#include "core/decode/sampler.h"

#include <stdlib.h>

#include "core/base/mem.h"

Sampling sampling_default(void)
{
    return (Sampling){
        .temperature = 0.8, .top_p = 0.95, .repetition_penalty = 1.0, .repetition_window = 64};
}

Status sampling_check(const Sampling *s, Err *err)
{
    if (s->temperature < 0.0)
        return err_usage(err, "--temperature is 0 or more, not %g", s->temperature);
    if (!(s->top_p > 0.0 && s->top_p <= 1.0))
        return err_usage(err, "--top-p is above 0 and at most 1, not %g", s->top_p);
    if (!(s->min_p >= 0.0 && s->min_p < 1.0))
        return err_usage(err, "--min-p is at least 0 and below 1, not %g", s->min_p);
    if (s->repetition_penalty <= 0.0)
        return err_usage(err, "--repetition-penalty is above 0, not %g", s->repetition_penalty);
    if (s->top_k < 0 || s->top_k > INT32_MAX)
        return err_usage(err, "--top-k is 0 or more");
    return STATUS_OK;
}

void sampling_start(const Sampling *sampling, int64_t index, Rng *rng)
{
    rng_init(rng, sampling->seed + (uint64_t)index, 0);
}

SampleRule sampling_rule(const Sampling *s, Rng *rng, const IdList *seen)
{
    int64_t recent = seen->count < s->repetition_window ? seen->count : s->repetition_window;
    return (SampleRule){.temperature = (float)s->temperature,
                        .top_p = (float)s->top_p,
                        .min_p = (float)s->min_p,
                        .repetition_penalty = (float)s->repetition_penalty,
                        .top_k = (int32_t)s->top_k,
                        .uniform = (float)(rng_u64(rng) >> 40) * 0x1.0p-24f,
                        .recent = seen->items + seen->count - recent,
                        .n_recent = recent};
}

struct Sampler {
    Device device;
    Tensor ids, logprobs; /* (max_rows) on the device */
};

Status sampler_new(Sampler **out, const Device *device, int64_t max_rows, Err *err)
{
    Sampler *sampler = xcalloc(1, sizeof *sampler);
    *sampler = (Sampler){.device = *device,
                         .ids = tensor_1d(NULL, DTYPE_I32, max_rows),
                         .logprobs = tensor_1d(NULL, DTYPE_F32, max_rows)};
    *out = sampler;
    Status status = device_tensor(device, &sampler->ids, "sampled tokens", err);
    if (status == STATUS_OK)
        status = device_tensor(device, &sampler->logprobs, "sampled tokens", err);
    if (status != STATUS_OK) {
        sampler_free(sampler);
        *out = NULL;
    }
    return status;
}

void sampler_free(Sampler *sampler)
{
    if (!sampler)
        return;
    if (sampler->ids.data)
        sampler->device.ops->free(sampler->ids.data);
    if (sampler->logprobs.data)
        sampler->device.ops->free(sampler->logprobs.data);
    free(sampler);
}

Status sampler_draw(Sampler *sampler, const Tensor *logits, const SampleRule *rules, int32_t *ids,
                    float *logprobs, Err *err)
{
    const Device *device = &sampler->device;
    int64_t n = logits->shape[0];
    Tensor drawn = tensor_slice(&sampler->ids, 0, n);
    Tensor their = tensor_slice(&sampler->logprobs, 0, n);
    device->ops->sample(
        device->queue,
        &(SampleArgs){.logits = *logits, .ids = drawn, .logprobs = their, .rules = rules});
    TRY(device_download(device, &drawn, ids, err));
    return device_download(device, &their, logprobs, err);
}
