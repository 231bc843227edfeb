#include "infer/eval/bpb.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/corpus_list.h"

enum { BATCH_TOKENS = 2048 }; /* windows that fit this many tokens are scored together */

static Status read_documents(BpbFile *out, const char *path, const CorpusOptions *reading,
                             int64_t limit, const Tokenizer *tokenizer, Err *err)
{
    CorpusReader *reader = corpus_reader_open(path, reading, err);
    if (!reader)
        return STATUS_FAIL;
    StrBuf text = {0};
    Status status = STATUS_OK;
    for (;;) {
        bool found = false;
        if (limit && out->n_documents >= limit)
            break;
        status = corpus_reader_next(reader, &text, &found, err);
        if (status != STATUS_OK || !found)
            break;
        int64_t n = out->n_documents++;
        out->starts = mem_grow(out->starts, &out->starts_capacity, n + 1, sizeof *out->starts);
        out->bytes = mem_grow(out->bytes, &out->bytes_capacity, n + 1, sizeof *out->bytes);
        out->starts[n] = out->tokens.count;
        out->bytes[n] = text.size;
        tokenizer_encode(tokenizer, text.data, text.size, &out->tokens);
    }
    corpus_reader_close(reader);
    strbuf_clear(&text);
    return status;
}

Status bpb_file_read(BpbFile *out, const char *path, const CorpusOptions *reading, int64_t limit,
                     const Tokenizer *tokenizer, Err *err)
{
    *out = (BpbFile){.name = xstrdup(file_base_name(path))};
    StringList files = {0};
    StringList paths = {.items = (char *[]){(char *)(uintptr_t)path}, .count = 1};
    Status status = corpus_list(&paths, &files, err);
    for (int64_t i = 0; i < files.count && status == STATUS_OK; i++)
        status = read_documents(out, files.items[i], reading, limit, tokenizer, err);
    if (status == STATUS_OK && out->n_documents == 0)
        status = corpus_no_text(&files, reading->skips, err);
    string_list_clear(&files);
    return status;
}

void bpb_file_clear(BpbFile *file)
{
    free(file->name);
    id_list_clear(&file->tokens);
    free(file->starts);
    free(file->bytes);
    *file = (BpbFile){0};
}

Status bpb_start_token(const Tokenizer *tokenizer, int32_t *out, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    *out = spec->eos >= 0 ? spec->eos : spec->bos;
    if (*out < 0)
        return err_set(err,
                       "the tokenizer '%s' has neither an end nor a begin token, so the first "
                       "token of a document has nothing to follow",
                       spec->name ? spec->name : "?");
    return STATUS_OK;
}

typedef struct Meter {
    Progress bar;
    int64_t done;
} Meter;

static void advance(void *context, int64_t tokens)
{
    Meter *meter = context;
    meter->done += tokens;
    progress_update(&meter->bar, meter->done, NULL);
}

typedef struct Placing {
    const BpbFile *file;
    const Tokenizer *tokenizer;
    BpbPlaces *places;
} Placing;

static void place_token(void *context, int64_t document, int64_t token, int64_t before,
                        double logprob)
{
    const Placing *placing = context;
    int64_t bytes, index = placing->file->starts[document] + token;
    int place = 0;
    while (before >> (place + 1))
        place++;
    tokenizer_token(placing->tokenizer, placing->file->tokens.items[index], &bytes);
    placing->places->nats[place] -= logprob;
    placing->places->bytes[place] += bytes;
}

double bpb_of_place(const BpbPlaces *places, int place)
{
    return places->nats[place] / log(2.0) / (double)places->bytes[place];
}

Status bpb_score(const Ensemble *ensemble, const Tokenizer *tokenizer, const BpbOptions *options,
                 const BpbFile *file, double *logprobs, BpbPlaces *places, Err *err)
{
    Placing placing = {file, tokenizer, places};
    ScoreOptions score = {.context =
                              options->context ? options->context : ensemble_context(ensemble)};
    score.stride = options->stride ? options->stride : score.context / 2;
    if (score.context < 2 || score.stride < 1 || score.stride >= score.context)
        return err_set(err,
                       "a context of %lld tokens with a stride of %lld: the stride is at "
                       "least 1 and below the context",
                       (long long)score.context, (long long)score.stride);
    score.token = places ? place_token : NULL;
    score.token_context = &placing;
    TRY(bpb_start_token(tokenizer, &score.start, err));
    int64_t windows = BATCH_TOKENS / score.context > 1 ? BATCH_TOKENS / score.context : 1;
    DecoderOptions decoder_options = {.max_sequences = windows,
                                      .max_positions = score.context,
                                      .chunk = windows * score.context,
                                      .kv_dtype = options->kv_dtype,
                                      .budget = options->budget,
                                      .source = options->source};
    Decoder *decoder;
    TRY(decoder_new(&decoder, ensemble, &decoder_options, err));
    ScoreDocument *documents = xcalloc((size_t)file->n_documents, sizeof *documents);
    for (int64_t d = 0; d < file->n_documents; d++) {
        int64_t end = d + 1 < file->n_documents ? file->starts[d + 1] : file->tokens.count;
        documents[d] = (ScoreDocument){.tokens = file->tokens.items + file->starts[d],
                                       .n_tokens = end - file->starts[d]};
    }
    Meter meter = {0};
    progress_start(&meter.bar, file->name, file->tokens.count);
    Status status = score_documents(decoder, windows, &score, documents, file->n_documents, advance,
                                    &meter, err);
    progress_end(&meter.bar);
    for (int64_t d = 0; d < file->n_documents; d++)
        logprobs[d] = documents[d].logprob;
    free(documents);
    decoder_free(decoder);
    return status;
}

double bpb_of(const BpbFile *file, const double *logprobs)
{
    double nats = 0.0, bytes = 0.0;
    for (int64_t d = 0; d < file->n_documents; d++) {
        nats -= logprobs[d];
        bytes += (double)file->bytes[d];
    }
    return nats / log(2.0) / bytes;
}
