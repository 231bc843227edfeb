/* `cambium train`: trains a whole model on a frozen table (or a learned one, the baseline). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/io/json_put.h"
#include "train/model_options.h"
#include "train/rehearse.h"
#include "train/run_dry.h"

typedef struct TrainSettings {
    RunSettings run;
    ModelSettings model;
    int64_t layers, tokens, steps;
    double lr, warmup;
    char *schedule;
    bool json, freeze_table;
} TrainSettings;

#define AT(field) offsetof(TrainSettings, field)

const Verb verb_train;

static const Option train_options[] = {
    RUN_OPTIONS(TrainSettings, run),
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print the result as JSON", NULL, 0, NULL},
    {"tokens", OPTION_INT, AT(tokens), "N", "0", "how many to train on", NULL, 0, "Training"},
    {"steps", OPTION_INT, AT(steps), "N", "0", "the same, in optimizer steps", NULL, 0, NULL},
    {"lr", OPTION_REAL, AT(lr), "X", "0.001", "highest learning rate", NULL, 0, NULL},
    {"schedule", OPTION_CHOICE, AT(schedule), NULL, "cosine", "how it falls",
     "cosine|linear|constant|wsd", 0, NULL},
    {"warmup", OPTION_REAL, AT(warmup), "X", "0.05", "share of the steps in which it rises", NULL,
     0, NULL},
    {"freeze-table", OPTION_FLAG, AT(freeze_table), NULL, NULL,
     "keep a learned table as it is, as that of --init", NULL, 0, NULL},
    MODEL_OPTIONS(TrainSettings, model),
    {"layers", OPTION_INT, AT(layers), "N", "6", "blocks", NULL, 0, NULL},
    {0},
};

static Status schedule_of(const TrainSettings *s, int64_t row, Schedule *out, Err *err)
{
    Schedule schedule = schedule_default();
    TRY(schedule_parse(s->schedule, &schedule.kind, err));
    if (s->tokens < 0 || s->steps < 0)
        return err_usage(err, "--tokens and --steps are 0 or more");
    if ((s->tokens > 0) == (s->steps > 0))
        return err_usage(err, "how long? give --tokens N or --steps N");
    if (s->tokens > SCHEDULE_MAX || s->steps > SCHEDULE_MAX)
        return err_usage(err, "--tokens and --steps are at most %lld", (long long)SCHEDULE_MAX);
    int64_t per_step = s->run.batch * row;
    schedule.steps = s->steps ? s->steps : (s->tokens + per_step - 1) / per_step;
    schedule.lr = s->lr;
    if (!(s->warmup >= 0.0 && s->warmup <= 1.0))
        return err_usage(err, "--warmup is a share between 0 and 1");
    schedule.warmup = (int64_t)(s->warmup * (double)schedule.steps);
    *out = schedule;
    return err_of_usage(schedule_check(out, err), err);
}

static json_t *place_json(bool done)
{
    return json_pack("{s:s, s:i, s:b}", "verb", "train", "stage", 0, "done", done);
}

/* Everything but a frozen table. */
static TrainSet whole_model(const TrainSettings *s, const ModelConfig *config)
{
    return (TrainSet){.embedding = config->embedding == EMBEDDING_LEARNED && !s->freeze_table,
                      .head = true,
                      .block_end = config->n_layers};
}

static Status plan_of(const TrainSettings *s, const Run *run, const ModelConfig *config,
                      const Schedule *schedule, TrainPlan *plan, Err *err)
{
    TrainConfig train = run_train_config(run, schedule);
    TrainSet trained = whole_model(s, config);
    return train_plan(&run->device, config, run->compute, DTYPE_F32, &trained, &train, plan, err);
}

static Status dry_run(const TrainSettings *s, const Run *run, const ModelConfig *config,
                      const Schedule *schedule, Err *err)
{
    TrainConfig c = run_train_config(run, schedule);
    TrainSet trained = whole_model(s, config);
    printf("model       %" PRId64 " blocks of width %" PRId64 ", vocabulary %" PRId64 "\n",
           config->n_layers, config->d_model, config->vocab_size);
    printf("steps       %" PRId64 " of %" PRId64 " tokens\n", schedule->steps,
           s->run.batch * run->row);
    RunData opened;
    DryStage stage = {.config = config, .trained = &trained, .train = &c};
    TRY(run_dry_data(&s->run.data, &opened, &stage.data, err));
    Status status = run_dry_stage(run, &stage, stdout, err);
    run_data_close(&opened);
    return status;
}

static void print_result(const TrainSettings *s, const Run *run, const TrainerStatus *status)
{
    if (s->json) {
        json_t *json = json_pack(
            "{s:o, s:I, s:I, s:f, s:f}", "model", json_name(run->model_path), "steps",
            (json_int_t)status->step, "tokens", (json_int_t)status->tokens, "loss", status->loss,
            "tokens_per_second", (double)status->own_tokens / fmax(status->seconds, 1e-9));
        if (isfinite(status->eval_bpb))
            json_object_set_new(json, "bits_per_byte", json_real(status->eval_bpb));
        json_t *read = reading_json(&run->reading);
        json_object_set(json, "data", json_object_get(read, "sources"));
        json_decref(read);
        char *text = json_dumps(json, JSON_COMPACT);
        puts(text);
        free(text);
        json_decref(json);
        return;
    }
    printf("%s: %" PRId64 " steps, %" PRId64 " tokens, loss %.4f", run->model_path, status->step,
           status->tokens, status->loss);
    if (isfinite(status->eval_bpb))
        printf(", validation %.4f bits per byte", status->eval_bpb);
    run_print_epochs(run, stdout);
    printf(", %.0f s\n", status->seconds);
}

static Status train_model(const TrainSettings *s, Run *run, const ModelConfig *config,
                          const Schedule *schedule, const RunData *data, Err *err)
{
    bool restore = run->place != NULL;
    char *state = NULL; /* of a finished run that is extended */
    if (restore && json_is_true(json_object_get(run->place, "done"))) {
        if (schedule->steps <= run_steps_done(run)) {
            log_info("%s is finished already", s->run.out);
            return STATUS_OK;
        }
        TRY(run_extend(run, &state, err));
    }
    if (restore)
        TRY(run_load_model(run, run->model_path, err));
    else if (s->run.init)
        TRY(run_init_model(run, &s->model, err));
    else {
        TRY(run_new_model(run, config, err));
        for (int64_t layer = 0; layer < config->n_layers; layer++)
            TRY(model_start_block(run->model, layer, BLOCK_START_RANDOM, (uint64_t)s->run.seed,
                                  err));
    }
    config = &run->model->config;
    TrainPlan plan;
    TRY(plan_of(s, run, config, schedule, &plan, err));
    RunOpening opening = {
        .number = 1, .count = 1, .blocks = s->run.init ? 0 : config->n_layers, .trains = "all"};
    if (!restore)
        run_write_opening(run, &opening, &plan);
    json_t *place = place_json(false), *fields = json_pack("{s:i}", "stage", 1);
    RunStage stage = {
        .trained = whole_model(s, config),
        .schedule = *schedule,
        .data = data,
        .fields = fields,
        .place = place,
        .from_start = strcmp(s->run.data_from, "start") == 0,
        .keep_trainer = true,
        .state = state,
        .restore = restore,
    };
    TrainerStatus status;
    Status result = run_train(run, &stage, &status, err);
    free(state);
    json_decref(place);
    json_decref(fields);
    TRY(result);
    place = place_json(true);
    result = run_save(run, place, err);
    json_decref(place);
    if (result == STATUS_OK)
        print_result(s, run, &status);
    return result;
}

static Status rehearse(const TrainSettings *s, const Run *run, const Schedule *schedule,
                       const RunData *data, Err *err)
{
    Rehearsal what = {.name = "this run",
                      .data = data,
                      .from_start = strcmp(s->run.data_from, "start") == 0,
                      .steps = schedule->steps,
                      .quiet = run->resumes};
    Reading reading = {0};
    Rehearsed reads;
    reading_copy(&reading, &run->reading);
    Status status = run_rehearse(run, &what, &reading, &reads, err);
    reading_clear(&reading);
    return status;
}

static Status run_verb(const TrainSettings *s, Run *run, Err *err)
{
    ModelConfig config;
    if (s->run.init)
        TRY(model_settings_keep_shape(err));
    if (s->run.init || run->resumes)
        TRY(run_base_config(run, &s->model, &config, err));
    else
        TRY(model_settings_config(&s->model, &run->table, s->layers, &config, err));
    TRY(run_choose_row(run, &s->model, &config, err));
    Schedule schedule;
    TRY(schedule_of(s, run->row, &schedule, err));
    if (s->run.dry_run)
        return dry_run(s, run, &config, &schedule, err);
    RunData data;
    TRY(run_data_open(&data, &s->run.data, err));
    Status status = rehearse(s, run, &schedule, &data, err);
    if (status == STATUS_OK)
        status = train_model(s, run, &config, &schedule, &data, err);
    run_data_close(&data);
    return status;
}

static Status train_run(const void *settings, const StringList *positionals, Err *err)
{
    (void)positionals;
    const TrainSettings *s = settings;
    Run run;
    Status status = run_open(&run, &s->run, options_json(&verb_train, s), err);
    if (status == STATUS_OK)
        status = run_verb(s, &run, err);
    return run_close(&run, status, err);
}

const Verb verb_train = {
    .name = "train",
    .summary = "train a whole model on a frozen (or a learned) table",
    .positionals = "",
    .examples = {"train --table table.h5 --data ru.pack --layers 6 --steps 1000 -o whole"},
    .options = train_options,
    .settings_size = sizeof(TrainSettings),
    .run = train_run,
};
