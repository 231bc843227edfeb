#include "embed/font.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H
#include <hb-ft.h>

#include "core/base/log.h"
#include "core/base/mem.h"

typedef struct PlacedGlyph {
    int face;
    uint32_t index;
    int x, y; /* of the glyph's origin, whole pixels from the pen's start, y upwards */
} PlacedGlyph;

struct Font {
    FT_Library library;
    int n_faces;
    int main;       /* the first face that draws: of the line, and of characters that none has */
    FT_Face *faces; /* NULL: one without outlines */
    hb_font_t **shapers;
    hb_buffer_t *buffer;
    hb_language_t language; /* fixed: HarfBuzz would else ask the locale */
    PlacedGlyph *glyphs;    /* of the last font_shape */
    int64_t n_glyphs, capacity;
    const FontFiles *files;
};

static const char *const unifont_places[] = {
    "/usr/share/fonts/opentype/unifont/unifont.otf",
    "/usr/share/fonts/truetype/unifont/unifont.ttf",
    "/usr/share/fonts/unifont/unifont.otf",
};
static const char *const unifont_upper_places[] = {
    "/usr/share/fonts/opentype/unifont/unifont_upper.otf",
    "/usr/share/fonts/truetype/unifont/unifont_upper.ttf",
    "/usr/share/fonts/unifont/unifont_upper.otf",
};

static const char *first_present(const char *const *places, int count)
{
    for (int i = 0; i < count; i++)
        if (file_exists(places[i]))
            return places[i];
    return NULL;
}

static Status default_paths(StringList *paths, Err *err)
{
    const char *plain = first_present(unifont_places, 3);
    if (!plain)
        return err_set(err, "GNU Unifont was not found: install the package fonts-unifont or name "
                            "a font with --font FILE");
    string_list_add(paths, plain);
    const char *upper = first_present(unifont_upper_places, 3);
    if (upper)
        string_list_add(paths, upper);
    return STATUS_OK;
}

/* Maps a file, and reads which face of it is meant. */
static Status open_file(FontFiles *files, int64_t i, Err *err)
{
    const char *given = files->paths.items[i], *colon = strrchr(given, ':');
    int face = 0, instance = 0, used = 0;
    bool says = colon && !file_exists(given) && isdigit((unsigned char)colon[1]) &&
                ((sscanf(colon, ":%5d.%5d%n", &face, &instance, &used) == 2 && !colon[used]) ||
                 (sscanf(colon, ":%5d%n", &face, &used) == 1 && !colon[used]));
    if (!says)
        return file_map_open(&files->maps[i], given, err);
    files->faces[i] = (int64_t)instance << 16 | face;
    char *path = xstrndup(given, (size_t)(colon - given));
    Status status = file_map_open(&files->maps[i], path, err);
    free(path);
    return status;
}

/* Which of several faces is drawn, and what is not drawn at all. */
static void tell_faces(const Font *font)
{
    for (int i = 0; i < font->n_faces; i++) {
        const char *path = font->files->paths.items[i];
        const FT_Face face = font->faces[i];
        if (!face) {
            log_warn("%s has bitmaps of fixed sizes only: it draws nothing", path);
            continue;
        }
        long instances = face->style_flags >> 16;
        if (font->files->faces[i] == 0 && (face->num_faces > 1 || instances > 0))
            log_info("%s holds %ld faces and %ld instances: it draws as %s %s (another: %s:%s)",
                     path, face->num_faces, instances, face->family_name ? face->family_name : "?",
                     face->style_name ? face->style_name : "", path,
                     face->num_faces > 1 ? "1" : "0.1");
    }
}

Status font_files_open(FontFiles *files, const StringList *paths, Err *err)
{
    *files = (FontFiles){0};
    Status status = STATUS_OK;
    Font *probe = NULL;
    for (int64_t i = 0; i < paths->count; i++)
        string_list_add(&files->paths, paths->items[i]);
    if (files->paths.count == 0)
        TRY_GOTO(default_paths(&files->paths, err));
    files->maps = xcalloc((size_t)files->paths.count, sizeof *files->maps);
    files->faces = xcalloc((size_t)files->paths.count, sizeof *files->faces);
    for (int64_t i = 0; i < files->paths.count; i++)
        TRY_GOTO(open_file(files, i, err));
    TRY_GOTO(font_open(&probe, files, 16, err));
    tell_faces(probe);
done:
    font_close(probe);
    if (status != STATUS_OK)
        font_files_close(files);
    return status;
}

void font_files_close(FontFiles *files)
{
    for (int64_t i = 0; files->maps && i < files->paths.count; i++)
        if (files->maps[i].data)
            file_map_close(&files->maps[i]);
    free(files->maps);
    string_list_clear(&files->paths);
    free(files->faces);
    *files = (FontFiles){0};
}

Sha256 font_files_hash(const FontFiles *files)
{
    HashStream *stream = hash_new();
    for (int64_t i = 0; i < files->paths.count; i++) {
        hash_update(stream, files->maps[i].data, (size_t)files->maps[i].bytes);
        if (files->faces[i])
            hash_update(stream, &files->faces[i], sizeof files->faces[i]);
    }
    return hash_finish_free(stream);
}

const char *font_engines(void)
{
    static _Thread_local char text[80];
    FT_Library library;
    int major = 0, minor = 0, patch = 0;
    if (FT_Init_FreeType(&library) == 0) {
        FT_Library_Version(library, &major, &minor, &patch);
        FT_Done_FreeType(library);
    }
    snprintf(text, sizeof text, "FreeType %d.%d.%d, HarfBuzz %s", major, minor, patch,
             hb_version_string());
    return text;
}

/* Whether the file has the face and the instance that were asked for. */
static Status check_face(const Font *font, const FileMap *map, long wanted, const char *path,
                         Err *err)
{
    FT_Face probe;
    long face = wanted & 0xffff, instance = wanted >> 16;
    /* A face of -1 is the file itself, -1 - n asks for the instances of face n. */
    if (FT_New_Memory_Face(font->library, map->data, (FT_Long)map->bytes, -1, &probe) != 0)
        return STATUS_OK; /* then it is no font at all */
    long n_faces = probe->num_faces, n_instances = 0;
    FT_Done_Face(probe);
    if (face >= n_faces)
        return err_usage(err, "%s: the font has the faces 0 to %ld", path, n_faces - 1);
    if (FT_New_Memory_Face(font->library, map->data, (FT_Long)map->bytes, -1 - face, &probe) == 0) {
        n_instances = probe->style_flags >> 16;
        FT_Done_Face(probe);
    }
    return instance <= n_instances
               ? STATUS_OK
               : err_usage(err, "%s: the font has %ld named instances, counted from 1", path,
                           n_instances);
}

/* Leaves faces[face] NULL when it has no outlines. */
static Status open_face(Font *font, int face, int pixels, Err *err)
{
    const FileMap *map = &font->files->maps[face];
    const char *path = font->files->paths.items[face];
    long wanted = font->files->faces[face];
    if (wanted && map->bytes)
        TRY(check_face(font, map, wanted, path, err));
    if (map->bytes == 0 || FT_New_Memory_Face(font->library, map->data, (FT_Long)map->bytes, wanted,
                                              &font->faces[face]) != 0)
        return err_set(err,
                       "%s is not a font that FreeType can read: name a TrueType or OpenType "
                       "file with --font",
                       path);
    if (!FT_IS_SCALABLE(font->faces[face])) {
        FT_Done_Face(font->faces[face]);
        font->faces[face] = NULL;
        return STATUS_OK;
    }
    if (FT_Set_Pixel_Sizes(font->faces[face], 0, (FT_UInt)pixels) != 0)
        return err_set(err,
                       "%s has no outlines that scale to %d pixels: name a TrueType or "
                       "OpenType file with --font",
                       path, pixels);
    font->shapers[face] = hb_ft_font_create_referenced(font->faces[face]);
    return STATUS_OK;
}

Status font_open(Font **out, const FontFiles *files, int pixels, Err *err)
{
    Font *font = xcalloc(1, sizeof *font);
    *out = NULL;
    font->files = files;
    font->n_faces = (int)files->paths.count;
    font->faces = xcalloc((size_t)font->n_faces, sizeof *font->faces);
    font->shapers = xcalloc((size_t)font->n_faces, sizeof(hb_font_t *));
    font->buffer = hb_buffer_create();
    font->language = hb_language_from_string("en", -1);
    Status status = STATUS_OK;
    if (FT_Init_FreeType(&font->library) != 0) {
        font->library = NULL;
        status = err_set(err, "FreeType could not be started: memory is exhausted");
    }
    for (int i = 0; status == STATUS_OK && i < font->n_faces; i++)
        status = open_face(font, i, pixels, err);
    while (status == STATUS_OK && font->main < font->n_faces && !font->faces[font->main])
        font->main++;
    if (status == STATUS_OK && font->main == font->n_faces)
        status = err_set(err,
                         "%s has bitmaps of fixed sizes only, and no outlines: name a TrueType or "
                         "OpenType file with --font",
                         files->paths.items[0]);
    if (status != STATUS_OK) {
        font_close(font);
        return status;
    }
    *out = font;
    return STATUS_OK;
}

void font_close(Font *font)
{
    if (!font)
        return;
    for (int i = 0; i < font->n_faces; i++) {
        hb_font_destroy(font->shapers[i]);
        if (font->faces[i])
            FT_Done_Face(font->faces[i]);
    }
    if (font->library)
        FT_Done_FreeType(font->library);
    hb_buffer_destroy(font->buffer);
    free(font->faces);
    free(font->shapers);
    free(font->glyphs);
    free(font);
}

static int covering_face(const Font *font, uint32_t code_point)
{
    for (int i = 0; i < font->n_faces; i++)
        if (font->faces[i] && FT_Get_Char_Index(font->faces[i], code_point) != 0)
            return i;
    return -1;
}

bool font_covers(const Font *font, uint32_t code_point)
{
    return covering_face(font, code_point) >= 0;
}

static int to_pixel(FT_Pos position) /* 26.6, to the nearest */
{
    return (int)((position + 32) >> 6);
}

void font_line(const Font *font, int *ascent, int *descent)
{
    const FT_Size_Metrics *metrics = &font->faces[font->main]->size->metrics;
    *ascent = to_pixel(metrics->ascender);
    *descent = to_pixel(-metrics->descender);
}

/* Shapes a run of one face. */
static void shape_run(Font *font, int face, const uint32_t *code_points, int count, FT_Pos *pen)
{
    hb_buffer_t *buffer = font->buffer;
    hb_buffer_reset(buffer);
    hb_buffer_add_utf32(buffer, code_points, count, 0, count);
    hb_buffer_set_flags(buffer, HB_BUFFER_FLAG_BOT | HB_BUFFER_FLAG_EOT);
    hb_buffer_set_language(buffer, font->language);
    hb_buffer_guess_segment_properties(buffer);
    hb_shape(font->shapers[face], buffer, NULL, 0);
    unsigned int n = 0;
    const hb_glyph_info_t *infos = hb_buffer_get_glyph_infos(buffer, &n);
    const hb_glyph_position_t *places = hb_buffer_get_glyph_positions(buffer, NULL);
    font->glyphs = mem_grow(font->glyphs, &font->capacity, font->n_glyphs + n, sizeof(PlacedGlyph));
    for (unsigned int i = 0; i < n; i++) {
        PlacedGlyph *glyph = &font->glyphs[font->n_glyphs++];
        glyph->face = face;
        glyph->index = infos[i].codepoint;
        glyph->x = to_pixel(*pen + places[i].x_offset);
        glyph->y = to_pixel(places[i].y_offset);
        *pen += places[i].x_advance;
    }
}

static Status load_glyph(Font *font, const PlacedGlyph *glyph, FT_Int32 flags, Err *err)
{
    if (FT_Load_Glyph(font->faces[glyph->face], glyph->index, flags) != 0)
        return err_set(err, "%s: glyph %u is damaged: replace the font file",
                       font->files->paths.items[glyph->face], glyph->index);
    return STATUS_OK;
}

static void widen(FontBox *box, FT_GlyphSlot slot, const PlacedGlyph *glyph)
{
    int left = slot->bitmap_left, top = slot->bitmap_top;
    int right = left + (int)slot->bitmap.width, bottom = top - (int)slot->bitmap.rows;
    if (slot->format == FT_GLYPH_FORMAT_OUTLINE) {
        FT_BBox cbox;
        FT_Outline_Get_CBox(&slot->outline, &cbox);
        left = (int)(cbox.xMin >> 6), right = (int)((cbox.xMax + 63) >> 6);
        bottom = (int)(cbox.yMin >> 6), top = (int)((cbox.yMax + 63) >> 6);
    }
    left += glyph->x, right += glyph->x, bottom += glyph->y, top += glyph->y;
    box->left = left < box->left ? left : box->left;
    box->right = right > box->right ? right : box->right;
    box->bottom = bottom < box->bottom ? bottom : box->bottom;
    box->top = top > box->top ? top : box->top;
}

Status font_shape(Font *font, const uint32_t *code_points, int count, FontBox *box, Err *err)
{
    FT_Pos pen = 0;
    font->n_glyphs = 0;
    *box = (FontBox){0};
    for (int begin = 0, end; begin < count; begin = end) {
        int face = covering_face(font, code_points[begin]);
        for (end = begin + 1; end < count; end++)
            if (font->n_faces > 1 && covering_face(font, code_points[end]) != face)
                break;
        shape_run(font, face < 0 ? font->main : face, code_points + begin, end - begin, &pen);
        int advanced = to_pixel(pen);
        box->right = advanced > box->right ? advanced : box->right;
    }
    box->advance = to_pixel(pen);
    for (int64_t i = 0; i < font->n_glyphs; i++) {
        const PlacedGlyph *glyph = &font->glyphs[i];
        TRY(load_glyph(font, glyph, FT_LOAD_DEFAULT, err));
        widen(box, font->faces[glyph->face]->glyph, glyph);
    }
    return STATUS_OK;
}

/* Coverage (0 to 255) of one pixel of a FreeType bitmap in any of its grey modes. */
static int coverage(const FT_Bitmap *map, int row, int column)
{
    const uint8_t *line = map->buffer + (int64_t)row * map->pitch;
    if (map->pixel_mode == FT_PIXEL_MODE_BGRA) { /* how dark it is on paper */
        const uint8_t *p = line + 4 * column;
        int light = (29 * p[0] + 150 * p[1] + 77 * p[2]) >> 8; /* times the alpha already */
        return p[3] > light ? p[3] - light : 0;
    }
    if (map->pixel_mode == FT_PIXEL_MODE_MONO)
        return (line[column >> 3] >> (7 - (column & 7))) & 1 ? 255 : 0;
    return line[column];
}

/* The darker of what is there and the new ink stays, as when glyphs of one text overlap. */
static void stamp(Bitmap *bitmap, const FT_Bitmap *map, int left, int top)
{
    for (int row = 0; row < (int)map->rows; row++) {
        int y = top + row;
        if (y < 0 || y >= bitmap->height)
            continue;
        for (int column = 0; column < (int)map->width; column++) {
            int x = left + column;
            if (x < 0 || x >= bitmap->width)
                continue;
            uint8_t *pixel = &bitmap->pixels[y * bitmap->width + x];
            uint8_t paper = (uint8_t)(BITMAP_PAPER - coverage(map, row, column));
            *pixel = paper < *pixel ? paper : *pixel;
        }
    }
}

Status font_draw(Font *font, Bitmap *bitmap, int x, int y, Err *err)
{
    for (int64_t i = 0; i < font->n_glyphs; i++) {
        const PlacedGlyph *glyph = &font->glyphs[i];
        FT_GlyphSlot slot = font->faces[glyph->face]->glyph;
        /* A single glyph is still in its slot from font_shape. */
        if (font->n_glyphs > 1)
            TRY(load_glyph(font, glyph, FT_LOAD_DEFAULT, err));
        if (slot->format != FT_GLYPH_FORMAT_BITMAP && FT_Render_Glyph(slot, FT_RENDER_MODE_NORMAL))
            return err_set(err, "%s: glyph %u cannot be drawn: replace the font file",
                           font->files->paths.items[glyph->face], glyph->index);
        if (slot->bitmap.pixel_mode != FT_PIXEL_MODE_GRAY &&
            slot->bitmap.pixel_mode != FT_PIXEL_MODE_MONO &&
            slot->bitmap.pixel_mode != FT_PIXEL_MODE_BGRA)
            return err_set(err, "%s has sub-pixel bitmaps, which are not supported",
                           font->files->paths.items[glyph->face]);
        stamp(bitmap, &slot->bitmap, x + glyph->x + slot->bitmap_left,
              y - glyph->y - slot->bitmap_top);
    }
    return STATUS_OK;
}
