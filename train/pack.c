#include "train/pack.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/inputs.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/io/table.h"

struct Pack {
    Container *container;
    PackInfo info;
    DType type; /* DTYPE_U16 or DTYPE_I32 */
    const uint16_t *narrow;
    const int32_t *wide;
    const int64_t *starts; /* (documents of both splits + 1) */
    const int64_t *bytes;  /* (documents of both splits) */
    const int32_t *token_bytes;
    char *path;
    char *tokenizer;
};

static int64_t first_document(const Pack *pack, PackSplit split)
{
    return split == PACK_TRAIN ? 0 : pack->info.documents[PACK_TRAIN];
}

static Status read_meta(Pack *pack, Err *err)
{
    json_t *meta;
    const char *kind, *tokenizer, *tokenizer_hash, *hash;
    json_int_t vocabulary, train_documents;
    int eos;
    TRY(file_kind_read(pack->container, &kind, &meta, err));
    bool good = strcmp(kind, "pack") == 0 &&
                json_unpack(meta, "{s:s, s:s, s:s, s:I, s:i, s:I}", "tokenizer", &tokenizer,
                            "tokenizer_hash", &tokenizer_hash, "hash", &hash, "vocabulary",
                            &vocabulary, "eos", &eos, "train_documents", &train_documents) == 0;
    good = good && vocabulary > 0 && vocabulary <= INT32_MAX && eos >= 0 && eos < vocabulary &&
           train_documents >= 0 && hash_parse(tokenizer_hash, &pack->info.tokenizer_hash) &&
           hash_parse(hash, &pack->info.hash);
    Status status = STATUS_OK;
    if (good) {
        pack->tokenizer = xstrdup(tokenizer);
        pack->info.vocabulary = vocabulary;
        pack->info.eos = eos;
        pack->info.documents[PACK_TRAIN] = train_documents;
    } else {
        status =
            err_set(err, "it is a %s file, not packed tokens ('cambium pack' makes them)", kind);
    }
    json_decref(meta);
    return status;
}

/* Maps a vector of one type; `count` below 0 takes any length and tells it. */
static Status map_vector(const Pack *pack, const char *path, DType type, int64_t *count,
                         const void **data, Err *err)
{
    Tensor shape;
    TRY(container_shape(pack->container, path, &shape, err));
    if (shape.n_dims != 1 || shape.dtype != type || (*count >= 0 && shape.shape[0] != *count))
        return err_set(err, "%s has another type or length than a packed token file's", path);
    *count = shape.shape[0];
    return container_map(pack->container, path, data, err);
}

static Status check_documents(Pack *pack, int64_t n_tokens, int64_t n_documents, Err *err)
{
    PackInfo *info = &pack->info;
    bool good = info->documents[PACK_TRAIN] <= n_documents && pack->starts[0] == 0 &&
                pack->starts[n_documents] == n_tokens;
    info->documents[PACK_VALIDATION] = n_documents - info->documents[PACK_TRAIN];
    for (int64_t i = 0; good && i < n_documents; i++) {
        good = pack->starts[i] < pack->starts[i + 1] && pack->bytes[i] >= 0;
        info->bytes[i < info->documents[PACK_TRAIN] ? PACK_TRAIN : PACK_VALIDATION] +=
            pack->bytes[i];
    }
    if (!good)
        return err_set(err, "its /documents are not in order");
    info->tokens[PACK_TRAIN] = pack->starts[info->documents[PACK_TRAIN]];
    info->tokens[PACK_VALIDATION] = n_tokens - info->tokens[PACK_TRAIN];
    return STATUS_OK;
}

static int32_t token_at(const Pack *pack, int64_t index)
{
    return pack->narrow ? pack->narrow[index] : pack->wide[index];
}

typedef struct TokenCheck {
    const Pack *pack;
    int64_t n_tokens;
    bool *bad; /* (slices) */
} TokenCheck;

enum { CHECK_TOKENS = 1 << 20 };

static void check_slices(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const TokenCheck *check = context;
    int64_t last = end * CHECK_TOKENS < check->n_tokens ? end * CHECK_TOKENS : check->n_tokens;
    bool bad = false;
    for (int64_t i = begin * CHECK_TOKENS; i < last; i++) {
        int32_t token = token_at(check->pack, i);
        bad |= token < 0 || token >= check->pack->info.vocabulary;
    }
    check->bad[begin] |= bad;
}

/* A token beyond the vocabulary would be read beyond the embedding. */
static Status check_tokens(const Pack *pack, int64_t n_tokens, Err *err)
{
    int64_t slices = (n_tokens + CHECK_TOKENS - 1) / CHECK_TOKENS;
    TokenCheck check = {pack, n_tokens, xcalloc((size_t)slices + 1, sizeof(bool))};
    parallel_for(slices, 1, check_slices, &check);
    bool bad = false;
    for (int64_t i = 0; i < slices; i++)
        bad |= check.bad[i];
    free(check.bad);
    return bad ? err_set(err, "it holds tokens beyond its vocabulary") : STATUS_OK;
}

static Status read_content(Pack *pack, Err *err)
{
    TRY(read_meta(pack, err));
    pack->type = pack->info.vocabulary > 65536 ? DTYPE_I32 : DTYPE_U16;
    int64_t n_tokens = -1, n_starts = -1, n_vocabulary = pack->info.vocabulary;
    const void *tokens, *starts, *bytes, *token_bytes;
    TRY(map_vector(pack, "/documents", DTYPE_I64, &n_starts, &starts, err));
    int64_t n_documents = n_starts - 1;
    if (n_documents < 1)
        return err_set(err, "it has no documents");
    TRY(map_vector(pack, "/document_bytes", DTYPE_I64, &n_documents, &bytes, err));
    TRY(map_vector(pack, "/token_bytes", DTYPE_I32, &n_vocabulary, &token_bytes, err));
    TRY(map_vector(pack, "/tokens", pack->type, &n_tokens, &tokens, err));
    pack->starts = starts, pack->bytes = bytes, pack->token_bytes = token_bytes;
    if (pack->type == DTYPE_U16)
        pack->narrow = tokens;
    else
        pack->wide = tokens;
    TRY(check_documents(pack, n_tokens, n_documents, err));
    return check_tokens(pack, n_tokens, err);
}

Pack *pack_open(const char *path, Err *err)
{
    Pack *pack = xcalloc(1, sizeof *pack);
    inputs_add(path);
    if (container_open(&pack->container, path, err) != STATUS_OK) {
        free(pack);
        return NULL;
    }
    if (read_content(pack, err) != STATUS_OK) {
        err_wrap(err, "%s", path);
        pack_close(pack);
        return NULL;
    }
    pack->path = xstrdup(path);
    pack->info.path = pack->path;
    pack->info.tokenizer = pack->tokenizer;
    return pack;
}

void pack_close(Pack *pack)
{
    if (!pack)
        return;
    container_close(pack->container);
    free(pack->path);
    free(pack->tokenizer);
    free(pack);
}

const PackInfo *pack_info(const Pack *pack)
{
    return &pack->info;
}

void pack_read(const Pack *pack, PackSplit split, int64_t start, int64_t count, int32_t *out)
{
    CHECK(start >= 0 && count >= 0 && start + count <= pack->info.tokens[split],
          "tokens %lld to %lld of %lld", (long long)start, (long long)(start + count),
          (long long)pack->info.tokens[split]);
    int64_t from = start + (split == PACK_TRAIN ? 0 : pack->info.tokens[PACK_TRAIN]);
    for (int64_t i = 0; i < count; i++)
        out[i] = token_at(pack, from + i);
}

int64_t pack_document_start(const Pack *pack, PackSplit split, int64_t index)
{
    int64_t first = first_document(pack, split);
    return pack->starts[first + index] - pack->starts[first];
}

int64_t pack_document_bytes(const Pack *pack, PackSplit split, int64_t index)
{
    return pack->bytes[first_document(pack, split) + index];
}

int32_t pack_token_bytes(const Pack *pack, int32_t token)
{
    return pack->token_bytes[token];
}
