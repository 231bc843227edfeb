/* The growth plan: which blocks are added when, how they start, and what trains (design section 7).
 * Read from YAML or made from options such as `--stages 3+3+3`. */
#ifndef CAMBIUM_GROW_PLAN_H
#define CAMBIUM_GROW_PLAN_H

#include <jansson.h>

#include "core/base/file.h"
#include "core/model/model.h"

/* What trains in a stage; the final norm belongs to the head. */
typedef struct GrowTrains {
    bool embedding; /* a learned table */
    bool newest;    /* the blocks that this stage adds */
    bool head;
    bool lora; /* low-rank pairs on all blocks */
    bool all;  /* everything but a frozen table */
} GrowTrains;

typedef struct GrowStage {
    int64_t blocks; /* added before the stage; 0: only go on training */
    BlockStart start;
    GrowTrains trains;
    int64_t tokens;
    double lr;
    char *schedule;    /* cosine, linear, constant, wsd */
    double warmup;     /* share of the stage's steps */
    int64_t lora_rank; /* 0 unless `trains.lora` */
    double lora_alpha;
    bool lora_given; /* the stage says something of its pairs */
    bool lora_fold;  /* add the pairs to the weights when the stage ends */
    StringList data; /* packs, "FILE" or "FILE:WEIGHT"; empty: those of the run */
    bool from_start; /* data_from: start; else the stage reads on where the one before stopped */
} GrowStage;

typedef struct GrowPlan {
    GrowStage *stages;
    int64_t n_stages;
    int64_t capacity;
} GrowPlan;

/* What a stage is where the plan is silent. */
typedef struct GrowDefaults {
    BlockStart start;
    GrowTrains trains;
    int64_t tokens;
    double lr;
    const char *schedule;
    double warmup;
    int64_t lora_rank;
    double lora_alpha;
    bool from_start;
} GrowDefaults;

/* Errors name the file, the line and the key. */
Status grow_plan_read(GrowPlan *plan, const char *path, const GrowDefaults *defaults, Err *err);
/* "3+3+3": one stage per number, all else by default. */
Status grow_plan_from_text(GrowPlan *plan, const char *stages, const GrowDefaults *defaults,
                           Err *err);
void grow_plan_clear(GrowPlan *plan);

/* "newest,head" and back; parse fails on unknown words. */
Status grow_trains_parse(const char *text, GrowTrains *out, Err *err);
void grow_trains_text(const GrowTrains *trains, char *text, size_t size);

/* The plan as JSON (a new object): stored in checkpoints, compared on resume. */
json_t *grow_plan_json(const GrowPlan *plan);
/* Fails when the plan is not the stored one, naming the first difference. What is not finished may
 * change in some ways, which are told: tokens of stage `at` (from 0), the last that has begun,
 * lower learning rates from there on, and further stages behind all. */
Status grow_plan_compare(const GrowPlan *plan, const json_t *stored, int64_t at, Err *err);

#endif
