#include "infer/helix/memory.h"

#include <stdlib.h>

/* Whether the weights stay in the mapped file, whose pages all ranks of a machine share. */
static bool stay_mapped(const HelixMemory *m, DType weights)
{
    Tensor stored;
    Err ignored;
    bool in_host = !m->device->ops->memory;
    return in_host &&
           container_shape(m->file, "/experts/0/blocks/0/attn_q", &stored, &ignored) == STATUS_OK &&
           stored.dtype == weights;
}

static double expert_bytes(const ModelConfig *c, DType weights, int64_t copies)
{
    ModelSize size = model_size(c);
    int64_t head = c->tied_head ? c->vocab_size * c->d_model : size.head;
    int64_t qkv = c->d_model * c->head_dim * (c->n_heads + 2 * c->n_kv_heads);
    int64_t elements =
        head + c->n_layers * (size.block + size.lora + (copies > 1 ? (copies - 1) * qkv : 0));
    return (double)elements * (double)dtype_bytes(weights);
}

/* Of all tables of the file. */
static double table_bytes(const HelixMemory *m)
{
    double bytes = 0.0;
    for (int64_t i = 0; i < m->info->n_experts; i++) {
        const ModelConfig *c = &m->info->experts[i].config;
        if (m->info->experts[i].table_of != i)
            continue;
        char *path = checkpoint_table_path(i);
        const ContainerEntry *entry = container_find(m->file, path);
        free(path);
        DType type = entry && !entry->is_text ? entry->shape.dtype : DTYPE_F32;
        bytes += (double)(c->vocab_size * c->n_embed) * (double)dtype_bytes(type);
    }
    return bytes;
}

Status helix_memory_budget(const HelixMemory *m, MemoryBudget *out, Err *err)
{
    LoadTypes types;
    TRY(load_model_types(m->load, m->device, &types, err));
    int64_t copies = stay_mapped(m, types.weights) ? 1 : m->kvp;
    double bytes = 0.0;
    for (int64_t i = 0; i < m->info->n_experts; i++)
        bytes += expert_bytes(&m->info->experts[i].config, types.weights, copies);
    *out = (MemoryBudget){.bytes = m->asked > 0.0 ? m->asked : device_free_bytes(m->device),
                          .bytes_weights =
                              bytes * (double)m->local / (double)m->ranks + table_bytes(m),
                          .ranks = m->local,
                          .asked = m->asked > 0.0};
    return budget_check_weights(out, err);
}
