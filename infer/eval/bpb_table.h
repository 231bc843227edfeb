/* Bits per byte of several files under several models, merge rules and experts: a table. */
#ifndef CAMBIUM_INFER_EVAL_BPB_TABLE_H
#define CAMBIUM_INFER_EVAL_BPB_TABLE_H

#include <jansson.h>

#include "core/cli/load_model.h"
#include "infer/eval/bpb.h"

/* One row of the table: something that gives log-probabilities. */
typedef struct BpbRow {
    char *label;
    int64_t layers;    /* of the (first) model; 0 for the oracle */
    double *bpb;       /* (files) */
    BpbPlaces *places; /* (files): by position in the context; empty for the oracle */
    int64_t *tokens;   /* (files): that the model's tokenizer makes of them */
} BpbRow;

typedef struct BpbTable {
    BpbRow *rows;
    int64_t n_rows, capacity;
    BpbFile *files;
    int64_t n_files;
} BpbTable;

typedef struct BpbRequest {
    const StringList *paths; /* (files of the table) */
    CorpusOptions reading;
    int64_t limit;
    bool experts;      /* also each alone, and an oracle that picks the better one per document */
    const char *rules; /* comma-separated; NULL: the model's own */
    BpbOptions options;
} BpbRequest;

BpbTable bpb_table_new(int64_t n_files);
void bpb_table_clear(BpbTable *table);

/* Adds a model's rows. `name`: what it is called in them. */
Status bpb_table_measure(BpbTable *table, const LoadedModel *model, const char *name,
                         const BpbRequest *request, Err *err);

json_t *bpb_table_json(const BpbTable *table, bool with_places);
void bpb_table_print(const BpbTable *table);
/* Below it: every row by the tokens that stand before, for each file. */
void bpb_table_print_places(const BpbTable *table);

#endif
