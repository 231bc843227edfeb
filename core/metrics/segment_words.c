#include "core/metrics/segment_words.h"

uint32_t word_id(Trie *words, const Symbols *codes, int64_t begin, int64_t end)
{
    int32_t node = TRIE_ROOT;
    for (int64_t i = begin; i < end; i++)
        node = trie_step(words, node, codes->items[i]);
    return (uint32_t)node;
}

void segment_words(Symbols *texts, int n)
{
    int64_t steps = 0;
    for (int i = 0; i < n; i++)
        steps += texts[i].count;
    Trie words;
    trie_init(&words, steps);
    for (int i = 0; i < n; i++) {
        int64_t count = 0, begin, end = 0;
        while (symbols_next_word(&texts[i], &begin, &end))
            texts[i].items[count++] = word_id(&words, &texts[i], begin, end);
        texts[i].count = count;
    }
    trie_clear(&words);
}
