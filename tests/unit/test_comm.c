/* Collectives, fed with whole numbers so that any order of sums gives the same bits, and with
 * numbers whose sum depends on the order. Started by itself the program tests ranks that are
 * threads; started by mpirun it is one rank of the processes (tests/cli/mpi.sh). */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/comm/comm.h"
#include "core/cpu/cpu.h"

/* The device of all tests: TEST_BACKEND names another than the CPU. */
static const char *device_name(void)
{
    const char *name = getenv("TEST_BACKEND");
    return name ? name : "cpu";
}

/* A queue belongs to one thread: every rank opens its own. Closed by run_rank. */
static _Thread_local Device device;

/* A tensor on the device from host numbers, and back. */
static Tensor put(const float *values, int64_t rows, int64_t cols)
{
    Err err;
    Tensor t = tensor_2d(NULL, DTYPE_F32, rows, cols);
    CHECK(device_tensor(&device, &t, "a test tensor", &err) == STATUS_OK, "%s", err.text);
    if (values)
        device_upload(&device, &t, values, &err);
    return t;
}

static void get(const Tensor *t, float *values)
{
    Err err;
    CHECK(device_download(&device, t, values, &err) == STATUS_OK, "%s", err.text);
}

static void drop(Tensor *t)
{
    device.ops->free(t->data);
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return err_set(err, "rank %d: %s", comm->rank, #condition);                            \
    } while (0)

static Status reduce_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    enum { N = 37 }; /* no multiple of the ranks */
    float values[N], total[N];
    for (int i = 0; i < N; i++)
        values[i] = (float)(comm->rank * 100 + i);
    Tensor t = put(values, 1, N);
    Collective sum = {.kind = COLLECTIVE_ALL_REDUCE, .send = t, .recv = t};
    TRY(comm_run(comm, device.queue, &sum, err));
    get(&t, total);
    drop(&t);
    int R = comm->size;
    for (int i = 0; i < N; i++)
        EXPECT(total[i] == (float)(R * i + 100 * R * (R - 1) / 2));
    return STATUS_OK;
}

static Status gather_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    int R = comm->size;
    Queue *queue = device.queue;
    /* Rank r sends r + 1 rows of its number. */
    float mine[16], all[64];
    for (int i = 0; i < 16; i++)
        mine[i] = (float)comm->rank;
    Tensor send = put(mine, comm->rank + 1, 2), recv = put(NULL, R * (R + 1) / 2, 2);
    int64_t rows[8];
    for (int r = 0; r < R; r++)
        rows[r] = r + 1;
    Collective gather = {
        .kind = COLLECTIVE_ALL_GATHER, .send = send, .recv = recv, .recv_rows = rows};
    TRY(comm_run(comm, queue, &gather, err));
    get(&recv, all);
    for (int r = 0, row = 0; r < R; r++)
        for (int i = 0; i <= r; i++, row++)
            EXPECT(all[2 * row] == (float)r && all[2 * row + 1] == (float)r);
    drop(&send);
    drop(&recv);
    /* Part p of rank r's send holds 10 r + p. */
    for (int p = 0; p < R; p++)
        mine[p] = (float)(10 * comm->rank + p);
    send = put(mine, R, 1), recv = put(NULL, R, 1);
    Collective exchange = {.kind = COLLECTIVE_ALL_TO_ALL, .send = send, .recv = recv};
    TRY(comm_run(comm, queue, &exchange, err));
    get(&recv, all);
    for (int r = 0; r < R; r++)
        EXPECT(all[r] == (float)(10 * r + comm->rank));
    Collective cast = {.kind = COLLECTIVE_BROADCAST, .send = send, .recv = recv, .root = R - 1};
    TRY(comm_run(comm, queue, &cast, err));
    get(&recv, all);
    for (int p = 0; p < R; p++)
        EXPECT(all[p] == (float)(10 * (R - 1) + p));
    Tensor one = put(NULL, 1, 1);
    Collective scatter = {.kind = COLLECTIVE_REDUCE_SCATTER, .send = send, .recv = one};
    TRY(comm_run(comm, queue, &scatter, err));
    get(&one, all);
    EXPECT(all[0] == (float)(10 * R * (R - 1) / 2 + R * comm->rank));
    drop(&send);
    drop(&recv);
    drop(&one);
    return STATUS_OK;
}

/* Rank r sends r + p rows to rank p. */
static Status uneven_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    int R = comm->size;
    int64_t send_rows[8], recv_rows[8], sent = 0, received = 0;
    for (int p = 0; p < R; p++) {
        send_rows[p] = recv_rows[p] = comm->rank + p;
        sent += send_rows[p];
        received += recv_rows[p];
    }
    float values[64], out[64];
    int64_t row = 0;
    for (int p = 0; p < R; p++)
        for (int64_t i = 0; i < send_rows[p]; i++)
            values[row++] = (float)(100 * comm->rank + 10 * p + i);
    Tensor send = put(values, sent, 1), recv = put(NULL, received, 1);
    Collective exchange = {.kind = COLLECTIVE_ALL_TO_ALL, .send = send, .recv = recv};
    exchange.send_rows = send_rows;
    exchange.recv_rows = recv_rows;
    TRY(comm_run(comm, device.queue, &exchange, err));
    get(&recv, out);
    row = 0;
    for (int r = 0; r < R; r++)
        for (int64_t i = 0; i < recv_rows[r]; i++)
            EXPECT(out[row++] == (float)(100 * r + 10 * comm->rank + i));
    drop(&send);
    drop(&recv);
    return STATUS_OK;
}

/* Several in flight, many rounds, ranks that dawdle. */
static Status pipeline_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    enum { DEPTH = 3, ROUNDS = 60 };
    Tensor tensors[DEPTH];
    CommRequest requests[DEPTH];
    for (int i = 0; i < DEPTH; i++)
        tensors[i] = put(NULL, 1, 5);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < DEPTH; i++) {
            float values[5];
            for (int k = 0; k < 5; k++)
                values[k] = (float)(round + i + k + comm->rank);
            device_upload(&device, &tensors[i], values, err);
            Collective sum = {
                .kind = COLLECTIVE_ALL_REDUCE, .send = tensors[i], .recv = tensors[i]};
            TRY(comm_start(comm, device.queue, &sum, &requests[i], err));
        }
        for (int i = 0; i < DEPTH; i++) {
            float values[5];
            TRY(comm_wait(comm, &requests[i], err));
            get(&tensors[i], values);
            for (int k = 0; k < 5; k++)
                EXPECT(values[k] ==
                       (float)(comm->size * (round + i + k) + comm->size * (comm->size - 1) / 2));
        }
    }
    for (int i = 0; i < DEPTH; i++)
        drop(&tensors[i]);
    return STATUS_OK;
}

/* No queue is waited for between the making of what is sent, the collective, and its next making:
 * a device that works later than it is told must keep the order by itself. Rank 0 has more to do
 * before each send. */
static Status chain_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    enum { ROUNDS = 12, N = 4096 };
    static const float ones[N] = {[0] = 1.0f, [N - 1] = 1.0f};
    const Backend *ops = device.ops;
    float values[N];
    Tensor x = put(ones, 1, N), work = put(ones, 1, N), all = put(NULL, comm->size, N);
    for (int round = 0; round < ROUNDS; round++) {
        /* x = x / size, after some other work, then the sum over ranks, which is x again. */
        float half = 0.5f, share = 1.0f / (float)comm->size;
        WeightedSumArgs other = {.x = &work, .weights = &half, .n = 1, .y = work};
        for (int i = 0; i < (comm->rank == 0 ? 20 : 1); i++)
            ops->weighted_sum(device.queue, &other);
        WeightedSumArgs scale = {.x = &x, .weights = &share, .n = 1, .y = x};
        ops->weighted_sum(device.queue, &scale);
        Collective sum = {.kind = COLLECTIVE_ALL_REDUCE, .send = x, .recv = x};
        TRY(comm_run(comm, device.queue, &sum, err));
        /* What others read is overwritten at once, and made again from what came back. */
        Collective gather = {.kind = COLLECTIVE_ALL_GATHER, .send = x, .recv = all};
        TRY(comm_run(comm, device.queue, &gather, err));
        ops->zero(device.queue, x.data, tensor_bytes(&x));
        Tensor last = tensor_slice(&all, comm->size - 1, 1);
        ops->copy(device.queue, x.data, last.data, tensor_bytes(&x));
    }
    get(&x, values);
    for (int i = 0; i < N; i++)
        EXPECT(fabsf(values[i] - ones[i]) < 1e-4f);
    drop(&x);
    drop(&work);
    drop(&all);
    return STATUS_OK;
}

static Status split_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    Comm *half;
    TRY(comm_split(comm, comm->rank % 2, &half, err));
    double value[2] = {comm->rank, 1.0};
    double expected = 0.0, members = 0.0;
    for (int r = comm->rank % 2; r < comm->size; r += 2)
        expected += r, members += 1.0;
    TRY(comm_sum_host(half, value, 2, err));
    EXPECT(value[0] == expected && value[1] == members);
    EXPECT(half->rank == comm->rank / 2 && half->size == (int)members);
    double largest = comm->rank;
    TRY(comm_max_host(comm, &largest, 1, err));
    EXPECT(largest == comm->size - 1);
    for (int root = 0; root < comm->size; root++) {
        char text[13] = "nothing here";
        if (comm->rank == root)
            memcpy(text, "from the one", sizeof text);
        TRY(comm_broadcast_host(comm, text, sizeof text, root, err));
        EXPECT(memcmp(text, "from the one", sizeof text) == 0);
    }
    comm_free(half);
    return comm_barrier(comm, err);
}

static Status failing_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    if (comm->rank == 1)
        return err_set(err, "the disk is on fire");
    TRY(comm_barrier(comm, err));
    return STATUS_OK;
}

typedef struct RankTest {
    CommRankFn *fn;
    void *context;
} RankTest;

static Status run_rank(void *context, Comm *comm, Err *err)
{
    const RankTest *test = context;
    TRY(device_open(&device, device_name(), err));
    Status status = test->fn(test->context, comm, err);
    device_close(&device);
    return status;
}

static Status run_ranks(int ranks, const CommWire *wire, CommRankFn *fn, void *context, Err *err)
{
    RankTest test = {fn, context};
    return comm_run_threads(device.ops, ranks, wire, run_rank, &test, err);
}

/* The communicator of the processes, or NULL. */
static Comm *processes;

static void on_ranks(CommRankFn *fn)
{
    if (processes) {
        Err failure;
        if (fn(NULL, processes, &failure) != STATUS_OK)
            fail_msg("%s", failure.text);
        return;
    }
    for (int ranks = 1; ranks <= 5; ranks++) {
        Err err;
        if (run_ranks(ranks, NULL, fn, NULL, &err) != STATUS_OK)
            fail_msg("%d ranks: %s", ranks, err.text);
    }
}

static void all_reduce_sums(void **state)
{
    (void)state;
    on_ranks(reduce_rank);
}

static void gather_exchange_broadcast_scatter(void **state)
{
    (void)state;
    on_ranks(gather_rank);
}

static void uneven_exchange(void **state)
{
    (void)state;
    on_ranks(uneven_rank);
}

/* Numbers of a rank whose sum depends on the order, the same in every process. */
static void fill_uneven(int rank, float *values, int n)
{
    uint32_t state = 12345u + 977u * (uint32_t)rank;
    for (int i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = ldexpf((float)(int32_t)state, -31 + (int)(state % 17u));
    }
    values[0] = -0.0f;
}

enum { SUMMED = 1003 };

/* `context`: receives what rank 0 gets, (2, SUMMED) float32: the sums of float32, then those of
 * bfloat16. */
static Status uneven_sums(void *context, Comm *comm, Err *err)
{
    float values[SUMMED], *sums = context;
    const Backend *ops = device.ops;
    fill_uneven(comm->rank, values, SUMMED);
    Tensor exact = put(values, 1, SUMMED), back = put(NULL, 1, SUMMED);
    Tensor half = tensor_2d(NULL, DTYPE_BF16, 1, SUMMED);
    TRY(device_tensor(&device, &half, "a test tensor", err));
    CastArgs down = {.x = exact, .y = half}, up = {.x = half, .y = back};
    ops->cast(device.queue, &down);
    CommRequest requests[2];
    Collective sum = {.kind = COLLECTIVE_ALL_REDUCE, .send = exact, .recv = exact};
    Collective sum_half = {.kind = COLLECTIVE_ALL_REDUCE, .send = half, .recv = half};
    TRY(comm_start(comm, device.queue, &sum, &requests[0], err));
    TRY(comm_start(comm, device.queue, &sum_half, &requests[1], err));
    TRY(comm_wait(comm, &requests[0], err));
    TRY(comm_wait(comm, &requests[1], err));
    ops->cast(device.queue, &up);
    if (comm->rank == 0 || processes) {
        get(&exact, sums);
        get(&back, sums + SUMMED);
    }
    TRY(device.ops->queue_wait(device.queue, err));
    drop(&exact);
    drop(&back);
    drop(&half);
    return STATUS_OK;
}

/* Every process gets from the others what threads would give. */
static void processes_sum_as_threads_do(void **state)
{
    (void)state;
    static float by_threads[2 * SUMMED], by_processes[2 * SUMMED];
    Err err;
    Comm *all = processes;
    if (uneven_sums(by_processes, all, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    processes = NULL;
    Status status = run_ranks(all->size, NULL, uneven_sums, by_threads, &err);
    processes = all;
    if (status != STATUS_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(by_processes, by_threads, sizeof by_threads);
}

static void several_in_flight(void **state)
{
    (void)state;
    on_ranks(pipeline_rank);
}

static void queues_wait_for_each_other(void **state)
{
    (void)state;
    on_ranks(chain_rank);
}

static void split_into_halves(void **state)
{
    (void)state;
    on_ranks(split_rank);
}

static void a_failed_rank_stops_all(void **state)
{
    (void)state;
    Err err;
    assert_int_equal(run_ranks(3, NULL, failing_rank, NULL, &err), STATUS_FAIL);
    assert_string_equal(err.text, "the disk is on fire");
}

static Status wire_rank(void *context, Comm *comm, Err *err)
{
    double *seconds = context;
    Tensor t = put(NULL, 1, 250000); /* 1 MB */
    device.ops->zero(device.queue, t.data, tensor_bytes(&t));
    double start = clock_seconds();
    Collective cast = {.kind = COLLECTIVE_BROADCAST, .send = t, .recv = t};
    TRY(comm_run(comm, device.queue, &cast, err));
    if (comm->rank == 0)
        *seconds = clock_seconds() - start;
    drop(&t);
    return STATUS_OK;
}

static void a_simulated_wire_takes_its_time(void **state)
{
    (void)state;
    Err err;
    double seconds = 0.0;
    CommWire wire = {.latency = 0.01, .bandwidth = 50e6}; /* 10 ms + 20 ms */
    assert_int_equal(run_ranks(2, &wire, wire_rank, &seconds, &err), STATUS_OK);
    assert_true(seconds >= 0.0299);
}

static void self_copies(void **state)
{
    (void)state;
    Err err;
    Comm *comm = comm_self_new(device.ops);
    float values[3] = {1.0f, 2.0f, 3.0f}, out[3];
    Tensor send = put(values, 3, 1), recv = put(NULL, 3, 1);
    Collective sum = {.kind = COLLECTIVE_ALL_REDUCE, .send = send, .recv = recv};
    assert_int_equal(comm_run(comm, device.queue, &sum, &err), STATUS_OK);
    get(&recv, out);
    assert_memory_equal(out, values, sizeof out);
    drop(&send);
    drop(&recv);
    comm_free(comm);
}

/* Rank 0 starts a large exchange and does not come back to its communicator before another rank has
 * all of it. */
static Status busy_rank(void *context, Comm *comm, Err *err)
{
    enum { FLOATS = 1 << 19 }; /* 2 MB: more than goes without the receiver's consent */
    (void)context;
    char path[] = "/tmp/cambium-test-XXXXXX";
    int file = comm->rank == 0 ? mkstemp(path) : -1;
    TRY(comm_broadcast_host(comm, path, sizeof path, 0, err));
    Tensor send = put(NULL, comm->size, FLOATS), recv = put(NULL, comm->size, FLOATS);
    device.ops->zero(device.queue, send.data, tensor_bytes(&send));
    CommRequest request;
    Collective exchange = {.kind = COLLECTIVE_ALL_TO_ALL, .send = send, .recv = recv};
    TRY(comm_start(comm, device.queue, &exchange, &request, err));
    double until = clock_seconds() + 30.0;
    bool told = false;
    while (comm->rank == 0 && !told && clock_seconds() < until) {
        usleep(1000);
        told = access(path, F_OK) != 0;
    }
    TRY(comm_wait(comm, &request, err));
    if (comm->rank == 1)
        unlink(path);
    drop(&send);
    drop(&recv);
    if (file >= 0)
        close(file);
    if (comm->rank == 0 && !told)
        unlink(path);
    EXPECT(comm->rank != 0 || told);
    return STATUS_OK;
}

static void a_busy_rank_holds_nobody_up(void **state)
{
    (void)state;
    on_ranks(busy_rank);
}

static int test_threads(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_reduce_sums),
        cmocka_unit_test(gather_exchange_broadcast_scatter),
        cmocka_unit_test(uneven_exchange),
        cmocka_unit_test(several_in_flight),
        cmocka_unit_test(queues_wait_for_each_other),
        cmocka_unit_test(split_into_halves),
        cmocka_unit_test(a_failed_rank_stops_all),
        cmocka_unit_test(a_simulated_wire_takes_its_time),
        cmocka_unit_test(self_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static int test_processes(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_reduce_sums),
        cmocka_unit_test(gather_exchange_broadcast_scatter),
        cmocka_unit_test(uneven_exchange),
        cmocka_unit_test(several_in_flight),
        cmocka_unit_test(queues_wait_for_each_other),
        cmocka_unit_test(split_into_halves),
        cmocka_unit_test(processes_sum_as_threads_do),
        cmocka_unit_test(a_busy_rank_holds_nobody_up),
    };
    Err err;
    CHECK(comm_mpi_new(device.ops, &processes, &err) == STATUS_OK, "%s", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_free(processes);
    return failed;
}

int main(void)
{
    Err err;
    backend_cpu_register();
    CHECK(device_open(&device, device_name(), &err) == STATUS_OK, "%s", err.text);
    int failed = comm_launch().size > 1 ? test_processes() : test_threads();
    device_close(&device);
    return failed;
}
