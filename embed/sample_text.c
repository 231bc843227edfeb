#include "embed/sample_text.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/utf8.h"
#include "embed/recipe_cambium.h"

enum {
    LEXICON = 40000,
    SENTENCE = 12,          /* words between full stops, on average */
    LEARNT_BYTES = 4 << 20, /* of text of each script that a vocabulary is learnt from */
};

typedef struct Script {
    const char *name, *stop;
    uint32_t first;
    int64_t letters, shortest, longest; /* of a word */
    bool spaces;
} Script;

static const Script scripts[SAMPLE_SCRIPTS] = {
    [SAMPLE_LATIN] = {"latin", ". ", 'a', 26, 2, 9, true},
    [SAMPLE_CYRILLIC] = {"cyrillic", ". ", 0x430, 32, 2, 11, true},
    [SAMPLE_HAN] = {"han", "\xE3\x80\x82", 0x4E00, 3000, 1, 3, false},
};

const char *sample_name(SampleScript script)
{
    return scripts[script].name;
}

/* A number below n; rank r comes in proportion to 1 / (r + 1). */
static int64_t zipf_below(Rng *rng, int64_t n)
{
    int64_t rank = (int64_t)exp(rng_uniform(rng) * log((double)n + 1)) - 1;
    return rank < n ? rank : n - 1;
}

static void add_word(const Script *script, Rng *rng, StrBuf *out)
{
    int64_t length = script->shortest + rng_below(rng, script->longest - script->shortest + 1);
    for (int64_t i = 0; i < length; i++) {
        char letter[UTF8_MAX];
        uint32_t code = script->first + (uint32_t)zipf_below(rng, script->letters);
        strbuf_append(out, letter, (size_t)utf8_encode(code, letter));
    }
}

void sample_text(SampleScript which, int64_t bytes, StrBuf *out)
{
    const Script *script = &scripts[which];
    StrBuf words = {0};
    int64_t *starts = xmalloc((LEXICON + 1) * sizeof *starts), end = out->size + bytes;
    Rng rng;
    rng_init(&rng, 1, (uint64_t)which);
    for (int64_t i = 0; i < LEXICON; i++) {
        starts[i] = words.size;
        add_word(script, &rng, &words);
    }
    starts[LEXICON] = words.size;
    while (out->size < end) {
        int64_t word = zipf_below(&rng, LEXICON);
        strbuf_append(out, words.data + starts[word], (size_t)(starts[word + 1] - starts[word]));
        if (rng_below(&rng, SENTENCE) == 0)
            strbuf_puts(out, script->stop);
        else if (script->spaces)
            strbuf_putc(out, ' ');
    }
    free(starts);
    strbuf_clear(&words);
}

Status sample_tokenizer(Tokenizer **out, const FontFiles *fonts, int64_t n_tokens, Err *err)
{
    CambiumOptions options = {.n_tokens = n_tokens, .coverage = 1, .min_count = 2, .max_chars = 24};
    CambiumStats stats;
    TokenizerSpec spec;
    Font *font = NULL;
    BpeWords *words = bpe_words_new(cambium_pattern, err);
    if (!words)
        return STATUS_FAIL;
    for (int script = 0; script < SAMPLE_SCRIPTS; script++) {
        StrBuf text = {0};
        sample_text(script, LEARNT_BYTES, &text);
        bpe_words_add_text(words, text.data, text.size);
        strbuf_clear(&text);
    }
    Status status = font_open(&font, fonts, 16, err);
    if (status == STATUS_OK)
        status = cambium_build(&options, words, font, &spec, &stats, err);
    if (status == STATUS_OK) {
        *out = tokenizer_new(&spec, err);
        status = *out ? STATUS_OK : STATUS_FAIL;
    }
    font_close(font);
    bpe_words_free(words);
    return status;
}
