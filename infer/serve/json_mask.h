/* Constrained decoding: which tokens keep a text on the way to one valid JSON object.
 *
 * JsonState is a pushdown automaton over bytes (RFC 8259; strings are valid UTF-8), so that tokens
 * which end in the middle of a character or a number are judged exactly. The mask also counts how
 * many bytes the shortest way to the end still takes: with as many tokens left, only the shortest
 * ways stay open, and a text that its limit would cut is closed in time. (One byte, one token:
 * holds where the vocabulary has the characters of JSON as tokens.) */
#ifndef CAMBIUM_INFER_SERVE_JSON_MASK_H
#define CAMBIUM_INFER_SERVE_JSON_MASK_H

#include "core/text/tokenizer.h"

enum {
    JSON_DEPTH = 64,  /* containers in each other */
    JSON_BLANKS = 32, /* white space in a row, which models like to go on with for ever */
};

typedef struct JsonState {
    uint64_t objects;  /* bit d: the container at depth d is an object */
    uint8_t depth;     /* open containers */
    uint8_t at;        /* a place in the grammar, json_mask.c */
    uint8_t rest;      /* bytes to come of a character, an escape or a word */
    uint8_t low, high; /* limits of the next byte of a character */
    uint8_t word;      /* true, false, null: which, by its first letter */
    uint8_t blanks;    /* white space in a row */
    bool key;          /* the string is a member's name */
} JsonState;

void json_state_init(JsonState *state);
/* False: the byte cannot follow (the state is then undefined). */
bool json_state_feed(JsonState *state, uint8_t byte);
bool json_state_complete(const JsonState *state);    /* the object is closed; nothing may follow */
int64_t json_state_distance(const JsonState *state); /* bytes of the shortest way to the end */

/* The tokens of a vocabulary in the order of their bytes, so that equal beginnings are judged once.
 */
typedef struct JsonMask JsonMask;

/* Fails when the vocabulary lacks what every JSON text needs. The tokenizer is kept. */
JsonMask *json_mask_new(const Tokenizer *tokenizer, Err *err);
void json_mask_free(JsonMask *mask);

/* logits (vocabulary size, host) of tokens that may not come next become -infinity; `left`: tokens
 * that may still be written, this one included. Returns how many stay. */
int64_t json_mask_apply(const JsonMask *mask, const JsonState *state, int64_t left, float *logits);
/* The state after a token that the mask left. */
void json_mask_advance(const JsonMask *mask, JsonState *state, int32_t id);

#endif
