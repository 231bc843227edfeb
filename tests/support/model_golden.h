/* Reads tests/golden/model.txt: small models with their parameters, loss, logits and gradients from
 * an independent implementation (make_model_golden.py). */
#ifndef CAMBIUM_TESTS_SUPPORT_MODEL_GOLDEN_H
#define CAMBIUM_TESTS_SUPPORT_MODEL_GOLDEN_H

#include <stdio.h>

#include "core/model/model.h"

enum { GOLDEN_PARAMS = 96 };

typedef struct GoldenParam {
    char path[64];
    int64_t count;
    float *value;
    double *grad;
} GoldenParam;

typedef struct GoldenCase {
    char name[64];
    ModelConfig config;
    int64_t batch, t;
    int32_t *ids, *targets; /* (B, T) */
    double loss;            /* mean over the targets that count */
    double *logits;         /* (B, T, V) */
    GoldenParam params[GOLDEN_PARAMS];
    int64_t n_params;
} GoldenCase;

/* The next case of an open file, or false at its end. Aborts on a damaged file. */
bool golden_next(FILE *file, GoldenCase *out);
void golden_clear(GoldenCase *golden);

/* A model with the case's values, masters included. */
Model *golden_model(const GoldenCase *golden, DType compute);

const GoldenParam *golden_find(const GoldenCase *golden, const char *path);

#endif
