#include "core/io/corpus_list.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/base/inputs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/unpack.h"

bool corpus_named(const char *path, const char *suffix)
{
    size_t n = unpack_name_length(path), m = strlen(suffix);
    return n > m && path[n - m - 1] == '.' && strncasecmp(path + n - m, suffix, m) == 0;
}

static Status list_one(const char *path, StringList *out, Err *err)
{
    static const char *const suffixes[] = {"txt", "md", "jsonl", "ndjson"};
    if (strcmp(path, "-") == 0) {
        string_list_add(out, path);
        return STATUS_OK;
    }
    StringList all = {0};
    int64_t before = out->count;
    Status status = file_list(path, &all, err);
    for (int64_t i = 0; i < all.count; i++) {
        bool wanted = strcmp(all.items[i], path) == 0;
        for (size_t k = 0; k < sizeof suffixes / sizeof suffixes[0]; k++)
            wanted |= corpus_named(all.items[i], suffixes[k]);
        if (wanted)
            string_list_add(out, all.items[i]);
    }
    string_list_clear(&all);
    if (status == STATUS_OK && out->count == before)
        status = err_set(err, "%s holds no file named .txt, .md, .jsonl or .ndjson", path);
    return status;
}

typedef struct Identity {
    dev_t device;
    ino_t inode;
    int64_t index; /* in the list; -1: nothing to compare */
} Identity;

static int by_identity(const void *a, const void *b)
{
    const Identity *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Leaves one name of each file: read twice, its text would count double without anybody's having
 * said so. */
static void drop_repeated(StringList *list)
{
    Identity *files = xcalloc((size_t)list->count + 1, sizeof *files);
    StringList kept = {0};
    bool *repeated = xcalloc((size_t)list->count + 1, sizeof *repeated);
    int64_t known = 0, first = -1, names = 0;
    for (int64_t i = 0; i < list->count; i++) {
        struct stat info;
        bool standard = strcmp(list->items[i], "-") == 0;
        if (stat(standard ? "/dev/stdin" : list->items[i], &info) == 0)
            files[known++] = (Identity){info.st_dev, info.st_ino, i};
    }
    qsort(files, (size_t)known, sizeof *files, by_identity);
    for (int64_t i = 1; i < known; i++) {
        if (files[i].device != files[i - 1].device || files[i].inode != files[i - 1].inode)
            continue;
        repeated[files[i].index] = true;
        first = names++ ? first : i;
    }
    if (names)
        log_warn("%s is the same file as %s; each file is read once (names left out: %lld)",
                 list->items[files[first].index], list->items[files[first - 1].index],
                 (long long)names);
    for (int64_t i = 0; i < list->count; i++)
        if (!repeated[i])
            string_list_add(&kept, list->items[i]);
    string_list_clear(list);
    *list = kept;
    free(repeated);
    free(files);
}

Status corpus_list(const StringList *paths, StringList *out, Err *err)
{
    for (int64_t i = 0; i < paths->count; i++)
        TRY(list_one(paths->items[i], out, err));
    drop_repeated(out);
    for (int64_t i = 0; i < out->count; i++)
        inputs_add(out->items[i]);
    return STATUS_OK;
}
