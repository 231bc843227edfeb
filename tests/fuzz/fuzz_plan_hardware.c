/* Descriptions of hardware of any bytes: what is accepted can be planned with, and is written as it
 * is read. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "infer/plan/planner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan_with(const PlanHardware *hardware)
{
    Err err;
    PlanModel model;
    PlanSearch search;
    plan_model_preset("llama-8b", &model);
    PlanRequest request = {.context = 4096,
                           .ranks = hardware->ranks < 4 ? hardware->ranks : 4,
                           .batch = 2,
                           .weights = hardware->weights,
                           .kv = hardware->weights};
    if (planner_search(&model, hardware, &request, &search, &err) != STATUS_OK)
        return;
    for (int64_t i = 0; i < search.count; i++)
        if (!(search.points[i].cost.total > 0.0) || !isfinite(search.points[i].cost.total))
            __builtin_trap();
    plan_search_clear(&search);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    PlanHardware hardware, again;
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json && plan_hardware_parse(json, "hardware.json", &hardware, &err) == STATUS_OK) {
        json_t *written = plan_hardware_json(&hardware);
        if (plan_hardware_parse(written, "hardware.json", &again, &err) != STATUS_OK)
            __builtin_trap();
        json_decref(written);
        plan_with(&hardware);
    }
    json_decref(json);
    return 0;
}
