/* Text to token ids and back. One engine for all vocabularies: byte-pair merges in order of rank
 * (Hugging Face BPE and the published glyph vocabularies), or by score (SentencePiece BPE), with or
 * without byte-level surface strings, pre-tokenizer pattern and byte fallback.
 *
 * A Tokenizer is immutable after tokenizer_new and may be shared by threads. */
#ifndef CAMBIUM_CORE_TEXT_TOKENIZER_H
#define CAMBIUM_CORE_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

typedef enum TokenizerKind {
    TOKENIZER_RANKED = 0, /* the lowest merge index first, leftmost among equals */
    TOKENIZER_SCORED = 1, /* SentencePiece BPE: the pair whose joined token scores highest */
} TokenizerKind;

typedef enum TokenType {
    TOKEN_TEXT = 0,
    TOKEN_BYTE = 1,    /* stands for one byte of a character that has no token */
    TOKEN_SPECIAL = 2, /* never produced from plain text; decodes to nothing unless asked */
    TOKEN_UNUSED = 3,
    TOKEN_ADDED = 4, /* found in any text before all else, whole; decodes to itself */
} TokenType;

/* How the name of an added or special token is found in a text; bits. */
enum {
    FIND_SINGLE_WORD = 1, /* only where no word goes on */
    FIND_LSTRIP = 2,      /* with the white space before it, */
    FIND_RSTRIP = 4,      /* and behind it */
    FIND_NORMALIZED = 8,  /* its normal form in the normalised text, behind all other names */
    FIND_CHARACTER = 16,  /* elsewhere the token is a character like others */
    FIND_BITS = 32,
};

/* What decoding takes off the beginning of a text. */
typedef enum DecodeStrip {
    STRIP_PREFIX = 0, /* the space of add_prefix_space (not for byte_level, which cannot know) */
    STRIP_NOTHING = 1,
    STRIP_SPACE = 2, /* one space */
    STRIP_TOKEN = 3, /* all spaces of the first token */
} DecodeStrip;

/* Everything a file stores of a tokenizer: plain data, owned by whoever filled it. Token i is the
 * bytes text[offsets[i]] .. text[offsets[i + 1]]; always the real bytes it stands for (byte-level
 * surface strings are undone when read), except that specials hold their names. */
typedef struct TokenizerSpec {
    TokenizerKind kind;
    int64_t n_tokens;
    char *text;
    int64_t *offsets; /* (n_tokens + 1) */
    uint8_t *types;   /* (n_tokens), TokenType */
    float *scores;    /* (n_tokens), TOKENIZER_SCORED only, else NULL */
    int64_t n_merges;
    int32_t *merges;       /* (n_merges, 3): left, right, result; TOKENIZER_RANKED only */
    char *pattern;         /* PCRE2 pre-tokenizer patterns, see core/text/splitter.h; NULL: none */
    bool byte_level;       /* starts from single bytes, not from characters */
    bool add_prefix_space; /* a space before the text; byte_level: only if there is none */
    bool ignore_merges;    /* a whole pre-token that is a token is taken as it is */
    bool nfc;              /* the text is brought into Unicode's form C first */
    bool metaspace;        /* U+2581 in a text is a space; so too with add_prefix_space or scores */
    bool fuse_unk;         /* unknown characters in a row are one unknown token */
    /* What `nfc`, `pattern` and `add_prefix_space` cannot say: steps of core/text/normalizer.h and
     * core/text/splitter.h, which then take their place. */
    char *normalizer, *pre_tokenizer;
    uint8_t *find;              /* (n_tokens) FIND_ bits; NULL: none anywhere */
    DecodeStrip strip;          /* see there */
    bool bare_start;            /* texts begin without bos or eos: so the model was trained */
    int32_t pad, bos, eos, unk; /* ids, -1: none */
    int32_t *ends;              /* (n_ends) further tokens that end a text, besides eos */
    int64_t n_ends;
    char *name;          /* "cambium", "bvv241-2-3", ... */
    char *chat_template; /* the Jinja program that the model came with, or NULL */
    char *tool_template; /* another one for conversations with tools, or NULL */
} TokenizerSpec;

void tokenizer_spec_clear(TokenizerSpec *spec);
enum { TOKENIZER_ENDS = 4096 };
/* Adds a token to `ends`, unless it is there or is eos. There are TOKENIZER_ENDS at most; what
 * comes after them is left out. */
void tokenizer_spec_add_end(TokenizerSpec *spec, int32_t id);

typedef struct Tokenizer Tokenizer;

typedef struct IdList {
    int32_t *items;
    int64_t count;
    int64_t capacity;
} IdList;

void id_list_add(IdList *list, int32_t id);
bool id_list_has(const IdList *list, int32_t id);
void id_list_clear(IdList *list);

/* Takes the content of `spec` (which is left empty), also on failure. Fails on tokens, merges or a
 * pattern that make no sense, naming the first. */
Tokenizer *tokenizer_new(TokenizerSpec *spec, Err *err);
void tokenizer_free(Tokenizer *tokenizer);
const TokenizerSpec *tokenizer_spec(const Tokenizer *tokenizer); /* borrowed */

/* Appends the ids of `bytes` bytes at `text`. Any byte string is accepted: characters without a
 * token and bytes that are not UTF-8 become byte tokens where the vocabulary has them, else the
 * unknown token, else nothing, which is told once. Linear time. No bos or eos is added; names of
 * control tokens in the text are plain text, names of other added tokens are found. */
void tokenizer_encode(const Tokenizer *tokenizer, const char *text, int64_t bytes, IdList *out);

/* The same, but names of control tokens become their ids (chat templates, trusted prompts). */
void tokenizer_encode_with_specials(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                                    IdList *out);

/* A prompt's ids. A text begins after bos, or after the eos of the one before it, where the
 * vocabulary has them. `specials`: names of specials become their ids. */
void tokenizer_encode_prompt(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                             bool specials, IdList *out);

/* The same, except within the `n` spans, which are in order: there, names of control tokens are
 * plain text, and so are those of all other marks that stand outside of the spans. Tokens may reach
 * across the borders of spans. */
typedef struct TextSpan {
    int64_t begin, end; /* bytes */
} TextSpan;
void tokenizer_encode_marked(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                             const TextSpan *plain, int64_t n, IdList *out);

/* The token that a text begins after: bos, else the eos of the text before; -1: none. */
int32_t tokenizer_start(const Tokenizer *tokenizer);

/* Whether the token is one that no text becomes of itself: special, or with a role, or a mark of
 * the chat template (core/text/token_roles.h). */
bool tokenizer_is_control(const Tokenizer *tokenizer, int32_t id);

/* Appends the tokens that end a text, each once: eos and what the model's files name besides. */
void tokenizer_ends(const Tokenizer *tokenizer, IdList *out);

/* Appends the bytes that the ids stand for. Specials and unused tokens are left out unless
 * `specials`. The space that was put before the text is taken off again (DecodeStrip). Ids outside
 * the vocabulary become U+FFFD. */
void tokenizer_decode(const Tokenizer *tokenizer, const int32_t *ids, int64_t count, bool specials,
                      StrBuf *out);

/* The bytes of one token (its name for a special); `*bytes` is their number. Borrowed. */
const char *tokenizer_token(const Tokenizer *tokenizer, int32_t id, int64_t *bytes);

/* The id whose token is exactly these bytes, or -1. Text tokens are preferred to special, byte and
 * unused ones. */
int32_t tokenizer_find(const Tokenizer *tokenizer, const char *text, int64_t bytes);

int64_t tokenizer_size(const Tokenizer *tokenizer);

#endif
