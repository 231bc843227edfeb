#include "train/run_impl.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/log.h"

/* A model that was not trained here has rows of at most so many tokens, unless --row says. */
enum { ROW_MAX = 512 };

/* The file of the model that the run goes on with; NULL for a new one. */
static const char *base_path(const Run *run)
{
    return run->resumes ? run->model_path : run->settings->init;
}

static Status take_model(Run *run, const Container *container, Err *err)
{
    CheckpointInfo info;
    TRY(checkpoint_info_read(container, &info, err));
    run->table = info.table;
    run->learns_table = info.experts[0].config.embedding == EMBEDDING_LEARNED;
    run->table_meta = json_incref(info.meta);
    checkpoint_info_clear(&info);
    return reading_read(container, &run->reading, err);
}

static Status read_file(Run *run, const char *path, bool is_model, Err *err)
{
    Container *container;
    TRY(container_open(&container, path, err));
    Status status = tokenizer_read(container, &run->tokenizer, err);
    if (status == STATUS_OK)
        status = is_model ? take_model(run, container, err)
                          : table_info_read(container, &run->table, &run->table_meta, err);
    container_close(container);
    return status;
}

static Status compare_table(const Run *run, const TableInfo *table, const Tokenizer *tokenizer,
                            Err *err)
{
    Sha256 own = tokenizer_hash(tokenizer_spec(run->tokenizer));
    Sha256 other = tokenizer_hash(tokenizer_spec(tokenizer));
    const char *given = run->settings->table, *model = base_path(run);
    if (!hash_equal(&own, &other))
        return err_set(err,
                       "--table %s has another tokenizer than %s; leave --table out, or give the "
                       "table that the model was made with",
                       given, model);
    /* A learned table has a hash of its own once it is frozen. */
    if (!run->learns_table && strcmp(run->table.hash, table->hash) != 0)
        return err_set(err,
                       "--table %s is not the table of %s (SHA-256 %.12s... instead of %.12s...); "
                       "leave --table out, or give that one",
                       given, model, table->hash, run->table.hash);
    return STATUS_OK;
}

/* Beside a model a table file must be the one that the model stands on. */
static Status check_table(const Run *run, Err *err)
{
    const char *path = run->settings->table;
    if (!path || (run->resumes && !file_exists(path)))
        return STATUS_OK;
    Container *container;
    Tokenizer *tokenizer = NULL;
    TableInfo table;
    json_t *meta = NULL;
    TRY(container_open(&container, path, err));
    Status status = tokenizer_read(container, &tokenizer, err);
    if (status == STATUS_OK)
        status = table_info_read(container, &table, &meta, err);
    if (status == STATUS_OK)
        status = compare_table(run, &table, tokenizer, err);
    json_decref(meta);
    tokenizer_free(tokenizer);
    container_close(container);
    return status;
}

Status run_read_source(Run *run, Err *err)
{
    const char *base = base_path(run);
    if (base) {
        TRY(read_file(run, base, true, err));
        return check_table(run, err);
    }
    if (!run->settings->table)
        return err_usage(err, "a new model stands on a table: --table FILE ('cambium embed')");
    return read_file(run, run->settings->table, false, err);
}

Status run_base_config(const Run *run, const ModelSettings *settings, ModelConfig *out, Err *err)
{
    Container *container;
    CheckpointInfo info;
    TRY(container_open(&container, base_path(run), err));
    Status status = checkpoint_info_read(container, &info, err);
    container_close(container);
    TRY(status);
    if (info.n_experts == 1)
        *out = info.experts[0].config;
    else
        status = err_set(err, "%s has %" PRId64 " experts; train one of them, and merge again",
                         base_path(run), info.n_experts);
    checkpoint_info_clear(&info);
    TRY(status);
    if (run->resumes)
        return STATUS_OK;
    int64_t context = out->context;
    TRY(model_settings_adapt(settings, out, err));
    if (out->context > context)
        log_info("the context grows from %" PRId64 " to %" PRId64
                 "; rotary frequencies stay as they are",
                 context, out->context);
    return STATUS_OK;
}

/* Of the rows that were read last; 0: none. */
static int64_t last_row(const Reading *reading)
{
    if (reading->n_mixture == 0)
        return 0;
    const ReadSource *source = &reading->sources[reading->mixture[0].source];
    return source->n_passes ? source->passes[source->n_passes - 1].window : 0;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

Status run_choose_row(Run *run, const ModelSettings *settings, const ModelConfig *config, Err *err)
{
    const RunSettings *s = run->settings;
    int64_t context = config->context, last = last_row(&run->reading);
    if (s->row < 0)
        return err_usage(err, "--row is at least 1 (0: as long as the context)");
    if (s->row > context)
        return err_usage(err,
                         "--row %" PRId64 " is longer than the context of %" PRId64
                         "; give --context %" PRId64 " too",
                         s->row, context, s->row);
    if (s->row > 0)
        run->row = s->row;
    else if (run->resumes)
        run->row = last > 0 ? last : context;
    else if (!s->init)
        run->row = context;
    else if (options_given("context"))
        run->row = smaller(settings->context, context);
    else
        run->row = smaller(last > 0 ? last : ROW_MAX, context);
    if (s->init)
        log_info("rows of %" PRId64 " tokens in a context of %" PRId64 ", dropout %g", run->row,
                 context, config->dropout);
    return STATUS_OK;
}
