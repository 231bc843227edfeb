/* Containers that were altered: the input is a list of edits (place, new byte) to a whole file. An
 * altered file is refused, and never crashes the library below. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/io/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/tmp/cambium-fuzz-XXXXXX";
static uint8_t whole[1 << 16];
static int64_t whole_bytes;

static Status write_sample(Err *err)
{
    ContainerWriter *writer;
    static const float values[300];
    Tensor shape = tensor_2d(NULL, DTYPE_F32, 100, 3);
    TRY(container_create(&writer, path, err));
    Status status = container_put(writer, "/experts/0/a", &shape, values, err);
    if (status == STATUS_OK)
        status = container_put_attribute(writer, "/experts/0/a", "frozen", "00", err);
    if (status == STATUS_OK)
        status = container_put_text(writer, "/meta", "{\"format\": 1}", err);
    if (status == STATUS_OK)
        return container_commit(writer, err);
    container_abandon(writer);
    return status;
}

static void remove_sample(void)
{
    unlink(path);
}

static void begin(void)
{
    Err err;
    int fd = mkstemp(path);
    CHECK(fd >= 0, "no temporary file");
    close(fd);
    atexit(remove_sample);
    CHECK(write_sample(&err) == STATUS_OK, "%s", err.text);
    fd = open(path, O_RDONLY);
    whole_bytes = read(fd, whole, sizeof whole);
    close(fd);
    CHECK(whole_bytes > 0 && whole_bytes < (int64_t)sizeof whole, "sample of another size");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[sizeof whole];
    Err err;
    Container *file;
    if (whole_bytes == 0)
        begin();
    memcpy(copy, whole, sizeof copy);
    for (size_t i = 0; i + 3 <= size; i += 3)
        copy[(data[i] | data[i + 1] << 8) % whole_bytes] = data[i + 2];
    int64_t bytes = size % 3 ? (int64_t)(data[size - 1] * whole_bytes / 256) : whole_bytes;
    int fd = open(path, O_WRONLY | O_TRUNC);
    CHECK(fd >= 0 && write(fd, copy, (size_t)bytes) == bytes, "cannot write %s", path);
    close(fd);
    Status status = container_open(&file, path, &err);
    if (status == STATUS_OK)
        status = container_verify(file, &err);
    bool same = bytes == whole_bytes && memcmp(copy, whole, (size_t)bytes) == 0;
    if ((status == STATUS_OK) != same)
        __builtin_trap();
    container_close(file);
    return 0;
}
