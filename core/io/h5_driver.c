#include "core/io/h5_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"

typedef struct DriverFile {
    H5FD_t base; /* libhdf5 casts between the two, so it comes first */
    H5Backing *backing;
    haddr_t eoa; /* end of what libhdf5 has allocated */
    haddr_t eof; /* end of what was written */
} DriverFile;

typedef struct DriverAccess {
    H5Backing *backing;
} DriverAccess;

void h5_backing_write(H5Backing *backing, int64_t offset, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0 && !backing->fault) {
        ssize_t done = pwrite(backing->fd, from, bytes, (off_t)offset);
        if (done > 0) {
            from += done;
            offset += done;
            bytes -= (size_t)done;
        } else if (done == 0) {
            backing->fault = ENOSPC;
        } else if (errno != EINTR) {
            backing->fault = errno;
        }
    }
}

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t max)
{
    (void)name, (void)flags, (void)max;
    const DriverAccess *info = H5Pget_driver_info(access);
    if (!info)
        return NULL;
    DriverFile *file = xcalloc(1, sizeof *file);
    file->backing = info->backing;
    if (info->backing->map)
        file->eof = (haddr_t)info->backing->map_bytes;
    return &file->base;
}

static herr_t driver_close(H5FD_t *base)
{
    free(base);
    return 0;
}

static herr_t driver_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const DriverFile *)base)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((DriverFile *)base)->eoa = end;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const DriverFile *)base)->eof;
}

static herr_t driver_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t offset,
                          size_t bytes, void *out)
{
    (void)type, (void)transfer;
    DriverFile *file = (DriverFile *)base;
    H5Backing *backing = file->backing;
    if (backing->map) {
        haddr_t end = (haddr_t)backing->map_bytes;
        if (offset > end || bytes > end - offset)
            return -1;
        memcpy(out, backing->map + offset, bytes);
        return 0;
    }
    size_t got = 0;
    while (got < bytes) {
        ssize_t more = pread(backing->fd, (char *)out + got, bytes - got, (off_t)(offset + got));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -1;
        if (more == 0)
            break; /* allocated but never written: reads as zeros */
        got += (size_t)more;
    }
    memset((char *)out + got, 0, bytes - got);
    return 0;
}

static herr_t driver_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t offset,
                           size_t bytes, const void *data)
{
    (void)type, (void)transfer;
    DriverFile *file = (DriverFile *)base;
    if (file->backing->map)
        return -1;
    /* A failed write is reported by whoever looks at `fault`; the library sees success, because it
     * cannot close a file that it failed to write. */
    h5_backing_write(file->backing, (int64_t)offset, data, bytes);
    if (offset + bytes > file->eof)
        file->eof = offset + bytes;
    return 0;
}

static herr_t driver_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    DriverFile *file = (DriverFile *)base;
    H5Backing *backing = file->backing;
    if (backing->map || file->eoa == file->eof)
        return 0;
    if (!backing->fault && ftruncate(backing->fd, (off_t)file->eoa) != 0)
        backing->fault = errno;
    file->eof = file->eoa;
    return 0;
}

static const H5FD_class_t driver_class = {
#if H5_VERSION_GE(1, 13, 2)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)512, /* the first number that is free for applications */
#endif
    .name = "cambium",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(DriverAccess),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t h5_backing_access(H5Backing *backing)
{
    /* The library prints its error stack unless told not to. */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    static hid_t driver = -1;
    if (driver < 0)
        driver = H5FDregister(&driver_class);
    DriverAccess info = {backing};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (driver < 0 || access < 0 || H5Pset_driver(access, driver, &info) < 0)
        return -1;
    return access;
}

static herr_t keep_first(unsigned n, const H5E_error2_t *entry, void *context)
{
    const char **text = context;
    if (n == 0)
        *text = entry->desc;
    return 0;
}

void h5_reason(char *text, size_t bytes)
{
    const char *found = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &found);
    snprintf(text, bytes, "%s", found ? found : "no reason given");
}
