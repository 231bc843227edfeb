/* Growth plans from arbitrary bytes. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "grow/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/cambium-fuzz-plan-%d", (int)getpid());
    FILE *file = fopen(path, "wb");
    if (!file)
        return 0;
    fwrite(data, 1, size, file);
    fclose(file);
    GrowDefaults defaults = {.trains = {.newest = true},
                             .tokens = 1000,
                             .lr = 1e-3,
                             .schedule = "cosine",
                             .lora_rank = 8,
                             .lora_alpha = 16.0};
    GrowPlan plan;
    Err err;
    if (grow_plan_read(&plan, path, &defaults, &err) == STATUS_OK) {
        json_decref(grow_plan_json(&plan));
        grow_plan_clear(&plan);
    }
    unlink(path);
    return 0;
}
