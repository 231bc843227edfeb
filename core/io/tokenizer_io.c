#include "core/io/tokenizer_io.h"

#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "core/text/tokenizer_json.h"

static const char *const kind_names[] = {
    [TOKENIZER_RANKED] = "ranked", [TOKENIZER_SCORED] = "scored"};

static json_t *spec_json(const TokenizerSpec *spec)
{
    json_t *json = json_pack(
        "{s:s, s:o, s:b, s:b, s:b, s:i, s:i, s:i, s:i}", "kind", kind_names[spec->kind], "pattern",
        spec->pattern ? json_string(spec->pattern) : json_null(), "byte_level", spec->byte_level,
        "add_prefix_space", spec->add_prefix_space, "ignore_merges", spec->ignore_merges, "pad",
        spec->pad, "bos", spec->bos, "eos", spec->eos, "unk", spec->unk);
    /* Only where it is set: the hashes of all other vocabularies stay what they were. */
    if (spec->nfc)
        json_object_set_new(json, "nfc", json_true());
    if (spec->bare_start)
        json_object_set_new(json, "bare_start", json_true());
    if (spec->metaspace)
        json_object_set_new(json, "metaspace", json_true());
    if (spec->fuse_unk)
        json_object_set_new(json, "fuse_unk", json_true());
    if (spec->normalizer)
        json_object_set_new(json, "normalizer", json_string(spec->normalizer));
    if (spec->pre_tokenizer)
        json_object_set_new(json, "pre_tokenizer", json_string(spec->pre_tokenizer));
    if (spec->strip)
        json_object_set_new(json, "strip", json_integer(spec->strip));
    return json;
}

/* How texts end is not how they are tokenised: like the chat template, it is not in the hash. */
static json_t *ends_json(const TokenizerSpec *spec)
{
    json_t *ends = json_array();
    for (int64_t i = 0; i < spec->n_ends; i++)
        json_array_append_new(ends, json_integer(spec->ends[i]));
    return ends;
}

Status tokenizer_put(ContainerWriter *writer, const TokenizerSpec *spec, Err *err)
{
    json_t *json = spec_json(spec);
    json_object_set_new(json, "name", json_string(spec->name ? spec->name : ""));
    if (spec->chat_template)
        json_object_set_new(json, "chat_template", json_string(spec->chat_template));
    if (spec->tool_template)
        json_object_set_new(json, "tool_template", json_string(spec->tool_template));
    if (spec->n_ends)
        json_object_set_new(json, "ends", ends_json(spec));
    Status status = container_put_json(writer, "/tokenizer/spec", json, err);
    json_decref(json);
    TRY(status);
    int64_t n = spec->n_tokens;
    Tensor shape = tensor_1d(NULL, DTYPE_U8, spec->offsets[n]);
    TRY(container_put(writer, "/tokenizer/text", &shape, spec->text, err));
    shape = tensor_1d(NULL, DTYPE_I64, n + 1);
    TRY(container_put(writer, "/tokenizer/offsets", &shape, spec->offsets, err));
    shape = tensor_1d(NULL, DTYPE_U8, n);
    TRY(container_put(writer, "/tokenizer/types", &shape, spec->types, err));
    if (spec->find) {
        shape = tensor_1d(NULL, DTYPE_U8, n);
        TRY(container_put(writer, "/tokenizer/find", &shape, spec->find, err));
    }
    if (spec->scores) {
        shape = tensor_1d(NULL, DTYPE_F32, n);
        TRY(container_put(writer, "/tokenizer/scores", &shape, spec->scores, err));
    }
    shape = tensor_2d(NULL, DTYPE_I32, spec->n_merges, 3);
    return container_put(writer, "/tokenizer/merges", &shape, spec->merges, err);
}

/* An id that fits, or any number outside the vocabulary for tokenizer_new to refuse. */
static Status get_id(const json_t *json, const char *key, const char *where, int32_t *id, Err *err)
{
    int64_t value;
    TRY(json_get_int(json, key, where, &value, err));
    *id = value >= INT32_MIN && value <= INT32_MAX ? (int32_t)value : INT32_MAX;
    return STATUS_OK;
}

/* Files of older versions name eos alone. */
static Status read_ends(const json_t *json, const char *where, TokenizerSpec *spec, Err *err)
{
    json_t *ends, *id;
    size_t i;
    if (!json_object_get(json, "ends"))
        return STATUS_OK;
    TRY(json_get_array(json, "ends", where, &ends, err));
    if (json_array_size(ends) > TOKENIZER_ENDS)
        return err_set(err, "%s: %zu end tokens", where, json_array_size(ends));
    json_array_foreach(ends, i, id)
    {
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
            return err_set(err, "%s: an end token is no id", where);
        tokenizer_spec_add_end(spec, (int32_t)value);
    }
    return STATUS_OK;
}

/* A text that may be missing. */
static Status read_text(const json_t *json, const char *key, const char *where, char **out,
                        Err *err)
{
    const char *text;
    if (!json_object_get(json, key))
        return STATUS_OK;
    TRY(json_get_text(json, key, where, &text, err));
    *out = xstrdup(text);
    return STATUS_OK;
}

static Status read_settings(const json_t *json, const char *where, TokenizerSpec *spec, Err *err)
{
    const char *kind, *name;
    TRY(json_get_text(json, "kind", where, &kind, err));
    TRY(json_get_text(json, "name", where, &name, err));
    if (strcmp(kind, "ranked") != 0 && strcmp(kind, "scored") != 0)
        return err_set(err, "%s: a tokenizer of the unknown kind '%s'", where, kind);
    spec->kind = strcmp(kind, "ranked") == 0 ? TOKENIZER_RANKED : TOKENIZER_SCORED;
    spec->name = xstrdup(name);
    if (!json_is_null(json_object_get(json, "pattern"))) {
        const char *pattern;
        TRY(json_get_text(json, "pattern", where, &pattern, err));
        spec->pattern = xstrdup(pattern);
    }
    TRY(json_get_bool(json, "byte_level", where, &spec->byte_level, err));
    TRY(json_get_bool(json, "add_prefix_space", where, &spec->add_prefix_space, err));
    TRY(json_get_bool(json, "ignore_merges", where, &spec->ignore_merges, err));
    if (json_object_get(json, "nfc"))
        TRY(json_get_bool(json, "nfc", where, &spec->nfc, err));
    if (json_object_get(json, "bare_start"))
        TRY(json_get_bool(json, "bare_start", where, &spec->bare_start, err));
    if (json_object_get(json, "metaspace"))
        TRY(json_get_bool(json, "metaspace", where, &spec->metaspace, err));
    if (json_object_get(json, "fuse_unk"))
        TRY(json_get_bool(json, "fuse_unk", where, &spec->fuse_unk, err));
    if (json_object_get(json, "strip")) {
        int64_t strip;
        TRY(json_get_int(json, "strip", where, &strip, err));
        spec->strip = strip >= 0 && strip <= STRIP_TOKEN ? (DecodeStrip)strip : STRIP_TOKEN + 1;
    }
    TRY(read_text(json, "normalizer", where, &spec->normalizer, err));
    TRY(read_text(json, "pre_tokenizer", where, &spec->pre_tokenizer, err));
    TRY(read_text(json, "chat_template", where, &spec->chat_template, err));
    TRY(read_text(json, "tool_template", where, &spec->tool_template, err));
    TRY(get_id(json, "pad", where, &spec->pad, err));
    TRY(get_id(json, "bos", where, &spec->bos, err));
    TRY(get_id(json, "eos", where, &spec->eos, err));
    TRY(get_id(json, "unk", where, &spec->unk, err));
    return read_ends(json, where, spec, err);
}

/* A copy of a whole tensor, of the type and dimensions given; shape[0] < 0: any length. */
static Status read_array(const Container *container, const char *path, Tensor shape, void **out,
                         int64_t *length, Err *err)
{
    Tensor is;
    TRY(container_shape(container, path, &is, err));
    if (shape.shape[0] < 0 && is.n_dims > 0)
        shape.shape[0] = is.shape[0];
    size_t bytes = tensor_bytes(&is);
    *out = xmalloc(bytes + 1);
    *length = is.shape[0];
    return container_read(container, path, &shape, *out, err);
}

static Status read_arrays(const Container *container, TokenizerSpec *spec, Err *err)
{
    int64_t n_offsets, n_bytes, n;
    TRY(read_array(container, "/tokenizer/offsets", tensor_1d(NULL, DTYPE_I64, -1),
                   (void **)&spec->offsets, &n_offsets, err));
    TRY(read_array(container, "/tokenizer/text", tensor_1d(NULL, DTYPE_U8, -1),
                   (void **)&spec->text, &n_bytes, err));
    spec->n_tokens = n_offsets - 1;
    bool fine =
        spec->n_tokens >= 1 && spec->offsets[0] == 0 && spec->offsets[spec->n_tokens] == n_bytes;
    for (int64_t i = 0; i < spec->n_tokens && fine; i++)
        fine = spec->offsets[i] <= spec->offsets[i + 1];
    if (!fine)
        return err_set(err, "%s: /tokenizer/offsets does not cut /tokenizer/text into tokens",
                       container_file(container));
    TRY(read_array(container, "/tokenizer/types", tensor_1d(NULL, DTYPE_U8, spec->n_tokens),
                   (void **)&spec->types, &n, err));
    if (container_find(container, "/tokenizer/find"))
        TRY(read_array(container, "/tokenizer/find", tensor_1d(NULL, DTYPE_U8, spec->n_tokens),
                       (void **)&spec->find, &n, err));
    if (container_find(container, "/tokenizer/scores"))
        TRY(read_array(container, "/tokenizer/scores", tensor_1d(NULL, DTYPE_F32, spec->n_tokens),
                       (void **)&spec->scores, &n, err));
    return read_array(container, "/tokenizer/merges", tensor_2d(NULL, DTYPE_I32, -1, 3),
                      (void **)&spec->merges, &spec->n_merges, err);
}

Status tokenizer_spec_read(const Container *container, TokenizerSpec *spec, Err *err)
{
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    json_t *json;
    TRY(container_json(container, "/tokenizer/spec", &json, err));
    char *where = xasprintf("%s: /tokenizer/spec", container_file(container));
    Status status = read_settings(json, where, spec, err);
    free(where);
    json_decref(json);
    if (status == STATUS_OK)
        status = read_arrays(container, spec, err);
    if (status != STATUS_OK)
        tokenizer_spec_clear(spec);
    return status;
}

Status tokenizer_spec_load(const char *path, TokenizerSpec *spec, Err *err)
{
    if (file_has_suffix(path, ".json")) {
        TRY(tokenizer_json_read(path, spec, err));
        spec->bare_start =
            false; /* how texts of a model yet to be trained begin is not its matter */
        return STATUS_OK;
    }
    Container *container;
    TRY(container_open(&container, path, err));
    Status status = tokenizer_spec_read(container, spec, err);
    container_close(container);
    return status;
}

Status tokenizer_read(const Container *container, Tokenizer **out, Err *err)
{
    TokenizerSpec spec;
    *out = NULL;
    TRY(tokenizer_spec_read(container, &spec, err));
    *out = tokenizer_new(&spec, err);
    return *out ? STATUS_OK : err_wrap(err, "%s", container_file(container));
}

Sha256 tokenizer_hash(const TokenizerSpec *spec)
{
    HashStream *stream = hash_new();
    json_t *json = spec_json(spec);
    char *settings = json_dumps(json, JSON_COMPACT);
    size_t n = (size_t)spec->n_tokens;
    hash_update(stream, settings, strlen(settings));
    hash_update(stream, spec->offsets, (n + 1) * sizeof *spec->offsets);
    hash_update(stream, spec->text, (size_t)spec->offsets[n]);
    hash_update(stream, spec->types, n);
    if (spec->find)
        hash_update(stream, spec->find, n);
    if (spec->scores)
        hash_update(stream, spec->scores, n * sizeof *spec->scores);
    if (spec->n_merges)
        hash_update(stream, spec->merges, (size_t)spec->n_merges * 3 * sizeof *spec->merges);
    free(settings);
    json_decref(json);
    return hash_finish_free(stream);
}
