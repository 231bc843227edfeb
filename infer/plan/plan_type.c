#include "infer/plan/plan_type.h"

#include <string.h>

static const struct {
    const char *name;
    double bytes;
} types[PLAN_TYPES] = {
    [PLAN_F32] = {"float32", 4.0}, [PLAN_BF16] = {"bfloat16", 2.0}, [PLAN_FP8] = {"fp8", 1.0},
    [PLAN_I8] = {"int8", 1.0},     [PLAN_FP4] = {"fp4", 0.5},
};

const char *plan_type_name(PlanType type)
{
    return types[type].name;
}

Status plan_type_parse(const char *name, PlanType *out, Err *err)
{
    for (int i = 0; i < PLAN_TYPES; i++)
        if (strcmp(types[i].name, name) == 0) {
            *out = (PlanType)i;
            return STATUS_OK;
        }
    return err_set(err, "'%s' is not an element type; choose one of %s", name, PLAN_TYPE_NAMES);
}

double plan_type_bytes(PlanType type, int64_t row)
{
    return types[type].bytes + (type == PLAN_I8 ? 4.0 / (double)row : 0.0);
}
