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

static Status same_table(const MergePart *a, const MergePart *b, Err *err)
{
    const TableInfo *x = &a->info.table, *y = &b->info.table;
    if (x->rows != y->rows || x->cols != y->cols)
        return err_set(err,
                       "%s stands on a table of %lld x %lld, %s on one of %lld x %lld; experts "
                       "must share one substrate",
                       a->path, (long long)x->rows, (long long)x->cols, b->path, (long long)y->rows,
                       (long long)y->cols);
    if (!x->hash[0] || !y->hash[0])
        return err_set(err,
                       "%s has a learned table that still trains; only experts on one frozen "
                       "substrate can be merged",
                       x->hash[0] ? b->path : a->path);
    if (strcmp(x->hash, y->hash) != 0)
        return err_set(err,
                       "%s and %s stand on different tables (%.12s... against %.12s...); train "
                       "both on one 'cambium embed' file",
                       a->path, b->path, x->hash, y->hash);
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
            status = same_table(&parts->items[0], &parts->items[i], err);
        parts->n_experts += parts->items[i].info.n_experts;
    }
    if (status == STATUS_OK && parts->n_experts > 64)
        status =
            err_set(err, "%lld experts; at most 64 can be merged", (long long)parts->n_experts);
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

/* The part that has the table in its file, or NULL when all left it out. */
static const MergePart *table_holder(const MergeParts *parts)
{
    for (int64_t i = 0; i < parts->count; i++)
        if (parts->items[i].info.table.stored)
            return &parts->items[i];
    return NULL;
}

static Status put_meta(ContainerWriter *writer, const MergeParts *parts, const MergeWrite *write,
                       Err *err)
{
    const MergePart *holder = table_holder(parts);
    CheckpointInfo info = {.n_experts = parts->n_experts,
                           .rule = write->rule,
                           .forget = write->forget,
                           .table = (holder ? holder : &parts->items[0])->info.table};
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

static Status put_shared(ContainerWriter *writer, const MergeParts *parts, Err *err)
{
    const MergePart *holder = table_holder(parts);
    TokenizerSpec spec = {0};
    Status status = tokenizer_spec_read(parts->items[0].container, &spec, err);
    for (int64_t i = 1; i < parts->count && status == STATUS_OK; i++)
        status = add_ends(&parts->items[i], &spec, err);
    if (status == STATUS_OK)
        status = tokenizer_put(writer, &spec, err);
    tokenizer_spec_clear(&spec);
    if (status == STATUS_OK && holder)
        status = container_copy(writer, "/embedding", holder->container, "/embedding", err);
    if (status == STATUS_OK && holder)
        status = picture_basis_copy(writer, holder->container, err);
    return status;
}

Status merge_parts_write(const MergeParts *parts, const MergeWrite *write, Err *err)
{
    ContainerWriter *writer;
    TRY(container_create(&writer, write->path, err));
    Status status = put_meta(writer, parts, write, err);
    if (status == STATUS_OK)
        status = put_shared(writer, parts, err);
    for (int64_t e = 0; e < parts->n_experts && status == STATUS_OK; e++) {
        int64_t local;
        const MergePart *part = merge_parts_expert(parts, e, &local);
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
