#include "infer/plan/plan_model.h"

#include <string.h>

#include "core/base/file.h"
#include "core/io/checkpoint.h"
#include "infer/plan/roofline.h"

/* Shapes as published with the weights. */
static const PlanModel presets[] = {
    {.name = "llama-405b",
     .vocab = 128256,
     .n_embed = 16384,
     .n_stacks = 1,
     .stacks = {{.n_layers = 126,
                 .n_dense = 126,
                 .d_model = 16384,
                 .n_heads = 128,
                 .n_kv_heads = 8,
                 .head_dim = 128,
                 .d_ff = 53248,
                 .ffn_matrices = 3}}},
    {.name = "llama-70b",
     .vocab = 128256,
     .n_embed = 8192,
     .n_stacks = 1,
     .stacks = {{.n_layers = 80,
                 .n_dense = 80,
                 .d_model = 8192,
                 .n_heads = 64,
                 .n_kv_heads = 8,
                 .head_dim = 128,
                 .d_ff = 28672,
                 .ffn_matrices = 3}}},
    {.name = "llama-8b",
     .vocab = 128256,
     .n_embed = 4096,
     .n_stacks = 1,
     .stacks = {{.n_layers = 32,
                 .n_dense = 32,
                 .d_model = 4096,
                 .n_heads = 32,
                 .n_kv_heads = 8,
                 .head_dim = 128,
                 .d_ff = 14336,
                 .ffn_matrices = 3}}},
    {.name = "deepseek-r1",
     .vocab = 129280,
     .n_embed = 7168,
     .n_stacks = 1,
     .stacks = {{.n_layers = 61,
                 .n_dense = 3,
                 .d_model = 7168,
                 .n_heads = 128,
                 .n_kv_heads = 1,
                 .head_dim = 128,
                 .d_ff = 18432,
                 .ffn_matrices = 3,
                 .latent = {.q_rank = 1536, .kv_rank = 512, .rope = 64, .value = 128},
                 .routing = {.n_experts = 256, .n_shared = 1, .active = 8, .d_ff = 2048}}}},
};

bool plan_model_preset(const char *name, PlanModel *out)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i];
            return true;
        }
    return false;
}

Status plan_model_of(const char *name, const ModelConfig *const *configs, int64_t n, PlanModel *out,
                     Err *err)
{
    if (n < 1 || n > PLAN_STACKS)
        return err_set(err, "%s has %lld experts; a plan takes 1 to %d", name, (long long)n,
                       PLAN_STACKS);
    *out =
        (PlanModel){.vocab = configs[0]->vocab_size, .n_embed = configs[0]->n_embed, .n_stacks = n};
    snprintf(out->name, sizeof out->name, "%s", name);
    for (int64_t i = 0; i < n; i++) {
        const ModelConfig *c = configs[i];
        out->stacks[i] = (PlanStack){.n_layers = c->n_layers,
                                     .n_dense = c->n_layers,
                                     .d_model = c->d_model,
                                     .n_heads = c->n_heads,
                                     .n_kv_heads = c->n_kv_heads,
                                     .head_dim = c->head_dim,
                                     .d_ff = c->d_ff,
                                     .ffn_matrices = c->act == ACT_SWIGLU ? 3 : 2,
                                     .tied_head = c->tied_head};
    }
    return STATUS_OK;
}

Status plan_model_read(const char *path, PlanModel *out, Err *err)
{
    Container *container;
    CheckpointInfo info;
    TRY(container_open(&container, path, err));
    Status status = checkpoint_info_read(container, &info, err);
    if (status == STATUS_OK) {
        const ModelConfig *configs[PLAN_STACKS];
        for (int64_t i = 0; i < info.n_experts && i < PLAN_STACKS; i++)
            configs[i] = &info.experts[i].config;
        status = plan_model_of(file_base_name(path), configs, info.n_experts, out, err);
        for (int64_t i = 1; status == STATUS_OK && i < info.n_experts; i++)
            if (info.experts[i].table_of == i)
                out->n_embed += info.experts[i].config.n_embed;
        checkpoint_info_clear(&info);
    }
    container_close(container);
    return status;
}

int64_t plan_model_experts(const PlanModel *model)
{
    int64_t routed = model->stacks[0].routing.n_experts;
    return model->n_stacks > 1 ? model->n_stacks : routed > 0 ? routed : 1;
}

int64_t plan_model_layers(const PlanModel *model)
{
    int64_t most = 0;
    for (int64_t i = 0; i < model->n_stacks; i++)
        most = model->stacks[i].n_layers > most ? model->stacks[i].n_layers : most;
    return most;
}

int64_t plan_model_kv_heads(const PlanModel *model)
{
    int64_t fewest = model->stacks[0].n_kv_heads;
    for (int64_t i = 1; i < model->n_stacks; i++)
        fewest = model->stacks[i].n_kv_heads < fewest ? model->stacks[i].n_kv_heads : fewest;
    return fewest;
}

double plan_model_kv_bytes(const PlanModel *model, PlanType type)
{
    double bytes = 0.0;
    for (int64_t i = 0; i < model->n_stacks; i++)
        bytes +=
            (double)model->stacks[i].n_layers * kv_bytes(&model->stacks[i], type, 1.0, 1.0, 1, 1);
    return bytes;
}

double plan_model_params(const PlanModel *model)
{
    double params = (double)(model->vocab * model->n_embed);
    for (int64_t i = 0; i < model->n_stacks; i++) {
        const PlanStack *s = &model->stacks[i];
        double mixed = (double)(s->n_layers - s->n_dense);
        params +=
            (double)s->n_layers * attention_elements(s, 1, 1) +
            (double)s->n_dense * dense_elements(s, 1) +
            mixed * (shared_elements(s, 1) + (double)s->routing.n_experts * expert_elements(s, 1)) +
            (s->tied_head ? 0.0 : (double)(model->vocab * s->d_model));
    }
    return params;
}
