/* What a growth has read of each pack: kept in checkpoints (/loader) and carried from stage to
 * stage, so that nothing is read twice before everything was read once.
 *
 * A pack is read in passes over its windows of T + 1 tokens (see train/loader.h), each in the order
 * of a keyed permutation that costs no memory. A pass that is cut short by another T goes on with
 * the windows that hold mostly tokens not read yet. Everything else (epochs, coverage) follows from
 * the list of passes. Plain data; not thread-safe. */
#ifndef CAMBIUM_TRAIN_READING_H
#define CAMBIUM_TRAIN_READING_H

#include <jansson.h>

#include "core/io/container.h"
#include "train/pack.h"

enum { READ_PASSES = 64 }; /* that a source remembers; older ones are forgotten */

typedef struct ReadPass {
    int64_t window;       /* T: tokens of a row */
    int64_t seed, stream; /* of the order; streams are those of different sources */
    int64_t epoch, drawn; /* windows drawn so far */
    int64_t after;        /* leaves out what so many passes before it have read; 0: a whole pass */
} ReadPass;

typedef struct ReadSource {
    char *name;     /* of the file, for people */
    Sha256 hash;    /* with `tokens`: the identity of the pack's training split */
    int64_t tokens; /* of the training split */
    int64_t read;   /* tokens read, repeated ones as often as they were */
    bool whole;     /* a whole pass has ended: every window was read */
    int64_t n_passes;
    ReadPass passes[READ_PASSES]; /* the last one is where reading goes on */
} ReadSource;

/* A part of the mixture that is being read. */
typedef struct ReadShare {
    int64_t source; /* index */
    double share;
    int64_t drawn; /* rows, since this mixture began */
} ReadShare;

typedef struct Reading {
    int64_t steps; /* optimizer steps of the whole growth: where the dropout stream stands */
    ReadSource *sources;
    int64_t n_sources, capacity;
    ReadShare *mixture;
    int64_t n_mixture;
} Reading;

void reading_clear(Reading *reading);
void reading_copy(Reading *to, const Reading *from); /* `to` is cleared before */

/* As JSON (a new object), with the coverage of each source beside what is read back. */
json_t *reading_json(const Reading *reading);
/* Fails unless it is what reading_json made; `where` names it. */
Status reading_parse(const json_t *json, const char *where, Reading *out, Err *err);

/* /loader of a checkpoint; nothing where a file has none. */
Status reading_read(const Container *container, Reading *out, Err *err);
Status reading_put(const Reading *reading, ContainerWriter *writer, Err *err);

/* The index of a pack's source, which is added when it is not known. */
int64_t reading_source(Reading *reading, const PackInfo *pack);
/* The source of a pack, or NULL when nothing of it was read. */
const ReadSource *reading_find(const Reading *reading, const PackInfo *pack);

/* How much of a source was read. */
typedef struct ReadCoverage {
    int64_t read, seen; /* tokens read, and different ones among them */
    int64_t never;      /* tokens of rows not read yet; the tail that fills no row is not counted */
    double epochs;      /* times that its rows were read, on average */
} ReadCoverage;
ReadCoverage read_coverage(const ReadSource *source);

/* ---- drawing -----------------------------------------------------------------------------------
 */

typedef struct ReadCursor {
    ReadSource *source; /* borrowed */
    int64_t windows;    /* of the source */
    int64_t count;      /* of the pass */
    int64_t *rest;      /* (count) the windows of a pass that leaves some out, or NULL */
    int64_t seed;       /* of passes to come */
} ReadCursor;

/* Windows of T + 1 tokens, T apart, in `tokens` tokens. */
int64_t read_windows(int64_t tokens, int64_t window);

/* Stands where `source` is to be read on in windows of `window`, or at its start (from_start: a new
 * pass in the order of the first). `seed` and `stream` are of the passes that it begins. */
void read_cursor_init(ReadCursor *cursor, ReadSource *source, int64_t window, int64_t seed,
                      int64_t stream, bool from_start);
void read_cursor_clear(ReadCursor *cursor);
/* Draws the next window; returns its number if it is `wanted`, else -1, which costs less. */
int64_t read_cursor_next(ReadCursor *cursor, bool wanted);
/* Draws `count` windows at once. */
void read_cursor_skip(ReadCursor *cursor, int64_t count);

#endif
