#include "core/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

static Status read_stream(FILE *stream, const char *path, int64_t limit, StrBuf *out, Err *err)
{
    int64_t start = out->size;
    char block[1 << 16];
    size_t got;
    while ((got = fread(block, 1, sizeof block, stream)) > 0) {
        strbuf_append(out, block, got);
        if (limit && out->size - start > limit)
            return err_set(err, "%s is larger than the %lld bytes that are allowed here", path,
                           (long long)limit);
    }
    if (ferror(stream))
        return err_set(err, "cannot read %s: %s", path, strerror(errno));
    strbuf_append(out, "", 0);
    return STATUS_OK;
}

Status file_read(const char *path, int64_t limit, StrBuf *out, Err *err)
{
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, "standard input", limit, out, err);
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return err_set(err, "cannot open %s: %s", path, strerror(errno));
    Status status = read_stream(stream, path, limit, out, err);
    fclose(stream);
    return status;
}

Status file_map_open(FileMap *map, const char *path, Err *err)
{
    *map = (FileMap){0};
    /* A pipe that nobody writes to would be waited for without O_NONBLOCK. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, "cannot open %s: %s", path, strerror(errno));
    struct stat info;
    Status status = STATUS_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = err_set(err, "%s is not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = err_set(err, "cannot map %s: %s", path, strerror(errno));
        else
            *map = (FileMap){data, info.st_size};
    }
    close(fd);
    return status;
}

void file_map_close(FileMap *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, (size_t)map->bytes);
    *map = (FileMap){0};
}

Status file_make_folder(const char *path, Err *err)
{
    char *copy = xstrdup(path);
    Status status = STATUS_OK;
    for (char *p = copy + 1; status == STATUS_OK; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        struct stat info;
        if (mkdir(copy, 0777) != 0 &&
            (errno != EEXIST || stat(copy, &info) != 0 || !S_ISDIR(info.st_mode)))
            status = err_set(err, "cannot create the folder %s: %s", copy, strerror(errno));
        *p = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return status;
}

void string_list_add(StringList *list, const char *text)
{
    list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = xstrdup(text);
}

void string_list_clear(StringList *list)
{
    for (int64_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (StringList){0};
}

/* A folder that is being listed, or was: links may lead to it again, also in a circle. */
typedef struct SeenFolder {
    dev_t device;
    ino_t inode;
} SeenFolder;

typedef struct Listing {
    StringList *files;
    SeenFolder *seen;
    int64_t n_seen, capacity;
} Listing;

static bool is_new_folder(Listing *listing, const struct stat *info)
{
    for (int64_t i = 0; i < listing->n_seen; i++)
        if (listing->seen[i].device == info->st_dev && listing->seen[i].inode == info->st_ino)
            return false;
    listing->seen =
        mem_grow(listing->seen, &listing->capacity, listing->n_seen + 1, sizeof *listing->seen);
    listing->seen[listing->n_seen++] = (SeenFolder){info->st_dev, info->st_ino};
    return true;
}

/* A link that leads nowhere, or to itself, is no reason to leave the rest of a folder unread. */
static bool is_broken_link(const char *path, int fault)
{
    struct stat info;
    return (fault == ENOENT || fault == ELOOP) && lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

static Status list_below(const char *path, int depth, Listing *listing, Err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        int fault = errno;
        if (depth == 0 || !is_broken_link(path, fault))
            return err_set(err, "cannot read %s: %s", path, strerror(fault));
        log_warn("%s is a link to nothing and is left out", path);
        return STATUS_OK;
    }
    if (S_ISREG(info.st_mode)) {
        string_list_add(listing->files, path);
        return STATUS_OK;
    }
    if (!S_ISDIR(info.st_mode) || !is_new_folder(listing, &info))
        return STATUS_OK;
    if (depth > 64)
        return err_set(err, "%s: more than 64 folders deep", path);
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    if (count < 0)
        return err_set(err, "cannot list %s: %s", path, strerror(errno));
    Status status = STATUS_OK;
    for (int i = 0; i < count; i++) {
        if (status == STATUS_OK && names[i]->d_name[0] != '.') {
            char *child = file_join(path, names[i]->d_name);
            status = list_below(child, depth + 1, listing, err);
            free(child);
        }
        free(names[i]);
    }
    free(names);
    return status;
}

Status file_list(const char *path, StringList *out, Err *err)
{
    Listing listing = {.files = out};
    Status status = list_below(path, 0, &listing, err);
    free(listing.seen);
    return status;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

const char *file_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *file_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
}

bool file_has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcasecmp(path + n - m, suffix) == 0;
}

char *file_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return xasprintf("%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}
