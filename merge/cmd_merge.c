/* `cambium merge`: joins trained experts into one file, without training them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/corpus_options.h"
#include "core/cli/load_model.h"
#include "core/io/json_put.h"
#include "merge/fit.h"
#include "merge/parts.h"
#include "merge/verify.h"

typedef struct MergeSettings {
    char *out, *rule, *weights, *tune, *table;
    double forget;
    int64_t tune_tokens, adapter_top, adapter_hidden, seed;
    char *device, *require;
    CorpusSettings corpus;
    bool verify, json;
} MergeSettings;

#define AT(field) offsetof(MergeSettings, field)

static const Option merge_options[] = {
    {"output", OPTION_OUTPUT, AT(out), "FILE", NULL, "the merged model", NULL, 'o', NULL},
    {"rule", OPTION_CHOICE, AT(rule), NULL, "bayes", "how logits are combined",
     "mean|weighted|bayes|adapter", 0, NULL},
    {"weights", OPTION_TEXT, AT(weights), "LIST", NULL,
     "one number per expert, comma-separated: weights of 'weighted', prior of 'bayes' [equal]",
     NULL, 0, NULL},
    {"forget", OPTION_REAL, AT(forget), "A", "0.01",
     "bayes: how much of the weights goes back to equal after each token", NULL, 0, NULL},
    {"tune-weights", OPTION_INPUT, AT(tune), "FILE", NULL,
     "fit the weights, or the adapter, to this held-out text, JSON lines or folder of them; the "
     "experts stay as they are",
     NULL, 0, NULL},
    CORPUS_OPTIONS(MergeSettings, corpus),
    {"tune-tokens", OPTION_INT, AT(tune_tokens), "N", "8192", "how much of it to use", NULL, 0,
     NULL},
    {"adapter-top", OPTION_INT, AT(adapter_top), "N", "8",
     "adapter: largest log-probabilities of each expert that it sees", NULL, 0, NULL},
    {"adapter-hidden", OPTION_INT, AT(adapter_hidden), "N", "16", "adapter: hidden units", NULL, 0,
     NULL},
    {"seed", OPTION_INT, AT(seed), "S", "1", "adapter: its start", NULL, 0, NULL},
    {"table", OPTION_INPUT, AT(table), "FILE", NULL,
     "the substrate, for experts whose files left it out", NULL, 0, NULL},
    DEVICE_OPTIONS(AT(device), AT(require),
                   "where weights are fitted and the result is verified: auto, cpu or cuda", NULL),
    {"verify", OPTION_FLAG, AT(verify), NULL, "true",
     "compare the merged model with the rule applied to its parts (--no-verify)", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {0},
};

enum { WINDOW = 128, VERIFY_TOKENS = 24, TUNE_TOKENS_MAX = 1 << 30, ADAPTER_MAX = 1 << 16 };

static Status parse_weights(const char *text, int64_t n, float *out, Err *err)
{
    const char *p = text;
    double sum = 0.0;
    for (int64_t e = 0; e < n; e++) {
        char *end;
        out[e] = strtof(p, &end);
        bool last = e == n - 1;
        if (end == p || *end != (last ? '\0' : ',') || !(out[e] >= 0.0f) ||
            !isfinite((double)out[e]))
            return err_usage(err,
                             "--weights wants %" PRId64
                             " numbers of 0 or more, one per expert, comma-separated; not '%s'",
                             n, text);
        sum += (double)out[e];
        p = end + 1;
    }
    if (!(sum > 0.0))
        return err_usage(err, "--weights: all are 0");
    for (int64_t e = 0; e < n; e++)
        out[e] = (float)((double)out[e] / sum);
    return STATUS_OK;
}

/* What the verb works on. */
typedef struct Job {
    const MergeSettings *settings;
    MergeParts parts;
    FileDraft draft; /* the output, until it is fitted and verified */
    MergeWrite write;
    float *weights; /* (n_experts), or NULL */
    MergeAdapter adapter;
    double before, after; /* nats per token, when something was fitted */
    double worst;         /* of the verification */
} Job;

static void job_clear(Job *job)
{
    merge_parts_close(&job->parts);
    free(job->weights);
    free(job->adapter.w1);
    free(job->adapter.b1);
    free(job->adapter.w2);
    free(job->adapter.b2);
}

static Status check_settings(const MergeSettings *s, MergeRule rule, Err *err)
{
    if (!s->out)
        return err_usage(err, "where to? -o FILE");
    if (!(s->forget >= 0.0 && s->forget <= 1.0))
        return err_usage(err, "--forget is between 0 and 1");
    if (s->weights && rule != MERGE_WEIGHTED && rule != MERGE_BAYES)
        return err_usage(err, "--weights means something for the rules weighted and bayes alone");
    if (s->tune && rule != MERGE_WEIGHTED && rule != MERGE_ADAPTER)
        return err_usage(
            err, "--tune-weights fits the rules weighted and adapter; %s has nothing to fit",
            s->rule);
    if (rule == MERGE_ADAPTER && !s->tune)
        return err_usage(err, "an adapter is fitted to held-out text: --tune-weights FILE");
    if (s->tune_tokens < WINDOW || s->adapter_top < 1 || s->adapter_hidden < 1)
        return err_usage(err, "--tune-tokens is at least %d, --adapter-top and --adapter-hidden 1",
                         WINDOW);
    if (s->tune_tokens > TUNE_TOKENS_MAX || s->adapter_top > ADAPTER_MAX ||
        s->adapter_hidden > ADAPTER_MAX)
        return err_usage(err, "--tune-tokens is at most %d, --adapter-top and --adapter-hidden %d",
                         TUNE_TOKENS_MAX, ADAPTER_MAX);
    return STATUS_OK;
}

/* Loads the merged file as it is written so far. */
static Status load_merged(const Job *job, LoadedModel *model, Err *err)
{
    char exact[] = "float32";
    LoadSettings load = {.device = job->settings->device,
                         .require = job->settings->require,
                         .weights = exact,
                         .kv = exact,
                         .table = job->settings->table};
    return load_model(model, job->draft.temporary, &load, err);
}

/* Fits what the rule leaves open, then writes the file again with it. */
static Status fit(Job *job, Err *err)
{
    const MergeSettings *s = job->settings;
    LoadedModel model;
    TRY(load_merged(job, &model, err));
    Sample sample = {0};
    CorpusSkips skips = {0};
    CorpusOptions reading = corpus_options(&s->corpus, &skips);
    Status status =
        sample_read(&sample, s->tune, &reading, model.tokenizer, WINDOW, s->tune_tokens, err);
    corpus_skips_tell(&skips);
    if (status == STATUS_OK && job->write.rule == MERGE_WEIGHTED) {
        if (!job->weights) {
            job->weights = xcalloc((size_t)job->parts.n_experts, sizeof *job->weights);
            for (int64_t e = 0; e < job->parts.n_experts; e++)
                job->weights[e] = 1.0f / (float)job->parts.n_experts;
        }
        status = fit_weights(model.ensemble, &sample, job->weights, &job->before, &job->after, err);
        job->write.weights = job->weights;
    } else if (status == STATUS_OK) {
        Observations data;
        status = observe(&data, model.ensemble, &sample, s->adapter_top, err);
        if (status == STATUS_OK) {
            fit_adapter(&data, s->adapter_hidden, (uint64_t)s->seed, &job->adapter, &job->before,
                        &job->after);
            observations_clear(&data);
            job->write.adapter = &job->adapter;
        }
        job->write.rule = MERGE_ADAPTER;
    }
    sample_clear(&sample);
    load_model_close(&model);
    return status == STATUS_OK ? merge_parts_write(&job->parts, &job->write, err) : status;
}

static Status verify(Job *job, Err *err)
{
    LoadedModel model;
    TRY(load_merged(job, &model, err));
    int32_t tokens[VERIFY_TOKENS];
    Rng rng;
    rng_init(&rng, 1, 0);
    for (int i = 0; i < VERIFY_TOKENS; i++)
        tokens[i] = (int32_t)rng_below(&rng, model.ensemble->experts[0]->config.vocab_size);
    Status status = verify_rule(model.ensemble, tokens, VERIFY_TOKENS, &job->worst, err);
    load_model_close(&model);
    return status;
}

static void print_result(const Job *job)
{
    const MergeSettings *s = job->settings;
    if (s->json) {
        json_t *weights = json_array();
        for (int64_t e = 0; e < job->parts.n_experts && job->weights; e++)
            json_array_append_new(weights, json_real((double)job->weights[e]));
        json_t *json = json_pack("{s:o, s:s, s:I, s:o}", "file", json_name(s->out), "rule",
                                 merge_rule_name(job->write.rule), "experts",
                                 (json_int_t)job->parts.n_experts, "weights", weights);
        if (s->tune) {
            json_object_set_new(json, "loss_before", json_real(job->before));
            json_object_set_new(json, "loss_after", json_real(job->after));
        }
        if (s->verify)
            json_object_set_new(json, "verified_within", json_real(job->worst));
        char *text = json_dumps(json, JSON_COMPACT);
        puts(text);
        free(text);
        json_decref(json);
        return;
    }
    printf("%s: %" PRId64 " experts, rule %s\n", s->out, job->parts.n_experts,
           merge_rule_name(job->write.rule));
    for (int64_t e = 0; e < job->parts.n_experts; e++) {
        int64_t local;
        const MergePart *part = merge_parts_expert(&job->parts, e, &local);
        printf("  expert %" PRId64 "  %s, %" PRId64 " blocks", e, part->path,
               part->info.experts[local].config.n_layers);
        if (job->weights)
            printf(", weight %.3f", (double)job->weights[e]);
        putchar('\n');
    }
    if (s->tune)
        printf("  fitted to %s: %.4f nats per token before, %.4f after\n", s->tune, job->before,
               job->after);
    if (s->verify)
        printf("  verified: follows the rule within %.1e\n", job->worst);
}

static Status merge_run(const void *settings, const StringList *models, Err *err)
{
    const MergeSettings *s = settings;
    Job job = {.settings = s};
    TRY(merge_rule_parse(s->rule, &job.write.rule, err));
    TRY(check_settings(s, job.write.rule, err));
    Status status = merge_parts_open(&job.parts, models, err);
    if (status == STATUS_OK && job.parts.n_experts < 2)
        status =
            err_set(err, "%s is one expert; name another model to merge it with", models->items[0]);
    int64_t vocabulary = status == STATUS_OK ? job.parts.items[0].info.table.rows : 0;
    if (status == STATUS_OK && job.write.rule == MERGE_ADAPTER && s->adapter_top > vocabulary)
        status = err_usage(err, "--adapter-top %" PRId64 ": there are %" PRId64 " tokens",
                           s->adapter_top, vocabulary);
    if (status == STATUS_OK && s->weights) {
        job.weights = xcalloc((size_t)job.parts.n_experts, sizeof *job.weights);
        status = parse_weights(s->weights, job.parts.n_experts, job.weights, err);
    }
    if (status == STATUS_OK)
        status = file_draft_init(&job.draft, s->out, err);
    job.write.path = job.draft.temporary;
    job.write.weights = job.weights;
    job.write.forget = (float)s->forget;
    if (status == STATUS_OK) {
        /* An adapter that is still to be fitted has no tensors: until then the file says mean. */
        if (job.write.rule == MERGE_ADAPTER)
            job.write.rule = MERGE_MEAN;
        status = merge_parts_write(&job.parts, &job.write, err);
    }
    if (status == STATUS_OK && s->tune)
        status = fit(&job, err);
    if (status == STATUS_OK && s->verify)
        status = verify(&job, err);
    if (status == STATUS_OK)
        status = file_draft_commit(&job.draft, err);
    if (status == STATUS_OK)
        print_result(&job);
    else
        file_draft_abandon(&job.draft);
    job_clear(&job);
    return status;
}

const Verb verb_merge = {
    .name = "merge",
    .summary = "join trained experts into one model by combining their logits",
    .positionals = "MODEL...",
    .positionals_min = 1,
    .positionals_max = -1,
    .details =
        "The experts must share one tokenizer. A table that several read is in the merged file "
        "once; others are kept beside it. A merged file counts with all its experts; alone it gets "
        "another rule. mean: the "
        "mean of logits. weighted: a weighted sum of logits. bayes: a mixture of "
        "probabilities whose weights follow, token by token, how well each expert predicted the "
        "text so far. adapter: a mixture whose weights come from a small map on each expert's "
        "largest log-probabilities.",
    .examples =
        {
            "merge ru/model.h5 zh/model.h5 --rule bayes -o both.h5",
            "merge ru/model.h5 zh/model.h5 --rule weighted --tune-weights mixed.txt -o both.h5",
        },
    .options = merge_options,
    .settings_size = sizeof(MergeSettings),
    .run = merge_run,
};
