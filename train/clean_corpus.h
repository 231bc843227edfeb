/* Documentation to a training text and a held-out text. */
#ifndef CAMBIUM_TRAIN_CLEAN_CORPUS_H
#define CAMBIUM_TRAIN_CLEAN_CORPUS_H

#include "core/base/err.h"
#include "core/base/file.h"
#include "train/clean_text.h"

typedef struct CleanPlan {
    const StringList *inputs;     /* files and folders */
    const StringList *references; /* folders whose paragraphs are unwanted */
    const StringList *skip;       /* classes and ids of HTML elements that are dropped */
    Script script;
    double share;         /* least share of the script among a paragraph's letters */
    double holdout;       /* share of the pages that are held out */
    uint64_t seed;        /* of the choice of pages */
    const char *encoding; /* of pages that are not UTF-8 and do not say what they are, or NULL */
} CleanPlan;

enum { CLEAN_TRAIN = 0, CLEAN_HELDOUT = 1, CLEAN_PARTS = 2 };

typedef struct CleanReport {
    int64_t files;            /* read */
    int64_t files_unreadable; /* in no known encoding: left out, with a warning each */
    int64_t paragraphs;       /* found */
    int64_t wrong_script;     /* dropped, in this order of tests */
    int64_t in_reference;
    int64_t duplicates;
    int64_t documents[CLEAN_PARTS];
    int64_t bytes[CLEAN_PARTS];
} CleanReport;

/* Writes PREFIX.train.txt and PREFIX.heldout.txt: a document per page, documents separated by form
 * feeds, paragraphs by empty lines. Duplicates (equal after white space is made even) are dropped
 * in the order of reading, before pages are held out, so no paragraph is on both sides. Whether a
 * page is held out depends on the seed and on its name below the input folder alone: parallel
 * pages of several languages agree. Stops at a stop request. */
Status corpus_clean(const CleanPlan *plan, const char *prefix, CleanReport *report, Err *err);

#endif
