#include "core/comm/plugins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/plugin.h"

static int number_of(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

CommLaunch comm_launch(void)
{
    return (CommLaunch){.rank = number_of("OMPI_COMM_WORLD_RANK", 0),
                        .size = number_of("OMPI_COMM_WORLD_SIZE", 1),
                        .local_rank = number_of("OMPI_COMM_WORLD_LOCAL_RANK", 0),
                        .local_size = number_of("OMPI_COMM_WORLD_LOCAL_SIZE", 1)};
}

Status comm_mpi_new(const Backend *ops, Comm **out, Err *err)
{
    CommMpiNew *make;
    void *symbol = plugin_symbol("cambium_mpi.so", "cambium_mpi_new", err);
    if (!symbol)
        return err_wrap(err, "no MPI here (install libopenmpi-dev and build again)");
    memcpy(&make, &symbol, sizeof make);
    return make(ops, out, err);
}

Status comm_nccl_new(Comm *over, const Device *device, Comm **out, Err *err)
{
    CommNcclNew *make;
    *out = NULL;
    if (!device->ops->native_stream)
        return err_set(err,
                       "NCCL joins GPUs, and this device is %s; use --comm mpi or --device "
                       "cuda",
                       device->ops->name);
    void *symbol = plugin_symbol("cambium_nccl.so", "cambium_nccl_new", err);
    if (!symbol)
        return err_wrap(err, "no NCCL here (it is built where nvcc and nccl.h are found)");
    memcpy(&make, &symbol, sizeof make);
    return make(over, device, out, err);
}

Status comm_describe(const char *kind, char *text, size_t size, Err *err)
{
    char file[64];
    CommPluginDescribe *describe;
    snprintf(file, sizeof file, "cambium_%s.so", kind);
    void *symbol = plugin_symbol(file, "cambium_describe", err);
    if (!symbol)
        return STATUS_FAIL;
    memcpy(&describe, &symbol, sizeof describe);
    describe(text, size);
    return STATUS_OK;
}
