/* `cambium plan`: which grid serves a model on a machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/cli/device_options.h"
#include "core/tensor/libraries.h"
#include "infer/plan/plan_report.h"
#include "infer/plan/quantity.h"

typedef struct PlanSettings {
    char *model, *hardware, *ttl, *weights, *kv, *svg, *save_hardware, *device, *require;
    int64_t context, gpus, ranks, batch;
    double seconds;
    bool hopb, literal, json;
} PlanSettings;

static const Option plan_options[] = {
    {"model", OPTION_INPUT, offsetof(PlanSettings, model), "FILE", NULL,
     "a model file, or one of " PLAN_MODEL_PRESETS, NULL, 0, NULL},
    {"hardware", OPTION_INPUT, offsetof(PlanSettings, hardware), "NAME", "this",
     PLAN_HARDWARE_PRESETS ", this (measured now) or a JSON file", NULL, 0, NULL},
    {"context", OPTION_INT, offsetof(PlanSettings, context), "N", "128K",
     "tokens that each request has cached", NULL, 0, NULL},
    {"ttl", OPTION_TEXT, offsetof(PlanSettings, ttl), "TIME", NULL,
     "time per token that is allowed, as 20ms (default: as fast as can be)", NULL, 0, NULL},
    {"gpus", OPTION_INT, offsetof(PlanSettings, gpus), "N", "0",
     "at most so many ranks (0: what the hardware's links join, a power of two)", NULL, 0, NULL},
    {"ranks", OPTION_INT, offsetof(PlanSettings, ranks), "N", "0",
     "exactly so many ranks, as infer --ranks will have (0: any number up to --gpus)", NULL, 0,
     NULL},
    {"batch", OPTION_INT, offsetof(PlanSettings, batch), "N", "0",
     "requests at a time (0: every power of two that fits)", NULL, 0, NULL},
    {"weights", OPTION_CHOICE, offsetof(PlanSettings, weights), NULL, "auto",
     "type of the weights (auto: what the hardware's users take)", "auto|" PLAN_TYPE_NAMES, 0,
     NULL},
    {"kv", OPTION_CHOICE, offsetof(PlanSettings, kv), NULL, "auto",
     "type of the KV cache (auto: that of the weights)", "auto|" PLAN_TYPE_NAMES, 0, NULL},
    {"hopb", OPTION_FLAG, offsetof(PlanSettings, hopb), NULL, "true",
     "exchange one request's outputs beside the next one's attention", NULL, 0, NULL},
    {"literal", OPTION_FLAG, offsetof(PlanSettings, literal), NULL, NULL,
     "count the output projection over TPA, as the paper's appendix does, not over all ranks", NULL,
     0, NULL},
    {"json", OPTION_FLAG, offsetof(PlanSettings, json), NULL, NULL, "print one JSON object", NULL,
     0, "Output"},
    {"svg", OPTION_OUTPUT, offsetof(PlanSettings, svg), "FILE", NULL, "draw the fronts to FILE",
     NULL, 0, NULL},
    {"save-hardware", OPTION_OUTPUT, offsetof(PlanSettings, save_hardware), "FILE", NULL,
     "write the hardware's description to FILE, for --hardware", NULL, 0, NULL},
    DEVICE_OPTIONS(offsetof(PlanSettings, device), offsetof(PlanSettings, require),
                   "what to measure: auto, cpu or cuda", "With --hardware this"),
    {"seconds", OPTION_REAL, offsetof(PlanSettings, seconds), "S", "6",
     "about how long to measure rates", NULL, 0, NULL},
    {0},
};

static Status check_settings(const PlanSettings *s, Err *err)
{
    if (!s->model)
        return err_usage(err, "no model: --model FILE, or one of " PLAN_MODEL_PRESETS);
    if (s->context < 1 || s->context > INT64_C(1) << 40)
        return err_usage(err, "--context %lld is not from 1 to 1Ti", (long long)s->context);
    if (s->gpus < 0 || s->gpus > PLAN_RANKS_MAX)
        return err_usage(err, "--gpus %lld is not from 1 to %d", (long long)s->gpus,
                         PLAN_RANKS_MAX);
    if (s->ranks < 0 || s->ranks > PLAN_RANKS_MAX)
        return err_usage(err, "--ranks %lld is not from 1 to %d", (long long)s->ranks,
                         PLAN_RANKS_MAX);
    if (s->ranks && s->gpus)
        return err_usage(err, "--ranks and --gpus exclude each other: choose one");
    if (s->batch < 0 || s->batch > 1 << 20)
        return err_usage(err, "--batch %lld is not from 1 to 1Mi", (long long)s->batch);
    if (!(s->seconds > 0.0 && s->seconds <= 3600.0))
        return err_usage(err, "--seconds %g is not above 0", s->seconds);
    return STATUS_OK;
}

/* The largest power of two that is no more than `n`. */
static int64_t power_below(int64_t n)
{
    int64_t power = 1;
    while (power * 2 <= n)
        power *= 2;
    return power;
}

static Status get_hardware(const PlanSettings *s, PlanHardware *out, Err *err)
{
    if (plan_hardware_preset(s->hardware, out))
        return STATUS_OK;
    if (strcmp(s->hardware, "this") != 0) {
        if (plan_hardware_read(s->hardware, out, err) == STATUS_OK)
            return STATUS_OK;
        return file_exists(s->hardware)
                   ? STATUS_FAIL
                   : err_usage(err,
                               "no hardware '%s': choose " PLAN_HARDWARE_PRESETS
                               ", this, or a JSON file",
                               s->hardware);
    }
    int64_t ranks = s->ranks ? s->ranks : s->gpus ? s->gpus : parallel_cores();
    log_info("measuring this machine with up to %lld ranks", (long long)ranks);
    const Backend *ops;
    TRY(backend_open(s->device, &ops, err));
    TRY(backend_require(ops, s->require, err));
    return plan_hardware_measure(s->device, ranks, s->seconds, out, err);
}

static Status get_model(const PlanSettings *s, PlanModel *out, Err *err)
{
    if (plan_model_preset(s->model, out))
        return STATUS_OK;
    if (!file_exists(s->model))
        return err_usage(err, "no model '%s': a file, or one of " PLAN_MODEL_PRESETS, s->model);
    return plan_model_read(s->model, out, err);
}

static Status get_request(const PlanSettings *s, const PlanHardware *hardware, PlanRequest *out,
                          Err *err)
{
    int64_t most = s->ranks ? s->ranks : s->gpus ? s->gpus : power_below(hardware->ranks);
    if (most > hardware->ranks)
        return err_usage(err, "%lld ranks are more than the %lld that the links of %s join",
                         (long long)most, (long long)hardware->ranks, hardware->name);
    *out = (PlanRequest){.context = (double)s->context,
                         .ranks = most,
                         .min_ranks = s->ranks,
                         .batch = s->batch,
                         .weights = hardware->weights,
                         .lockstep = !s->hopb,
                         .literal = s->literal};
    if (strcmp(s->weights, "auto") != 0)
        TRY(err_of_usage(plan_type_parse(s->weights, &out->weights, err), err));
    out->kv = out->weights;
    if (strcmp(s->kv, "auto") != 0)
        TRY(err_of_usage(plan_type_parse(s->kv, &out->kv, err), err));
    if (!s->ttl)
        return STATUS_OK;
    TRY(err_of_usage(quantity_parse(s->ttl, "s", "--ttl", &out->ttl, err), err));
    return out->ttl > 0.0 ? STATUS_OK : err_usage(err, "--ttl %s is not above 0", s->ttl);
}

static Status save_hardware(const char *path, const PlanHardware *hardware, Err *err)
{
    json_t *json = plan_hardware_json(hardware);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(json);
    if (!text)
        return err_usage(err, "the name of the hardware is no UTF-8 text");
    Status status = file_write(path, text, strlen(text), err);
    free(text);
    return status;
}

static Status put_report(const PlanSettings *s, const PlanReport *report, Err *err)
{
    if (s->svg) {
        StrBuf svg = {0};
        plan_report_svg(report, &svg);
        Status status = file_write(s->svg, svg.data, (size_t)svg.size, err);
        strbuf_clear(&svg);
        TRY(status);
    }
    if (s->json) {
        json_t *json = plan_report_json(report);
        json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(json);
    } else {
        plan_report_text(report, stdout);
    }
    return STATUS_OK;
}

static Status plan_run(const void *settings, const StringList *positionals, Err *err)
{
    (void)positionals;
    const PlanSettings *s = settings;
    PlanModel model;
    PlanHardware hardware;
    PlanRequest request;
    PlanSearch search;
    TRY(check_settings(s, err));
    TRY(get_model(s, &model, err));
    TRY(get_hardware(s, &hardware, err));
    if (s->save_hardware)
        TRY(save_hardware(s->save_hardware, &hardware, err));
    TRY(get_request(s, &hardware, &request, err));
    TRY(planner_search(&model, &hardware, &request, &search, err));
    PlanReport report = {.model = &model,
                         .hardware = &hardware,
                         .request = &request,
                         .search = &search,
                         .best = plan_pick(&search, 1u << PLAN_HELIX, request.ttl)};
    Status status = put_report(s, &report, err);
    PlanPoint ignored;
    if (status == STATUS_OK && !report.best) /* says what would be fast enough */
        status = planner_best(&model, &hardware, &request, &ignored, err);
    plan_search_clear(&search);
    return status;
}

const Verb verb_plan = {
    .name = "plan",
    .summary = "which grid of ranks decodes a model fastest, for a context and a time per token",
    .positionals = "",
    .details =
        "A roofline with latencies over every Helix grid (kvp x tpa = tpf x ep ranks), batch and "
        "the layouts it is compared with: tp, tp+pp (pipeline stages), dp+ep (requests divided, "
        "experts divided), kvp (Medha). Listed are the points that no other one beats both in "
        "tokens per second and user (tokens/s/u) and in tokens per second and rank (tokens/s/r); "
        "'>' marks the Helix grid with the most tokens per rank within --ttl. A hardware file "
        "has the form that --save-hardware writes; its quantities may be texts with units "
        "(\"80GB\", \"3.35TB/s\", \"10us\"). Of the presets, gb200-nvl72 is what is known of the "
        "Helix paper's simulator.",
    .examples =
        {
            "plan --model llama-405b --hardware gb200-nvl72 --context 1M --ttl 20ms",
            "plan --model both.h5 --context 16K --ranks 4 --batch 8",
            "plan --model deepseek-r1 --hardware h200 --context 1M --weights fp8 --svg plan.svg",
        },
    .options = plan_options,
    .settings_size = sizeof(PlanSettings),
    .run = plan_run,
};
