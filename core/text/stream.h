/* Text that appears while it is generated: ids in, whole characters out, and an end at stop
 * strings. Each object belongs to one thread. */
#ifndef CAMBIUM_CORE_TEXT_STREAM_H
#define CAMBIUM_CORE_TEXT_STREAM_H

#include "core/base/file.h"
#include "core/text/tokenizer.h"

/* ---- ids to characters ----------------------------------------------------------------------- */

typedef struct StreamDecoder {
    const Tokenizer *tokenizer;
    bool specials; /* show the names of special tokens */
    bool at_start; /* no text token has come yet */
    StrBuf held;   /* the beginning of a character */
} StreamDecoder;

/* `tokenizer` is kept. `at_start`: the ids are a text from its beginning, so that the space that
 * add_prefix_space put there is taken off; false for the continuation of a prompt. */
void stream_decoder_init(StreamDecoder *decoder, const Tokenizer *tokenizer, bool specials,
                         bool at_start);
void stream_decoder_clear(StreamDecoder *decoder);

/* Appends the characters that this token completes; always valid UTF-8. Bytes that can no longer
 * become a character are shown as U+FFFD. */
void stream_decoder_feed(StreamDecoder *decoder, int32_t id, StrBuf *out);

/* The end: a character that was begun is shown as U+FFFD. The decoder may be fed again. */
void stream_decoder_flush(StreamDecoder *decoder, StrBuf *out);

/* ---- stop strings ---------------------------------------------------------------------------- */

typedef struct StopMatcher {
    StringList stops;
    StrBuf held;  /* text that may be the beginning of a stop string */
    bool stopped; /* a stop string came; whatever follows is dropped */
} StopMatcher;

/* Copies `stops`; empty ones are left out. */
void stop_matcher_init(StopMatcher *matcher, const StringList *stops);
void stop_matcher_clear(StopMatcher *matcher);

/* Appends the text that belongs to no stop string, whatever may follow. Returns true once a stop
 * string has come: the one that was complete first, however the text was cut into calls. */
bool stop_matcher_feed(StopMatcher *matcher, const char *text, int64_t bytes, StrBuf *out);

/* The end: appends what was held back. */
void stop_matcher_flush(StopMatcher *matcher, StrBuf *out);

/* ---- both: the way of a sequence's tokens to its text -----------------------------------------
 */

typedef struct TokenText {
    StreamDecoder decoder;
    StopMatcher stops;
    StrBuf characters; /* scratch */
} TokenText;

/* As stream_decoder_init and stop_matcher_init. */
void token_text_init(TokenText *text, const Tokenizer *tokenizer, bool specials, bool at_start,
                     const StringList *stops);
void token_text_clear(TokenText *text);

/* Characters that the last token completed, released or held back. */
int64_t token_text_characters(const TokenText *text);
/* Appends the text that this token releases. Returns true once a stop string has come. */
bool token_text_feed(TokenText *text, int32_t id, StrBuf *out);
/* The end without a stop string: appends what was held back. */
void token_text_flush(TokenText *text, StrBuf *out);

#endif
