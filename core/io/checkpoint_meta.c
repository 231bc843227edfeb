/* /meta of model files, and the parts of them that are copied as they are. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "core/io/json_get.h"
#include "core/io/json_put.h"

enum { EXPERTS_MAX = 4096 };

json_t *checkpoint_meta_json(const CheckpointInfo *info)
{
    json_t *experts = json_array(), *weights = json_array();
    bool tables = false;
    for (int64_t i = 0; i < info->n_experts; i++) {
        const CheckpointExpert *expert = &info->experts[i];
        json_t *history = expert->history ? json_deep_copy(expert->history) : json_array();
        json_t *entry = json_pack("{s:o, s:o, s:o}", "name", json_name(expert->name), "config",
                                  model_config_json(&expert->config), "history", history);
        if (expert->table_of > 0)
            json_object_set_new(entry, "table_of", json_integer(expert->table_of));
        if (expert->table_of > 0 && expert->table_of == i)
            json_object_set_new(entry, "table", table_info_json(&expert->table));
        tables |= expert->table_of > 0;
        json_array_append_new(experts, entry);
        double weight = info->weights ? (double)info->weights[i] : 1.0 / (double)info->n_experts;
        json_array_append_new(weights, json_real(weight));
    }
    json_t *merge = json_pack("{s:s, s:o, s:f}", "rule", merge_rule_name(info->rule), "weights",
                              weights, "forget", (double)info->forget);
    if (info->adapter_top > 0)
        json_object_set_new(merge, "adapter",
                            json_pack("{s:I, s:I}", "top", (json_int_t)info->adapter_top, "hidden",
                                      (json_int_t)info->adapter_hidden));
    return json_pack("{s:i, s:s, s:o, s:o, s:o}", "format",
                     tables ? FILE_FORMAT_TABLES : FILE_FORMAT, "kind", "model", "table",
                     table_info_json(&info->table), "merge", merge, "experts", experts);
}

static Status parse_expert(const json_t *json, const char *where, CheckpointExpert *expert,
                           Err *err)
{
    const char *name;
    json_t *config;
    TRY(json_get_text(json, "name", where, &name, err));
    expert->name = xstrdup(name);
    TRY(json_get_array(json, "history", where, &expert->history, err));
    TRY(json_get_object(json, "config", where, &config, err));
    if (model_config_from_json(config, &expert->config, err) != STATUS_OK ||
        model_config_check(&expert->config, err) != STATUS_OK)
        return err_wrap(err, "%s: expert '%s'", where, name);
    return STATUS_OK;
}

static Status parse_tables(const json_t *json, const char *where, CheckpointInfo *info,
                           int64_t index, Err *err)
{
    CheckpointExpert *expert = &info->experts[index];
    json_t *table;
    if (!json_object_get(json, "table_of"))
        return STATUS_OK;
    TRY(json_get_int(json, "table_of", where, &expert->table_of, err));
    int64_t owner = expert->table_of;
    if (owner < 0 || owner > index || (owner < index && info->experts[owner].table_of != owner))
        return err_set(err, "%s: expert '%s' reads the table of expert %lld, which has none", where,
                       expert->name, (long long)owner);
    if (owner == 0 || owner < index)
        return STATUS_OK;
    TRY(json_get_object(json, "table", where, &table, err));
    return table_info_parse(table, where, &expert->table, err);
}

const TableInfo *checkpoint_table(const CheckpointInfo *info, int64_t expert)
{
    int64_t owner = info->experts[expert].table_of;
    return owner > 0 ? &info->experts[owner].table : &info->table;
}

char *checkpoint_table_path(int64_t owner)
{
    return owner > 0 ? xasprintf("/experts/%lld/embedding", (long long)owner)
                     : xstrdup("/embedding");
}

static Status parse_merge(const json_t *json, const char *where, CheckpointInfo *info, Err *err)
{
    const char *rule;
    json_t *weights, *adapter = json_object_get(json, "adapter");
    double forget;
    TRY(json_get_text(json, "rule", where, &rule, err));
    TRY(merge_rule_parse(rule, &info->rule, err));
    TRY(json_get_real(json, "forget", where, &forget, err));
    info->forget = (float)forget;
    TRY(json_get_array(json, "weights", where, &weights, err));
    if ((int64_t)json_array_size(weights) != info->n_experts)
        return err_set(err, "%s: %zu merge weights for %lld experts", where,
                       json_array_size(weights), (long long)info->n_experts);
    info->weights = xcalloc((size_t)info->n_experts, sizeof *info->weights);
    for (int64_t i = 0; i < info->n_experts; i++) {
        const json_t *weight = json_array_get(weights, (size_t)i);
        if (!json_is_number(weight))
            return err_set(err, "%s: a merge weight is not a number", where);
        info->weights[i] = (float)json_number_value(weight);
    }
    if (info->rule != MERGE_ADAPTER)
        return STATUS_OK;
    TRY(json_get_int(adapter, "top", where, &info->adapter_top, err));
    TRY(json_get_int(adapter, "hidden", where, &info->adapter_hidden, err));
    if (info->adapter_top < 1 || info->adapter_top > 1 << 16 || info->adapter_hidden < 1 ||
        info->adapter_hidden > 1 << 16)
        return err_set(err, "%s: an adapter of %lld features and %lld hidden units", where,
                       (long long)info->adapter_top, (long long)info->adapter_hidden);
    return STATUS_OK;
}

static Status parse_meta(const char *where, CheckpointInfo *info, Err *err)
{
    json_t *experts, *merge, *table;
    TRY(json_get_object(info->meta, "table", where, &table, err));
    TRY(table_info_parse(table, where, &info->table, err));
    TRY(json_get_array(info->meta, "experts", where, &experts, err));
    size_t n = json_array_size(experts);
    if (n < 1 || n > EXPERTS_MAX)
        return err_set(err, "%s: %zu experts; there may be 1 to %d", where, n, EXPERTS_MAX);
    info->experts = xcalloc(n, sizeof *info->experts);
    info->n_experts = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *expert = json_array_get(experts, i);
        TRY(parse_expert(expert, where, &info->experts[i], err));
        TRY(parse_tables(expert, where, info, (int64_t)i, err));
    }
    TRY(json_get_object(info->meta, "merge", where, &merge, err));
    return parse_merge(merge, where, info, err);
}

Status checkpoint_info_parse(json_t *meta, const char *where, CheckpointInfo *info, Err *err)
{
    *info = (CheckpointInfo){.meta = meta};
    Status status = parse_meta(where, info, err);
    if (status != STATUS_OK)
        checkpoint_info_clear(info);
    return status;
}

Status checkpoint_info_read(const Container *container, CheckpointInfo *info, Err *err)
{
    const char *kind;
    json_t *meta;
    *info = (CheckpointInfo){0};
    TRY(file_kind_read(container, &kind, &meta, err));
    if (strcmp(kind, "model") != 0) {
        Status status =
            err_set(err, "%s is a %s file, not a model ('cambium train' and 'import' make models)",
                    container_file(container), kind);
        json_decref(meta);
        return status;
    }
    char *where = xasprintf("%s: /meta", container_file(container));
    Status status = checkpoint_info_parse(meta, where, info, err);
    free(where);
    return status;
}

void checkpoint_info_clear(CheckpointInfo *info)
{
    for (int64_t i = 0; i < info->n_experts; i++)
        free(info->experts[i].name);
    free(info->experts);
    free(info->weights);
    json_decref(info->meta);
    *info = (CheckpointInfo){0};
}

Status checkpoint_info_extend(CheckpointInfo *info, const ContextExtension *extension, Err *err)
{
    for (int64_t i = 0; i < info->n_experts; i++)
        TRY(context_extension_apply(extension, &info->experts[i].config, err));
    return STATUS_OK;
}

Status checkpoint_copy_expert(ContainerWriter *writer, int64_t expert, const Container *from,
                              int64_t from_expert, Err *err)
{
    char *prefix = xasprintf("/experts/%lld/", (long long)from_expert);
    size_t length = strlen(prefix);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < container_count(from) && status == STATUS_OK; i++) {
        const char *path = container_entry(from, i)->path;
        if (strncmp(path, prefix, length) != 0 || strcmp(path + length, "embedding") == 0)
            continue;
        char *to = xasprintf("/experts/%lld/%s", (long long)expert, path + length);
        status = container_copy(writer, to, from, path, err);
        free(to);
    }
    free(prefix);
    return status;
}

Status checkpoint_put_adapter(ContainerWriter *writer, const MergeAdapter *adapter,
                              int64_t n_experts, Err *err)
{
    Tensor w1 = tensor_2d(NULL, DTYPE_F32, adapter->hidden, n_experts * adapter->top);
    Tensor b1 = tensor_1d(NULL, DTYPE_F32, adapter->hidden);
    Tensor w2 = tensor_2d(NULL, DTYPE_F32, n_experts, adapter->hidden);
    Tensor b2 = tensor_1d(NULL, DTYPE_F32, n_experts);
    TRY(container_put(writer, "/adapter/w1", &w1, adapter->w1, err));
    TRY(container_put(writer, "/adapter/b1", &b1, adapter->b1, err));
    TRY(container_put(writer, "/adapter/w2", &w2, adapter->w2, err));
    return container_put(writer, "/adapter/b2", &b2, adapter->b2, err);
}
