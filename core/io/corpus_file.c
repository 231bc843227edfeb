#include "core/io/corpus_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lzma.h>
#include <zlib.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

enum { INPUT_BYTES = 1 << 16, GZIP_WINDOW = 15 + 16, LZMA_MEMORY = 1 << 30 };

typedef enum Packing { PACKING_NONE, PACKING_GZIP, PACKING_XZ } Packing;

struct CorpusFile {
    FILE *stream;
    char *name;
    Packing packing;
    z_stream gzip;
    lzma_stream xz;
    bool input_ended;
    bool member_open; /* inside a gzip member: the file must not end here */
    bool finished;
    int64_t position;
    size_t available; /* bytes of `input` not used yet, from `next` on */
    uint8_t *next;
    uint8_t input[INPUT_BYTES];
};

static Status refill(CorpusFile *file, Err *err)
{
    if (file->available || file->input_ended)
        return STATUS_OK;
    file->next = file->input;
    file->available = fread(file->input, 1, INPUT_BYTES, file->stream);
    if (ferror(file->stream))
        return err_set(err, "cannot read %s: %s", file->name, strerror(errno));
    file->input_ended = file->available == 0;
    file->position += (int64_t)file->available;
    return STATUS_OK;
}

static Status begin_unpacking(CorpusFile *file, Err *err)
{
    static const uint8_t gzip_magic[2] = {0x1f, 0x8b};
    static const uint8_t xz_magic[6] = {0xfd, '7', 'z', 'X', 'Z', 0};
    TRY(refill(file, err));
    if (file->available >= sizeof gzip_magic && memcmp(file->next, gzip_magic, 2) == 0) {
        file->packing = PACKING_GZIP;
        CHECK(inflateInit2(&file->gzip, GZIP_WINDOW) == Z_OK, "zlib refuses to start");
        file->member_open = true;
    } else if (file->available >= sizeof xz_magic && memcmp(file->next, xz_magic, 6) == 0) {
        file->packing = PACKING_XZ;
        file->xz = (lzma_stream)LZMA_STREAM_INIT;
        CHECK(lzma_stream_decoder(&file->xz, LZMA_MEMORY, LZMA_CONCATENATED) == LZMA_OK,
              "liblzma refuses to start");
    }
    return STATUS_OK;
}

CorpusFile *corpus_file_open(const char *path, Err *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "rb");
    if (!stream) {
        err_set(err, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    CorpusFile *file = xcalloc(1, sizeof *file);
    file->stream = stream;
    file->name = xstrdup(standard ? "standard input" : path);
    if (begin_unpacking(file, err) != STATUS_OK) {
        corpus_file_close(file);
        return NULL;
    }
    return file;
}

void corpus_file_close(CorpusFile *file)
{
    if (!file)
        return;
    if (file->packing == PACKING_GZIP)
        inflateEnd(&file->gzip);
    if (file->packing == PACKING_XZ)
        lzma_end(&file->xz);
    if (file->stream != stdin)
        fclose(file->stream);
    free(file->name);
    free(file);
}

/* One step of a decoder: uses up input, puts at most `room` bytes at `out`. */
static Status step_gzip(CorpusFile *file, char *out, int64_t room, int64_t *got, Err *err)
{
    z_stream *z = &file->gzip;
    if (file->input_ended) {
        if (file->member_open)
            return err_set(err,
                           "%s is cut off in the middle of its gzip data; copy or make it again",
                           file->name);
        file->finished = true;
        return STATUS_OK;
    }
    if (!file->member_open) {
        /* Zeros behind the last member are padding of tapes and block devices. */
        if (*file->next == 0) {
            file->next++, file->available--;
            return STATUS_OK;
        }
        CHECK(inflateReset(z) == Z_OK, "zlib refuses to start again");
        file->member_open = true;
    }
    z->next_in = file->next, z->avail_in = (uInt)file->available;
    z->next_out = (Bytef *)out, z->avail_out = (uInt)room;
    int code = inflate(z, Z_NO_FLUSH);
    file->next = z->next_in, file->available = z->avail_in;
    *got = room - z->avail_out;
    if (code == Z_STREAM_END)
        file->member_open = false;
    else if (code != Z_OK && code != Z_BUF_ERROR)
        return err_set(err, "%s: damaged gzip data (%s); copy or make it again", file->name,
                       z->msg ? z->msg : "no details");
    return STATUS_OK;
}

static Status step_xz(CorpusFile *file, char *out, int64_t room, int64_t *got, Err *err)
{
    lzma_stream *xz = &file->xz;
    xz->next_in = file->next, xz->avail_in = file->available;
    xz->next_out = (uint8_t *)out, xz->avail_out = (size_t)room;
    lzma_ret code = lzma_code(xz, file->input_ended ? LZMA_FINISH : LZMA_RUN);
    file->next += file->available - xz->avail_in, file->available = xz->avail_in;
    *got = room - (int64_t)xz->avail_out;
    if (code == LZMA_STREAM_END)
        file->finished = true;
    else if (code == LZMA_BUF_ERROR)
        return err_set(err, "%s is cut off in the middle of its xz data; copy or make it again",
                       file->name);
    else if (code == LZMA_MEMLIMIT_ERROR)
        return err_set(err, "%s needs more than 1 GiB to unpack; pack it again with xz -6",
                       file->name);
    else if (code != LZMA_OK)
        return err_set(err, "%s: damaged xz data (code %d); copy or make it again", file->name,
                       (int)code);
    return STATUS_OK;
}

static Status step_plain(CorpusFile *file, char *out, int64_t room, int64_t *got)
{
    int64_t count = (int64_t)file->available < room ? (int64_t)file->available : room;
    memcpy(out, file->next, (size_t)count);
    file->next += count, file->available -= (size_t)count;
    file->finished = file->input_ended;
    *got = count;
    return STATUS_OK;
}

Status corpus_file_read(CorpusFile *file, int64_t limit, StrBuf *out, int64_t *got, Err *err)
{
    char block[INPUT_BYTES];
    *got = 0;
    while (*got < limit && !file->finished) {
        int64_t room = limit - *got < INPUT_BYTES ? limit - *got : INPUT_BYTES;
        int64_t step = 0;
        TRY(refill(file, err));
        switch (file->packing) {
        case PACKING_GZIP:
            TRY(step_gzip(file, block, room, &step, err));
            break;
        case PACKING_XZ:
            TRY(step_xz(file, block, room, &step, err));
            break;
        case PACKING_NONE:
            TRY(step_plain(file, block, room, &step));
            break;
        }
        strbuf_append(out, block, (size_t)step);
        *got += step;
    }
    return STATUS_OK;
}

int64_t corpus_file_position(const CorpusFile *file)
{
    return file->position - (int64_t)file->available;
}

Status corpus_file_whole(const char *path, int64_t limit, StrBuf *out, Err *err)
{
    CorpusFile *file = corpus_file_open(path, err);
    if (!file)
        return STATUS_FAIL;
    int64_t got;
    Status status = corpus_file_read(file, limit + 1, out, &got, err);
    if (status == STATUS_OK && got > limit)
        status = err_set(err, "%s holds more than %lld bytes; cut it into smaller files", path,
                         (long long)limit);
    corpus_file_close(file);
    return status;
}

uint64_t text_key(const void *text, int64_t bytes)
{
    Sha256 hash = hash_of(text, (size_t)bytes);
    uint64_t key = 0;
    for (int i = 0; i < 8; i++)
        key = key << 8 | hash.bytes[i];
    return key;
}
