#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/gguf.h"

enum { VERSION = 3, ALIGNMENT = 32 };

struct GgufWriter {
    StrBuf values, tensors; /* the head's parts, as they will be written */
    int64_t n_values, n_tensors;
    int64_t *sizes; /* (n_tensors) bytes of each tensor's data */
    int64_t capacity;
    int64_t offset; /* of the next tensor's data */
    FileDraft draft;
    FILE *stream;
    int64_t current, left; /* the tensor that is being appended, and its bytes to come */
};

GgufWriter *gguf_writer_new(void)
{
    return xcalloc(1, sizeof(GgufWriter));
}

/* ---- the head ------------------------------------------------------------------------------- */

static void put_u32(StrBuf *out, uint32_t value)
{
    strbuf_append(out, (const char *)&value, sizeof value);
}

static void put_u64(StrBuf *out, int64_t value)
{
    strbuf_append(out, (const char *)&value, sizeof value);
}

static void put_string(StrBuf *out, const char *text, int64_t bytes)
{
    put_u64(out, bytes);
    strbuf_append(out, text, (size_t)bytes);
}

static void put_single(GgufWriter *w, const char *key, GgufType type, const void *value,
                       size_t size)
{
    put_string(&w->values, key, (int64_t)strlen(key));
    put_u32(&w->values, type);
    strbuf_append(&w->values, value, size);
    w->n_values++;
}

static void put_array(GgufWriter *w, const char *key, GgufType type, int64_t count)
{
    uint32_t element = type;
    put_single(w, key, GGUF_ARRAY, &element, sizeof element);
    put_u64(&w->values, count);
}

void gguf_put_u32(GgufWriter *w, const char *key, uint32_t value)
{
    put_single(w, key, GGUF_U32, &value, sizeof value);
}

void gguf_put_f32(GgufWriter *w, const char *key, float value)
{
    put_single(w, key, GGUF_F32, &value, sizeof value);
}

void gguf_put_bool(GgufWriter *w, const char *key, bool value)
{
    put_single(w, key, GGUF_BOOL, &(uint8_t){value}, 1);
}

void gguf_put_text(GgufWriter *w, const char *key, const char *value)
{
    put_single(w, key, GGUF_STRING, NULL, 0);
    put_string(&w->values, value, (int64_t)strlen(value));
}

void gguf_put_i32s(GgufWriter *w, const char *key, const int32_t *values, int64_t count)
{
    put_array(w, key, GGUF_I32, count);
    strbuf_append(&w->values, (const char *)values, (size_t)count * sizeof *values);
}

void gguf_put_f32s(GgufWriter *w, const char *key, const float *values, int64_t count)
{
    put_array(w, key, GGUF_F32, count);
    strbuf_append(&w->values, (const char *)values, (size_t)count * sizeof *values);
}

void gguf_put_texts(GgufWriter *w, const char *key, const GgufText *texts, int64_t count)
{
    put_array(w, key, GGUF_STRING, count);
    for (int64_t i = 0; i < count; i++)
        put_string(&w->values, texts[i].data, texts[i].bytes);
}

/* To the next multiple of the alignment. */
static int64_t padding(int64_t bytes)
{
    return (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT;
}

void gguf_put_tensor(GgufWriter *w, const char *name, BlockType type, const int64_t *shape,
                     int n_dims)
{
    CHECK(shape[n_dims - 1] % block_values(type) == 0, "%s: rows of %lld as %s", name,
          (long long)shape[n_dims - 1], block_name(type));
    int64_t values = 1;
    put_string(&w->tensors, name, (int64_t)strlen(name));
    put_u32(&w->tensors, (uint32_t)n_dims);
    for (int i = n_dims - 1; i >= 0; i--) {
        put_u64(&w->tensors, shape[i]);
        values *= shape[i];
    }
    put_u32(&w->tensors, type);
    put_u64(&w->tensors, w->offset);
    w->sizes = mem_grow(w->sizes, &w->capacity, w->n_tensors + 1, sizeof *w->sizes);
    w->sizes[w->n_tensors] = values / block_values(type) * block_bytes(type);
    w->offset += w->sizes[w->n_tensors] + padding(w->sizes[w->n_tensors]);
    w->n_tensors++;
}

/* ---- the file ------------------------------------------------------------------------------- */

static void writer_free(GgufWriter *w)
{
    if (w->stream)
        fclose(w->stream);
    strbuf_clear(&w->values);
    strbuf_clear(&w->tensors);
    free(w->sizes);
    free(w);
}

static Status write_bytes(GgufWriter *w, const void *data, size_t bytes, Err *err)
{
    if (bytes > 0 && fwrite(data, 1, bytes, w->stream) != bytes)
        return err_set(err, "cannot write %s: %s", w->draft.path, strerror(errno));
    return STATUS_OK;
}

static Status pad(GgufWriter *w, int64_t bytes, Err *err)
{
    static const char zeros[ALIGNMENT];
    return write_bytes(w, zeros, (size_t)padding(bytes), err);
}

Status gguf_begin(GgufWriter *w, const char *path, Err *err)
{
    StrBuf head = {0};
    TRY(file_draft_init(&w->draft, path, err));
    w->stream = fopen(w->draft.temporary, "wb");
    if (!w->stream)
        return err_set(err, "cannot create %s: %s", w->draft.path, strerror(errno));
    strbuf_puts(&head, "GGUF");
    put_u32(&head, VERSION);
    put_u64(&head, w->n_tensors);
    put_u64(&head, w->n_values);
    int64_t bytes = head.size + w->values.size + w->tensors.size;
    Status status = write_bytes(w, head.data, (size_t)head.size, err);
    strbuf_clear(&head);
    TRY(status);
    TRY(write_bytes(w, w->values.data, (size_t)w->values.size, err));
    TRY(write_bytes(w, w->tensors.data, (size_t)w->tensors.size, err));
    w->left = w->n_tensors > 0 ? w->sizes[0] : 0;
    return pad(w, bytes, err);
}

Status gguf_append(GgufWriter *w, const void *data, size_t bytes, Err *err)
{
    CHECK((int64_t)bytes <= w->left, "%s gets too many bytes", w->draft.path);
    TRY(write_bytes(w, data, bytes, err));
    w->left -= (int64_t)bytes;
    if (w->left > 0)
        return STATUS_OK;
    TRY(pad(w, w->sizes[w->current], err));
    w->current++;
    w->left = w->current < w->n_tensors ? w->sizes[w->current] : 0;
    return STATUS_OK;
}

Status gguf_commit(GgufWriter *w, Err *err)
{
    CHECK(w->current == w->n_tensors, "%s lacks tensor %lld", w->draft.path, (long long)w->current);
    bool fine = fclose(w->stream) == 0;
    Status status = STATUS_OK;
    w->stream = NULL;
    if (!fine)
        status = err_set(err, "cannot write %s: %s", w->draft.path, strerror(errno));
    if (fine)
        status = file_draft_commit(&w->draft, err);
    else
        file_draft_abandon(&w->draft);
    writer_free(w);
    return status;
}

void gguf_abandon(GgufWriter *w)
{
    if (!w)
        return;
    file_draft_abandon(&w->draft);
    writer_free(w);
}
