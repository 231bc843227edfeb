/* The writing half of containers. libhdf5 lays out the file and writes its own records; the data of
 * datasets goes straight to the place that it allocated, hashed on the way. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/container.h"
#include "core/io/container_format.h"

struct ContainerWriter {
    FileDraft draft;
    H5Backing backing;
    hid_t file;
    bool broken; /* something failed: commit must not succeed */
    SealRegion *regions;
    int64_t n_regions, regions_capacity;
    /* The tensor between container_begin and container_end; `open_path` NULL: none. */
    char *open_path;
    int64_t open_offset, open_bytes, open_done;
    uint8_t *open_hashes; /* of its slices so far */
    HashStream *open_slice;
};

static Status write_fault(ContainerWriter *writer, Err *err)
{
    writer->broken = true;
    if (writer->backing.fault)
        return err_set(err, "cannot write %s: %s; the previous file, if any, is untouched",
                       writer->draft.path, strerror(writer->backing.fault));
    char reason[256];
    h5_reason(reason, sizeof reason);
    return err_set(err, "cannot write %s: HDF5 says '%s'", writer->draft.path, reason);
}

static hid_t create_file(const char *name, hid_t access)
{
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = -1;
    if (create >= 0 && H5Pset_obj_track_times(create, false) >= 0 &&
        H5Pset_alignment(access, 4096, 4096) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0)
        file = H5Fcreate(name, H5F_ACC_TRUNC, create, access);
    H5Pclose(create);
    return file;
}

Status container_create(ContainerWriter **out, const char *path, Err *err)
{
    *out = NULL;
    FileDraft draft;
    TRY(file_draft_init(&draft, path, err));
    ContainerWriter *writer = xcalloc(1, sizeof *writer);
    writer->draft = draft;
    writer->file = -1;
    writer->backing.fd =
        open(writer->draft.temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->backing.fd < 0) {
        err_set(err, "cannot create %s: %s", writer->draft.path, strerror(errno));
        container_abandon(writer);
        return STATUS_FAIL;
    }
    h5_lock();
    hid_t access = h5_backing_access(&writer->backing);
    if (access >= 0) {
        writer->file = create_file(writer->draft.temporary, access);
        H5Pclose(access);
    }
    h5_unlock();
    if (writer->file < 0) {
        write_fault(writer, err);
        container_abandon(writer);
        return STATUS_FAIL;
    }
    *out = writer;
    return STATUS_OK;
}

static void close_file(ContainerWriter *writer)
{
    h5_lock();
    if (writer->file >= 0 && H5Fclose(writer->file) < 0)
        writer->broken = true;
    writer->file = -1;
    h5_unlock();
}

static void writer_free(ContainerWriter *writer)
{
    if (writer->backing.fd >= 0)
        close(writer->backing.fd);
    if (writer->open_slice)
        hash_finish_free(writer->open_slice);
    free(writer->open_hashes);
    free(writer->open_path);
    free(writer->regions);
    free(writer);
}

void container_abandon(ContainerWriter *writer)
{
    if (!writer)
        return;
    close_file(writer);
    file_draft_abandon(&writer->draft);
    writer_free(writer);
}

/* Creates the groups above `path`, each without times (libhdf5 would make them with). */
static bool make_parents(hid_t file, const char *path)
{
    bool fine = true;
    char *copy = xstrdup(path);
    hid_t create = H5Pcreate(H5P_GROUP_CREATE);
    fine = create >= 0 && H5Pset_obj_track_times(create, false) >= 0;
    for (char *p = strchr(copy + 1, '/'); p && fine; p = strchr(p + 1, '/')) {
        *p = '\0';
        htri_t exists = H5Lexists(file, copy, H5P_DEFAULT);
        if (exists == 0) {
            hid_t group = H5Gcreate2(file, copy, H5P_DEFAULT, create, H5P_DEFAULT);
            fine = group >= 0;
            if (fine)
                H5Gclose(group);
        } else {
            fine = exists > 0;
        }
        *p = '/';
    }
    H5Pclose(create);
    free(copy);
    return fine;
}

static bool good_path(const char *path)
{
    if (path[0] != '/' || path[1] == '\0')
        return false;
    for (const char *p = path; *p; p++)
        if (p[0] == '/' && (p[1] == '/' || p[1] == '\0' || (p[1] == '.' && p[2] != '.')))
            return false;
    return true;
}

static bool put_text_attribute(hid_t dataset, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);
    bool fine = type >= 0 && space >= 0 && H5Tset_size(type, strlen(text) + 1) >= 0 &&
                H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
    if (fine) {
        hid_t attribute = H5Acreate2(dataset, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        fine = attribute >= 0 && H5Awrite(attribute, type, text) >= 0;
        if (attribute >= 0)
            H5Aclose(attribute);
    }
    H5Sclose(space);
    H5Tclose(type);
    return fine;
}

static bool put_hash_attribute(hid_t dataset, const uint8_t *hashes, int64_t n_slices)
{
    hsize_t shape[2] = {(hsize_t)n_slices, SHA256_BYTES};
    hid_t space = H5Screate_simple(2, shape, NULL);
    hid_t attribute = H5Acreate2(dataset, "sha256", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT);
    bool fine = attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_UINT8, hashes) >= 0;
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
    return fine;
}

/* Creates a contiguous dataset whose place in the file is allocated at once: `*offset`. */
static bool make_dataset(ContainerWriter *writer, const char *path, hid_t type, hid_t space,
                         int64_t *offset, const char *dtype)
{
    *offset = 0;
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    bool fine = create >= 0 && make_parents(writer->file, path) &&
                H5Pset_layout(create, H5D_CONTIGUOUS) >= 0 &&
                H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY) >= 0 &&
                H5Pset_fill_time(create, H5D_FILL_TIME_NEVER) >= 0 &&
                H5Pset_obj_track_times(create, false) >= 0;
    if (fine) {
        hid_t set = H5Dcreate2(writer->file, path, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
        fine = set >= 0;
        if (fine) {
            haddr_t at = H5Dget_offset(set);
            *offset = at == HADDR_UNDEF ? -1 : (int64_t)at;
            fine = !dtype || put_text_attribute(set, "dtype", dtype);
            H5Dclose(set);
        }
    }
    H5Pclose(create);
    return fine;
}

static Status check_put(ContainerWriter *writer, const char *path, Err *err)
{
    CHECK(good_path(path), "bad dataset path '%s'", path);
    CHECK(!writer->open_path, "%s is put while %s is still open", path, writer->open_path);
    if (writer->broken || writer->backing.fault)
        return write_fault(writer, err);
    return STATUS_OK;
}

Status container_begin(ContainerWriter *writer, const char *path, const Tensor *shape, Err *err)
{
    TRY(check_put(writer, path, err));
    CHECK(shape->n_dims >= 0 && shape->n_dims <= TENSOR_DIMS, "%d dimensions", shape->n_dims);
    hsize_t dims[TENSOR_DIMS] = {0};
    for (int i = 0; i < shape->n_dims; i++)
        dims[i] = (hsize_t)shape->shape[i];
    int64_t bytes = (int64_t)tensor_bytes(shape), offset = 0;
    h5_lock();
    hid_t space =
        shape->n_dims ? H5Screate_simple(shape->n_dims, dims, NULL) : H5Screate(H5S_SCALAR);
    bool fine = space >= 0 && make_dataset(writer, path, h5_file_type(shape->dtype), space, &offset,
                                           dtype_name(shape->dtype));
    H5Sclose(space);
    h5_unlock();
    if (!fine || (offset < 0 && bytes > 0))
        return write_fault(writer, err);
    writer->open_path = xstrdup(path);
    writer->open_offset = offset;
    writer->open_bytes = bytes;
    writer->open_done = 0;
    writer->open_hashes = xcalloc((size_t)(bytes / CONTAINER_SLICE + 1), SHA256_BYTES);
    return STATUS_OK;
}

/* Bytes of an unfinished slice, at most to its end. */
static void append_partial(ContainerWriter *writer, const uint8_t *data, int64_t bytes)
{
    if (!writer->open_slice)
        writer->open_slice = hash_new();
    hash_update(writer->open_slice, data, (size_t)bytes);
    int64_t end = writer->open_done + bytes;
    if (end % CONTAINER_SLICE == 0 || end == writer->open_bytes) {
        int64_t slice = (end - 1) / CONTAINER_SLICE;
        Sha256 hash = hash_finish_free(writer->open_slice);
        writer->open_slice = NULL;
        memcpy(writer->open_hashes + slice * SHA256_BYTES, hash.bytes, SHA256_BYTES);
    }
}

Status container_append(ContainerWriter *writer, const void *data, size_t bytes, Err *err)
{
    CHECK(writer->open_path, "no tensor is open");
    CHECK((int64_t)bytes <= writer->open_bytes - writer->open_done, "%s gets too many bytes",
          writer->open_path);
    const uint8_t *from = data;
    int64_t left = (int64_t)bytes;
    while (left > 0) {
        int64_t in_slice = writer->open_done % CONTAINER_SLICE, take;
        if (in_slice == 0 && left >= CONTAINER_SLICE) {
            take = left / CONTAINER_SLICE * CONTAINER_SLICE;
            slice_hashes(from, take,
                         writer->open_hashes + writer->open_done / CONTAINER_SLICE * SHA256_BYTES);
        } else {
            take = CONTAINER_SLICE - in_slice < left ? CONTAINER_SLICE - in_slice : left;
            append_partial(writer, from, take);
        }
        h5_backing_write(&writer->backing, writer->open_offset + writer->open_done, from,
                         (size_t)take);
        writer->open_done += take;
        from += take;
        left -= take;
    }
    return writer->backing.fault ? write_fault(writer, err) : STATUS_OK;
}

Status container_end(ContainerWriter *writer, Err *err)
{
    CHECK(writer->open_path, "no tensor is open");
    CHECK(writer->open_done == writer->open_bytes, "%s got %lld of %lld bytes", writer->open_path,
          (long long)writer->open_done, (long long)writer->open_bytes);
    bool fine = true;
    if (writer->open_bytes > 0) {
        h5_lock();
        hid_t set = H5Dopen2(writer->file, writer->open_path, H5P_DEFAULT);
        fine = set >= 0 &&
               put_hash_attribute(set, writer->open_hashes,
                                  (writer->open_bytes + CONTAINER_SLICE - 1) / CONTAINER_SLICE);
        if (set >= 0)
            H5Dclose(set);
        h5_unlock();
        writer->regions = mem_grow(writer->regions, &writer->regions_capacity,
                                   writer->n_regions + 1, sizeof *writer->regions);
        writer->regions[writer->n_regions++] =
            (SealRegion){(uint64_t)writer->open_offset, (uint64_t)writer->open_bytes};
    }
    free(writer->open_hashes);
    free(writer->open_path);
    writer->open_hashes = NULL;
    writer->open_path = NULL;
    return fine && !writer->backing.fault ? STATUS_OK : write_fault(writer, err);
}

Status container_put(ContainerWriter *writer, const char *path, const Tensor *shape,
                     const void *host, Err *err)
{
    TRY(container_begin(writer, path, shape, err));
    TRY(container_append(writer, host, tensor_bytes(shape), err));
    return container_end(writer, err);
}

Status container_put_text(ContainerWriter *writer, const char *path, const char *text, Err *err)
{
    TRY(check_put(writer, path, err));
    size_t bytes = strlen(text) + 1;
    int64_t offset = -1;
    h5_lock();
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);
    bool fine = type >= 0 && space >= 0 && H5Tset_size(type, bytes) >= 0 &&
                H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
                make_dataset(writer, path, type, space, &offset, NULL) && offset >= 0;
    H5Sclose(space);
    H5Tclose(type);
    h5_unlock();
    if (fine)
        h5_backing_write(&writer->backing, offset, text, bytes);
    return fine && !writer->backing.fault ? STATUS_OK : write_fault(writer, err);
}

Status container_put_json(ContainerWriter *writer, const char *path, const json_t *json, Err *err)
{
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_ENCODE_ANY);
    CHECK(text, "%s: a JSON value that cannot be written", path);
    Status status = container_put_text(writer, path, text, err);
    free(text);
    return status;
}

Status container_put_attribute(ContainerWriter *writer, const char *path, const char *name,
                               const char *text, Err *err)
{
    TRY(check_put(writer, path, err));
    h5_lock();
    hid_t set = H5Dopen2(writer->file, path, H5P_DEFAULT);
    bool fine = set >= 0 && put_text_attribute(set, name, text);
    if (set >= 0)
        H5Dclose(set);
    h5_unlock();
    return fine ? STATUS_OK : write_fault(writer, err);
}

Status container_copy(ContainerWriter *writer, const char *path, const Container *from,
                      const char *from_path, Err *err)
{
    const ContainerEntry *entry = container_find(from, from_path);
    if (!entry)
        return err_set(err, "%s has no %s to copy", container_file(from), from_path);
    if (entry->is_text) {
        const char *text;
        TRY(container_text(from, from_path, &text, err));
        TRY(container_put_text(writer, path, text, err));
    } else {
        const void *data;
        TRY(container_map(from, from_path, &data, err));
        TRY(container_put(writer, path, &entry->shape, data, err));
    }
    const char *name;
    for (int64_t i = 0; (name = container_attribute_name(from, from_path, i)) != NULL; i++)
        TRY(container_put_attribute(writer, path, name, container_attribute(from, from_path, name),
                                    err));
    return STATUS_OK;
}

static int by_offset(const void *a, const void *b)
{
    const SealRegion *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Appends the seal to the closed HDF5 file. */
static Status put_seal(ContainerWriter *writer, Err *err)
{
    H5Backing *backing = &writer->backing;
    struct stat info;
    if (fstat(backing->fd, &info) != 0) {
        backing->fault = errno;
        return write_fault(writer, err);
    }
    size_t n_bytes = (size_t)writer->n_regions * sizeof *writer->regions;
    if (n_bytes)
        qsort(writer->regions, (size_t)writer->n_regions, sizeof *writer->regions, by_offset);
    Seal seal = {.hdf5_bytes = (uint64_t)info.st_size, .n_regions = (uint64_t)writer->n_regions};
    memcpy(seal.magic, seal_magic, sizeof seal.magic);
    h5_backing_write(backing, info.st_size, writer->regions, n_bytes);
    h5_backing_write(backing, info.st_size + (int64_t)n_bytes, &seal, sizeof seal);
    if (backing->fault)
        return write_fault(writer, err);
    size_t whole = (size_t)info.st_size + n_bytes + sizeof seal;
    const uint8_t *map = mmap(NULL, whole, PROT_READ, MAP_SHARED, backing->fd, 0);
    if (map == MAP_FAILED) {
        backing->fault = errno;
        return write_fault(writer, err);
    }
    size_t covered = whole - sizeof seal + offsetof(Seal, hash);
    Sha256 hash = seal_hash(map, covered, writer->regions, seal.n_regions);
    munmap((void *)(uintptr_t)map, whole);
    h5_backing_write(backing, (int64_t)covered, hash.bytes, sizeof hash.bytes);
    return backing->fault ? write_fault(writer, err) : STATUS_OK;
}

Status container_commit(ContainerWriter *writer, Err *err)
{
    CHECK(!writer->open_path || writer->broken, "%s is still open", writer->open_path);
    close_file(writer);
    Status status = STATUS_OK;
    if (writer->broken || writer->backing.fault)
        status = write_fault(writer, err);
    if (status == STATUS_OK)
        status = put_seal(writer, err);
    if (status == STATUS_OK)
        status = file_draft_commit(&writer->draft, err);
    else
        file_draft_abandon(&writer->draft);
    writer_free(writer);
    return status;
}
