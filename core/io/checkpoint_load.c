#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"

enum { SLAB = 4 << 20 }; /* values converted at a time */

typedef struct LoadJob {
    const Container *container;
    const LoadOptions *options;
    const CheckpointInfo *info;
    Model *model;
    int64_t expert;
    bool fill; /* the second pass: memory is there, values are copied */
} LoadJob;

static char *param_path(const LoadJob *job, const ParamRef *ref)
{
    if (strcmp(ref->path, "embedding") == 0)
        return xstrdup("/embedding");
    return xasprintf("/experts/%lld/%s", (long long)job->expert, ref->path);
}

static Status check_param_shape(const LoadJob *job, const ParamRef *ref, const char *path,
                                DType *dtype, Err *err)
{
    Tensor shape;
    TRY(container_shape(job->container, path, &shape, err));
    bool matrix = ref->param->weight.n_dims == 2;
    if (!tensor_same_shape(&shape, &ref->param->weight) ||
        (shape.dtype != DTYPE_F32 && !(matrix && shape.dtype == DTYPE_BF16)))
        return err_set(err, "%s: %s has not the shape or type that the configuration asks for",
                       container_file(job->container), path);
    *dtype = shape.dtype;
    return STATUS_OK;
}

/* Memory of the file that the device reads in place, or NULL. */
static void *adopt(const LoadJob *job, const void *data, size_t bytes)
{
    if (job->options->train || (uintptr_t)data % MEM_ALIGN != 0)
        return NULL;
    return job->options->device->ops->adopt(data, bytes);
}

static Status fill_param(const LoadJob *job, Param *param, const void *data, DType dtype, Err *err)
{
    int64_t rows = param->weight.shape[0], cols = tensor_count(&param->weight) / rows;
    int64_t slab_rows = SLAB / cols > 0 ? SLAB / cols : 1;
    for (int64_t row = 0; row < rows; row += slab_rows) {
        int64_t count = rows - row < slab_rows ? rows - row : slab_rows;
        const char *from = (const char *)data + (size_t)(row * cols) * dtype_bytes(dtype);
        TRY(model_write_rows(job->model, param, row, count, from, dtype, err));
    }
    return STATUS_OK;
}

/* Training goes on from frozen values: they must be those that froze. */
static Status check_frozen(const LoadJob *job, const char *path, Param *param, const void *data,
                           DType dtype, Err *err)
{
    Sha256 hash = table_hash(data, dtype, tensor_count(&param->weight));
    char text[SHA256_TEXT];
    hash_text(&hash, text);
    if (strcmp(text, param->hash) != 0)
        return err_set(err, "%s: %s was frozen and has SHA-256 %.12s... instead of %.12s...",
                       container_file(job->container), path, text, param->hash);
    TRY(model_param_hash(job->model, param, true, &hash, err));
    hash_text(&hash, param->weight_hash);
    return STATUS_OK;
}

static Status load_one(LoadJob *job, const ParamRef *ref, const char *path, Err *err)
{
    Param *param = ref->param;
    const void *data;
    DType dtype = DTYPE_F32;
    TRY(check_param_shape(job, ref, path, &dtype, err));
    TRY(container_map(job->container, path, &data, err));
    if (!job->fill) {
        if (dtype == param->weight.dtype)
            param->weight.data = adopt(job, data, tensor_bytes(&param->weight));
        return STATUS_OK;
    }
    const char *frozen = container_attribute(job->container, path, "frozen");
    param->frozen = frozen != NULL;
    if (frozen && strlen(frozen) == SHA256_TEXT - 1)
        memcpy(param->hash, frozen, SHA256_TEXT);
    if (!job->options->train && dtype == param->weight.dtype &&
        param->weight.data == adopt(job, data, tensor_bytes(&param->weight)))
        return STATUS_OK;
    TRY(fill_param(job, param, data, dtype, err));
    if (frozen && job->options->train)
        TRY(check_frozen(job, path, param, data, dtype, err));
    container_drop(job->container, path);
    return STATUS_OK;
}

static Status load_param(void *context, const ParamRef *ref, Err *err)
{
    LoadJob *job = context;
    char *path = param_path(job, ref);
    Status status = load_one(job, ref, path, err);
    free(path);
    return status;
}

/* ---- the table ------------------------------------------------------------------------------ */

static Status table_elsewhere(const LoadJob *job, Substrate *out, Err *err)
{
    const TableInfo *wanted = &job->info->table;
    const char *recipe = json_string_value(json_object_get(wanted->recipe, "name"));
    if (!job->options->table)
        return err_set(err,
                       "%s leaves out its table (recipe '%s', SHA-256 %.12s...); say where it is "
                       "with --table FILE, or make it again with 'cambium embed'",
                       container_file(job->container), recipe ? recipe : "unknown", wanted->hash);
    Container *file;
    TableInfo info;
    json_t *meta = NULL;
    TRY(container_open(&file, job->options->table, err));
    Status status = table_info_read(file, &info, &meta, err);
    if (status == STATUS_OK && strcmp(info.hash, wanted->hash) != 0)
        status =
            err_set(err, "%s holds the table %.12s... and %s reads %.12s...", job->options->table,
                    info.hash, container_file(job->container), wanted->hash);
    if (status == STATUS_OK)
        status = table_load(file, &info, job->options->device, out, err);
    json_decref(meta);
    container_close(file);
    return status;
}

static Status find_table(const LoadJob *job, Substrate *out, Err *err)
{
    const TableInfo *info = &job->info->table;
    if (!info->stored)
        return table_elsewhere(job, out, err);
    Tensor shape;
    const void *data;
    TRY(container_shape(job->container, "/embedding", &shape, err));
    TRY(container_map(job->container, "/embedding", &data, err));
    void *in_place = adopt(job, data, tensor_bytes(&shape));
    if (!in_place)
        return table_load(job->container, info, job->options->device, out, err);
    if (shape.dtype != DTYPE_F32 && shape.dtype != DTYPE_BF16 && shape.dtype != DTYPE_U8)
        return err_set(err, "%s: /embedding is of type %s", container_file(job->container),
                       dtype_name(shape.dtype));
    *out = (Substrate){.table = shape};
    out->table.data = in_place;
    memcpy(out->hash, info->hash, sizeof out->hash);
    return STATUS_OK;
}

static Status give_table(const LoadJob *job, Err *err)
{
    Substrate substrate = {0};
    TRY(find_table(job, &substrate, err));
    if (model_take_table(job->model, &substrate, err) == STATUS_OK)
        return STATUS_OK;
    if (substrate.owned && job->model->substrate.table.data != substrate.table.data)
        job->options->device->ops->free(substrate.table.data);
    return err_wrap(err, "%s", container_file(job->container));
}

/* ---- experts -------------------------------------------------------------------------------- */

static Status load_expert(LoadJob *job, const Substrate *shared, Err *err)
{
    const LoadOptions *options = job->options;
    const ModelConfig *config = &job->info->experts[job->expert].config;
    ModelOptions model_options = {.device = options->device,
                                  .compute = options->compute,
                                  .weights = options->weights,
                                  .masters = options->train,
                                  .unallocated = true,
                                  .shared = shared};
    /* Memory for the blocks is taken only when the file has them. */
    if (config->n_layers > 0) {
        char *last = xasprintf("/experts/%lld/blocks/%lld", (long long)job->expert,
                               (long long)config->n_layers - 1);
        bool there = container_has_group(job->container, last);
        free(last);
        if (!there)
            return err_set(err, "%s has no block %lld of expert %lld",
                           container_file(job->container), (long long)config->n_layers - 1,
                           (long long)job->expert);
    }
    TRY(model_new(&job->model, config, &model_options, err));
    if (!shared && config->embedding != EMBEDDING_LEARNED)
        TRY(give_table(job, err));
    job->fill = false;
    TRY(model_visit(job->model, load_param, job, err));
    TRY(model_allocate(job->model, err));
    job->fill = true;
    TRY(model_visit(job->model, load_param, job, err));
    if (param_exists(&job->model->embedding))
        model_refresh(job->model, &job->model->embedding);
    return STATUS_OK;
}

static Status read_adapter(const LoadJob *job, Ensemble *ensemble, Err *err)
{
    MergeAdapter *adapter = &ensemble->adapter;
    int64_t top = job->info->adapter_top, hidden = job->info->adapter_hidden;
    int64_t n = ensemble->n_experts;
    struct {
        const char *path;
        Tensor shape;
        float **to;
    } parts[] = {
        {"/adapter/w1", tensor_2d(NULL, DTYPE_F32, hidden, n * top), &adapter->w1},
        {"/adapter/b1", tensor_1d(NULL, DTYPE_F32, hidden), &adapter->b1},
        {"/adapter/w2", tensor_2d(NULL, DTYPE_F32, n, hidden), &adapter->w2},
        {"/adapter/b2", tensor_1d(NULL, DTYPE_F32, n), &adapter->b2},
    };
    adapter->top = top;
    adapter->hidden = hidden;
    for (int i = 0; i < 4; i++) {
        *parts[i].to = xmalloc(tensor_bytes(&parts[i].shape));
        TRY(container_read(job->container, parts[i].path, &parts[i].shape, *parts[i].to, err));
    }
    return STATUS_OK;
}

static Status read_experts(LoadJob *job, Ensemble *ensemble, Err *err)
{
    const CheckpointInfo *info = job->info;
    ensemble->experts = xcalloc((size_t)info->n_experts, sizeof *ensemble->experts);
    ensemble->names = xcalloc((size_t)info->n_experts, sizeof *ensemble->names);
    ensemble->weights = xmalloc((size_t)info->n_experts * sizeof *ensemble->weights);
    memcpy(ensemble->weights, info->weights, (size_t)info->n_experts * sizeof *info->weights);
    ensemble->rule = info->rule;
    ensemble->forget = info->forget;
    for (int64_t i = 0; i < info->n_experts; i++) {
        job->model = NULL;
        job->expert = i;
        Status status = load_expert(job, i ? &ensemble->experts[0]->substrate : NULL, err);
        ensemble->experts[i] = job->model;
        ensemble->names[i] = xstrdup(info->experts[i].name);
        ensemble->n_experts = i + 1;
        TRY(status);
    }
    return info->rule == MERGE_ADAPTER ? read_adapter(job, ensemble, err) : STATUS_OK;
}

Status ensemble_read(Ensemble **out, const Container *container, const LoadOptions *options,
                     Err *err)
{
    CheckpointInfo info;
    *out = NULL;
    TRY(checkpoint_info_read(container, &info, err));
    LoadJob job = {.container = container, .options = options, .info = &info};
    Ensemble *ensemble = xcalloc(1, sizeof *ensemble);
    Status status = read_experts(&job, ensemble, err);
    checkpoint_info_clear(&info);
    if (status != STATUS_OK)
        ensemble_free(ensemble);
    else
        *out = ensemble;
    return status;
}

static void close_backing(void *container)
{
    container_close(container);
}

Status ensemble_load(Ensemble **out, Tokenizer **tokenizer, const char *path,
                     const LoadOptions *options, Err *err)
{
    Container *container;
    *out = NULL;
    if (tokenizer)
        *tokenizer = NULL;
    TRY(container_open(&container, path, err));
    Status status = ensemble_read(out, container, options, err);
    if (status != STATUS_OK) {
        container_close(container);
        return status;
    }
    if (options->train) {
        status = tokenizer ? tokenizer_read(container, tokenizer, err) : STATUS_OK;
        container_close(container);
    } else {
        (*out)->experts[0]->backing = container;
        (*out)->experts[0]->backing_free = close_backing;
        status = tokenizer ? tokenizer_read(container, tokenizer, err) : STATUS_OK;
    }
    if (status == STATUS_OK && tokenizer &&
        tokenizer_size(*tokenizer) > (*out)->experts[0]->config.vocab_size)
        status = err_set(err, "%s: the tokenizer has %lld tokens and the model %lld", path,
                         (long long)tokenizer_size(*tokenizer),
                         (long long)(*out)->experts[0]->config.vocab_size);
    if (status != STATUS_OK) {
        if (tokenizer) {
            tokenizer_free(*tokenizer);
            *tokenizer = NULL;
        }
        ensemble_free(*out);
        *out = NULL;
    }
    return status;
}

Status ensemble_take_model(Ensemble *ensemble, const char *path, Model **out, Err *err)
{
    *out = NULL;
    if (ensemble->n_experts != 1)
        return err_set(err, "%s holds %lld merged models where one model is needed", path,
                       (long long)ensemble->n_experts);
    *out = ensemble->experts[0];
    ensemble->experts[0] = NULL;
    ensemble_free(ensemble);
    return STATUS_OK;
}
