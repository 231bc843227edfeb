/* The NCCL communicator beside ranks that die: its waits end. CUDA and NCCL are stand-ins, in which
 * a collective may never end, as one does on the device whose other rank is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/comm/nccl/comm_nccl.c"

#include "core/cpu/cpu.h"

/* ---- the stand-ins --------------------------------------------------------------------------- */

static atomic_bool stuck;     /* collectives do not end */
static atomic_bool busy;      /* work that they wait for does not end */
static atomic_bool unsettled; /* NCCL's calls do not end */
static atomic_int error;      /* what NCCL knows of the others */
static atomic_int aborts;

const char *cudaGetErrorString(cudaError_t code)
{
    return code ? "an error" : "none";
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    static int stream;
    (void)flags;
    *out = (cudaStream_t)(void *)&stream;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)stream, (void)event, (void)flags;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    (void)flags;
    *out = xcalloc(1, sizeof **out);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    event->collective = stream != NULL; /* the caller's stream is NULL here */
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return (event->collective ? stuck || busy : busy) ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    *out = xmalloc(bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *data)
{
    free(data);
    return cudaSuccess;
}

const char *ncclGetErrorString(ncclResult_t code)
{
    return code == ncclRemoteError ? "remote process exited" : "no error";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return "";
}

ncclResult_t ncclGetVersion(int *version)
{
    *version = 0;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    memset(id, 1, sizeof *id);
    return ncclSuccess;
}

static ncclResult_t result(void)
{
    return unsettled ? ncclInProgress : ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    static int comm;
    (void)size, (void)id, (void)rank;
    assert_int_equal(config->blocking, 0);
    *out = (ncclComm_t)(void *)&comm;
    return result();
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    (void)comm;
    return result();
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    (void)comm;
    return ncclSuccess;
}

/* The kernels end. */
ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    (void)comm;
    aborts++;
    stuck = false;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *out)
{
    (void)comm;
    *out = error ? (ncclResult_t)error : result();
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    return result();
}

ncclResult_t ncclSend(const void *data, size_t n, ncclDataType_t type, int to, ncclComm_t comm,
                      cudaStream_t stream)
{
    (void)data, (void)n, (void)type, (void)to, (void)comm, (void)stream;
    return ncclSuccess;
}

ncclResult_t ncclRecv(void *data, size_t n, ncclDataType_t type, int from, ncclComm_t comm,
                      cudaStream_t stream)
{
    return ncclSend(data, n, type, from, comm, stream);
}

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t n, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    (void)recv, (void)op;
    ncclSend(send, n, type, 0, comm, stream);
    return result();
}

ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t n, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    return ncclAllReduce(send, recv, n, type, op, comm, stream);
}

ncclResult_t ncclAllGather(const void *send, void *recv, size_t n, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    return ncclAllReduce(send, recv, n, type, ncclSum, comm, stream);
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t n, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    (void)root;
    return ncclAllReduce(send, recv, n, type, ncclSum, comm, stream);
}

/* ---- a device whose queue waits for what is stuck -------------------------------------------- */

static Backend gpu;
static Device device;
static Err failure; /* what a queue was told */
static atomic_bool told;

static void *no_stream(Queue *queue)
{
    (void)queue;
    return NULL;
}

static void queue_fail(Queue *queue, const char *why)
{
    (void)queue;
    err_set(&failure, "%s", why);
    told = true;
}

/* As cudaStreamSynchronize; ten seconds are for ever. */
static Status queue_wait(Queue *queue, Err *err)
{
    (void)queue;
    for (double end = clock_seconds() + 10.0; stuck && clock_seconds() < end;)
        pause_a_little(0.001);
    assert_false(stuck);
    if (told)
        *err = failure;
    return told ? STATUS_FAIL : STATUS_OK;
}

static Comm *over;

static int set_up(void **state)
{
    (void)state;
    stuck = busy = unsettled = told = false;
    error = aborts = 0;
    setenv("CAMBIUM_PATIENCE", "0.2", 1);
    over = comm_self_new(device.ops);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    comm_free(over);
    return 0;
}

static Comm *joined(void)
{
    Comm *comm;
    Err err = {.text = ""};
    if (cambium_nccl_new(over, &device, &comm, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return comm;
}

static Status sum(Comm *comm, Err *err)
{
    static float value;
    Tensor one = tensor_1d(&value, DTYPE_F32, 1);
    Collective what = {.kind = COLLECTIVE_ALL_REDUCE, .send = one, .recv = one};
    CommRequest request = {.what = what, .queue = device.queue};
    TRY(comm->table->start(comm, &request, err));
    return comm->table->wait(comm, &request, err);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void collectives_end(void **state)
{
    (void)state;
    Comm *comm = joined();
    Err err = {.text = ""};
    for (int i = 0; i < 100; i++)
        assert_int_equal(sum(comm, &err), STATUS_OK);
    pause_a_little(0.3);
    assert_int_equal(queue_wait(device.queue, &err), STATUS_OK);
    comm_free(comm);
    assert_int_equal(aborts, 0);
}

static void a_rank_that_never_comes_is_not_waited_for(void **state)
{
    (void)state;
    Comm *comm = joined();
    Err err = {.text = ""};
    stuck = true;
    assert_int_equal(sum(comm, &err), STATUS_OK); /* enqueued: the host goes on */
    assert_int_equal(queue_wait(device.queue, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "rank 0 of 1: an all-reduce did not end within 0.2 s"));
    err.text[0] = '\0';
    assert_int_equal(sum(comm, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "rank 0 of 1: an all-reduce did not end within 0.2 s"));
    comm_free(comm);
    assert_int_equal(aborts, 1);
}

static void a_dead_rank_that_nccl_knows_of_ends_the_wait(void **state)
{
    (void)state;
    setenv("CAMBIUM_PATIENCE", "100", 1);
    Comm *comm = joined();
    Err err = {.text = ""};
    stuck = true;
    assert_int_equal(sum(comm, &err), STATUS_OK);
    error = ncclRemoteError;
    assert_int_equal(queue_wait(device.queue, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "an all-reduce failed: remote process exited"));
    comm_free(comm);
}

/* What the collective itself waits for may take as long as it likes. */
static void own_work_is_no_reason(void **state)
{
    (void)state;
    Comm *comm = joined();
    Err err = {.text = ""};
    busy = true;
    assert_int_equal(sum(comm, &err), STATUS_OK);
    pause_a_little(0.5);
    busy = false;
    assert_int_equal(queue_wait(device.queue, &err), STATUS_OK);
    assert_int_equal(sum(comm, &err), STATUS_OK);
    comm_free(comm);
    assert_int_equal(aborts, 0);
}

static void joining_and_starting_end_too(void **state)
{
    (void)state;
    Comm *comm;
    Err err = {.text = ""};
    unsettled = true;
    assert_int_equal(cambium_nccl_new(over, &device, &comm, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "its try to join the ranks did not end within 0.2 s"));
    unsettled = false;
    comm = joined();
    unsettled = true;
    assert_int_equal(sum(comm, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "its try to start a collective did not end"));
    unsettled = false;
    comm_free(comm);
    assert_int_equal(aborts, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(collectives_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rank_that_never_comes_is_not_waited_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_dead_rank_that_nccl_knows_of_ends_the_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(own_work_is_no_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(joining_and_starting_end_too, set_up, tear_down),
    };
    Err err;
    backend_cpu_register();
    CHECK(device_open(&device, "cpu", &err) == STATUS_OK, "%s", err.text);
    const Backend *cpu = device.ops;
    gpu = *cpu;
    gpu.native_stream = no_stream;
    gpu.queue_fail = queue_fail;
    device.ops = &gpu;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device.ops = cpu;
    device_close(&device);
    return failed;
}
