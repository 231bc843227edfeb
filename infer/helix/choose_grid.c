#include "infer/helix/choose_grid.h"

#include <stdio.h>
#include <string.h>

#include "infer/plan/planner.h"

/* A machine of a few cores whose ranks are threads: the order of what `plan --hardware this`
 * measures on such. Only ratios matter to the choice. */
static const PlanHardware typical_host = {
    .name = "a typical machine",
    .ranks = HELIX_RANKS,
    .shared = true,
    .memory = 1e15, /* what does not fit is refused elsewhere */
    .usable = 1.0,
    .bandwidth = 30e9,
    .efficiency = 1.0,
    .flops = {[PLAN_F32] = 400e9, [PLAN_BF16] = 800e9},
    .layer_overhead = 10e-6,
    .n_links = 3,
    .links = {{.ranks = 2, .all_to_all = {5e-6, 5e9}, .all_reduce = {10e-6, 6e9}},
              {.ranks = 4, .all_to_all = {30e-6, 3e9}, .all_reduce = {40e-6, 4e9}},
              {.ranks = 8, .all_to_all = {80e-6, 1.5e9}, .all_reduce = {100e-6, 2e9}}},
};

/* Estimates are not so good that a smaller gain would mean anything. */
static const double least_gain = 1.05;

static PlanType plan_type_of(DType type)
{
    return type == DTYPE_F32 ? PLAN_F32 : type == DTYPE_BF16 ? PLAN_BF16 : PLAN_I8;
}

static void rule(GridChoice *out, HelixGrid grid, const char *why)
{
    out->grid = grid;
    snprintf(out->reason, sizeof out->reason, "the rule's choice: %s", why);
}

static void compare(GridChoice *out, const PlanPoint *best, const PlanPoint *ruled, HelixGrid grid,
                    const GridWish *wish)
{
    const PlanGrid *g = &best->layout.grid;
    HelixGrid planned = {(int)g->kvp, (int)g->tpa, (int)g->tpf, (int)g->ep};
    bool takes = ruled->cost.total / best->cost.total >= least_gain;
    char other[64], beside[128] = "";
    out->grid = takes ? planned : grid;
    helix_grid_text(takes ? &grid : &planned, other, sizeof other);
    if (memcmp(&planned, &grid, sizeof grid) != 0)
        snprintf(beside, sizeof beside, " (%s: %.3g)", other,
                 (takes ? ruled : best)->cost.total * 1e3);
    snprintf(out->reason, sizeof out->reason,
             "%s choice, about %.3g ms a token at %lld positions x %lld on a typical machine%s",
             takes     ? "the planner's"
             : *beside ? "the rule's"
                       : "the rule's and the planner's",
             (takes ? best : ruled)->cost.total * 1e3, (long long)wish->context,
             (long long)wish->batch, beside);
}

GridChoice helix_choose_grid(const GridWish *wish, const ModelConfig *const *configs, int64_t n)
{
    GridChoice out;
    Err why;
    PlanModel model;
    PlanHardware hardware = typical_host;
    PlanPoint best, ruled;
    HelixGrid grid = helix_grid_default(wish->ranks, configs, n);
    PlanGrid as_plan = {grid.kvp, grid.tpa, grid.tpf, grid.ep};
    PlanRequest request = {.context = (double)wish->context,
                           .ranks = wish->ranks,
                           .min_ranks = wish->ranks,
                           .batch = wish->batch,
                           .weights = plan_type_of(wish->weights),
                           .kv = plan_type_of(wish->kv),
                           .lockstep = !wish->hopb};
    if (wish->own_devices) {
        plan_hardware_preset("h100", &hardware);
        hardware.memory = typical_host.memory;
    }
    if (plan_model_of("the model", configs, n, &model, &why) != STATUS_OK ||
        planner_predict(&model, &hardware, &request, &as_plan, wish->batch, &ruled, &why) !=
            STATUS_OK ||
        planner_best(&model, &hardware, &request, &best, &why) != STATUS_OK)
        rule(&out, grid, why.text);
    else
        compare(&out, &best, &ruled, grid, wish);
    return out;
}
