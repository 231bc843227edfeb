#include "embed/render.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/hash.h"
#include "core/text/utf8.h"
#include "embed/mersenne.h"

enum { PUBLISHED_SEED = 42 };
static const double plain_noise = 0.001; /* of scripts that are not turned */
static const float blur_radius = 0.5f;

/* What all workers share; all but `status`, `err` and `error_token` is constant while they run. */
typedef struct Job {
    const RenderOptions *options;
    const FontFiles *fonts;
    const TokenizerSpec *tokens;
    RenderTurn turn;
    int32_t *noise[2]; /* where ink is sprinkled: on plain scripts, on easy ones */
    int64_t noise_count[2];
    uint8_t *out;
    Font **pens; /* one per worker, opened at its first token */
    Bitmap *bitmaps;
    uint32_t *code_points; /* (workers, longest) */
    int64_t longest;       /* bytes of the longest token */
    pthread_mutex_t lock;
    Status status;
    Err *err;
    int64_t error_token; /* the lowest token that failed, so that the message is reproducible */
} Job;

RenderTurn render_turn(const RenderOptions *options)
{
    Mersenne mt;
    RenderTurn turn;
    mersenne_seed_python(&mt, PUBLISHED_SEED);
    turn.degrees = mersenne_uniform(&mt, -options->max_rotation, options->max_rotation);
    turn.right = mersenne_int(&mt, -options->max_shift, options->max_shift);
    turn.down = mersenne_int(&mt, -options->max_shift, options->max_shift);
    return turn;
}

static bool is_easy(uint32_t c)
{
    return c <= 0x24F || (c >= 0x370 && c <= 0x3FF) || (c >= 0x400 && c <= 0x52F) ||
           (c >= 0x530 && c <= 0x58F);
}

/* Token text is UTF-8, but a token of other bytes must not stop the rendering: those show the
 * replacement character. */
static int decode(const char *text, int64_t bytes, uint32_t *code_points)
{
    int count = 0;
    for (int64_t at = 0; at < bytes; count++) {
        int used = utf8_decode(text + at, bytes - at, &code_points[count]);
        if (used == 0)
            code_points[count] = 0xFFFD;
        at += used > 0 ? used : 1;
    }
    return count;
}

/* One character per cell, its box centred. Python's // rounds down, as >> does. The published
 * pipeline takes a line feed for two empty lines and draws nothing. */
static Status draw_cells(Font *font, Bitmap *bitmap, const uint32_t *text, int count, int side,
                         Err *err)
{
    bitmap_reset(bitmap, count * side, side);
    for (int i = 0; i < count; i++) {
        FontBox box;
        if (text[i] == '\n')
            continue;
        TRY(font_shape(font, &text[i], 1, &box, err));
        int x = i * side + ((side - (box.right - box.left)) >> 1);
        int y = ((side - (box.top - box.bottom)) >> 1) + box.top;
        TRY(font_draw(font, bitmap, x, y, err));
    }
    return STATUS_OK;
}

static Status render_cells(Job *job, int worker, const uint32_t *text, int count, uint8_t *out,
                           Err *err)
{
    Bitmap *bitmap = &job->bitmaps[worker];
    TRY(draw_cells(job->pens[worker], bitmap, text, count, job->options->side, err));
    bool easy = true;
    for (int i = 0; i < count; i++)
        easy = easy && is_easy(text[i]);
    if (easy) {
        bitmap_rotate(bitmap, job->turn.degrees);
        bitmap_shift(bitmap, job->turn.right, job->turn.down);
    }
    bitmap_add_noise(bitmap, job->noise[easy], job->noise_count[easy]);
    if (easy)
        bitmap_blur_across(bitmap, blur_radius);
    bitmap_pick_columns(bitmap, job->options->side);
    if (easy)
        bitmap_blur_down(bitmap, blur_radius);
    bitmap_threshold(bitmap, out);
    return STATUS_OK;
}

/* The line keeps its baseline, so that a comma and an apostrophe differ; a space at either end
 * stays part of the picture. */
static Status render_line(Job *job, int worker, const uint32_t *text, int count, uint8_t *out,
                          Err *err)
{
    Font *font = job->pens[worker];
    Bitmap *bitmap = &job->bitmaps[worker];
    int side = job->options->side, ascent, descent;
    FontBox box;
    TRY(font_shape(font, text, count, &box, err));
    font_line(font, &ascent, &descent);
    int width = box.right - box.left;
    bitmap_reset(bitmap, width > 0 ? width : 1, side);
    int baseline = (side + ascent - descent) / 2;
    TRY(font_draw(font, bitmap, -box.left, baseline, err));
    bitmap_average_columns(bitmap, side, out);
    return STATUS_OK;
}

/* An 8 x 8 pattern of squares from a hash of the kind and the name: nothing that a reader of
 * pictures could mistake for text, and different for different names. */
static void draw_pattern(const char *name, int64_t bytes, int kind, int side, uint8_t *out)
{
    enum { SQUARES = 8 };
    Sha256 hash;
    HashStream *stream = hash_new();
    uint8_t tag = (uint8_t)kind;
    hash_update(stream, &tag, 1);
    hash_update(stream, name, (size_t)bytes);
    hash = hash_finish_free(stream);
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            int square = (y * SQUARES / side) * SQUARES + x * SQUARES / side;
            out[y * side + x] = (hash.bytes[square >> 3] >> (square & 7)) & 1 ? 255 : 0;
        }
    }
}

static Status render_one(Job *job, int worker, int64_t token, Err *err)
{
    const TokenizerSpec *tokens = job->tokens;
    const RenderOptions *options = job->options;
    const char *text = tokens->text + tokens->offsets[token];
    int64_t bytes = tokens->offsets[token + 1] - tokens->offsets[token];
    uint8_t *out = job->out + token * options->side * options->side;
    if (options->style == RENDER_LINE && tokens->types[token] != TOKEN_TEXT) {
        draw_pattern(text, bytes, tokens->types[token], options->side, out);
        return STATUS_OK;
    }
    if (!job->pens[worker])
        TRY(font_open(&job->pens[worker], job->fonts, options->side, err));
    uint32_t *code_points = job->code_points + worker * job->longest;
    int count = decode(text, bytes, code_points);
    if (count == 0) {
        memset(out, 0, (size_t)(options->side * options->side));
        return STATUS_OK;
    }
    return options->style == RENDER_CELLS ? render_cells(job, worker, code_points, count, out, err)
                                          : render_line(job, worker, code_points, count, out, err);
}

static void render_range(void *context, int64_t begin, int64_t end, int worker)
{
    Job *job = context;
    for (int64_t token = begin; token < end; token++) {
        Err err;
        Status status = stop_requested() ? STATUS_STOPPED : render_one(job, worker, token, &err);
        if (status == STATUS_OK)
            continue;
        pthread_mutex_lock(&job->lock);
        if (job->status == STATUS_OK || token < job->error_token) {
            job->status = status;
            job->error_token = token;
            if (status == STATUS_FAIL)
                *job->err = err;
        }
        pthread_mutex_unlock(&job->lock);
        return;
    }
}

static int64_t longest_token(const TokenizerSpec *tokens)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < tokens->n_tokens; i++) {
        int64_t bytes = tokens->offsets[i + 1] - tokens->offsets[i];
        longest = bytes > longest ? bytes : longest;
    }
    return longest;
}

/* The published pipeline reseeds for every token and asks for one number per pixel, so all tokens
 * read the same sequence, and wider ones more of it. */
static void make_noise(Job *job, int64_t pixels)
{
    double probability[2] = {plain_noise, job->options->easy_noise};
    int64_t capacity[2] = {0, 0};
    Mersenne mt;
    mersenne_seed_numpy(&mt, PUBLISHED_SEED);
    for (int64_t i = 0; i < pixels; i++) {
        double unit = mersenne_unit(&mt);
        for (int k = 0; k < 2; k++) {
            if (unit >= probability[k])
                continue;
            job->noise[k] =
                mem_grow(job->noise[k], &capacity[k], job->noise_count[k] + 1, sizeof(int32_t));
            job->noise[k][job->noise_count[k]++] = (int32_t)i;
        }
    }
}

Status render_tokens(const RenderOptions *options, const FontFiles *fonts,
                     const TokenizerSpec *tokens, uint8_t *out, Err *err)
{
    int width = parallel_width();
    int64_t longest = longest_token(tokens);
    if (longest > 4096)
        return err_set(err, "a token of %lld bytes cannot be drawn: the limit is 4096",
                       (long long)longest);
    Job job = {
        .options = options, .fonts = fonts, .tokens = tokens, .out = out, .longest = longest};
    job.err = err;
    if (options->style == RENDER_CELLS) {
        job.turn = render_turn(options);
        make_noise(&job, longest * options->side * options->side);
    }
    job.pens = xcalloc((size_t)width, sizeof(Font *));
    job.bitmaps = xcalloc((size_t)width, sizeof *job.bitmaps);
    job.code_points = xcalloc((size_t)(width * longest), sizeof *job.code_points);
    pthread_mutex_init(&job.lock, NULL);
    parallel_dynamic(tokens->n_tokens, 256, render_range, &job);
    pthread_mutex_destroy(&job.lock);
    for (int i = 0; i < width; i++) {
        font_close(job.pens[i]);
        bitmap_clear(&job.bitmaps[i]);
    }
    free(job.pens);
    free(job.bitmaps);
    free(job.code_points);
    free(job.noise[0]);
    free(job.noise[1]);
    return job.status;
}
