/* `cambium grow`: trains a model a few blocks at a time, each on top of frozen ones. */
#include <string.h>

#include "grow/driver.h"

typedef struct GrowSettings {
    RunSettings run;
    ModelSettings model;
    char *plan, *stages, *start, *train, *schedule, *cache;
    bool keep_stages;
    int64_t tokens, lora_rank;
    double lr, warmup, lora_alpha;
} GrowSettings;

#define AT(field) offsetof(GrowSettings, field)

const Verb verb_grow;

static const Option grow_options[] = {
    {"plan", OPTION_INPUT, AT(plan), "FILE", NULL, "the stages, as YAML", NULL, 0, "Plan"},
    {"stages", OPTION_TEXT, AT(stages), "N+N+...", NULL,
     "instead: blocks added by each stage, all else as below", NULL, 0, NULL},
    {"tokens", OPTION_INT, AT(tokens), "N", "1M", "of a stage", NULL, 0, NULL},
    {"lr", OPTION_REAL, AT(lr), "X", "0.001", "highest learning rate", NULL, 0, NULL},
    {"schedule", OPTION_CHOICE, AT(schedule), NULL, "cosine", "how it falls",
     "cosine|linear|constant|wsd", 0, NULL},
    {"warmup", OPTION_REAL, AT(warmup), "X", "0.05", "share of a stage in which it rises", NULL, 0,
     NULL},
    {"start", OPTION_CHOICE, AT(start), NULL, "random",
     "new blocks: random as published, or identity: the grown model equals the old one",
     "random|identity", 0, NULL},
    {"train", OPTION_TEXT, AT(train), "LIST", "newest,head",
     "what trains: embedding, newest, head, lora, all", NULL, 0, NULL},
    {"lora-rank", OPTION_INT, AT(lora_rank), "N", "8", "of low-rank pairs", "1..65536", 0, NULL},
    {"lora-alpha", OPTION_REAL, AT(lora_alpha), "X", "16", "their scale, times the rank",
     "1e-6..1e6", 0, NULL},
    {"cache-prefix", OPTION_CHOICE, AT(cache), NULL, "off",
     "keep the frozen prefix's output for windows that come again, in memory or in an HDF5 file "
     "of the run folder; on the CPU losses and weights stay the same to the last bit",
     "off|ram|disk", 0, NULL},
    {"keep-stages", OPTION_FLAG, AT(keep_stages), NULL, NULL,
     "also keep the model of each stage, as FOLDER/stage1.h5 and so on", NULL, 0, NULL},
    RUN_OPTIONS(GrowSettings, run),
    MODEL_OPTIONS(GrowSettings, model),
    {0},
};

static PrefixPlace prefix_place(const char *name)
{
    return strcmp(name, "ram") == 0    ? PREFIX_RAM
           : strcmp(name, "disk") == 0 ? PREFIX_DISK
                                       : PREFIX_OFF;
}

static Status read_plan(const GrowSettings *s, GrowPlan *plan, Err *err)
{
    GrowDefaults defaults = {.start =
                                 s->start[0] == 'i' ? BLOCK_START_IDENTITY : BLOCK_START_RANDOM,
                             .tokens = s->tokens,
                             .lr = s->lr,
                             .schedule = s->schedule,
                             .warmup = s->warmup,
                             .lora_rank = s->lora_rank,
                             .lora_alpha = s->lora_alpha,
                             .from_start = strcmp(s->run.data_from, "start") == 0};
    if (s->run.init)
        TRY(model_settings_keep_shape(err));
    if (prefix_place(s->cache) != PREFIX_OFF && s->run.ranks != 1)
        return err_usage(err, "--cache-prefix %s works with --ranks 1", s->cache);
    TRY(err_of_usage(grow_trains_parse(s->train, &defaults.trains, err), err));
    if ((s->plan != NULL) == (s->stages != NULL))
        return err_usage(err, "grow how? give --plan FILE or --stages 3+3+3");
    return s->plan ? grow_plan_read(plan, s->plan, &defaults, err)
                   : grow_plan_from_text(plan, s->stages, &defaults, err);
}

/* Options that stages are made of: the plan, which is compared by itself, says what became of them.
 */
static json_t *other_options(const GrowSettings *s)
{
    static const char *const planned[] = {"stages",     "tokens",   "lr",    "schedule",
                                          "warmup",     "start",    "train", "lora-rank",
                                          "lora-alpha", "data-from"};
    json_t *options = options_json(&verb_grow, s);
    for (size_t i = 0; i < sizeof planned / sizeof *planned; i++)
        json_object_del(options, planned[i]);
    return options;
}

static Status grow_verb(const void *settings, const StringList *positionals, Err *err)
{
    (void)positionals;
    const GrowSettings *s = settings;
    GrowPlan plan;
    TRY(read_plan(s, &plan, err));
    GrowJob job = {.settings = &s->run,
                   .options = other_options(s),
                   .model = &s->model,
                   .plan = &plan,
                   .cache_prefix = prefix_place(s->cache),
                   .keep_stages = s->keep_stages};
    Status status = s->run.dry_run ? grow_dry_run(&job, err) : grow_run(&job, err);
    grow_plan_clear(&plan);
    return status;
}

const Verb verb_grow = {
    .name = "grow",
    .summary = "train a model block by block, each stage on top of frozen blocks",
    .positionals = "",
    .examples =
        {
            "grow --stages 3+3+3 --tokens 2M --table table.h5 --data ru.pack -o ru",
            "grow --plan plan.yaml --table table.h5 --data ru.pack:0.7 --data zh.pack:0.3 -o mixed",
            "grow --plan plan.yaml --table table.h5 --data ru.pack -o ru --resume",
            "grow --init ru/model.h5 --stages 2 --tokens 1M --data ru.pack -o ru-taller",
        },
    .options = grow_options,
    .settings_size = sizeof(GrowSettings),
    .run = grow_verb,
};
