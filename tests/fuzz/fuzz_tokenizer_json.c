/* tokenizer.json files of any bytes; what is accepted encodes, decodes alike as a whole and token
 * by token, and is written and read again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/log.h"
#include "core/text/stream.h"
#include "core/text/tokenizer_json.h"
#include "core/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The ids of a text with something for most vocabularies. */
static void encode(const Tokenizer *t, IdList *ids)
{
    static const char text[] =
        "a ab  abc 12\t'll \xD0\xB6\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\"\\<s> A\xCC\x81"
        "\xE2\x96\x81 caf\xC3\xA9  </s>x<tool> \n the tree";
    const int64_t bytes = (int64_t)sizeof text - 1;
    tokenizer_encode(t, text, bytes, ids);
    tokenizer_encode_with_specials(t, text, bytes, ids);
    tokenizer_encode_marked(t, text, bytes, (TextSpan[]){{3, 3}, {10, 30}, {40, bytes}}, 3, ids);
}

static void decode(const Tokenizer *t, const IdList *ids)
{
    StrBuf whole = {0}, clean = {0}, parts = {0};
    StreamDecoder decoder;
    tokenizer_decode(t, ids->items, ids->count, true, &whole);
    utf8_append_clean(&clean, whole.data, whole.size);
    stream_decoder_init(&decoder, t, true, true);
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

static void rewrite(const Tokenizer *t)
{
    Err err;
    StrBuf json = {0};
    TokenizerSpec spec;
    if (tokenizer_json_format(t, &json, &err) == STATUS_OK) {
        IdList first = {0}, second = {0};
        if (tokenizer_json_parse(json.data, json.size, &spec, &err) != STATUS_OK)
            __builtin_trap();
        Tokenizer *again = tokenizer_new(&spec, &err);
        if (!again)
            __builtin_trap();
        encode(t, &first);
        encode(again, &second);
        decode(t, &first);
        if (first.count != second.count ||
            (first.count > 0 && memcmp(first.items, second.items, (size_t)first.count * 4) != 0))
            __builtin_trap();
        id_list_clear(&first);
        id_list_clear(&second);
        tokenizer_free(again);
    }
    strbuf_clear(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    TokenizerSpec spec;
    log_set_level(LOG_QUIET);
    if (tokenizer_json_parse((const char *)data, (int64_t)size, &spec, &err) != STATUS_OK)
        return 0;
    Tokenizer *t = tokenizer_new(&spec, &err);
    if (t)
        rewrite(t);
    tokenizer_free(t);
    return 0;
}
