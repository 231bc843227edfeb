/* Element types that plans count with: those that the program computes with, and the narrower ones
 * that published figures assume. */
#ifndef CAMBIUM_INFER_PLAN_PLAN_TYPE_H
#define CAMBIUM_INFER_PLAN_PLAN_TYPE_H

#include <stdint.h>

#include "core/base/err.h"

/* From wide to narrow. */
typedef enum PlanType {
    PLAN_F32 = 0,
    PLAN_BF16 = 1,
    PLAN_FP8 = 2,
    PLAN_I8 = 3, /* with a float32 scale per row */
    PLAN_FP4 = 4,
} PlanType;
enum { PLAN_TYPES = 5 };

#define PLAN_TYPE_NAMES "float32|bfloat16|fp8|int8|fp4"

const char *plan_type_name(PlanType type);
/* Fails with the list of names. */
Status plan_type_parse(const char *name, PlanType *out, Err *err);

/* Bytes of an element in a row of `row` of them. The scales of 4-bit formats are not counted, as in
 * the paper's figures. */
double plan_type_bytes(PlanType type, int64_t row);

#endif
