/* The reading half of containers. libhdf5 is asked once, when a file is opened, where everything
 * lies; from then on all reading is from the mapped file, without locks. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/io/foreign.h"
#include "core/io/container.h"
#include "core/io/container_format.h"

enum { ENTRIES_MAX = 1 << 20, ATTRIBUTES_MAX = 64 };

typedef struct Attribute {
    char *name, *text;
} Attribute;

typedef struct Entry {
    ContainerEntry open;   /* what callers see; owns the path */
    int64_t offset;        /* of the data in the file */
    const uint8_t *data;   /* there in the map, or `aligned` */
    uint8_t *aligned;      /* a copy of data that HDF5 did not align to its element, or NULL */
    uint8_t *hashes;       /* (slices, SHA256_BYTES); NULL for texts and empty tensors */
    _Atomic bool *checked; /* (slices): its hash was found right */
    Attribute *attributes;
    int64_t n_attributes;
} Entry;

struct Container {
    char *path;
    FileMap map;
    int64_t hdf5_bytes;
    Entry *entries; /* sorted by path */
    int64_t n_entries, capacity;
};

static int64_t slices_of(int64_t bytes)
{
    return (bytes + CONTAINER_SLICE - 1) / CONTAINER_SLICE;
}

/* ---- the seal ------------------------------------------------------------------------------- */

static Status check_seal(Container *container, Err *err)
{
    const uint8_t *data = container->map.data;
    int64_t size = container->map.bytes;
    static const uint8_t hdf5_magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (size == 0)
        return err_set(err, "%s is empty", container->path);
    if (size < 8 || memcmp(data, hdf5_magic, 8) != 0)
        return err_set(err, "%s is not a Cambium file (it is not HDF5)", container->path);
    Seal seal;
    if (size >= (int64_t)sizeof seal)
        memcpy(&seal, data + size - sizeof seal, sizeof seal);
    if (size < (int64_t)sizeof seal || memcmp(seal.magic, seal_magic, sizeof seal.magic) != 0)
        return err_set(err,
                       "%s was cut short, altered or written by another program: the seal at its "
                       "end is missing; take another copy of the file",
                       container->path);
    uint64_t room = (uint64_t)size - sizeof seal;
    if (seal.n_regions > room / sizeof(SealRegion) ||
        seal.hdf5_bytes != room - seal.n_regions * sizeof(SealRegion))
        return err_set(err, "%s is damaged: its seal has the wrong length", container->path);
    SealRegion *regions = xmalloc((size_t)seal.n_regions * sizeof *regions + 1);
    memcpy(regions, data + seal.hdf5_bytes, (size_t)seal.n_regions * sizeof *regions);
    bool fine = true;
    uint64_t end = 0;
    for (uint64_t i = 0; i < seal.n_regions && fine; i++) {
        fine = regions[i].offset >= end && regions[i].offset <= seal.hdf5_bytes &&
               regions[i].bytes <= seal.hdf5_bytes - regions[i].offset;
        end = regions[i].offset + regions[i].bytes;
    }
    if (fine) {
        uint64_t covered = (uint64_t)size - sizeof seal + offsetof(Seal, hash);
        Sha256 hash = seal_hash(data, covered, regions, seal.n_regions);
        fine = memcmp(hash.bytes, seal.hash, sizeof hash.bytes) == 0;
    }
    free(regions);
    if (!fine)
        return err_set(err,
                       "%s is damaged: its contents do not agree with its seal; take another copy",
                       container->path);
    container->hdf5_bytes = (int64_t)seal.hdf5_bytes;
    return STATUS_OK;
}

/* ---- what lies where ------------------------------------------------------------------------ */

typedef struct Scan {
    Container *container;
    Err *err;
    Status status;
} Scan;

/* A fixed-length string of at most the file's size, or NULL. */
static char *read_text_attribute(hid_t attribute, int64_t limit)
{
    hid_t type = H5Aget_type(attribute);
    hid_t space = H5Aget_space(attribute);
    char *text = NULL;
    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING &&
        H5Tis_variable_str(type) == 0 && H5Sget_simple_extent_npoints(space) == 1) {
        size_t bytes = H5Tget_size(type);
        if (bytes > 0 && bytes <= (size_t)limit) {
            text = xcalloc(1, bytes + 1);
            if (H5Aread(attribute, type, text) < 0) {
                free(text);
                text = NULL;
            }
        }
    }
    H5Sclose(space);
    H5Tclose(type);
    return text;
}

static bool read_hashes(hid_t attribute, Entry *entry)
{
    int64_t slices = slices_of(entry->open.bytes);
    hid_t space = H5Aget_space(attribute);
    hid_t type = H5Aget_type(attribute);
    bool fine = H5Sget_simple_extent_npoints(space) == slices * SHA256_BYTES &&
                H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == 1;
    if (fine) {
        entry->hashes = xmalloc((size_t)slices * SHA256_BYTES);
        entry->checked = xcalloc((size_t)slices, sizeof *entry->checked);
        fine = H5Aread(attribute, H5T_NATIVE_UINT8, entry->hashes) >= 0;
    }
    H5Tclose(type);
    H5Sclose(space);
    return fine;
}

static bool read_attributes(const Container *container, hid_t set, Entry *entry)
{
    int count = H5Aget_num_attrs(set);
    if (count < 0 || count > ATTRIBUTES_MAX)
        return false;
    entry->attributes = xcalloc((size_t)count + 1, sizeof *entry->attributes);
    bool fine = true;
    for (int i = 0; i < count && fine; i++) {
        hid_t attribute = H5Aopen_by_idx(set, ".", H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i,
                                         H5P_DEFAULT, H5P_DEFAULT);
        char name[64];
        ssize_t length = attribute < 0 ? -1 : H5Aget_name(attribute, sizeof name, name);
        fine = length > 0 && length < (ssize_t)sizeof name;
        if (fine && strcmp(name, "sha256") == 0) {
            fine = !entry->hashes && !entry->open.is_text && entry->open.bytes > 0 &&
                   read_hashes(attribute, entry);
        } else if (fine) {
            char *text = read_text_attribute(attribute, container->hdf5_bytes);
            fine = text != NULL;
            if (fine)
                entry->attributes[entry->n_attributes++] = (Attribute){xstrdup(name), text};
        }
        if (attribute >= 0)
            H5Aclose(attribute);
    }
    return fine;
}

static const char *entry_attribute(const Entry *entry, const char *name)
{
    for (int64_t i = 0; i < entry->n_attributes; i++)
        if (strcmp(entry->attributes[i].name, name) == 0)
            return entry->attributes[i].text;
    return NULL;
}

/* Shape and bytes of a tensor dataset, refused when they exceed the file. */
static bool read_shape(const Container *container, hid_t space, size_t item, Entry *entry)
{
    hsize_t dims[TENSOR_DIMS];
    int n_dims = H5Sget_simple_extent_ndims(space);
    if (n_dims < 0 || n_dims > TENSOR_DIMS || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        return false;
    uint64_t room = (uint64_t)container->hdf5_bytes / item, count = 1;
    entry->open.shape.n_dims = n_dims;
    for (int i = 0; i < n_dims; i++) {
        if (dims[i] > INT64_MAX || (dims[i] > 0 && count > room / dims[i]))
            return false;
        count *= dims[i];
        entry->open.shape.shape[i] = (int64_t)dims[i];
    }
    entry->open.bytes = (int64_t)(count * item);
    return true;
}

static bool read_dataset(const Container *container, hid_t set, Entry *entry)
{
    hid_t type = H5Dget_type(set);
    hid_t space = H5Dget_space(set);
    size_t item = type >= 0 ? H5Tget_size(type) : 0;
    bool fine = item > 0 && space >= 0;
    if (fine) {
        entry->open.is_text = H5Tget_class(type) == H5T_STRING;
        fine = read_shape(container, space, item, entry) && read_attributes(container, set, entry);
    }
    if (fine && entry->open.is_text) {
        fine = entry->open.shape.n_dims == 0 && H5Tis_variable_str(type) == 0;
        entry->open.bytes--; /* the final zero */
    } else if (fine) {
        Err ignored;
        const char *name = entry_attribute(entry, "dtype");
        fine = name && dtype_parse(name, &entry->open.shape.dtype, &ignored) == STATUS_OK &&
               H5Tequal(type, h5_file_type(entry->open.shape.dtype)) > 0 &&
               (entry->open.bytes == 0 || entry->hashes);
    }
    H5Sclose(space);
    H5Tclose(type);
    entry->data = container->map.data;
    if (!fine || (entry->open.bytes == 0 && !entry->open.is_text))
        return fine;
    haddr_t offset = H5Dget_offset(set);
    uint64_t end = (uint64_t)container->hdf5_bytes;
    uint64_t bytes = (uint64_t)entry->open.bytes + (entry->open.is_text ? 1 : 0);
    if (offset == HADDR_UNDEF || offset > end || bytes > end - offset)
        return false;
    entry->offset = (int64_t)offset;
    entry->data = (const uint8_t *)container->map.data + offset;
    if (entry->open.is_text)
        return entry->data[bytes - 1] == '\0';
    if (offset % dtype_bytes(entry->open.shape.dtype) != 0) {
        entry->aligned = xmalloc(bytes);
        memcpy(entry->aligned, entry->data, bytes);
        entry->data = entry->aligned;
    }
    return true;
}

static void entry_clear(Entry *entry)
{
    for (int64_t i = 0; i < entry->n_attributes; i++) {
        free(entry->attributes[i].name);
        free(entry->attributes[i].text);
    }
    free(entry->attributes);
    free(entry->hashes);
    free(entry->checked);
    free(entry->aligned);
    free((char *)(uintptr_t)entry->open.path);
}

static herr_t visit_object(hid_t root, const char *name, const H5O_info_t *info, void *context)
{
    Scan *scan = context;
    Container *container = scan->container;
    if (info->type == H5O_TYPE_GROUP)
        return 0;
    Entry entry = {.open.path = xasprintf("/%s", name)};
    bool fine = false;
    if (info->type == H5O_TYPE_DATASET && container->n_entries < ENTRIES_MAX) {
        hid_t set = H5Dopen2(root, name, H5P_DEFAULT);
        fine = set >= 0 && read_dataset(container, set, &entry);
        if (set >= 0)
            H5Dclose(set);
    }
    if (!fine) {
        scan->status = err_set(scan->err, "%s: %s is not a dataset of the kind that Cambium writes",
                               container->path, entry.open.path);
        entry_clear(&entry);
        return 1;
    }
    container->entries = mem_grow(container->entries, &container->capacity,
                                  container->n_entries + 1, sizeof *container->entries);
    container->entries[container->n_entries++] = entry;
    return 0;
}

static Status scan_file(Container *container, Err *err)
{
    Scan scan = {container, err, STATUS_OK};
    H5Backing backing = {.map = container->map.data, .map_bytes = container->hdf5_bytes, .fd = -1};
    h5_lock();
    hid_t access = h5_backing_access(&backing);
    hid_t file = access < 0 ? -1 : H5Fopen(container->path, H5F_ACC_RDONLY, access);
    herr_t visited =
        file < 0 ? -1 : H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &scan);
    if (visited < 0) {
        char reason[256];
        h5_reason(reason, sizeof reason);
        scan.status = err_set(err, "%s is not a readable HDF5 file: %s", container->path, reason);
    }
    if (file >= 0)
        H5Fclose(file);
    if (access >= 0)
        H5Pclose(access);
    h5_unlock();
    return scan.status;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const Entry *)a)->open.path, ((const Entry *)b)->open.path);
}

Status container_open(Container **out, const char *path, Err *err)
{
    *out = NULL;
    TRY(foreign_refuse(path, err));
    Container *container = xcalloc(1, sizeof *container);
    container->path = xstrdup(path);
    Status status = file_map_open(&container->map, path, err);
    if (status == STATUS_OK)
        status = check_seal(container, err);
    if (status == STATUS_OK)
        status = scan_file(container, err);
    if (status != STATUS_OK) {
        container_close(container);
        return status;
    }
    if (container->n_entries)
        qsort(container->entries, (size_t)container->n_entries, sizeof *container->entries,
              by_path);
    *out = container;
    return STATUS_OK;
}

void container_close(Container *container)
{
    if (!container)
        return;
    for (int64_t i = 0; i < container->n_entries; i++)
        entry_clear(&container->entries[i]);
    free(container->entries);
    file_map_close(&container->map);
    free(container->path);
    free(container);
}

/* ---- asking --------------------------------------------------------------------------------- */

const char *container_file(const Container *container)
{
    return container->path;
}

int64_t container_count(const Container *container)
{
    return container->n_entries;
}

const ContainerEntry *container_entry(const Container *container, int64_t index)
{
    CHECK(index >= 0 && index < container->n_entries, "entry %lld", (long long)index);
    return &container->entries[index].open;
}

/* The first entry whose path is not before `path`. */
static int64_t lower_bound(const Container *container, const char *path)
{
    int64_t low = 0, high = container->n_entries;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (strcmp(container->entries[middle].open.path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Entry *find(const Container *container, const char *path)
{
    int64_t at = lower_bound(container, path);
    if (at == container->n_entries || strcmp(container->entries[at].open.path, path) != 0)
        return NULL;
    return &container->entries[at];
}

const ContainerEntry *container_find(const Container *container, const char *path)
{
    const Entry *entry = find(container, path);
    return entry ? &entry->open : NULL;
}

bool container_has_group(const Container *container, const char *path)
{
    char *prefix = xasprintf("%s/", path);
    int64_t at = lower_bound(container, prefix);
    bool found = at < container->n_entries &&
                 strncmp(container->entries[at].open.path, prefix, strlen(prefix)) == 0;
    free(prefix);
    return found;
}

const char *container_attribute(const Container *container, const char *path, const char *name)
{
    const Entry *entry = find(container, path);
    return entry ? entry_attribute(entry, name) : NULL;
}

const char *container_attribute_name(const Container *container, const char *path, int64_t index)
{
    const Entry *entry = find(container, path);
    for (int64_t i = 0; entry && i < entry->n_attributes; i++) {
        /* `dtype` is part of the tensor's shape, not an attribute of the caller's. */
        if (strcmp(entry->attributes[i].name, "dtype") != 0 && index-- == 0)
            return entry->attributes[i].name;
    }
    return NULL;
}

static Status need(const Container *container, const char *path, bool is_text, Entry **out,
                   Err *err)
{
    *out = find(container, path);
    if (!*out)
        return err_set(err, "%s has no %s ('cambium inspect' lists what it has)", container->path,
                       path);
    if ((*out)->open.is_text != is_text)
        return err_set(err, "%s: %s is a %s, not a %s", container->path, path,
                       is_text ? "tensor" : "text", is_text ? "text" : "tensor");
    return STATUS_OK;
}

Status container_shape(const Container *container, const char *path, Tensor *shape, Err *err)
{
    Entry *entry;
    TRY(need(container, path, false, &entry, err));
    *shape = entry->open.shape;
    return STATUS_OK;
}

typedef struct CheckJob {
    const Container *container;
    Entry *entry;
    int64_t first;
    _Atomic int64_t wrong; /* the first slice found wrong, or -1 */
} CheckJob;

static void check_slices(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    CheckJob *job = context;
    const Entry *entry = job->entry;
    const uint8_t *data = entry->data;
    for (int64_t i = job->first + begin; i < job->first + end; i++) {
        if (atomic_load_explicit(&entry->checked[i], memory_order_relaxed))
            continue;
        int64_t at = i * CONTAINER_SLICE, left = entry->open.bytes - at;
        Sha256 hash = hash_of(data + at, (size_t)(left < CONTAINER_SLICE ? left : CONTAINER_SLICE));
        if (memcmp(hash.bytes, entry->hashes + i * SHA256_BYTES, SHA256_BYTES) == 0)
            atomic_store_explicit(&entry->checked[i], true, memory_order_relaxed);
        else
            atomic_store(&job->wrong, i);
    }
}

Status container_map_range(const Container *container, const char *path, int64_t offset,
                           int64_t bytes, const void **data, Err *err)
{
    Entry *entry;
    TRY(need(container, path, false, &entry, err));
    CHECK(offset >= 0 && bytes >= 0 && offset <= entry->open.bytes - bytes,
          "bytes %lld + %lld of %s with %lld", (long long)offset, (long long)bytes, path,
          (long long)entry->open.bytes);
    *data = entry->data + offset;
    if (bytes == 0)
        return STATUS_OK;
    CheckJob job = {container, entry, offset / CONTAINER_SLICE, -1};
    parallel_for(slices_of(offset + bytes) - job.first, 1, check_slices, &job);
    if (job.wrong >= 0)
        return err_set(err,
                       "%s is damaged: bytes %lld to %lld of %s do not agree with their hash; take "
                       "another copy of the file",
                       container->path, (long long)(job.wrong * CONTAINER_SLICE),
                       (long long)((job.wrong + 1) * CONTAINER_SLICE - 1), path);
    return STATUS_OK;
}

Status container_map(const Container *container, const char *path, const void **data, Err *err)
{
    Entry *entry;
    TRY(need(container, path, false, &entry, err));
    return container_map_range(container, path, 0, entry->open.bytes, data, err);
}

void container_drop(const Container *container, const char *path)
{
    const Entry *entry = find(container, path);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (!entry || entry->open.bytes == 0)
        return;
    /* Only whole pages of its own: neighbours may be in use. */
    uintptr_t begin = (uintptr_t)container->map.data + (uintptr_t)entry->offset;
    uintptr_t end = (begin + (uintptr_t)entry->open.bytes) / page * page;
    begin = (begin + page - 1) / page * page;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static void shape_text(const Tensor *shape, char *text, size_t bytes)
{
    int at = snprintf(text, bytes, "%s (", dtype_name(shape->dtype));
    for (int i = 0; i < shape->n_dims; i++)
        at += snprintf(text + at, bytes - (size_t)at, "%s%lld", i ? ", " : "",
                       (long long)shape->shape[i]);
    snprintf(text + at, bytes - (size_t)at, ")");
}

Status container_map_as(const Container *container, const char *path, const Tensor *expected,
                        const void **data, Err *err)
{
    Entry *entry;
    TRY(need(container, path, false, &entry, err));
    const Tensor *shape = &entry->open.shape;
    if (shape->dtype != expected->dtype || !tensor_same_shape(shape, expected)) {
        char is[128], should[128];
        shape_text(shape, is, sizeof is);
        shape_text(expected, should, sizeof should);
        return err_set(err, "%s: %s is %s where %s is needed", container->path, path, is, should);
    }
    return container_map(container, path, data, err);
}

Status container_read(const Container *container, const char *path, const Tensor *expected,
                      void *host, Err *err)
{
    const void *data;
    TRY(container_map_as(container, path, expected, &data, err));
    if (tensor_bytes(expected) > 0)
        memcpy(host, data, tensor_bytes(expected));
    return STATUS_OK;
}

Status container_text(const Container *container, const char *path, const char **text, Err *err)
{
    Entry *entry;
    TRY(need(container, path, true, &entry, err));
    *text = (const char *)container->map.data + entry->offset;
    return STATUS_OK;
}

Status container_json(const Container *container, const char *path, json_t **out, Err *err)
{
    const char *text;
    TRY(container_text(container, path, &text, err));
    json_error_t fault;
    *out = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    if (!*out)
        return err_set(err, "%s: %s is not JSON: %s in line %d", container->path, path, fault.text,
                       fault.line);
    return STATUS_OK;
}

Sha256 container_digest(const Container *container, const char *path)
{
    const Entry *entry = find(container, path);
    if (!entry || !entry->hashes)
        return (Sha256){0};
    return hash_of(entry->hashes, (size_t)slices_of(entry->open.bytes) * SHA256_BYTES);
}

Status container_verify(const Container *container, Err *err)
{
    for (int64_t i = 0; i < container->n_entries; i++) {
        const void *data;
        if (!container->entries[i].open.is_text)
            TRY(container_map(container, container->entries[i].open.path, &data, err));
    }
    return STATUS_OK;
}
