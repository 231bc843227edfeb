#include "infer/plan/plan_hardware.h"

#include <string.h>

/* Memory, links and operations: data sheets (dense). The GB200 is the one of the Helix paper's
 * simulator as far as that is known: 8 TB/s and 1 to 64 ranks are the paper's; latency and overhead
 * are the pair for which our model meets its four published ratios. Those of H100 and H200: NCCL's
 * all-reduce over 8 GPUs takes 11 to 25 us for small messages, symmetric memory 2 to 3; some ten
 * kernels per layer, 1.3 us each, from a CUDA graph. */
static const PlanHardware presets[] = {
    {.name = "gb200-nvl72",
     .ranks = 72,
     .memory = 186e9,
     .usable = 1.0,
     .bandwidth = 8e12,
     .efficiency = 1.0,
     .flops = {[PLAN_F32] = 1.25e15,
               [PLAN_BF16] = 2.5e15,
               [PLAN_FP8] = 5e15,
               [PLAN_I8] = 5e15,
               [PLAN_FP4] = 10e15},
     .layer_overhead = 30e-6,
     .weights = PLAN_FP4,
     .n_links = 1,
     .links = {{.ranks = 72, .all_to_all = {5e-6, 900e9}, .all_reduce = {5e-6, 900e9}}}},
    {.name = "h100",
     .ranks = 8,
     .memory = 80e9,
     .usable = 0.9,
     .bandwidth = 3.35e12,
     .efficiency = 0.9,
     .flops =
         {[PLAN_F32] = 494e12, [PLAN_BF16] = 989e12, [PLAN_FP8] = 1979e12, [PLAN_I8] = 1979e12},
     .layer_overhead = 15e-6,
     .weights = PLAN_BF16,
     .n_links = 1,
     .links = {{.ranks = 8, .all_to_all = {10e-6, 450e9}, .all_reduce = {10e-6, 450e9}}}},
    {.name = "h200",
     .ranks = 8,
     .memory = 141e9,
     .usable = 0.9,
     .bandwidth = 4.8e12,
     .efficiency = 0.9,
     .flops =
         {[PLAN_F32] = 494e12, [PLAN_BF16] = 989e12, [PLAN_FP8] = 1979e12, [PLAN_I8] = 1979e12},
     .layer_overhead = 15e-6,
     .weights = PLAN_BF16,
     .n_links = 1,
     .links = {{.ranks = 8, .all_to_all = {10e-6, 450e9}, .all_reduce = {10e-6, 450e9}}}},
};

bool plan_hardware_preset(const char *name, PlanHardware *out)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i];
            return true;
        }
    return false;
}

const PlanLink *plan_link(const PlanHardware *hardware, int64_t ranks)
{
    int64_t i = 0;
    while (i + 1 < hardware->n_links && hardware->links[i].ranks < ranks)
        i++;
    return &hardware->links[i];
}

static double part_of(const PlanHardware *hardware, int64_t ranks)
{
    return hardware->shared ? 1.0 / (double)ranks : 1.0;
}

double plan_rank_flops(const PlanHardware *hardware, PlanType type, int64_t ranks)
{
    int at = type;
    while (at > 0 && hardware->flops[at] == 0.0)
        at--;
    return hardware->flops[at] * part_of(hardware, ranks);
}

double plan_rank_bandwidth(const PlanHardware *hardware, int64_t ranks)
{
    return hardware->bandwidth * hardware->efficiency * part_of(hardware, ranks);
}

double plan_rank_memory(const PlanHardware *hardware, int64_t ranks)
{
    return hardware->memory * hardware->usable * part_of(hardware, ranks);
}
