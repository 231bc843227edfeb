/* What trains and what must not change. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/model/model.h"

enum { HASH_PIECE = 4 << 20 }; /* bytes downloaded at a time */

static Status tensor_hash(const Model *model, const Tensor *tensor, Sha256 *out, Err *err)
{
    int64_t rows = tensor->shape[0];
    size_t row_bytes = tensor_bytes(tensor) / (size_t)rows;
    int64_t step = (int64_t)(HASH_PIECE / row_bytes) > 0 ? (int64_t)(HASH_PIECE / row_bytes) : 1;
    void *host = xmalloc((size_t)step * row_bytes);
    HashStream *stream = hash_new();
    Status status = STATUS_OK;
    for (int64_t row = 0; row < rows && status == STATUS_OK; row += step) {
        Tensor piece = tensor_slice(tensor, row, rows - row < step ? rows - row : step);
        status = device_download(&model->device, &piece, host, err);
        hash_update(stream, host, tensor_bytes(&piece));
    }
    *out = hash_finish_free(stream);
    free(host);
    return status;
}

Status model_param_hash(const Model *model, const Param *param, bool weight, Sha256 *out, Err *err)
{
    const Tensor *tensor = weight ? &param->weight : &param->master;
    if (!tensor->data)
        return err_set(err, "the float32 values of a frozen parameter are not in memory");
    return tensor_hash(model, tensor, out, err);
}

static bool trains(const TrainSet *set, const ParamRef *ref, int64_t n_layers)
{
    if (ref->lora)
        return set->lora;
    if (ref->layer < 0)
        return set->embedding;
    if (ref->layer == n_layers)
        return set->head;
    return ref->layer >= set->block_begin && ref->layer < set->block_end;
}

typedef struct SetTrained {
    Model *model;
    const TrainSet *set;
} SetTrained;

static Status note_hashes(const Model *model, const ParamRef *ref, Err *err)
{
    Param *param = ref->param;
    Sha256 hash;
    char text[SHA256_TEXT];
    if (param->master.data) {
        TRY(model_param_hash(model, param, false, &hash, err));
        hash_text(&hash, text);
        if (param->frozen && param->hash[0] && strcmp(param->hash, text) != 0)
            return err_set(err, "%s is frozen, yet its values are not those that were frozen",
                           ref->path);
        memcpy(param->hash, text, sizeof text);
    }
    if (param->master.data != param->weight.data || !param->hash[0]) {
        TRY(model_param_hash(model, param, true, &hash, err));
        hash_text(&hash, text);
    }
    memcpy(param->weight_hash, text, sizeof text);
    return STATUS_OK;
}

static Status set_one(void *context, const ParamRef *ref, Err *err)
{
    const SetTrained *job = context;
    Param *param = ref->param;
    if (trains(job->set, ref, job->model->config.n_layers)) {
        if (!param->master.data)
            return err_set(err,
                           "%s is to train, but its float32 values were released when it "
                           "froze; load the model again",
                           ref->path);
        param->frozen = false;
        param->hash[0] = param->weight_hash[0] = '\0';
        return STATUS_OK;
    }
    TRY(note_hashes(job->model, ref, err));
    param->frozen = true;
    return STATUS_OK;
}

static void release_masters(Model *model, Param *params, int n, ParamMemory *memory)
{
    for (int i = 0; i < n; i++)
        if (param_exists(&params[i]) && params[i].weight.dtype != DTYPE_F32 && !params[i].frozen)
            return;
    if (!memory->masters)
        return;
    for (int i = 0; i < n; i++)
        if (params[i].weight.dtype != DTYPE_F32)
            params[i].master.data = NULL;
    model->device.ops->free(memory->masters);
    memory->masters = NULL;
}

Status model_mark_trained(Model *model, const TrainSet *set, Err *err)
{
    CHECK(set->block_begin >= 0 && set->block_begin <= set->block_end &&
              set->block_end <= model->config.n_layers,
          "blocks %lld to %lld of %lld", (long long)set->block_begin, (long long)set->block_end,
          (long long)model->config.n_layers);
    if (set->embedding && !param_exists(&model->embedding))
        return err_set(err,
                       "the embedding of this model is frozen for good (it is not learned), so "
                       "it cannot train");
    if (set->lora && model->config.lora_rank == 0)
        return err_set(err, "LoRA is to train, but the model has no LoRA pairs; give a rank");
    SetTrained job = {model, set};
    return model_visit(model, set_one, &job, err);
}

void model_release_masters(Model *model)
{
    for (int64_t l = 0; l < model->config.n_layers; l++)
        release_masters(model, model->blocks[l].params, BLOCK_PARAM_COUNT,
                        &model->blocks[l].memory);
    release_masters(model, model->head, HEAD_PARAM_COUNT, &model->head_memory);
}

Status model_set_trained(Model *model, const TrainSet *set, Err *err)
{
    TRY(model_mark_trained(model, set, err));
    model_release_masters(model);
    return STATUS_OK;
}

static Status check_one(void *context, const ParamRef *ref, Err *err)
{
    const Model *model = context;
    const Param *param = ref->param;
    if (!param->frozen)
        return STATUS_OK;
    Sha256 hash;
    char text[SHA256_TEXT];
    if (param->master.data) {
        TRY(model_param_hash(model, param, false, &hash, err));
        hash_text(&hash, text);
        if (strcmp(text, param->hash) != 0)
            return err_set(err, "%s changed although it is frozen (SHA-256 %.12s..., was %.12s...)",
                           ref->path, text, param->hash);
    }
    if (param->master.data == param->weight.data)
        return STATUS_OK;
    TRY(model_param_hash(model, param, true, &hash, err));
    hash_text(&hash, text);
    if (strcmp(text, param->weight_hash) != 0)
        return err_set(err, "%s changed although it is frozen (its %s copy)", ref->path,
                       dtype_name(param->weight.dtype));
    return STATUS_OK;
}

Status model_check_frozen(Model *model, Err *err)
{
    TRY(model_visit(model, check_one, model, err));
    const Substrate *substrate = &model->substrate;
    if (param_exists(&model->embedding) || substrate->table.dtype != DTYPE_F32 ||
        !substrate->hash[0])
        return STATUS_OK;
    Sha256 hash;
    char text[SHA256_TEXT];
    TRY(tensor_hash(model, &substrate->table, &hash, err));
    hash_text(&hash, text);
    if (strcmp(text, substrate->hash) != 0)
        return err_set(err, "the frozen embedding table changed (SHA-256 %.12s..., was %.12s...)",
                       text, substrate->hash);
    return STATUS_OK;
}
