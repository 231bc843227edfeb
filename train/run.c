#include "train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/load_model.h"
#include "core/tensor/libraries.h"
#include "train/run_options.h"
#include "train/run_sample.h"
#include "train/run_impl.h"

enum { BATCH_MAX = 1 << 20 };

/* ---- data --------------------------------------------------------------------------------------
 */

/* "FILE" or "FILE:WEIGHT"; a colon that is not followed by a number belongs to the name. */
static void split_weight(const char *text, char **path, double *weight)
{
    const char *colon = strrchr(text, ':');
    char *end;
    *weight = 1.0;
    *path = xstrdup(text);
    if (!colon || file_exists(text))
        return;
    double value = strtod(colon + 1, &end);
    if (end == colon + 1 || *end)
        return;
    *weight = value;
    (*path)[colon - text] = '\0';
}

Status run_data_open(RunData *data, const StringList *list, Err *err)
{
    *data = (RunData){.packs = xcalloc((size_t)list->count, sizeof *data->packs),
                      .sources = xcalloc((size_t)list->count, sizeof *data->sources)};
    if (list->count == 0)
        return err_usage(err, "train on what? --data PACK ('cambium pack' makes one)");
    for (int64_t i = 0; i < list->count; i++) {
        char *path;
        split_weight(list->items[i], &path, &data->sources[i].weight);
        Pack *pack = pack_open(path, err);
        if (pack && !(data->sources[i].weight > 0.0)) {
            err_usage(err, "--data %s: a weight is above 0", list->items[i]);
            pack_close(pack);
            pack = NULL;
        }
        free(path);
        if (!pack) {
            run_data_close(data);
            return STATUS_FAIL;
        }
        data->packs[data->count++] = pack;
        data->sources[i].pack = pack;
    }
    return STATUS_OK;
}

void run_data_close(RunData *data)
{
    for (int64_t i = 0; i < data->count; i++)
        pack_close(data->packs[i]);
    free(data->packs);
    free(data->sources);
    *data = (RunData){0};
}

Status run_check_data(const Run *run, const RunData *data, Err *err)
{
    Sha256 own = tokenizer_hash(tokenizer_spec(run->tokenizer));
    for (int64_t i = 0; i < data->count; i++) {
        const PackInfo *info = pack_info(data->packs[i]);
        if (memcmp(&info->tokenizer_hash, &own, sizeof own) != 0)
            return err_set(err,
                           "%s was packed with another tokenizer (%s); pack the text again with "
                           "this model's table",
                           info->path, info->tokenizer);
    }
    return STATUS_OK;
}

/* ---- opening -----------------------------------------------------------------------------------
 */

static Status choose_dtype(Run *run, Err *err)
{
    if (strcmp(run->settings->dtype, "auto") == 0) {
        run->compute = dtype_for_device(&run->device);
        return STATUS_OK;
    }
    return err_of_usage(dtype_parse(run->settings->dtype, &run->compute, err), err);
}

static Status read_place(Run *run, Err *err)
{
    Container *container;
    TRY(container_open(&container, run->model_path, err));
    Status status = container_verify(container, err);
    if (status == STATUS_OK)
        status = container_json(container, "/run", &run->place, err);
    if (status != STATUS_OK)
        err_wrap(err, "%s is not a run that can be resumed", run->settings->out);
    container_close(container);
    TRY(status);
    json_t *history = json_object_get(run->place, "history");
    if (!json_is_array(history) || !json_is_integer(json_object_get(run->place, "metrics_lines")))
        return err_set(err, "%s: /run is not what this program writes", run->model_path);
    json_decref(run->history);
    run->history = json_incref(history);
    run->tokens = json_integer_value(json_object_get(run->place, "tokens"));
    run->flops = json_number_value(json_object_get(run->place, "flops"));
    return run_options_compare(run->options, json_object_get(run->place, "options"),
                               run->settings->out, err);
}

/* One run in a folder at a time. */
static Status lock_folder(Run *run, Err *err)
{
    const char *folder = run->settings->out;
    run->made_folder = !file_exists(folder);
    TRY(file_make_folder(folder, err));
    char *path = file_join(folder, "run.lock"), *doing = xasprintf("trains in %s", folder);
    Status status = file_lock_take(&run->lock, path, doing, err);
    free(path);
    free(doing);
    return status;
}

static Status open_folder(Run *run, Err *err)
{
    const RunSettings *s = run->settings;
    bool exists = file_exists(run->model_path);
    if (exists && !s->resume)
        return err_set(err,
                       "%s holds a run already; go on with it (--resume) or choose another folder",
                       s->out);
    if (run->ranks.is_first && !exists && !s->resume && metrics_exist(s->out))
        return err_set(err,
                       "%s has the metrics.jsonl of a run whose checkpoint is not there; choose "
                       "another folder, or begin anew in this one with --resume",
                       s->out);
    if (s->resume && !exists)
        log_warn("%s holds no checkpoint yet: starting from the beginning", s->out);
    if (run->resumes)
        TRY(read_place(run, err));
    if (!run->ranks.is_first)
        return STATUS_OK;
    int64_t lines = json_integer_value(json_object_get(run->place, "metrics_lines"));
    return metrics_open(&run->metrics, s->out, lines, err);
}

/* Numbers that would overflow products of them, or divide by nothing, in a plan or a run. */
static Status check_settings(const RunSettings *s, Err *err)
{
    if (s->batch < 1 || s->batch > BATCH_MAX)
        return err_usage(err, "--batch is between 1 and %d", BATCH_MAX);
    if (s->micro_batch < 0 || s->micro_batch > s->batch)
        return err_usage(err, "--micro-batch is between 0 and the batch");
    if (s->ranks < 1 || s->ranks > s->batch)
        return err_usage(err, "--ranks is between 1 and the batch");
    if (s->eval_every < 0 || s->eval_tokens < 0 || s->save_every < 0 || s->sample_every < 0 ||
        s->log_every < 0)
        return err_usage(err, "--eval-every, --eval-tokens, --save-every, --sample-every and "
                              "--log-every are 0 or more");
    return STATUS_OK;
}

/* Whose work it is, before it begins, where the device has libraries that it may lack. */
static void tell_device(const Run *run)
{
    StrBuf workers = {0};
    backend_workers_text(run->device.ops, run->compute, &workers);
    if (workers.size > 0)
        log_info("computing on %s in %s: %s", run->device.ops->name, dtype_name(run->compute),
                 workers.data);
    strbuf_clear(&workers);
}

Status run_open(Run *run, const RunSettings *settings, json_t *options, Err *err)
{
    *run = (Run){.settings = settings, .options = options, .history = json_array()};
    RanksWish wish = {.kind = settings->comm,
                      .device = settings->device,
                      .require = settings->require,
                      .count = settings->ranks,
                      .count_given = options_given("ranks")};
    TRY(ranks_open(&run->ranks, &run->device, &wish, err));
    TRY(check_settings(settings, err));
    if (!settings->out && !settings->dry_run)
        return err_usage(err, "where to? -o FOLDER");
    TRY(choose_dtype(run, err));
    run->options = run_options_that_decide(run->options, run->compute);
    if (!settings->dry_run) {
        if (run->ranks.is_first)
            TRY(lock_folder(run, err));
        run->model_path = file_join(settings->out, "model.h5");
        run->resumes = settings->resume && file_exists(run->model_path);
    }
    TRY(run_read_source(run, err));
    if (settings->dry_run)
        return STATUS_OK;
    TRY(open_folder(run, err));
    if (run->ranks.is_first)
        tell_device(run);
    return STATUS_OK;
}

Status run_close(Run *run, Status status, Err *err)
{
    metrics_close(run->metrics);
    model_free(run->model);
    container_close(run->base);
    container_close(run->kept);
    container_close(run->table_file);
    tokenizer_free(run->tokenizer);
    status = ranks_close(&run->ranks, &run->device, status, err);
    json_decref(run->table_meta);
    json_decref(run->history);
    json_decref(run->place);
    json_decref(run->options);
    reading_clear(&run->reading);
    free(run->model_path);
    file_lock_release(&run->lock);
    if (run->made_folder)
        rmdir(run->settings->out); /* when nothing came into it */
    *run = (Run){0};
    return status;
}

/* ---- models ------------------------------------------------------------------------------------
 */

static Status give_table(Run *run, Err *err)
{
    TRY(container_open(&run->table_file, run->settings->table, err));
    Substrate substrate;
    TRY(table_load(run->table_file, "/embedding", &run->table, &run->device, &substrate, err));
    return model_take_table(run->model, &substrate, err);
}

Status run_new_model(Run *run, const ModelConfig *config, Err *err)
{
    uint64_t seed = (uint64_t)run->settings->seed;
    ModelOptions options = {
        .device = &run->device, .compute = run->compute, .weights = run->compute, .masters = true};
    TRY(model_new(&run->model, config, &options, err));
    if (config->embedding == EMBEDDING_LEARNED)
        TRY(model_start_embedding(run->model, seed, err));
    else
        TRY(give_table(run, err));
    return model_start_head(run->model, seed, err);
}

Status run_load_model(Run *run, const char *path, Err *err)
{
    model_free(run->model);
    container_close(run->base);
    container_close(run->kept);
    run->model = NULL;
    run->base = run->kept = NULL;
    TRY(container_open(&run->base, path, err));
    LoadOptions options = {.device = &run->device,
                           .compute = run->compute,
                           .weights = run->compute,
                           .train = true,
                           .table = run->settings->table};
    Ensemble *ensemble;
    TRY(ensemble_read(&ensemble, run->base, &options, err));
    return ensemble_take_model(ensemble, path, &run->model, err);
}

Status run_init_model(Run *run, const ModelSettings *settings, Err *err)
{
    TRY(run_load_model(run, run->settings->init, err));
    return model_settings_adapt(settings, &run->model->config, err);
}

/* ---- saving ------------------------------------------------------------------------------------
 */

typedef struct Extra {
    const json_t *place;
    const Reading *reading;
    const Trainer *trainer; /* or NULL */
} Extra;

static Status put_extra(void *context, ContainerWriter *writer, Err *err)
{
    const Extra *extra = context;
    TRY(container_put_json(writer, "/run", extra->place, err));
    return extra->trainer ? trainer_put(extra->trainer, writer, err)
                          : reading_put(extra->reading, writer, err);
}

static Status save_model(Run *run, const char *path, const json_t *place, const Trainer *trainer,
                         Err *err)
{
    char name[] = "model", *names[] = {name};
    Ensemble alone = {.n_experts = 1, .experts = &run->model, .names = names};
    int64_t lines;
    TRY(metrics_sync(run->metrics, &lines, err));
    /* What finished stages made of the run goes with every checkpoint. */
    json_t *full = json_deep_copy(place);
    json_object_set(full, "history", run->history);
    json_object_set(full, "options", run->options);
    json_object_set_new(full, "tokens", json_integer(run->tokens));
    json_object_set_new(full, "flops", json_real(run->flops));
    json_object_set_new(full, "metrics_lines", json_integer(lines));
    Extra extra = {.place = full, .reading = &run->reading, .trainer = trainer};
    CheckpointSave save = {.path = path,
                           .ensemble = &alone,
                           .tokenizer = tokenizer_spec(run->tokenizer),
                           .histories = &run->history,
                           .recipe = run->table.recipe,
                           .dtype = DTYPE_F32,
                           .base = run->base,
                           .kept = run->kept,
                           .pictures = run->base ? run->base : run->table_file,
                           .extra = put_extra,
                           .context = &extra};
    Status status = checkpoint_save(&save, err);
    json_decref(full);
    return status;
}

static Status save_first(Run *run, const char *path, const json_t *place, Err *err)
{
    TRY(ranks_agree(&run->ranks, STATUS_OK, err));
    Status status = run->ranks.is_first ? save_model(run, path, place, NULL, err) : STATUS_OK;
    return ranks_agree(&run->ranks, status, err);
}

Status run_save(Run *run, const json_t *place, Err *err)
{
    return save_first(run, run->model_path, place, err);
}

Status run_keep(Run *run, const char *name, const json_t *place, Err *err)
{
    char *path = file_join(run->settings->out, name);
    Status status = save_first(run, path, place, err);
    free(path);
    return status;
}

/* ---- training ----------------------------------------------------------------------------------
 */

TrainConfig run_train_config(const Run *run, const Schedule *schedule)
{
    const RunSettings *s = run->settings;
    TrainConfig c = train_config_default();
    c.schedule = *schedule;
    c.schedule.floor = s->floor;
    c.adamw.weight_decay = s->weight_decay;
    c.adamw.clip = s->clip;
    c.batch = s->batch;
    c.micro_batch = s->micro_batch;
    c.context = run->row;
    c.seed = (uint64_t)s->seed;
    c.ranks = run->ranks.count;
    c.processes = run->ranks.comm != NULL;
    c.eval_every = s->eval_every;
    c.eval_tokens = s->eval_tokens;
    c.save_every = s->save_every;
    c.sample_every = s->sample_every;
    c.log_every = s->log_every;
    return c;
}

typedef struct Hooks {
    Run *run;
    const RunStage *stage;
} Hooks;

static Status on_save(void *context, const Trainer *trainer, Err *err)
{
    Hooks *hooks = context;
    return save_model(hooks->run, hooks->run->model_path, hooks->stage->place, trainer, err);
}

static Status on_sample(void *context, const Trainer *trainer, Err *err)
{
    Hooks *hooks = context;
    Run *run = hooks->run;
    TrainerStatus status = trainer_status(trainer);
    return run_sample(run->model, run->tokenizer, run->settings->prompt, &status,
                      hooks->stage->fields, run->metrics, err);
}

static Status on_release(void *context, Err *err)
{
    Run *run = ((const Hooks *)context)->run;
    if (!run->ranks.is_first)
        return STATUS_OK;
    char *path = file_join(run->settings->out, "frozen.h5");
    Status status = checkpoint_keep_frozen(&run->kept, path, run->model, run->base, err);
    free(path);
    return status;
}

static void add_history(Run *run, const RunStage *stage, const TrainerStatus *status)
{
    json_t *entry = stage->fields ? json_deep_copy(stage->fields) : json_object();
    json_object_set_new(entry, "steps", json_integer(status->step));
    json_object_set_new(entry, "tokens", json_integer(status->tokens));
    json_object_set_new(entry, "flops", json_real(status->flops));
    json_object_set_new(entry, "loss", json_real(status->loss));
    if (isfinite(status->eval_bpb))
        json_object_set_new(entry, "bits_per_byte", json_real(status->eval_bpb));
    json_array_append_new(run->history, entry);
    run->tokens = status->tokens;
    run->flops = status->flops;
}

/* A trainer that stands where the stage begins or goes on. */
static Status new_trainer(Trainer **out, const Run *run, const RunStage *stage, Hooks *hooks,
                          Err *err)
{
    TRY(run_check_data(run, stage->data, err));
    TrainerSetup setup = {
        .model = run->model,
        .trained = stage->trained,
        .config = run_train_config(run, &stage->schedule),
        .sources = stage->data->sources,
        .n_sources = stage->data->count,
        .reading = &run->reading,
        .from_start = stage->from_start,
        .prefix = stage->prefix,
        .metrics = run->metrics,
        .fields = stage->fields,
        .tokens_before = run->tokens,
        .flops_before = run->flops,
        .hooks = {.context = hooks, .save = on_save, .sample = on_sample, .release = on_release},
        .quiet = !run->ranks.is_first,
        .comm = run->ranks.comm};
    TRY(trainer_new(out, &setup, err));
    if (!stage->restore)
        return STATUS_OK;
    if (!stage->state)
        return trainer_restore(*out, run->base, err);
    Container *kept;
    TRY(container_open(&kept, stage->state, err));
    Status status = trainer_restore(*out, kept, err);
    container_close(kept);
    return status;
}

Status run_train(Run *run, const RunStage *stage, TrainerStatus *out, Err *err)
{
    Hooks hooks = {.run = run, .stage = stage};
    Trainer *trainer = NULL;
    Status status = ranks_agree(&run->ranks, new_trainer(&trainer, run, stage, &hooks, err), err);
    if (status != STATUS_OK) {
        trainer_free(trainer);
        return status;
    }
    run->ranks.in_phase = true;
    status = trainer_run(trainer, err);
    run->ranks.in_phase = status == STATUS_FAIL;
    *out = trainer_status(trainer);
    if (status == STATUS_STOPPED)
        log_info("stopped after step %" PRId64 " of %" PRId64 "; %s holds it, and --resume goes on",
                 out->step, stage->schedule.steps, run->model_path);
    if (status == STATUS_OK && stage->keep_trainer)
        status = ranks_agree(&run->ranks, run_keep_trainer(run, trainer, err), err);
    if (status == STATUS_OK) {
        add_history(run, stage, out);
        trainer_reading(trainer, &run->reading);
    } else if (status == STATUS_STOPPED) {
        err_set(err,
                "stopped after step %" PRId64 " of %" PRId64
                "; %s is saved, and --resume goes on from there",
                out->step, stage->schedule.steps, run->model_path);
    }
    trainer_free(trainer);
    return status;
}

void run_write_opening(const Run *run, const RunOpening *opening, const TrainPlan *plan)
{
    if (!run->metrics)
        return;
    metrics_write(
        run->metrics,
        json_pack(
            "{s:s, s:i, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:f}",
            "event", "stage", "step", 0, "tokens", (json_int_t)run->tokens, "flops", run->flops,
            "seconds", 0.0, "stage", (json_int_t)opening->number, "stages",
            (json_int_t)opening->count, "blocks", (json_int_t)opening->blocks, "layers",
            (json_int_t)run->model->config.n_layers, "start",
            opening->start == BLOCK_START_IDENTITY ? "identity" : "random", "train",
            opening->trains, "params_total", (json_int_t)plan->params_total, "params_active",
            (json_int_t)plan->params_active, "params_frozen", (json_int_t)plan->params_frozen,
            "bytes_predicted", (json_int_t)plan->bytes, "flops_per_token", plan->flops_per_token));
}

void run_print_epochs(const Run *run, FILE *out)
{
    const Reading *reading = &run->reading;
    for (int64_t i = 0; i < reading->n_mixture; i++) {
        const ReadSource *source = &reading->sources[reading->mixture[i].source];
        fprintf(out, ", %.2f%s of %s", read_coverage(source).epochs, i ? "" : " epochs",
                source->name);
    }
}
