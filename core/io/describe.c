#include "core/io/describe.h"

#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "core/io/foreign.h"
#include "core/io/gguf.h"
#include "core/io/json_put.h"
#include "core/io/npy.h"
#include "core/io/safetensors.h"
#include "core/text/utf8.h"

static json_t *shape_json(const int64_t *shape, int n_dims)
{
    json_t *list = json_array();
    for (int i = 0; i < n_dims; i++)
        json_array_append_new(list, json_integer(shape[i]));
    return list;
}

static json_t *tensor_json(const char *name, const char *type, const int64_t *shape, int n_dims,
                           int64_t bytes)
{
    return json_pack("{s:s, s:s, s:o, s:I}", "name", name, "type", type, "shape",
                     shape_json(shape, n_dims), "bytes", (json_int_t)bytes);
}

/* ---- containers ----------------------------------------------------------------------------- */

static void add_entries(const Container *file, json_t *out)
{
    json_t *tensors = json_array(), *texts = json_array();
    for (int64_t i = 0; i < container_count(file); i++) {
        const ContainerEntry *entry = container_entry(file, i);
        if (entry->is_text) {
            json_array_append_new(texts, json_string(entry->path));
            continue;
        }
        const Tensor *shape = &entry->shape;
        json_t *tensor = tensor_json(entry->path, dtype_name(shape->dtype), shape->shape,
                                     shape->n_dims, entry->bytes);
        char digest[SHA256_TEXT];
        Sha256 hash = container_digest(file, entry->path);
        hash_text(&hash, digest);
        json_object_set_new(tensor, "digest", json_string(digest));
        const char *name;
        for (int64_t k = 0; (name = container_attribute_name(file, entry->path, k)) != NULL; k++)
            json_object_set_new(tensor, name,
                                json_string(container_attribute(file, entry->path, name)));
        json_array_append_new(tensors, tensor);
    }
    json_object_set_new(out, "tensors", tensors);
    json_object_set_new(out, "texts", texts);
}

/* All tokens that end a text, each with its id and its bytes as far as they are text. */
static json_t *ends_json(const TokenizerSpec *spec)
{
    json_t *ends = json_array();
    for (int64_t i = -1; i < spec->n_ends; i++) {
        int32_t id = i < 0 ? spec->eos : spec->ends[i];
        if (id < 0 || id >= spec->n_tokens)
            continue;
        StrBuf text = {0};
        int64_t start = spec->offsets[id];
        utf8_append_clean(&text, spec->text + start, spec->offsets[id + 1] - start);
        json_array_append_new(
            ends, json_pack("{s:i, s:s}", "id", id, "token", text.data ? text.data : ""));
        strbuf_clear(&text);
    }
    return ends;
}

static Status add_tokenizer(const Container *file, json_t *out, Err *err)
{
    TokenizerSpec spec;
    if (!container_find(file, "/tokenizer/spec"))
        return STATUS_OK;
    TRY(tokenizer_spec_read(file, &spec, err));
    char digest[SHA256_TEXT];
    Sha256 hash = tokenizer_hash(&spec);
    hash_text(&hash, digest);
    int64_t counts[TOKEN_ADDED + 1] = {0};
    for (int64_t i = 0; i < spec.n_tokens; i++)
        if (spec.types[i] <= TOKEN_ADDED)
            counts[spec.types[i]]++;
    json_t *json =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:s}", "name", spec.name, "kind",
                  spec.kind == TOKENIZER_SCORED ? "scored" : "ranked", "tokens",
                  (json_int_t)spec.n_tokens, "byte_tokens", (json_int_t)counts[TOKEN_BYTE],
                  "special_tokens", (json_int_t)counts[TOKEN_SPECIAL], "merges",
                  (json_int_t)spec.n_merges, "byte_level", spec.byte_level, "sha256", digest);
    const struct {
        const char *name;
        int32_t id;
    } roles[] = {{"bos", spec.bos}, {"eos", spec.eos}, {"pad", spec.pad}, {"unk", spec.unk}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        json_object_set_new(json, roles[i].name,
                            roles[i].id >= 0 ? json_integer(roles[i].id) : json_null());
    json_object_set_new(json, "begins_with_bos", json_boolean(!spec.bare_start && spec.bos >= 0));
    json_object_set_new(json, "ends", ends_json(&spec));
    json_object_set_new(out, "tokenizer", json);
    tokenizer_spec_clear(&spec);
    return STATUS_OK;
}

/* Parameters below a path, all of them or the frozen ones. */
static int64_t count_below(const Container *file, const char *prefix, bool frozen)
{
    int64_t count = 0;
    size_t length = strlen(prefix);
    for (int64_t i = 0; i < container_count(file); i++) {
        const ContainerEntry *entry = container_entry(file, i);
        if (entry->is_text || strncmp(entry->path, prefix, length) != 0)
            continue;
        if (!frozen || container_attribute(file, entry->path, "frozen"))
            count += tensor_count(&entry->shape);
    }
    return count;
}

static json_t *expert_json(const Container *file, const CheckpointInfo *info, int64_t index)
{
    const CheckpointExpert *expert = &info->experts[index];
    char prefix[64];
    snprintf(prefix, sizeof prefix, "/experts/%lld/", (long long)index);
    /* A table of its own is counted below the prefix, if it is there; one that it shares is not. */
    const TableInfo *read = checkpoint_table(info, index);
    char *path = checkpoint_table_path(expert->table_of);
    bool below = expert->table_of == index && index > 0 && container_find(file, path);
    bool marked = container_attribute(file, path, "frozen");
    bool learning = expert->config.embedding == EMBEDDING_LEARNED && !marked;
    free(path);
    int64_t table = read->rows * read->cols;
    int64_t total = count_below(file, prefix, false) + (below ? 0 : table);
    int64_t frozen = count_below(file, prefix, true);
    frozen += learning || (below && marked) ? 0 : table;
    json_t *parameters = json_pack("{s:I, s:I, s:I}", "total", (json_int_t)total, "active",
                                   (json_int_t)(total - frozen), "frozen", (json_int_t)frozen);
    json_t *out = json_pack("{s:s, s:o, s:o, s:O}", "name", expert->name, "config",
                            model_config_json(&expert->config), "parameters", parameters, "history",
                            expert->history);
    if (info->n_experts > 1)
        json_object_set_new(out, "table_of", json_integer(expert->table_of));
    if (expert->table_of == index && index > 0)
        json_object_set_new(out, "table", table_info_json(read));
    return out;
}

/* What the model's growth has read, which checkpoints of runs say. */
static void add_reading(const Container *file, json_t *out)
{
    static const char *const shown[] = {"data", "hash",  "tokens", "read",
                                        "seen", "never", "epochs"};
    Err ignored;
    json_t *loader, *list = json_array(), *source;
    if (container_find(file, "/loader") &&
        container_json(file, "/loader", &loader, &ignored) == STATUS_OK) {
        size_t i;
        json_array_foreach(json_object_get(loader, "sources"), i, source)
        {
            json_t *one = json_object();
            for (size_t k = 0; k < sizeof shown / sizeof *shown; k++)
                json_object_set(one, shown[k], json_object_get(source, shown[k]));
            json_array_append_new(list, one);
        }
        json_object_set(out, "reading", list);
        json_decref(loader);
    }
    json_decref(list);
}

static Status add_model(const Container *file, json_t *out, Err *err)
{
    CheckpointInfo info;
    TRY(checkpoint_info_read(file, &info, err));
    json_t *experts = json_array();
    for (int64_t i = 0; i < info.n_experts; i++)
        json_array_append_new(experts, expert_json(file, &info, i));
    json_object_set_new(out, "experts", experts);
    json_object_set(out, "merge", json_object_get(info.meta, "merge"));
    json_object_set(out, "table", json_object_get(info.meta, "table"));
    add_reading(file, out);
    checkpoint_info_clear(&info);
    return add_tokenizer(file, out, err);
}

/* A frozen tensor's hash is of its values, whatever else the file says of itself. */
static Status verify_frozen(const Container *file, Err *err)
{
    for (int64_t i = 0; i < container_count(file); i++) {
        const ContainerEntry *entry = container_entry(file, i);
        const char *frozen = container_attribute(file, entry->path, "frozen");
        DType dtype = entry->shape.dtype;
        if (entry->is_text || !frozen ||
            (dtype != DTYPE_F32 && dtype != DTYPE_BF16 && dtype != DTYPE_U8))
            continue;
        const void *data;
        TRY(container_map(file, entry->path, &data, err));
        Sha256 hash = table_hash(data, dtype, tensor_count(&entry->shape));
        char text[SHA256_TEXT];
        hash_text(&hash, text);
        if (strcmp(text, frozen) != 0)
            return err_set(err, "%s: %s was frozen and has SHA-256 %.12s... instead of %.12s...",
                           container_file(file), entry->path, text, frozen);
    }
    return STATUS_OK;
}

static Status describe_open(const Container *file, bool verify, json_t *out, Err *err)
{
    json_object_set_new(out, "format", json_string("cambium"));
    json_t *meta = NULL;
    const char *kind = NULL;
    if (container_find(file, "/meta"))
        TRY(file_kind_read(file, &kind, &meta, err));
    json_object_set_new(out, "kind", json_string(kind ? kind : "data"));
    Status status = STATUS_OK;
    if (kind && strcmp(kind, "model") == 0) {
        status = add_model(file, out, err);
    } else if (kind && strcmp(kind, "table") == 0) {
        json_object_set(out, "table", json_object_get(meta, "table"));
        json_object_set(out, "statistics", json_object_get(meta, "statistics"));
        status = add_tokenizer(file, out, err);
    } else if (meta) {
        json_object_set(out, "meta", meta);
    }
    json_decref(meta);
    add_entries(file, out);
    if (status == STATUS_OK && verify) {
        status = container_verify(file, err);
        if (status == STATUS_OK)
            status = verify_frozen(file, err);
        json_object_set_new(out, "verified", json_true());
    }
    return status;
}

static Status describe_container(const char *path, bool verify, json_t *out, Err *err)
{
    Container *file;
    TRY(container_open(&file, path, err));
    Status status = describe_open(file, verify, out, err);
    container_close(file);
    return status;
}

/* ---- other programs' files ------------------------------------------------------------------ */

static Status describe_safetensors(const char *path, json_t *out, Err *err)
{
    SafeFile *file;
    TRY(safe_open(&file, path, err));
    json_t *tensors = json_array();
    for (int64_t i = 0; i < safe_count(file); i++) {
        const SafeEntry *entry = safe_entry(file, i);
        json_array_append_new(tensors, tensor_json(entry->name, stored_name(entry->type),
                                                   entry->shape, entry->n_dims, entry->bytes));
    }
    json_object_set_new(out, "format", json_string("safetensors"));
    json_object_set_new(out, "tensors", tensors);
    if (safe_metadata(file))
        json_object_set_new(out, "meta", json_deep_copy(safe_metadata(file)));
    safe_close(file);
    return STATUS_OK;
}

/* A single value as it is; of an array, how many values of which type it holds. */
static json_t *gguf_value_json(const GgufValue *value)
{
    static const char *const types[GGUF_TYPE_COUNT] = {
        "uint8", "int8", "uint16", "int16",  "uint32", "int32",  "float32",
        "bool",  "text", "array",  "uint64", "int64",  "float64"};
    if (value->is_array)
        return json_sprintf("%lld x %s", (long long)value->count, types[value->type]);
    json_t *json = NULL;
    if (value->type == GGUF_STRING)
        json = json_stringn(value->texts[0].data, (size_t)value->texts[0].bytes);
    else if (value->type == GGUF_F32 || value->type == GGUF_F64)
        json = json_real(gguf_real_at(value, 0));
    else if (value->type == GGUF_BOOL)
        json = json_boolean(gguf_int_at(value, 0) != 0);
    else if (value->type == GGUF_U64 && gguf_int_at(value, 0) < 0)
        json = json_real((double)(uint64_t)gguf_int_at(value, 0));
    else
        json = json_integer(gguf_int_at(value, 0));
    return json ? json : json_null(); /* neither UTF-8 nor a finite number */
}

static Status describe_gguf(const char *path, json_t *out, Err *err)
{
    GgufFile *file;
    TRY(gguf_open(&file, path, err));
    json_t *tensors = json_array(), *meta = json_object();
    for (int64_t i = 0; i < gguf_tensor_count(file); i++) {
        const GgufTensor *t = gguf_tensor(file, i);
        json_t *tensor = tensor_json(t->name, block_name(t->type), t->shape, t->n_dims, t->bytes);
        json_array_append_new(tensors, tensor);
    }
    for (int64_t i = 0; i < gguf_value_count(file); i++) {
        const GgufValue *value = gguf_value(file, i);
        json_object_set_new(meta, value->key, gguf_value_json(value));
    }
    json_object_set_new(out, "format", json_string("gguf"));
    json_object_set_new(out, "tensors", tensors);
    json_object_set_new(out, "meta", meta);
    gguf_close(file);
    return STATUS_OK;
}

static Status describe_npy(const char *path, json_t *out, Err *err)
{
    NpyFile file;
    TRY(npy_open(&file, path, err));
    json_object_set_new(out, "format", json_string("npy"));
    json_object_set_new(out, "tensors",
                        json_pack("[o]", tensor_json("array", stored_name(file.type), file.shape,
                                                     file.n_dims, file.bytes)));
    npy_close(&file);
    return STATUS_OK;
}

Status describe_file(const char *path, bool verify, json_t **out, Err *err)
{
    FileMap map;
    *out = NULL;
    if (file_is_folder(path))
        TRY(foreign_refuse(path, err));
    TRY(file_map_open(&map, path, err));
    uint8_t first[9] = {0};
    if (map.bytes >= (int64_t)sizeof first)
        memcpy(first, map.data, sizeof first);
    json_t *json = json_pack("{s:o, s:I}", "file", json_name(path), "bytes", (json_int_t)map.bytes);
    file_map_close(&map);
    Status status;
    if (memcmp(first, "\x93NUMPY", 6) == 0)
        status = describe_npy(path, json, err);
    else if (memcmp(first, "GGUF", 4) == 0)
        status = describe_gguf(path, json, err);
    else if (first[8] == '{' || file_has_suffix(path, ".safetensors"))
        status = describe_safetensors(path, json, err);
    else
        status = describe_container(path, verify, json, err);
    if (status == STATUS_OK)
        *out = json;
    else
        json_decref(json);
    return status;
}
