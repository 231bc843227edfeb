#include "tests/support/data_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/file.h"

const char *data_file_found(const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    const char *folder = getenv("TEST_DATA");
    snprintf(path, sizeof paths[0], "%s/%s", folder ? folder : "", name);
    return folder && file_exists(path) ? path : NULL;
}

const char *data_file(const char *name)
{
    const char *path = data_file_found(name);
    if (!path)
        print_message("SKIP: $TEST_DATA/%s is absent\n", name);
    return path;
}
