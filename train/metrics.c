#include "train/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

struct Metrics {
    char *path;
    FILE *file;
    int failed; /* errno of the first write that failed */
};

static Status open_file(Metrics *metrics, Err *err)
{
    metrics->file = fopen(metrics->path, "a");
    if (!metrics->file)
        return err_set(err, "cannot write %s: %s", metrics->path, strerror(errno));
    return STATUS_OK;
}

Status metrics_open(Metrics **out, const char *folder, Err *err)
{
    Metrics *metrics = xcalloc(1, sizeof *metrics);
    metrics->path = file_join(folder, "metrics.jsonl");
    *out = NULL;
    if (open_file(metrics, err) != STATUS_OK) {
        metrics_close(metrics);
        return STATUS_FAIL;
    }
    *out = metrics;
    return STATUS_OK;
}

void metrics_close(Metrics *metrics)
{
    if (!metrics)
        return;
    if (metrics->file)
        fclose(metrics->file);
    free(metrics->path);
    free(metrics);
}

void metrics_write(Metrics *metrics, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(line);
    CHECK(text, "a metrics line that is not JSON");
    bool ok = fprintf(metrics->file, "%s\n", text) >= 0 && fflush(metrics->file) == 0;
    if (!ok && !metrics->failed)
        metrics->failed = errno ? errno : EIO;
    free(text);
}

Status metrics_check(const Metrics *metrics, Err *err)
{
    if (metrics->failed)
        return err_set(err, "cannot write %s: %s", metrics->path, strerror(metrics->failed));
    return STATUS_OK;
}

/* A line that was cut off by a crash is dropped too. */
static bool line_stays(const char *text, size_t bytes, MetricsKeep *keep, void *context)
{
    json_t *line = json_loadb(text, bytes, 0, NULL);
    bool stays = line && keep(context, line);
    json_decref(line);
    return stays;
}

Status metrics_rewind(Metrics *metrics, MetricsKeep *keep, void *context, Err *err)
{
    StrBuf all = {0}, kept = {0};
    TRY(file_read(metrics->path, 0, &all, err));
    for (const char *at = all.data; at && *at;) {
        const char *end = strchr(at, '\n');
        size_t bytes = end ? (size_t)(end - at) + 1 : strlen(at);
        if (end && line_stays(at, bytes, keep, context))
            strbuf_append(&kept, at, bytes);
        at += bytes;
    }
    fclose(metrics->file);
    metrics->file = NULL;
    Status status = file_write(metrics->path, kept.data ? kept.data : "", (size_t)kept.size, err);
    strbuf_clear(&all);
    strbuf_clear(&kept);
    TRY(status);
    return open_file(metrics, err);
}
