#include "infer/eval/items_header.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/io/json_put.h"
#include "infer/eval/items.h"

/* The tasks' names, their shots, and the hash of each one's prompts. */
static void describe_tasks(const TaskRuns *runs, json_t *names, json_t *shots, json_t *hashes)
{
    for (int64_t i = 0; i < runs->count; i++) {
        const TaskRun *run = &runs->items[i];
        if (run->task->kind == TASK_BPB)
            continue;
        char text[SHA256_TEXT];
        Sha256 hash = question_groups_hash(&run->groups);
        hash_text(&hash, text);
        json_array_append_new(names, json_string(run->name));
        json_object_set_new(shots, run->name, json_integer(run->shots));
        json_object_set_new(hashes, run->name, json_string(text));
    }
}

Status items_header(json_t **out, const ItemsSettings *s, Err *err)
{
    struct stat info;
    if (stat(s->model_path, &info) != 0)
        return err_set(err, "%s: %s", s->model_path, strerror(errno));
    const LoadedModel *model = s->model;
    json_t *names = json_array(), *shots = json_object(), *hashes = json_object();
    describe_tasks(s->runs, names, shots, hashes);
    json_t *settings = json_pack(
        "{s:s, s:I, s:I, s:s, s:I, s:s, s:s, s:s, s:s, s:i, s:s}", "protocol",
        protocol_name(s->protocol), "limit", (json_int_t)s->limit, "seed", (json_int_t)s->seed,
        "split", s->split, "context", (json_int_t)s->context, "device", model->device.ops->name,
        "weights", s->weights, "compute", dtype_name(model->ensemble->experts[0]->compute), "kv",
        dtype_name(model->kv_dtype), "ranks", s->ranks, "grid", s->ranks > 1 ? s->grid : "");
    if (strcmp(s->rope->scaling, "model") != 0) {
        json_object_set_new(settings, "rope_scaling", json_string(s->rope->scaling));
        json_object_set_new(settings, "rope_factor", json_real(s->rope->factor));
    }
    *out = json_pack("{s:s, s:i, s:o, s:{s:I, s:I}, s:o, s:o, s:o, s:o}", "format", items_format,
                     "version", 1, "model", json_name(s->model_name), "model_file", "bytes",
                     (json_int_t)info.st_size, "modified", (json_int_t)info.st_mtime, "tasks",
                     names, "settings", settings, "shots", shots, "questions", hashes);
    CHECK(*out, "a header that is no JSON");
    return STATUS_OK;
}
