/* Corpora to a packed token file (train/pack.h describes it). */
#ifndef CAMBIUM_TRAIN_PACK_BUILD_H
#define CAMBIUM_TRAIN_PACK_BUILD_H

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/io/corpus_reader.h"
#include "core/text/tokenizer.h"
#include "train/pack.h"

typedef struct PackPlan {
    const StringList *inputs; /* files and folders; "-" is standard input */
    CorpusOptions reading;
    const Tokenizer *tokenizer; /* must have an eos */
    Sha256 tokenizer_hash;
    double validation; /* share of the documents that go to the validation split */
    uint64_t seed;     /* of that choice, which depends on the document's text besides */
} PackPlan;

typedef struct PackReport {
    int64_t files;
    int64_t tokens[PACK_SPLITS];
    int64_t documents[PACK_SPLITS];
    int64_t bytes[PACK_SPLITS];
} PackReport;

/* Writes the file, or nothing: a failed or stopped run leaves what was there before. Documents keep
 * their order within a split; the same inputs give the same file for any number of threads. */
Status pack_build(const PackPlan *plan, const char *output, PackReport *report, Err *err);

#endif
