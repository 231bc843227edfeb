/* Exact match and F1 of short answers, by the rules of SQuAD's official scorers (evaluate-v1.1.py
 * of Rajpurkar et al., 2016; evaluate-v2.0.py of Rajpurkar et al., 2018). */
#ifndef CAMBIUM_CORE_METRICS_SQUAD_SCORE_H
#define CAMBIUM_CORE_METRICS_SQUAD_SCORE_H

#include "core/metrics/symbols.h"

/* How answers are made comparable, both after lower case. */
typedef enum SquadRule {
    /* SQuAD's: without ASCII punctuation and the words a, an, the; words end at whitespace. XQuAD
     * is scored so too in languages that are written with spaces. */
    SQUAD_RULE_WORDS,
    /* MLQA's for Chinese: without Unicode's punctuation and ASCII's; each character from U+4E00 to
     * U+9FA5 is a word, and so is what whitespace or such a character ends. */
    SQUAD_RULE_CHINESE,
} SquadRule;

typedef enum SquadVersion {
    SQUAD_V1, /* answers without a word in common score 0, also where both are empty (F1) */
    SQUAD_V2, /* where one of both is empty, the score is whether both are; references that are
                 nothing but articles and punctuation do not count; none is "" */
} SquadVersion;

typedef struct SquadScore {
    double exact, f1; /* 0 to 1 */
} SquadScore;

/* The best over the references. Without any: 0 in version 1, and in version 2 whether the answer is
 * empty. */
SquadScore squad_score(SquadVersion version, SquadRule rule, Segment answer, const Segment *refs,
                       int n_refs);

/* The comparable form, words with a space between. */
void squad_normalize(SquadRule rule, Segment answer, Symbols *out);

/* An answered question of version 2. */
typedef struct SquadAnswer {
    SquadScore score;
    bool answerable;
    bool answered;    /* the answer is not "" */
    double no_answer; /* the model's score, any scale, that there is no answer; above a threshold it
                         counts as having said so */
} SquadAnswer;

/* Percentages over the questions. */
typedef struct SquadTotals {
    double exact, f1;
    double answerable_exact,
        answerable_f1;   /* over those that have an answer; 0 where there are none */
    double unanswerable; /* of those that have none, how many were left unanswered (exact = F1) */
    int64_t n, n_answerable;
} SquadTotals;

SquadTotals squad_totals(const SquadAnswer *answers, int64_t n, double threshold);

/* The threshold that gives the most, as evaluate-v2.0.py finds it: it is chosen on the very answers
 * that it is then applied to, so what it gives is an upper bound. */
typedef struct SquadThreshold {
    double percent, threshold;
} SquadThreshold;

typedef struct SquadBest {
    SquadThreshold exact, f1;
} SquadBest;

SquadBest squad_best_thresholds(const SquadAnswer *answers, int64_t n);

#endif
