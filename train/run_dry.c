#include "train/run_dry.h"

#include <inttypes.h>

#include "train/sweep.h"
#include "train/train_time.h"

Status run_dry_data(const StringList *list, RunData *opened, const RunData **data, Err *err)
{
    *data = NULL;
    *opened = (RunData){0};
    if (list->count == 0)
        return STATUS_OK;
    TRY(run_data_open(opened, list, err));
    *data = opened;
    return STATUS_OK;
}

static void print_plan(const Run *run, const TrainPlan *plan, const DryStage *stage, FILE *out)
{
    fprintf(out,
            "parameters  %" PRId64 " in all, %" PRId64 " train, %" PRId64 " are frozen\n"
            "memory      %.0f MB: weights %.0f, gradients %.0f, moments %.0f, activations %.0f",
            plan->params_total, plan->params_active, plan->params_frozen,
            ((double)plan->bytes + (double)stage->prefix_memory) / 1e6,
            (double)plan->bytes_weights / 1e6, (double)plan->bytes_grads / 1e6,
            (double)plan->bytes_moments / 1e6, (double)plan->bytes_activations / 1e6);
    if (run->device.ops->memory)
        fprintf(out, ", libraries and kernels %.0f", (double)plan->bytes_scratch / 1e6);
    if (stage->prefix_memory > 0)
        fprintf(out, ", cached prefix %.0f", (double)stage->prefix_memory / 1e6);
    if (stage->prefix_file > 0)
        fprintf(out, "\ndisk        %.0f MB while it runs: cached prefix",
                (double)stage->prefix_file / 1e6);
    fprintf(out, "\ncompute     %.1f MFLOP per token (%.1f with a cached prefix)\n",
            plan->flops_per_token / 1e6, plan->flops_per_token_cached / 1e6);
}

/* Tokens of one evaluation. */
static int64_t eval_tokens(const DryStage *stage)
{
    int64_t sum = 0;
    for (int64_t i = 0; stage->data && i < stage->data->count; i++) {
        const Pack *pack = stage->data->packs[i];
        int64_t row = stage->train->context;
        sum += row * sweep_rows(pack, PACK_VALIDATION, row, stage->train->eval_tokens);
    }
    return sum;
}

/* Steps whose windows have all come before. */
static int64_t cached_steps(const DryStage *stage)
{
    const TrainConfig *c = stage->train;
    int64_t windows = 0;
    for (int64_t i = 0; stage->data && i < stage->data->count; i++)
        windows += pack_info(stage->data->packs[i])->tokens[PACK_TRAIN] / c->context;
    int64_t fresh = (windows + c->batch - 1) / c->batch;
    return stage->cached && stage->data && fresh < c->schedule.steps ? c->schedule.steps - fresh
                                                                     : 0;
}

static void print_duration(double seconds, FILE *out)
{
    int64_t whole = (int64_t)(seconds + 0.5);
    if (seconds < 60.0)
        fprintf(out, "%.1f s", seconds);
    else if (whole < 3600)
        fprintf(out, "%" PRId64 " min %" PRId64 " s", whole / 60, whole % 60);
    else
        fprintf(out, "%" PRId64 " h %" PRId64 " min", whole / 3600, whole / 60 % 60);
}

static void print_time(const DryStage *stage, const TrainTime *time, FILE *out)
{
    const TrainConfig *c = stage->train;
    double tokens = (double)(c->batch * c->context);
    double total = train_time_total(time, c->schedule.steps, cached_steps(stage),
                                    eval_tokens(stage), c->eval_every);
    fputs("time        ", out);
    print_duration(total, out);
    fprintf(out, " at %.0f tokens/s", tokens / time->step);
    if (time->cached_step < time->step)
        fprintf(out, " (%.0f with a cached prefix)", tokens / time->cached_step);
    fputs(stage->data ? ", evaluations included\n" : ", without evaluations\n", out);
}

Status run_dry_stage(const Run *run, const DryStage *stage, FILE *out, Err *err)
{
    TrainPlan plan;
    TrainTime time;
    TRY(train_plan(&run->device, stage->config, run->compute, DTYPE_F32, stage->trained,
                   stage->train, &plan, err));
    print_plan(run, &plan, stage, out);
    fflush(out); /* what follows takes a while */
    TRY(train_time(&run->device, stage->config, run->compute, stage->trained, stage->train, &time,
                   err));
    print_time(stage, &time, out);
    return STATUS_OK;
}
