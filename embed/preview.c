#include "embed/preview.h"

#include <math.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <utf8proc.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/text/token_index.h"
#include "core/text/utf8.h"

enum { SHEET_COLUMNS = 32, SHEET_ROWS = 24, GAP = 4, PAPER = 250, GROUND = 205 };

void token_label(const TokenizerSpec *tokens, int64_t id, StrBuf *out)
{
    const char *text = tokens->text + tokens->offsets[id];
    int64_t bytes = tokens->offsets[id + 1] - tokens->offsets[id];
    for (int64_t at = 0; at < bytes;) {
        uint32_t code;
        int used = utf8_decode(text + at, bytes - at, &code);
        if (used == 0 || code < 0x20 || (code >= 0x7F && code < 0xA0))
            strbuf_printf(out, "\\x%02X", (unsigned char)text[at]);
        else
            strbuf_append(out, text + at, (size_t)used);
        at += used > 1 ? used : 1;
    }
}

/* ---- contact sheet -----------------------------------------------------------------------------
 */

static void place_picture(const Pictures *p, int64_t token, uint8_t *corner, int64_t stride)
{
    const uint8_t *picture = p->pixels + token * p->side * p->side;
    for (int y = 0; y < p->side; y++)
        for (int x = 0; x < p->side; x++)
            corner[y * stride + x] = (uint8_t)(PAPER - picture[y * p->side + x] * PAPER / p->ink);
}

static Status write_png(const char *path, const uint8_t *pixels, int width, int height, Err *err)
{
    FileDraft draft;
    TRY(file_draft_init(&draft, path, err));
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = PNG_FORMAT_GRAY};
    errno = 0;
    if (!png_image_write_to_file(&image, draft.temporary, 0, pixels, width, NULL)) {
        err_set(err, "cannot write %s: %s (%s)", draft.path, image.message,
                errno ? strerror(errno) : "no details");
        file_draft_abandon(&draft);
        return STATUS_FAIL;
    }
    return file_draft_commit(&draft, err);
}

Status preview_sheet(const Pictures *p, const char *path, Err *err)
{
    int64_t n = p->tokens->n_tokens, shown = SHEET_COLUMNS * SHEET_ROWS;
    shown = n < shown ? n : shown;
    int rows = (int)((shown + SHEET_COLUMNS - 1) / SHEET_COLUMNS), step = p->side + GAP;
    int width = SHEET_COLUMNS * step + GAP, height = rows * step + GAP;
    uint8_t *sheet = xmalloc((size_t)width * (size_t)height);
    memset(sheet, GROUND, (size_t)width * (size_t)height);
    for (int64_t i = 0; i < shown; i++) {
        int64_t x = GAP + i % SHEET_COLUMNS * step, y = GAP + i / SHEET_COLUMNS * step;
        place_picture(p, i * n / shown, sheet + y * width + x, width);
    }
    Status status = write_png(path, sheet, width, height, err);
    free(sheet);
    return status;
}

/* ---- neighbours --------------------------------------------------------------------------------
 */

typedef struct Cosines {
    const Pictures *p;
    int64_t query;
    double *values; /* (tokens) */
} Cosines;

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void cosine_range(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Cosines *c = context;
    const Pictures *p = c->p;
    const float *query = p->values + c->query * p->dim;
    double own = dot(query, query, p->dim);
    for (int64_t i = begin; i < end; i++) {
        const float *row = p->values + i * p->dim;
        double norm = sqrt(own * dot(row, row, p->dim));
        c->values[i] = norm > 0 ? dot(query, row, p->dim) / norm : 0;
    }
}

/* The query itself comes first, then the nearest; ties by id. */
static int find_nearest(const Pictures *p, int64_t query, int64_t *ids, double *cosines)
{
    Cosines c = {p, query, xmalloc((size_t)p->tokens->n_tokens * sizeof(double))};
    parallel_for(p->tokens->n_tokens, 1024, cosine_range, &c);
    int count = 1;
    ids[0] = query, cosines[0] = c.values[query];
    for (int64_t i = 0; i < p->tokens->n_tokens; i++) {
        if (i == query || p->tokens->types[i] == TOKEN_UNUSED)
            continue;
        int at = count;
        while (at > 1 && c.values[i] > cosines[at - 1])
            at--;
        if (at > NEIGHBOURS)
            continue;
        count += count <= NEIGHBOURS;
        for (int k = count - 1; k > at; k--)
            ids[k] = ids[k - 1], cosines[k] = cosines[k - 1];
        ids[at] = i, cosines[at] = c.values[i];
    }
    free(c.values);
    return count;
}

/* A Braille sign shows 2 x 4 dots; dot (x, y) is bit `bits[y][x]` of the code point U+2800. */
static void print_braille_row(const Pictures *p, int64_t token, int row)
{
    static const int bits[4][2] = {{0, 3}, {1, 4}, {2, 5}, {6, 7}};
    const uint8_t *picture = p->pixels + token * p->side * p->side;
    for (int x = 0; x < p->side; x += 2) {
        uint32_t code = 0x2800;
        for (int dy = 0; dy < 4; dy++)
            for (int dx = 0; dx < 2; dx++)
                if (row * 4 + dy < p->side && x + dx < p->side &&
                    2 * picture[(row * 4 + dy) * p->side + x + dx] >= p->ink)
                    code |= 1u << bits[dy][dx];
        char utf8[UTF8_MAX];
        fwrite(utf8, 1, (size_t)utf8_encode(code, utf8), stdout);
    }
}

/* A label as wide as the picture above it; signs of Han take two places in a terminal. */
static void print_label(const Pictures *p, int64_t token, double cosine, bool last)
{
    StrBuf label = {0};
    strbuf_printf(&label, "%+.3f '", cosine);
    token_label(p->tokens, token, &label);
    strbuf_puts(&label, "'");
    int width = 0;
    for (int64_t at = 0; at < label.size;) {
        uint32_t code;
        at += utf8_decode(label.data + at, label.size - at, &code);
        width += utf8proc_charwidth((utf8proc_int32_t)code);
    }
    int wanted = (p->side + 1) / 2 + 2;
    printf("%s%*s", label.data, last || width >= wanted ? 1 : wanted - width, "");
    strbuf_clear(&label);
}

static void print_nearest(const Pictures *p, const int64_t *ids, const double *cosines, int count)
{
    enum { PER_LINE = 4 };
    for (int first = 0; first < count; first += PER_LINE) {
        int end = first + PER_LINE < count ? first + PER_LINE : count;
        for (int row = 0; row < (p->side + 3) / 4; row++) {
            for (int k = first; k < end; k++) {
                print_braille_row(p, ids[k], row);
                fputs(k + 1 < end ? "  " : "\n", stdout);
            }
        }
        for (int k = first; k < end; k++)
            print_label(p, ids[k], cosines[k], k + 1 == end);
        printf("\n\n");
    }
}

static json_t *nearest_json(const Pictures *p, const int64_t *ids, const double *cosines, int count)
{
    json_t *list = json_array();
    StrBuf label = {0};
    for (int k = 0; k < count; k++) {
        strbuf_reset(&label);
        token_label(p->tokens, ids[k], &label);
        json_array_append_new(list, json_pack("{s:I, s:s, s:f}", "id", (json_int_t)ids[k], "token",
                                              label.data, "cosine", cosines[k]));
    }
    strbuf_clear(&label);
    return list;
}

static Status show_word(const Pictures *p, const TokenIndex *index, char *word, int64_t bytes,
                        json_t *json, Err *err)
{
    if (bytes > 1 && word[0] == '_')
        word[0] = ' ';
    int32_t id = token_index_find(index, p->tokens, word, bytes);
    if (id < 0)
        return err_usage(err,
                         "'%.*s' is not a token of this vocabulary: name another with "
                         "--neighbours",
                         (int)bytes, word);
    int64_t ids[NEIGHBOURS + 1];
    double cosines[NEIGHBOURS + 1];
    int count = find_nearest(p, id, ids, cosines);
    if (json)
        json_array_append_new(json, nearest_json(p, ids, cosines, count));
    else
        print_nearest(p, ids, cosines, count);
    return STATUS_OK;
}

Status preview_neighbours(const Pictures *p, const char *query, json_t *json, Err *err)
{
    TokenIndex index;
    token_index_init(&index, p->tokens);
    char *words = xstrdup(query), *rest = words;
    Status status = STATUS_OK;
    while (status == STATUS_OK && *(rest += strspn(rest, " "))) {
        int64_t bytes = (int64_t)strcspn(rest, " ");
        status = show_word(p, &index, rest, bytes, json, err);
        rest += bytes;
    }
    free(words);
    token_index_clear(&index);
    return status;
}
