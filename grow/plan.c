#include "grow/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/options.h"
#include "core/cli/yaml_file.h"
#include "core/io/json_put.h"
#include "train/schedule.h"

enum { STAGES_MAX = 1000 };

/* ---- what trains ------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    size_t offset;
} trains_names[] = {
    {"embedding", offsetof(GrowTrains, embedding)},
    {"newest", offsetof(GrowTrains, newest)},
    {"head", offsetof(GrowTrains, head)},
    {"lora", offsetof(GrowTrains, lora)},
    {"all", offsetof(GrowTrains, all)},
};
enum { TRAINS_NAMES = sizeof trains_names / sizeof *trains_names };

static Status trains_add(GrowTrains *trains, const char *word, Err *err)
{
    for (int i = 0; i < TRAINS_NAMES; i++)
        if (strcmp(trains_names[i].name, word) == 0) {
            *(bool *)((char *)trains + trains_names[i].offset) = true;
            return STATUS_OK;
        }
    return err_set(err, "'%s' cannot train; choose from embedding, newest, head, lora and all",
                   word);
}

Status grow_trains_parse(const char *text, GrowTrains *out, Err *err)
{
    *out = (GrowTrains){0};
    char *copy = xstrdup(text), *rest = copy, *word;
    Status status = STATUS_OK;
    while (status == STATUS_OK && (word = strsep(&rest, ",+ ")) != NULL)
        if (*word)
            status = trains_add(out, word, err);
    free(copy);
    return status;
}

void grow_trains_text(const GrowTrains *trains, char *text, size_t size)
{
    StrBuf buf = {0};
    for (int i = 0; i < TRAINS_NAMES; i++)
        if (*(const bool *)((const char *)trains + trains_names[i].offset)) {
            strbuf_puts(&buf, buf.size ? "," : "");
            strbuf_puts(&buf, trains_names[i].name);
        }
    snprintf(text, size, "%s", buf.size ? buf.data : "nothing");
    strbuf_clear(&buf);
}

/* ---- stages -----------------------------------------------------------------------------------
 */

static GrowStage *plan_add(GrowPlan *plan, const GrowDefaults *d)
{
    plan->stages =
        mem_grow(plan->stages, &plan->capacity, plan->n_stages + 1, sizeof *plan->stages);
    GrowStage *stage = &plan->stages[plan->n_stages++];
    *stage = (GrowStage){.start = d->start,
                         .trains = d->trains,
                         .tokens = d->tokens,
                         .lr = d->lr,
                         .schedule = xstrdup(d->schedule),
                         .warmup = d->warmup,
                         .lora_rank = d->lora_rank,
                         .lora_alpha = d->lora_alpha,
                         .lora_fold = true,
                         .from_start = d->from_start};
    return stage;
}

void grow_plan_clear(GrowPlan *plan)
{
    for (int64_t i = 0; i < plan->n_stages; i++) {
        free(plan->stages[i].schedule);
        string_list_clear(&plan->stages[i].data);
    }
    free(plan->stages);
    *plan = (GrowPlan){0};
}

static bool is_schedule(const char *name)
{
    static const char *const names[] = {"cosine", "linear", "constant", "wsd"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static Status check_stage(const GrowStage *s, bool first, Err *err)
{
    const GrowTrains *t = &s->trains;
    if (s->blocks < 0 || s->blocks > 100000)
        return err_set(err, "blocks: %lld is not a number of blocks", (long long)s->blocks);
    if (s->tokens <= 0)
        return err_set(err, "tokens: a stage trains on at least one token");
    if (s->tokens > SCHEDULE_MAX)
        return err_set(err, "tokens: a stage trains on at most %lld tokens",
                       (long long)SCHEDULE_MAX);
    if (!(s->lr > 0.0))
        return err_set(err, "lr: a learning rate is above 0");
    if (!(s->warmup >= 0.0 && s->warmup <= 1.0))
        return err_set(err, "warmup: a share of the stage between 0 and 1");
    if (!is_schedule(s->schedule))
        return err_set(err, "schedule: '%s' is none of cosine, linear, constant, wsd", s->schedule);
    if (!t->embedding && !t->newest && !t->head && !t->lora && !t->all)
        return err_set(err, "train: nothing trains in this stage");
    if (t->newest && s->blocks == 0 && !first)
        return err_set(err, "train: newest needs a stage that adds blocks");
    if (s->lora_given && !t->lora)
        return err_set(err, "lora: this stage trains none; add lora to train, or leave this out");
    if (t->lora && (s->lora_rank < 1 || !(s->lora_alpha > 0.0)))
        return err_set(err, "lora: a rank of at least 1 and an alpha above 0");
    return STATUS_OK;
}

Status grow_plan_from_text(GrowPlan *plan, const char *stages, const GrowDefaults *defaults,
                           Err *err)
{
    *plan = (GrowPlan){0};
    char *copy = xstrdup(stages), *rest = copy, *word;
    Status status = STATUS_OK;
    while (status == STATUS_OK && (word = strsep(&rest, "+")) != NULL) {
        int64_t blocks;
        if (plan->n_stages >= STAGES_MAX || option_parse_int(word, &blocks) != STATUS_OK) {
            status =
                err_usage(err, "--stages takes numbers of blocks such as 3+3+3, not '%s'", stages);
            break;
        }
        GrowStage *stage = plan_add(plan, defaults);
        stage->blocks = blocks;
        status = check_stage(stage, plan->n_stages == 1, err);
        if (status != STATUS_OK)
            err_of_usage(err_wrap(err, "--stages %s", stages), err);
    }
    free(copy);
    if (status != STATUS_OK)
        grow_plan_clear(plan);
    return status;
}

/* ---- YAML -------------------------------------------------------------------------------------
 */

typedef struct Reader {
    yaml_document_t *document;
    const GrowDefaults *defaults;
} Reader;

static Status read_real(const char *key, const char *text, double *out, Err *err)
{
    char *end;
    *out = text ? strtod(text, &end) : 0.0;
    if (!text || end == text || *end || !isfinite(*out))
        return err_set(err, "%s wants a number", key);
    return STATUS_OK;
}

static Status read_count(const char *key, const char *text, int64_t *out, Err *err)
{
    if (!text || option_parse_int(text, out) != STATUS_OK)
        return err_set(err, "%s wants a whole number (also 64K, 2M)", key);
    return STATUS_OK;
}

static Status read_bool(const char *key, const char *text, bool *out, Err *err)
{
    if (!text || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
        return err_set(err, "%s wants true or false", key);
    *out = text[0] == 't';
    return STATUS_OK;
}

/* A scalar or a list of scalars, each given to `add`. */
static Status read_words(Reader *r, const char *key, yaml_node_t *value,
                         Status (*add)(void *, const char *, Err *), void *target, Err *err)
{
    if (yaml_scalar(value))
        return add(target, yaml_scalar(value), err);
    if (!value || value->type != YAML_SEQUENCE_NODE)
        return err_set(err, "%s wants a word or a list of words", key);
    for (yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top; item++) {
        const char *text = yaml_scalar(yaml_document_get_node(r->document, *item));
        if (!text)
            return err_set(err, "%s wants a list of plain words", key);
        TRY(add(target, text, err));
    }
    return STATUS_OK;
}

static Status read_data_from(const char *text, bool *from_start, Err *err)
{
    *from_start = text && strcmp(text, "start") == 0;
    if (!*from_start && (!text || strcmp(text, "continue") != 0))
        return err_set(err, "data_from is start or continue, not '%s'", text ? text : "a list");
    return STATUS_OK;
}

static Status add_trains(void *target, const char *word, Err *err)
{
    return trains_add(target, word, err);
}

static Status add_data(void *target, const char *word, Err *err)
{
    (void)err;
    string_list_add(target, word);
    return STATUS_OK;
}

typedef Status PairReader(Reader *r, void *target, const char *key, yaml_node_t *value, Err *err);

/* Gives every pair of a mapping to `pair`; errors get the line. */
static Status read_mapping(Reader *r, yaml_node_t *node, PairReader *pair, void *target, Err *err)
{
    if (!node || node->type != YAML_MAPPING_NODE)
        return err_set(err, "wants lines of the form 'key: value'");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = yaml_document_get_node(r->document, p->key);
        if (!yaml_scalar(key))
            return err_set(err, "line %zu: a key must be plain text", key->start_mark.line + 1);
        if (pair(r, target, yaml_scalar(key), yaml_document_get_node(r->document, p->value), err) !=
            STATUS_OK) {
            /* An inner mapping has already said where. */
            return strncmp(err->text, "line ", 5) == 0
                       ? STATUS_FAIL
                       : err_wrap(err, "line %zu", key->start_mark.line + 1);
        }
    }
    return STATUS_OK;
}

static Status lora_pair(Reader *r, void *target, const char *key, yaml_node_t *value, Err *err)
{
    (void)r;
    GrowStage *stage = target;
    if (strcmp(key, "rank") == 0)
        return read_count(key, yaml_scalar(value), &stage->lora_rank, err);
    if (strcmp(key, "alpha") == 0)
        return read_real(key, yaml_scalar(value), &stage->lora_alpha, err);
    if (strcmp(key, "fold") == 0)
        return read_bool(key, yaml_scalar(value), &stage->lora_fold, err);
    return err_set(err, "lora has no key '%s'; there are rank, alpha and fold", key);
}

static Status stage_pair(Reader *r, void *target, const char *key, yaml_node_t *value, Err *err)
{
    GrowStage *stage = target;
    const char *text = yaml_scalar(value);
    if (strcmp(key, "blocks") == 0)
        return read_count(key, text, &stage->blocks, err);
    if (strcmp(key, "tokens") == 0)
        return read_count(key, text, &stage->tokens, err);
    if (strcmp(key, "lr") == 0)
        return read_real(key, text, &stage->lr, err);
    if (strcmp(key, "warmup") == 0)
        return read_real(key, text, &stage->warmup, err);
    stage->lora_given |= strcmp(key, "lora") == 0;
    if (strcmp(key, "lora") == 0)
        return read_mapping(r, value, lora_pair, stage, err);
    if (strcmp(key, "data") == 0)
        return read_words(r, key, value, add_data, &stage->data, err);
    if (strcmp(key, "train") == 0) {
        stage->trains = (GrowTrains){0};
        return read_words(r, key, value, add_trains, &stage->trains, err);
    }
    if (strcmp(key, "schedule") == 0 && text) {
        free(stage->schedule);
        stage->schedule = xstrdup(text);
        return STATUS_OK;
    }
    if (strcmp(key, "start") == 0 && text) {
        stage->start = strcmp(text, "identity") == 0 ? BLOCK_START_IDENTITY : BLOCK_START_RANDOM;
        if (strcmp(text, "identity") != 0 && strcmp(text, "random") != 0)
            return err_set(err, "start is random or identity, not '%s'", text);
        return STATUS_OK;
    }
    if (strcmp(key, "data_from") == 0)
        return read_data_from(text, &stage->from_start, err);
    static const char *const keys[] = {"blocks", "tokens", "lr",       "warmup", "lora",
                                       "data",   "train",  "schedule", "start",  "data_from"};
    const char *near = nearest_name(key, keys, sizeof keys / sizeof *keys);
    return err_set(err, "a stage has no key '%s'%s%s%s", key, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "");
}

static Status plan_pair(Reader *r, void *target, const char *key, yaml_node_t *value, Err *err)
{
    GrowPlan *plan = target;
    if (strcmp(key, "data_from") == 0)
        return STATUS_OK; /* read before; see plan_defaults_pair */
    if (strcmp(key, "stages") != 0)
        return err_set(err, "a plan has the keys 'stages' and 'data_from', not '%s'", key);
    if (!value || value->type != YAML_SEQUENCE_NODE)
        return err_set(err, "stages wants a list, each item with its keys");
    for (yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top; item++) {
        if (plan->n_stages >= STAGES_MAX)
            return err_set(err, "more than %d stages", STAGES_MAX);
        yaml_node_t *node = yaml_document_get_node(r->document, *item);
        GrowStage *stage = plan_add(plan, r->defaults);
        TRY(read_mapping(r, node, stage_pair, stage, err));
        if (check_stage(stage, plan->n_stages == 1, err) != STATUS_OK)
            return err_wrap(err, "line %zu", node->start_mark.line + 1);
    }
    return STATUS_OK;
}

/* What holds for all stages, wherever in the file it stands. */
static Status plan_defaults_pair(Reader *r, void *target, const char *key, yaml_node_t *value,
                                 Err *err)
{
    (void)r;
    GrowDefaults *defaults = target;
    return strcmp(key, "data_from") == 0
               ? read_data_from(yaml_scalar(value), &defaults->from_start, err)
               : STATUS_OK;
}

static Status read_document(GrowPlan *plan, yaml_document_t *document, const GrowDefaults *defaults,
                            Err *err)
{
    GrowDefaults own = *defaults;
    Reader reader = {.document = document, .defaults = &own};
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root)
        return err_set(err, "the plan is empty");
    TRY(read_mapping(&reader, root, plan_defaults_pair, &own, err));
    TRY(read_mapping(&reader, root, plan_pair, plan, err));
    return plan->n_stages ? STATUS_OK : err_set(err, "the plan has no stages");
}

typedef struct PlanTarget {
    GrowPlan *plan;
    const GrowDefaults *defaults;
} PlanTarget;

static Status read_plan(void *context, yaml_document_t *document, Err *err)
{
    const PlanTarget *target = context;
    return read_document(target->plan, document, target->defaults, err);
}

Status grow_plan_read(GrowPlan *plan, const char *path, const GrowDefaults *defaults, Err *err)
{
    *plan = (GrowPlan){0};
    PlanTarget target = {plan, defaults};
    Status status = yaml_file_read(path, read_plan, &target, err);
    if (status != STATUS_OK)
        grow_plan_clear(plan);
    return status;
}

json_t *grow_plan_json(const GrowPlan *plan)
{
    json_t *stages = json_array();
    for (int64_t i = 0; i < plan->n_stages; i++) {
        const GrowStage *s = &plan->stages[i];
        char trains[80];
        grow_trains_text(&s->trains, trains, sizeof trains);
        json_t *data = json_array();
        for (int64_t k = 0; k < s->data.count; k++)
            json_array_append_new(data, json_name(s->data.items[k]));
        json_array_append_new(
            stages,
            json_pack("{s:I, s:s, s:s, s:I, s:f, s:s, s:f, s:{s:I, s:f, s:b}, s:o, s:s}", "blocks",
                      (json_int_t)s->blocks, "start",
                      s->start == BLOCK_START_IDENTITY ? "identity" : "random", "train", trains,
                      "tokens", (json_int_t)s->tokens, "lr", s->lr, "schedule", s->schedule,
                      "warmup", s->warmup, "lora", "rank", (json_int_t)s->lora_rank, "alpha",
                      s->lora_alpha, "fold", s->lora_fold, "data", data, "data_from",
                      s->from_start ? "start" : "continue"));
    }
    return json_pack("{s:o}", "stages", stages);
}

/* Whether stage `i` of a plan that stands at stage `at` may have this value instead of the old one.
 */
static bool may_change(const char *key, const json_t *value, const json_t *then, int64_t i,
                       int64_t at)
{
    if (strcmp(key, "data_from") == 0 && !then)
        return true; /* older files do not know it */
    if (strcmp(key, "lr") == 0)
        return i >= at && json_number_value(value) < json_number_value(then);
    return strcmp(key, "tokens") == 0 && i == at;
}

/* Calls `found` for every value that differs from the stored plan's. */
typedef Status ChangeFound(const char *key, const json_t *value, const json_t *then, int64_t i,
                           int64_t at, Err *err);

static Status each_change(const json_t *stages, const json_t *old, int64_t at, ChangeFound *found,
                          Err *err)
{
    for (size_t i = 0; i < json_array_size(old); i++) {
        const char *key;
        json_t *value;
        json_object_foreach(json_array_get(stages, i), key, value)
        {
            const json_t *then = json_object_get(json_array_get(old, i), key);
            if (!json_equal(value, then))
                TRY(found(key, value, then, (int64_t)i, at, err));
        }
    }
    return STATUS_OK;
}

static Status refuse_change(const char *key, const json_t *value, const json_t *then, int64_t i,
                            int64_t at, Err *err)
{
    bool may = may_change(key, value, then, i, at);
    return may ? STATUS_OK : err_set(err, "'%s' of stage %lld", key, (long long)i + 1);
}

static Status tell_change(const char *key, const json_t *value, const json_t *then, int64_t i,
                          int64_t at, Err *err)
{
    (void)at, (void)err;
    if (then)
        log_warn("stage %lld: %s is %g from here on; it was %g", (long long)i + 1, key,
                 json_number_value(value), json_number_value(then));
    return STATUS_OK;
}

Status grow_plan_compare(const GrowPlan *plan, const json_t *stored, int64_t at, Err *err)
{
    json_t *own = grow_plan_json(plan);
    const json_t *stages = json_object_get(own, "stages"), *old = json_object_get(stored, "stages");
    size_t n = json_array_size(stages), before = json_array_size(old);
    Status status = STATUS_OK;
    if (n < before)
        status = err_set(err, "%zu stages, not %zu", n, before);
    if (status == STATUS_OK)
        status = each_change(stages, old, at, refuse_change, err);
    if (status == STATUS_OK)
        status = each_change(stages, old, at, tell_change, err);
    if (status == STATUS_OK && n > before)
        log_warn("the plan has more stages than it had: %zu, not %zu", n, before);
    json_decref(own);
    return status;
}
