#include "core/base/inputs.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/mem.h"

typedef struct Input {
    char *path;
    dev_t device;
    ino_t inode;
    bool is_folder;
} Input;

static struct {
    Input *items;
    int64_t count, capacity;
    const char *results;
    bool noted;
} inputs;

void inputs_begin(const char *results)
{
    inputs_end();
    inputs.noted = true;
    inputs.results = results;
}

void inputs_end(void)
{
    for (int64_t i = 0; i < inputs.count; i++)
        free(inputs.items[i].path);
    free(inputs.items);
    memset(&inputs, 0, sizeof inputs);
}

void inputs_add(const char *path)
{
    struct stat info;
    if (!inputs.noted || strcmp(path, "-") == 0 || stat(path, &info) != 0 ||
        !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)))
        return;
    inputs.items = mem_grow(inputs.items, &inputs.capacity, inputs.count + 1, sizeof *inputs.items);
    inputs.items[inputs.count++] =
        (Input){xstrdup(path), info.st_dev, info.st_ino, S_ISDIR(info.st_mode)};
}

static void add_part(char *text)
{
    char *colon = strrchr(text, ':'), *equals = strchr(text, '=');
    if (file_exists(text)) {
        inputs_add(text);
    } else if (equals) {
        add_part(equals + 1);
    } else if (colon) {
        *colon = '\0';
        inputs_add(text);
    }
}

void inputs_add_text(const char *text)
{
    if (file_exists(text)) {
        inputs_add(text);
        return;
    }
    char *copy = xstrdup(text), *rest = copy, *part;
    while ((part = strsep(&rest, ",")) != NULL)
        add_part(part);
    free(copy);
}

/* The name of an output without links, whether it is there or not; NULL when its folder is not.
 * The caller frees. */
static char *place_of(const char *path)
{
    char *folder = file_folder(path);
    char *real = realpath(folder, NULL);
    char *place = real ? file_join(real, file_base_name(path)) : NULL;
    free(folder);
    free(real);
    return place;
}

static bool lies_in(const char *place, const char *folder)
{
    char *real = realpath(folder, NULL);
    size_t n = real ? strlen(real) : 0;
    bool inside = real && strncmp(place, real, n) == 0 && (place[n] == '/' || n == 1);
    free(real);
    return inside;
}

/* Only folders that are read as a whole say what may lie in them. */
static Status check_folder(const Input *input, const char *output, Err *err)
{
    if (!inputs.results || fnmatch(inputs.results, file_base_name(output), 0) == 0)
        return STATUS_OK;
    char *place = place_of(output);
    bool inside = place && lies_in(place, input->path);
    free(place);
    if (!inside)
        return STATUS_OK;
    return err_set(err, "%s %s, and %s is read; name a file like %s, or one in another folder",
                   output, file_exists(output) ? "would be overwritten" : "would be read with it",
                   input->path, inputs.results);
}

/* Of a file that is gone another may have the number by now: the input must still be where it was.
 */
static bool is_input(const struct stat *file, const Input *input)
{
    struct stat now;
    return file->st_dev == input->device && file->st_ino == input->inode &&
           stat(input->path, &now) == 0 && now.st_dev == input->device &&
           now.st_ino == input->inode;
}

Status inputs_check(const char *output, Err *err)
{
    struct stat out;
    bool there = stat(output, &out) == 0;
    for (int64_t i = 0; i < inputs.count; i++) {
        const Input *input = &inputs.items[i];
        if (there && is_input(&out, input))
            return err_set(err, "%s would be overwritten, and it is read; name another output",
                           input->path);
        if (input->is_folder && !(there && S_ISDIR(out.st_mode)))
            TRY(check_folder(input, output, err));
    }
    return STATUS_OK;
}

Status inputs_check_pair(const char *output, const char *other, Err *err)
{
    char *a = place_of(output), *b = place_of(other);
    bool same = a && b && strcmp(a, b) == 0;
    free(a);
    free(b);
    if (same)
        return err_set(err, "%s and %s are one file; name two", output, other);
    return STATUS_OK;
}
