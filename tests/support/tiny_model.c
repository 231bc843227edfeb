#include "tests/support/tiny_model.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"

const Device *tiny_device(void)
{
    static Device device;
    if (!device.ops) {
        Err err;
        const char *name = getenv("TEST_BACKEND");
        backend_cpu_register();
        CHECK(device_open(&device, name ? name : "cpu", &err) == STATUS_OK, "%s", err.text);
    }
    return &device;
}

ModelConfig tiny_config(void)
{
    ModelConfig c = model_config_default();
    c.vocab_size = 97;
    c.n_embed = 9;
    c.d_model = 18;
    c.n_layers = 2;
    c.n_heads = 3;
    c.n_kv_heads = 1;
    c.head_dim = 6;
    c.d_ff = 31;
    c.context = 64;
    c.embed_scale = 1.0;
    return c;
}

typedef struct Filler {
    Model *model;
    Rng rng;
} Filler;

/* Larger than usual starts, so that attention and activations are far from linear. */
static Status fill(void *context, const ParamRef *ref, Err *err)
{
    Filler *filler = context;
    const Tensor *t = &ref->param->weight;
    int64_t count = tensor_count(t);
    float *values = xmalloc((size_t)count * sizeof *values);
    double middle = ref->info.start == START_ONE ? 1.0 : 0.0;
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(middle + 0.3 * rng_normal(&filler->rng));
    Status status =
        model_write_rows(filler->model, ref->param, 0, t->shape[0], values, DTYPE_F32, err);
    free(values);
    return status;
}

static Status give_table(Model *model, uint64_t seed, Err *err)
{
    const ModelConfig *c = &model->config;
    Substrate table = {.table = tensor_2d(NULL, DTYPE_F32, c->vocab_size, c->n_embed),
                       .owned = true};
    TRY(device_tensor(&model->device, &table.table, "the table", err));
    int64_t count = c->vocab_size * c->n_embed;
    float *values = xmalloc((size_t)count * sizeof *values);
    Rng rng;
    rng_init(&rng, seed, 7);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)rng_normal(&rng);
    Status status = device_upload(&model->device, &table.table, values, err);
    free(values);
    TRY(status);
    return model_take_table(model, &table, err);
}

Model *tiny_model(const ModelConfig *config, DType compute, uint64_t seed, uint64_t table_seed)
{
    Err err = {.text = ""};
    Model *model = NULL;
    ModelOptions options = {
        .device = tiny_device(), .compute = compute, .weights = compute, .masters = true};
    CHECK(model_new(&model, config, &options, &err) == STATUS_OK, "%s", err.text);
    if (config->embedding != EMBEDDING_LEARNED)
        CHECK(give_table(model, table_seed, &err) == STATUS_OK, "%s", err.text);
    Filler filler = {.model = model};
    rng_init(&filler.rng, seed, 1);
    CHECK(model_visit(model, fill, &filler, &err) == STATUS_OK, "%s", err.text);
    return model;
}

Ensemble *tiny_ensemble(Model **models, int64_t n, MergeRule rule)
{
    Ensemble *e = xcalloc(1, sizeof *e);
    e->n_experts = n;
    e->rule = rule;
    e->forget = 0.01f;
    e->experts = xcalloc((size_t)n, sizeof *e->experts);
    e->names = xcalloc((size_t)n, sizeof *e->names);
    for (int64_t i = 0; i < n; i++) {
        e->experts[i] = models[i];
        e->names[i] = xasprintf("expert %d", (int)i);
    }
    return e;
}
