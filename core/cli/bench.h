/* Measurements that `cambium bench` knows by name. A file bench_NAME.c in any folder defines the
 * list `const Bench bench_NAME[]`, ended by an empty entry; the Makefile finds it. */
#ifndef CAMBIUM_CORE_CLI_BENCH_H
#define CAMBIUM_CORE_CLI_BENCH_H

#include <jansson.h>

#include "core/tensor/backend.h"

typedef struct BenchRun {
    Device device;
    DType dtype;      /* of products: float32 or bfloat16 */
    double seconds;   /* how long to measure */
    const char *path; /* --model FILE, or NULL */
    /* Of measurements of decoding: */
    int64_t context; /* positions that are cached; 0: the measurement's own number */
    int64_t fill_kv; /* --fill-kv SEED: they are synthetic; 0: a prompt is read */
    const char *kv;  /* as infer's --kv */
    int64_t batch, ranks;
    const char *grid; /* as infer's --grid */
} BenchRun;

/* Numbers in the order they were put, with units: {"tokens_per_second": 7012.3, ...}. */
typedef struct BenchResult {
    json_t *values; /* an object: name -> number */
    json_t *units;  /* an object: name -> text */
} BenchResult;
void bench_put(BenchResult *result, const char *name, double value, const char *unit);

/* A number of one of the cases that a measurement compares: "helix" and "step_seconds" make
 * "helix_step_seconds". */
void bench_put_of(BenchResult *result, const char *name, const char *what, double value,
                  const char *unit);

typedef struct Bench {
    const char *name;
    const char *summary;
    Status (*run)(const BenchRun *how, BenchResult *result, Err *err);
} Bench;

/* A list of lists, ended by NULL. */
extern const Bench *const bench_table[];

/* The rate in GFLOP/s of a large product: the roof that others are compared with. A measurement
 * takes about `seconds`, and at least three products. */
typedef struct BenchRoof {
    Device device;
    GemmArgs product;
} BenchRoof;
Status bench_roof_init(BenchRoof *roof, const BenchRun *how, Err *err);
Status bench_roof_rate(BenchRoof *roof, double seconds, double *out, Err *err);
void bench_roof_clear(BenchRoof *roof);

/* The rate in GB/s of reading memory that is much larger than the caches, with the operation that
 * reads fastest and whose result is a single number, by as many workers as the team had at init: a
 * rank that measures has fewer. A measurement takes about `seconds`, and at least three passes. */
typedef struct BenchReader {
    Device device;
    int width;
    Tensor x, norm;
} BenchReader;
Status bench_reader_init(BenchReader *reader, const Device *device, Err *err);
Status bench_reader_rate(BenchReader *reader, double seconds, double *out, Err *err);
/* Of copying from one half of it to the other: bytes read and bytes written. */
Status bench_copy_rate(BenchReader *reader, double seconds, double *out, Err *err);
void bench_reader_clear(BenchReader *reader);

/* Normal random numbers (one million, repeated) for a float32 or bfloat16 tensor; waits. */
Status bench_fill(const Device *device, const Tensor *t, Err *err);

/* Largest memory of this process so far, in bytes, and the same counted from now on where the
 * system can forget the old peak. */
double bench_peak_bytes(void);
/* What is in use of the device's memory by everybody; on the CPU the peak of this process. */
double bench_used_bytes(const Device *device);
void bench_reset_peak(void);

/* Time in seconds of repeated calls: the median of a growing list. */
typedef struct BenchTimes {
    double items[4096];
    int64_t count;
} BenchTimes;
void bench_time_add(BenchTimes *times, double seconds);
double bench_median(const BenchTimes *times);

#endif
