/* The files that a merged model is made of: opened, checked against each other, listed as experts.
 * Files that are merged models themselves give all their experts. */
#ifndef CAMBIUM_MERGE_PARTS_H
#define CAMBIUM_MERGE_PARTS_H

#include "core/base/file.h"
#include "core/io/checkpoint.h"

typedef struct MergePart {
    const char *path; /* borrowed */
    Container *container;
    CheckpointInfo info;
} MergePart;

/* The table that an expert reads. */
typedef struct MergeTable {
    char hash[SHA256_TEXT]; /* of its values as float32 */
    int64_t cols;
    int64_t owner; /* the first expert that reads the same: the merged file has it as that one's */
} MergeTable;

typedef struct MergeParts {
    MergePart *items;
    int64_t count;
    int64_t n_experts;  /* of all parts together */
    MergeTable *tables; /* (n_experts) */
} MergeParts;

/* Fails when tokenizers or output vocabularies differ, saying exactly what. */
Status merge_parts_open(MergeParts *parts, const StringList *paths, Err *err);
void merge_parts_close(MergeParts *parts);

/* The expert with the given number in the merged file: its part and its number there. */
const MergePart *merge_parts_expert(const MergeParts *parts, int64_t expert, int64_t *local);

typedef struct MergeWrite {
    const char *path;
    MergeRule rule;
    const float *weights; /* (n_experts) or NULL */
    float forget;
    const MergeAdapter *adapter; /* or NULL */
} MergeWrite;

/* Writes the merged file: every expert's datasets as they are, each table and the tokenizer
 * once. */
Status merge_parts_write(const MergeParts *parts, const MergeWrite *write, Err *err);

#endif
