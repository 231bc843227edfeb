#include "core/io/gguf_vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/text_step.h"

/* Words as cl100k cuts them; `digits` says how many make a piece. */
#define WORDS(digits)                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

/* The first name of a pattern is the one that is written. */
static const PreTokenizer pre_tokenizers[] = {
    {.name = "gpt-2", .pattern = text_gpt2_pattern},
    {.name = "smollm", .pattern = text_gpt2_pattern, .digits = true},
    {.name = "starcoder", .pattern = text_gpt2_pattern, .digits = true},
    {.name = "llama-bpe", .pattern = WORDS("\\p{N}{1,3}"), .ignore_merges = true, .bos = true},
    {.name = "llama3", .pattern = WORDS("\\p{N}{1,3}"), .ignore_merges = true, .bos = true},
    {.name = "llama-v3", .pattern = WORDS("\\p{N}{1,3}"), .ignore_merges = true, .bos = true},
    {.name = "qwen2", .pattern = WORDS("\\p{N}"), .nfc = true},
    {.name = "deepseek-r1-qwen", .pattern = WORDS("\\p{N}"), .nfc = true},
    {.name = "tekken",
     .pattern = "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER
                "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     .ignore_merges = true,
     .bos = true},
};
enum { N_PRE = sizeof pre_tokenizers / sizeof *pre_tokenizers };

const PreTokenizer *gguf_pre_named(const char *name)
{
    for (int i = 0; i < N_PRE; i++)
        if (strcmp(pre_tokenizers[i].name, name) == 0)
            return &pre_tokenizers[i];
    return NULL;
}

char *gguf_pre_pattern(const PreTokenizer *pre)
{
    return xasprintf("%s%s", pre->digits ? "\\p{N}\n" : "", pre->pattern);
}

const PreTokenizer *gguf_pre_of(const TokenizerSpec *spec)
{
    const PreTokenizer *found = NULL;
    for (int i = 0; i < N_PRE && spec->pattern && !found; i++) {
        const PreTokenizer *pre = &pre_tokenizers[i];
        char *pattern = gguf_pre_pattern(pre);
        if (strcmp(pattern, spec->pattern) == 0 && pre->ignore_merges == spec->ignore_merges &&
            pre->nfc == spec->nfc)
            found = pre;
        free(pattern);
    }
    return found;
}
