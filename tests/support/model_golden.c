#include "tests/support/model_golden.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/support/tiny_model.h"

static int64_t read_count(FILE *file)
{
    long long n = 0;
    CHECK(fscanf(file, "%lld", &n) == 1 && n >= 0 && n < 1000000, "golden: a count");
    return n;
}

static double *read_numbers(FILE *file, int64_t n)
{
    double *out = xmalloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        CHECK(fscanf(file, "%lf", &out[i]) == 1, "golden: a number");
    return out;
}

static int32_t *read_ids(FILE *file, int64_t n)
{
    int32_t *out = xmalloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        CHECK(fscanf(file, "%d", &out[i]) == 1, "golden: an id");
    return out;
}

static void read_config(FILE *file, ModelConfig *config)
{
    char *line = NULL;
    size_t capacity = 0;
    Err err;
    CHECK(getline(&line, &capacity, file) > 0, "golden: a configuration");
    json_t *json = json_loads(line, 0, NULL);
    CHECK(json && model_config_from_json(json, config, &err) == STATUS_OK, "golden: %s", err.text);
    json_decref(json);
    free(line);
}

static void read_param(FILE *file, GoldenCase *golden, bool grad)
{
    char path[64];
    CHECK(fscanf(file, "%63s", path) == 1, "golden: a path");
    int64_t n = read_count(file);
    double *values = read_numbers(file, n);
    if (grad) {
        GoldenParam *last = &golden->params[golden->n_params - 1];
        CHECK(strcmp(last->path, path) == 0 && last->count == n, "golden: gradient of %s", path);
        last->grad = values;
        return;
    }
    CHECK(golden->n_params < GOLDEN_PARAMS, "golden: too many parameters");
    GoldenParam *param = &golden->params[golden->n_params++];
    memcpy(param->path, path, sizeof path);
    param->count = n;
    param->value = xmalloc((size_t)n * sizeof *param->value);
    for (int64_t i = 0; i < n; i++)
        param->value[i] = (float)values[i];
    free(values);
}

bool golden_next(FILE *file, GoldenCase *out)
{
    *out = (GoldenCase){0};
    char word[64];
    while (fscanf(file, "%63s", word) == 1) {
        int64_t n = out->batch * out->t;
        if (strcmp(word, "case") == 0)
            CHECK(fscanf(file, "%63s", out->name) == 1, "golden: a name");
        else if (strcmp(word, "config") == 0)
            read_config(file, &out->config);
        else if (strcmp(word, "tokens") == 0)
            out->batch = read_count(file), out->t = read_count(file);
        else if (strcmp(word, "ids") == 0)
            out->ids = read_ids(file, n);
        else if (strcmp(word, "targets") == 0)
            out->targets = read_ids(file, n);
        else if (strcmp(word, "loss") == 0)
            CHECK(fscanf(file, "%lf", &out->loss) == 1, "golden: a loss");
        else if (strcmp(word, "logits") == 0)
            out->logits = read_numbers(file, n * out->config.vocab_size);
        else if (strcmp(word, "param") == 0 || strcmp(word, "grad") == 0)
            read_param(file, out, word[0] == 'g');
        else if (strcmp(word, "end") == 0)
            return true;
        else
            CHECK(false, "golden: '%s'", word);
    }
    return false;
}

void golden_clear(GoldenCase *golden)
{
    for (int64_t i = 0; i < golden->n_params; i++) {
        free(golden->params[i].value);
        free(golden->params[i].grad);
    }
    free(golden->ids);
    free(golden->targets);
    free(golden->logits);
    *golden = (GoldenCase){0};
}

const GoldenParam *golden_find(const GoldenCase *golden, const char *path)
{
    for (int64_t i = 0; i < golden->n_params; i++)
        if (strcmp(golden->params[i].path, path) == 0)
            return &golden->params[i];
    CHECK(false, "golden: no %s in case %s", path, golden->name);
}

typedef struct Fill {
    Model *model;
    const GoldenCase *golden;
} Fill;

static Status fill_one(void *context, const ParamRef *ref, Err *err)
{
    const Fill *job = context;
    const GoldenParam *from = golden_find(job->golden, ref->path);
    CHECK(from->count == tensor_count(&ref->param->weight), "golden: size of %s", ref->path);
    TRY(model_write_rows(job->model, ref->param, 0, ref->param->weight.shape[0], from->value,
                         DTYPE_F32, err));
    model_refresh(job->model, ref->param);
    return STATUS_OK;
}

Model *golden_model(const GoldenCase *golden, DType compute)
{
    Err err;
    Model *model = NULL;
    ModelOptions options = {
        .device = tiny_device(), .compute = compute, .weights = compute, .masters = true};
    CHECK(model_new(&model, &golden->config, &options, &err) == STATUS_OK, "%s", err.text);
    Fill job = {model, golden};
    CHECK(model_visit(model, fill_one, &job, &err) == STATUS_OK, "%s", err.text);
    return model;
}
