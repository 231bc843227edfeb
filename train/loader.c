#include "train/loader.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

struct Loader {
    LoaderConfig config;
    LoaderSource sources[LOADER_MAX_SOURCES];
    int64_t windows[LOADER_MAX_SOURCES];      /* of each source */
    int64_t first_window[LOADER_MAX_SOURCES]; /* identity of each source's window 0 */
    double share[LOADER_MAX_SOURCES];         /* weights divided by their sum */
    LoaderState state;
};

/* Place `index` of a permutation of [0, n): a Feistel network of four rounds over the smallest
 * even number of bits that holds n, walked until it lands inside (less than four steps on average,
 * because the domain is less than four times n). */
static int64_t permute(int64_t index, int64_t n, uint64_t key)
{
    int bits = 1;
    while (bits < 31 && (int64_t)1 << (2 * bits) < n)
        bits++;
    uint64_t mask = ((uint64_t)1 << bits) - 1, x = (uint64_t)index;
    do {
        uint64_t left = x >> bits, right = x & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (hash_mix64(right ^ hash_mix64(key + round)) & mask);
            left = right;
            right = next;
        }
        x = left << bits | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}

/* Windows of T + 1 tokens that start T apart. */
static int64_t windows_of(int64_t tokens, int64_t window)
{
    return tokens > window ? (tokens - 1) / window : 0;
}

static Status add_source(Loader *loader, int64_t i, Err *err)
{
    const LoaderSource *source = &loader->sources[i];
    const PackInfo *info = pack_info(source->pack), *first = pack_info(loader->sources[0].pack);
    if (!(source->weight > 0.0 && source->weight <= 1e9))
        return err_set(err, "the weight %g of %s is not above 0", source->weight, info->path);
    if (!hash_equal(&info->tokenizer_hash, &first->tokenizer_hash))
        return err_set(err,
                       "%s and %s were packed with different tokenizers; pack both with one "
                       "table",
                       first->path, info->path);
    loader->windows[i] = windows_of(info->tokens[loader->config.split], loader->config.window);
    if (loader->windows[i] == 0)
        return err_set(err, "the %s split of %s has %lld tokens, fewer than a window of %lld + 1",
                       loader->config.split == PACK_TRAIN ? "training" : "validation", info->path,
                       (long long)info->tokens[loader->config.split],
                       (long long)loader->config.window);
    if (i)
        loader->first_window[i] = loader->first_window[i - 1] + loader->windows[i - 1];
    return STATUS_OK;
}

Loader *loader_new(const LoaderConfig *config, Err *err)
{
    CHECK(config->batch > 0 && config->window > 0 && config->ranks > 0 && config->rank >= 0 &&
              config->rank < config->ranks,
          "a loader of nothing");
    if (config->n_sources < 1 || config->n_sources > LOADER_MAX_SOURCES) {
        err_set(err, "%lld data files; give between 1 and %d", (long long)config->n_sources,
                LOADER_MAX_SOURCES);
        return NULL;
    }
    if (config->batch % config->ranks) {
        err_set(err, "a batch of %lld rows cannot be dealt evenly to %d ranks",
                (long long)config->batch, config->ranks);
        return NULL;
    }
    Loader *loader = xcalloc(1, sizeof *loader);
    loader->config = *config;
    loader->config.sources = loader->sources;
    double sum = 0.0;
    for (int64_t i = 0; i < config->n_sources; i++) {
        loader->sources[i] = config->sources[i];
        sum += config->sources[i].weight;
    }
    for (int64_t i = 0; i < config->n_sources; i++) {
        if (add_source(loader, i, err) != STATUS_OK) {
            loader_free(loader);
            return NULL;
        }
        loader->share[i] = loader->sources[i].weight / sum;
    }
    return loader;
}

void loader_free(Loader *loader)
{
    free(loader);
}

/* The source that is furthest behind its share; the first among equals. */
static int64_t choose_source(const Loader *loader, int64_t rows_before)
{
    int64_t best = 0;
    double most = -1e300;
    for (int64_t i = 0; i < loader->config.n_sources; i++) {
        double behind =
            loader->share[i] * (double)(rows_before + 1) - (double)loader->state.drawn[i];
        if (behind > most) {
            most = behind;
            best = i;
        }
    }
    return best;
}

void loader_next(Loader *loader, int32_t *tokens, int64_t *windows)
{
    const LoaderConfig *config = &loader->config;
    int64_t rows = config->batch / config->ranks, mine = rows * config->rank, before = 0;
    for (int64_t i = 0; i < config->n_sources; i++)
        before += loader->state.drawn[i];
    for (int64_t row = 0; row < config->batch; row++) {
        int64_t source = choose_source(loader, before + row);
        int64_t drawn = loader->state.drawn[source]++, n = loader->windows[source];
        if (row < mine || row >= mine + rows)
            continue;
        uint64_t key =
            hash_mix64(config->seed ^ hash_mix64((uint64_t)source << 48 ^ (uint64_t)(drawn / n)));
        int64_t window = permute(drawn % n, n, key);
        pack_read(loader->sources[source].pack, config->split, window * config->window,
                  config->window + 1, tokens);
        tokens += config->window + 1;
        if (windows)
            *windows++ = loader->first_window[source] + window;
    }
}

LoaderState loader_state(const Loader *loader)
{
    return loader->state;
}

Status loader_restore(Loader *loader, const LoaderState *state, Err *err)
{
    for (int64_t i = 0; i < LOADER_MAX_SOURCES; i++)
        if (state->drawn[i] < 0 || (i >= loader->config.n_sources && state->drawn[i] > 0))
            return err_set(err, "the saved position does not fit the %lld data files given",
                           (long long)loader->config.n_sources);
    loader->state = *state;
    return STATUS_OK;
}

Sha256 loader_fingerprint(const Loader *loader)
{
    const LoaderConfig *config = &loader->config;
    HashStream *stream = hash_new();
    int64_t numbers[3] = {config->split, config->window, (int64_t)config->seed};
    hash_update(stream, numbers, sizeof numbers);
    for (int64_t i = 0; i < config->n_sources; i++) {
        hash_update(stream, &pack_info(config->sources[i].pack)->hash, sizeof(Sha256));
        hash_update(stream, &loader->share[i], sizeof loader->share[i]);
    }
    return hash_finish_free(stream);
}

int64_t loader_windows(const Loader *loader)
{
    int64_t last = loader->config.n_sources - 1;
    return loader->first_window[last] + loader->windows[last];
}

double loader_epochs(const Loader *loader, int64_t source)
{
    return (double)loader->state.drawn[source] / (double)loader->windows[source];
}

/* ---- evaluation ------------------------------------------------------------------------------ */

Status sweep_init(Sweep *sweep, const Pack *pack, PackSplit split, int64_t window, int64_t stride,
                  int64_t limit, Err *err)
{
    int64_t tokens = pack_info(pack)->tokens[split];
    if (window < 1 || stride < 1 || stride > window)
        return err_set(err, "a stride of %lld does not fit a window of %lld tokens",
                       (long long)stride, (long long)window);
    if (tokens == 0)
        return err_set(err,
                       "%s has no %s documents; pack it with a larger --validation or separate its "
                       "documents",
                       pack_info(pack)->path, split == PACK_TRAIN ? "training" : "validation");
    *sweep = (Sweep){.pack = pack, .split = split, .window = window, .stride = stride};
    sweep->end = limit > 0 && limit < tokens ? limit : tokens;
    return STATUS_OK;
}

/* Bytes of the next target: the token's own, or what is missing at the end of the document. */
static int32_t count_bytes(Sweep *sweep, int32_t token)
{
    int64_t bytes = pack_token_bytes(sweep->pack, token);
    if (sweep->position + 1 ==
        pack_document_start(sweep->pack, sweep->split, sweep->document + 1)) {
        bytes = pack_document_bytes(sweep->pack, sweep->split, sweep->document) - sweep->seen;
        sweep->document++;
        sweep->seen = 0;
    } else {
        sweep->seen += bytes;
    }
    sweep->position++;
    return (int32_t)bytes;
}

/* One row: its inputs are the tokens before its targets, with eos before the first of all. */
static void fill_row(Sweep *sweep, int32_t *inputs, int32_t *targets, int32_t *bytes)
{
    int64_t T = sweep->window, first = sweep->position;
    /* The first row counts all its targets, every later one its last `stride`. */
    int64_t start = first == 0 ? 0 : first + sweep->stride - T;
    int64_t count = start + T < sweep->end ? T : sweep->end - start;
    int32_t eos = pack_info(sweep->pack)->eos;
    pack_read(sweep->pack, sweep->split, start, count, targets);
    inputs[0] = eos;
    if (start > 0)
        pack_read(sweep->pack, sweep->split, start - 1, 1, inputs);
    memcpy(inputs + 1, targets, (size_t)(count < T ? count : T - 1) * sizeof *inputs);
    for (int64_t t = 0; t < T; t++) {
        if (t < count && start + t >= first) {
            bytes[t] = count_bytes(sweep, targets[t]);
            continue;
        }
        targets[t] = -1;
        bytes[t] = 0;
        if (t > count)
            inputs[t] = eos;
    }
}

int64_t sweep_next(Sweep *sweep, int64_t rows, int32_t *inputs, int32_t *targets, int32_t *bytes)
{
    int64_t T = sweep->window, filled = 0;
    for (; filled < rows && sweep->position < sweep->end; filled++)
        fill_row(sweep, inputs + filled * T, targets + filled * T, bytes + filled * T);
    for (int64_t i = filled * T; i < rows * T; i++) {
        inputs[i] = pack_info(sweep->pack)->eos;
        targets[i] = -1;
        bytes[i] = 0;
    }
    return filled;
}
