#include "core/base/plugin.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The path of a file beside the program; false when the system does not say where that is. */
static bool beside_program(const char *file, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return false;
    self[length] = 0;
    return (size_t)snprintf(path, size, "%s/%s", dirname(self), file) < size;
}

void *plugin_symbol(const char *file, const char *symbol, Err *err)
{
    char path[PATH_MAX];
    if (!beside_program(file, path, sizeof path)) {
        err_set(err, "%s: the program's own folder is unknown", file);
        return NULL;
    }
    if (access(path, F_OK) != 0) {
        err_set(err, "%s is not there (it was not built)", path);
        return NULL;
    }
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *address = plugin ? dlsym(plugin, symbol) : NULL;
    if (!address) {
        const char *why = dlerror();
        /* Of a library that it needs; it itself is there. */
        bool missing = strstr(why, "cannot open shared object file") != NULL;
        err_set(err, "%s cannot be opened: %s%s", file, why,
                missing ? " (set LD_LIBRARY_PATH to the library's folder)" : "");
    }
    return address;
}
