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
        return checkpoint_table_path(job->expert);
    return xasprintf("/experts/%lld/%s", (long long)job->expert, ref->path);
}

/* The part of a parameter that this rank holds. */
static Shard part_of(const LoadJob *job, const ParamRef *ref)
{
    const ShardPlan *plan = job->options->shards;
    return plan ? plan->part(plan->context, job->expert, &job->model->config, ref) : (Shard){0};
}

static Status check_param_shape(const LoadJob *job, const Tensor *wanted, const Tensor *stored,
                                const char *path, Err *err)
{
    bool matrix = wanted->n_dims == 2;
    if (!tensor_same_shape(stored, wanted) ||
        (stored->dtype != DTYPE_F32 && !(matrix && stored->dtype == DTYPE_BF16)))
        return err_set(err, "%s: %s has not the shape or type that the configuration asks for",
                       container_file(job->container), path);
    return STATUS_OK;
}

static void cut_shape(Tensor *t, int dim, int64_t count)
{
    if (t->n_dims > dim)
        t->shape[dim] = count;
}

/* From here on the parameter has the shape of its part. */
static void cut_param(Param *param, Shard part)
{
    int dim = part.axis == SHARD_COLUMNS ? 1 : 0;
    if (part.axis == SHARD_NONE) {
        *param = (Param){0};
    } else if (part.axis != SHARD_WHOLE) {
        cut_shape(&param->master, dim, part.count);
        cut_shape(&param->weight, dim, part.count);
        if (dim == 0)
            cut_shape(&param->scales, 0, part.count);
    }
}

/* Memory of the file that the device reads in place, or NULL. */
static void *adopt(const LoadJob *job, const void *data, size_t bytes)
{
    if (job->options->train || (uintptr_t)data % MEM_ALIGN != 0)
        return NULL;
    return job->options->device->ops->adopt(data, bytes);
}

/* Rows [begin, begin + count) of a part, from the whole dataset's. */
static Status fill_rows(const LoadJob *job, Param *param, Shard part, const void *data,
                        const Tensor *stored, int64_t begin, int64_t count, void *staged, Err *err)
{
    size_t element = dtype_bytes(stored->dtype);
    int64_t width = stored->n_dims == 2 ? stored->shape[1] : 1;
    const char *from = (const char *)data + (size_t)(begin * width) * element;
    if (part.axis != SHARD_COLUMNS)
        return model_write_rows(job->model, param, begin, count, from, stored->dtype, err);
    size_t bytes = (size_t)part.count * element;
    for (int64_t row = 0; row < count; row++)
        memcpy((char *)staged + (size_t)row * bytes,
               from + (size_t)(row * width + part.begin) * element, bytes);
    return model_write_rows(job->model, param, begin, count, staged, stored->dtype, err);
}

/* `data` begins with the part's first row. */
static Status fill_param(const LoadJob *job, Param *param, Shard part, const void *data,
                         const Tensor *stored, Err *err)
{
    int64_t rows = param->weight.shape[0], cols = tensor_count(&param->weight) / rows;
    int64_t slab_rows = SLAB / cols > 0 ? SLAB / cols : 1;
    slab_rows = slab_rows < rows ? slab_rows : rows;
    void *staged = part.axis == SHARD_COLUMNS
                       ? xmalloc((size_t)(slab_rows * cols) * dtype_bytes(stored->dtype))
                       : NULL;
    Status status = STATUS_OK;
    for (int64_t row = 0; row < rows && status == STATUS_OK; row += slab_rows) {
        int64_t count = rows - row < slab_rows ? rows - row : slab_rows;
        status = fill_rows(job, param, part, data, stored, row, count, staged, err);
    }
    free(staged);
    return status;
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

/* The bytes of the file that hold the part, which alone are read. */
static Status map_part(const LoadJob *job, const char *path, const Tensor *stored, Shard part,
                       const void **data, Err *err)
{
    if (part.axis != SHARD_ROWS)
        return container_map(job->container, path, data, err);
    int64_t row = (int64_t)tensor_bytes(stored) / stored->shape[0];
    return container_map_range(job->container, path, part.begin * row, part.count * row, data, err);
}

static Status load_one(LoadJob *job, const ParamRef *ref, const char *path, Err *err)
{
    Param *param = ref->param;
    Shard part = part_of(job, ref);
    const void *data;
    Tensor stored;
    TRY(container_shape(job->container, path, &stored, err));
    if (!job->fill) {
        TRY(check_param_shape(job, &param->weight, &stored, path, err));
        cut_param(param, part);
    }
    if (!param_exists(param) || tensor_count(&param->weight) == 0)
        return STATUS_OK;
    TRY(map_part(job, path, &stored, part, &data, err));
    DType dtype = stored.dtype;
    bool in_place = dtype == param->weight.dtype && part.axis != SHARD_COLUMNS;
    if (!job->fill) {
        if (in_place)
            param->weight.data = adopt(job, data, tensor_bytes(&param->weight));
        return STATUS_OK;
    }
    const char *frozen = container_attribute(job->container, path, "frozen");
    param->frozen = frozen != NULL;
    if (frozen && strlen(frozen) == SHA256_TEXT - 1)
        memcpy(param->hash, frozen, SHA256_TEXT);
    if (!job->options->train && in_place &&
        param->weight.data == adopt(job, data, tensor_bytes(&param->weight)))
        return STATUS_OK;
    TRY(fill_param(job, param, part, data, &stored, err));
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
    const TableInfo *wanted = checkpoint_table(job->info, job->expert);
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
        status = table_load(file, "/embedding", &info, job->options->device, out, err);
    json_decref(meta);
    container_close(file);
    return status;
}

static Status map_table(const LoadJob *job, const char *path, Substrate *out, Err *err)
{
    const TableInfo *info = checkpoint_table(job->info, job->expert);
    Tensor shape;
    const void *data;
    TRY(container_shape(job->container, path, &shape, err));
    TRY(container_map(job->container, path, &data, err));
    void *in_place = adopt(job, data, tensor_bytes(&shape));
    if (!in_place)
        return table_load(job->container, path, info, job->options->device, out, err);
    if (shape.dtype != DTYPE_F32 && shape.dtype != DTYPE_BF16 && shape.dtype != DTYPE_U8)
        return err_set(err, "%s: %s is of type %s", container_file(job->container), path,
                       dtype_name(shape.dtype));
    *out = (Substrate){.table = shape};
    out->table.data = in_place;
    memcpy(out->hash, info->hash, sizeof out->hash);
    return STATUS_OK;
}

static Status find_table(const LoadJob *job, Substrate *out, Err *err)
{
    if (!checkpoint_table(job->info, job->expert)->stored)
        return table_elsewhere(job, out, err);
    char *path = checkpoint_table_path(job->expert);
    Status status = map_table(job, path, out, err);
    free(path);
    return status;
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

/* The rows of the table that a tied head reads on this rank. */
static Shard tied_part(const LoadJob *job, const ModelConfig *config)
{
    const ShardPlan *plan = job->options->shards;
    ParamRef ref = {.path = "head",
                    .info = head_param_info(HEAD_HEAD),
                    .layer = config->n_layers,
                    .which = HEAD_HEAD};
    bool asks = plan && config->tied_head;
    return asks ? plan->part(plan->context, job->expert, config, &ref) : (Shard){0};
}

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
    Shard tied = tied_part(job, config);
    model_options.tied_begin = tied.begin;
    model_options.tied_count = tied.count;
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
        int64_t owner = info->experts[i].table_of;
        Status status =
            load_expert(job, owner < i ? &ensemble->experts[owner]->substrate : NULL, err);
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
    Status status = STATUS_OK;
    if (options->extension)
        status = checkpoint_info_extend(&info, options->extension, err);
    if (status == STATUS_OK)
        status = read_experts(&job, ensemble, err);
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
