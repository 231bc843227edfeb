#include "core/model/random_model.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

static Status give_table(Model *model, Err *err)
{
    const ModelConfig *c = &model->config;
    Substrate table = {.table = tensor_2d(NULL, DTYPE_F32, c->vocab_size, c->n_embed),
                       .owned = true};
    TRY(device_tensor(&model->device, &table.table, "the table", err));
    Rng rng;
    rng_init(&rng, 1, 1);
    float *row = xmalloc((size_t)c->n_embed * sizeof *row);
    Status status = STATUS_OK;
    for (int64_t v = 0; v < c->vocab_size && status == STATUS_OK; v++) {
        for (int64_t i = 0; i < c->n_embed; i++)
            row[i] = (float)(rng_uniform(&rng) - 0.5) * 0.1f;
        Tensor slice = tensor_slice(&table.table, v, 1);
        status = device_upload(&model->device, &slice, row, err);
    }
    free(row);
    if (status == STATUS_OK)
        return model_take_table(model, &table, err);
    model->device.ops->free(table.table.data);
    return status;
}

Status random_model_fill(Model *model, Err *err)
{
    for (int64_t l = 0; l < model->config.n_layers; l++)
        TRY(model_start_block(model, l, BLOCK_START_RANDOM, 1, err));
    TRY(model_start_head(model, 1, err));
    if (model->config.embedding == EMBEDDING_LEARNED)
        return model_start_embedding(model, 1, err);
    return give_table(model, err);
}
