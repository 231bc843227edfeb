#include "train/reading.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/json_get.h"
#include "core/io/json_put.h"

/* ---- the order of a pass -----------------------------------------------------------------------
 */

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

/* Window `index` of a pass over `count` windows: all, or those that `rest` lists. */
static int64_t window_of(const ReadPass *pass, int64_t index, int64_t count, const int64_t *rest)
{
    uint64_t epoch = (uint64_t)pass->stream << 48 ^ (uint64_t)pass->epoch;
    int64_t place = permute(index, count, hash_mix64((uint64_t)pass->seed ^ hash_mix64(epoch)));
    return rest ? rest[place] : place;
}

int64_t read_windows(int64_t tokens, int64_t window)
{
    return tokens > window ? (tokens - 1) / window : 0;
}

/* ---- what passes have read ---------------------------------------------------------------------
 */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The largest length that divides the windows of all passes. */
static int64_t cell_size(const ReadSource *s)
{
    int64_t size = 0;
    for (int64_t i = 0; i < s->n_passes; i++)
        size = gcd(s->passes[i].window, size);
    return size;
}

/* Passes whose windows have little in common would need more memory than they are worth. */
enum { CELLS_MAX = 1 << 28 };

static bool too_many_cells(const ReadSource *s)
{
    return s->n_passes > 1 && s->tokens / cell_size(s) > CELLS_MAX;
}

/* A source in cells, of which all windows of its passes are made. */
typedef struct Cells {
    int64_t size, count;
    bool *epoch, *all; /* (count) read by the passes of one epoch; by all */
} Cells;

static void mark(Cells *cells, const ReadPass *pass, int64_t count, const int64_t *rest)
{
    int64_t length = pass->window / cells->size;
    int64_t drawn = pass->drawn < count ? pass->drawn : count;
    for (int64_t i = 0; i < drawn; i++) {
        int64_t first = window_of(pass, i, count, rest) * length;
        memset(cells->epoch + first, true, (size_t)length);
        memset(cells->all + first, true, (size_t)length);
    }
}

/* The windows of which the passes of the epoch have read at most half. */
static int64_t *list_rest(const Cells *cells, int64_t windows, int64_t window, int64_t *count)
{
    int64_t length = window / cells->size;
    int64_t *list = xcalloc((size_t)windows + 1, sizeof *list);
    *count = 0;
    for (int64_t w = 0; w < windows; w++) {
        int64_t read = 0;
        for (int64_t i = 0; i < length; i++)
            read += cells->epoch[w * length + i];
        if (2 * read <= length)
            list[(*count)++] = w;
    }
    return list;
}

/* Goes through all passes: the different tokens that they read and, unless it is NULL, the windows
 * of the last one (NULL: all; the caller frees them). */
static int64_t replay(const ReadSource *s, int64_t **last_rest, int64_t *last_count)
{
    Cells cells = {0};
    cells.size = cell_size(s);
    cells.count = s->tokens / cells.size + 1;
    cells.epoch = xcalloc((size_t)cells.count, sizeof *cells.epoch);
    cells.all = xcalloc((size_t)cells.count, sizeof *cells.all);
    for (int64_t i = 0; i < s->n_passes; i++) {
        const ReadPass *pass = &s->passes[i];
        int64_t count = read_windows(s->tokens, pass->window), *rest = NULL;
        if (pass->after > 0)
            rest = list_rest(&cells, count, pass->window, &count);
        else if (i > 0)
            memset(cells.epoch, false, (size_t)cells.count);
        mark(&cells, pass, count, rest);
        if (last_rest && i == s->n_passes - 1) {
            *last_rest = rest;
            *last_count = count;
        } else {
            free(rest);
        }
    }
    int64_t seen = 0;
    for (int64_t i = 0; i < cells.count; i++)
        seen += cells.all[i] ? cells.size : 0;
    free(cells.epoch);
    free(cells.all);
    return seen;
}

ReadCoverage read_coverage(const ReadSource *s)
{
    if (s->n_passes == 0)
        return (ReadCoverage){.never = s->tokens};
    const ReadPass *last = &s->passes[s->n_passes - 1];
    int64_t rows = read_windows(s->tokens, last->window) * last->window;
    ReadCoverage c = {.read = s->read, .seen = rows};
    c.epochs = (double)s->read / (double)rows;
    if (!s->whole)
        c.seen = s->n_passes == 1 ? last->drawn * last->window : replay(s, NULL, NULL);
    c.never = c.seen < rows ? rows - c.seen : 0;
    return c;
}

/* ---- drawing -----------------------------------------------------------------------------------
 */

static void add_pass(ReadSource *s, const ReadPass *pass)
{
    ReadPass added = *pass;
    if (s->n_passes == READ_PASSES) {
        memmove(s->passes, s->passes + 1, (READ_PASSES - 1) * sizeof *s->passes);
        s->n_passes--;
        for (int64_t i = 0; i < s->n_passes; i++)
            s->passes[i].after = s->passes[i].after < i ? s->passes[i].after : i;
        if (added.after > s->n_passes)
            added.after = 0;
    }
    s->passes[s->n_passes++] = added;
    if (!too_many_cells(s))
        return;
    added.after = 0; /* begins anew, and what was read before is forgotten */
    s->passes[0] = added;
    s->n_passes = 1;
}

static void enter_pass(ReadCursor *cursor)
{
    const ReadSource *s = cursor->source;
    free(cursor->rest);
    cursor->rest = NULL;
    cursor->count = cursor->windows;
    if (s->passes[s->n_passes - 1].after > 0)
        replay(s, &cursor->rest, &cursor->count);
}

/* The pass has ended: the next one is over everything. */
static void next_pass(ReadCursor *cursor)
{
    ReadSource *s = cursor->source;
    ReadPass next = s->passes[s->n_passes - 1];
    if (next.after == 0) {
        s->whole = true;
        s->n_passes = 0;
    }
    next.epoch++;
    next.seed = cursor->seed;
    next.drawn = next.after = 0;
    add_pass(s, &next);
    enter_pass(cursor);
}

void read_cursor_init(ReadCursor *cursor, ReadSource *source, int64_t window, int64_t seed,
                      int64_t stream, bool from_start)
{
    *cursor = (ReadCursor){
        .source = source, .windows = read_windows(source->tokens, window), .seed = seed};
    ReadPass *last = source->n_passes ? &source->passes[source->n_passes - 1] : NULL;
    if (!last || from_start) {
        ReadPass first = {.window = window, .seed = seed, .stream = stream};
        add_pass(source, &first);
    } else if (last->window != window) {
        ReadPass other = *last;
        other.window = window;
        other.drawn = 0;
        /* Of a pass that has not begun there is nothing to leave out. */
        other.after = last->drawn > 0 ? last->after + 1 : last->after;
        if (last->drawn == 0)
            source->n_passes--;
        add_pass(source, &other);
    }
    enter_pass(cursor);
}

void read_cursor_clear(ReadCursor *cursor)
{
    free(cursor->rest);
    *cursor = (ReadCursor){0};
}

int64_t read_cursor_next(ReadCursor *cursor, bool wanted)
{
    ReadSource *s = cursor->source;
    if (s->passes[s->n_passes - 1].drawn >= cursor->count)
        next_pass(cursor);
    ReadPass *pass = &s->passes[s->n_passes - 1];
    int64_t index = pass->drawn++;
    s->read += pass->window;
    return wanted ? window_of(pass, index, cursor->count, cursor->rest) : -1;
}

void read_cursor_skip(ReadCursor *cursor, int64_t count)
{
    ReadSource *s = cursor->source;
    while (count > 0) {
        ReadPass *pass = &s->passes[s->n_passes - 1];
        if (pass->drawn >= cursor->count) {
            next_pass(cursor);
            int64_t epochs = (count - 1) / cursor->windows; /* the last pass is not left */
            pass = &s->passes[s->n_passes - 1];
            pass->epoch += epochs;
            s->whole |= epochs > 0;
            if (epochs > 0) {
                s->passes[0] = *pass;
                s->n_passes = 1;
            }
            s->read += epochs * cursor->windows * pass->window;
            count -= epochs * cursor->windows;
            continue;
        }
        int64_t left = cursor->count - pass->drawn, taken = count < left ? count : left;
        pass->drawn += taken;
        s->read += taken * pass->window;
        count -= taken;
    }
}

/* ---- lists of sources --------------------------------------------------------------------------
 */

void reading_clear(Reading *reading)
{
    for (int64_t i = 0; i < reading->n_sources; i++)
        free(reading->sources[i].name);
    free(reading->sources);
    free(reading->mixture);
    *reading = (Reading){0};
}

void reading_copy(Reading *to, const Reading *from)
{
    reading_clear(to);
    to->steps = from->steps;
    to->sources = mem_grow(NULL, &to->capacity, from->n_sources + 1, sizeof *to->sources);
    for (int64_t i = 0; i < from->n_sources; i++) {
        to->sources[i] = from->sources[i];
        to->sources[i].name = xstrdup(from->sources[i].name);
    }
    to->n_sources = from->n_sources;
    to->mixture = xcalloc((size_t)from->n_mixture + 1, sizeof *to->mixture);
    for (int64_t i = 0; i < from->n_mixture; i++)
        to->mixture[i] = from->mixture[i];
    to->n_mixture = from->n_mixture;
}

const ReadSource *reading_find(const Reading *reading, const PackInfo *pack)
{
    for (int64_t i = 0; i < reading->n_sources; i++) {
        const ReadSource *source = &reading->sources[i];
        if (hash_equal(&source->hash, &pack->hash) && source->tokens == pack->tokens[PACK_TRAIN])
            return source;
    }
    return NULL;
}

int64_t reading_source(Reading *reading, const PackInfo *pack)
{
    const ReadSource *found = reading_find(reading, pack);
    if (found)
        return found - reading->sources;
    reading->sources = mem_grow(reading->sources, &reading->capacity, reading->n_sources + 1,
                                sizeof *reading->sources);
    reading->sources[reading->n_sources] = (ReadSource){.name = xstrdup(file_base_name(pack->path)),
                                                        .hash = pack->hash,
                                                        .tokens = pack->tokens[PACK_TRAIN]};
    return reading->n_sources++;
}

/* ---- JSON --------------------------------------------------------------------------------------
 */

static json_t *source_json(const ReadSource *s)
{
    ReadCoverage c = read_coverage(s);
    json_t *passes = json_array();
    for (int64_t i = 0; i < s->n_passes; i++) {
        const ReadPass *p = &s->passes[i];
        json_array_append_new(passes, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "row",
                                                (json_int_t)p->window, "seed", (json_int_t)p->seed,
                                                "stream", (json_int_t)p->stream, "epoch",
                                                (json_int_t)p->epoch, "drawn", (json_int_t)p->drawn,
                                                "after", (json_int_t)p->after));
    }
    char hash[SHA256_TEXT];
    hash_text(&s->hash, hash);
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:f, s:b, s:o}", "data", json_name(s->name),
                     "hash", hash, "tokens", (json_int_t)s->tokens, "read", (json_int_t)c.read,
                     "seen", (json_int_t)c.seen, "never", (json_int_t)c.never, "epochs", c.epochs,
                     "whole", s->whole, "passes", passes);
}

json_t *reading_json(const Reading *reading)
{
    json_t *sources = json_array(), *mixture = json_array();
    for (int64_t i = 0; i < reading->n_sources; i++)
        json_array_append_new(sources, source_json(&reading->sources[i]));
    for (int64_t i = 0; i < reading->n_mixture; i++) {
        const ReadShare *m = &reading->mixture[i];
        json_array_append_new(mixture, json_pack("{s:I, s:f, s:I}", "source", (json_int_t)m->source,
                                                 "share", m->share, "drawn", (json_int_t)m->drawn));
    }
    return json_pack("{s:I, s:o, s:o}", "steps", (json_int_t)reading->steps, "sources", sources,
                     "mixture", mixture);
}

static const int64_t largest = (int64_t)1 << 53;

static Status not_ours(const char *where, Err *err)
{
    return err_set(err, "%s is not what this program writes", where);
}

static Status parse_pass(const json_t *json, const char *where, const ReadSource *s, int64_t index,
                         ReadPass *p, Err *err)
{
    TRY(json_get_int(json, "row", where, &p->window, err));
    TRY(json_get_int(json, "seed", where, &p->seed, err));
    TRY(json_get_int(json, "stream", where, &p->stream, err));
    TRY(json_get_int(json, "epoch", where, &p->epoch, err));
    TRY(json_get_int(json, "drawn", where, &p->drawn, err));
    TRY(json_get_int(json, "after", where, &p->after, err));
    bool good = p->window > 0 && p->window < s->tokens && p->stream >= 0 &&
                p->stream <= UINT16_MAX && p->epoch >= 0 && p->epoch < largest && p->drawn >= 0 &&
                p->drawn <= read_windows(s->tokens, p->window) && p->after >= 0 &&
                p->after <= index && (p->after == 0 || p->after <= s->passes[index - 1].after + 1);
    return good ? STATUS_OK : not_ours(where, err);
}

static Status parse_source(const json_t *json, const char *where, ReadSource *s, Err *err)
{
    const char *name, *hash;
    json_t *passes;
    TRY(json_get_text(json, "data", where, &name, err));
    s->name = xstrdup(name);
    TRY(json_get_text(json, "hash", where, &hash, err));
    TRY(json_get_int(json, "tokens", where, &s->tokens, err));
    TRY(json_get_int(json, "read", where, &s->read, err));
    TRY(json_get_bool(json, "whole", where, &s->whole, err));
    TRY(json_get_array(json, "passes", where, &passes, err));
    size_t n = json_array_size(passes);
    if (!hash_parse(hash, &s->hash) || s->tokens < 1 || s->tokens > largest || s->read < 0 ||
        s->read > largest || n > READ_PASSES)
        return not_ours(where, err);
    for (size_t i = 0; i < n; i++)
        TRY(parse_pass(json_array_get(passes, i), where, s, (int64_t)i, &s->passes[i], err));
    s->n_passes = (int64_t)n;
    return too_many_cells(s) ? not_ours(where, err) : STATUS_OK;
}

static Status parse_share(const json_t *json, const char *where, const Reading *reading,
                          ReadShare *share, Err *err)
{
    TRY(json_get_int(json, "source", where, &share->source, err));
    TRY(json_get_real(json, "share", where, &share->share, err));
    TRY(json_get_int(json, "drawn", where, &share->drawn, err));
    bool good = share->source >= 0 && share->source < reading->n_sources && share->drawn >= 0 &&
                share->drawn <= largest;
    return good ? STATUS_OK : not_ours(where, err);
}

static Status parse(const json_t *json, const char *where, Reading *out, Err *err)
{
    json_t *sources, *mixture;
    TRY(json_get_int(json, "steps", where, &out->steps, err));
    TRY(json_get_array(json, "sources", where, &sources, err));
    TRY(json_get_array(json, "mixture", where, &mixture, err));
    if (out->steps < 0 || out->steps > largest)
        return not_ours(where, err);
    size_t n = json_array_size(sources), shares = json_array_size(mixture);
    out->sources = mem_grow(NULL, &out->capacity, (int64_t)n + 1, sizeof *out->sources);
    for (size_t i = 0; i < n; i++) {
        ReadSource *source = &out->sources[out->n_sources++];
        *source = (ReadSource){0};
        TRY(parse_source(json_array_get(sources, i), where, source, err));
    }
    out->mixture = xcalloc(shares + 1, sizeof *out->mixture);
    for (size_t i = 0; i < shares; i++)
        TRY(parse_share(json_array_get(mixture, i), where, out, &out->mixture[i], err));
    out->n_mixture = (int64_t)shares;
    return STATUS_OK;
}

Status reading_parse(const json_t *json, const char *where, Reading *out, Err *err)
{
    *out = (Reading){0};
    Status status = parse(json, where, out, err);
    if (status != STATUS_OK)
        reading_clear(out);
    return status;
}

Status reading_read(const Container *container, Reading *out, Err *err)
{
    *out = (Reading){0};
    if (!container_find(container, "/loader"))
        return STATUS_OK;
    json_t *json;
    TRY(container_json(container, "/loader", &json, err));
    char *where = xasprintf("%s: /loader", container_file(container));
    Status status = reading_parse(json, where, out, err);
    free(where);
    json_decref(json);
    return status;
}

Status reading_put(const Reading *reading, ContainerWriter *writer, Err *err)
{
    json_t *json = reading_json(reading);
    Status status = container_put_json(writer, "/loader", json, err);
    json_decref(json);
    return status;
}
