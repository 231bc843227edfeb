#include "tests/support/folder.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"

static char folder[64];

void folder_begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/cambium-test-XXXXXX");
    CHECK(mkdtemp(folder), "no temporary folder");
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

void folder_end(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int folder_set_up(void **state)
{
    (void)state;
    folder_begin();
    return 0;
}

int folder_tear_down(void **state)
{
    (void)state;
    folder_end();
    return 0;
}

const char *folder_path(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

int folder_temporaries(void)
{
    DIR *stream = opendir(folder);
    CHECK(stream, "cannot list %s", folder);
    int count = 0;
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL)
        count += strstr(entry->d_name, ".tmp") != NULL;
    closedir(stream);
    return count;
}

const char *folder_put(const char *name, const void *data, int64_t bytes)
{
    const char *path = folder_path(name);
    size_t count = bytes < 0 ? strlen(data) : (size_t)bytes;
    FILE *stream = fopen(path, "wb");
    CHECK(stream && fwrite(data, 1, count, stream) == count && fclose(stream) == 0,
          "cannot write %s", path);
    return path;
}
