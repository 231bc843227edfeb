/* A trainer's place in its run, in checkpoints. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "train/trainer_impl.h"

/* Everything that decides the rest of the run; it must agree when the run goes on. */
static json_t *settings_json(const Trainer *t)
{
    const TrainConfig *c = &t->setup.config;
    Sha256 data = loader_fingerprint(t->ranks[0].loader);
    char text[SHA256_TEXT];
    hash_text(&data, text);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:f}",
                     "data", text, "batch", (json_int_t)c->batch, "context", (json_int_t)c->context,
                     "seed", (json_int_t)c->seed, "steps", (json_int_t)c->schedule.steps,
                     "schedule", schedule_name(c->schedule.kind), "lr", c->schedule.lr, "floor",
                     c->schedule.floor, "decay", c->schedule.decay, "warmup",
                     (json_int_t)c->schedule.warmup, "beta1", c->adamw.beta1, "beta2",
                     c->adamw.beta2, "eps", c->adamw.eps, "weight_decay", c->adamw.weight_decay,
                     "clip", c->adamw.clip);
}

/* A loss that is not there yet is NaN, which JSON cannot say: it is left out. */
static void put_measure(json_t *json, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(json, key, json_real(value));
}

Status trainer_put(const Trainer *t, ContainerWriter *writer, Err *err)
{
    TRY(optimizer_put(t->optimizer, writer, err));
    Reading reading = {0};
    trainer_reading(t, &reading);
    Status status = reading_put(&reading, writer, err);
    reading_clear(&reading);
    TRY(status);
    json_t *json = json_pack("{s:I, s:I, s:f, s:o, s:o}", "step", (json_int_t)t->status.step,
                             "tokens", (json_int_t)t->status.tokens, "flops", t->status.flops,
                             "began", reading_json(&t->began), "settings", settings_json(t));
    put_measure(json, "loss", t->status.loss);
    put_measure(json, "eval_loss", t->status.eval_loss);
    put_measure(json, "eval_bpb", t->status.eval_bpb);
    status = container_put_json(writer, "/trainer", json, err);
    json_decref(json);
    return status;
}

static bool is_of_schedule(const char *key)
{
    static const char *const keys[] = {"steps", "schedule", "lr", "floor", "decay", "warmup"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static Status compare_settings(const Trainer *t, const json_t *saved, Err *err)
{
    json_t *own = settings_json(t);
    const char *key;
    json_t *value;
    Status status = STATUS_OK;
    json_object_foreach(own, key, value)
    {
        if (is_of_schedule(key) || json_equal(value, json_object_get(saved, key)))
            continue;
        status = err_set(err,
                         "'%s' is not what the run was started with; resume with the same data and "
                         "settings, or start a new run",
                         key);
        break;
    }
    json_decref(own);
    return status;
}

static void get_measure(const json_t *json, const char *key, double *out)
{
    const json_t *value = json_object_get(json, key);
    if (json_is_number(value))
        *out = json_number_value(value);
}

/* What files without /loader say: windows drawn from each source, in this stage. */
static Status reading_from_drawn(const Trainer *t, const json_t *drawn, Reading *out, Err *err)
{
    const TrainConfig *c = &t->setup.config;
    *out = (Reading){0};
    reading_copy(out, &t->began);
    for (int64_t i = 0; i < t->setup.n_sources; i++) {
        ReadSource *source = &out->sources[reading_source(out, pack_info(t->sources[i].pack))];
        int64_t count = json_integer_value(json_array_get(drawn, (size_t)i));
        int64_t windows = read_windows(source->tokens, c->context);
        if (count < 0 || count > (int64_t)1 << 40) {
            reading_clear(out);
            return err_set(err, "/trainer: %lld windows drawn", (long long)count);
        }
        source->read = count * c->context;
        source->whole = count >= windows;
        source->n_passes = 1;
        source->passes[0] = (ReadPass){.window = c->context,
                                       .seed = (int64_t)c->seed,
                                       .stream = i,
                                       .epoch = count / windows,
                                       .drawn = count % windows};
        out->mixture[i].drawn = count;
    }
    return STATUS_OK;
}

static Status read_reading(const Trainer *t, const json_t *json, const Container *container,
                           Reading *out, Err *err)
{
    int64_t step = json_integer_value(json_object_get(json, "step"));
    if (!container_find(container, "/loader")) {
        TRY(reading_from_drawn(t, json_object_get(json, "drawn"), out, err));
        out->steps = step;
        return STATUS_OK;
    }
    TRY(reading_read(container, out, err));
    if (out->steps >= step)
        return STATUS_OK;
    reading_clear(out);
    return err_set(err, "%s: /loader has fewer steps than /trainer", container_file(container));
}

/* Windows that came before in the stage, whose prefix a run that nobody stopped would not compute
 * again. */
static Status know_windows(Trainer *t, const json_t *began, int64_t steps, Err *err)
{
    TrainRank *rank = &t->ranks[0];
    int64_t own = t->setup.config.batch / t->setup.config.ranks;
    reading_clear(&t->began);
    TRY(reading_parse(began, "/trainer", &t->began, err));
    if (!t->prefix_known)
        return STATUS_OK;
    TRY(loader_restore(rank->loader, &t->began, err));
    for (int64_t step = 0; step < steps; step++) {
        loader_next(rank->loader, NULL, rank->windows);
        trainer_know_windows(t, rank->windows, own);
    }
    return STATUS_OK;
}

static Status restore_from(Trainer *t, const json_t *json, const Container *container, Err *err)
{
    const json_t *began = json_object_get(json, "began");
    int64_t step = json_integer_value(json_object_get(json, "step"));
    if (!json_is_integer(json_object_get(json, "step")) || step < 0)
        return err_set(err, "%s: /trainer is not what this program writes",
                       container_file(container));
    TRY(compare_settings(t, json_object_get(json, "settings"), err));
    if (step > t->setup.config.schedule.steps)
        return err_set(err, "%lld steps are done already, of %lld", (long long)step,
                       (long long)t->setup.config.schedule.steps);
    t->status.step = step;
    if (began)
        TRY(know_windows(t, began, t->status.step, err));
    Reading reading;
    TRY(read_reading(t, json, container, &reading, err));
    t->steps_before = reading.steps - t->status.step;
    Status status = STATUS_OK;
    for (int r = 0; r < train_own_ranks(&t->setup.config) && status == STATUS_OK; r++)
        status = loader_restore(t->ranks[r].loader, &reading, err);
    reading_clear(&reading);
    TRY(status);
    t->status.tokens = json_integer_value(json_object_get(json, "tokens"));
    t->status.flops = json_number_value(json_object_get(json, "flops"));
    get_measure(json, "loss", &t->status.loss);
    get_measure(json, "eval_loss", &t->status.eval_loss);
    get_measure(json, "eval_bpb", &t->status.eval_bpb);
    t->saved_step = t->status.step;
    return optimizer_read(t->optimizer, container, t->status.step, err);
}

Status trainer_restore(Trainer *t, const Container *container, Err *err)
{
    json_t *json;
    TRY(container_json(container, "/trainer", &json, err));
    Status status = restore_from(t, json, container, err);
    json_decref(json);
    return status;
}
