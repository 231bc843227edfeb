#include "core/base/hash.h"

#include <stdlib.h>

#include <nettle/sha2.h>

#include "core/base/mem.h"

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
