#include "core/comm/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/tensor/libraries.h"

static void silence(FILE *stream)
{
    if (!freopen("/dev/null", "w", stream))
        fclose(stream);
}

/* ---- which GPU ------------------------------------------------------------------------------ */

/* The names of the GPUs that processes may use, by their place: those of CUDA_VISIBLE_DEVICES, or
 * the numbers of all. Returns how many there are, and writes the one at `wanted` (modulo). */
static int choose_gpu(int wanted, char *name, size_t size)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    int count = 0;
    if (!list) {
        char path[32];
        while (snprintf(path, sizeof path, "/dev/nvidia%d", count), access(path, F_OK) == 0)
            count++;
        snprintf(name, size, "%d", count > 0 ? wanted % count : 0);
        return count;
    }
    for (const char *at = list; *at; count++)
        at += strcspn(at, ",") + (strchr(at, ',') != NULL);
    const char *at = list;
    for (int i = 0; count > 0 && i < wanted % count; i++)
        at = strchr(at, ',') + 1;
    snprintf(name, size, "%.*s", (int)strcspn(at, ","), at);
    return count;
}

/* Each process of a machine takes a GPU of its own as long as there are enough. Must run before
 * anything looks for GPUs. Returns whether there are. */
static bool take_gpu(const CommLaunch *launch)
{
    char name[64];
    int count = choose_gpu(launch->local_rank, name, sizeof name);
    if (count > 0)
        setenv("CUDA_VISIBLE_DEVICES", name, 1);
    return count >= launch->local_size && count > 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static Status open_processes(Ranks *ranks, Device *device, const RanksWish *wish, Err *err)
{
    CommLaunch launch = comm_launch();
    bool own_gpus = strcmp(wish->device, "cpu") != 0 && take_gpu(&launch);
    /* The others must hear of a device that cannot be opened: they meet on the CPU. */
    const Backend *ops;
    Err device_err = {.text = ""};
    Status status = device_open_requiring(device, wish->device, wish->require, &device_err);
    TRY(backend_open("cpu", &ops, err));
    TRY(comm_mpi_new(status == STATUS_OK ? device->ops : ops, &ranks->comm, err));
    ranks->count = ranks->comm->size;
    if (status != STATUS_OK)
        *err = device_err;
    else if (wish->count_given && wish->count != ranks->count)
        status = err_usage(
            err, "--ranks %lld, but mpirun started %d; leave --ranks out, or use mpirun -n %lld",
            (long long)wish->count, ranks->count, (long long)wish->count);
    TRY(ranks_agree(ranks, status, err));
    bool automatic = strcmp(wish->kind, "auto") == 0 && ranks->count > 1 && own_gpus &&
                     device->ops->native_stream;
    if (!automatic && strcmp(wish->kind, "nccl") != 0)
        return STATUS_OK;
    ranks->over = ranks->comm;
    status = comm_nccl_new(ranks->over, device, &ranks->comm, err);
    if (status != STATUS_OK)
        ranks->comm = ranks->over, ranks->over = NULL;
    return ranks_agree(ranks, status, err);
}

Status ranks_open(Ranks *ranks, Device *device, const RanksWish *wish, Err *err)
{
    CommLaunch launch = comm_launch();
    bool threads = strcmp(wish->kind, "threads") == 0;
    *ranks = (Ranks){.count = (int)wish->count, .is_first = launch.rank == 0};
    if (!ranks->is_first) {
        log_set_level(LOG_QUIET);
        silence(stdout);
    }
    if (threads && launch.size > 1) {
        if (!ranks->is_first) { /* all say the same, and mpirun ends all when one has failed */
            silence(stderr);
            usleep(500000); /* the first has said it by then */
        }
        return err_usage(err,
                         "--comm threads, but mpirun started %d processes; leave --comm out, or "
                         "start one process",
                         launch.size);
    }
    if (!threads && (launch.size > 1 || strcmp(wish->kind, "auto") != 0))
        return open_processes(ranks, device, wish, err);
    return device_open_requiring(device, wish->device, wish->require, err);
}

/* ---- together ------------------------------------------------------------------------------- */

Status ranks_agree(Ranks *ranks, Status status, Err *err)
{
    if (!ranks->comm)
        return status;
    Comm *comm = ranks->over ? ranks->over : ranks->comm;
    double failed = status == STATUS_FAIL ? comm->size - comm->rank : 0.0;
    Err broken;
    if (comm_max_host(comm, &failed, 1, &broken) != STATUS_OK) {
        ranks->in_phase = true; /* nobody hears of anything any more */
        if (status != STATUS_FAIL)
            *err = broken;
        return STATUS_FAIL;
    }
    if (failed == 0.0)
        return status;
    ranks->is_over = true;
    if ((int)failed == comm->size - comm->rank)
        return STATUS_FAIL;
    ranks->is_silent = true;
    silence(stderr);
    return err_set(err, "another rank failed");
}

Status ranks_close(Ranks *ranks, Device *device, Status status, Err *err)
{
    char host[64] = "";
    if (ranks->comm && !ranks->is_over && !ranks->in_phase)
        status = ranks_agree(ranks, status, err);
    if (ranks->comm && status == STATUS_FAIL) {
        gethostname(host, sizeof host - 1);
        err_wrap(err, "rank %d of %d (%s)", ranks->comm->rank, ranks->count, host);
    }
    if (ranks->comm && ranks->in_phase)
        comm_abort(ranks->comm);
    else if (!ranks->is_first && status != STATUS_FAIL)
        silence(stderr);
    comm_free(ranks->comm);
    if (ranks->comm && ranks->in_phase && ranks->over)
        comm_abort(ranks->over);
    comm_free(ranks->over);
    if (ranks->is_silent)
        status = STATUS_OK;
    *ranks = (Ranks){0};
    device_close(device);
    return status;
}
