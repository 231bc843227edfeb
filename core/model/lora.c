/* Low-rank pairs (Hu et al., 2021): added to a grown model, and folded back into it. */
#include "core/base/mem.h"
#include "core/model/model_parts.h"

/* The numbers of the pairs do not repeat those of the blocks under one seed. */
static const uint64_t LORA_SALT = 0x10ca;

static void drop_pairs(Model *model)
{
    model->config.lora_rank = 0;
    model->config.lora_alpha = 0.0;
    for (int64_t l = 0; l < model->config.n_layers; l++) {
        params_release(model, &model->blocks[l].lora_memory);
        lora_shapes(model, &model->blocks[l]);
    }
}

Status lora_start(Model *model, int64_t layer, uint64_t seed, Err *err)
{
    Block *block = &model->blocks[layer];
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        Param *a = &block->lora_a[i], *b = &block->lora_b[i];
        uint64_t stream = (uint64_t)(layer * BLOCK_PARAM_COUNT + i);
        TRY(param_start(model, a, 0.0f, 0.02, seed ^ LORA_SALT, stream, err));
        TRY(param_start(model, b, 0.0f, 0.0, seed, stream, err));
    }
    return STATUS_OK;
}

Status model_add_lora(Model *model, int64_t rank, double alpha, uint64_t seed, Err *err)
{
    if (model->config.lora_rank > 0)
        return err_set(err, "the model has LoRA pairs of rank %lld already; train these",
                       (long long)model->config.lora_rank);
    ModelConfig config = model->config;
    config.lora_rank = rank;
    config.lora_alpha = alpha;
    TRY(model_config_check(&config, err));
    model->config = config;
    for (int64_t l = 0; l < config.n_layers; l++) {
        lora_shapes(model, &model->blocks[l]);
        TRY(block_allocate(model, l, err));
        TRY(lora_start(model, l, seed, err));
    }
    return STATUS_OK;
}

/* W += alpha / rank * B A for one matrix. The product of float32 masters has no scale factor, so B
 * is scaled first: it is dropped afterwards anyway. */
static void fold_one(Model *model, Param *w, const Param *a, const Param *b)
{
    const Backend *ops = model->device.ops;
    float scale = (float)(model->config.lora_alpha / (double)model->config.lora_rank);
    WeightedSumArgs scaled = {.x = &b->master, .weights = &scale, .n = 1, .y = b->master};
    ops->weighted_sum(model->device.queue, &scaled);
    GemmArgs product = {.a = b->master, .b = a->master, .c = w->master, .accumulate = true};
    ops->gemm(model->device.queue, &product);
    model_refresh(model, w);
    /* What was frozen were the values without the pair. */
    w->frozen = false;
    w->hash[0] = w->weight_hash[0] = '\0';
}

Status model_fold_lora(Model *model, Err *err)
{
    for (int64_t l = 0; l < model->config.n_layers; l++)
        for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
            const Block *block = &model->blocks[l];
            if (param_exists(&block->lora_a[i]) &&
                !(block->params[i].master.data && block->lora_a[i].master.data))
                return err_set(err,
                               "the masters of block %lld were released; load the model again "
                               "before folding",
                               (long long)l);
        }
    for (int64_t l = 0; l < model->config.n_layers; l++)
        for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
            Block *block = &model->blocks[l];
            if (param_exists(&block->lora_a[i]))
                fold_one(model, &block->params[i], &block->lora_a[i], &block->lora_b[i]);
        }
    TRY(model->device.ops->queue_wait(model->device.queue, err));
    drop_pairs(model);
    return STATUS_OK;
}
