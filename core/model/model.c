#include "core/model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/model/model_parts.h"

/* ---- shapes --------------------------------------------------------------------------------- */

static void param_shape(Param *param, Tensor shape, DType weights)
{
    *param = (Param){.master = shape, .weight = shape};
    if (shape.n_dims != 2)
        return;
    param->weight.dtype = weights;
    if (weights == DTYPE_I8)
        param->scales = tensor_1d(NULL, DTYPE_F32, shape.shape[0]);
}

static void block_shapes(const Model *model, Block *block)
{
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++)
        param_shape(&block->params[i], block_param_shape(&model->config, i), model->weights);
}

void lora_shapes(const Model *model, Block *block)
{
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        param_shape(&block->lora_a[i], lora_a_shape(&model->config, i), model->compute);
        param_shape(&block->lora_b[i], lora_b_shape(&model->config, i), model->compute);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static void place(Tensor *tensor, Arena *arena)
{
    void *data = arena_take(arena, tensor_bytes(tensor));
    if (arena->base)
        tensor->data = data;
}

/* Takes what the parameters of a group lack; measures when the arena has no memory. */
static void plan_weights(Param *params, int n, Arena *arena)
{
    for (int i = 0; i < n; i++) {
        Param *p = &params[i];
        if (!param_exists(p) || p->weight.data)
            continue;
        place(&p->weight, arena);
        if (p->scales.n_dims)
            place(&p->scales, arena);
    }
}

static void plan_masters(Param *params, int n, Arena *arena)
{
    for (int i = 0; i < n; i++)
        if (param_exists(&params[i]) && params[i].weight.dtype != DTYPE_F32)
            place(&params[i].master, arena);
}

typedef void PlanFn(Param *params, int n, Arena *arena);

static Status fill_memory(const Model *model, PlanFn *plan, Param *const groups[], int n_groups,
                          int n, void **memory, const char *what, Err *err)
{
    Arena arena;
    arena_init(&arena, NULL, 0);
    for (int i = 0; i < n_groups; i++)
        plan(groups[i], n, &arena);
    if (arena.used == 0)
        return STATUS_OK;
    size_t bytes = arena.used;
    TRY(model->device.ops->alloc(memory, bytes, what, err));
    arena_init(&arena, *memory, bytes);
    for (int i = 0; i < n_groups; i++)
        plan(groups[i], n, &arena);
    return STATUS_OK;
}

Status params_allocate(const Model *model, Param *const groups[], int n_groups, int n,
                       ParamMemory *memory, const char *what, Err *err)
{
    if (!memory->weights)
        TRY(fill_memory(model, plan_weights, groups, n_groups, n, &memory->weights, what, err));
    if (model->masters && !memory->masters)
        TRY(fill_memory(model, plan_masters, groups, n_groups, n, &memory->masters, what, err));
    for (int g = 0; g < n_groups; g++)
        for (int i = 0; i < n; i++)
            if (groups[g][i].weight.dtype == DTYPE_F32)
                groups[g][i].master.data = groups[g][i].weight.data;
    return STATUS_OK;
}

void params_release(const Model *model, ParamMemory *memory)
{
    if (memory->weights)
        model->device.ops->free(memory->weights);
    if (memory->masters)
        model->device.ops->free(memory->masters);
    *memory = (ParamMemory){0};
}

Status block_allocate(Model *model, int64_t layer, Err *err)
{
    Block *block = &model->blocks[layer];
    Param *const base[] = {block->params};
    Param *const lora[] = {block->lora_a, block->lora_b};
    TRY(params_allocate(model, base, 1, BLOCK_PARAM_COUNT, &block->memory, "a block's weights",
                        err));
    return params_allocate(model, lora, 2, BLOCK_PARAM_COUNT, &block->lora_memory, "LoRA pairs",
                           err);
}

Status model_allocate(Model *model, Err *err)
{
    for (int64_t l = 0; l < model->config.n_layers; l++)
        TRY(block_allocate(model, l, err));
    Param *const head[] = {model->head};
    TRY(params_allocate(model, head, 1, HEAD_PARAM_COUNT, &model->head_memory, "the head", err));
    if (!param_exists(&model->embedding))
        return STATUS_OK;
    Param *const embedding[] = {&model->embedding};
    TRY(params_allocate(model, embedding, 1, 1, &model->embedding_memory, "the embedding table",
                        err));
    Substrate learned = {.table = model->embedding.weight};
    return model_take_table(model, &learned, err);
}

/* The head of a tied model reads the table, or a copy of it in the weight type. */
static Status tie_head(Model *model, Err *err)
{
    Param *head = &model->head[HEAD_HEAD];
    if (!model->config.tied_head)
        return STATUS_OK;
    if (model->substrate.table.dtype == DTYPE_U8)
        return err_set(err, "model: a tied head cannot read a table of bits; untie it");
    Tensor rows = tensor_slice(&model->substrate.table, model->tied_begin, model->tied_count);
    if (rows.dtype == model->weights) {
        head->weight = rows;
        return STATUS_OK;
    }
    param_shape(head, tensor_2d(NULL, DTYPE_F32, rows.shape[0], rows.shape[1]), model->weights);
    params_release(model, &model->tied_memory);
    Param *const group[] = {head};
    TRY(fill_memory(model, plan_weights, group, 1, 1, &model->tied_memory.weights, "the tied head",
                    err));
    model_refresh(model, head);
    return STATUS_OK;
}

Status model_take_table(Model *model, const Substrate *substrate, Err *err)
{
    const Tensor *table = &substrate->table;
    if (table->n_dims != 2 || table->shape[0] != model->config.vocab_size ||
        table->shape[1] != model->config.n_embed)
        return err_set(err, "model: the table is %lld x %lld and the model wants %lld x %lld",
                       (long long)table->shape[0], (long long)table->shape[1],
                       (long long)model->config.vocab_size, (long long)model->config.n_embed);
    model->substrate = *substrate;
    return tie_head(model, err);
}

static Status make_inv_freq(Model *model, Err *err)
{
    int64_t half = model->config.head_dim / 2;
    float *host = xmalloc((size_t)half * sizeof *host);
    rope_frequencies(model->config.rope_base, half, &model->config.rope_scaling, host);
    model->inv_freq = tensor_1d(NULL, DTYPE_F32, half);
    Status status = device_tensor(&model->device, &model->inv_freq, "rotary frequencies", err);
    if (status == STATUS_OK)
        status = device_upload(&model->device, &model->inv_freq, host, err);
    free(host);
    return status;
}

Status model_new(Model **out, const ModelConfig *config, const ModelOptions *options, Err *err)
{
    TRY(model_config_check(config, err));
    CHECK(options->weights == options->compute || options->weights == DTYPE_I8, "weights of %s",
          dtype_name(options->weights));
    Model *model = xcalloc(1, sizeof *model);
    *out = NULL;
    model->config = *config;
    model->device = *options->device;
    model->compute = options->compute;
    model->weights = options->weights;
    model->masters = options->masters;
    model->tied_begin = options->tied_begin;
    model->tied_count = options->tied_count ? options->tied_count : config->vocab_size;
    model->blocks = xcalloc((size_t)config->n_layers, sizeof *model->blocks);
    for (int64_t l = 0; l < config->n_layers; l++) {
        block_shapes(model, &model->blocks[l]);
        lora_shapes(model, &model->blocks[l]);
    }
    for (int i = 0; i < HEAD_PARAM_COUNT; i++)
        param_shape(&model->head[i], head_param_shape(config, i), model->weights);
    Status status = make_inv_freq(model, err);
    if (status == STATUS_OK && options->shared) {
        Substrate borrowed = *options->shared;
        borrowed.owned = false;
        status = model_take_table(model, &borrowed, err);
    } else if (config->embedding == EMBEDDING_LEARNED) {
        param_shape(&model->embedding,
                    tensor_2d(NULL, DTYPE_F32, config->vocab_size, config->n_embed), DTYPE_F32);
    }
    if (status == STATUS_OK && !options->unallocated)
        status = model_allocate(model, err);
    if (status != STATUS_OK)
        model_free(model);
    else
        *out = model;
    return status;
}

void model_free(Model *model)
{
    if (!model)
        return;
    for (int64_t l = 0; l < model->config.n_layers; l++) {
        params_release(model, &model->blocks[l].memory);
        params_release(model, &model->blocks[l].lora_memory);
    }
    free(model->blocks);
    params_release(model, &model->head_memory);
    params_release(model, &model->embedding_memory);
    params_release(model, &model->tied_memory);
    if (model->substrate.owned && model->substrate.table.data)
        model->device.ops->free(model->substrate.table.data);
    if (model->inv_freq.data)
        model->device.ops->free(model->inv_freq.data);
    if (model->backing_free)
        model->backing_free(model->backing);
    free(model);
}

Status model_add_blocks(Model *model, int64_t count, Err *err)
{
    int64_t old = model->config.n_layers;
    model->blocks = xrealloc(model->blocks, (size_t)(old + count) * sizeof *model->blocks);
    memset(model->blocks + old, 0, (size_t)count * sizeof *model->blocks);
    model->config.n_layers = old + count;
    for (int64_t l = old; l < old + count; l++) {
        block_shapes(model, &model->blocks[l]);
        lora_shapes(model, &model->blocks[l]);
        TRY(block_allocate(model, l, err));
    }
    return STATUS_OK;
}

/* ---- visiting ------------------------------------------------------------------------------- */

typedef struct Visit {
    ParamVisitor *visit;
    void *context;
    char path[96];
} Visit;

static Status visit_one(Visit *visit, Param *param, ParamInfo info, int64_t layer, int which,
                        LoraSide lora, Err *err)
{
    if (!param_exists(param))
        return STATUS_OK;
    ParamRef ref = {visit->path, info, param, layer, which, lora};
    return visit->visit(visit->context, &ref, err);
}

static Status visit_block(Visit *visit, Block *block, int64_t layer, Err *err)
{
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        ParamInfo info = block_param_info(i);
        Param *const params[] = {&block->params[i], &block->lora_a[i], &block->lora_b[i]};
        static const char *const suffixes[] = {"", "_lora_a", "_lora_b"};
        for (int k = 0; k < 3; k++) {
            snprintf(visit->path, sizeof visit->path, "blocks/%lld/%s%s", (long long)layer,
                     info.name, suffixes[k]);
            /* Pairs are small and already pull towards zero change: no decay (Hu et al., 2021). */
            ParamInfo own = {info.name, k == 1 ? START_NORMAL : START_ZERO, false};
            TRY(visit_one(visit, params[k], k ? own : info, layer, i, (LoraSide)k, err));
        }
    }
    return STATUS_OK;
}

Status model_visit(Model *model, ParamVisitor *fn, void *context, Err *err)
{
    Visit visit = {.visit = fn, .context = context};
    snprintf(visit.path, sizeof visit.path, "embedding");
    ParamInfo info = {"embedding", START_NORMAL, false};
    TRY(visit_one(&visit, &model->embedding, info, -1, 0, LORA_NONE, err));
    for (int64_t l = 0; l < model->config.n_layers; l++)
        TRY(visit_block(&visit, &model->blocks[l], l, err));
    for (int i = 0; i < HEAD_PARAM_COUNT; i++) {
        if (i == HEAD_HEAD && model->config.tied_head)
            continue;
        info = head_param_info(i);
        snprintf(visit.path, sizeof visit.path, "%s", info.name);
        TRY(visit_one(&visit, &model->head[i], info, model->config.n_layers, i, LORA_NONE, err));
    }
    return STATUS_OK;
}
