#include "core/io/unpack.h"

#include <stdlib.h>
#include <string.h>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"

enum { GZIP_WINDOW = 15 + 16, LZMA_MEMORY = 1 << 30, ZSTD_WINDOW_LOG = 30 };

typedef Status StepFn(Unpacker *u, UnpackInput *input, uint8_t *out, size_t room, int64_t *got,
                      bool *finished, Err *err);

struct Unpacker {
    const char *name; /* of the file */
    const char *kind;
    StepFn *step;
    void (*end)(Unpacker *u);
    bool open;       /* inside of a member: the file must not end here */
    int64_t members; /* that are whole */
    z_stream gzip;
    bz_stream bzip;
    lzma_stream xz;
    ZSTD_DStream *zstd;
};

static Status cut_off(const Unpacker *u, Err *err)
{
    return err_set(err, "%s is cut off in the middle of its %s data; copy or make it again",
                   u->name, u->kind);
}

static Status damaged(const Unpacker *u, const char *why, Err *err)
{
    return err_set(err, "%s: damaged %s data (%s); copy or make it again", u->name, u->kind, why);
}

/* Something else follows whole members. */
static Status leave_rest(const Unpacker *u, bool *finished)
{
    log_warn("%s: what follows its %s data is no such data and is ignored", u->name, u->kind);
    *finished = true;
    return STATUS_OK;
}

/* ---- gzip ------------------------------------------------------------------------------------ */

static void end_gzip(Unpacker *u)
{
    inflateEnd(&u->gzip);
}

/* Between two members. Zeros there are padding of tapes and block devices. */
static Status next_gzip(Unpacker *u, UnpackInput *input, bool *finished)
{
    while (input->available && *input->next == 0)
        input->next++, input->available--;
    if (!input->available)
        return STATUS_OK;
    if (*input->next != 0x1f)
        return leave_rest(u, finished);
    CHECK(inflateReset(&u->gzip) == Z_OK, "zlib refuses to start again");
    u->open = true;
    return STATUS_OK;
}

static Status step_gzip(Unpacker *u, UnpackInput *input, uint8_t *out, size_t room, int64_t *got,
                        bool *finished, Err *err)
{
    z_stream *z = &u->gzip;
    if (!u->open)
        TRY(next_gzip(u, input, finished));
    if (!u->open || *finished)
        return STATUS_OK;
    z->next_in = (Bytef *)(uintptr_t)input->next, z->avail_in = (uInt)input->available;
    z->next_out = out, z->avail_out = (uInt)room;
    int code = inflate(z, Z_NO_FLUSH);
    input->next = z->next_in, input->available = z->avail_in;
    *got = (int64_t)room - z->avail_out;
    u->open = code != Z_STREAM_END;
    u->members += code == Z_STREAM_END;
    if (code == Z_OK || code == Z_BUF_ERROR || code == Z_STREAM_END)
        return STATUS_OK;
    enum { MAGIC = 2 };
    if (u->members && z->total_in <= MAGIC)
        return leave_rest(u, finished);
    return damaged(u, z->msg ? z->msg : "no details", err);
}

/* ---- bzip2 ----------------------------------------------------------------------------------- */

static void end_bzip(Unpacker *u)
{
    BZ2_bzDecompressEnd(&u->bzip);
}

static Status step_bzip(Unpacker *u, UnpackInput *input, uint8_t *out, size_t room, int64_t *got,
                        bool *finished, Err *err)
{
    bz_stream *z = &u->bzip;
    if (!u->open && !input->available)
        return STATUS_OK;
    if (!u->open) {
        if (*input->next != 'B')
            return leave_rest(u, finished);
        BZ2_bzDecompressEnd(z);
        CHECK(BZ2_bzDecompressInit(z, 0, 0) == BZ_OK, "libbz2 refuses to start again");
        u->open = true;
    }
    z->next_in = (char *)(uintptr_t)input->next, z->avail_in = (unsigned)input->available;
    z->next_out = (char *)out, z->avail_out = (unsigned)room;
    int code = BZ2_bzDecompress(z);
    input->next += input->available - z->avail_in, input->available = z->avail_in;
    *got = (int64_t)(room - z->avail_out);
    u->open = code != BZ_STREAM_END;
    u->members += code == BZ_STREAM_END;
    if (code == BZ_OK || code == BZ_STREAM_END)
        return STATUS_OK;
    if (u->members && code == BZ_DATA_ERROR_MAGIC)
        return leave_rest(u, finished);
    return damaged(u, code == BZ_MEM_ERROR ? "no memory" : "a check sum or header is wrong", err);
}

/* ---- xz -------------------------------------------------------------------------------------- */

static void end_xz(Unpacker *u)
{
    lzma_end(&u->xz);
}

static Status step_xz(Unpacker *u, UnpackInput *input, uint8_t *out, size_t room, int64_t *got,
                      bool *finished, Err *err)
{
    lzma_stream *xz = &u->xz;
    xz->next_in = input->next, xz->avail_in = input->available;
    xz->next_out = out, xz->avail_out = room;
    lzma_ret code = lzma_code(xz, input->ended ? LZMA_FINISH : LZMA_RUN);
    input->next += input->available - xz->avail_in, input->available = xz->avail_in;
    *got = (int64_t)(room - xz->avail_out);
    if (code == LZMA_STREAM_END)
        *finished = true;
    else if (code == LZMA_BUF_ERROR)
        return cut_off(u, err);
    else if (code == LZMA_MEMLIMIT_ERROR)
        return err_set(err, "%s needs more than 1 GiB to unpack; pack it again with xz -6",
                       u->name);
    else if (code != LZMA_OK)
        return damaged(u, code == LZMA_DATA_ERROR ? "a check sum is wrong" : "a wrong header", err);
    return STATUS_OK;
}

/* ---- Zstandard ------------------------------------------------------------------------------- */

static void end_zstd(Unpacker *u)
{
    ZSTD_freeDStream(u->zstd);
}

static Status step_zstd(Unpacker *u, UnpackInput *input, uint8_t *out, size_t room, int64_t *got,
                        bool *finished, Err *err)
{
    (void)finished;
    if (!u->open && !input->available)
        return STATUS_OK;
    ZSTD_inBuffer in = {input->next, input->available, 0};
    ZSTD_outBuffer to = {out, room, 0};
    size_t code = ZSTD_decompressStream(u->zstd, &to, &in);
    input->next += in.pos, input->available -= in.pos;
    *got = (int64_t)to.pos;
    u->open = code != 0;
    if (!ZSTD_isError(code))
        return STATUS_OK;
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
        return err_set(err, "%s needs more than 1 GiB to unpack; pack it again with zstd -19",
                       u->name);
    return damaged(u, ZSTD_getErrorName(code), err);
}

/* ---- which ----------------------------------------------------------------------------------- */

static bool begins(const uint8_t *begin, size_t bytes, const char *magic, size_t length)
{
    return bytes >= length && memcmp(begin, magic, length) == 0;
}

/* A block, or the end of an empty text, also when it is cut off there. */
static bool is_bzip(const uint8_t *begin, size_t bytes)
{
    enum { HEAD = 4, MARK = 6 };
    size_t marked = bytes < HEAD + MARK ? bytes - HEAD : MARK;
    return bytes >= HEAD + 2 && memcmp(begin, "BZh", 3) == 0 && begin[3] >= '1' &&
           begin[3] <= '9' &&
           (memcmp(begin + HEAD, "\x31\x41\x59\x26\x53\x59", marked) == 0 ||
            memcmp(begin + HEAD, "\x17\x72\x45\x38\x50\x90", marked) == 0);
}

/* A frame, or one that readers skip (parallel and seekable writers make such). */
static bool is_zstd(const uint8_t *begin, size_t bytes)
{
    return begins(begin, bytes, "\x28\xb5\x2f\xfd", 4) ||
           (bytes >= 8 && begin[0] >> 4 == 5 && memcmp(begin + 1, "\x2a\x4d\x18", 3) == 0);
}

Unpacker *unpack_new(const char *name, const uint8_t *begin, size_t bytes)
{
    Unpacker *u = xcalloc(1, sizeof *u);
    u->name = name;
    u->open = true;
    if (begins(begin, bytes, "\x1f\x8b", 2)) {
        CHECK(inflateInit2(&u->gzip, GZIP_WINDOW) == Z_OK, "zlib refuses to start");
        u->kind = "gzip", u->step = step_gzip, u->end = end_gzip;
    } else if (is_bzip(begin, bytes)) {
        CHECK(BZ2_bzDecompressInit(&u->bzip, 0, 0) == BZ_OK, "libbz2 refuses to start");
        u->kind = "bzip2", u->step = step_bzip, u->end = end_bzip;
    } else if (begins(begin, bytes,
                      "\xfd"
                      "7zXZ\0",
                      6)) {
        u->xz = (lzma_stream)LZMA_STREAM_INIT;
        CHECK(lzma_stream_decoder(&u->xz, LZMA_MEMORY, LZMA_CONCATENATED) == LZMA_OK,
              "liblzma refuses to start");
        u->kind = "xz", u->step = step_xz, u->end = end_xz;
    } else if (is_zstd(begin, bytes)) {
        u->zstd = ZSTD_createDStream();
        CHECK(u->zstd && !ZSTD_isError(
                             ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)),
              "libzstd refuses to start");
        u->kind = "zstd", u->step = step_zstd, u->end = end_zstd;
    } else {
        free(u);
        return NULL;
    }
    return u;
}

void unpack_free(Unpacker *unpacker)
{
    if (unpacker)
        unpacker->end(unpacker);
    free(unpacker);
}

Status unpack_step(Unpacker *u, UnpackInput *input, void *out, int64_t room, int64_t *got,
                   bool *finished, Err *err)
{
    *got = 0;
    *finished = false;
    /* A decoder may still hold text when all of its input is used up. */
    TRY(u->step(u, input, out, (size_t)room, got, finished, err));
    if (*got || *finished || !input->ended)
        return STATUS_OK;
    *finished = true;
    return u->open ? cut_off(u, err) : STATUS_OK;
}

size_t unpack_name_length(const char *name)
{
    static const char *const suffixes[] = {".gz", ".bz2", ".xz", ".zst"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (file_has_suffix(name, suffixes[i]))
            return length - strlen(suffixes[i]);
    return length;
}
