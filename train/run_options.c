#include "train/run_options.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/io/json_put.h"

/* Where results go, what is said on the way, what other checks compare (the table and the first
 * model by their hashes), and what changes nothing but the order of sums. */
static const char *const free_options[] = {
    "output",      "table", "init",         "resume",        "dry-run",      "device", "ranks",
    "comm",        "json",  "eval-every",   "save-every",    "sample-every", "prompt", "log-every",
    "eval-tokens", "plan",  "cache-prefix", "deterministic", "require"};

json_t *run_options_that_decide(json_t *options, DType compute)
{
    for (size_t i = 0; i < sizeof free_options / sizeof *free_options; i++)
        json_object_del(options, free_options[i]);
    json_object_set_new(options, "dtype", json_string(dtype_name(compute)));
    json_t *data = json_object_get(options, "data");
    for (size_t i = 0; i < json_array_size(data); i++) {
        const char *path = json_string_value(json_array_get(data, i));
        if (path)
            json_array_set_new(data, i, json_name(file_base_name(path)));
    }
    return options;
}

/* Whether a run that goes on may have this value instead of the old one. */
static bool may_change(const char *name, const json_t *value, const json_t *old)
{
    if (strcmp(name, "steps") == 0 || strcmp(name, "tokens") == 0)
        return true;
    return strcmp(name, "lr") == 0 && json_number_value(value) < json_number_value(old);
}

static char *text_of(const json_t *value)
{
    return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
}

static Status refuse(const char *name, const json_t *value, const json_t *old, const char *folder,
                     Err *err)
{
    char *is = text_of(value), *was = text_of(old);
    err_set(err,
            "--%s is %s, but %s was started with %s; resume with the same options, or choose "
            "another folder",
            name, is, folder, was);
    free(is);
    free(was);
    return STATUS_FAIL;
}

static void tell(const char *name, const json_t *value, const json_t *old, const char *folder)
{
    if (json_number_value(value) == 0.0)
        return; /* the other of steps and tokens says how long */
    char *is = text_of(value), *was = text_of(old);
    log_warn("--%s is %s from here on; %s was started with %s", name, is, folder, was);
    free(is);
    free(was);
}

Status run_options_compare(const json_t *now, const json_t *then, const char *folder, Err *err)
{
    const char *name;
    json_t *value;
    for (int told = 0; told < 2; told++)
        json_object_foreach((json_t *)(uintptr_t)now, name, value)
        {
            const json_t *old = json_object_get(then, name);
            if (!old || json_equal(value, old))
                continue;
            if (!may_change(name, value, old))
                return refuse(name, value, old, folder, err);
            if (told)
                tell(name, value, old, folder);
        }
    return STATUS_OK;
}
