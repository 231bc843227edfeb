#include "core/text/stream.h"

#include <string.h>

#include "core/text/tokenizer_impl.h"
#include "core/text/utf8.h"

static void drop_front(StrBuf *buf, int64_t bytes)
{
    if (bytes == 0)
        return;
    memmove(buf->data, buf->data + bytes, (size_t)(buf->size - bytes));
    buf->size -= bytes;
    buf->data[buf->size] = '\0';
}

void stream_decoder_init(StreamDecoder *decoder, const Tokenizer *tokenizer, bool specials,
                         bool at_start)
{
    *decoder = (StreamDecoder){.tokenizer = tokenizer, .specials = specials, .at_start = at_start};
}

void stream_decoder_clear(StreamDecoder *decoder)
{
    strbuf_clear(&decoder->held);
}

void stream_decoder_feed(StreamDecoder *decoder, int32_t id, StrBuf *out)
{
    StrBuf *held = &decoder->held;
    tokenizer_decode_on(decoder->tokenizer, &id, 1, decoder->specials, &decoder->at_start, held);
    /* Only the last character can still grow; it is 1 to 3 bytes long so far. */
    int64_t cut = 0;
    for (int64_t tail = 1; tail < UTF8_MAX && tail <= held->size; tail++)
        if (utf8_cut_prefix(held->data + held->size - tail, tail) > 0)
            cut = tail;
    utf8_append_clean(out, held->data, held->size - cut);
    drop_front(held, held->size - cut);
}

void stream_decoder_flush(StreamDecoder *decoder, StrBuf *out)
{
    utf8_append_clean(out, decoder->held.data, decoder->held.size);
    strbuf_reset(&decoder->held);
}

void stop_matcher_init(StopMatcher *matcher, const StringList *stops)
{
    *matcher = (StopMatcher){0};
    for (int64_t i = 0; i < stops->count; i++)
        if (stops->items[i][0] != '\0')
            string_list_add(&matcher->stops, stops->items[i]);
}

void stop_matcher_clear(StopMatcher *matcher)
{
    string_list_clear(&matcher->stops);
    strbuf_clear(&matcher->held);
}

/* Where the stop string that is complete first begins in the held text, or -1. */
static int64_t find_stop(const StopMatcher *matcher)
{
    int64_t start = -1, end = INT64_MAX;
    const StrBuf *held = &matcher->held;
    for (int64_t i = 0; i < matcher->stops.count; i++) {
        const char *stop = matcher->stops.items[i];
        size_t length = strlen(stop);
        const char *found = memmem(held->data, (size_t)held->size, stop, length);
        if (!found)
            continue;
        int64_t at = found - held->data, behind = at + (int64_t)length;
        if (behind < end || (behind == end && at < start)) {
            start = at;
            end = behind;
        }
    }
    return start;
}

/* The length of the longest end of the held text that is the beginning of a stop string. */
static int64_t possible_beginning(const StopMatcher *matcher)
{
    const StrBuf *held = &matcher->held;
    int64_t longest = 0;
    for (int64_t i = 0; i < matcher->stops.count; i++) {
        const char *stop = matcher->stops.items[i];
        int64_t length = (int64_t)strlen(stop) - 1;
        if (length > held->size)
            length = held->size;
        while (length > longest &&
               memcmp(held->data + held->size - length, stop, (size_t)length) != 0)
            length--;
        if (length > longest)
            longest = length;
    }
    return longest;
}

bool stop_matcher_feed(StopMatcher *matcher, const char *text, int64_t bytes, StrBuf *out)
{
    if (matcher->stopped)
        return true;
    StrBuf *held = &matcher->held;
    strbuf_append(held, text, (size_t)bytes);
    int64_t start = find_stop(matcher);
    if (start >= 0) {
        strbuf_append(out, held->data, (size_t)start);
        strbuf_reset(held);
        matcher->stopped = true;
        return true;
    }
    int64_t free_bytes = held->size - possible_beginning(matcher);
    strbuf_append(out, held->data, (size_t)free_bytes);
    drop_front(held, free_bytes);
    return false;
}

void stop_matcher_flush(StopMatcher *matcher, StrBuf *out)
{
    strbuf_append(out, matcher->held.data, (size_t)matcher->held.size);
    strbuf_reset(&matcher->held);
}

void token_text_init(TokenText *text, const Tokenizer *tokenizer, bool specials, bool at_start,
                     const StringList *stops)
{
    *text = (TokenText){0};
    stream_decoder_init(&text->decoder, tokenizer, specials, at_start);
    stop_matcher_init(&text->stops, stops);
}

void token_text_clear(TokenText *text)
{
    stream_decoder_clear(&text->decoder);
    stop_matcher_clear(&text->stops);
    strbuf_clear(&text->characters);
}

int64_t token_text_characters(const TokenText *text)
{
    return utf8_characters(text->characters.data, text->characters.size);
}

bool token_text_feed(TokenText *text, int32_t id, StrBuf *out)
{
    strbuf_reset(&text->characters);
    stream_decoder_feed(&text->decoder, id, &text->characters);
    return stop_matcher_feed(&text->stops, text->characters.data, text->characters.size, out);
}

void token_text_flush(TokenText *text, StrBuf *out)
{
    strbuf_reset(&text->characters);
    stream_decoder_flush(&text->decoder, &text->characters);
    stop_matcher_feed(&text->stops, text->characters.data, text->characters.size, out);
    stop_matcher_flush(&text->stops, out);
}
