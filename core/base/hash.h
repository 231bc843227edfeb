/* SHA-256, through Nettle (a small library with SHA-NI code; libcrypto would cost start-up time).
 * Hashes prove that frozen tensors stayed frozen and that files were read whole. */
#ifndef CAMBIUM_CORE_BASE_HASH_H
#define CAMBIUM_CORE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_TEXT = 65 }; /* text: 64 hexadecimal digits and a zero */

typedef struct Sha256 {
    uint8_t bytes[SHA256_BYTES];
} Sha256;

typedef struct HashStream HashStream;

HashStream *hash_new(void);
void hash_update(HashStream *stream, const void *data, size_t bytes);
Sha256 hash_finish_free(HashStream *stream); /* the digest; ends the stream */

Sha256 hash_of(const void *data, size_t bytes);
void hash_text(const Sha256 *hash, char text[SHA256_TEXT]);
bool hash_parse(const char *text, Sha256 *hash);   /* the reverse; false for any other text */
bool hash_equal(const Sha256 *a, const Sha256 *b); /* in a time that says nothing of them */

/* 64 well mixed bits for hash tables in memory; never for files, never as a proof. */
uint64_t hash_for_table(const void *data, int64_t bytes);

#endif
