/* What a run takes, before it takes it. */
#include "train/trainer.h"

/* Marks what trains, as model_set_trained does, on a model without values. */
typedef struct Marker {
    const TrainSet *set;
    int64_t n_layers;
    TrainPlan *plan;
} Marker;

static bool is_trained(const Marker *m, const ParamRef *ref)
{
    if (ref->layer < 0)
        return m->set->embedding;
    if (ref->lora)
        return m->set->lora;
    if (ref->layer == m->n_layers)
        return m->set->head;
    return ref->layer >= m->set->block_begin && ref->layer < m->set->block_end;
}

static Status mark(void *context, const ParamRef *ref, Err *err)
{
    (void)err;
    Marker *m = context;
    Param *param = ref->param;
    int64_t n = tensor_count(&param->master);
    param->frozen = !is_trained(m, ref);
    m->plan->params_total += n;
    m->plan->bytes_weights += tensor_bytes(&param->weight);
    if (!param->frozen) {
        m->plan->params_active += n;
        if (param->weight.dtype != DTYPE_F32)
            m->plan->bytes_weights += (size_t)n * sizeof(float);
    }
    return STATUS_OK;
}

static double backward_flops(const ModelConfig *c, const ModelFlops *f, const TrainSet *s,
                             int64_t lowest)
{
    double flops = s->head ? 2.0 * f->head : f->head; /* dx always, dW where it trains */
    for (int64_t layer = lowest; layer < c->n_layers; layer++) {
        bool trains = layer >= s->block_begin && layer < s->block_end;
        flops += (trains ? 2.0 : 1.0) * f->block + 2.0 * f->attention;
    }
    return flops;
}

static int64_t lowest_block(const ModelConfig *c, const TrainSet *s)
{
    if (s->embedding || s->lora)
        return 0;
    return s->block_end > s->block_begin ? s->block_begin : c->n_layers;
}

static Status measure(Model *model, const TrainConfig *config, TrainPlan *plan, Err *err)
{
    Grads *grads;
    TRY(grads_new(&grads, model, true, err));
    int64_t rows = config->micro_batch ? config->micro_batch : config->batch / config->ranks;
    plan->bytes_grads = tensor_bytes(&grads->flat) * (size_t)train_own_ranks(config);
    plan->bytes_moments = optimizer_bytes(grads);
    plan->bytes_activations =
        pass_bytes(model, grads, rows, config->context) * (size_t)train_own_ranks(config);
    grads_free(grads);
    return STATUS_OK;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What the device keeps beside the arguments of a pass over `rows` tokens. */
static int64_t loss_scratch(const Backend *ops, const ModelConfig *c, DType compute, int64_t rows,
                            int64_t context, bool attends)
{
    AttnShape attn = {rows / context, context, c->n_heads, c->n_kv_heads, c->head_dim};
    static char wanted; /* marks the gradients; nobody reads it */
    HeadLossArgs shapes = {.x = tensor_2d(NULL, compute, rows, c->d_model),
                           .weight = tensor_2d(NULL, compute, c->vocab_size, c->d_model),
                           .dx = tensor_2d(&wanted, DTYPE_F32, rows, c->d_model),
                           .dweight = tensor_2d(&wanted, DTYPE_F32, c->vocab_size, c->d_model)};
    return (int64_t)ops->loss_scratch(&shapes, attends ? &attn : NULL);
}

/* A checkpoint's values pass through memory in pieces, with everything else still there. */
static int64_t saving_bytes(const ModelConfig *c)
{
    int64_t largest = c->d_model * (c->vocab_size > c->d_ff ? c->vocab_size : c->d_ff);
    return smaller(largest, 4 << 20) * (int64_t)sizeof(float);
}

/* The program, its libraries and their own buffers, as measured. */
static const size_t process_bytes = 32000000;

Status train_plan(const Device *device, const ModelConfig *config, DType compute, DType table,
                  const TrainSet *trained, const TrainConfig *train, TrainPlan *out, Err *err)
{
    *out = (TrainPlan){0};
    ModelOptions options = {.device = device,
                            .compute = compute,
                            .weights = compute,
                            .masters = true,
                            .unallocated = true};
    Model *model;
    Status status = model_new(&model, config, &options, err);
    if (status == STATUS_OK) {
        Marker marker = {.set = trained, .n_layers = config->n_layers, .plan = out};
        status = model_visit(model, mark, &marker, err);
        if (status == STATUS_OK)
            status = measure(model, train, out, err);
        model_free(model);
    }
    TRY(status);
    ModelSize size = model_size(config);
    if (config->embedding != EMBEDDING_LEARNED) {
        out->params_total += size.embedding;
        out->bytes_weights += (size_t)size.embedding * dtype_bytes(table);
    }
    out->params_frozen = out->params_total - out->params_active;
    ModelFlops f = model_flops(config, train->context);
    int64_t lowest = lowest_block(config, trained);
    double backward = backward_flops(config, &f, trained, lowest);
    double block = f.block + f.attention;
    out->flops_per_token = (double)config->n_layers * block + f.head + backward;
    out->flops_per_token_cached = (double)(config->n_layers - lowest) * block + f.head + backward;
    int64_t rows = train->micro_batch ? train->micro_batch : train->batch / train->ranks;
    out->bytes_scratch = (size_t)(train_own_ranks(train) *
                                  loss_scratch(device->ops, config, compute, rows * train->context,
                                               train->context, lowest < config->n_layers));
    if (!device->ops->memory) /* what the host holds counts where it computes, too */
        out->bytes_scratch += process_bytes + (size_t)saving_bytes(config);
    out->bytes = out->bytes_weights + out->bytes_grads + out->bytes_moments +
                 out->bytes_activations + out->bytes_scratch;
    return STATUS_OK;
}
