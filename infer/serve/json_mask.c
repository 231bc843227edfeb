#include "infer/serve/json_mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

typedef enum Place {
    AT_START,
    AT_VALUE,      /* a value must come */
    AT_FIRST_ITEM, /* behind [ */
    AT_FIRST_KEY,  /* behind { */
    AT_KEY,        /* behind a comma in an object */
    AT_COLON,
    AT_AFTER, /* behind a value */
    AT_STRING,
    AT_ESCAPE,
    AT_HEX, /* `rest` digits to come */
    AT_MINUS,
    AT_ZERO,
    AT_DIGITS,
    AT_POINT,
    AT_FRACTION,
    AT_EXPONENT,
    AT_EXPONENT_SIGN,
    AT_EXPONENT_DIGITS,
    AT_WORD, /* `rest` letters to come */
    AT_DONE,
} Place;

void json_state_init(JsonState *state)
{
    *state = (JsonState){.at = AT_START};
}

bool json_state_complete(const JsonState *state)
{
    return state->at == AT_DONE;
}

static bool go(JsonState *s, Place place)
{
    s->at = (uint8_t)place;
    return true;
}

static bool in_object(const JsonState *s)
{
    return (s->objects >> (s->depth - 1)) & 1;
}

static bool open_container(JsonState *s, bool object)
{
    if (s->depth >= JSON_DEPTH)
        return false;
    uint64_t bit = (uint64_t)1 << s->depth++;
    s->objects = object ? s->objects | bit : s->objects & ~bit;
    return go(s, object ? AT_FIRST_KEY : AT_FIRST_ITEM);
}

static bool close_container(JsonState *s, uint8_t byte)
{
    if (byte != (in_object(s) ? '}' : ']'))
        return false;
    return go(s, --s->depth > 0 ? AT_AFTER : AT_DONE);
}

static bool open_string(JsonState *s, bool key)
{
    s->key = key;
    s->rest = 0;
    return go(s, AT_STRING);
}

static const char *word_of(uint8_t first)
{
    return first == 't' ? "true" : first == 'f' ? "false" : first == 'n' ? "null" : NULL;
}

static bool feed_value(JsonState *s, uint8_t byte)
{
    if (byte == '"')
        return open_string(s, false);
    if (byte == '{' || byte == '[')
        return open_container(s, byte == '{');
    if (byte == '-')
        return go(s, AT_MINUS);
    if (byte >= '0' && byte <= '9')
        return go(s, byte == '0' ? AT_ZERO : AT_DIGITS);
    if (!word_of(byte))
        return false;
    s->word = byte;
    s->rest = (uint8_t)(strlen(word_of(byte)) - 1);
    return go(s, AT_WORD);
}

static bool feed_after(JsonState *s, uint8_t byte)
{
    if (byte == ',')
        return go(s, in_object(s) ? AT_KEY : AT_VALUE);
    return close_container(s, byte);
}

/* The first byte of a character of several: how many follow, and between what the next one lies
 * (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
static bool feed_lead(JsonState *s, uint8_t byte)
{
    if (byte < 0xC2 || byte > 0xF4)
        return false;
    s->rest = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    s->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    s->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return true;
}

static bool feed_string(JsonState *s, uint8_t byte)
{
    if (s->rest > 0) {
        if (byte < s->low || byte > s->high)
            return false;
        s->low = 0x80;
        s->high = 0xBF;
        s->rest--;
        return true;
    }
    if (byte == '"')
        return go(s, s->key ? AT_COLON : AT_AFTER);
    if (byte == '\\')
        return go(s, AT_ESCAPE);
    if (byte < 0x20)
        return false;
    return byte < 0x80 || feed_lead(s, byte);
}

static bool feed_escape(JsonState *s, uint8_t byte)
{
    if (byte == 'u') {
        s->rest = 4;
        return go(s, AT_HEX);
    }
    return byte && strchr("\"\\/bfnrt", byte) && go(s, AT_STRING);
}

/* Four digits; not those of half a surrogate pair. */
static bool feed_hex(JsonState *s, uint8_t byte)
{
    if (!byte || !strchr("0123456789abcdefABCDEF", byte))
        return false;
    if (s->rest == 4)
        s->high = byte == 'd' || byte == 'D' ? '7' : 'f';
    if (s->rest == 3 && s->high == '7' && (byte < '0' || byte > '7'))
        return false;
    return --s->rest > 0 || go(s, AT_STRING);
}

static bool feed_number(JsonState *s, uint8_t byte)
{
    bool digit = byte >= '0' && byte <= '9', e = byte == 'e' || byte == 'E';
    switch (s->at) {
    case AT_MINUS:
        return digit && go(s, byte == '0' ? AT_ZERO : AT_DIGITS);
    case AT_POINT:
        return digit && go(s, AT_FRACTION);
    case AT_EXPONENT:
        if (byte == '+' || byte == '-')
            return go(s, AT_EXPONENT_SIGN);
        return digit && go(s, AT_EXPONENT_DIGITS);
    case AT_EXPONENT_SIGN:
        return digit && go(s, AT_EXPONENT_DIGITS);
    default:
        break;
    }
    if (digit && s->at != AT_ZERO)
        return true;
    if (byte == '.' && (s->at == AT_ZERO || s->at == AT_DIGITS))
        return go(s, AT_POINT);
    if (e && s->at != AT_EXPONENT_DIGITS)
        return go(s, AT_EXPONENT);
    go(s, AT_AFTER); /* the number is over */
    return json_state_feed(s, byte);
}

static bool feed_word(JsonState *s, uint8_t byte)
{
    const char *word = word_of(s->word);
    if (byte != (uint8_t)word[strlen(word) - s->rest])
        return false;
    return --s->rest > 0 || go(s, AT_AFTER);
}

bool json_state_feed(JsonState *s, uint8_t byte)
{
    bool blank = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
    if (blank && s->at <= AT_AFTER)
        return s->blanks++ < (s->at == AT_START ? 1 : JSON_BLANKS);
    s->blanks = 0;
    switch ((Place)s->at) {
    case AT_START:
        return byte == '{' && open_container(s, true);
    case AT_VALUE:
        return feed_value(s, byte);
    case AT_FIRST_ITEM:
        return byte == ']' ? close_container(s, byte) : feed_value(s, byte);
    case AT_FIRST_KEY:
        return byte == '}' ? close_container(s, byte) : byte == '"' && open_string(s, true);
    case AT_KEY:
        return byte == '"' && open_string(s, true);
    case AT_COLON:
        return byte == ':' && go(s, AT_VALUE);
    case AT_AFTER:
        return feed_after(s, byte);
    case AT_STRING:
        return feed_string(s, byte);
    case AT_ESCAPE:
        return feed_escape(s, byte);
    case AT_HEX:
        return feed_hex(s, byte);
    case AT_WORD:
        return feed_word(s, byte);
    case AT_DONE:
        return false;
    default:
        return feed_number(s, byte);
    }
}

int64_t json_state_distance(const JsonState *s)
{
    int64_t string_end = s->key ? 3 : 1; /* the quote, and `:0` behind a name */
    switch ((Place)s->at) {
    case AT_START:
        return 2;
    case AT_KEY:
        return s->depth + 4; /* `"":0` */
    case AT_COLON:
        return s->depth + 2;
    case AT_STRING:
    case AT_HEX:
        return s->depth + string_end + s->rest;
    case AT_ESCAPE:
        return s->depth + string_end + 1;
    case AT_WORD:
        return s->depth + s->rest;
    case AT_VALUE:
    case AT_MINUS:
    case AT_POINT:
    case AT_EXPONENT:
    case AT_EXPONENT_SIGN:
        return s->depth + 1;
    default:
        return s->depth;
    }
}

/* ---- tokens ---------------------------------------------------------------------------------- */

typedef struct Entry {
    const char *text;
    int64_t bytes;
    int32_t id;
    int32_t common; /* bytes that it begins with as the entry before it does */
} Entry;

struct JsonMask {
    const Tokenizer *tokenizer;
    Entry *entries; /* tokens that stand for text, in the order of their bytes */
    int64_t count;
    int64_t longest;
    int32_t *banned; /* the others */
    int64_t n_banned;
};

static int entry_order(const void *left, const void *right)
{
    const Entry *a = left, *b = right;
    int64_t shared = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = memcmp(a->text, b->text, (size_t)shared);
    if (order == 0)
        order = (a->bytes > b->bytes) - (a->bytes < b->bytes);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

static Status check_alphabet(const JsonMask *mask, Err *err)
{
    bool have[256] = {false};
    for (int64_t i = 0; i < mask->count; i++)
        if (mask->entries[i].bytes == 1)
            have[(uint8_t)mask->entries[i].text[0]] = true;
    for (const char *c = "{}[]\":,0123456789truefalsenull"; *c; c++)
        if (!have[(uint8_t)*c])
            return err_set(err, "the vocabulary has no token for the character '%c' alone", *c);
    return STATUS_OK;
}

JsonMask *json_mask_new(const Tokenizer *tokenizer, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    JsonMask *mask = xcalloc(1, sizeof *mask);
    mask->tokenizer = tokenizer;
    mask->entries = xcalloc((size_t)spec->n_tokens, sizeof *mask->entries);
    mask->banned = xcalloc((size_t)spec->n_tokens, sizeof *mask->banned);
    for (int32_t id = 0; id < spec->n_tokens; id++) {
        int64_t bytes;
        const char *text = tokenizer_token(tokenizer, id, &bytes);
        if (tokenizer_is_control(tokenizer, id) || spec->types[id] == TOKEN_UNUSED || bytes == 0) {
            mask->banned[mask->n_banned++] = id;
            continue;
        }
        mask->entries[mask->count++] = (Entry){.text = text, .bytes = bytes, .id = id};
        mask->longest = bytes > mask->longest ? bytes : mask->longest;
    }
    qsort(mask->entries, (size_t)mask->count, sizeof *mask->entries, entry_order);
    for (int64_t i = 1; i < mask->count; i++) {
        const Entry *before = &mask->entries[i - 1];
        Entry *entry = &mask->entries[i];
        while (entry->common < entry->bytes && entry->common < before->bytes &&
               entry->text[entry->common] == before->text[entry->common])
            entry->common++;
    }
    if (check_alphabet(mask, err) != STATUS_OK) {
        json_mask_free(mask);
        return NULL;
    }
    return mask;
}

void json_mask_free(JsonMask *mask)
{
    if (!mask)
        return;
    free(mask->entries);
    free(mask->banned);
    free(mask);
}

int64_t json_mask_apply(const JsonMask *mask, const JsonState *state, int64_t left, float *logits)
{
    for (int64_t i = 0; i < mask->n_banned; i++)
        logits[mask->banned[i]] = -INFINITY;
    /* path[n]: the state after the first n bytes of the present entry, as far as they can follow.
     */
    JsonState *path = xmalloc((size_t)(mask->longest + 1) * sizeof *path);
    path[0] = *state;
    int64_t reached = 0, allowed = 0;
    for (int64_t i = 0; i < mask->count; i++) {
        const Entry *entry = &mask->entries[i];
        if (entry->common <= reached) {
            for (reached = entry->common; reached < entry->bytes; reached++) {
                path[reached + 1] = path[reached];
                if (!json_state_feed(&path[reached + 1], (uint8_t)entry->text[reached]))
                    break;
            }
            if (reached == entry->bytes && json_state_distance(&path[reached]) < left) {
                allowed++;
                continue;
            }
        }
        logits[entry->id] = -INFINITY;
    }
    free(path);
    return allowed;
}

void json_mask_advance(const JsonMask *mask, JsonState *state, int32_t id)
{
    int64_t bytes;
    const char *text = tokenizer_token(mask->tokenizer, id, &bytes);
    for (int64_t i = 0; i < bytes; i++)
        CHECK(json_state_feed(state, (uint8_t)text[i]), "token %d cannot follow", id);
}
