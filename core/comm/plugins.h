/* What the communicator plug-ins export: each defines one function of these types. */
#ifndef CAMBIUM_CORE_COMM_PLUGINS_H
#define CAMBIUM_CORE_COMM_PLUGINS_H

#include "core/comm/comm.h"

/* cambium_mpi.so: `cambium_mpi_new`; see comm_mpi_new. */
typedef Status CommMpiNew(const Backend *ops, Comm **out, Err *err);
CommMpiNew cambium_mpi_new;

/* cambium_nccl.so: `cambium_nccl_new`; see comm_nccl_new. */
typedef Status CommNcclNew(Comm *over, const Device *device, Comm **out, Err *err);
CommNcclNew cambium_nccl_new;

/* Both: the library behind the plug-in, for people. Starts nothing. */
typedef void CommPluginDescribe(char *text, size_t size);
CommPluginDescribe cambium_describe;

#endif
