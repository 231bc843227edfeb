/* The machine's own limits. */
#include "core/cli/bench.h"

static Status products(const BenchRun *how, BenchResult *result, Err *err)
{
    BenchRoof roof;
    double rate;
    TRY(bench_roof_init(&roof, how, err));
    Status status = bench_roof_rate(&roof, how->seconds, &rate, err);
    if (status == STATUS_OK)
        bench_put(result, "gflops", rate, "GFLOP/s");
    bench_roof_clear(&roof);
    return status;
}

static Status bandwidth(const BenchRun *how, BenchResult *result, Err *err)
{
    BenchReader reader;
    double rate;
    TRY(bench_reader_init(&reader, &how->device, err));
    Status status = bench_reader_rate(&reader, how->seconds, &rate, err);
    if (status == STATUS_OK)
        bench_put(result, "read_gb_per_second", rate, "GB/s");
    if (status == STATUS_OK)
        status = bench_copy_rate(&reader, how->seconds, &rate, err);
    if (status == STATUS_OK)
        bench_put(result, "copy_gb_per_second", rate, "GB/s");
    bench_reader_clear(&reader);
    return status;
}

const Bench bench_machine[] = {
    {"products", "rate of a large matrix product", products},
    {"bandwidth", "rate of reading and of copying memory", bandwidth},
    {0},
};
