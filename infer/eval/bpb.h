/* Bits per byte of documents under one or more models: the measure that is comparable between
 * tokenizers. Documents are scored with a strided context and their own start token. */
#ifndef CAMBIUM_INFER_EVAL_BPB_H
#define CAMBIUM_INFER_EVAL_BPB_H

#include "core/decode/budget.h"
#include "core/decode/score.h"
#include "core/io/corpus_reader.h"
#include "core/text/tokenizer.h"

/* The documents of one file, or of a folder's files, tokenized. */
typedef struct BpbFile {
    char *name;
    int64_t n_documents, starts_capacity, bytes_capacity;
    IdList tokens;   /* of all documents, one after the other */
    int64_t *starts; /* (n_documents): first token of each */
    int64_t *bytes;  /* (n_documents): of text */
} BpbFile;

/* At most `limit` documents (0: all). */
Status bpb_file_read(BpbFile *out, const char *path, const CorpusOptions *reading, int64_t limit,
                     const Tokenizer *tokenizer, Err *err);
void bpb_file_clear(BpbFile *file);

typedef struct BpbOptions {
    int64_t context; /* 0: what the model was trained with */
    int64_t stride;  /* 0: half the context */
    DType kv_dtype;
    const MemoryBudget *budget; /* as the decoder's; may be NULL */
    RunnerSource *source;       /* where layers run; NULL: in this process */
} BpbOptions;

/* The start token of documents: eos, else bos. Fails for a tokenizer without either. */
Status bpb_start_token(const Tokenizer *tokenizer, int32_t *out, Err *err);

/* Sums over the tokens that have from 2^i to 2^(i + 1) - 1 tokens before them in their window, the
 * start token included. */
enum { BPB_PLACES = 32 };
typedef struct BpbPlaces {
    double nats[BPB_PLACES];
    int64_t bytes[BPB_PLACES]; /* of the tokens */
} BpbPlaces;

double bpb_of_place(const BpbPlaces *places, int place);

/* logprobs (n_documents) in nats, caller's memory; places (added to) may be NULL. */
Status bpb_score(const Ensemble *ensemble, const Tokenizer *tokenizer, const BpbOptions *options,
                 const BpbFile *file, double *logprobs, BpbPlaces *places, Err *err);

/* sum of -log2 p over the documents / sum of their bytes. */
double bpb_of(const BpbFile *file, const double *logprobs);

#endif
