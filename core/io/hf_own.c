#include "core/io/hf_own.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/block_type.h"
#include "core/io/json_put.h"

/* ---- names ----------------------------------------------------------------------------------- */

/* What belongs to no expert. */
static const char *const shared[] = {"pictures/mean", "pictures/components", "pictures/lengths",
                                     "adapter/w1",    "adapter/b1",          "adapter/w2",
                                     "adapter/b2"};
enum { PICTURES = 3, SHARED = sizeof shared / sizeof *shared };

static bool is_of_no_expert(const char *param)
{
    for (int i = 0; i < SHARED; i++)
        if (strcmp(param, shared[i]) == 0)
            return true;
    return false;
}

char *hf_own_name(int64_t expert, const char *param)
{
    if (strcmp(param, "embedding") == 0 && expert == 0)
        return xstrdup("embedding.weight");
    bool is_shared = is_of_no_expert(param);
    size_t length = strlen(param);
    bool bias = length > 5 && strcmp(param + length - 5, "_bias") == 0;
    char *name =
        is_shared ? xstrdup(param)
                  : xasprintf("experts.%lld.%.*s.%s", (long long)expert,
                              (int)(bias ? length - 5 : length), param, bias ? "bias" : "weight");
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '.';
    return name;
}

static int64_t is_there(const HfWeights *weights, int64_t expert, const char *param, Tensor shape)
{
    if (shape.n_dims == 0)
        return 0;
    char *name = hf_own_name(expert, param);
    const SafeEntry *entry = hf_weights_find(weights, name);
    free(name);
    return entry && entry->bytes > 0;
}

static int64_t known_of_expert(const CheckpointInfo *info, int64_t expert, const HfWeights *weights)
{
    const ModelConfig *config = &info->experts[expert].config;
    bool has_table = info->experts[expert].table_of == expert;
    int64_t known =
        has_table ? is_there(weights, expert, "embedding", tensor_1d(NULL, DTYPE_F32, 1)) : 0;
    for (int64_t layer = 0; layer < config->n_layers; layer++) {
        for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
            char param[96];
            snprintf(param, sizeof param, "blocks/%lld/%s", (long long)layer,
                     block_param_info(i).name);
            known += is_there(weights, expert, param, block_param_shape(config, i));
        }
    }
    for (int i = 0; i < HEAD_PARAM_COUNT; i++)
        known += is_there(weights, expert, head_param_info(i).name, head_param_shape(config, i));
    return known;
}

int64_t hf_own_known(const CheckpointInfo *info, const HfWeights *weights)
{
    int64_t known = 0;
    for (int i = 0; i < (info->rule == MERGE_ADAPTER ? SHARED : PICTURES); i++)
        known += is_there(weights, 0, shared[i], tensor_1d(NULL, DTYPE_F32, 1));
    for (int64_t expert = 0; expert < info->n_experts; expert++)
        known += known_of_expert(info, expert, weights);
    return known;
}

/* As the tensors say; pictures of a table that is learned by now are of no use. */
void hf_own_pictures(const CheckpointInfo *info, const HfWeights *weights, int64_t *side,
                     int64_t *kept)
{
    const SafeEntry *mean = hf_weights_find(weights, "pictures.mean");
    const SafeEntry *components = hf_weights_find(weights, "pictures.components");
    *side = *kept = 0;
    if (!mean || !components || mean->n_dims != 2 || components->n_dims != 2 || mean->bytes == 0 ||
        components->bytes == 0 || !info->table.hash[0])
        return;
    *side = mean->shape[0];
    *kept = components->shape[0];
}

/* ---- config.json ----------------------------------------------------------------------------- */

bool hf_own_is(const json_t *config)
{
    const char *architecture =
        json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    const char *type = json_string_value(json_object_get(config, "model_type"));
    return architecture ? strcmp(architecture, "CambiumForCausalLM") == 0
                        : type && strcmp(type, "cambium") == 0;
}

json_t *hf_own_config_json(const Ensemble *e, int32_t bos, int32_t eos, const char *dtype)
{
    json_t *experts = json_array(), *weights = json_array(), *tables = json_array();
    bool several = false;
    for (int64_t i = 0; i < e->n_experts; i++) {
        json_array_append_new(tables, json_integer(ensemble_table_owner(e, i)));
        several |= ensemble_table_owner(e, i) > 0;
        json_array_append_new(experts, model_config_json(&e->experts[i]->config));
        double weight = e->weights ? (double)e->weights[i] : 1.0 / (double)e->n_experts;
        json_array_append_new(weights, json_real(weight));
    }
    json_t *merge = json_pack("{s:s, s:o, s:f, s:{s:I, s:I}}", "rule", merge_rule_name(e->rule),
                              "weights", weights, "forget", (double)e->forget, "adapter", "top",
                              (json_int_t)e->adapter.top, "hidden", (json_int_t)e->adapter.hidden);
    json_t *json = json_pack("{s:[s], s:s, s:{s:s, s:s}, s:I, s:I, s:s, s:o, s:o}", "architectures",
                             "CambiumForCausalLM", "model_type", "cambium", "auto_map",
                             "AutoConfig", "modeling_cambium.CambiumConfig", "AutoModelForCausalLM",
                             "modeling_cambium.CambiumForCausalLM", "vocab_size",
                             (json_int_t)e->experts[0]->config.vocab_size, "n_embed",
                             (json_int_t)e->experts[0]->config.n_embed, "torch_dtype", dtype,
                             "merge", merge, "experts", experts);
    if (several)
        json_object_set(json, "tables", tables);
    json_decref(tables);
    json_object_set_new(json, "bos_token_id", bos >= 0 ? json_integer(bos) : json_null());
    json_object_set_new(json, "eos_token_id", eos >= 0 ? json_integer(eos) : json_null());
    return json;
}

json_t *hf_provenance_json(const CheckpointInfo *info, const TokenizerSpec *spec)
{
    json_t *names = json_array(), *histories = json_array(), *tables = json_array();
    for (int64_t i = 0; i < info->n_experts; i++) {
        bool own = i > 0 && info->experts[i].table_of == i;
        json_array_append_new(tables, own ? table_info_json(&info->experts[i].table) : json_null());
        json_t *history = info->experts[i].history;
        json_array_append_new(names, json_name(info->experts[i].name));
        json_array_append_new(histories, history ? json_deep_copy(history) : json_array());
    }
    json_t *tokenizer = json_pack("{s:o, s:b}", "name", json_name(spec->name ? spec->name : ""),
                                  "bare_start", spec->bare_start);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "names", names, "histories", histories, "table",
                     table_info_json(&info->table), "tables", tables, "tokenizer", tokenizer);
}

void hf_provenance_tokenizer(const json_t *config, TokenizerSpec *spec)
{
    const json_t *kept = json_object_get(json_object_get(config, "cambium"), "tokenizer");
    const json_t *name = json_object_get(kept, "name"), *bare = json_object_get(kept, "bare_start");
    if (json_is_string(name)) {
        free(spec->name);
        spec->name = xstrdup(json_string_value(name));
    }
    if (spec->bos < 0 && json_is_boolean(bare))
        spec->bare_start = json_is_true(bare);
}

void hf_provenance_read(const json_t *config, CheckpointInfo *info)
{
    const json_t *kept = json_object_get(config, "cambium");
    const json_t *name = json_array_get(json_object_get(kept, "names"), 0);
    json_t *history = json_array_get(json_object_get(kept, "histories"), 0);
    if (!json_is_string(name) || !json_is_array(history))
        return;
    free(info->experts[0].name);
    info->experts[0].name = xstrdup(json_string_value(name));
    json_decref(info->meta);
    info->experts[0].history = info->meta = json_incref(history);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A table as /meta has it. `kept` is what the export knew of it, or NULL. */
static json_t *table_json(const json_t *kept, json_t *rows, json_t *cols)
{
    json_t *hash = json_object_get(kept, "sha256"), *recipe = json_object_get(kept, "recipe");
    json_t *table = json_object();
    json_object_set_new(table, "sha256", hash ? json_incref(hash) : json_string(""));
    json_object_set(table, "rows", rows);
    json_object_set(table, "cols", cols);
    json_object_set_new(table, "stored", json_true());
    json_object_set_new(table, "recipe", recipe ? json_incref(recipe) : json_null());
    return table;
}

/* An expert as /meta has it; a name and a history are given to those that have none. */
static json_t *expert_json(const json_t *config, size_t i, const char *folder)
{
    const json_t *kept = json_object_get(config, "cambium");
    const json_t *name = json_array_get(json_object_get(kept, "names"), i);
    json_t *history = json_array_get(json_object_get(kept, "histories"), i);
    json_t *shape = json_array_get(json_object_get(config, "experts"), i);
    json_t *owner = json_array_get(json_object_get(config, "tables"), i);
    json_t *own = json_is_array(history)
                      ? json_incref(history)
                      : json_pack("[{s:s, s:s}]", "stage", "import", "format", "Hugging Face");
    json_t *out = json_pack("{s:o, s:O, s:o}", "name",
                            json_name(json_is_string(name) ? json_string_value(name) : folder),
                            "config", shape, "history", own);
    if (owner && json_integer_value(owner) != 0)
        json_object_set(out, "table_of", owner);
    if (owner && json_integer_value(owner) == (json_int_t)i)
        json_object_set_new(out, "table",
                            table_json(json_array_get(json_object_get(kept, "tables"), i),
                                       json_object_get(config, "vocab_size"),
                                       json_object_get(shape, "n_embed")));
    return out;
}

/* /meta, put together again. */
static json_t *meta_json(const json_t *config, const char *folder)
{
    json_t *experts = json_array(), *merge = json_object_get(config, "merge");
    size_t n = json_array_size(json_object_get(config, "experts"));
    for (size_t i = 0; i < n; i++)
        json_array_append_new(experts, expert_json(config, i, folder));
    const json_t *kept = json_object_get(json_object_get(config, "cambium"), "table");
    json_t *meta = json_object();
    json_object_set_new(meta, "table",
                        table_json(kept, json_object_get(config, "vocab_size"),
                                   json_object_get(config, "n_embed")));
    json_object_set(meta, "merge", merge);
    json_object_set_new(meta, "experts", experts);
    return meta;
}

static Status check_widths(const CheckpointInfo *info, const char *where, Err *err)
{
    for (int64_t i = 0; i < info->n_experts; i++) {
        const ModelConfig *c = &info->experts[i].config;
        const TableInfo *table = checkpoint_table(info, i);
        if (c->vocab_size != table->rows || c->n_embed != table->cols)
            return err_set(err,
                           "%s: expert %lld reads a table of %lld x %lld, and the folder's is "
                           "%lld x %lld",
                           where, (long long)i, (long long)c->vocab_size, (long long)c->n_embed,
                           (long long)table->rows, (long long)table->cols);
        if (c->lora_rank > 0)
            return err_set(err, "%s: expert %lld has LoRA pairs, which no folder holds", where,
                           (long long)i);
    }
    return STATUS_OK;
}

void hf_values_hash(const SafeEntry *entry, char text[SHA256_TEXT])
{
    enum { CHUNK = 1 << 16 };
    HashStream *stream = hash_new();
    float *chunk = xmalloc(CHUNK * sizeof *chunk);
    int64_t count = entry->bytes / (int64_t)stored_bytes(entry->type);
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t n = count - at < CHUNK ? count - at : CHUNK;
        stored_to_f32(entry->data, entry->type, at, n, chunk);
        hash_update(stream, chunk, (size_t)n * sizeof *chunk);
    }
    Sha256 hash = hash_finish_free(stream);
    hash_text(&hash, text);
    free(chunk);
}

/* A frozen table must be known by the hash of what is there. */
static void settle_table(CheckpointInfo *info, int64_t owner, const char *folder,
                         const HfWeights *weights)
{
    TableInfo *table = owner ? &info->experts[owner].table : &info->table;
    char hash[SHA256_TEXT], *name = hf_own_name(owner, "embedding");
    const SafeEntry *entry = weights ? hf_weights_find(weights, name) : NULL;
    bool is_frozen = info->experts[owner].config.embedding != EMBEDDING_LEARNED;
    free(name);
    if (!entry || !stored_is_float(entry->type) || (!table->hash[0] && !is_frozen))
        return;
    hf_values_hash(entry, hash);
    if (strcmp(hash, table->hash) == 0)
        return;
    if (!table->hash[0]) { /* a folder of an older version, which does not say the hash */
        memcpy(table->hash, hash, sizeof hash);
        return;
    }
    log_warn("%s: the table is no longer the one that was frozen; it is read as a learned one",
             folder);
    table->hash[0] = '\0';
    table->recipe = NULL;
    for (int64_t i = owner; i < info->n_experts; i++)
        if (info->experts[i].table_of == owner)
            info->experts[i].config.embedding = EMBEDDING_LEARNED;
}

Status hf_own_info(const json_t *config, const char *where, const char *folder,
                   const HfWeights *weights, CheckpointInfo *info, Err *err)
{
    TRY(checkpoint_info_parse(meta_json(config, folder), where, info, err));
    Status status = check_widths(info, where, err);
    for (int64_t i = 0; i < info->n_experts && status == STATUS_OK; i++)
        if (info->experts[i].table_of == i)
            settle_table(info, i, folder, weights);
    if (status != STATUS_OK)
        checkpoint_info_clear(info);
    return status;
}
