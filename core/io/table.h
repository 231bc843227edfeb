/* The substrate file that `cambium embed` writes: /meta, /tokenizer, /embedding, the frozen
 * table (V, n_embed) in float32, bfloat16 or uint8 (bits), and for glyphs /pictures. Models that
 * read a table say which by its hash: the SHA-256 of its values as float32, row by row. */
#ifndef CAMBIUM_CORE_IO_TABLE_H
#define CAMBIUM_CORE_IO_TABLE_H

#include "core/io/picture_basis.h"
#include "core/io/tokenizer_io.h"
#include "core/model/model.h"

/* Of /meta; raised when older programs cannot read it. Format 2: experts with tables of their own
 * (checkpoint.h); all other files stay 1. */
enum { FILE_FORMAT = 1, FILE_FORMAT_TABLES = 2 };

/* What /meta says about a table, in table files and in checkpoints. */
typedef struct TableInfo {
    char hash[SHA256_TEXT]; /* "" for a table that is still learned */
    int64_t rows, cols;
    bool stored;    /* whether the file has /embedding; tables always */
    json_t *recipe; /* how to make it again; borrowed from the JSON it was read from */
} TableInfo;

/* Writes a whole table file. `values` (shape) is host memory; `recipe` is an object with a member
 * "name" and all that the table depends on; `statistics` (optional) is kept in /meta as it is. */
typedef struct TableSave {
    const char *path;
    const TokenizerSpec *tokenizer;
    Tensor shape;
    const void *values;
    const json_t *recipe;
    const json_t *statistics;
    const PictureBasis *pictures; /* of a glyph table, or NULL */
} TableSave;
Status table_save(const TableSave *save, Err *err);

/* Reads /meta's account of a table file; fails when the file is of another kind. `meta` receives
 * the whole document, which the caller releases. */
Status table_info_read(const Container *container, TableInfo *info, json_t **meta, Err *err);

/* The table at `path` ("/embedding") as (V, n_embed) in new device memory, which the substrate
 * owns. Its hash is checked. */
Status table_load(const Container *container, const char *path, const TableInfo *info,
                  const Device *device, Substrate *out, Err *err);

/* The hash of `count` values of float32, bfloat16 or uint8. */
Sha256 table_hash(const void *values, DType dtype, int64_t count);

/* The JSON form of a TableInfo (a new object) and back; `where` names it in errors. */
json_t *table_info_json(const TableInfo *info);
Status table_info_parse(const json_t *json, const char *where, TableInfo *info, Err *err);

/* "table" or "model": /meta's word for what a file is. `*kind` is borrowed from `*meta`, which the
 * caller releases. Fails for other containers and for formats newer than this program. */
Status file_kind_read(const Container *container, const char **kind, json_t **meta, Err *err);

#endif
