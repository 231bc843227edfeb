/* Translation: lines of a parallel text that a model renders in the other language, by greedy
 * decoding, and what its lines are worth. */
#ifndef CAMBIUM_INFER_EVAL_TRANSLATION_H
#define CAMBIUM_INFER_EVAL_TRANSLATION_H

#include "core/base/strbuf.h"
#include "core/metrics/stats.h"
#include "infer/eval/question.h"

/* Of a translation, at most; half of the context where that is less. */
enum { TRANSLATION_TOKENS = 256 };

/* Whether a name is two of the languages that there are words for, as in "en-ru". */
bool translation_has_pair(const char *pair);

/* The lines of two files that belong together, as questions whose only answer is the reference:
 * "English phrase: ...", "Russian phrase:" below it. `source` ends in the first language's code;
 * the other file is beside it. Refuses files of different length, empty lines and what is no
 * UTF-8, by file and line. */
Status translation_read(QuestionList *out, const char *source, const char *pair, Err *err);
/* The same for texts in memory, which it takes over, with names for them. */
Status translation_parse(QuestionList *out, const char *pair, const char *const names[2],
                         StrBuf texts[2], Err *err);

/* A corpus score, its 95 % interval by bootstrap over the lines, and its signature (owned). */
typedef struct CorpusFigure {
    double score;
    Interval interval;
    char *signature;
} CorpusFigure;

enum { TRANSLATION_METRICS = 3 };

/* In the order of these names. */
extern const char *const translation_metrics[TRANSLATION_METRICS]; /* "bleu", "chrf", "ter" */

typedef struct TranslationScores {
    CorpusFigure figures[TRANSLATION_METRICS];
} TranslationScores;

/* 0 to 1: chrF2 of one line. */
double translation_line_score(const char *written, const char *reference);

/* Of lines (n) with their references. BLEU's tokenizer is the target language's. STATUS_STOPPED
 * when the user asks to stop. Clear `out` also when this fails. */
Status translation_score(TranslationScores *out, const char *pair, char *const *written,
                         const char *const *references, int64_t n, Err *err);
void translation_scores_clear(TranslationScores *scores);

#endif
