#include "core/cli/load_model.h"

#include <string.h>

#include "core/base/isa.h"
#include "core/io/checkpoint.h"
#include "core/tensor/libraries.h"

DType dtype_for_device(const Device *device)
{
    bool native = strcmp(device->ops->name, "cpu") != 0 || cpu_isa() == ISA_AVX512BF16;
    return native ? DTYPE_BF16 : DTYPE_F32;
}

Status load_model_types(const LoadSettings *settings, const Device *device, LoadTypes *out,
                        Err *err)
{
    DType fast = dtype_for_device(device);
    out->weights = fast;
    if (strcmp(settings->weights, "auto") != 0)
        TRY(dtype_parse(settings->weights, &out->weights, err));
    out->compute = out->kv = out->weights == DTYPE_I8 ? fast : out->weights;
    return strcmp(settings->kv, "auto") == 0 ? STATUS_OK : dtype_parse(settings->kv, &out->kv, err);
}

Status load_model(LoadedModel *model, const char *path, const LoadSettings *settings, Err *err)
{
    Device device;
    *model = (LoadedModel){0};
    TRY(device_open_requiring(&device, settings->device, settings->require, err));
    return load_model_on(model, path, settings, &device, NULL, err);
}

Status load_model_on(LoadedModel *model, const char *path, const LoadSettings *settings,
                     const Device *device, const ShardPlan *shards, Err *err)
{
    *model = (LoadedModel){.device = *device};
    LoadTypes types;
    Status status = load_model_types(settings, &model->device, &types, err);
    if (status == STATUS_OK) {
        LoadOptions options = {.device = &model->device,
                               .weights = types.weights,
                               .compute = types.compute,
                               .shards = shards,
                               .table = settings->table,
                               .extension = &settings->rope};
        model->kv_dtype = types.kv;
        status = ensemble_load(&model->ensemble, &model->tokenizer, path, &options, err);
    }
    if (status != STATUS_OK)
        load_model_close(model);
    return status;
}

void load_model_close(LoadedModel *model)
{
    ensemble_free(model->ensemble);
    tokenizer_free(model->tokenizer);
    device_close(&model->device);
    *model = (LoadedModel){0};
}
