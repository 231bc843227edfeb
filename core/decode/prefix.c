#include "core/decode/prefix.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

struct PrefixWeights {
    int64_t page_size, n_pages, n_experts;
    float *weights; /* (n_sequences, n_pages, n_experts) */
};

PrefixWeights *prefix_weights_new(int64_t n_sequences, int64_t max_positions, int64_t page_size,
                                  int64_t n_experts)
{
    PrefixWeights *prefix = xcalloc(1, sizeof *prefix);
    prefix->page_size = page_size;
    prefix->n_pages = (max_positions + page_size - 1) / page_size;
    prefix->n_experts = n_experts;
    prefix->weights =
        xcalloc((size_t)(n_sequences * prefix->n_pages * n_experts), sizeof *prefix->weights);
    return prefix;
}

void prefix_weights_free(PrefixWeights *prefix)
{
    if (!prefix)
        return;
    free(prefix->weights);
    free(prefix);
}

static float *weights_at(const PrefixWeights *prefix, int64_t sequence, int64_t page)
{
    return prefix->weights + (sequence * prefix->n_pages + page) * prefix->n_experts;
}

void prefix_weights_keep(PrefixWeights *prefix, int64_t sequence, int64_t position,
                         const float *weights)
{
    if (position % prefix->page_size == 0)
        memcpy(weights_at(prefix, sequence, position / prefix->page_size), weights,
               (size_t)prefix->n_experts * sizeof *weights);
}

const float *prefix_weights_share(PrefixWeights *prefix, int64_t to, int64_t from, int64_t position)
{
    int64_t page = position / prefix->page_size;
    memcpy(weights_at(prefix, to, 0), weights_at(prefix, from, 0),
           (size_t)((page + 1) * prefix->n_experts) * sizeof(float));
    return weights_at(prefix, to, page);
}
