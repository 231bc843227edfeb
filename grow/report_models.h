/* The models in files of results: what each is called on the page, how it looks, and which are one
 * series. */
#ifndef CAMBIUM_GROW_REPORT_MODELS_H
#define CAMBIUM_GROW_REPORT_MODELS_H

#include <stdint.h>

#include "core/base/strbuf.h"

typedef struct ReportModel {
    char *file, *name; /* the file of results, and the model's name in it */
    /* Made by report_models_label. The label is the model's name; where models of several files
     * have it, "FILE: NAME" with as much of the file's path as tells them apart. */
    char *label;
    /* The label with "*" for its last number: the same for stage1/model.h5 and stage2/model.h5. */
    char *series;
} ReportModel;

typedef struct ReportModels {
    ReportModel *items;
    int64_t count, capacity;
} ReportModels;

/* The model's index, a new one if it was not there. */
int64_t report_models_add(ReportModels *models, const char *file, const char *name);
void report_models_label(ReportModels *models);
void report_models_clear(ReportModels *models);

/* How model `index` is drawn: eight colours, then the same ones striped, and dashed where they are
 * lines. report_look_class: " turn1" for the second eight, "" for the first. */
int report_look_colour(int64_t index);
const char *report_look_class(int64_t index);

/* A patch of its look and a name: an entry of a figure's legend. */
void report_look_name(StrBuf *out, int64_t index, const char *name);

#endif
