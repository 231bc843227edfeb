#include "train/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"

struct Metrics {
    char *path;
    FILE *file;
    int64_t lines;
    int failed; /* errno of the first write that failed */
};

/* Cuts off what is behind the first `lines` whole lines; a crash may have cut the last one. */
static Status keep_lines(Metrics *metrics, int64_t lines, Err *err)
{
    StrBuf all = {0};
    Status status = file_read(metrics->path, 0, &all, err);
    int64_t keep = 0;
    while (status == STATUS_OK && metrics->lines < lines) {
        const char *from = all.data + keep;
        const char *end = memchr(from, '\n', (size_t)(all.size - keep));
        if (!end)
            break;
        keep += end - from + 1;
        metrics->lines++;
    }
    if (keep < all.size && ftruncate(fileno(metrics->file), keep) != 0)
        status = err_set(err, "cannot shorten %s: %s", metrics->path, strerror(errno));
    strbuf_clear(&all);
    return status;
}

bool metrics_exist(const char *folder)
{
    struct stat info;
    char *path = file_join(folder, "metrics.jsonl");
    bool any = stat(path, &info) == 0 && info.st_size > 0;
    free(path);
    return any;
}

Status metrics_open(Metrics **out, const char *folder, int64_t lines, Err *err)
{
    Metrics *metrics = xcalloc(1, sizeof *metrics);
    metrics->path = file_join(folder, "metrics.jsonl");
    metrics->file = fopen(metrics->path, "a");
    *out = NULL;
    Status status = STATUS_OK;
    if (!metrics->file)
        status = err_set(err, "cannot write %s: %s", metrics->path, strerror(errno));
    else
        status = keep_lines(metrics, lines, err);
    if (status != STATUS_OK) {
        metrics_close(metrics);
        return status;
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
    metrics->lines++;
    free(text);
}

Status metrics_check(const Metrics *metrics, Err *err)
{
    if (metrics->failed)
        return err_set(err, "cannot write %s: %s", metrics->path, strerror(metrics->failed));
    return STATUS_OK;
}

Status metrics_sync(Metrics *metrics, int64_t *lines, Err *err)
{
    /* Pipes and the like cannot be synced (EINVAL) and need not be. */
    if (!metrics->failed && fsync(fileno(metrics->file)) != 0 && errno != EINVAL)
        metrics->failed = errno;
    *lines = metrics->lines;
    return metrics_check(metrics, err);
}
