#include "merge/parts.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

/* ---- opening and checking ----------------------------------------------------------------------
 */

/* "ru" of ru/model.h5 (what a run folder holds) and of ru.h5. The caller frees it. */
static char *name_of_path(const char *path)
{
    char *folder = xstrdup(path), *base = strrchr(folder, '/');
    if (base && strcmp(base, "/model.h5") == 0) {
        *base = '\0';
        path = file_base_name(folder)[0] && file_base_name(folder)[0] != '.' ? folder : path;
    }
    const char *name = file_base_name(path), *dot = path == folder ? NULL : strrchr(name, '.');
    char *result = dot && dot > name ? xstrndup(name, (size_t)(dot - name)) : xstrdup(name);
    free(folder);
    return result;
}

/* An expert that was alone in its file is called after the file. */
static Status part_open(MergePart *part, const char *path, Err *err)
{
    *part = (MergePart){.path = path};
    TRY(container_open(&part->container, path, err));
    TRY(checkpoint_info_read(part->container, &part->info, err));
    if (part->info.n_experts == 1) {
        free(part->info.experts[0].name);
        part->info.experts[0].name = name_of_path(path);
    }
    return STATUS_OK;
}

/* The first place where two tokenizers differ, as the end of a sentence. */
static void describe_tokenizers(const TokenizerSpec *a, const TokenizerSpec *b, char *text,
                                size_t size)
{
    if (a->n_tokens != b->n_tokens) {
        snprintf(text, size, "%lld tokens against %lld", (long long)a->n_tokens,
                 (long long)b->n_tokens);
        return;
    }
    for (int64_t i = 0; i < a->n_tokens; i++) {
        int64_t n = a->offsets[i + 1] - a->offsets[i], m = b->offsets[i + 1] - b->offsets[i];
        const char *p = a->text + a->offsets[i], *q = b->text + b->offsets[i];
        if (n != m || memcmp(p, q, (size_t)n) != 0) {
            snprintf(text, size, "token %lld is '%.*s' against '%.*s'", (long long)i,
                     (int)(n < 40 ? n : 40), p, (int)(m < 40 ? m : 40), q);
            return;
        }
    }
    if (a->n_merges != b->n_merges)
        snprintf(text, size, "%lld merges against %lld", (long long)a->n_merges,
                 (long long)b->n_merges);
    else
        snprintf(text, size, "the same tokens, but other merges, patterns or special tokens");
}

static Status same_tokenizer(const MergePart *a, const MergePart *b, Err *err)
{
    TokenizerSpec x = {0}, y = {0};
    Status status = tokenizer_spec_read(a->container, &x, err);
    if (status == STATUS_OK)
        status = tokenizer_spec_read(b->container, &y, err);
    if (status == STATUS_OK) {
        Sha256 p = tokenizer_hash(&x), q = tokenizer_hash(&y);
        if (memcmp(&p, &q, sizeof p) != 0) {
            char difference[160];
            describe_tokenizers(&x, &y, difference, sizeof difference);
            status =
                err_set(err, "%s and %s have different tokenizers (%s); experts must share one",
                        a->path, b->path, difference);
        }
    }
    tokenizer_spec_clear(&x);
    tokenizer_spec_clear(&y);
    return status;
}

/* Logits are combined number by number. */
static Status same_vocabulary(const MergePart *a, const MergePart *b, Err *err)
{
    int64_t x = a->info.table.rows, y = b->info.table.rows;
    if (x == y)
        return STATUS_OK;
    return err_set(
        err,
        "%s gives logits for %lld tokens and %s for %lld, padding included; experts must "
        "share one output vocabulary",
        a->path, (long long)x, b->path, (long long)y);
}

/* ---- tables ------------------------------------------------------------------------------------
 */

/* The hash of a table's values: as /meta has it, or, of one that still trains, as they are. */
static Status table_hash_of(const MergePart *part, int64_t local, char text[SHA256_TEXT], Err *err)
{
    const TableInfo *info = checkpoint_table(&part->info, local);
    Tensor shape;
    const void *values;
    memcpy(text, info->hash, SHA256_TEXT);
    if (text[0])
        return STATUS_OK;
    char *path = checkpoint_table_path(part->info.experts[local].table_of);
    Status status = container_shape(part->container, path, &shape, err);
    if (status == STATUS_OK && shape.dtype != DTYPE_F32 && shape.dtype != DTYPE_BF16)
        status = err_set(err, "%s: %s is of type %s", part->path, path, dtype_name(shape.dtype));
    if (status == STATUS_OK)
        status = container_map(part->container, path, &values, err);
    if (status == STATUS_OK) {
        Sha256 hash = table_hash(values, shape.dtype, tensor_count(&shape));
        hash_text(&hash, text);
        container_drop(part->container, path);
    }
    free(path);
    return status;
}

/* Which experts read one table: those with the same values and width, whoever learned them. */
static Status find_tables(MergeParts *parts, Err *err)
{
    parts->tables = xcalloc((size_t)parts->n_experts, sizeof *parts->tables);
    for (int64_t e = 0; e < parts->n_experts; e++) {
        int64_t local, owner = 0;
        const MergePart *part = merge_parts_expert(parts, e, &local);
        MergeTable *table = &parts->tables[e];
        table->cols = checkpoint_table(&part->info, local)->cols;
        TRY(table_hash_of(part, local, table->hash, err));
        while (parts->tables[owner].cols != table->cols ||
               strcmp(parts->tables[owner].hash, table->hash) != 0)
            owner++;
        table->owner = owner;
    }
    return STATUS_OK;
}

Status merge_parts_open(MergeParts *parts, const StringList *paths, Err *err)
{
    *parts = (MergeParts){.items = xcalloc((size_t)paths->count, sizeof *parts->items)};
    Status status = STATUS_OK;
    for (int64_t i = 0; i < paths->count && status == STATUS_OK; i++) {
        status = part_open(&parts->items[i], paths->items[i], err);
        parts->count++;
        if (status == STATUS_OK && i > 0)
            status = same_tokenizer(&parts->items[0], &parts->items[i], err);
        if (status == STATUS_OK && i > 0)
            status = same_vocabulary(&parts->items[0], &parts->items[i], err);
        parts->n_experts += parts->items[i].info.n_experts;
    }
    if (status == STATUS_OK && parts->n_experts > 64)
        status =
            err_set(err, "%lld experts; at most 64 can be merged", (long long)parts->n_experts);
    if (status == STATUS_OK)
        status = find_tables(parts, err);
    if (status != STATUS_OK)
        merge_parts_close(parts);
    return status;
}

void merge_parts_close(MergeParts *parts)
{
    for (int64_t i = 0; i < parts->count; i++) {
        checkpoint_info_clear(&parts->items[i].info);
        container_close(parts->items[i].container);
    }
    free(parts->items);
    free(parts->tables);
    *parts = (MergeParts){0};
}

const MergePart *merge_parts_expert(const MergeParts *parts, int64_t expert, int64_t *local)
{
    for (int64_t i = 0; i < parts->count; i++) {
        if (expert < parts->items[i].info.n_experts) {
            *local = expert;
            return &parts->items[i];
        }
        expert -= parts->items[i].info.n_experts;
    }
    CHECK(false, "expert %lld", (long long)expert);
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* The first expert among those that read a table whose file has it, or `owner` itself when all
 * left it out. */
static const MergePart *table_holder(const MergeParts *parts, int64_t owner, int64_t *local)
{
    for (int64_t e = owner; e < parts->n_experts; e++) {
        const MergePart *part = merge_parts_expert(parts, e, local);
        if (parts->tables[e].owner == owner && checkpoint_table(&part->info, *local)->stored)
            return part;
    }
    return merge_parts_expert(parts, owner, local);
}

static TableInfo table_info(const MergeParts *parts, int64_t owner)
{
    int64_t local;
    const MergePart *holder = table_holder(parts, owner, &local);
    TableInfo info = *checkpoint_table(&holder->info, local);
    memcpy(info.hash, parts->tables[owner].hash, sizeof info.hash);
    return info;
}

static Status put_meta(ContainerWriter *writer, const MergeParts *parts, const MergeWrite *write,
                       Err *err)
{
    CheckpointInfo info = {.n_experts = parts->n_experts,
                           .rule = write->rule,
                           .forget = write->forget,
                           .table = table_info(parts, 0)};
    info.experts = xcalloc((size_t)parts->n_experts, sizeof *info.experts);
    if (write->weights) {
        info.weights = xcalloc((size_t)parts->n_experts, sizeof *info.weights);
        memcpy(info.weights, write->weights, (size_t)parts->n_experts * sizeof *info.weights);
    }
    if (write->adapter) {
        info.adapter_top = write->adapter->top;
        info.adapter_hidden = write->adapter->hidden;
    }
    for (int64_t e = 0; e < parts->n_experts; e++) {
        int64_t local;
        const MergePart *part = merge_parts_expert(parts, e, &local);
        info.experts[e] = part->info.experts[local];
        info.experts[e].table_of = parts->tables[e].owner;
        info.experts[e].table = table_info(parts, parts->tables[e].owner);
    }
    json_t *meta = checkpoint_meta_json(&info);
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    free(info.experts); /* names are borrowed from the parts */
    free(info.weights);
    return status;
}

/* What ends a text for one expert ends it for all. */
static Status add_ends(const MergePart *part, TokenizerSpec *spec, Err *err)
{
    TokenizerSpec other = {0};
    TRY(tokenizer_spec_read(part->container, &other, err));
    for (int64_t i = 0; i < other.n_ends; i++)
        tokenizer_spec_add_end(spec, other.ends[i]);
    tokenizer_spec_clear(&other);
    return STATUS_OK;
}

static Status put_tokenizer(ContainerWriter *writer, const MergeParts *parts, Err *err)
{
    TokenizerSpec spec = {0};
    Status status = tokenizer_spec_read(parts->items[0].container, &spec, err);
    for (int64_t i = 1; i < parts->count && status == STATUS_OK; i++)
        status = add_ends(&parts->items[i], &spec, err);
    if (status == STATUS_OK)
        status = tokenizer_put(writer, &spec, err);
    tokenizer_spec_clear(&spec);
    return status;
}

/* The table of an expert that owns one. The first one's pictures come with it. */
static Status put_table(ContainerWriter *writer, const MergeParts *parts, int64_t owner, Err *err)
{
    int64_t local;
    const MergePart *holder = table_holder(parts, owner, &local);
    if (!checkpoint_table(&holder->info, local)->stored)
        return STATUS_OK;
    char *from = checkpoint_table_path(holder->info.experts[local].table_of);
    char *to = checkpoint_table_path(owner);
    Status status = container_copy(writer, to, holder->container, from, err);
    free(from);
    free(to);
    if (status == STATUS_OK && owner == 0 && holder->info.experts[local].table_of == 0)
        status = picture_basis_copy(writer, holder->container, err);
    return status;
}

Status merge_parts_write(const MergeParts *parts, const MergeWrite *write, Err *err)
{
    ContainerWriter *writer;
    TRY(container_create(&writer, write->path, err));
    Status status = put_meta(writer, parts, write, err);
    if (status == STATUS_OK)
        status = put_tokenizer(writer, parts, err);
    for (int64_t e = 0; e < parts->n_experts && status == STATUS_OK; e++) {
        int64_t local;
        const MergePart *part = merge_parts_expert(parts, e, &local);
        if (parts->tables[e].owner == e)
            status = put_table(writer, parts, e, err);
        if (status == STATUS_OK)
            status = checkpoint_copy_expert(writer, e, part->container, local, err);
    }
    if (status == STATUS_OK && write->adapter)
        status = checkpoint_put_adapter(writer, write->adapter, parts->n_experts, err);
    if (status != STATUS_OK) {
        container_abandon(writer);
        return status;
    }
    return container_commit(writer, err);
}
