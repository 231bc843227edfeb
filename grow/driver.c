#include "grow/driver.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "grow/prefix_cache.h"
#include "train/run_dry.h"

/* ---- what a stage is ---------------------------------------------------------------------------
 */

static Status stage_schedule(const GrowJob *job, const GrowStage *stage, int64_t row, Schedule *out,
                             Err *err)
{
    *out = schedule_default();
    TRY(schedule_parse(stage->schedule, &out->kind, err));
    int64_t per_step = job->settings->batch * row;
    out->steps = (stage->tokens + per_step - 1) / per_step;
    out->lr = stage->lr;
    out->warmup = (int64_t)(stage->warmup * (double)out->steps);
    return STATUS_OK;
}

/* What trains in a stage of a model that has `layers` blocks after it grew. */
static Status stage_trained(const GrowStage *stage, const ModelConfig *config, TrainSet *out,
                            Err *err)
{
    const GrowTrains *t = &stage->trains;
    int64_t layers = config->n_layers;
    bool learned = config->embedding == EMBEDDING_LEARNED;
    if (t->embedding && !learned)
        return err_set(err, "train: embedding, but the table is frozen for good; use --embedding "
                            "learned for the baseline");
    *out = (TrainSet){.embedding = t->embedding || (t->all && learned),
                      .head = t->head || t->all,
                      .lora = t->lora,
                      .block_begin = layers - stage->blocks,
                      .block_end = t->newest || t->all ? layers : layers - stage->blocks};
    if (t->all)
        out->block_begin = 0;
    return STATUS_OK;
}

/* The members that every metrics line of a stage has, and the place of its checkpoints. */
static json_t *stage_fields(int64_t number)
{
    return json_pack("{s:I}", "stage", (json_int_t)number + 1);
}

static json_t *stage_place(const GrowJob *job, int64_t number, bool done)
{
    return json_pack("{s:s, s:I, s:b, s:o}", "verb", "grow", "stage", (json_int_t)number, "done",
                     done, "plan", grow_plan_json(job->plan));
}

static const StringList *stage_data(const GrowJob *job, const GrowStage *stage)
{
    return stage->data.count ? &stage->data : &job->settings->data;
}

/* The model before the first stage that is left, with its blocks if it is a new one. */
static Status first_config(const GrowJob *job, const Run *run, ModelConfig *config, Err *err)
{
    if (job->settings->init || run->resumes)
        return run_base_config(run, job->model, config, err);
    return model_settings_config(job->model, &run->table, job->plan->stages[0].blocks, config, err);
}

/* ---- the model of a stage ----------------------------------------------------------------------
 */

static Status first_model(const GrowJob *job, Run *run, Err *err)
{
    if (job->settings->init)
        return run_init_model(run, job->model, err);
    ModelConfig config;
    TRY(first_config(job, run, &config, err));
    TRY(run_new_model(run, &config, err));
    for (int64_t layer = 0; layer < config.n_layers; layer++)
        TRY(model_start_block(run->model, layer, job->plan->stages[0].start,
                              (uint64_t)job->settings->seed, err));
    return STATUS_OK;
}

/* Adds a stage's blocks, with their values, to the model of the stage before. */
static Status grow_model(const GrowJob *job, Run *run, const GrowStage *stage, Err *err)
{
    int64_t before = run->model->config.n_layers;
    if (stage->blocks > 0)
        TRY(model_add_blocks(run->model, stage->blocks, err));
    for (int64_t layer = before; layer < before + stage->blocks; layer++)
        TRY(model_start_block(run->model, layer, stage->start, (uint64_t)job->settings->seed, err));
    return STATUS_OK;
}

static Status prepare_model(const GrowJob *job, Run *run, int64_t number, Err *err)
{
    const GrowStage *stage = &job->plan->stages[number];
    bool is_new = number == 0 && !job->settings->init;
    if (number == 0)
        TRY(first_model(job, run, err));
    else
        /* From the file, so that every master is in memory again. */
        TRY(run_load_model(run, run->model_path, err));
    if (!is_new)
        TRY(grow_model(job, run, stage, err));
    bool has_pairs = run->model->config.lora_rank == stage->lora_rank &&
                     run->model->config.lora_alpha == stage->lora_alpha;
    /* Pairs of later stages have other values: folded ones would repeat themselves. */
    uint64_t seed = hash_mix64((uint64_t)run->reading.steps) ^ (uint64_t)job->settings->seed;
    if (stage->trains.lora && !has_pairs)
        TRY(model_add_lora(run->model, stage->lora_rank, stage->lora_alpha,
                           run->reading.steps ? seed : (uint64_t)job->settings->seed, err));
    return STATUS_OK;
}

/* ---- running -----------------------------------------------------------------------------------
 */

/* LoRA pairs are folded into weights whose masters are in memory: the file, which the trainer wrote
 * after its last step, is read again. */
static Status fold(const GrowStage *stage, Run *run, Err *err)
{
    if (!stage->trains.lora || !stage->lora_fold)
        return STATUS_OK;
    TRY(run_load_model(run, run->model_path, err));
    return model_fold_lora(run->model, err);
}

static Status open_keeper(PrefixKeeper **out, const GrowJob *job, const Run *run,
                          const RunData *data, Err *err)
{
    const ModelConfig *config = &run->model->config;
    int64_t windows = 0, count = run->row * config->d_model;
    for (int64_t i = 0; i < data->count; i++)
        windows += pack_info(data->packs[i])->tokens[PACK_TRAIN] / run->row + 1;
    PrefixStore *store;
    if (job->cache_prefix == PREFIX_RAM) {
        TRY(prefix_store_ram(&store, windows, count, err));
    } else {
        char *path = file_join(job->settings->out, "prefix.h5");
        Status status = prefix_store_disk(&store, path, windows, count, err);
        free(path);
        TRY(status);
    }
    return prefix_keeper_new(out, &run->device, store, windows, run->row, config->d_model, err);
}

static Status train_stage(const GrowJob *job, Run *run, int64_t number, const RunData *data,
                          bool restore, Err *err)
{
    const GrowStage *stage = &job->plan->stages[number];
    const ModelConfig *config = &run->model->config;
    RunStage what = {.data = data, .from_start = stage->from_start, .restore = restore};
    TRY(stage_schedule(job, stage, run->row, &what.schedule, err));
    TRY(stage_trained(stage, config, &what.trained, err));
    TrainConfig train = run_train_config(run, &what.schedule);
    TrainPlan plan;
    TRY(train_plan(&run->device, config, run->compute, DTYPE_F32, &what.trained, &train, &plan,
                   err));
    char trains[80];
    grow_trains_text(&stage->trains, trains, sizeof trains);
    log_info("stage %" PRId64 " of %" PRId64 ": %" PRId64 " blocks, %s train: %.1f M of %.1f M "
             "parameters",
             number + 1, job->plan->n_stages, config->n_layers, trains,
             (double)plan.params_active / 1e6, (double)plan.params_total / 1e6);
    RunOpening opening = {.number = number + 1,
                          .count = job->plan->n_stages,
                          .blocks = stage->blocks,
                          .start = stage->start,
                          .trains = trains};
    if (!restore)
        run_write_opening(run, &opening, &plan);
    PrefixKeeper *keeper = NULL;
    PrefixCache cache;
    bool frozen_prefix =
        !what.trained.embedding && !what.trained.lora && what.trained.block_begin > 0;
    json_t *fields = stage_fields(number), *place = stage_place(job, number, false);
    what.fields = fields;
    what.place = place;
    Status status = STATUS_OK;
    if (job->cache_prefix != PREFIX_OFF && frozen_prefix) {
        status = open_keeper(&keeper, job, run, data, err);
        if (status == STATUS_OK) {
            cache = prefix_keeper_cache(keeper);
            what.prefix = &cache;
        }
    }
    TrainerStatus result;
    if (status == STATUS_OK)
        status = run_train(run, &what, &result, err);
    prefix_keeper_free(keeper);
    json_decref(fields);
    json_decref(place);
    TRY(status);
    TRY(fold(stage, run, err));
    place = stage_place(job, number, true);
    char *name = xasprintf("stage%" PRId64 ".h5", number + 1);
    if (job->keep_stages)
        status = run_keep(run, name, place, err);
    free(name);
    if (status == STATUS_OK)
        status = run_save(run, place, err);
    json_decref(place);
    TRY(status);
    printf("stage %" PRId64 ": %" PRId64 " blocks, %" PRId64 " tokens, loss %.4f", number + 1,
           run->model->config.n_layers, result.tokens, result.loss);
    if (isfinite(result.eval_bpb))
        printf(", %.4f bits per byte", result.eval_bpb);
    printf(", %.0f s\n", result.seconds);
    return STATUS_OK;
}

static Status run_stage(const GrowJob *job, Run *run, int64_t number, bool restore, Err *err)
{
    const GrowStage *stage = &job->plan->stages[number];
    if (restore)
        TRY(run_load_model(run, run->model_path, err));
    else
        TRY(prepare_model(job, run, number, err));
    RunData data;
    TRY(run_data_open(&data, stage_data(job, stage), err));
    Status status = train_stage(job, run, number, &data, restore, err);
    run_data_close(&data);
    return status;
}

/* Where a resumed run goes on: the stage, and whether in its middle. */
static Status find_place(const GrowJob *job, const Run *run, int64_t *stage, bool *restore,
                         Err *err)
{
    *stage = 0;
    *restore = false;
    if (!run->place)
        return STATUS_OK;
    Err what;
    if (grow_plan_compare(job->plan, json_object_get(run->place, "plan"), &what) != STATUS_OK)
        return err_set(err,
                       "the plan is not the one that %s was started with (%s); resume with that "
                       "plan, or grow on in a new folder with --init %s",
                       job->settings->out, what.text, run->model_path);
    bool done = json_is_true(json_object_get(run->place, "done"));
    *stage = json_integer_value(json_object_get(run->place, "stage")) + (done ? 1 : 0);
    *restore = !done;
    return STATUS_OK;
}

Status grow_run(const GrowJob *job, Err *err)
{
    Run run;
    Status status = run_open(&run, job->settings, job->options, err);
    int64_t stage = 0;
    bool restore = false;
    ModelConfig config;
    if (status == STATUS_OK)
        status = find_place(job, &run, &stage, &restore, err);
    if (status == STATUS_OK)
        status = first_config(job, &run, &config, err);
    if (status == STATUS_OK)
        status = run_choose_row(&run, job->model, &config, err);
    if (status == STATUS_OK && stage >= job->plan->n_stages)
        log_info("%s is finished already", job->settings->out);
    for (; status == STATUS_OK && stage < job->plan->n_stages; stage++) {
        status = run_stage(job, &run, stage, restore, err);
        restore = false;
        if (status == STATUS_FAIL)
            err_wrap(err, "stage %" PRId64, stage + 1);
    }
    return run_close(&run, status, err);
}

/* ---- planning ----------------------------------------------------------------------------------
 */

static Status dry_stages(const GrowJob *job, Run *run, Err *err)
{
    ModelConfig config;
    TRY(first_config(job, run, &config, err));
    TRY(run_choose_row(run, job->model, &config, err));
    for (int64_t i = 0; i < job->plan->n_stages; i++) {
        const GrowStage *stage = &job->plan->stages[i];
        if (i > 0 || job->settings->init)
            config.n_layers += stage->blocks;
        config.lora_rank = stage->trains.lora ? stage->lora_rank : 0;
        config.lora_alpha = stage->lora_alpha;
        TrainSet trained;
        Schedule schedule;
        TRY(stage_trained(stage, &config, &trained, err));
        TRY(stage_schedule(job, stage, run->row, &schedule, err));
        TrainConfig train = run_train_config(run, &schedule);
        char trains[80];
        grow_trains_text(&stage->trains, trains, sizeof trains);
        printf("stage %" PRId64 "     %" PRId64 " blocks (%" PRId64 " new), %s train, %" PRId64
               " steps\n",
               i + 1, config.n_layers, stage->blocks, trains, schedule.steps);
        RunData opened;
        DryStage dry = {.config = &config,
                        .trained = &trained,
                        .train = &train,
                        .cached = job->cache_prefix != PREFIX_OFF};
        TRY(run_dry_data(stage_data(job, stage), &opened, &dry.data, err));
        Status status = run_dry_stage(run, &dry, stdout, err);
        run_data_close(&opened);
        TRY(status);
    }
    return STATUS_OK;
}

Status grow_dry_run(const GrowJob *job, Err *err)
{
    Run run;
    Status status = run_open(&run, job->settings, job->options, err);
    if (status == STATUS_OK)
        status = dry_stages(job, &run, err);
    return run_close(&run, status, err);
}
