/* This machine as a plan's hardware: rates of reading and of products, and what collectives of
 * thread ranks take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/cli/bench.h"
#include "core/cli/load_model.h"
#include "core/comm/comm.h"
#include "infer/plan/plan_hardware.h"

enum {
    SMALL = 64,        /* floats per rank: latency */
    LARGE = 256 << 10, /* floats: bandwidth */
    WARM = 5,
    SMALL_TIMES = 100,
    LARGE_TIMES = 15,
    LAYER_OPERATIONS = 14, /* of one decoding step: norms, products, rope, attention, sums */
};

/* ---- collectives ----------------------------------------------------------------------------- */

typedef struct Ping {
    double all_to_all[2], all_reduce[2]; /* seconds: small, large */
    int64_t floats[2];                   /* of a rank's buffer */
} Ping;

/* Median seconds of a collective on `floats` numbers, as rank 0 sees them. */
static Status time_collective(Comm *comm, Queue *queue, const Collective *what, int times,
                              double *out, Err *err)
{
    BenchTimes taken = {.count = 0};
    for (int i = 0; i < WARM + times; i++) {
        double start = clock_seconds();
        TRY(comm_run(comm, queue, what, err));
        TRY(comm->ops->queue_wait(queue, err));
        if (i >= WARM)
            bench_time_add(&taken, clock_seconds() - start);
    }
    if (comm->rank == 0)
        *out = bench_median(&taken);
    return STATUS_OK;
}

static Status ping_sizes(Comm *comm, Queue *queue, Tensor *send, Tensor *recv, Ping *ping, Err *err)
{
    for (int i = 0; i < 2; i++) {
        int times = i ? LARGE_TIMES : SMALL_TIMES;
        int64_t rows = comm->size, cols = (i ? LARGE : SMALL) / rows + 1;
        Tensor from = tensor_2d(send->data, DTYPE_F32, rows, cols);
        Tensor to = tensor_2d(recv->data, DTYPE_F32, rows, cols);
        Collective exchange = {.kind = COLLECTIVE_ALL_TO_ALL, .send = from, .recv = to};
        Collective sum = {.kind = COLLECTIVE_ALL_REDUCE, .send = from, .recv = to};
        if (comm->rank == 0)
            ping->floats[i] = rows * cols;
        TRY(time_collective(comm, queue, &exchange, times, &ping->all_to_all[i], err));
        TRY(time_collective(comm, queue, &sum, times, &ping->all_reduce[i], err));
    }
    return STATUS_OK;
}

static Status ping_rank(void *context, Comm *comm, Err *err)
{
    Device device = {.ops = comm->ops};
    Tensor send = tensor_1d(NULL, DTYPE_F32, LARGE + comm->size);
    Tensor recv = tensor_1d(NULL, DTYPE_F32, LARGE + comm->size);
    TRY(comm->ops->queue_new(&device.queue, err));
    Status status = device_tensor(&device, &send, "a message", err);
    if (status == STATUS_OK)
        status = device_tensor(&device, &recv, "a message", err);
    if (status == STATUS_OK) {
        comm->ops->zero(device.queue, send.data, tensor_bytes(&send));
        status = ping_sizes(comm, device.queue, &send, &recv, context, err);
    }
    if (send.data)
        comm->ops->free(send.data);
    if (recv.data)
        comm->ops->free(recv.data);
    comm->ops->queue_free(device.queue);
    return status;
}

/* Latency and bandwidth from two sizes, of which a rank sends `part` times the bytes. */
static PlanWire wire_of(const double seconds[2], const int64_t floats[2], double part)
{
    double bytes = 4.0 * (double)(floats[1] - floats[0]) * part;
    /* Noise can make the small one slower; then all that is known is the large one's rate. */
    double more = seconds[1] > seconds[0] ? seconds[1] - seconds[0] : seconds[1];
    return (PlanWire){.latency = seconds[0], .bandwidth = bytes / more};
}

static Status measure_link(const Backend *ops, int64_t ranks, PlanLink *out, Err *err)
{
    Ping ping;
    double others = (double)(ranks - 1) / (double)ranks;
    TRY(comm_run_threads(ops, (int)ranks, NULL, ping_rank, &ping, err));
    out->ranks = ranks;
    out->all_to_all = wire_of(ping.all_to_all, ping.floats, others);
    out->all_reduce = wire_of(ping.all_reduce, ping.floats, 2.0 * others);
    return STATUS_OK;
}

/* 2, 4, 8, ... and `most`. A rank alone has no link, but the table must not be empty. */
static Status measure_links(const Device *device, int64_t most, PlanHardware *out, Err *err)
{
    for (int64_t ranks = 2; out->n_links < PLAN_LINKS; ranks *= 2) {
        ranks = ranks > most && most > 1 ? most : ranks;
        TRY(measure_link(device->ops, ranks, &out->links[out->n_links++], err));
        if (ranks >= most)
            break;
    }
    return STATUS_OK;
}

/* ---- rates ----------------------------------------------------------------------------------- */

static Status measure_products(const Device *device, DType dtype, double seconds, double *out,
                               Err *err)
{
    BenchRoof roof;
    BenchRun how = {.device = *device, .dtype = dtype};
    TRY(bench_roof_init(&roof, &how, err));
    Status status = bench_roof_rate(&roof, seconds, out, err);
    bench_roof_clear(&roof);
    *out *= 1e9;
    return status;
}

/* Median seconds of `count` products in a row, over `seconds` and at least WARM times. */
static Status time_products(const Device *device, const GemmArgs *product, int count,
                            double seconds, double *out, Err *err)
{
    BenchTimes times = {.count = 0};
    double end = clock_seconds() + seconds;
    for (int i = 0; i < 2 * WARM || clock_seconds() < end; i++) {
        double start = clock_seconds();
        for (int k = 0; k < count; k++)
            device->ops->gemm(device->queue, product);
        TRY(device->ops->queue_wait(device->queue, err));
        if (i >= WARM)
            bench_time_add(&times, clock_seconds() - start);
    }
    *out = bench_median(&times);
    return STATUS_OK;
}

/* The same of one row with a matrix (n, k): how decoding reads weights. */
static Status time_row_products(const Device *device, DType dtype, int64_t n, int64_t k, int count,
                                double seconds, double *out, Err *err)
{
    GemmArgs row = {.a = tensor_2d(NULL, dtype, 1, k),
                    .b = tensor_2d(NULL, dtype, n, k),
                    .c = tensor_2d(NULL, dtype, 1, n),
                    .b_transposed = true};
    Tensor *const tensors[] = {&row.a, &row.b, &row.c};
    Status status = STATUS_OK;
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        status = device_tensor(device, tensors[i], "a product of one row", err);
        if (status == STATUS_OK)
            status = bench_fill(device, tensors[i], err);
    }
    if (status == STATUS_OK)
        status = time_products(device, &row, count, seconds, out, err);
    for (int i = 0; i < 3; i++)
        if (tensors[i]->data)
            device->ops->free(tensors[i]->data);
    return status;
}

/* Bytes per second: the faster of the reader of `bench bandwidth` and a product of one row. Which
 * of them the memory holds back, and which the cores, differs between machines. */
static Status measure_reading(const Device *device, DType dtype, double seconds, double *out,
                              Err *err)
{
    enum { ROWS = 16384, COLS = 8192 };
    BenchReader reader;
    double read = 0.0, product;
    TRY(bench_reader_init(&reader, device, err));
    Status status = bench_reader_rate(&reader, seconds / 2.0, &read, err);
    bench_reader_clear(&reader);
    if (status != STATUS_OK)
        return status;
    TRY(time_row_products(device, dtype, ROWS, COLS, 1, seconds / 2.0, &product, err));
    *out = fmax(read * 1e9, (double)dtype_bytes(dtype) * ROWS * COLS / product);
    return STATUS_OK;
}

/* ---- together -------------------------------------------------------------------------------- */

static Status measure_device(const Device *device, int64_t ranks, double seconds, PlanHardware *out,
                             Err *err)
{
    out->memory = device_free_bytes(device);
    if (!(out->memory > 0.0))
        return err_set(err, "how much memory is free could not be read from /proc/meminfo");
    DType dtype = dtype_for_device(device);
    out->weights = dtype == DTYPE_BF16 ? PLAN_BF16 : PLAN_F32;
    TRY(measure_reading(device, dtype, seconds / 2.0, &out->bandwidth, err));
    TRY(measure_products(device, DTYPE_F32, seconds / 6.0, &out->flops[PLAN_F32], err));
    if (out->weights == PLAN_BF16)
        TRY(measure_products(device, DTYPE_BF16, seconds / 6.0, &out->flops[PLAN_BF16], err));
    /* Operations that have nothing to do: what their calls cost. */
    TRY(time_row_products(device, dtype, 64, 64, LAYER_OPERATIONS, 0.05, &out->layer_overhead,
                          err));
    return measure_links(device, ranks, out, err);
}

Status plan_hardware_measure(const char *name, int64_t ranks, double seconds, PlanHardware *out,
                             Err *err)
{
    Device device;
    TRY(device_open(&device, name, err));
    *out = (PlanHardware){.ranks = ranks, .shared = true, .usable = 0.9, .efficiency = 1.0};
    snprintf(out->name, sizeof out->name, "%s", device.ops->description());
    Status status = measure_device(&device, ranks, seconds, out, err);
    device_close(&device);
    return status;
}
