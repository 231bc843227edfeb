#include "tests/support/byte_vocabulary.h"

#include <string.h>

#include "tests/support/spec_builder.h"

Tokenizer *byte_vocabulary(void)
{
    static const char *const pieces[] = {
        "{\"", "\": ",      "\",\n",    "}}", "]}",    "true",  "alse",
        "12",  ".5",        "e-3",      "[[", "\": [", "null}", "\\u00",
        "abc", "\xD0\xB6x", "\xE4\xB8", "  ", "word",  " word", "{\"a\":{\"b\":"};
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    spec.byte_level = true;
    for (int byte = 0; byte < 256; byte++)
        spec_token(&spec, &(char){(char)byte}, 1, TOKEN_TEXT);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        spec_text(&spec, pieces[i]);
    spec.eos = spec_token(&spec, "<end>", 5, TOKEN_SPECIAL);
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    CHECK(tokenizer, "%s", err.text);
    return tokenizer;
}
