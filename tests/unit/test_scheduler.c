/* The scheduler's laws: what a job writes depends on itself alone (not on its neighbours, on pieces
 * of prompts, on shared beginnings, on being put back), and every job ends once. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "infer/serve/logit_rules.h"
#include "infer/serve/scheduler.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/tiny_model.h"

enum { JOBS = 9, CONTEXT = 120 };

static Tokenizer *tokenizer;
static Ensemble *ensemble;

static int set_up(void **state)
{
    (void)state;
    parallel_set_width(1); /* the models are too small for more */
    tokenizer = byte_vocabulary();
    ModelConfig a = tiny_config();
    a.vocab_size = tokenizer_size(tokenizer);
    ModelConfig b = a;
    b.n_layers = 3;
    Model *models[2] = {tiny_model(&a, DTYPE_F32, 5, 3), tiny_model(&b, DTYPE_F32, 6, 3)};
    ensemble = tiny_ensemble(models, 2, MERGE_BAYES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ensemble_free(ensemble);
    tokenizer_free(tokenizer);
    return 0;
}

/* ---- listening ------------------------------------------------------------------------------- */

typedef struct Heard {
    IdList ids;
    StrBuf text;
    float logprob_sum, scores[CONTEXT];
    TopToken top[CONTEXT * LOOK_TOP]; /* of the prompt */
    int64_t n_scores, n_tops, n_end_tokens, ends;
    JobEnd end;
    char why[128];
} Heard;

typedef struct Ear {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_bool cancelled;
    Heard jobs[JOBS];
    int64_t ended, tokens;
} Ear;

static void ear_init(Ear *ear)
{
    *ear = (Ear){.ended = 0};
    pthread_mutex_init(&ear->lock, NULL);
    pthread_cond_init(&ear->changed, NULL);
}

static void ear_clear(Ear *ear)
{
    for (int i = 0; i < JOBS; i++) {
        id_list_clear(&ear->jobs[i].ids);
        strbuf_clear(&ear->jobs[i].text);
    }
    pthread_mutex_destroy(&ear->lock);
    pthread_cond_destroy(&ear->changed);
}

static void on_scores(void *context, int64_t job, const PromptScores *scores)
{
    Heard *heard = &((Ear *)context)->jobs[job];
    memcpy(heard->scores, scores->logprobs, (size_t)scores->n * sizeof *heard->scores);
    memcpy(heard->top, scores->top, (size_t)(scores->n * scores->n_top) * sizeof *heard->top);
    heard->n_scores += scores->n;
}

static void on_token(void *context, int64_t job, const JobToken *token)
{
    Ear *ear = context;
    Heard *heard = &ear->jobs[job];
    pthread_mutex_lock(&ear->lock);
    if (token->ends) {
        CHECK(token->bytes == 0 && token->logprob <= 0.0f, "an end token with text");
        heard->n_end_tokens++;
        pthread_mutex_unlock(&ear->lock);
        return;
    }
    id_list_add(&heard->ids, token->id);
    strbuf_append(&heard->text, token->text, (size_t)token->bytes);
    heard->logprob_sum += token->logprob;
    heard->n_tops += token->n_top;
    for (int64_t i = 1; i < token->n_top; i++)
        CHECK(token->top[i - 1].logprob >= token->top[i].logprob, "alternatives do not fall");
    CHECK(token->weights[0] + token->weights[1] > 0.999f, "weights do not add up");
    ear->tokens++;
    pthread_cond_broadcast(&ear->changed);
    pthread_mutex_unlock(&ear->lock);
}

static void on_end(void *context, int64_t job, JobEnd end, const char *text, int64_t bytes,
                   const char *why)
{
    Ear *ear = context;
    Heard *heard = &ear->jobs[job];
    pthread_mutex_lock(&ear->lock);
    strbuf_append(&heard->text, text, (size_t)bytes);
    heard->end = end;
    heard->ends++;
    if (why)
        snprintf(heard->why, sizeof heard->why, "%s", why);
    ear->ended++;
    pthread_cond_broadcast(&ear->changed);
    pthread_mutex_unlock(&ear->lock);
}

static JobSink sink_of(Ear *ear)
{
    return (JobSink){.context = ear,
                     .cancelled = &ear->cancelled,
                     .scored = on_scores,
                     .token = on_token,
                     .end = on_end};
}

static void wait_for(Ear *ear, int64_t ended, int64_t tokens)
{
    pthread_mutex_lock(&ear->lock);
    while (ear->ended < ended || ear->tokens < tokens)
        pthread_cond_wait(&ear->changed, &ear->lock);
    pthread_mutex_unlock(&ear->lock);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static SchedulerOptions options_of(int64_t batch)
{
    return (SchedulerOptions){.batch = batch,
                              .queue = 64,
                              .context = CONTEXT,
                              .kv_positions = batch * CONTEXT,
                              .page_size = 5,
                              .prefill = 200};
}

static JobSpec job_of(const char *prompt, uint64_t seed, int64_t max_tokens)
{
    JobSpec spec = {.max_tokens = max_tokens, .deadline = 1e300};
    tokenizer_encode(tokenizer, prompt, (int64_t)strlen(prompt), &spec.prompt);
    spec.sampling = sampling_default();
    spec.sampling.seed = seed;
    return spec;
}

/* Jobs of all kinds: beginnings in common, penalties, stop strings, alternatives, JSON. */
static void make_jobs(JobSpec *specs)
{
    static const char *const prompts[JOBS] = {
        "a word in the beginning of all",
        "a word in the beginning of nothing",
        "a word in the beginning of all",
        "b",
        "quite another, and a longer one: 1 2 3 4 5 6 7 8 9 10 11 12 13 14",
        "c word",
        "a word in the beginning of all, and more",
        "d",
        "e"};
    for (int i = 0; i < JOBS; i++)
        specs[i] = job_of(prompts[i], 40 + (uint64_t)i, 6 + 5 * i);
    specs[1].presence_penalty = 1.5;
    specs[1].frequency_penalty = 0.5;
    specs[2].sampling.temperature = 0.0;
    specs[3].sampling.repetition_penalty = 1.3;
    specs[4].n_top = 3;
    specs[5].bias = xcalloc(1, sizeof *specs[5].bias);
    specs[5].bias[0] = (LogitBias){'z', 4.0f};
    specs[5].n_bias = 1;
    specs[7].json = true;
    id_list_add(&specs[8].ends, tokenizer_spec(tokenizer)->eos);
}

typedef struct Rig {
    Metrics *metrics;
    Scheduler *scheduler;
} Rig;

static void rig_start(Rig *rig, const SchedulerOptions *options)
{
    Err err = {.text = ""};
    rig->metrics = metrics_new();
    ASSERT_OK(scheduler_new(&rig->scheduler, ensemble, tokenizer, options, rig->metrics, &err));
}

static void rig_end(Rig *rig)
{
    scheduler_free(rig->scheduler);
    metrics_free(rig->metrics);
}

static double count_of(const Rig *rig, const char *name)
{
    StrBuf text = {0};
    char key[64];
    metrics_print(rig->metrics, &text);
    snprintf(key, sizeof key, "\ncambium_%s ", name);
    const char *at = strstr(text.data, key);
    assert_non_null(at);
    double value = strtod(at + strlen(key), NULL);
    strbuf_clear(&text);
    return value;
}

/* Every job alone in a scheduler of one seat that keeps nothing. */
static void write_alone(Ear *ear)
{
    JobSpec specs[JOBS];
    Rig rig;
    SchedulerOptions options = options_of(1);
    rig_start(&rig, &options);
    make_jobs(specs);
    for (int i = 0; i < JOBS; i++) {
        Ear one;
        ear_init(&one);
        JobSink sink = sink_of(&one);
        assert_int_equal(scheduler_submit(rig.scheduler, &specs[i], 1, &sink), SUBMIT_TAKEN);
        wait_for(&one, 1, 0);
        ear->jobs[i] = one.jobs[0];
        one.jobs[0] = (Heard){0};
        ear_clear(&one);
    }
    rig_end(&rig);
}

static void assert_same(const Ear *got, const Ear *want)
{
    for (int i = 0; i < JOBS; i++) {
        const Heard *a = &got->jobs[i], *b = &want->jobs[i];
        assert_int_equal(a->ends, 1);
        assert_int_equal(a->end, b->end);
        assert_int_equal(a->ids.count, b->ids.count);
        if (b->ids.count)
            assert_memory_equal(a->ids.items, b->ids.items, (size_t)b->ids.count * 4);
        assert_int_equal(a->text.size, b->text.size);
        assert_int_equal(a->n_tops, b->n_tops);
        assert_int_equal(a->n_end_tokens, b->n_end_tokens);
        assert_true(a->logprob_sum - b->logprob_sum < 1e-2f);
        assert_true(b->logprob_sum - a->logprob_sum < 1e-2f);
    }
}

/* All jobs at once; returns the metric `name`. */
static double write_together(const SchedulerOptions *options, const Ear *want, const char *name)
{
    JobSpec specs[JOBS];
    Rig rig;
    Ear ear;
    ear_init(&ear);
    rig_start(&rig, options);
    make_jobs(specs);
    JobSink sink = sink_of(&ear);
    assert_int_equal(scheduler_submit(rig.scheduler, specs, JOBS, &sink), SUBMIT_TAKEN);
    wait_for(&ear, JOBS, 0);
    while (!scheduler_idle(rig.scheduler))
        ;
    assert_same(&ear, want);
    double count = count_of(&rig, name);
    rig_end(&rig);
    ear_clear(&ear);
    return count;
}

static void neighbours_change_nothing(void **state)
{
    (void)state;
    Ear want;
    ear_init(&want);
    write_alone(&want);
    assert_true(want.jobs[8].ids.count > 0);
    json_t *object = json_loadb(want.jobs[7].text.data, (size_t)want.jobs[7].text.size,
                                JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(object);
    json_decref(object);

    for (int64_t batch = 1; batch <= JOBS; batch += 4)
        for (int64_t prefill = 3; prefill < 100; prefill += 40) {
            SchedulerOptions options = options_of(batch);
            options.prefill = prefill;
            options.parked = prefill == 43 ? 4 : 0;
            write_together(&options, &want, "steps_total");
        }
    ear_clear(&want);
}

/* Prompts that begin alike are read once, and what is written stays the same. */
static void beginnings_are_shared(void **state)
{
    (void)state;
    Ear want;
    ear_init(&want);
    write_alone(&want);
    SchedulerOptions options = options_of(2);
    options.parked = 4;
    options.prefill = 16;
    assert_true(write_together(&options, &want, "prefix_tokens_total") >= 20.0);
    ear_clear(&want);
}

/* A cache that holds one long job, or a few short ones, makes the youngest begin again. */
static void a_full_cache_puts_jobs_back(void **state)
{
    (void)state;
    Ear want;
    ear_init(&want);
    write_alone(&want);
    SchedulerOptions options = options_of(JOBS);
    options.kv_positions = CONTEXT;
    options.parked = 3;
    assert_true(write_together(&options, &want, "preemptions_total") >= 1.0);
    ear_clear(&want);
}

/* decoder_score's numbers, whatever the pieces; a job of no tokens ends when its prompt was read.
 */
static void prompts_are_scored(void **state)
{
    (void)state;
    Ear ear[2];
    for (int i = 0; i < 2; i++) {
        Rig rig;
        SchedulerOptions options = options_of(2);
        options.prefill = i ? 4 : 100;
        rig_start(&rig, &options);
        ear_init(&ear[i]);
        JobSpec specs[2] = {job_of("words that are scored", 1, 0), job_of("company", 2, 9)};
        specs[0].score_prompt = true;
        specs[0].n_top = 5;
        JobSink sink = sink_of(&ear[i]);
        assert_int_equal(scheduler_submit(rig.scheduler, specs, 2, &sink), SUBMIT_TAKEN);
        wait_for(&ear[i], 2, 0);
        rig_end(&rig);
        assert_int_equal(ear[i].jobs[0].ids.count, 0);
        assert_int_equal(ear[i].jobs[0].end, JOB_LENGTH);
    }
    const Heard *a = &ear[0].jobs[0], *b = &ear[1].jobs[0];
    JobSpec same = job_of("words that are scored", 1, 0);
    const int32_t *words = same.prompt.items;
    assert_true(a->n_scores > 10);
    assert_int_equal(a->n_scores, b->n_scores);
    assert_true(a->scores[0] == 0.0f);
    for (int64_t t = 1; t < a->n_scores; t++) {
        assert_true(a->scores[t] < 0.0f);
        assert_true(a->scores[t] - b->scores[t] < 1e-3f && b->scores[t] - a->scores[t] < 1e-3f);
        const TopToken *top = &a->top[t * 5], *other = &b->top[t * 5];
        for (int k = 0; k < 5; k++) {
            assert_true(k == 0 || top[k - 1].logprob >= top[k].logprob);
            assert_true(fabsf(top[k].logprob - other[k].logprob) < 1e-3f);
            if (top[k].id == words[t])
                assert_true(top[k].logprob == a->scores[t]);
        }
        assert_true(a->scores[t] <= top[0].logprob);
    }
    job_spec_clear(&same);
    ear_clear(&ear[0]);
    ear_clear(&ear[1]);
}

/* To the last bit: what a prompt scores is its own affair, however many are scored and written
 * beside it. */
static void scores_do_not_know_their_neighbours(void **state)
{
    (void)state;
    Ear alone, together;
    for (int company = 0; company < 2; company++) {
        Rig rig;
        Ear *ear = company ? &together : &alone;
        SchedulerOptions options = options_of(company ? JOBS : 1);
        options.prefill = 19;
        rig_start(&rig, &options);
        ear_init(ear);
        JobSpec specs[JOBS];
        int n = company ? JOBS : 1;
        for (int i = 0; i < n; i++) {
            bool writes = i % 4 == 1;
            specs[i] =
                job_of(writes ? "company of another length" : "words that are scored, in pieces", 1,
                       writes ? 30 : 0);
            specs[i].score_prompt = !writes;
            specs[i].n_top = writes ? 0 : 3;
        }
        JobSink sink = sink_of(ear);
        assert_int_equal(scheduler_submit(rig.scheduler, specs, n, &sink), SUBMIT_TAKEN);
        wait_for(ear, n, 0);
        rig_end(&rig);
    }
    const Heard *want = &alone.jobs[0];
    assert_true(want->n_scores > 24);
    for (int i = 0; i < JOBS; i++) {
        const Heard *got = &together.jobs[i];
        if (i % 4 == 1)
            continue;
        assert_int_equal(got->n_scores, want->n_scores);
        assert_memory_equal(got->scores, want->scores, (size_t)want->n_scores * sizeof(float));
        assert_memory_equal(got->top, want->top, (size_t)want->n_scores * 3 * sizeof *want->top);
    }
    ear_clear(&alone);
    ear_clear(&together);
}

/* The token that ends a text is told, so that a score of one more token is complete. */
static void an_end_token_is_told(void **state)
{
    (void)state;
    Rig rig;
    SchedulerOptions options = options_of(1);
    rig_start(&rig, &options);
    Ear ear;
    ear_init(&ear);
    JobSpec spec = job_of("ab", 1, 9);
    id_list_add(&spec.ends, 'q');
    spec.bias = xcalloc(1, sizeof *spec.bias);
    spec.bias[0] = (LogitBias){'q', 100.0f};
    spec.n_bias = 1;
    JobSink sink = sink_of(&ear);
    assert_int_equal(scheduler_submit(rig.scheduler, &spec, 1, &sink), SUBMIT_TAKEN);
    wait_for(&ear, 1, 0);
    assert_int_equal(ear.jobs[0].n_end_tokens, 1);
    assert_int_equal(ear.jobs[0].ids.count, 0);
    assert_int_equal(ear.jobs[0].end, JOB_STOP);
    rig_end(&rig);
    ear_clear(&ear);
}

/* logit - count * frequency_penalty - (count > 0) * presence_penalty, over the output alone; biases
 * are added; alternatives are those of the row before. */
static void penalties_follow_openais_formula(void **state)
{
    (void)state;
    JobSpec spec = job_of("ab", 1, 9);
    spec.presence_penalty = 0.5;
    spec.frequency_penalty = 0.25;
    spec.bias = xcalloc(1, sizeof *spec.bias);
    spec.bias[0] = (LogitBias){'c', -3.0f};
    spec.n_bias = 1;
    JobSink none = {NULL};
    Job *job = job_new(&spec, &none, 0, tokenizer);
    for (const char *c = "xyxxz"; *c; c++)
        id_list_add(&job->seen, *c);
    int64_t V = tokenizer_size(tokenizer);
    float *row = xcalloc((size_t)V, sizeof *row);
    uint8_t *marks = xcalloc((size_t)V, 1);
    Err err;
    for (int64_t v = 0; v < V; v++)
        row[v] = 1.0f;
    row['q'] = 2.0f;
    TopToken top[3];
    float lse = logit_rules_lse(row, V);
    assert_true(fabs((double)lse - log((double)(V - 1) * exp(1.0) + exp(2.0))) < 1e-5);
    assert_int_equal(logit_rules_top(row, V, lse, top, 3), 3);
    assert_int_equal(top[0].id, 'q');
    assert_int_equal(top[1].id, 0);
    assert_int_equal(top[2].id, 1);
    ASSERT_OK(logit_rules_apply(job, NULL, row, V, marks, &err));
    assert_true(row['a'] == 1.0f && row['b'] == 1.0f); /* the prompt's */
    assert_true(row['x'] == 1.0f - 3 * 0.25f - 0.5f);
    assert_true(row['y'] == 0.25f && row['z'] == 0.25f);
    assert_true(row['c'] == -2.0f);
    for (int64_t v = 0; v < V; v++)
        assert_int_equal(marks[v], 0);
    free(row);
    free(marks);
    job_free(job);
}

static void what_nobody_wants_ends_at_once(void **state)
{
    (void)state;
    Rig rig;
    SchedulerOptions options = options_of(1);
    options.context = 100000;
    options.kv_positions = 100000;
    options.queue = 3;
    rig_start(&rig, &options);
    Ear running, waiting, late;
    ear_init(&running);
    ear_init(&waiting);
    ear_init(&late);
    JobSink first = sink_of(&running), second = sink_of(&waiting), third = sink_of(&late);
    JobSpec specs[4] = {job_of("on and on", 1, 90000), job_of("on and on", 2, 90000),
                        job_of("too late", 3, 5), job_of("too many", 4, 5)};
    assert_int_equal(scheduler_submit(rig.scheduler, &specs[0], 1, &first), SUBMIT_TAKEN);
    wait_for(&running, 0, 3);
    assert_int_equal(scheduler_submit(rig.scheduler, &specs[1], 1, &second), SUBMIT_TAKEN);
    specs[2].deadline = clock_seconds() - 1.0;
    assert_int_equal(scheduler_submit(rig.scheduler, &specs[2], 1, &third), SUBMIT_TAKEN);
    wait_for(&late, 1, 0);
    assert_int_equal(late.jobs[0].end, JOB_TIMEOUT);
    JobSpec many[4] = {specs[3]};
    for (int i = 1; i < 4; i++)
        many[i] = job_of("too many", 4, 5);
    assert_int_equal(scheduler_submit(rig.scheduler, many, 4, &third), SUBMIT_FULL);
    atomic_store(&waiting.cancelled, true);
    wait_for(&waiting, 1, 0);
    assert_int_equal(waiting.jobs[0].end, JOB_CANCELLED);
    assert_int_equal(waiting.tokens, 0);
    atomic_store(&running.cancelled, true);
    wait_for(&running, 1, 0);
    assert_int_equal(running.jobs[0].end, JOB_CANCELLED);
    JobSpec next = job_of("next", 5, 2);
    assert_int_equal(scheduler_submit(rig.scheduler, &next, 1, &third), SUBMIT_TAKEN);
    wait_for(&late, 2, 0);
    scheduler_close(rig.scheduler);
    JobSpec closed = job_of("closed", 6, 2);
    assert_int_equal(scheduler_submit(rig.scheduler, &closed, 1, &third), SUBMIT_CLOSED);
    rig_end(&rig);
    ear_clear(&running);
    ear_clear(&waiting);
    ear_clear(&late);
}

/* Freed while jobs run and wait: each hears of its end. */
static void the_end_of_all_reaches_every_job(void **state)
{
    (void)state;
    Rig rig;
    SchedulerOptions options = options_of(2);
    options.context = options.kv_positions = 50000;
    rig_start(&rig, &options);
    Ear ear;
    ear_init(&ear);
    JobSink sink = sink_of(&ear);
    JobSpec specs[4];
    for (int i = 0; i < 4; i++)
        specs[i] = job_of("on and on", (uint64_t)i, 40000);
    assert_int_equal(scheduler_submit(rig.scheduler, specs, 4, &sink), SUBMIT_TAKEN);
    wait_for(&ear, 0, 5);
    rig_end(&rig);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ear.jobs[i].ends, 1);
        assert_int_equal(ear.jobs[i].end, JOB_CANCELLED);
    }
    ear_clear(&ear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_change_nothing),
        cmocka_unit_test(beginnings_are_shared),
        cmocka_unit_test(a_full_cache_puts_jobs_back),
        cmocka_unit_test(prompts_are_scored),
        cmocka_unit_test(scores_do_not_know_their_neighbours),
        cmocka_unit_test(an_end_token_is_told),
        cmocka_unit_test(penalties_follow_openais_formula),
        cmocka_unit_test(what_nobody_wants_ends_at_once),
        cmocka_unit_test(the_end_of_all_reaches_every_job),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
