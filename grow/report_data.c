#include "grow/report_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/lines.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

/* A larger number is no measurement, and drawing it would overflow. */
static const double largest = 1e30;
static const int64_t file_limit = (int64_t)1 << 30;

static const char *const axis_keys[REPORT_AXES] = {"tokens", "flops"};

/* One line and where it stands, for errors. */
typedef struct Line {
    const json_t *object;
    const char *path;
    int64_t number;
} Line;

/* ---- members of a line ---------------------------------------------------------------------- */

/* A number, or NaN where the member is absent or null (a loss that was not finite). */
static Status number_member(const Line *line, const char *key, double *out, Err *err)
{
    const json_t *value = json_object_get(line->object, key);
    *out = NAN;
    if (!value || json_is_null(value))
        return STATUS_OK;
    if (!json_is_number(value) || !(fabs(json_number_value(value)) <= largest))
        return err_set(err, "%s:%lld: \"%s\" is not a number that can be drawn", line->path,
                       (long long)line->number, key);
    *out = json_number_value(value);
    return STATUS_OK;
}

static Status place_members(const Line *line, double at[REPORT_AXES], Err *err)
{
    for (int axis = 0; axis < REPORT_AXES; axis++) {
        TRY(number_member(line, axis_keys[axis], &at[axis], err));
        if (!(at[axis] >= 0.0))
            return err_set(err, "%s:%lld: \"%s\" is missing or negative", line->path,
                           (long long)line->number, axis_keys[axis]);
    }
    return STATUS_OK;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static ReportStage *stage_of(ReportRun *run, int64_t number)
{
    for (int64_t i = run->n_stages - 1; i >= 0; i--)
        if (run->stages[i].number == number)
            return &run->stages[i];
    run->stages =
        mem_grow(run->stages, &run->stages_capacity, run->n_stages + 1, sizeof *run->stages);
    ReportStage *stage = &run->stages[run->n_stages];
    *stage = (ReportStage){.number = number,
                           .blocks = NAN,
                           .layers = NAN,
                           .params_total = NAN,
                           .params_active = NAN,
                           .params_frozen = NAN,
                           .last_loss = NAN,
                           .last_bpb = NAN};
    if (run->n_stages > 0)
        memcpy(stage->begin, stage[-1].end, sizeof stage->begin);
    memcpy(stage->end, stage->begin, sizeof stage->end);
    run->n_stages++;
    return stage;
}

static Status read_stage(ReportStage *stage, const Line *line, Err *err)
{
    const char *train = json_string_value(json_object_get(line->object, "train"));
    free(stage->train);
    stage->train = train ? xstrdup(train) : NULL;
    memcpy(stage->begin, stage->end, sizeof stage->begin);
    TRY(number_member(line, "blocks", &stage->blocks, err));
    TRY(number_member(line, "layers", &stage->layers, err));
    TRY(number_member(line, "params_total", &stage->params_total, err));
    TRY(number_member(line, "params_active", &stage->params_active, err));
    return number_member(line, "params_frozen", &stage->params_frozen, err);
}

static void add_point(ReportCurve *curve, const ReportStage *stage, double value)
{
    if (isnan(value))
        return;
    curve->points =
        mem_grow(curve->points, &curve->capacity, curve->count + 1, sizeof *curve->points);
    ReportPoint *point = &curve->points[curve->count++];
    memcpy(point->at, stage->end, sizeof point->at);
    point->value = value;
}

static Status read_train(ReportRun *run, ReportStage *stage, const Line *line, Err *err)
{
    double loss, speed;
    TRY(number_member(line, "loss", &loss, err));
    TRY(number_member(line, "tokens_per_second", &speed, err));
    add_point(&run->loss, stage, loss);
    stage->last_loss = isnan(loss) ? stage->last_loss : loss;
    if (!isnan(speed)) {
        stage->speed_sum += speed;
        stage->speed_count++;
    }
    return STATUS_OK;
}

static ReportCurve *text_of(ReportRun *run, const char *text)
{
    for (int64_t i = 0; i < run->n_texts; i++)
        if (strcmp(run->texts[i].text, text) == 0)
            return &run->texts[i];
    run->texts = mem_grow(run->texts, &run->texts_capacity, run->n_texts + 1, sizeof *run->texts);
    run->texts[run->n_texts] = (ReportCurve){.text = xstrdup(text)};
    return &run->texts[run->n_texts++];
}

static const char *path_at(const json_t *sources, size_t i)
{
    return json_string_value(json_object_get(json_array_get(sources, i), "data"));
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The file's name, since runs started in different folders spell one path differently; the whole
 * path where two sources have the same name. NULL: the source has none. */
static const char *text_name(const json_t *sources, size_t i)
{
    const char *path = path_at(sources, i);
    for (size_t k = 0; path && k < json_array_size(sources); k++) {
        const char *other = path_at(sources, k);
        if (k != i && other && strcmp(last_part(other), last_part(path)) == 0)
            return path;
    }
    return path ? last_part(path) : NULL;
}

/* Every text by itself where the line names them: the mixtures of two runs do not compare. */
static Status read_eval(ReportRun *run, ReportStage *stage, const Line *line, Err *err)
{
    double bpb;
    TRY(number_member(line, "bpb", &bpb, err));
    stage->last_bpb = isnan(bpb) ? stage->last_bpb : bpb;
    const json_t *sources = json_object_get(line->object, "sources");
    if (json_array_size(sources) == 0)
        add_point(text_of(run, ""), stage, bpb);
    for (size_t i = 0; i < json_array_size(sources); i++) {
        Line source = {json_array_get(sources, i), line->path, line->number};
        const char *text = text_name(sources, i);
        if (!text)
            return err_set(err, "%s:%lld: a source without \"data\"", line->path,
                           (long long)line->number);
        TRY(number_member(&source, "bpb", &bpb, err));
        add_point(text_of(run, text), stage, bpb);
    }
    return STATUS_OK;
}

static Status read_sample(ReportRun *run, const ReportStage *stage, const Line *line, Err *err)
{
    const char *prompt = json_string_value(json_object_get(line->object, "prompt"));
    const char *text = json_string_value(json_object_get(line->object, "text"));
    if (!prompt || !text)
        return err_set(err, "%s:%lld: a sample without \"prompt\" or \"text\"", line->path,
                       (long long)line->number);
    run->samples =
        mem_grow(run->samples, &run->samples_capacity, run->n_samples + 1, sizeof *run->samples);
    run->samples[run->n_samples++] = (ReportSample){.stage = stage->number,
                                                    .tokens = stage->end[REPORT_TOKENS],
                                                    .prompt = xstrdup(prompt),
                                                    .text = xstrdup(text)};
    return STATUS_OK;
}

static ReportSource *source_of(ReportRun *run, const char *name)
{
    for (int64_t i = 0; i < run->n_sources; i++)
        if (strcmp(run->sources[i].name, name) == 0)
            return &run->sources[i];
    run->sources =
        mem_grow(run->sources, &run->sources_capacity, run->n_sources + 1, sizeof *run->sources);
    run->sources[run->n_sources] = (ReportSource){.name = xstrdup(name)};
    return &run->sources[run->n_sources++];
}

static Status read_data(ReportRun *run, const Line *line, Err *err)
{
    const json_t *sources = json_object_get(line->object, "sources");
    for (size_t i = 0; i < json_array_size(sources); i++) {
        Line one = {json_array_get(sources, i), line->path, line->number};
        const char *name = text_name(sources, i);
        if (!name)
            return err_set(err, "%s:%lld: a source without \"data\"", line->path,
                           (long long)line->number);
        ReportSource *source = source_of(run, name);
        TRY(number_member(&one, "tokens", &source->tokens, err));
        TRY(number_member(&one, "read", &source->read, err));
        TRY(number_member(&one, "seen", &source->seen, err));
        TRY(number_member(&one, "never", &source->never, err));
        TRY(number_member(&one, "epochs", &source->epochs, err));
    }
    return STATUS_OK;
}

double report_never_read(const ReportSource *source)
{
    return source->tokens > 0.0 ? 1.0 - source->seen / source->tokens : (double)NAN;
}

static Status read_line(ReportRun *run, const Line *line, Err *err)
{
    const char *event = json_string_value(json_object_get(line->object, "event"));
    if (!event)
        return err_set(err, "%s:%lld: a line without \"event\"", line->path,
                       (long long)line->number);
    const json_t *number = json_object_get(line->object, "stage");
    if (number && !json_is_integer(number))
        return err_set(err, "%s:%lld: \"stage\" is not a whole number", line->path,
                       (long long)line->number);
    double at[REPORT_AXES];
    TRY(place_members(line, at, err));
    ReportStage *stage = stage_of(run, number ? json_integer_value(number) : 1);
    memcpy(stage->end, at, sizeof at);
    if (strcmp(event, "stage") == 0)
        return read_stage(stage, line, err);
    if (strcmp(event, "train") == 0)
        return read_train(run, stage, line, err);
    if (strcmp(event, "sample") == 0)
        return read_sample(run, stage, line, err);
    if (strcmp(event, "eval") == 0)
        return read_eval(run, stage, line, err);
    if (strcmp(event, "data") == 0)
        return read_data(run, line, err);
    return STATUS_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

static Status read_lines(ReportRun *run, const char *path, const StrBuf *text, Err *err)
{
    for (TextLine at = lines_of(text->data, text->size); lines_next(&at);) {
        json_error_t why;
        json_t *object = json_loadb(at.text, (size_t)at.bytes, 0, &why);
        if (!object && !at.ended) {
            log_warn("%s:%lld: the last line was cut short (a crash?) and is left out", path,
                     (long long)at.number);
            break;
        }
        if (!object)
            return err_set(err, "%s:%lld: the line is not a JSON object: %s", path,
                           (long long)at.number, why.text);
        Line line = {.object = object, .path = path, .number = at.number};
        Status status = read_line(run, &line, err);
        json_decref(object);
        TRY(status);
    }
    int64_t points = run->loss.count;
    for (int64_t i = 0; i < run->n_texts; i++)
        points += run->texts[i].count;
    if (points == 0)
        return err_set(err, "%s holds no loss and no bits per byte: nothing to report yet", path);
    return STATUS_OK;
}

static Status read_run(ReportRun *run, const char *folder, Err *err)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    run->name = xstrndup(folder, length);
    if (!file_exists(run->name))
        return err_set(err, "%s: there is no such run folder", run->name);
    char *path = file_join(run->name, "metrics.jsonl");
    StrBuf text = {0};
    Status status = STATUS_OK;
    if (file_exists(path))
        status = file_read(path, file_limit, &text, err);
    else
        status = err_set(err,
                         "%s has no metrics.jsonl: give a folder that `cambium train` or "
                         "`cambium grow` wrote",
                         run->name);
    if (status == STATUS_OK)
        status = read_lines(run, path, &text, err);
    strbuf_clear(&text);
    free(path);
    return status;
}

static bool is_listed(const StringList *list, const char *text)
{
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

Status report_read(Report *out, const StringList *folders, Err *err)
{
    *out = (Report){.runs = xcalloc((size_t)folders->count, sizeof *out->runs),
                    .n_runs = folders->count};
    for (int64_t i = 0; i < folders->count; i++) {
        ReportRun *run = &out->runs[i];
        TRY(read_run(run, folders->items[i], err));
        for (int64_t k = 0; k < run->n_texts; k++)
            if (!is_listed(&out->texts, run->texts[k].text))
                string_list_add(&out->texts, run->texts[k].text);
    }
    return STATUS_OK;
}

static void run_clear(ReportRun *run)
{
    for (int64_t i = 0; i < run->n_stages; i++)
        free(run->stages[i].train);
    for (int64_t i = 0; i < run->n_samples; i++) {
        free(run->samples[i].prompt);
        free(run->samples[i].text);
    }
    for (int64_t i = 0; i < run->n_texts; i++) {
        free(run->texts[i].points);
        free(run->texts[i].text);
    }
    for (int64_t i = 0; i < run->n_sources; i++)
        free(run->sources[i].name);
    free(run->sources);
    free(run->texts);
    free(run->loss.points);
    free(run->stages);
    free(run->samples);
    free(run->name);
}

void report_clear(Report *report)
{
    for (int64_t i = 0; i < report->n_runs; i++)
        run_clear(&report->runs[i]);
    free(report->runs);
    string_list_clear(&report->texts);
    *report = (Report){0};
}

const ReportCurve *report_curve(const ReportRun *run, const char *text)
{
    if (!text)
        return run->loss.count ? &run->loss : NULL;
    for (int64_t i = 0; i < run->n_texts; i++)
        if (strcmp(run->texts[i].text, text) == 0)
            return run->texts[i].count ? &run->texts[i] : NULL;
    return NULL;
}
