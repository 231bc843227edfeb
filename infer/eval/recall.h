/* Questions whose answer stands far back in the context, by length and depth: a pass key in
 * repeated filler (Mohtashami and Jaggi, 2023), and a needle in a haystack of real text (Kamradt,
 * 2023). The prompts are made for a tokenizer, since lengths are in tokens. */
#ifndef CAMBIUM_INFER_EVAL_RECALL_H
#define CAMBIUM_INFER_EVAL_RECALL_H

#include "core/io/corpus_reader.h"
#include "core/text/tokenizer.h"
#include "infer/eval/question.h"

typedef struct RecallSettings {
    const char *lengths; /* tokens of prompt and answer, comma-separated: "1K,4K" */
    int64_t longest;     /* what the model sees at most: longer ones are refused */
    int64_t depths;      /* places from the beginning (0 %) to the end (100 %) of the filler */
    int64_t samples;     /* questions of each length and depth */
    int64_t seed;
    const StrBuf *haystack; /* NULL: a pass key in filler */
} RecallSettings;

/* Adds a group for each length and depth, each of `samples` questions with a number to recall. */
Status recall_make(QuestionGroups *out, const RecallSettings *settings, const Tokenizer *tokenizer,
                   Err *err);

/* Reads text for haystacks from a file or folder: documents until they have `bytes` bytes. */
Status recall_haystack(StrBuf *out, const StringList *paths, const CorpusOptions *reading,
                       int64_t bytes, Err *err);
/* Enough text for all lengths, in most languages and vocabularies. */
Status recall_haystack_bytes(const char *lengths, int64_t *out, Err *err);

#endif
