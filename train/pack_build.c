#include "train/pack_build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "core/io/table.h"
#include "core/io/corpus_file.h"
#include "core/io/corpus_list.h"
#include "core/io/json_put.h"

/* A batch is large enough to keep all cores busy and small enough to stay in memory. */
enum { BATCH_DOCUMENTS = 4096, BATCH_BYTES = 16 << 20 };

typedef struct Document {
    StrBuf text;
    IdList ids;
} Document;

/* What becomes of one split: its documents here, its tokens in a scratch file, because a dataset
 * needs its size beforehand. */
typedef struct Split {
    FILE *scratch;
    int64_t *tokens; /* (count) of each document */
    int64_t *bytes;  /* (count) of text */
    int64_t count;
    int64_t tokens_capacity, bytes_capacity;
} Split;

typedef struct Builder {
    const PackPlan *plan;
    PackReport *report;
    const TokenizerSpec *spec; /* of the plan's tokenizer */
    Split splits[PACK_SPLITS];
    StringList files;
    Sha256 hash;     /* of all tokens, as they are in the file */
    Document *batch; /* (BATCH_DOCUMENTS) */
    int64_t batch_count;
    int64_t batch_bytes;
    int64_t bytes_total; /* of all input files */
    int64_t bytes_read;  /* of the files that are finished */
    Progress progress;
} Builder;

static void encode_documents(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    Builder *builder = context;
    for (int64_t i = begin; i < end; i++) {
        Document *document = &builder->batch[i];
        document->ids.count = 0;
        tokenizer_encode(builder->plan->tokenizer, document->text.data, document->text.size,
                         &document->ids);
        id_list_add(&document->ids, builder->spec->eos);
    }
}

static PackSplit choose_split(const PackPlan *plan, const StrBuf *text)
{
    uint64_t coin = hash_mix64(text_key(text->data, text->size) ^ hash_mix64(plan->seed));
    return (double)(coin >> 11) * 0x1p-53 < plan->validation ? PACK_VALIDATION : PACK_TRAIN;
}

/* Tokens take two bytes where they fit. */
static DType token_type(const TokenizerSpec *spec)
{
    return spec->n_tokens > 65536 ? DTYPE_I32 : DTYPE_U16;
}

static Status write_ids(const Builder *builder, FILE *stream, const IdList *ids, Err *err)
{
    enum { PIECE = 4096 };
    uint16_t narrow[PIECE];
    DType type = token_type(builder->spec);
    for (int64_t done = 0; done < ids->count;) {
        int64_t count = ids->count - done < PIECE ? ids->count - done : PIECE;
        const int32_t *from = ids->items + done;
        for (int64_t i = 0; i < count; i++) {
            CHECK(from[i] >= 0 && from[i] < builder->spec->n_tokens,
                  "token %d is not in the vocabulary", from[i]);
            narrow[i] = (uint16_t)from[i];
        }
        const void *data = type == DTYPE_I32 ? (const void *)from : narrow;
        if (fwrite(data, dtype_bytes(type), (size_t)count, stream) != (size_t)count)
            return err_set(err, "cannot write the tokens next to the output: %s", strerror(errno));
        done += count;
    }
    return STATUS_OK;
}

static void add_document(Split *split, int64_t tokens, int64_t bytes)
{
    split->tokens =
        mem_grow(split->tokens, &split->tokens_capacity, split->count + 1, sizeof(int64_t));
    split->bytes =
        mem_grow(split->bytes, &split->bytes_capacity, split->count + 1, sizeof(int64_t));
    split->tokens[split->count] = tokens;
    split->bytes[split->count++] = bytes;
}

static Status flush_batch(Builder *builder, Err *err)
{
    parallel_dynamic(builder->batch_count, 1, encode_documents, builder);
    for (int64_t i = 0; i < builder->batch_count; i++) {
        Document *document = &builder->batch[i];
        PackSplit split = choose_split(builder->plan, &document->text);
        TRY(write_ids(builder, builder->splits[split].scratch, &document->ids, err));
        add_document(&builder->splits[split], document->ids.count, document->text.size);
        builder->report->tokens[split] += document->ids.count;
        builder->report->bytes[split] += document->text.size;
        builder->report->documents[split]++;
    }
    builder->batch_count = builder->batch_bytes = 0;
    return STATUS_OK;
}

static Status read_file(Builder *builder, const char *path, Err *err)
{
    CorpusReader *reader = corpus_reader_open(path, &builder->plan->reading, err);
    if (!reader)
        return STATUS_FAIL;
    Status status = STATUS_OK;
    bool found = true;
    while (status == STATUS_OK && found) {
        Document *document = &builder->batch[builder->batch_count];
        status = stop_requested() ? STATUS_STOPPED
                                  : corpus_reader_next(reader, &document->text, &found, err);
        if (status != STATUS_OK || !found)
            break;
        builder->batch_count++;
        builder->batch_bytes += document->text.size;
        if (builder->batch_count == BATCH_DOCUMENTS || builder->batch_bytes >= BATCH_BYTES)
            status = flush_batch(builder, err);
        progress_update(&builder->progress,
                        (builder->bytes_read + corpus_reader_position(reader)) >> 20, NULL);
    }
    builder->bytes_read += corpus_reader_position(reader);
    corpus_reader_close(reader);
    return status;
}

static Status list_inputs(Builder *builder, Err *err)
{
    TRY(corpus_list(builder->plan->inputs, &builder->files, err));
    for (int64_t i = 0; i < builder->files.count; i++) {
        struct stat info;
        if (stat(builder->files.items[i], &info) == 0)
            builder->bytes_total += info.st_size;
    }
    builder->report->files = builder->files.count;
    return STATUS_OK;
}

/* Appends a scratch file to /tokens and to the hash. */
static Status append_scratch(FILE *scratch, ContainerWriter *writer, HashStream *hash, Err *err)
{
    char block[1 << 16];
    size_t got;
    if (fflush(scratch) != 0 || fseek(scratch, 0, SEEK_SET) != 0)
        return err_set(err, "cannot write the tokens next to the output: %s", strerror(errno));
    while ((got = fread(block, 1, sizeof block, scratch)) > 0) {
        hash_update(hash, block, got);
        TRY(container_append(writer, block, got, err));
    }
    return ferror(scratch) ? err_set(err, "cannot read the tokens back: %s", strerror(errno))
                           : STATUS_OK;
}

static Status put_tokens(Builder *builder, ContainerWriter *writer, Err *err)
{
    int64_t count = builder->report->tokens[PACK_TRAIN] + builder->report->tokens[PACK_VALIDATION];
    Tensor shape = tensor_1d(NULL, token_type(builder->spec), count);
    TRY(container_begin(writer, "/tokens", &shape, err));
    HashStream *hash = hash_new();
    Status status = STATUS_OK;
    for (int split = 0; status == STATUS_OK && split < PACK_SPLITS; split++)
        status = append_scratch(builder->splits[split].scratch, writer, hash, err);
    builder->hash = hash_finish_free(hash);
    TRY(status);
    return container_end(writer, err);
}

/* Starts of all documents, training ones first, then the end; and their bytes in that order. */
static Status put_documents(const Builder *builder, ContainerWriter *writer, Err *err)
{
    int64_t n = builder->splits[PACK_TRAIN].count + builder->splits[PACK_VALIDATION].count;
    int64_t *starts = xcalloc((size_t)n + 1, sizeof *starts);
    int64_t *bytes = xcalloc((size_t)n + 1, sizeof *bytes);
    int64_t i = 0;
    for (int split = 0; split < PACK_SPLITS; split++)
        for (int64_t k = 0; k < builder->splits[split].count; k++, i++) {
            starts[i + 1] = starts[i] + builder->splits[split].tokens[k];
            bytes[i] = builder->splits[split].bytes[k];
        }
    Tensor starts_shape = tensor_1d(NULL, DTYPE_I64, n + 1);
    Tensor bytes_shape = tensor_1d(NULL, DTYPE_I64, n);
    Status status = container_put(writer, "/documents", &starts_shape, starts, err);
    if (status == STATUS_OK)
        status = container_put(writer, "/document_bytes", &bytes_shape, bytes, err);
    free(starts);
    free(bytes);
    return status;
}

/* Bytes of text behind each token, from which bits per byte are computed. */
static Status put_token_bytes(const TokenizerSpec *spec, ContainerWriter *writer, Err *err)
{
    int32_t *bytes = xcalloc((size_t)spec->n_tokens, sizeof *bytes);
    for (int64_t i = 0; i < spec->n_tokens; i++)
        if (spec->types[i] == TOKEN_TEXT || spec->types[i] == TOKEN_ADDED)
            bytes[i] = (int32_t)(spec->offsets[i + 1] - spec->offsets[i]);
        else if (spec->types[i] == TOKEN_BYTE)
            bytes[i] = 1;
    Tensor shape = tensor_1d(NULL, DTYPE_I32, spec->n_tokens);
    Status status = container_put(writer, "/token_bytes", &shape, bytes, err);
    free(bytes);
    return status;
}

static Status put_meta(const Builder *builder, ContainerWriter *writer, Err *err)
{
    char tokenizer_hash[SHA256_TEXT], hash[SHA256_TEXT];
    hash_text(&builder->plan->tokenizer_hash, tokenizer_hash);
    hash_text(&builder->hash, hash);
    json_t *meta =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:f, s:I, s:[]}", "format", FILE_FORMAT,
                  "kind", "pack", "tokenizer", builder->spec->name ? builder->spec->name : "",
                  "tokenizer_hash", tokenizer_hash, "hash", hash, "vocabulary",
                  (json_int_t)builder->spec->n_tokens, "eos", (int)builder->spec->eos,
                  "train_documents", (json_int_t)builder->splits[PACK_TRAIN].count, "validation",
                  builder->plan->validation, "seed", (json_int_t)builder->plan->seed, "sources");
    CHECK(meta, "the meta data of a pack do not fit their pattern");
    for (int64_t i = 0; i < builder->files.count; i++) {
        /* A name that is not UTF-8 cannot stand in JSON. */
        json_array_append_new(json_object_get(meta, "sources"),
                              json_name(file_base_name(builder->files.items[i])));
    }
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    return status;
}

static Status write_pack(Builder *builder, const char *output, Err *err)
{
    ContainerWriter *writer;
    TRY(container_create(&writer, output, err));
    Status status = put_tokens(builder, writer, err);
    if (status == STATUS_OK)
        status = put_documents(builder, writer, err);
    if (status == STATUS_OK)
        status = put_token_bytes(builder->spec, writer, err);
    if (status == STATUS_OK)
        status = put_meta(builder, writer, err);
    if (status == STATUS_OK)
        return container_commit(writer, err);
    container_abandon(writer);
    return status;
}

static Status build(Builder *builder, const char *output, Err *err)
{
    TRY(list_inputs(builder, err));
    TRY(file_check_target(output, err));
    for (int split = 0; split < PACK_SPLITS; split++)
        if (!(builder->splits[split].scratch = file_scratch(output, err)))
            return STATUS_FAIL;
    Status status = STATUS_OK;
    progress_start(&builder->progress, "MiB", builder->bytes_total >> 20);
    for (int64_t i = 0; status == STATUS_OK && i < builder->files.count; i++)
        status = read_file(builder, builder->files.items[i], err);
    if (status == STATUS_OK)
        status = flush_batch(builder, err);
    progress_end(&builder->progress);
    TRY(status);
    if (builder->splits[PACK_TRAIN].count + builder->splits[PACK_VALIDATION].count == 0)
        return corpus_no_text(&builder->files, builder->plan->reading.skips, err);
    return write_pack(builder, output, err);
}

Status pack_build(const PackPlan *plan, const char *output, PackReport *report, Err *err)
{
    *report = (PackReport){0};
    const TokenizerSpec *spec = tokenizer_spec(plan->tokenizer);
    if (spec->eos < 0)
        return err_set(err,
                       "the tokenizer %s has no token that ends a document (eos); use a table that "
                       "has one",
                       spec->name ? spec->name : "");
    Builder builder = {.plan = plan, .report = report, .spec = spec};
    builder.batch = xcalloc(BATCH_DOCUMENTS, sizeof *builder.batch);
    Status status = build(&builder, output, err);
    for (int i = 0; i < PACK_SPLITS; i++) {
        if (builder.splits[i].scratch)
            fclose(builder.splits[i].scratch);
        free(builder.splits[i].tokens);
        free(builder.splits[i].bytes);
    }
    for (int64_t i = 0; i < BATCH_DOCUMENTS; i++) {
        strbuf_clear(&builder.batch[i].text);
        id_list_clear(&builder.batch[i].ids);
    }
    free(builder.batch);
    string_list_clear(&builder.files);
    return status;
}
