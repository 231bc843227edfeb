#include "grow/stages.h"

#include <inttypes.h>
#include <sys/statvfs.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/* ---- what a stage is ---------------------------------------------------------------------------
 */

Status stage_schedule(const GrowJob *job, const GrowStage *stage, int64_t row, Schedule *out,
                      Err *err)
{
    *out = schedule_default();
    TRY(schedule_parse(stage->schedule, &out->kind, err));
    int64_t per_step = job->settings->batch * row;
    out->steps = (stage->tokens + per_step - 1) / per_step;
    out->lr = stage->lr;
    out->floor = job->settings->floor;
    out->warmup = (int64_t)(stage->warmup * (double)out->steps);
    return schedule_check(out, err);
}

Status stage_trained(const GrowStage *stage, const ModelConfig *config, TrainSet *out, Err *err)
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

const StringList *stage_data(const GrowJob *job, const GrowStage *stage)
{
    return stage->data.count ? &stage->data : &job->settings->data;
}

/* ---- models over stages ------------------------------------------------------------------------
 */

Status stages_first_config(const GrowJob *job, const Run *run, ModelConfig *out, Err *err)
{
    if (job->settings->init || run->resumes)
        return run_base_config(run, job->model, out, err);
    return model_settings_config(job->model, &run->table, job->plan->stages[0].blocks, out, err);
}

/* What a stage makes of the model before it. */
static Status grow_config(const GrowStage *stage, bool has_blocks, ModelConfig *config, Err *err)
{
    config->n_layers += has_blocks ? 0 : stage->blocks;
    if (!stage->trains.lora)
        return model_config_check(config, err);
    bool same = config->lora_rank == stage->lora_rank && config->lora_alpha == stage->lora_alpha;
    if (config->lora_rank > 0 && !same)
        return err_set(err,
                       "the model has LoRA pairs of rank %" PRId64 " and alpha %g by then; train "
                       "these, or fold them where they are trained (fold: true)",
                       config->lora_rank, config->lora_alpha);
    config->lora_rank = stage->lora_rank;
    config->lora_alpha = stage->lora_alpha;
    return model_config_check(config, err);
}

static void end_config(const GrowStage *stage, ModelConfig *config)
{
    if (stage->trains.lora && stage->lora_fold)
        config->lora_rank = 0;
}

/* ---- the cached prefix -------------------------------------------------------------------------
 */

Status stage_prefix_fits(PrefixPlace place, int64_t bytes, double planned, double free_bytes,
                         Err *err)
{
    double wanted = (double)bytes + (place == PREFIX_RAM ? planned : 0.0);
    if (place == PREFIX_OFF || free_bytes <= 0.0 || wanted <= free_bytes)
        return STATUS_OK;
    if (place == PREFIX_RAM)
        return err_set(err,
                       "the cached prefix takes %.1f GB of memory beside %.1f GB of training, and "
                       "%.1f GB are free; keep it in a file (--cache-prefix disk), or leave it out",
                       (double)bytes / 1e9, planned / 1e9, free_bytes / 1e9);
    return err_set(err,
                   "the cached prefix takes a file of %.1f GB, and the run folder's disk has %.1f "
                   "GB left; make room, or leave --cache-prefix out",
                   (double)bytes / 1e9, free_bytes / 1e9);
}

static double disk_free(const char *folder)
{
    struct statvfs info;
    bool known = folder && statvfs(folder, &info) == 0;
    return known ? (double)info.f_bavail * (double)info.f_frsize : 0.0;
}

static Status plan_prefix(const GrowJob *job, const Run *run, const Rehearsed *reads,
                          StageView *view, Err *err)
{
    const TrainSet *t = &view->trained;
    bool frozen = !t->embedding && !t->lora && t->block_begin > 0;
    if (job->cache_prefix == PREFIX_OFF || !frozen || !reads->repeats)
        return STATUS_OK;
    TrainConfig train = run_train_config(run, &view->schedule);
    TrainPlan plan;
    TRY(train_plan(&run->device, &view->config, run->compute, DTYPE_F32, t, &train, &plan, err));
    view->prefix = job->cache_prefix;
    view->prefix_windows = reads->windows;
    view->prefix_bytes = reads->windows * run->row * view->config.d_model * (int64_t)sizeof(float);
    double beside = run->device.ops->memory ? 0.0 : (double)plan.bytes; /* else on the device */
    double free_bytes =
        view->prefix == PREFIX_RAM ? mem_free_bytes() : disk_free(job->settings->out);
    return stage_prefix_fits(view->prefix, view->prefix_bytes, beside, free_bytes, err);
}

/* ---- all stages --------------------------------------------------------------------------------
 */

/* What the walk carries from stage to stage. */
typedef struct Walk {
    const GrowJob *job;
    const Run *run;
    ModelConfig config;
    Reading reading, before;
    bool restored; /* the stage is in its middle */
} Walk;

static Status view_data(Walk *walk, StageView *view, Err *err)
{
    if (view->data.count == 0)
        return STATUS_OK;
    char name[32];
    snprintf(name, sizeof name, "stage %" PRId64, view->number + 1);
    Rehearsal what = {.name = name,
                      .data = &view->data,
                      .from_start = view->stage->from_start && !walk->restored,
                      .steps = view->schedule.steps,
                      .quiet = walk->run->resumes};
    Rehearsed reads;
    TRY(run_rehearse(walk->run, &what, &walk->reading, &reads, err));
    reads.repeats |= walk->restored; /* by windows of its first half */
    return plan_prefix(walk->job, walk->run, &reads, view, err);
}

static Status view_stage(Walk *walk, StageView *view, StageVisit *visit, void *context, Err *err)
{
    const GrowJob *job = walk->job;
    bool has_blocks = walk->restored || (view->number == 0 && !job->settings->init);
    TRY(grow_config(view->stage, has_blocks, &walk->config, err));
    view->config = walk->config;
    TRY(stage_trained(view->stage, &view->config, &view->trained, err));
    TRY(stage_schedule(job, view->stage, walk->run->row, &view->schedule, err));
    const StringList *list = stage_data(job, view->stage);
    if (list->count > 0 || !job->settings->dry_run)
        TRY(run_data_open(&view->data, list, err));
    reading_copy(&walk->before, &walk->reading);
    view->before = &walk->before;
    view->after = &walk->reading;
    Status status = view_data(walk, view, err);
    if (status == STATUS_OK)
        status = visit(context, view, err);
    run_data_close(&view->data);
    end_config(view->stage, &walk->config);
    walk->restored = false;
    return status;
}

Status stages_walk(const GrowJob *job, const Run *run, int64_t first, bool restored,
                   StageVisit *visit, void *context, Err *err)
{
    Walk walk = {.job = job, .run = run, .restored = restored};
    TRY(stages_first_config(job, run, &walk.config, err));
    reading_copy(&walk.reading, &run->reading);
    Status status = STATUS_OK;
    for (int64_t i = first; i < job->plan->n_stages && status == STATUS_OK; i++) {
        StageView view = {.number = i, .stage = &job->plan->stages[i]};
        status = view_stage(&walk, &view, visit, context, err);
        if (status == STATUS_FAIL)
            err_wrap(err, "stage %" PRId64, i + 1);
    }
    reading_clear(&walk.reading);
    reading_clear(&walk.before);
    return status;
}
