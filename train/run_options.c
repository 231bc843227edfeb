#include "train/run_options.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/io/json_put.h"

/* Where results go, what is said on the way, what other checks compare (the table and the first
 * model by their hashes), and what changes nothing but the order of sums. */
static const char *const free_options[] = {
    "output", "table",     "init",        "resume",     "dry-run",      "device",
    "ranks",  "comm",      "json",        "eval-every", "save-every",   "sample-every",
    "prompt", "log-every", "eval-tokens", "plan",       "cache-prefix", "deterministic"};

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

Status run_options_compare(const json_t *now, const json_t *then, const char *folder, Err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, name, value)
    {
        const json_t *old = json_object_get(then, name);
        if (!old || json_equal(value, old))
            continue;
        char *was = json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        char *is = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        err_set(err,
                "--%s is %s, but %s was started with %s; resume with the same options, or choose "
                "another folder",
                name, is, folder, was);
        free(was);
        free(is);
        return STATUS_FAIL;
    }
    return STATUS_OK;
}
