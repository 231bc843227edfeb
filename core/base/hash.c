#include "core/base/hash.h"

#include <stdlib.h>
#include <string.h>

#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

struct HashStream {
    struct sha256_ctx context;
};

HashStream *hash_new(void)
{
    HashStream *stream = xmalloc(sizeof *stream);
    sha256_init(&stream->context);
    return stream;
}

void hash_update(HashStream *stream, const void *data, size_t bytes)
{
    sha256_update(&stream->context, bytes, data);
}

Sha256 hash_finish_free(HashStream *stream)
{
    Sha256 hash;
    sha256_digest(&stream->context, sizeof hash.bytes, hash.bytes);
    free(stream);
    return hash;
}

Sha256 hash_of(const void *data, size_t bytes)
{
    HashStream *stream = hash_new();
    hash_update(stream, data, bytes);
    return hash_finish_free(stream);
}

void hash_text(const Sha256 *hash, char text[SHA256_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SHA256_BYTES; i++) {
        text[2 * i] = digits[hash->bytes[i] >> 4];
        text[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
    text[2 * SHA256_BYTES] = '\0';
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hash_parse(const char *text, Sha256 *hash)
{
    if (strlen(text) != SHA256_TEXT - 1)
        return false;
    for (int i = 0; i < SHA256_BYTES; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash->bytes[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

bool hash_equal(const Sha256 *a, const Sha256 *b)
{
    return memeql_sec(a->bytes, b->bytes, SHA256_BYTES);
}

uint64_t hash_for_table(const void *data, int64_t bytes)
{
    const uint8_t *at = data;
    uint64_t hash = (uint64_t)bytes * UINT64_C(0x9E3779B97F4A7C15);
    for (; bytes > 0; at += 8, bytes -= 8) {
        uint64_t word = 0;
        memcpy(&word, at, bytes < 8 ? (size_t)bytes : 8);
        hash = hash_mix64(hash ^ word);
    }
    return hash;
}
