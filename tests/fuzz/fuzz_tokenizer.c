/* Texts of any bytes: with byte tokens, decoding gives back what was encoded, and text that is
 * decoded token by token is the same text with its wrong bytes replaced. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/stream.h"
#include "core/text/text_step.h"
#include "core/text/tokenizer.h"
#include "core/text/utf8.h"
#include "tests/support/spec_builder.h"

enum { FORMS = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Tokenizer *make(int form)
{
    static const char *const characters[] = {"a", "b", " ", "'", "1", "\xD0\xB6", "\xE4\xB8\xAD"};
    static const char *const patterns[FORMS] = {
        NULL, NULL, "'s| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", "\\p{N}\n\\w+",
        NULL};
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    spec_bytes(&spec);
    spec_token(&spec, "<s>", 3, TOKEN_SPECIAL);
    if (form != 3) /* each text between added tokens would get a prefix space of its own */
        spec_token(&spec, "ab1", 3, TOKEN_ADDED);
    spec.byte_level = form % 2 == 0;
    spec.add_prefix_space = form == 3;
    spec.ignore_merges = form == 4;
    spec.pattern = patterns[form] ? xstrdup(patterns[form]) : NULL;
    int32_t first = spec.byte_level ? 0 : (int32_t)spec.n_tokens, last = 256;
    for (size_t i = 0; !spec.byte_level && i < sizeof characters / sizeof *characters; i++)
        last = spec_text(&spec, characters[i]) + 1;
    for (int32_t i = 0; i < 120; i++) {
        int32_t left = first + i * 7919 % (last - first),
                right = first + i * 104729 % (last - first);
        spec_merge(&spec, i % 3 ? left : spec_merge(&spec, right, left), right);
    }
    return tokenizer_new(&spec, &err);
}

static void check(const Tokenizer *t, const char *text, int64_t bytes, const IdList *ids,
                  bool specials)
{
    StrBuf whole = {0}, clean = {0}, parts = {0};
    StreamDecoder decoder;
    tokenizer_decode(t, ids->items, ids->count, specials, &whole);
    if (whole.size != bytes || (bytes > 0 && memcmp(whole.data, text, (size_t)bytes) != 0))
        __builtin_trap();
    utf8_append_clean(&clean, text, bytes);
    stream_decoder_init(&decoder, t, specials, true);
    for (int64_t i = 0; i < ids->count; i++)
        stream_decoder_feed(&decoder, ids->items[i], &parts);
    stream_decoder_flush(&decoder, &parts);
    if (parts.size != clean.size ||
        (clean.size > 0 && memcmp(parts.data, clean.data, (size_t)clean.size) != 0))
        __builtin_trap();
    stream_decoder_clear(&decoder);
    strbuf_clear(&whole);
    strbuf_clear(&clean);
    strbuf_clear(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Tokenizer *tokenizers[FORMS];
    if (size == 0)
        return 0;
    int form = data[0] % FORMS;
    if (!tokenizers[form] && !(tokenizers[form] = make(form)))
        __builtin_trap();
    const char *text = (const char *)data + 1;
    int64_t bytes = (int64_t)size - 1;
    IdList ids = {0};
    StrBuf spaced = {0};
    if (form == 3 && bytes > 0) { /* where U+2581 is a space */
        text_put_spaces(&spaced, text, bytes);
        text = spaced.data;
        bytes = spaced.size;
    }
    tokenizer_encode(tokenizers[form], text, bytes, &ids);
    check(tokenizers[form], text, bytes, &ids, false);
    if (form != 3) { /* likewise between names */
        ids.count = 0;
        tokenizer_encode_with_specials(tokenizers[form], text, bytes, &ids);
        check(tokenizers[form], text, bytes, &ids, true);
    }
    id_list_clear(&ids);
    strbuf_clear(&spaced);
    return 0;
}
