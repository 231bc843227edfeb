#include "infer/kv_snapshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "core/io/json_get.h"

enum { ROWS = 4096 }; /* positions in memory at a time, about */

static const char *const part_names[KV_PARTS] = {"keys", "values", "key_scales", "value_scales"};

/* What the keys of a cache depend on: snapshots of unlike models are of no use to each other. */
typedef struct Identity {
    char model[SHA256_TEXT];
    json_t *rope; /* each expert's base and scaling; NULL where they are the file's own; owned */
} Identity;

/* Equal for files with the same model in them: its description, and every tensor's hash. */
static Status fingerprint(const Container *file, char text[SHA256_TEXT], Err *err)
{
    const char *meta;
    Status status = container_text(file, "/meta", &meta, err);
    HashStream *stream = hash_new();
    if (status == STATUS_OK)
        hash_update(stream, meta, strlen(meta));
    for (int64_t i = 0; status == STATUS_OK && i < container_count(file); i++) {
        const ContainerEntry *entry = container_entry(file, i);
        Sha256 digest = container_digest(file, entry->path);
        hash_update(stream, entry->path, strlen(entry->path) + 1);
        hash_update(stream, digest.bytes, sizeof digest.bytes);
    }
    Sha256 hash = hash_finish_free(stream);
    hash_text(&hash, text);
    return status;
}

static json_t *rope_of(const ModelConfig *config)
{
    json_t *all = model_config_json(config);
    json_t *rope = json_pack("{s:O, s:O*}", "base", json_object_get(all, "rope_base"), "scaling",
                             json_object_get(all, "rope_scaling"));
    json_decref(all);
    return rope;
}

static Status replaced_rope(const Container *file, const Ensemble *ensemble, json_t **out, Err *err)
{
    CheckpointInfo info;
    *out = NULL;
    TRY(checkpoint_info_read(file, &info, err));
    json_t *own = json_array(), *used = json_array();
    for (int64_t e = 0; e < info.n_experts; e++)
        json_array_append_new(own, rope_of(&info.experts[e].config));
    for (int64_t e = 0; e < ensemble->n_experts; e++)
        json_array_append_new(used, rope_of(&ensemble->experts[e]->config));
    if (!json_equal(own, used))
        *out = json_incref(used);
    json_decref(own);
    json_decref(used);
    checkpoint_info_clear(&info);
    return STATUS_OK;
}

/* The caller owns `out->rope`, which is NULL when it fails. */
static Status identify(const KvSource *source, Identity *out, Err *err)
{
    Container *file;
    *out = (Identity){.rope = NULL};
    TRY(container_open(&file, source->model, err));
    Status status = fingerprint(file, out->model, err);
    if (status == STATUS_OK)
        status = replaced_rope(file, source->ensemble, &out->rope, err);
    container_close(file);
    return status;
}

/* ---- what both ways go through --------------------------------------------------------------- */

/* One dataset: rows of one part of one layer. */
typedef struct Piece {
    char *path;
    KvRows rows;
    Tensor shape; /* of the whole: (positions, K, D) or (positions, K) */
} Piece;

typedef Status PieceFn(void *context, const Piece *piece, Err *err);

static Status each_part(const KvSource *source, KvRows rows, PieceFn *fn, void *context, Err *err)
{
    const ModelConfig *c = &source->ensemble->experts[rows.expert]->config;
    Status status = STATUS_OK;
    for (int p = 0; p < kv_part_count(source->kv_dtype) && status == STATUS_OK; p++) {
        rows.part = (KvPart)p;
        Tensor row = kv_part_row(rows.part, source->kv_dtype, c->head_dim);
        Piece piece = {
            .path = xasprintf("/kv/%lld/%lld/%s", (long long)rows.expert, (long long)rows.layer,
                              part_names[p]),
            .rows = rows,
            .shape = p < KV_KEY_SCALES
                         ? tensor_3d(NULL, row.dtype, rows.count, c->n_kv_heads, c->head_dim)
                         : tensor_2d(NULL, row.dtype, rows.count, c->n_kv_heads),
        };
        status = fn(context, &piece, err);
        free(piece.path);
    }
    return status;
}

/* Calls `fn` for every dataset of `positions` rows, in the order of the file. */
static Status each_piece(const KvSource *source, int64_t sequence, int64_t positions, PieceFn *fn,
                         void *context, Err *err)
{
    for (int64_t e = 0; e < source->ensemble->n_experts; e++)
        for (int64_t l = 0; l < source->ensemble->experts[e]->config.n_layers && positions > 0;
             l++) {
            KvRows rows = {.sequence = sequence, .expert = e, .layer = l, .count = positions};
            TRY(each_part(source, rows, fn, context, err));
        }
    return STATUS_OK;
}

static int64_t layers_of(const KvSource *source)
{
    int64_t n = 0;
    for (int64_t e = 0; e < source->ensemble->n_experts; e++)
        n += source->ensemble->experts[e]->config.n_layers;
    return n;
}

/* Positions that are copied at once: whole units of the decoder. */
static int64_t turn_of(const Decoder *decoder)
{
    int64_t unit = decoder_page_size(decoder);
    return (ROWS + unit - 1) / unit * unit;
}

/* ---- saving ---------------------------------------------------------------------------------- */

typedef struct Saving {
    ContainerWriter *writer;
    Decoder *decoder;
    Progress bar;
    int64_t layers_done, parts;
} Saving;

static Status save_piece(void *context, const Piece *piece, Err *err)
{
    Saving *s = context;
    int64_t turn = turn_of(s->decoder), n = piece->rows.count;
    size_t row = tensor_bytes(&piece->shape) / (size_t)n;
    void *host = xmalloc((size_t)(turn < n ? turn : n) * row);
    Status status = container_begin(s->writer, piece->path, &piece->shape, err);
    for (int64_t at = 0; at < n && status == STATUS_OK; at += turn) {
        KvRows rows = piece->rows;
        rows.first = at;
        rows.count = n - at < turn ? n - at : turn;
        status = decoder_read_kv(s->decoder, &rows, host, err);
        if (status == STATUS_OK)
            status = container_append(s->writer, host, (size_t)rows.count * row, err);
    }
    free(host);
    if (status == STATUS_OK)
        status = container_end(s->writer, err);
    progress_update(&s->bar, ++s->layers_done / s->parts, NULL);
    return status;
}

static Status put_meta(ContainerWriter *writer, const KvSource *source, Err *err)
{
    Identity own;
    TRY(identify(source, &own, err));
    json_t *meta = json_pack("{s:i, s:s, s:s, s:s, s:I, s:o*}", "format", FILE_FORMAT, "kind", "kv",
                             "model", own.model, "type", dtype_name(source->kv_dtype), "experts",
                             (json_int_t)source->ensemble->n_experts, "rope", own.rope);
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    return status;
}

static Status put_weights(ContainerWriter *writer, const KvSource *source, Decoder *decoder,
                          int64_t sequence, const IdList *tokens, Err *err)
{
    int64_t E = source->ensemble->n_experts, length = decoder_length(decoder, sequence);
    float *weights = xmalloc((size_t)E * sizeof *weights);
    memcpy(weights, decoder_weights(decoder, sequence), (size_t)E * sizeof *weights);
    Status status = STATUS_OK;
    if (length < tokens->count)
        status = decoder_weights_after(decoder, sequence, tokens->items[length], weights, err);
    Tensor shape = tensor_1d(NULL, DTYPE_F32, E);
    if (status == STATUS_OK)
        status = container_put(writer, "/weights", &shape, weights, err);
    free(weights);
    return status;
}

static Status save_all(Saving *s, const KvSource *source, int64_t sequence, const IdList *tokens,
                       Err *err)
{
    Tensor shape = tensor_1d(NULL, DTYPE_I32, tokens->count);
    TRY(put_meta(s->writer, source, err));
    TRY(container_put(s->writer, "/tokens", &shape, tokens->items, err));
    TRY(put_weights(s->writer, source, s->decoder, sequence, tokens, err));
    return each_piece(source, sequence, tokens->count - 1, save_piece, s, err);
}

Status kv_snapshot_save(const char *path, const KvSource *source, Decoder *decoder,
                        int64_t sequence, const IdList *tokens, Err *err)
{
    int64_t length = decoder_length(decoder, sequence);
    CHECK(tokens->count > 0 && (length == tokens->count || length == tokens->count - 1),
          "%lld tokens and %lld positions", (long long)tokens->count, (long long)length);
    Saving s = {.decoder = decoder, .parts = kv_part_count(source->kv_dtype)};
    TRY(container_create(&s.writer, path, err));
    progress_start(&s.bar, "layer saved", layers_of(source));
    Status status = save_all(&s, source, sequence, tokens, err);
    progress_end(&s.bar);
    if (status == STATUS_OK)
        return container_commit(s.writer, err);
    container_abandon(s.writer);
    return status;
}

/* ---- loading --------------------------------------------------------------------------------- */

struct KvSnapshot {
    Container *file;
    const KvSource *source;
    const int32_t *tokens; /* (n), mapped */
    int64_t n;
    const float *weights; /* (experts), mapped */
};

/* NULL: as the model's file says. */
static char *rope_text(const json_t *rope)
{
    return rope ? json_dumps(rope, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6))
                : xstrdup("the model's own");
}

static Status check_rope(const char *file, const json_t *saved, const json_t *own, Err *err)
{
    if (saved == own || (saved && own && json_equal(saved, own)))
        return STATUS_OK;
    char *theirs = rope_text(saved), *ours = rope_text(own);
    err_set(err,
            "%s was saved with another rotary scaling (%s) than this run's (%s); give the same "
            "--rope-scaling and --rope-factor",
            file, theirs, ours);
    free(theirs);
    free(ours);
    return STATUS_FAIL;
}

static Status check_identity(const KvSnapshot *s, const json_t *meta, const char *model,
                             int64_t experts, Err *err)
{
    const char *file = container_file(s->file);
    Identity own;
    Status status = identify(s->source, &own, err);
    if (status == STATUS_OK &&
        (strcmp(own.model, model) != 0 || experts != s->source->ensemble->n_experts))
        status = err_set(err,
                         "%s was saved with another model than %s (SHA-256 %.12s... instead of "
                         "%.12s...); load it with its own",
                         file, s->source->model, model, own.model);
    if (status == STATUS_OK)
        status = check_rope(file, json_object_get(meta, "rope"), own.rope, err);
    json_decref(own.rope);
    return status;
}

static Status check_meta(const KvSnapshot *s, const json_t *meta, Err *err)
{
    const char *file = container_file(s->file), *kind, *type, *model;
    char *where = xasprintf("%s: /meta", file);
    int64_t experts = 0;
    Status status = json_get_text(meta, "kind", where, &kind, err);
    if (status == STATUS_OK && strcmp(kind, "kv") != 0)
        status = err_set(err, "%s is a %s file, not a KV snapshot ('infer --save-kv' makes them)",
                         file, kind);
    if (status == STATUS_OK)
        status = json_get_text(meta, "model", where, &model, err);
    if (status == STATUS_OK)
        status = json_get_text(meta, "type", where, &type, err);
    if (status == STATUS_OK)
        status = json_get_int(meta, "experts", where, &experts, err);
    if (status == STATUS_OK)
        status = check_identity(s, meta, model, experts, err);
    if (status == STATUS_OK && strcmp(type, dtype_name(s->source->kv_dtype)) != 0)
        status = err_set(err, "%s holds a cache of type %s, and this one is %s; give --kv %s", file,
                         type, dtype_name(s->source->kv_dtype), type);
    free(where);
    return status;
}

static Status map_texts(KvSnapshot *s, Err *err)
{
    int64_t E = s->source->ensemble->n_experts;
    int64_t V = s->source->ensemble->experts[0]->config.vocab_size;
    const char *file = container_file(s->file);
    Tensor shape, weights = tensor_1d(NULL, DTYPE_F32, E);
    TRY(container_shape(s->file, "/tokens", &shape, err));
    if (shape.dtype != DTYPE_I32 || shape.n_dims != 1 || shape.shape[0] < 1 ||
        shape.shape[0] > INT32_MAX)
        return err_set(err, "%s: /tokens is no list of tokens", file);
    s->n = shape.shape[0];
    TRY(container_map_as(s->file, "/tokens", &shape, (const void **)&s->tokens, err));
    TRY(container_map_as(s->file, "/weights", &weights, (const void **)&s->weights, err));
    for (int64_t i = 0; i < s->n; i++)
        if (s->tokens[i] < 0 || s->tokens[i] >= V)
            return err_set(err, "%s: token %d is not among the model's %lld", file, s->tokens[i],
                           (long long)V);
    for (int64_t e = 0; e < E; e++)
        if (!isfinite(s->weights[e]))
            return err_set(err, "%s: a merge weight is no number", file);
    return STATUS_OK;
}

static Status check_piece(void *context, const Piece *piece, Err *err)
{
    const KvSnapshot *s = context;
    Tensor stored;
    TRY(container_shape(s->file, piece->path, &stored, err));
    if (stored.dtype != piece->shape.dtype || !tensor_same_shape(&stored, &piece->shape))
        return err_set(err, "%s: %s has not the shape or type of %lld cached positions",
                       container_file(s->file), piece->path, (long long)piece->rows.count);
    return STATUS_OK;
}

static Status read_all(KvSnapshot *s, Err *err)
{
    const char *kind;
    json_t *meta;
    TRY(file_kind_read(s->file, &kind, &meta, err));
    Status status = check_meta(s, meta, err);
    json_decref(meta);
    TRY(status);
    TRY(map_texts(s, err));
    return each_piece(s->source, 0, s->n - 1, check_piece, s, err);
}

Status kv_snapshot_open(KvSnapshot **out, const char *path, const KvSource *source, Err *err)
{
    KvSnapshot *s = xcalloc(1, sizeof *s);
    s->source = source;
    *out = NULL;
    Status status = container_open(&s->file, path, err);
    if (status == STATUS_OK)
        status = read_all(s, err);
    if (status == STATUS_OK)
        *out = s;
    else
        kv_snapshot_close(s);
    return status;
}

void kv_snapshot_close(KvSnapshot *s)
{
    if (!s)
        return;
    container_close(s->file);
    free(s);
}

const int32_t *kv_snapshot_tokens(const KvSnapshot *s, int64_t *n)
{
    *n = s->n;
    return s->tokens;
}

typedef struct Loading {
    const KvSnapshot *snapshot;
    Decoder *decoder;
    Progress bar;
    int64_t parts_done, parts;
} Loading;

static Status load_piece(void *context, const Piece *piece, Err *err)
{
    Loading *l = context;
    const Container *file = l->snapshot->file;
    int64_t turn = turn_of(l->decoder), n = piece->rows.count;
    int64_t row = (int64_t)tensor_bytes(&piece->shape) / n;
    for (int64_t at = 0; at < n; at += turn) {
        KvRows rows = piece->rows;
        const void *data;
        rows.first = at;
        rows.count = n - at < turn ? n - at : turn;
        TRY(container_map_range(file, piece->path, at * row, rows.count * row, &data, err));
        TRY(decoder_write_kv(l->decoder, &rows, data, err));
    }
    container_drop(file, piece->path);
    progress_update(&l->bar, ++l->parts_done / l->parts, NULL);
    return STATUS_OK;
}

Status kv_snapshot_restore(const KvSnapshot *s, Decoder *decoder, int64_t sequence, Err *err)
{
    Loading l = {.snapshot = s, .decoder = decoder, .parts = kv_part_count(s->source->kv_dtype)};
    TRY(decoder_restore(decoder, sequence, s->n - 1, s->weights, err));
    progress_start(&l.bar, "layer loaded", layers_of(s->source));
    Status status = each_piece(s->source, sequence, s->n - 1, load_piece, &l, err);
    progress_end(&l.bar);
    return status;
}
