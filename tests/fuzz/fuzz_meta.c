/* Containers whose /meta is a text of any bytes: the accounts of models and tables are read, and so
 * is everything that `inspect` says of them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "core/io/describe.h"
#include "tests/support/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    Err err;
    ContainerWriter *writer;
    char *text = xstrndup((const char *)data, size);
    CHECK(container_create(&writer, path, &err) == STATUS_OK &&
              container_put_text(writer, "/meta", text, &err) == STATUS_OK &&
              container_commit(writer, &err) == STATUS_OK,
          "%s", err.text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *path;
    if (!path) {
        folder_begin();
        atexit(folder_end);
        path = xstrdup(folder_path("file.h5"));
    }
    write_file(path, data, size);
    Err err;
    Container *file;
    CheckpointInfo model;
    TableInfo table;
    json_t *meta = NULL, *description;
    CHECK(container_open(&file, path, &err) == STATUS_OK, "%s", err.text);
    if (checkpoint_info_read(file, &model, &err) == STATUS_OK)
        checkpoint_info_clear(&model);
    if (table_info_read(file, &table, &meta, &err) == STATUS_OK)
        json_decref(meta);
    container_close(file);
    if (describe_file(path, true, &description, &err) == STATUS_OK)
        json_decref(description);
    return 0;
}
