#include "infer/serve/job.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

void job_spec_clear(JobSpec *spec)
{
    id_list_clear(&spec->prompt);
    id_list_clear(&spec->ends);
    string_list_clear(&spec->stops);
    free(spec->bias);
    *spec = (JobSpec){0};
}

Job *job_new(JobSpec *spec, const JobSink *sink, int64_t number, const Tokenizer *tokenizer)
{
    Job *job = xcalloc(1, sizeof *job);
    job->spec = *spec;
    *spec = (JobSpec){0};
    job->sink = *sink;
    job->number = number;
    job->submitted = clock_seconds();
    job->sequence = -1;
    for (int64_t i = 0; i < job->spec.prompt.count; i++)
        id_list_add(&job->seen, job->spec.prompt.items[i]);
    sampling_start(&job->spec.sampling, job->spec.index, &job->rng);
    token_text_init(&job->text, tokenizer, job->spec.show_specials, job->spec.at_start,
                    &job->spec.stops);
    json_state_init(&job->json);
    if (job->spec.score_prompt) {
        size_t n = (size_t)job->spec.prompt.count + 1;
        job->scores = xcalloc(n, sizeof *job->scores);
        job->prompt_top = xcalloc(n * (size_t)job->spec.n_top + 1, sizeof *job->prompt_top);
    }
    return job;
}

void job_free(Job *job)
{
    if (!job)
        return;
    job_spec_clear(&job->spec);
    id_list_clear(&job->seen);
    token_text_clear(&job->text);
    free(job->scores);
    free(job->prompt_top);
    free(job);
}

int64_t job_written(const Job *job)
{
    return job->seen.count - job->spec.prompt.count;
}

bool job_ends_with(const Job *job, int32_t id)
{
    return id_list_has(&job->spec.ends, id);
}
