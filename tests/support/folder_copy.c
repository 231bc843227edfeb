#include "tests/support/folder_copy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tests/support/folder.h"

static char *copy, *file_in_copy;

static void must(Status status, const Err *err)
{
    CHECK(status == STATUS_OK, "%s", err->text);
}

const char *copy_path(const char *file)
{
    free(file_in_copy);
    return file_in_copy = file_join(copy, file);
}

static void empty(const char *folder)
{
    Err err;
    StringList files = {0};
    must(file_list(folder, &files, &err), &err);
    for (int64_t i = 0; i < files.count; i++)
        unlink(files.items[i]);
    string_list_clear(&files);
}

const char *folder_copy(const char *from, const char *name)
{
    Err err;
    StringList files = {0};
    free(copy);
    copy = xstrdup(folder_path(name));
    must(file_make_folder(copy, &err), &err);
    empty(copy);
    must(file_list(from, &files, &err), &err);
    for (int64_t i = 0; i < files.count; i++) {
        StrBuf content = {0};
        must(file_read(files.items[i], 0, &content, &err), &err);
        must(file_write(copy_path(file_base_name(files.items[i])), content.data,
                        (size_t)content.size, &err),
             &err);
        strbuf_clear(&content);
    }
    string_list_clear(&files);
    return copy;
}

void copy_rename(const char *from, const char *to)
{
    char *old = xstrdup(copy_path(from));
    CHECK((to ? rename(old, copy_path(to)) : unlink(old)) == 0, "%s", old);
    free(old);
}

void copy_add_member(const char *file, const char *member)
{
    Err err;
    StrBuf content = {0};
    const char *path = copy_path(file);
    if (file_exists(path))
        must(file_read(path, 0, &content, &err), &err);
    else
        strbuf_puts(&content, "{}");
    char *end = strrchr(content.data, '}');
    CHECK(end, "%s has no object", path);
    bool is_first = strchr(content.data, ':') == NULL;
    *end = '\0';
    char *text = xasprintf("%s%s %s}\n", content.data, is_first ? "" : ",", member);
    must(file_write(path, text, strlen(text), &err), &err);
    free(text);
    strbuf_clear(&content);
}
