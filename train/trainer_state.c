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
    LoaderState loader = loader_state(t->ranks[0].loader);
    json_t *drawn = json_array();
    for (int64_t i = 0; i < t->setup.n_sources; i++)
        json_array_append_new(drawn, json_integer(loader.drawn[i]));
    json_t *json = json_pack("{s:I, s:I, s:f, s:o, s:o}", "step", (json_int_t)t->status.step,
                             "tokens", (json_int_t)t->status.tokens, "flops", t->status.flops,
                             "drawn", drawn, "settings", settings_json(t));
    put_measure(json, "loss", t->status.loss);
    put_measure(json, "eval_loss", t->status.eval_loss);
    put_measure(json, "eval_bpb", t->status.eval_bpb);
    Status status = container_put_json(writer, "/trainer", json, err);
    json_decref(json);
    return status;
}

static Status compare_settings(const Trainer *t, const json_t *saved, Err *err)
{
    json_t *own = settings_json(t);
    const char *key;
    json_t *value;
    Status status = STATUS_OK;
    json_object_foreach(own, key, value)
    {
        if (json_equal(value, json_object_get(saved, key)))
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

static Status restore_from(Trainer *t, const json_t *json, const Container *container, Err *err)
{
    json_t *drawn = json_object_get(json, "drawn");
    if (!json_is_integer(json_object_get(json, "step")) ||
        json_array_size(drawn) != (size_t)t->setup.n_sources)
        return err_set(err, "%s: /trainer is not what this program writes",
                       container_file(container));
    TRY(compare_settings(t, json_object_get(json, "settings"), err));
    LoaderState state = {{0}};
    for (size_t i = 0; i < json_array_size(drawn); i++)
        state.drawn[i] = json_integer_value(json_array_get(drawn, i));
    for (int r = 0; r < train_own_ranks(&t->setup.config); r++)
        TRY(loader_restore(t->ranks[r].loader, &state, err));
    t->status.step = json_integer_value(json_object_get(json, "step"));
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
