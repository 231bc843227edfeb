/* What tokenizer.c builds and tokenizer_text.c and tokenizer_encode.c use. Private to core/text. */
#ifndef CAMBIUM_CORE_TEXT_TOKENIZER_IMPL_H
#define CAMBIUM_CORE_TEXT_TOKENIZER_IMPL_H

#include <pthread.h>

#include <stdatomic.h>

#include "core/text/bpe_merge.h"
#include "core/text/name_set.h"
#include "core/text/normalizer.h"
#include "core/text/splitter.h"
#include "core/text/token_index.h"
#include "core/text/tokenizer.h"

enum { CHARS = 0x10000 }; /* characters whose token is looked up directly */

typedef struct EncodeWork EncodeWork;

struct Tokenizer {
    TokenizerSpec spec;
    TokenIndex index;
    PairTable pairs;
    bool *control;       /* (n_tokens), see token_roles_control */
    bool *texts;         /* (n_tokens) that characters of a text may become */
    int32_t bytes[256];  /* tokens of single bytes, -1: none */
    bool all_bytes;      /* every one of them is there */
    int32_t *characters; /* (CHARS) text tokens of single characters, -1: none; not byte_level */
    uint64_t *joints;    /* bit set: pairs of first symbols between which a merge may reach */
    int joint_shift;
    Normalizer *normalizer; /* NULL: none but nfc */
    Splitter *splitter;     /* NULL: no pattern */
    bool spaces;            /* U+2581 in a text is a space */
    NameSet names;          /* of added and special tokens, */
    NameSet normal_names;   /* and those that are found in the normalised text */
    int32_t *normal_of;     /* (n_tokens) which of these a token is, -1: none; NULL: all */
    atomic_bool told;       /* that characters are lost */
    /* Scratch memory of calls that are not running, for the next ones. */
    pthread_mutex_t lock;
    EncodeWork *idle;
};

/* What one call of encode carries around. */
typedef struct Encoding {
    const Tokenizer *tokenizer;
    EncodeWork *work;
    const char *end; /* of the readable text */
    IdList *out;
} Encoding;

EncodeWork *encode_work_take(const Tokenizer *tokenizer);
void encode_work_give_back(const Tokenizer *tokenizer, EncodeWork *work);
void encode_work_free_all(EncodeWork *work);

/* Appends the ids of a text without names: what is not UTF-8 byte by byte, the rest in pieces.
 * `first`: it begins the whole text. */
void encode_stretches(Encoding *e, const char *text, int64_t bytes, bool first);

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
