#include "grow/driver.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "grow/prefix_cache.h"
#include "grow/stages.h"
#include "train/run_dry.h"

/* A job on its way. */
typedef struct Growth {
    const GrowJob *job;
    Run run;
    int64_t stage;    /* that is next, or in its middle */
    bool restore;     /* it is in its middle */
    char *state;      /* the trainer of a finished stage that is extended, or NULL */
    json_t *packs;    /* of each stage a list of hashes, as found before the first of them */
    StageView *views; /* (n_stages) those that are left, without their data */
} Growth;

/* The members that every metrics line of a stage has, and the place of its checkpoints. */
static json_t *stage_fields(int64_t number)
{
    return json_pack("{s:I}", "stage", (json_int_t)number + 1);
}

static json_t *stage_place(const Growth *g, int64_t number, bool done)
{
    return json_pack("{s:s, s:I, s:b, s:o, s:O}", "verb", "grow", "stage", (json_int_t)number,
                     "done", done, "plan", grow_plan_json(g->job->plan), "packs", g->packs);
}

/* ---- the model of a stage ----------------------------------------------------------------------
 */

static Status first_model(const GrowJob *job, Run *run, Err *err)
{
    if (job->settings->init)
        return run_init_model(run, job->model, err);
    ModelConfig config;
    TRY(stages_first_config(job, run, &config, err));
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

/* Windows have places for all packs: not all of them need be filled. */
static Status open_keeper(PrefixKeeper **out, const Growth *g, const StageView *view,
                          const RunData *data, Err *err)
{
    const Run *run = &g->run;
    int64_t windows = 0, count = run->row * view->config.d_model;
    for (int64_t i = 0; i < data->count; i++)
        windows += read_windows(pack_info(data->packs[i])->tokens[PACK_TRAIN], run->row);
    PrefixStore *store;
    if (view->prefix == PREFIX_RAM) {
        TRY(prefix_store_ram(&store, windows, count, err));
    } else {
        char *path = file_join(g->job->settings->out, "prefix.h5");
        Status status = prefix_store_disk(&store, path, windows, count, err);
        free(path);
        TRY(status);
    }
    return prefix_keeper_new(out, &run->device, store, windows, run->row, view->config.d_model,
                             err);
}

static Status open_stage(Growth *g, const StageView *view, Err *err)
{
    Run *run = &g->run;
    const GrowStage *stage = view->stage;
    TrainConfig train = run_train_config(run, &view->schedule);
    TrainPlan plan;
    TRY(train_plan(&run->device, &view->config, run->compute, DTYPE_F32, &view->trained, &train,
                   &plan, err));
    char trains[80];
    grow_trains_text(&stage->trains, trains, sizeof trains);
    log_info("stage %" PRId64 " of %" PRId64 ": %" PRId64 " blocks, %s train: %.1f M of %.1f M "
             "parameters",
             view->number + 1, g->job->plan->n_stages, view->config.n_layers, trains,
             (double)plan.params_active / 1e6, (double)plan.params_total / 1e6);
    RunOpening opening = {.number = view->number + 1,
                          .count = g->job->plan->n_stages,
                          .blocks = stage->blocks,
                          .start = stage->start,
                          .trains = trains};
    if (!g->restore)
        run_write_opening(run, &opening, &plan);
    return STATUS_OK;
}

/* The stage that may be extended when all is done; pairs that are folded cannot train on. */
static bool is_last(const Growth *g, const StageView *view)
{
    bool folded = view->stage->trains.lora && view->stage->lora_fold;
    return view->number == g->job->plan->n_stages - 1 && !folded;
}

static Status train_stage(Growth *g, const StageView *view, const RunData *data, TrainerStatus *out,
                          Err *err)
{
    RunStage what = {.trained = view->trained,
                     .schedule = view->schedule,
                     .data = data,
                     .from_start = view->stage->from_start,
                     .keep_trainer = is_last(g, view),
                     .state = g->restore ? g->state : NULL,
                     .restore = g->restore};
    PrefixKeeper *keeper = NULL;
    PrefixCache cache;
    if (view->prefix != PREFIX_OFF) {
        TRY(open_keeper(&keeper, g, view, data, err));
        cache = prefix_keeper_cache(keeper);
        what.prefix = &cache;
    }
    json_t *fields = stage_fields(view->number), *place = stage_place(g, view->number, false);
    what.fields = fields;
    what.place = place;
    Status status = run_train(&g->run, &what, out, err);
    prefix_keeper_free(keeper);
    json_decref(fields);
    json_decref(place);
    return status;
}

static Status end_stage(Growth *g, const StageView *view, const TrainerStatus *result, Err *err)
{
    Run *run = &g->run;
    TRY(fold(view->stage, run, err));
    json_t *place = stage_place(g, view->number, true);
    char *name = xasprintf("stage%" PRId64 ".h5", view->number + 1);
    Status status = STATUS_OK;
    if (g->job->keep_stages)
        status = run_keep(run, name, place, err);
    free(name);
    if (status == STATUS_OK)
        status = run_save(run, place, err);
    json_decref(place);
    TRY(status);
    printf("stage %" PRId64 ": %" PRId64 " blocks, %" PRId64 " tokens, loss %.4f", view->number + 1,
           run->model->config.n_layers, result->tokens, result->loss);
    if (isfinite(result->eval_bpb))
        printf(", %.4f bits per byte", result->eval_bpb);
    run_print_epochs(run, stdout);
    printf(", %.0f s\n", result->seconds);
    return STATUS_OK;
}

static Status run_stage(Growth *g, Err *err)
{
    const StageView *view = &g->views[g->stage];
    if (g->restore)
        TRY(run_load_model(&g->run, g->run.model_path, err));
    else
        TRY(prepare_model(g->job, &g->run, g->stage, err));
    RunData data;
    TrainerStatus result;
    TRY(run_data_open(&data, stage_data(g->job, view->stage), err));
    Status status = open_stage(g, view, err);
    if (status == STATUS_OK)
        status = train_stage(g, view, &data, &result, err);
    run_data_close(&data);
    return status == STATUS_OK ? end_stage(g, view, &result, err) : status;
}

/* ---- before the first step ---------------------------------------------------------------------
 */

/* Where a resumed run goes on: the stage, and whether in its middle. */
static Status find_place(Growth *g, Err *err)
{
    const json_t *place = g->run.place;
    if (!place)
        return STATUS_OK;
    Err what;
    int64_t at = json_integer_value(json_object_get(place, "stage"));
    if (grow_plan_compare(g->job->plan, json_object_get(place, "plan"), at, &what) != STATUS_OK)
        return err_set(err,
                       "the plan is not the one that %s was started with (%s); resume with that "
                       "plan, or grow on in a new folder with --init %s",
                       g->job->settings->out, what.text, g->run.model_path);
    bool done = json_is_true(json_object_get(place, "done"));
    g->stage = at + (done ? 1 : 0);
    g->restore = !done;
    json_t *packs = json_object_get(place, "packs");
    if (json_is_array(packs)) {
        json_decref(g->packs);
        g->packs = json_deep_copy(packs);
    }
    return STATUS_OK;
}

/* A stage that is finished goes on when the plan gives it more tokens now. */
static Status extend(Growth *g, Err *err)
{
    if (!g->run.place || g->restore || g->stage < 1)
        return STATUS_OK;
    const GrowStage *last = &g->job->plan->stages[g->stage - 1];
    Schedule schedule;
    TRY(stage_schedule(g->job, last, g->run.row, &schedule, err));
    if (schedule.steps == run_steps_done(&g->run))
        return STATUS_OK;
    if (schedule.steps < run_steps_done(&g->run))
        return err_set(err,
                       "stage %" PRId64 " is finished: it cannot have fewer tokens than it had",
                       g->stage);
    TRY(run_extend(&g->run, &g->state, err));
    g->stage--;
    g->restore = true;
    return STATUS_OK;
}

/* Files that a stage reads are those that were there when the growth began. */
static Status compare_packs(const Growth *g, const StageView *view, const json_t *now, Err *err)
{
    const json_t *then = json_array_get(g->packs, (size_t)view->number);
    for (size_t i = 0; i < json_array_size(then) && i < json_array_size(now); i++)
        if (!json_equal(json_array_get(then, i), json_array_get(now, i)))
            return err_set(err,
                           "%s is not the file that %s was started with (another hash); give that "
                           "one, or grow on in a new folder with --init %s",
                           pack_info(view->data.packs[i])->path, g->job->settings->out,
                           g->run.model_path);
    return STATUS_OK;
}

static Status keep_view(void *context, const StageView *view, Err *err)
{
    Growth *g = context;
    json_t *now = json_array();
    for (int64_t i = 0; i < view->data.count; i++) {
        char text[SHA256_TEXT];
        hash_text(&pack_info(view->data.packs[i])->hash, text);
        json_array_append_new(now, json_string(text));
    }
    if (compare_packs(g, view, now, err) != STATUS_OK) {
        json_decref(now);
        return STATUS_FAIL;
    }
    while (json_array_size(g->packs) <= (size_t)view->number)
        json_array_append_new(g->packs, json_array());
    json_array_set_new(g->packs, (size_t)view->number, now);
    g->views[view->number] = *view;
    g->views[view->number].data = (RunData){0};
    return STATUS_OK;
}

/* Everything that can be known before the first step is: a mistake in the last stage is told before
 * the first one runs. */
static Status begin(Growth *g, Err *err)
{
    const GrowJob *job = g->job;
    Run *run = &g->run;
    TRY(run_open(run, job->settings, job->options, err));
    TRY(find_place(g, err));
    ModelConfig config;
    TRY(stages_first_config(job, run, &config, err));
    TRY(run_choose_row(run, job->model, &config, err));
    TRY(extend(g, err));
    if (g->stage >= job->plan->n_stages) {
        log_info("%s is finished already", job->settings->out);
        return STATUS_OK;
    }
    g->views = xcalloc((size_t)job->plan->n_stages, sizeof *g->views);
    return stages_walk(job, run, g->stage, g->restore, keep_view, g, err);
}

Status grow_run(const GrowJob *job, Err *err)
{
    Growth g = {.job = job, .packs = json_array()};
    Status status = begin(&g, err);
    for (; status == STATUS_OK && g.stage < job->plan->n_stages; g.stage++) {
        status = run_stage(&g, err);
        g.restore = false;
        if (status == STATUS_FAIL)
            err_wrap(err, "stage %" PRId64, g.stage + 1);
    }
    free(g.views);
    free(g.state);
    json_decref(g.packs);
    return run_close(&g.run, status, err);
}

/* ---- planning ----------------------------------------------------------------------------------
 */

static void print_reading(const StageView *view, FILE *out)
{
    for (int64_t i = 0; i < view->data.count; i++) {
        const PackInfo *pack = pack_info(view->data.packs[i]);
        const ReadSource *from = reading_find(view->before, pack);
        ReadCoverage before = {0}, after = read_coverage(reading_find(view->after, pack));
        if (from)
            before = read_coverage(from);
        fprintf(out, "data        %s: from epoch %.2f to %.2f\n", file_base_name(pack->path),
                before.epochs, after.epochs);
    }
}

static Status dry_stage(void *context, const StageView *view, Err *err)
{
    const Run *run = context;
    TrainConfig train = run_train_config(run, &view->schedule);
    char trains[80];
    grow_trains_text(&view->stage->trains, trains, sizeof trains);
    printf(
        "stage %" PRId64 "     %" PRId64 " blocks (%" PRId64 " new), %s train, %" PRId64 " steps\n",
        view->number + 1, view->config.n_layers, view->stage->blocks, trains, view->schedule.steps);
    print_reading(view, stdout);
    DryStage dry = {.config = &view->config,
                    .trained = &view->trained,
                    .train = &train,
                    .data = view->data.count ? &view->data : NULL,
                    .cached = view->prefix != PREFIX_OFF};
    if (view->prefix == PREFIX_RAM)
        dry.prefix_memory = view->prefix_bytes;
    if (view->prefix == PREFIX_DISK)
        dry.prefix_file = view->prefix_bytes;
    return run_dry_stage(run, &dry, stdout, err);
}

static Status dry_stages(const GrowJob *job, Run *run, Err *err)
{
    ModelConfig config;
    TRY(stages_first_config(job, run, &config, err));
    TRY(run_choose_row(run, job->model, &config, err));
    return stages_walk(job, run, 0, false, dry_stage, run, err);
}

Status grow_dry_run(const GrowJob *job, Err *err)
{
    Run run;
    Status status = run_open(&run, job->settings, job->options, err);
    if (status == STATUS_OK)
        status = dry_stages(job, &run, err);
    return run_close(&run, status, err);
}
