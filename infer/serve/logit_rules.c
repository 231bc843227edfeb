#include "infer/serve/logit_rules.h"

#include <math.h>
#include <string.h>

bool logit_rules_change(const Job *job)
{
    const JobSpec *spec = &job->spec;
    return spec->json || spec->n_bias > 0 || job_written(job) < spec->min_tokens ||
           spec->presence_penalty != 0.0 || spec->frequency_penalty != 0.0;
}

bool logit_rules_read(const Job *job)
{
    return job->spec.n_top > 0 || logit_rules_change(job);
}

float logit_rules_lse(const float *row, int64_t V)
{
    float top = -INFINITY;
    double sum = 0.0;
    for (int64_t v = 0; v < V; v++)
        top = row[v] > top ? row[v] : top;
    for (int64_t v = 0; v < V; v++)
        sum += (double)expf(row[v] - top);
    return top + (float)log(sum);
}

int64_t logit_rules_top(const float *row, int64_t V, float lse, TopToken *top, int64_t n)
{
    int64_t count = 0;
    for (int64_t v = 0; v < V; v++) {
        float logprob = row[v] - lse;
        if (count == n && !(logprob > top[n - 1].logprob))
            continue;
        int64_t at = count < n ? count++ : n - 1;
        for (; at > 0 && logprob > top[at - 1].logprob; at--)
            top[at] = top[at - 1];
        top[at] = (TopToken){(int32_t)v, logprob};
    }
    return count;
}

/* Each token of the output counts once for its frequency, and at first for its presence. */
static void penalise(const Job *job, float *row, uint8_t *marks)
{
    const JobSpec *spec = &job->spec;
    const int32_t *output = job->seen.items + spec->prompt.count;
    int64_t n = job_written(job);
    for (int64_t i = 0; i < n; i++) {
        row[output[i]] -= (float)spec->frequency_penalty;
        if (!marks[output[i]])
            row[output[i]] -= (float)spec->presence_penalty;
        marks[output[i]] = 1;
    }
    for (int64_t i = 0; i < n; i++)
        marks[output[i]] = 0;
}

Status logit_rules_apply(const Job *job, const JsonMask *mask, float *row, int64_t V,
                         uint8_t *marks, Err *err)
{
    const JobSpec *spec = &job->spec;
    for (int64_t i = 0; i < spec->n_bias; i++)
        row[spec->bias[i].id] += spec->bias[i].bias;
    if (spec->presence_penalty != 0.0 || spec->frequency_penalty != 0.0)
        penalise(job, row, marks);
    for (int64_t i = 0; i < spec->ends.count && job_written(job) < spec->min_tokens; i++)
        row[spec->ends.items[i]] = -INFINITY;
    if (!spec->json)
        return STATUS_OK;
    int64_t left = spec->max_tokens - job_written(job);
    for (int64_t v = tokenizer_size(job->text.decoder.tokenizer); v < V; v++)
        row[v] = -INFINITY;
    if (json_mask_apply(mask, &job->json, left, row) == 0)
        return err_set(err, "no token of the vocabulary can continue the JSON object");
    return STATUS_OK;
}
