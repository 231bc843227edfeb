/* Packed token files: what `cambium pack` writes and training reads.
 *
 * A container (core/io/container.h) with
 *   /tokens          (n) uint16, or int32 above 65,536 entries; training documents come first
 *   /documents       (d + 1) int64, where each document starts; each ends with the eos token
 *   /document_bytes  (d) int64, bytes of text of each document
 *   /token_bytes     (vocabulary) int32, bytes of text that each token stands for (specials: 0)
 *   /meta            JSON: format, kind "pack", tokenizer name and hash, vocabulary, eos, training
 * documents, validation share and seed, sources A Pack is immutable after pack_open and may be
 * shared by threads. */
#ifndef CAMBIUM_TRAIN_PACK_H
#define CAMBIUM_TRAIN_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/hash.h"

typedef enum PackSplit { PACK_TRAIN = 0, PACK_VALIDATION = 1, PACK_SPLITS = 2 } PackSplit;

typedef struct Pack Pack;

typedef struct PackInfo {
    const char *path;
    const char *tokenizer; /* its name */
    Sha256 tokenizer_hash; /* equals the hash of the table that the model uses */
    Sha256 hash;           /* of all tokens: the identity of the data */
    int64_t vocabulary;    /* every token is below it */
    int32_t eos;           /* closes each document */
    int64_t tokens[PACK_SPLITS];
    int64_t documents[PACK_SPLITS];
    int64_t bytes[PACK_SPLITS]; /* of text */
} PackInfo;

/* Maps the tokens and verifies their hashes. NULL with a sentence in `err` when the file is not a
 * pack, is damaged, or cannot be read. */
Pack *pack_open(const char *path, Err *err);
void pack_close(Pack *pack); /* NULL is allowed */
const PackInfo *pack_info(const Pack *pack);

/* Copies `count` tokens of a split from position `start` on; the range must lie inside. */
void pack_read(const Pack *pack, PackSplit split, int64_t start, int64_t count, int32_t *out);

/* Documents of a split: start position of document `index` within the split (index == documents:
 * the end), and the bytes of its text. */
int64_t pack_document_start(const Pack *pack, PackSplit split, int64_t index);
int64_t pack_document_bytes(const Pack *pack, PackSplit split, int64_t index);

/* Bytes of text that a token stands for. */
int32_t pack_token_bytes(const Pack *pack, int32_t token);

#endif
