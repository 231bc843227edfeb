/* The format of llama2.c: a header of seven integers, then all weights in float32, one kind after
 * the other over all layers. Version 0 has no magic number; version 1 has one, other header and
 * order. Rotary pairs are neighbours (2i, 2i + 1). */
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/model_import.h"
#include "core/text/llama2c_tokenizer.h"

static const uint32_t magic = 0x616b3432; /* "ak42" */

typedef struct Llama2c {
    FileMap map;
    const char *path;
    ModelConfig config;
    int version;
    int64_t weights_at; /* offset of the first weight */
} Llama2c;

/* ---- the model ------------------------------------------------------------------------------ */

static int32_t read_i32(const Llama2c *file, int64_t at)
{
    int32_t value;
    memcpy(&value, (const char *)file->map.data + at, sizeof value);
    return value;
}

static Status read_header(Llama2c *file, Err *err)
{
    int64_t at = 0;
    if (file->map.bytes < 256)
        return err_set(err, "%s is too short for a llama2.c model", file->path);
    if ((uint32_t)read_i32(file, 0) == magic) {
        file->version = read_i32(file, 4);
        if (file->version != 1)
            return err_set(err, "%s has llama2.c's version %d; versions 0 and 1 (float32) are read",
                           file->path, file->version);
        at = 8;
    }
    int64_t n[7];
    for (int i = 0; i < 7; i++)
        n[i] = read_i32(file, at + 4 * i);
    bool tied = file->version == 0 ? n[5] > 0 : ((const uint8_t *)file->map.data)[36] != 0;
    if (file->version == 0 && n[5] < 0)
        n[5] = -n[5];
    file->weights_at = file->version == 0 ? 28 : 256;
    for (int i = 0; i < 7; i++)
        if (n[i] < 1 || n[i] > 1 << 26)
            return err_set(err, "%s is not a llama2.c model: number %d of its header is %lld",
                           file->path, i, (long long)n[i]);
    if (n[0] % n[3] != 0)
        return err_set(err, "%s is not a llama2.c model: width %lld with %lld heads", file->path,
                       (long long)n[0], (long long)n[3]);
    file->config = (ModelConfig){.vocab_size = n[5],
                                 .n_embed = n[0],
                                 .d_model = n[0],
                                 .n_layers = n[2],
                                 .n_heads = n[3],
                                 .n_kv_heads = n[4],
                                 .head_dim = n[0] / n[3],
                                 .d_ff = n[1],
                                 .context = n[6],
                                 .embedding = EMBEDDING_LEARNED,
                                 .embed_scale = 1.0,
                                 .norm = NORM_RMS,
                                 .norm_eps = 1e-5,
                                 .act = ACT_SWIGLU,
                                 .tied_head = tied,
                                 .rope_base = 10000.0};
    return model_config_check(&file->config, err);
}

/* The parts of the file in order: a parameter of every layer, or one of the whole model. */
typedef enum Part {
    PART_EMBEDDING,
    PART_ATTN_NORM,
    PART_Q,
    PART_K,
    PART_V,
    PART_OUT,
    PART_FFN_NORM,
    PART_GATE,
    PART_DOWN,
    PART_UP,
    PART_FINAL_NORM,
    PART_ROTARY, /* tables of cosines and sines, not needed */
    PART_HEAD,
    PART_COUNT
} Part;

static const Part order_0[] = {PART_EMBEDDING,  PART_ATTN_NORM, PART_Q,    PART_K,    PART_V,
                               PART_OUT,        PART_FFN_NORM,  PART_GATE, PART_DOWN, PART_UP,
                               PART_FINAL_NORM, PART_ROTARY,    PART_HEAD};
static const Part order_1[] = {PART_ATTN_NORM, PART_FFN_NORM, PART_FINAL_NORM, PART_EMBEDDING,
                               PART_Q,         PART_K,        PART_V,          PART_OUT,
                               PART_GATE,      PART_DOWN,     PART_UP,         PART_HEAD};

static const struct {
    Part part;
    BlockParam param;
} block_parts[] = {
    {PART_ATTN_NORM, BLOCK_ATTN_NORM},
    {PART_Q, BLOCK_ATTN_Q},
    {PART_K, BLOCK_ATTN_K},
    {PART_V, BLOCK_ATTN_V},
    {PART_OUT, BLOCK_ATTN_OUT},
    {PART_FFN_NORM, BLOCK_FFN_NORM},
    {PART_GATE, BLOCK_FFN_GATE},
    {PART_DOWN, BLOCK_FFN_DOWN},
    {PART_UP, BLOCK_FFN_UP},
};
enum { N_BLOCK_PARTS = sizeof block_parts / sizeof *block_parts };

/* Values of one layer of a part (of the whole part, where layers have none). */
static int64_t part_count(const ModelConfig *c, Part part, bool *per_layer)
{
    *per_layer = false;
    switch (part) {
    case PART_EMBEDDING:
        return c->vocab_size * c->n_embed;
    case PART_FINAL_NORM:
        return c->d_model;
    case PART_ROTARY:
        return c->context * c->head_dim;
    case PART_HEAD:
        return c->tied_head ? 0 : c->vocab_size * c->d_model;
    default:
        break;
    }
    *per_layer = true;
    for (int i = 0; i < N_BLOCK_PARTS; i++) {
        if (block_parts[i].part == part) {
            Tensor shape = block_param_shape(c, block_parts[i].param);
            return tensor_count(&shape);
        }
    }
    return 0;
}

/* The offset of a layer of a part, in values from the first weight; PART_COUNT: of the end. */
static int64_t part_at(const Llama2c *file, Part part, int64_t layer)
{
    const Part *order = file->version == 0 ? order_0 : order_1;
    int n =
        file->version == 0 ? sizeof order_0 / sizeof *order_0 : sizeof order_1 / sizeof *order_1;
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        bool per_layer;
        int64_t count = part_count(&file->config, order[i], &per_layer);
        if (order[i] == part)
            return at + (per_layer ? layer * count : 0);
        at += count * (per_layer ? file->config.n_layers : 1);
    }
    return at;
}

static Part find_part(const char *param, int64_t *layer)
{
    *layer = 0;
    if (strcmp(param, "embedding") == 0)
        return PART_EMBEDDING;
    if (strcmp(param, "final_norm") == 0)
        return PART_FINAL_NORM;
    if (strcmp(param, "head") == 0)
        return PART_HEAD;
    const char *slash = strrchr(param, '/');
    CHECK(slash, "parameter %s", param);
    *layer = strtoll(param + strlen("blocks/"), NULL, 10);
    for (int i = 0; i < N_BLOCK_PARTS; i++)
        if (strcmp(block_param_info(block_parts[i].param).name, slash + 1) == 0)
            return block_parts[i].part;
    CHECK(false, "parameter %s", param);
}

static Status find_param(void *context, int64_t expert, const char *param, const Tensor *shape,
                         ImportTensor *out, Err *err)
{
    (void)expert, (void)shape, (void)err; /* the file's length was checked against all shapes */
    const Llama2c *file = context;
    int64_t layer;
    Part part = find_part(param, &layer);
    int64_t at = file->weights_at + (int64_t)sizeof(float) * part_at(file, part, layer);
    *out = (ImportTensor){.data = (const char *)file->map.data + at, .type = BLOCK_F32};
    if (part == PART_Q || part == PART_K)
        out->pair_width = file->config.head_dim;
    return STATUS_OK;
}

static Status import_mapped(Llama2c *file, const char *tokenizer, const char *out, Err *err)
{
    TRY(read_header(file, err));
    int64_t need = part_at(file, PART_COUNT, 0), room = file->map.bytes - file->weights_at;
    if (need > room / (int64_t)sizeof(float))
        return err_set(err, "%s is cut short: its header asks for %lld weights, it has %lld",
                       file->path, (long long)need, (long long)(room / (int64_t)sizeof(float)));
    if (!tokenizer)
        return err_set(err, "%s holds no vocabulary; give llama2.c's with --tokenizer FILE",
                       file->path);
    TokenizerSpec spec;
    TRY(llama2c_tokenizer_read(tokenizer, &spec, err));
    Tokenizer *checked = tokenizer_new(&spec, err);
    if (!checked)
        return err_wrap(err, "%s", tokenizer);
    CheckpointInfo info;
    import_info_init(&info, &file->config, file_base_name(file->path), "llama2.c");
    ImportModel import = {.path = out,
                          .config_file = file->path,
                          .tokenizer_file = tokenizer,
                          .info = &info,
                          .tokenizer = tokenizer_spec(checked),
                          .find = find_param,
                          .context = file};
    /* Its own files agree; fewer tokens are a vocabulary that was cut off between two. */
    Status status = STATUS_OK;
    if (import.tokenizer->n_tokens != file->config.vocab_size)
        status = err_set(err, "%s holds %lld tokens, %s was made for %lld; give its own vocabulary",
                         tokenizer, (long long)import.tokenizer->n_tokens, file->path,
                         (long long)file->config.vocab_size);
    if (status == STATUS_OK)
        status = model_import(&import, err);
    checkpoint_info_clear(&info);
    tokenizer_free(checked);
    return status;
}

Status llama2c_import(const char *path, const char *tokenizer, const char *out, Err *err)
{
    Llama2c file = {.path = path};
    TRY(file_map_open(&file.map, path, err));
    Status status = import_mapped(&file, tokenizer, out, err);
    file_map_close(&file.map);
    return status;
}
