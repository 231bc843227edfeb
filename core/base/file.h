/* Files: whole reads, read-only maps, and writes that are either complete or absent. */
#ifndef CAMBIUM_CORE_BASE_FILE_H
#define CAMBIUM_CORE_BASE_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

/* Appends the whole file (or stdin for "-") to `out`. Files over `limit` bytes are refused; 0: no
 * limit. */
Status file_read(const char *path, int64_t limit, StrBuf *out, Err *err);

typedef struct FileMap {
    const void *data; /* NULL for an empty file */
    int64_t bytes;
} FileMap;

Status file_map_open(FileMap *map, const char *path, Err *err);
void file_map_close(FileMap *map);

/* A file that appears under its name only when it is complete: written to a temporary name beside
 * it that no other writer has, flushed, fsynced, renamed, and its folder fsynced. file_draft_init
 * creates the temporary file, and removes those that killed processes left of the same file.
 * Writers open it by its name and call commit. What is there under the final name must be a regular
 * file: a folder cannot be replaced, and a device must not be. */
typedef struct FileDraft {
    char *path;
    char *temporary;
    int fd; /* holds the temporary file's lock, which says that its writer lives */
} FileDraft;

Status file_draft_init(FileDraft *draft, const char *path, Err *err);
Status file_draft_commit(FileDraft *draft, Err *err); /* ends the draft, also when it fails */
void file_draft_abandon(FileDraft *draft); /* removes the temporary file, ends the draft */

/* Whether a draft for `path` can be begun: the folder is there and may be written, and what is
 * there under the name is nothing that is read (inputs.h). For work that takes hours before it
 * writes. */
Status file_check_target(const char *path, Err *err);

/* A file without a name in the folder of `path`, where there must be room for it anyway, to write
 * and read back. NULL when it cannot be made. */
FILE *file_scratch(const char *path, Err *err);

/* The common case: the whole content at once. */
Status file_write(const char *path, const void *data, size_t bytes, Err *err);

/* Creates the folder and its parents. */
Status file_make_folder(const char *path, Err *err);
/* All regular files below `path` (or `path` itself when it is one), sorted by name. Links are
 * followed, each folder once. The caller frees with string_list_clear. */
typedef struct StringList {
    char **items;
    int64_t count;
    int64_t capacity;
} StringList;

void string_list_add(StringList *list, const char *text); /* keeps a copy */
void string_list_clear(StringList *list);
Status file_list(const char *path, StringList *out, Err *err);

bool file_exists(const char *path);
bool file_is_folder(const char *path);
bool file_is_named(int fd,
                   const char *path); /* whether `path` is (still) a name of the open file */
const char *file_base_name(const char *path);               /* points into `path` */
bool file_has_suffix(const char *path, const char *suffix); /* letter case ignored */
char *file_folder(const char *path); /* that it is in, "." for none; the caller frees */
char *file_join(const char *folder, const char *name); /* the caller frees */

#endif
