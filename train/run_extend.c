/* Finished runs that go on: the trainer of the last stage is kept beside the model. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "train/run_impl.h"

static char *trainer_path(const Run *run)
{
    return file_join(run->settings->out, "trainer.h5");
}

static Status put_trainer(ContainerWriter *writer, const Trainer *trainer, Err *err)
{
    json_t *meta = json_pack("{s:i, s:s}", "format", FILE_FORMAT, "kind", "trainer");
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    return status == STATUS_OK ? trainer_put(trainer, writer, err) : status;
}

Status run_keep_trainer(const Run *run, const Trainer *trainer, Err *err)
{
    if (!run->ranks.is_first)
        return STATUS_OK;
    char *path = trainer_path(run);
    ContainerWriter *writer;
    Status status = container_create(&writer, path, err);
    if (status == STATUS_OK) {
        status = put_trainer(writer, trainer, err);
        if (status == STATUS_OK)
            status = container_commit(writer, err);
        else
            container_abandon(writer);
    }
    free(path);
    return status;
}

static const json_t *last_stage(const Run *run)
{
    size_t n = json_array_size(run->history);
    return n ? json_array_get(run->history, n - 1) : NULL;
}

int64_t run_steps_done(const Run *run)
{
    return json_integer_value(json_object_get(last_stage(run), "steps"));
}

/* Whether the file holds the trainer of the stage that was finished last. */
static Status check_kept(const Run *run, const char *path, Err *err)
{
    Container *kept;
    json_t *json;
    TRY(container_open(&kept, path, err));
    Status status = container_json(kept, "/trainer", &json, err);
    container_close(kept);
    TRY(status);
    bool same = json_integer_value(json_object_get(json, "step")) == run_steps_done(run) &&
                json_integer_value(json_object_get(json, "tokens")) == run->tokens;
    json_decref(json);
    return same ? STATUS_OK : err_set(err, "%s is of another stage", path);
}

Status run_extend(Run *run, char **state, Err *err)
{
    *state = trainer_path(run);
    if (!file_exists(*state) || check_kept(run, *state, err) != STATUS_OK) {
        err_set(err,
                "%s has no trainer of the finished stage (none is kept where LoRA pairs were "
                "folded): grow on by another stage, or begin a new run with --init %s",
                *state, run->model_path);
        free(*state);
        *state = NULL;
        return STATUS_FAIL;
    }
    json_array_remove(run->history, json_array_size(run->history) - 1);
    return STATUS_OK;
}
