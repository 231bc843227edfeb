/* `cambium bench`: how fast this machine does what the program is made of. */
#include <stdio.h>
#include <string.h>

#include "core/cli/bench.h"
#include "core/cli/device_options.h"
#include "core/cli/load_model.h"
#include "core/tensor/libraries.h"

typedef struct BenchSettings {
    bool json, list;
    char *device, *require, *dtype, *model, *grid, *kv;
    double seconds;
    int64_t context, fill_kv, batch, ranks;
} BenchSettings;

static const Option bench_options[] = {
    {"json", OPTION_FLAG, offsetof(BenchSettings, json), NULL, NULL,
     "one JSON object per measurement", NULL, 0, NULL},
    {"list", OPTION_FLAG, offsetof(BenchSettings, list), NULL, NULL, "names and what they measure",
     NULL, 0, NULL},
    {"seconds", OPTION_REAL, offsetof(BenchSettings, seconds), "S", "10",
     "how long each measurement lasts", "0..", 0, NULL},
    {"dtype", OPTION_CHOICE, offsetof(BenchSettings, dtype), NULL, "auto",
     "type of products (auto: bfloat16 where the processor has it)", "auto|float32|bfloat16", 0,
     NULL},
    DEVICE_OPTIONS(offsetof(BenchSettings, device), offsetof(BenchSettings, require),
                   "where to compute: auto, cpu or cuda", NULL),
    {"model", OPTION_INPUT, offsetof(BenchSettings, model), "FILE", NULL,
     "the model, for measurements that take one", NULL, 0, NULL},
    {"context", OPTION_INT, offsetof(BenchSettings, context), "N", "0",
     "tokens of a prompt, or positions cached (0: each measurement's own)", NULL, 0,
     "Of decode, prompt, helix and plan"},
    {"fill-kv", OPTION_INT, offsetof(BenchSettings, fill_kv), "SEED", "0",
     "decode over synthetic keys and values instead of a prompt that is read (0: read it; helix "
     "never reads)",
     NULL, 0, NULL},
    {"kv", OPTION_CHOICE, offsetof(BenchSettings, kv), NULL, "auto",
     "decode and prompt: type of the KV cache (auto: that of the products)",
     "auto|float32|bfloat16|int8", 0, NULL},
    {"batch", OPTION_INT, offsetof(BenchSettings, batch), "N", "1", "helix: sequences at a time",
     NULL, 0, NULL},
    {"ranks", OPTION_INT, offsetof(BenchSettings, ranks), "N", "1",
     "helix: threads that decode together", NULL, 0, NULL},
    {"grid", OPTION_TEXT, offsetof(BenchSettings, grid), "GRID", "auto",
     "helix: what they do, as 'infer --grid'", NULL, 0, NULL},
    {0},
};

enum { NAMES_MAX = 64 };

static const Bench *find(const char *name, const char *names[NAMES_MAX], int *count)
{
    *count = 0;
    for (int i = 0; bench_table[i]; i++)
        for (const Bench *bench = bench_table[i]; bench->name; bench++) {
            if (strcmp(bench->name, name) == 0)
                return bench;
            if (*count < NAMES_MAX)
                names[(*count)++] = bench->name;
        }
    return NULL;
}

typedef struct BenchWorkers {
    Worker of[WORK_KINDS];
} BenchWorkers;

static BenchWorkers workers_now(const BenchRun *how)
{
    BenchWorkers now = {0};
    const Backend *ops = how->device.ops;
    for (int work = 0; work < WORK_KINDS && ops->worker; work++)
        ops->worker((Work)work, how->dtype, &now.of[work]);
    return now;
}

/* By kind of work, who did it since `before`; work that was not done is left out. */
static json_t *workers_json(const BenchRun *how, const BenchWorkers *before)
{
    BenchWorkers now = workers_now(how);
    json_t *object = json_object();
    for (int work = 0; work < WORK_KINDS; work++) {
        StrBuf text = {0};
        Worker *w = &now.of[work];
        w->by_library -= before->of[work].by_library;
        w->refused -= before->of[work].refused;
        if (w->by_library + w->refused == 0)
            continue;
        worker_text(w, &text);
        json_object_set_new(object, work_name((Work)work), json_string(text.data));
        strbuf_clear(&text);
    }
    return object;
}

static void print_result(const char *name, const BenchRun *how, const BenchResult *result,
                         json_t *workers, bool json)
{
    if (json) {
        json_t *line = json_pack("{s:s, s:s, s:s}", "name", name, "device", how->device.ops->name,
                                 "dtype", dtype_name(how->dtype));
        json_object_update(line, result->values);
        if (json_object_size(workers) > 0)
            json_object_set(line, "made_by", workers);
        json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(line);
        return;
    }
    printf("%s (%s, %s)\n", name, how->device.ops->name, dtype_name(how->dtype));
    const char *key;
    json_t *value;
    json_object_foreach(result->values, key, value)
        printf("    %-28s %12.6g %s\n", key, json_number_value(value),
               json_string_value(json_object_get(result->units, key)));
    json_object_foreach(workers, key, value)
        printf("    %s by %s\n", key, json_string_value(value));
}

static Status measure(const char *name, const BenchRun *how, bool json, Err *err)
{
    const char *names[NAMES_MAX];
    int count;
    const Bench *bench = find(name, names, &count);
    if (!bench) {
        const char *near = nearest_name(name, names, count);
        return err_usage(err, "no measurement '%s'%s%s%s; 'cambium bench --list' names them all",
                         name, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    }
    BenchResult result = {json_object(), json_object()};
    BenchWorkers before = workers_now(how);
    Status status = bench->run(how, &result, err);
    json_t *workers = workers_json(how, &before);
    if (status == STATUS_OK)
        print_result(name, how, &result, workers, json);
    fflush(stdout);
    json_decref(workers);
    json_decref(result.values);
    json_decref(result.units);
    return status;
}

static Status bench_run(const void *settings, const StringList *positionals, Err *err)
{
    const BenchSettings *s = settings;
    if (s->list || positionals->count == 0) {
        for (int i = 0; bench_table[i]; i++)
            for (const Bench *bench = bench_table[i]; bench->name; bench++)
                printf("%-12s %s\n", bench->name, bench->summary);
        return STATUS_OK;
    }
    if (!(s->seconds > 0.0))
        return err_usage(err, "--seconds %g is not above 0", s->seconds);
    if (s->context < 0 || s->context > INT32_MAX - (1 << 20))
        return err_usage(err, "--context %lld is not from 0 to 2 billion", (long long)s->context);
    if (s->fill_kv < 0 || s->batch < 1 || s->batch > 4096 || s->ranks < 1)
        return err_usage(err, "--fill-kv is 0 or more, --batch is 1 to 4096, --ranks 1 or more");
    BenchRun how = {.seconds = s->seconds,
                    .path = s->model,
                    .context = s->context,
                    .fill_kv = s->fill_kv,
                    .kv = s->kv,
                    .batch = s->batch,
                    .ranks = s->ranks,
                    .grid = s->grid};
    TRY(device_open_requiring(&how.device, s->device, s->require, err));
    how.dtype = dtype_for_device(&how.device);
    Status status = STATUS_OK;
    if (strcmp(s->dtype, "auto") != 0)
        status = err_of_usage(dtype_parse(s->dtype, &how.dtype, err), err);
    for (int64_t i = 0; i < positionals->count && status == STATUS_OK; i++)
        status = measure(positionals->items[i], &how, s->json, err);
    device_close(&how.device);
    return status;
}

const Verb verb_bench = {
    .name = "bench",
    .summary = "measure speed against the machine's limits",
    .positionals = "[NAME...]",
    .positionals_max = -1,
    .details = "Without a name the measurements are listed. Compare numbers of one call only: "
               "machines that are shared change their speed from minute to minute.",
    .examples =
        {
            "bench",
            "bench products bandwidth --json",
            "bench decode --model long.h5 --context 64K --fill-kv 1",
            "bench helix --ranks 4 --grid kvp=2,tpa=2 --context 256K --batch 8",
        },
    .options = bench_options,
    .settings_size = sizeof(BenchSettings),
    .run = bench_run,
};
