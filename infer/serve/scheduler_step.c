#include <string.h>

#include "core/base/log.h"
#include "infer/serve/logit_rules.h"
#include "infer/serve/scheduler_parts.h"

int64_t scheduler_pages(const Scheduler *s, int64_t positions)
{
    return (positions + s->page_size - 1) / s->page_size;
}

/* Free pages for running[i], beside the `promised` ones: what ended leaves first, then younger
 * jobs.
 */
static bool make_room(Scheduler *s, int64_t i, int64_t promised, int64_t need)
{
    while (decoder_free_positions(s->decoder) / s->page_size - promised < need) {
        if (parked_evict(s->parked))
            continue;
        if (s->n_running - 1 == i)
            return false;
        scheduler_put_back(s);
    }
    return true;
}

/* What another sequence that began alike has computed need not be computed again. */
static void take_prefix(Scheduler *s, Job *job)
{
    int64_t length = s->page_size;
    int64_t donor = parked_find(s->parked, &job->seen, &length);
    for (int64_t i = 0; i < s->n_running; i++) {
        const Job *other = s->running[i];
        if (other == job)
            continue;
        int64_t common =
            common_prefix(other->seen.items, decoder_length(s->decoder, other->sequence),
                          job->seen.items, job->seen.count);
        if (common > length) {
            length = common;
            donor = other->sequence;
        }
    }
    if (donor >= 0)
        metrics_count(s->metrics, COUNT_PREFIX_TOKENS,
                      decoder_share(s->decoder, job->sequence, donor, length));
}

/* The turns of the next step: one token of every text under way, and up to `prefill` tokens of
 * prompts, the oldest first; of one prompt that is scored as many, whatever else there is. */
static int64_t plan(Scheduler *s)
{
    int64_t n = 0, budget = s->options.prefill, promised = 0, prompt_tokens = 0;
    bool scoring = false;
    for (int64_t i = 0; i < s->n_running; i++) {
        Job *job = s->running[i];
        bool scores = job->scores && job_written(job) == 0;
        if (decoder_length(s->decoder, job->sequence) == 0 && !scores && budget > 0)
            take_prefix(s, job);
        int64_t done = decoder_length(s->decoder, job->sequence), todo = job->seen.count - done;
        int64_t most = scores ? s->options.prefill : budget;
        int64_t count = todo == 1 || todo < most ? todo : most;
        if (count == 0 || (scores && scoring))
            continue;
        int64_t need = scheduler_pages(s, done + count) - scheduler_pages(s, done);
        if (!make_room(s, i, promised, need))
            continue;
        promised += need;
        scoring |= scores;
        if (todo > 1)
            budget -= count < budget ? count : budget;
        if (done < job->spec.prompt.count)
            prompt_tokens += count;
        s->planned[n++] =
            (Turn){.job = job, .count = count, .scores = scores, .whole = count == todo};
    }
    metrics_count(s->metrics, COUNT_PROMPT_TOKENS, prompt_tokens);
    return n;
}

/* What the step shall tell of `count` tokens of a prompt, behind the first `done`: the row of a
 * token is about the one after it. */
static void look_at_prompt(Job *job, int64_t done, int64_t count, DecodeLook *look)
{
    int64_t after = done + count, n_top = job->spec.n_top;
    *look = (DecodeLook){.next = after < job->seen.count ? job->seen.items[after] : -1,
                         .n_top = n_top,
                         .top = job->prompt_top + (done + 1) * n_top,
                         .given = job->scores + done + 1};
}

static void tell_scores(const Job *job)
{
    PromptScores scores = {.n = job->spec.prompt.count,
                           .n_top = job->spec.n_top,
                           .logprobs = job->scores,
                           .top = job->prompt_top};
    job->sink.scored(job->sink.context, job->number, &scores);
}

/* The step's items: single tokens before prompts, so that the decoder makes the logits of all texts
 * under way in one product and reads the head once; then the prompt that is scored. Returns how
 * many there are without it. */
static int64_t arrange(Scheduler *s, int64_t n)
{
    int64_t at = 0, together = 0;
    for (int part = 0; part < 3; part++) {
        for (int64_t i = 0; i < n; i++) {
            const Turn *turn = &s->planned[i];
            Job *job = turn->job;
            if ((turn->scores ? 2 : turn->count > 1) != part)
                continue;
            int64_t done = decoder_length(s->decoder, job->sequence);
            s->items[at] = (DecodeItem){job->sequence, job->seen.items + done, turn->count};
            s->turns[at++] = *turn;
        }
        together = part < 2 ? at : together;
    }
    return together;
}

/* Brings the rows to the host whose jobs ask for more than a draw. Jobs whose rows have no way on
 * end here, and their turns with them. */
static Status host_rows(Scheduler *s, const Tensor *logits, int64_t from, int64_t n, Err *err)
{
    Device device = decoder_device(s->decoder);
    for (int64_t i = from; i < from + n; i++) {
        Turn *turn = &s->turns[i];
        if (!turn->job || !turn->whole || !logit_rules_read(turn->job))
            continue;
        float *row = s->rows + i * s->V;
        Tensor slice = tensor_slice(logits, i - from, 1);
        TRY(device_download(&device, &slice, row, err));
        turn->lse = logit_rules_lse(row, s->V);
        turn->n_top = logit_rules_top(row, s->V, turn->lse, turn->top, turn->job->spec.n_top);
        if (!logit_rules_change(turn->job))
            continue;
        memcpy(s->changed, row, (size_t)s->V * sizeof *row);
        Err why;
        if (logit_rules_apply(turn->job, s->mask, s->changed, s->V, s->marks, &why) != STATUS_OK) {
            scheduler_end_job(s, turn->job, JOB_FAILED, why.text);
            turn->job = NULL;
            continue;
        }
        TRY(device_upload(&device, &slice, s->changed, err));
    }
    return STATUS_OK;
}

static Status draw(Scheduler *s, int64_t from, int64_t n, Err *err)
{
    Tensor logits = decoder_logits(s->decoder);
    TRY(host_rows(s, &logits, from, n, err));
    for (int64_t i = from; i < from + n; i++) {
        Job *job = s->turns[i].job;
        s->rules[i] = (SampleRule){0};
        if (job && s->turns[i].whole)
            s->rules[i] = sampling_rule(&job->spec.sampling, &job->rng, &job->seen);
    }
    return sampler_draw(s->sampler, &logits, s->rules + from, s->ids + from, s->logprobs + from,
                        err);
}

static void count_token(Scheduler *s, Job *job)
{
    double now = clock_seconds();
    if (job->last_token == 0.0)
        metrics_first_token(s->metrics, now - job->submitted);
    else
        metrics_next_token(s->metrics, now - job->last_token);
    job->last_token = now;
}

/* A token was drawn for the job of turn i. */
static void take_token(Scheduler *s, int64_t i)
{
    Turn *turn = &s->turns[i];
    Job *job = turn->job;
    int32_t id = s->ids[i];
    bool on_host = logit_rules_read(job);
    JobToken token = {.id = id,
                      .logprob = on_host ? s->rows[i * s->V + id] - turn->lse : s->logprobs[i],
                      .text = "",
                      .top = turn->top,
                      .n_top = turn->n_top,
                      .weights = decoder_weights(s->decoder, job->sequence)};
    if (job_ends_with(job, id)) {
        token.ends = true;
        job->sink.token(job->sink.context, job->number, &token);
        scheduler_end_job(s, job, JOB_STOP, NULL);
        return;
    }
    id_list_add(&job->seen, id);
    count_token(s, job);
    strbuf_reset(&s->fresh);
    bool stopped = token_text_feed(&job->text, id, &s->fresh);
    if (job->spec.json) {
        json_mask_advance(s->mask, &job->json, id);
        stopped |= json_state_complete(&job->json);
    }
    token.text = s->fresh.data ? s->fresh.data : "";
    token.bytes = s->fresh.size;
    token.characters = token_text_characters(&job->text);
    job->sink.token(job->sink.context, job->number, &token);
    if (stopped || job_written(job) >= job->spec.max_tokens)
        scheduler_end_job(s, job, stopped ? JOB_STOP : JOB_LENGTH, NULL);
}

/* Decodes turns [from, from + n): together, or the one that is scored. */
static Status decode(Scheduler *s, int64_t from, int64_t n, Err *err)
{
    const Turn *turn = &s->turns[from];
    const DecodeItem *items = s->items + from;
    metrics_count(s->metrics, COUNT_STEPS, 1);
    if (!turn->scores)
        return decoder_step(s->decoder, items, n, err);
    DecodeLook look;
    const DecodeLook *one = &look;
    int64_t done = decoder_length(s->decoder, turn->job->sequence);
    look_at_prompt(turn->job, done, turn->count, &look);
    return decoder_look(s->decoder, items, 1, &one, err);
}

static Status run_turns(Scheduler *s, int64_t from, int64_t n, Err *err)
{
    bool draws = false;
    TRY(decode(s, from, n, err));
    for (int64_t i = from; i < from + n; i++) {
        Turn *turn = &s->turns[i];
        if (!turn->whole)
            continue;
        if (turn->scores)
            tell_scores(turn->job);
        if (turn->job->spec.max_tokens == 0) {
            scheduler_end_job(s, turn->job, JOB_LENGTH, NULL);
            turn->job = NULL;
        } else {
            draws = true;
        }
    }
    if (!draws)
        return STATUS_OK;
    TRY(draw(s, from, n, err));
    int64_t written = 0;
    for (int64_t i = from; i < from + n; i++)
        if (s->turns[i].job && s->turns[i].whole) {
            take_token(s, i);
            written++;
        }
    metrics_count(s->metrics, COUNT_GENERATED_TOKENS, written);
    return STATUS_OK;
}

/* A prompt that is scored is decoded by itself, in pieces that depend on its length alone: products
 * of few rows sum in another order than those of many, and its scores shall not depend on its
 * neighbours in a single bit. */
Status scheduler_step(Scheduler *s, Err *err)
{
    int64_t n = plan(s);
    CHECK(n > 0, "%lld jobs and nothing to do", (long long)s->n_running);
    int64_t together = arrange(s, n);
    if (together > 0)
        TRY(run_turns(s, 0, together, err));
    for (int64_t i = together; i < n; i++)
        TRY(run_turns(s, i, 1, err));
    return STATUS_OK;
}
