/* `cambium eval score`: translations against references. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/text/utf8.h"
#include "infer/eval/eval_words.h"
#include "infer/eval/score_report.h"

typedef struct ScoreSettings {
    StringList hypotheses;
    char *references;
    char *metrics;
    char *tokenize;
    bool lowercase;
    char *smooth;
    double smooth_value;
    bool chrf_whitespace, chrf_eps_smoothing;
    bool ter_normalized, ter_no_punct, ter_asian_support, ter_case_sensitive;
    bool sentences, confidence, json;
    int64_t resamples, seed;
} ScoreSettings;

#define AT(field) offsetof(ScoreSettings, field)

static const Option score_options[] = {
    {"hypotheses", OPTION_INPUTS, AT(hypotheses), "FILE", NULL,
     "translations, one a line; given twice, the second is compared with the first", NULL, 0, NULL},
    {"references", OPTION_INPUT, AT(references), "FILE[,FILE]", NULL,
     "what they should be, line for line; several files are several references of each line", NULL,
     0, NULL},
    {"metrics", OPTION_TEXT, AT(metrics), "LIST", "bleu,chrf,chrf++,ter",
     "what to compute, comma-separated: bleu, chrf, chrf++, ter", NULL, 0, NULL},
    {"lowercase", OPTION_FLAG, AT(lowercase), NULL, NULL,
     "ignore letter case in BLEU and chrF (TER ignores it anyway)", NULL, 0, NULL},
    {"sentences", OPTION_FLAG, AT(sentences), NULL, NULL,
     "one row of scores for each line; BLEU leaves out orders that a line is too short for", NULL,
     0, NULL},
    {"confidence", OPTION_FLAG, AT(confidence), NULL, NULL,
     "95 % intervals by bootstrap over the lines", NULL, 0, NULL},
    {"resamples", OPTION_INT, AT(resamples), "N", "1000", "draws of the bootstrap", NULL, 0, NULL},
    {"seed", OPTION_INT, AT(seed), "N", "12345", "of the bootstrap's draws", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {"tokenize", OPTION_CHOICE, AT(tokenize), NULL, "13a", "how BLEU finds words",
     "13a|zh|char|intl|none", 0, "BLEU"},
    {"smooth", OPTION_CHOICE, AT(smooth), NULL, "exp", "what an order without a match counts",
     "exp|floor|add-k|none", 0, NULL},
    {"smooth-value", OPTION_REAL, AT(smooth_value), "X", NULL,
     "how much with floor (else 0.1) and add-k (else 1)", NULL, 0, NULL},
    {"chrf-whitespace", OPTION_FLAG, AT(chrf_whitespace), NULL, NULL,
     "n-grams of characters contain the spaces", NULL, 0, "chrF and chrF++"},
    {"chrf-eps-smoothing", OPTION_FLAG, AT(chrf_eps_smoothing), NULL, NULL,
     "mean F score of the orders, as in chrF++.py", NULL, 0, NULL},
    {"ter-normalized", OPTION_FLAG, AT(ter_normalized), NULL, NULL, "separate punctuation", NULL, 0,
     "TER"},
    {"ter-no-punct", OPTION_FLAG, AT(ter_no_punct), NULL, NULL, "take punctuation off", NULL, 0,
     NULL},
    {"ter-asian-support", OPTION_FLAG, AT(ter_asian_support), NULL, NULL,
     "do both for Chinese and Japanese too, each ideograph a word", NULL, 0, NULL},
    {"ter-case-sensitive", OPTION_FLAG, AT(ter_case_sensitive), NULL, NULL, "regard letter case",
     NULL, 0, NULL},
    {0},
};

static void run_clear(ScoreRun *run)
{
    for (int i = 0; i < SYSTEMS_MAX; i++)
        segment_file_clear(&run->systems[i]);
    for (int m = 0; m < run->n_measures; m++) {
        Measure *measure = &run->measures[m];
        free(measure->name);
        free(measure->signature);
        for (int i = 0; i < SYSTEMS_MAX; i++)
            free(measure->stats[i]);
    }
    free(run->refs);
}

static Status set_options(CorpusMetric *metric, const ScoreSettings *s, Err *err)
{
    switch (metric->kind) {
    case METRIC_BLEU:
        TRY(err_of_usage(mt_tokenizer_parse(s->tokenize, &metric->bleu.tokenizer, err), err));
        TRY(err_of_usage(bleu_smoothing_parse(s->smooth, &metric->bleu.smoothing, err), err));
        metric->bleu.smooth_value = options_given("smooth-value")
                                        ? s->smooth_value
                                        : bleu_smoothing_default(metric->bleu.smoothing);
        metric->bleu.lowercase = s->lowercase;
        metric->bleu.effective_order = s->sentences;
        return STATUS_OK;
    case METRIC_CHRF:
        metric->chrf.lowercase = s->lowercase;
        metric->chrf.whitespace = s->chrf_whitespace;
        metric->chrf.eps_smoothing = s->chrf_eps_smoothing;
        return STATUS_OK;
    case METRIC_TER:
        metric->ter = (TercomOptions){.normalize = s->ter_normalized,
                                      .no_punctuation = s->ter_no_punct,
                                      .asian = s->ter_asian_support,
                                      .case_sensitive = s->ter_case_sensitive};
        return STATUS_OK;
    }
    return STATUS_OK;
}

static Status add_measure(ScoreRun *run, const ScoreSettings *settings, const char *word, Err *err)
{
    if (run->n_measures == METRICS_MAX)
        return err_usage(err, "--metrics takes at most %d", METRICS_MAX);
    Measure measure = {0};
    TRY(err_of_usage(corpus_metric_parse(word, &measure.metric, err), err));
    TRY(set_options(&measure.metric, settings, err));
    StrBuf signature = {0};
    corpus_metric_signature(&measure.metric, run->n_refs, &signature);
    measure.signature = strbuf_detach(&signature);
    measure.name = xstrndup(measure.signature, strcspn(measure.signature, "|"));
    measure.width = corpus_metric_width(&measure.metric);
    run->measures[run->n_measures++] = measure;
    return STATUS_OK;
}

static Status check_lines(const SegmentFile *file, const char *path, int64_t lines,
                          const char *first_path, Err *err)
{
    if (file->count == lines)
        return STATUS_OK;
    return err_set(err, "%s has %lld lines and %s has %lld; line for line they belong together",
                   path, (long long)file->count, first_path, (long long)lines);
}

/* The references side by side. `files` (count) are read here and stay open for the texts. */
static Status read_references(ScoreRun *run, const StringList *paths, SegmentFile *files, Err *err)
{
    const char *first = run->paths->items[0];
    run->n_refs = (int)paths->count;
    run->refs = xcalloc((size_t)(run->lines * run->n_refs), sizeof *run->refs);
    for (int r = 0; r < run->n_refs; r++) {
        TRY(segment_file_read(&files[r], paths->items[r], err));
        TRY(check_lines(&files[r], paths->items[r], run->lines, first, err));
        for (int64_t i = 0; i < run->lines; i++)
            run->refs[i * run->n_refs + r] = files[r].segments[i];
    }
    return STATUS_OK;
}

static Status read_systems(ScoreRun *run, Err *err)
{
    const StringList *paths = run->paths;
    for (int i = 0; i < paths->count; i++) {
        TRY(segment_file_read(&run->systems[i], paths->items[i], err));
        run->n_systems = i + 1;
        run->lines = run->systems[0].count;
        TRY(check_lines(&run->systems[i], paths->items[i], run->lines, paths->items[0], err));
    }
    return STATUS_OK;
}

/* Intervals, and how sure the difference of two systems is. */
static void draw(const ScoreRun *run, Measure *m)
{
    Bootstrap bootstrap = run->bootstrap;
    double *scores[SYSTEMS_MAX] = {NULL};
    for (int i = 0; i < run->n_systems; i++) {
        scores[i] = xcalloc((size_t)bootstrap.resamples, sizeof **scores);
        corpus_metric_draw(&m->metric, m->stats[i], run->lines, &bootstrap, scores[i]);
    }
    if (run->n_systems > 1) {
        double *differences = xcalloc((size_t)bootstrap.resamples, sizeof *differences);
        for (int64_t k = 0; k < bootstrap.resamples; k++)
            differences[k] = scores[1][k] - scores[0][k];
        if (!bootstrap_is_blind(differences, bootstrap.resamples)) {
            m->p = bootstrap_p_value(differences, bootstrap.resamples, m->score[1] - m->score[0]);
            m->difference_interval = bootstrap_interval(differences, bootstrap.resamples);
        }
        free(differences);
    }
    for (int i = 0; i < run->n_systems; i++) {
        m->interval[i] = bootstrap_interval(scores[i], bootstrap.resamples);
        free(scores[i]);
    }
}

static Status measure(ScoreRun *run, Measure *m, Err *err)
{
    for (int i = 0; i < run->n_systems; i++) {
        Corpus corpus = {run->systems[i].segments, run->refs, run->lines, run->n_refs};
        m->stats[i] = xcalloc((size_t)run->lines * (size_t)m->width, sizeof **m->stats);
        TRY(corpus_metric_count(&m->metric, &corpus, m->stats[i], err));
        corpus_metric_sum(&m->metric, m->stats[i], run->lines, m->sums[i]);
        m->score[i] = corpus_metric_score(&m->metric, m->sums[i]);
    }
    m->p = m->difference_interval.low = m->difference_interval.high = (double)NAN;
    for (int i = 0; i < run->n_systems; i++)
        m->interval[i] = m->difference_interval;
    if (run->draws && run->lines > 1)
        draw(run, m);
    return STATUS_OK;
}

/* Splits at commas; empty pieces are left out. */
static void split(const char *text, StringList *out)
{
    char *copy = xstrdup(text), *rest = copy, *word;
    while ((word = strsep(&rest, ",")) != NULL)
        if (word[0])
            string_list_add(out, word);
    free(copy);
}

/* Whether most of the references' characters are Chinese: without --tokenize zh, BLEU finds hardly
 * a word in them. */
static bool is_chinese(const ScoreRun *run)
{
    int64_t chinese = 0, all = 0;
    for (int64_t i = 0; i < run->lines * run->n_refs; i++) {
        Segment ref = run->refs[i];
        for (int64_t at = 0; at < ref.bytes; at += utf8_length(ref.text[at])) {
            uint32_t code = utf8_code(ref.text + at, utf8_length(ref.text[at]));
            chinese += code >= 0x3400 && code <= 0x9FFF;
            all += !code_is_space(code);
        }
    }
    return 2 * chinese > all;
}

static Status check_settings(const ScoreSettings *s, Err *err)
{
    if (s->hypotheses.count == 0 || !s->references)
        return err_usage(err, "name both files: --hypotheses FILE --references FILE");
    if (s->hypotheses.count > SYSTEMS_MAX)
        return err_usage(err, "--hypotheses: two files are compared; leave the others out");
    if (s->sentences && (s->hypotheses.count > 1 || s->confidence))
        return err_usage(err, "--sentences scores the lines of one file, without intervals");
    if (s->resamples < 1 || s->resamples > 10000000)
        return err_usage(err, "--resamples takes 1 to 10000000");
    if (s->smooth_value < 0)
        return err_usage(err, "--smooth-value is 0 or more");
    return STATUS_OK;
}

static Status score_run(const void *settings, const StringList *positionals, Err *err)
{
    (void)positionals;
    const ScoreSettings *s = settings;
    TRY(check_settings(s, err));
    ScoreRun run = {.paths = &s->hypotheses,
                    .sentences = s->sentences,
                    .draws = s->confidence || s->hypotheses.count > 1,
                    .bootstrap = {s->resamples, (uint64_t)s->seed}};
    StringList references = {0}, metrics = {0};
    split(s->references, &references);
    split(s->metrics, &metrics);
    SegmentFile *files = xcalloc((size_t)references.count, sizeof *files);
    Status status = STATUS_OK;
    if (references.count == 0 || references.count > 64 || metrics.count == 0)
        TRY_GOTO(err_usage(err, "--references and --metrics each want something, references 64 at "
                                "the most"));
    TRY_GOTO(read_systems(&run, err));
    TRY_GOTO(read_references(&run, &references, files, err));
    for (int64_t m = 0; m < metrics.count; m++)
        TRY_GOTO(add_measure(&run, s, metrics.items[m], err));
    if (!options_given("tokenize") && is_chinese(&run))
        log_warn("the references are Chinese: use --tokenize zh for BLEU");
    for (int m = 0; m < run.n_measures; m++)
        TRY_GOTO(measure(&run, &run.measures[m], err));
    if (s->json)
        score_report_json(&run);
    else
        score_report_print(&run);
done:
    for (int64_t r = 0; r < references.count; r++)
        segment_file_clear(&files[r]);
    free(files);
    run_clear(&run);
    string_list_clear(&references);
    string_list_clear(&metrics);
    return status;
}

const Verb verb_eval_score = {
    .name = "eval score",
    .summary = "score translations: BLEU, chrF, chrF++, TER",
    .positionals = "",
    .positionals_min = 0,
    .positionals_max = 0,
    .details =
        "Scores are those of sacrebleu 2.6.0, whose signatures they carry. With two files of "
        "hypotheses, p is how often a difference as large as theirs comes about by chance, "
        "by paired bootstrap over the lines.",
    .examples =
        {
            "eval score --hypotheses out.zh --references ref.zh --tokenize zh --confidence",
            "eval score --hypotheses old.en --hypotheses new.en --references a.en,b.en",
        },
    .options = score_options,
    .settings_size = sizeof(ScoreSettings),
    .run = score_run,
};
