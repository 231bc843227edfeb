#include "train/loader.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

struct Loader {
    LoaderConfig config;
    LoaderSource sources[LOADER_MAX_SOURCES];
    double share[LOADER_MAX_SOURCES]; /* weights divided by their sum */
    Reading reading;                  /* its mixture is that of the sources */
    ReadCursor cursors[LOADER_MAX_SOURCES];
    int64_t n_cursors;
    int64_t cursor_of[LOADER_MAX_SOURCES];    /* a pack that is given twice has one */
    int64_t first_window[LOADER_MAX_SOURCES]; /* identity of each cursor's window 0 */
};

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
    int64_t tokens = info->tokens[PACK_TRAIN];
    if (read_windows(tokens, loader->config.window) == 0)
        return err_set(err,
                       "the training split of %s has %lld tokens, fewer than a row of %lld + 1; "
                       "give a shorter --row",
                       info->path, (long long)tokens, (long long)loader->config.window);
    return STATUS_OK;
}

/* The mixture goes on if it is the one that was read before, else it begins. */
static void set_mixture(Loader *loader, const int64_t *source)
{
    Reading *reading = &loader->reading;
    int64_t n = loader->config.n_sources;
    bool same = reading->n_mixture == n;
    for (int64_t i = 0; same && i < n; i++)
        same = reading->mixture[i].source == source[i] &&
               reading->mixture[i].share == loader->share[i];
    if (same)
        return;
    free(reading->mixture);
    reading->mixture = xcalloc((size_t)n, sizeof *reading->mixture);
    reading->n_mixture = n;
    for (int64_t i = 0; i < n; i++)
        reading->mixture[i] = (ReadShare){.source = source[i], .share = loader->share[i]};
}

static void clear_cursors(Loader *loader)
{
    for (int64_t i = 0; i < loader->n_cursors; i++)
        read_cursor_clear(&loader->cursors[i]);
    loader->n_cursors = 0;
}

/* Takes the place of all sources from what was read before. */
static void set_reading(Loader *loader, const Reading *from, bool from_start)
{
    static const Reading nothing = {0};
    const LoaderConfig *config = &loader->config;
    int64_t source[LOADER_MAX_SOURCES];
    clear_cursors(loader);
    reading_copy(&loader->reading, from ? from : &nothing);
    for (int64_t i = 0; i < config->n_sources; i++)
        source[i] = reading_source(&loader->reading, pack_info(loader->sources[i].pack));
    set_mixture(loader, source);
    for (int64_t i = 0; i < config->n_sources; i++) {
        ReadSource *own = &loader->reading.sources[source[i]];
        int64_t c = 0;
        while (c < loader->n_cursors && loader->cursors[c].source != own)
            c++;
        loader->cursor_of[i] = c;
        if (c < loader->n_cursors)
            continue;
        read_cursor_init(&loader->cursors[c], own, config->window, (int64_t)config->seed, i,
                         from_start);
        if (c > 0)
            loader->first_window[c] = loader->first_window[c - 1] + loader->cursors[c - 1].windows;
        loader->n_cursors++;
    }
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
    set_reading(loader, config->reading, config->from_start);
    loader->config.reading = NULL;
    return loader;
}

void loader_free(Loader *loader)
{
    if (!loader)
        return;
    clear_cursors(loader);
    reading_clear(&loader->reading);
    free(loader);
}

/* The part of the mixture that is furthest behind its share; the first among equals. */
static int64_t choose_source(const Loader *loader, int64_t rows_before)
{
    int64_t best = 0;
    double most = -1e300;
    for (int64_t i = 0; i < loader->config.n_sources; i++) {
        double behind =
            loader->share[i] * (double)(rows_before + 1) - (double)loader->reading.mixture[i].drawn;
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
        before += loader->reading.mixture[i].drawn;
    for (int64_t row = 0; row < config->batch; row++) {
        int64_t source = choose_source(loader, before + row), cursor = loader->cursor_of[source];
        bool wanted = row >= mine && row < mine + rows && (tokens || windows);
        int64_t window = read_cursor_next(&loader->cursors[cursor], wanted);
        loader->reading.mixture[source].drawn++;
        if (!wanted)
            continue;
        if (tokens) {
            pack_read(loader->sources[source].pack, PACK_TRAIN, window * config->window,
                      config->window + 1, tokens);
            tokens += config->window + 1;
        }
        if (windows)
            *windows++ = loader->first_window[cursor] + window;
    }
}

bool loader_skip(Loader *loader, int64_t rows)
{
    const LoaderConfig *config = &loader->config;
    ReadShare *mixture = loader->reading.mixture;
    int64_t total = rows, left = rows, skipped[LOADER_MAX_SOURCES] = {0};
    for (int64_t i = 0; i < config->n_sources; i++)
        total += mixture[i].drawn;
    for (int64_t i = 0; i < config->n_sources; i++) {
        int64_t due = (int64_t)(loader->share[i] * (double)total + 0.5) - mixture[i].drawn;
        int64_t own = due < 0 ? 0 : due < left ? due : left;
        if (i == config->n_sources - 1)
            own = left;
        left -= own;
        mixture[i].drawn += own;
        skipped[loader->cursor_of[i]] += own;
    }
    bool repeats = false;
    int64_t slack = config->n_sources > 1; /* the split is not exact */
    for (int64_t c = 0; c < loader->n_cursors; c++) {
        ReadCursor *cursor = &loader->cursors[c];
        const ReadSource *source = cursor->source;
        repeats |= source->passes[source->n_passes - 1].drawn + skipped[c] + slack > cursor->count;
        read_cursor_skip(cursor, skipped[c]);
    }
    return repeats;
}

const Reading *loader_reading(const Loader *loader)
{
    return &loader->reading;
}

Status loader_restore(Loader *loader, const Reading *reading, Err *err)
{
    for (int64_t i = 0; i < loader->config.n_sources; i++) {
        const PackInfo *pack = pack_info(loader->sources[i].pack);
        const ReadSource *source = reading_find(reading, pack);
        if (!source || source->n_passes == 0 ||
            source->passes[source->n_passes - 1].window != loader->config.window)
            return err_set(err, "the saved position is not one in rows of %lld tokens of %s",
                           (long long)loader->config.window, pack->path);
    }
    set_reading(loader, reading, false);
    return STATUS_OK;
}

Sha256 loader_fingerprint(const Loader *loader)
{
    const LoaderConfig *config = &loader->config;
    HashStream *stream = hash_new();
    int64_t numbers[3] = {PACK_TRAIN, config->window, (int64_t)config->seed};
    hash_update(stream, numbers, sizeof numbers);
    for (int64_t i = 0; i < config->n_sources; i++) {
        hash_update(stream, &pack_info(config->sources[i].pack)->hash, sizeof(Sha256));
        hash_update(stream, &loader->share[i], sizeof loader->share[i]);
    }
    return hash_finish_free(stream);
}

int64_t loader_windows(const Loader *loader)
{
    int64_t last = loader->n_cursors - 1;
    return loader->first_window[last] + loader->cursors[last].windows;
}

ReadCoverage loader_coverage(const Loader *loader, int64_t source)
{
    return read_coverage(loader->cursors[loader->cursor_of[source]].source);
}
