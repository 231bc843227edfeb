#include "train/rig.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/model/random_model.h"

void rig_clear(Rig *rig)
{
    optimizer_free(rig->optimizer);
    pass_free(rig->pass);
    grads_free(rig->grads);
    model_free(rig->model);
    free(rig->ids);
    free(rig->targets);
    free(rig->windows);
    *rig = (Rig){0};
}

Status rig_init(Rig *rig, const RigSetup *setup, Err *err)
{
    size_t rows = (size_t)setup->rows, cells = rows * (size_t)setup->context;
    *rig = (Rig){.setup = *setup,
                 .ids = xcalloc(cells, sizeof *rig->ids),
                 .targets = xcalloc(cells, sizeof *rig->targets),
                 .windows = xcalloc(rows, sizeof *rig->windows)};
    for (int64_t r = 0; r < setup->rows; r++)
        rig->windows[r] = r;
    rng_init(&rig->rng, 2, 2);
    ModelOptions options = {.device = setup->device,
                            .compute = setup->compute,
                            .weights = setup->compute,
                            .masters = true};
    AdamwConfig adamw = adamw_default();
    Status status = model_new(&rig->model, setup->config, &options, err);
    if (status == STATUS_OK)
        status = random_model_fill(rig->model, err);
    if (status == STATUS_OK)
        status = model_set_trained(rig->model, &setup->trained, err);
    if (status == STATUS_OK)
        status = grads_new(&rig->grads, rig->model, false, err);
    if (status == STATUS_OK)
        status = pass_new(&rig->pass, rig->model, rig->grads, setup->rows, setup->context, err);
    if (status == STATUS_OK)
        status = optimizer_new(&rig->optimizer, rig->model, rig->grads, &adamw, err);
    if (status != STATUS_OK)
        rig_clear(rig);
    return status;
}

static Status run_pass(Rig *rig, bool backward, const PrefixCache *prefix, Err *err)
{
    int64_t V = rig->model->config.vocab_size, cells = rig->setup.rows * rig->setup.context;
    for (int64_t i = 0; i < cells; i++) {
        rig->ids[i] = (int32_t)rng_below(&rig->rng, V);
        rig->targets[i] = (int32_t)rng_below(&rig->rng, V);
    }
    PassInput input = {.ids = rig->ids,
                       .targets = rig->targets,
                       .backward = backward,
                       .grad_scale = 1.0f / (float)cells,
                       .prefix = prefix,
                       .windows = prefix ? rig->windows : NULL};
    double loss, start = clock_seconds();
    int64_t count;
    TRY(pass_run(rig->pass, &input, &loss, &count, err));
    rig->pass_seconds = clock_seconds() - start;
    return STATUS_OK;
}

Status rig_step(Rig *rig, const PrefixCache *prefix, Err *err)
{
    TRY(run_pass(rig, true, prefix, err));
    double norm, start = clock_seconds();
    TRY(optimizer_step(rig->optimizer, 1e-5, &norm, err));
    rig->optimizer_seconds = clock_seconds() - start;
    return STATUS_OK;
}

Status rig_evaluate(Rig *rig, Err *err)
{
    return run_pass(rig, false, NULL, err);
}
