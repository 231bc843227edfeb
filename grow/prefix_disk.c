/* libhdf5 lays out the file and allocates the dataset; windows then go straight to their places. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/io/h5_driver.h"
#include "grow/prefix_store.h"

typedef struct DiskStore {
    PrefixStore store;
    char *path;
    H5Backing backing;
    int64_t begin; /* of the dataset in the file */
    size_t window_bytes;
} DiskStore;

static Status disk_fault(const DiskStore *disk, const char *what, int fault, Err *err)
{
    return err_set(err,
                   "cannot %s the cached prefix %s: %s; make room and --resume, or drop "
                   "--cache-prefix",
                   what, disk->path, strerror(fault));
}

static Status disk_write(PrefixStore *store, int64_t window, const float *values, Err *err)
{
    DiskStore *disk = (DiskStore *)store;
    int64_t at = disk->begin + window * (int64_t)disk->window_bytes;
    h5_backing_write(&disk->backing, at, values, disk->window_bytes);
    if (disk->backing.fault)
        return disk_fault(disk, "write", disk->backing.fault, err);
    return STATUS_OK;
}

static Status disk_read(PrefixStore *store, int64_t window, float *values, Err *err)
{
    const DiskStore *disk = (const DiskStore *)store;
    int64_t at = disk->begin + window * (int64_t)disk->window_bytes;
    for (size_t done = 0; done < disk->window_bytes;) {
        ssize_t got = pread(disk->backing.fd, (char *)values + done, disk->window_bytes - done,
                            (off_t)(at + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return disk_fault(disk, "read", got < 0 ? errno : EIO, err);
        done += (size_t)got;
    }
    return STATUS_OK;
}

static void disk_free(PrefixStore *store)
{
    DiskStore *disk = (DiskStore *)store;
    close(disk->backing.fd);
    free(disk->path);
    free(disk);
}

/* Allocates the dataset and tells where it begins, or returns a negative number. */
static int64_t lay_out(DiskStore *disk, int64_t windows, int64_t count)
{
    const hsize_t shape[2] = {(hsize_t)windows, (hsize_t)count};
    int64_t begin = -1;
    hid_t access = h5_backing_access(&disk->backing);
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(2, shape, NULL);
    hid_t file = H5Pset_alignment(access, 4096, 4096) < 0
                     ? -1
                     : H5Fcreate(disk->path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    if (file >= 0 && H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(create, H5D_FILL_TIME_NEVER) >= 0) {
        hid_t dataset =
            H5Dcreate2(file, "/prefix", H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
        haddr_t offset = dataset < 0 ? HADDR_UNDEF : H5Dget_offset(dataset);
        begin = offset == HADDR_UNDEF ? -1 : (int64_t)offset;
        H5Dclose(dataset);
    }
    if (file >= 0 && H5Fclose(file) < 0)
        begin = -1;
    H5Sclose(space);
    H5Pclose(create);
    H5Pclose(access);
    return begin;
}

Status prefix_store_disk(PrefixStore **out, const char *path, int64_t windows, int64_t count,
                         Err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(err, "cannot create the cached prefix %s: %s", path, strerror(errno));
    DiskStore *disk = xcalloc(1, sizeof *disk);
    *disk = (DiskStore){.store = {disk_write, disk_read, disk_free},
                        .path = xstrdup(path),
                        .backing = {.fd = fd},
                        .window_bytes = (size_t)count * sizeof(float)};
    h5_lock();
    disk->begin = lay_out(disk, windows, count);
    h5_unlock();
    Status status = STATUS_OK;
    if (disk->backing.fault)
        status = disk_fault(disk, "write", disk->backing.fault, err);
    else if (disk->begin < 0)
        status = err_set(err, "cannot lay out the cached prefix %s: HDF5 refuses", path);
    if (unlink(path) != 0 && status == STATUS_OK)
        status = err_set(err, "cannot unlink %s: %s", path, strerror(errno));
    if (status != STATUS_OK) {
        disk_free(&disk->store);
        return status;
    }
    *out = &disk->store;
    return STATUS_OK;
}
