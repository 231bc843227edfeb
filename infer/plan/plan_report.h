/* A search's result for people (a table), for machines (JSON) and as a picture (SVG). */
#ifndef CAMBIUM_INFER_PLAN_PLAN_REPORT_H
#define CAMBIUM_INFER_PLAN_PLAN_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "core/base/strbuf.h"
#include "infer/plan/planner.h"

typedef struct PlanReport {
    const PlanModel *model;
    const PlanHardware *hardware;
    const PlanRequest *request;
    const PlanSearch *search;
    const PlanPoint *best; /* the Helix grid for the request; NULL: none is fast enough */
} PlanReport;

void plan_report_text(const PlanReport *report, FILE *out);

/* Members: `model`, `hardware` (as plan_hardware_read takes it), `request`, `tried`, `fit`, `front`
 * and `baselines` (lists of points), `best` (a point with `grid` as typed, or null), `gain`. The
 * caller owns it. */
json_t *plan_report_json(const PlanReport *report);

/* Tokens per second and rank over tokens per second and user, a curve for each strategy, and the
 * chosen point: a drawing that stands alone. */
void plan_report_svg(const PlanReport *report, StrBuf *out);

/* "kvp=8,tpa=8,tpf=64,ep=1", in `text`. */
enum { PLAN_GRID_TEXT = 96 };
const char *plan_grid_text(const PlanGrid *grid, char text[PLAN_GRID_TEXT]);

#endif
