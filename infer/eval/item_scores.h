/* The scores in an items file (`cambium eval --save-items`): JSON lines, first the object
 * {"format": "cambium-items", "version": 1, "model": ..., "tasks": [...]}, then for each question
 * {"task": ..., "id": ..., "question": hash, "group": "anatomy", "category": "other", "score": 0 to
 * 1, "correct": 0 or 1, ...}; "correct" may be absent where answers are not just right or wrong,
 * "group" and "category" where there are none, "question" in files of older versions. */
#ifndef CAMBIUM_INFER_EVAL_ITEM_SCORES_H
#define CAMBIUM_INFER_EVAL_ITEM_SCORES_H

#include "core/base/err.h"
#include "core/base/strbuf.h"

typedef struct ItemScore {
    char *task, *id;
    char *question;         /* its hash; NULL: the file does not say */
    char *group, *category; /* NULL: none */
    double score;
    int correct;  /* -1: the file does not say */
    int64_t line; /* of the file */
} ItemScore;

typedef struct ItemScores {
    char *model;
    ItemScore *items; /* sorted by task and id, each pair once */
    int64_t count, capacity;
} ItemScores;

/* Errors name the file and the line. Clear it also when this fails. */
Status item_scores_read(ItemScores *out, const char *path, Err *err);
void item_scores_clear(ItemScores *scores);

/* The same for text in memory; `name` stands for the file in errors. */
Status item_scores_parse(ItemScores *out, const StrBuf *text, const char *name, Err *err);

/* By task, then id: below, at or above 0. */
int item_score_order(const ItemScore *a, const ItemScore *b);

#endif
