/* What a plan has to know of the machine. Plain data, in seconds, bytes and operations per second.
 *
 *   {"name": "two boxes", "ranks": 8, "memory": "80GB", "usable": 0.9, "bandwidth": "3.35TB/s",
 *    "efficiency": 0.9, "flops": {"bfloat16": "989TFLOP/s"}, "layer_overhead": "15us",
 *    "shared": false, "weights": "bfloat16",
 *    "links": [{"ranks": 8, "all_to_all": {"latency": "10us", "bandwidth": "450GB/s"},
 *                           "all_reduce": {"latency": "10us", "bandwidth": "450GB/s"}}]} */
#ifndef CAMBIUM_INFER_PLAN_PLAN_HARDWARE_H
#define CAMBIUM_INFER_PLAN_PLAN_HARDWARE_H

#include <jansson.h>
#include <stdint.h>

#include "infer/plan/plan_type.h"

enum { PLAN_LINKS = 16, PLAN_RANKS_MAX = 4096 };

/* A collective takes latency + bytes that one rank sends / bandwidth. */
typedef struct PlanWire {
    double latency;
    double bandwidth;
} PlanWire;

/* Collectives while this many ranks are at work. */
typedef struct PlanLink {
    int64_t ranks;
    PlanWire all_to_all, all_reduce;
} PlanLink;

typedef struct PlanHardware {
    char name[64];
    int64_t ranks; /* the most that its links join */
    bool shared;   /* ranks are parts of one machine: memory, bandwidth and operations below are the
                      machine's, and each of N ranks has 1/N of them; else they are one rank's */
    double memory, usable;        /* bytes; the part of them for weights and cache */
    double bandwidth, efficiency; /* of reading memory; the part of it that kernels reach */
    double flops[PLAN_TYPES]; /* of products; 0: computed in the next wider type that has some */
    double layer_overhead;    /* per layer and step, whatever the batch: launches, norms, ... */
    PlanType weights;         /* what its users compute with: the default of a plan */
    int64_t n_links;
    PlanLink links[PLAN_LINKS]; /* by rising ranks */
} PlanHardware;

/* "gb200-nvl72", "h100", "h200"; false for other names. */
bool plan_hardware_preset(const char *name, PlanHardware *out);
#define PLAN_HARDWARE_PRESETS "gb200-nvl72, h100, h200"

/* A description as above: quantities are texts with units, or plain numbers. Only `usable` (0.9),
 * `efficiency` (1), `shared` (false), `layer_overhead` (0) and `weights` (bfloat16) may be left
 * out. Unknown members are errors. `where` names the file. */
Status plan_hardware_parse(const json_t *json, const char *where, PlanHardware *out, Err *err);
Status plan_hardware_read(const char *path, PlanHardware *out, Err *err);
json_t *plan_hardware_json(const PlanHardware *hardware); /* as read; the caller owns it */

/* Measures this machine, with thread ranks up to `ranks`; takes about `seconds`. The device is
 * "auto", "cpu" or "cuda". */
Status plan_hardware_measure(const char *device, int64_t ranks, double seconds, PlanHardware *out,
                             Err *err);

/* The link for that many ranks at work: the narrowest that is wide enough, or the widest. */
const PlanLink *plan_link(const PlanHardware *hardware, int64_t ranks);
/* Operations per second of one of `ranks`, for operands of a type. */
double plan_rank_flops(const PlanHardware *hardware, PlanType type, int64_t ranks);
double plan_rank_bandwidth(const PlanHardware *hardware, int64_t ranks); /* what kernels reach */
double plan_rank_memory(const PlanHardware *hardware, int64_t ranks);    /* what may be used */

#endif
