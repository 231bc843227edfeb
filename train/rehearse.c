#include "train/rehearse.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/base/log.h"

/* Tokens that are read again in the course of it. */
static int64_t again(const ReadCoverage *before, const ReadCoverage *after)
{
    return (after->read - after->seen) - (before->read - before->seen);
}

static const char *name_of(const RunData *data, int64_t i)
{
    return file_base_name(pack_info(data->packs[i])->path);
}

static void warn(const Rehearsal *what, const ReadCoverage *before, const ReadCoverage *after)
{
    for (int64_t i = 0; i < what->data->count; i++) {
        int64_t twice = again(&before[i], &after[i]);
        if (twice <= 0)
            continue;
        /* Rows of another length cut into those that were read: a little repeats. */
        bool much = what->from_start || 4 * twice > after[i].read - before[i].read;
        if (after[i].never > 0 && much)
            log_warn("%s reads %" PRId64 " tokens of %s again while %" PRId64
                     " of it were never read%s",
                     what->name, twice, name_of(what->data, i), after[i].never,
                     what->from_start ? " (it begins at the start; else it would read on)" : "");
        for (int64_t k = 0; k < what->data->count; k++)
            if (k != i && after[k].never > 0 && again(&before[k], &after[k]) <= 0) {
                log_warn("%s reads %" PRId64 " tokens of %s again while %" PRId64
                         " of %s are never read; its share of the mixture is larger than its share "
                         "of the tokens",
                         what->name, twice, name_of(what->data, i), after[k].never,
                         name_of(what->data, k));
                break;
            }
    }
}

Status run_rehearse(const Run *run, const Rehearsal *what, Reading *reading, Rehearsed *out,
                    Err *err)
{
    const RunData *data = what->data;
    TRY(run_check_data(run, data, err));
    int64_t batch = run->settings->batch, rows = what->steps * batch;
    LoaderConfig config = {.sources = data->sources,
                           .n_sources = data->count,
                           .batch = batch,
                           .window = run->row,
                           .seed = (uint64_t)run->settings->seed,
                           .ranks = 1,
                           .reading = reading,
                           .from_start = what->from_start};
    Loader *loader = loader_new(&config, err);
    if (!loader)
        return STATUS_FAIL;
    ReadCoverage before[LOADER_MAX_SOURCES], after[LOADER_MAX_SOURCES];
    for (int64_t i = 0; i < data->count; i++)
        before[i] = loader_coverage(loader, i);
    *out = (Rehearsed){.windows = loader_windows(loader), .repeats = loader_skip(loader, rows)};
    out->windows = rows < out->windows ? rows : out->windows;
    for (int64_t i = 0; i < data->count; i++)
        after[i] = loader_coverage(loader, i);
    if (!what->quiet)
        warn(what, before, after);
    reading_copy(reading, loader_reading(loader));
    reading->steps += what->steps;
    loader_free(loader);
    return STATUS_OK;
}
