/* What tokenizer.c builds and tokenizer_encode.c uses. Private to core/text. */
#ifndef CAMBIUM_CORE_TEXT_TOKENIZER_IMPL_H
#define CAMBIUM_CORE_TEXT_TOKENIZER_IMPL_H

#include <pthread.h>

#include "core/text/bpe_merge.h"
#include "core/text/splitter.h"
#include "core/text/token_index.h"
#include "core/text/tokenizer.h"

enum { CHARS = 0x10000 }; /* characters whose token is looked up directly */

typedef struct EncodeWork EncodeWork;

/* Names to find in the text before anything else, by length: at each place the longest wins. */
typedef struct NameSet {
    int64_t *lengths; /* the distinct lengths, descending */
    int64_t n_lengths;
    int64_t lengths_capacity;
    bool first[256]; /* bytes that some name begins with */
} NameSet;

struct Tokenizer {
    TokenizerSpec spec;
    TokenIndex index;
    PairTable pairs;
    bool *control;       /* (n_tokens), see token_roles_control */
    int32_t bytes[256];  /* tokens of single bytes, -1: none */
    bool all_bytes;      /* every one of them is there */
    int32_t *characters; /* (CHARS) text tokens of single characters, -1: none; not byte_level */
    uint64_t *joints;    /* bit set: pairs of first symbols between which a merge may reach */
    int joint_shift;
    Splitter *splitter; /* NULL: no pattern */
    NameSet added;      /* TOKEN_ADDED */
    NameSet named;      /* TOKEN_ADDED and TOKEN_SPECIAL */
    /* Scratch memory of calls that are not running, for the next ones. */
    pthread_mutex_t lock;
    EncodeWork *idle;
};

void encode_work_free_all(EncodeWork *work);

/* Which bit of `joints` stands for two neighbouring first symbols. Different pairs may share a bit:
 * a bit set in vain only makes a piece longer than it need be. */
static inline uint64_t joint_bit(const Tokenizer *tokenizer, int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    key = (key ^ key >> 29) * UINT64_C(0x9E3779B97F4A7C15);
    return key >> tokenizer->joint_shift;
}

/* Appends the symbols that the text starts from; at most one per byte. The text is valid UTF-8, or
 * the vocabulary is byte-level. Returns their number. */
int64_t tokenizer_symbols(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                          int32_t *symbols);

/* Like tokenizer_decode, for a text that comes in parts: *at_start says whether the next text token
 * is the text's first, and is updated. */
void tokenizer_decode_on(const Tokenizer *tokenizer, const int32_t *ids, int64_t count,
                         bool specials, bool *at_start, StrBuf *out);

#endif
