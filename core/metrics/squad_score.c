#include "core/metrics/squad_score.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/metrics/ngram_match.h"
#include "core/metrics/segment_words.h"

static bool is_punctuation(SquadRule rule, uint32_t code)
{
    if (code_is_ascii_punctuation(code))
        return true;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return rule == SQUAD_RULE_CHINESE && category >= UTF8PROC_CATEGORY_PC &&
           category <= UTF8PROC_CATEGORY_PO;
}

static void remove_punctuation(SquadRule rule, Symbols *codes)
{
    int64_t count = 0;
    for (int64_t i = 0; i < codes->count; i++)
        if (!is_punctuation(rule, codes->items[i]))
            codes->items[count++] = codes->items[i];
    codes->count = count;
}

/* Python's \w, once the underscore is gone with the punctuation. */
static bool is_word_code(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static bool is_article(const uint32_t *codes, int64_t count)
{
    return (count == 1 && codes[0] == 'a') || (count == 2 && codes[0] == 'a' && codes[1] == 'n') ||
           (count == 3 && codes[0] == 't' && codes[1] == 'h' && codes[2] == 'e');
}

/* Blanks the runs of letters and digits that are articles: \b(a|an|the)\b. */
static void blank_articles(Symbols *codes)
{
    for (int64_t begin = 0, end; begin < codes->count; begin = end + 1) {
        for (end = begin; end < codes->count && is_word_code(codes->items[end]);)
            end++;
        if (is_article(codes->items + begin, end - begin))
            for (int64_t i = begin; i < end; i++)
                codes->items[i] = ' ';
    }
}

static void separate_chinese(Symbols *codes)
{
    Symbols out = {0};
    for (int64_t i = 0; i < codes->count; i++) {
        uint32_t code = codes->items[i];
        bool alone = code >= 0x4E00 && code <= 0x9FA5;
        if (alone)
            symbols_add(&out, ' ');
        symbols_add(&out, code);
        if (alone)
            symbols_add(&out, ' ');
    }
    symbols_swap(codes, &out);
    symbols_clear(&out);
}

void squad_normalize(SquadRule rule, Segment answer, Symbols *out)
{
    symbols_decode(out, answer);
    symbols_lower(out);
    remove_punctuation(rule, out);
    if (rule == SQUAD_RULE_CHINESE)
        separate_chinese(out);
    else
        blank_articles(out);
    symbols_squeeze(out);
}

static bool is_same(const Symbols *a, const Symbols *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->items, b->items, (size_t)a->count * sizeof *a->items) == 0);
}

static void copy(Symbols *out, const Symbols *from)
{
    out->count = 0;
    for (int64_t i = 0; i < from->count; i++)
        symbols_add(out, from->items[i]);
}

/* Of the words that two comparable answers share. */
static double f1_of(SquadVersion version, const Symbols *answer, const Symbols *ref)
{
    if (version == SQUAD_V2 && (answer->count == 0 || ref->count == 0))
        return answer->count == ref->count;
    Symbols words[2] = {{0}, {0}};
    copy(&words[0], answer);
    copy(&words[1], ref);
    segment_words(words, 2);
    int64_t common;
    ngram_match(&words[0], &words[1], 1, 1, &common);
    double precision = (double)common / (double)words[0].count;
    double recall = (double)common / (double)words[1].count;
    symbols_clear(&words[0]);
    symbols_clear(&words[1]);
    return common == 0 ? 0.0 : 2 * precision * recall / (precision + recall);
}

static void keep_better(SquadVersion version, const Symbols *answer, const Symbols *ref,
                        SquadScore *best)
{
    double exact = is_same(answer, ref), f1 = f1_of(version, answer, ref);
    best->exact = exact > best->exact ? exact : best->exact;
    best->f1 = f1 > best->f1 ? f1 : best->f1;
}

SquadScore squad_score(SquadVersion version, SquadRule rule, Segment answer, const Segment *refs,
                       int n_refs)
{
    SquadScore best = {0};
    Symbols normal = {0}, ref = {0};
    squad_normalize(rule, answer, &normal);
    int compared = 0;
    for (int r = 0; r < n_refs; r++) {
        squad_normalize(rule, refs[r], &ref);
        if (version == SQUAD_V2 && ref.count == 0)
            continue;
        keep_better(version, &normal, &ref, &best);
        compared++;
    }
    if (version == SQUAD_V2 && compared == 0) {
        ref.count = 0;
        keep_better(version, &normal, &ref, &best);
    }
    symbols_clear(&normal);
    symbols_clear(&ref);
    return best;
}

SquadTotals squad_totals(const SquadAnswer *answers, int64_t n, double threshold)
{
    SquadTotals out = {.n = n};
    for (int64_t i = 0; i < n; i++) {
        const SquadAnswer *a = &answers[i];
        SquadScore score = a->score;
        if (a->no_answer > threshold)
            score = (SquadScore){!a->answerable, !a->answerable};
        out.exact += score.exact;
        out.f1 += score.f1;
        if (a->answerable) {
            out.answerable_exact += score.exact;
            out.answerable_f1 += score.f1;
            out.n_answerable++;
        } else {
            out.unanswerable += score.exact;
        }
    }
    double whole = n > 0 ? 100.0 / (double)n : 0;
    double with = out.n_answerable > 0 ? 100.0 / (double)out.n_answerable : 0;
    double without = n > out.n_answerable ? 100.0 / (double)(n - out.n_answerable) : 0;
    out.exact *= whole;
    out.f1 *= whole;
    out.answerable_exact *= with;
    out.answerable_f1 *= with;
    out.unanswerable *= without;
    return out;
}

/* The order in which a rising threshold lets answers through. */
typedef struct Passing {
    double no_answer;
    int64_t index;
} Passing;

static int by_no_answer(const void *a, const void *b)
{
    const Passing *x = a, *y = b;
    if (x->no_answer != y->no_answer)
        return x->no_answer < y->no_answer ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* A better sum found behind the answer with this value. */
static void keep_best(double sum, double no_answer, double *best, double *threshold)
{
    if (sum <= *best)
        return;
    *best = sum;
    *threshold = no_answer;
}

SquadBest squad_best_thresholds(const SquadAnswer *answers, int64_t n)
{
    SquadBest out = {0};
    if (n == 0)
        return out;
    Passing *order = xcalloc((size_t)n, sizeof *order);
    double exact = 0; /* with every question unanswered */
    for (int64_t i = 0; i < n; i++) {
        order[i] = (Passing){answers[i].no_answer, i};
        exact += !answers[i].answerable;
    }
    qsort(order, (size_t)n, sizeof *order, by_no_answer);
    double f1 = exact, best_exact = exact, best_f1 = f1;
    for (int64_t i = 0; i < n; i++) {
        const SquadAnswer *a = &answers[order[i].index];
        exact += a->answerable ? a->score.exact : -(double)a->answered;
        f1 += a->answerable ? a->score.f1 : -(double)a->answered;
        keep_best(exact, a->no_answer, &best_exact, &out.exact.threshold);
        keep_best(f1, a->no_answer, &best_f1, &out.f1.threshold);
    }
    free(order);
    out.exact.percent = 100.0 * best_exact / (double)n;
    out.f1.percent = 100.0 * best_f1 / (double)n;
    return out;
}
