#include "tests/support/mt_scores.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "tests/support/assert_ok.h"

static Segment segment_of(const json_t *text)
{
    return (Segment){json_string_value(text), (int64_t)json_string_length(text)};
}

static int each_of_line(const json_t *line, const char *prefix, MtScoreFn *fn)
{
    const json_t *hyps = json_object_get(line, "hyp"), *refs = json_object_get(line, "refs");
    int64_t n = (int64_t)json_array_size(hyps), n_refs = (int64_t)json_array_size(refs);
    Segment *segments = xcalloc((size_t)(n * (1 + n_refs)), sizeof *segments);
    for (int64_t i = 0; i < n; i++) {
        segments[i] = segment_of(json_array_get(hyps, (size_t)i));
        for (int64_t r = 0; r < n_refs; r++)
            segments[n + i * n_refs + r] =
                segment_of(json_array_get(json_array_get(refs, (size_t)r), (size_t)i));
    }
    Corpus corpus = {segments, segments + n, n, (int)n_refs};
    int count = 0;
    const char *signature;
    json_t *want;
    json_object_foreach(json_object_get(line, "scores"), signature, want)
    {
        if (strncmp(signature, prefix, strlen(prefix)) == 0) {
            fn(&corpus, signature, want);
            count++;
        }
    }
    free(segments);
    return count;
}

int mt_scores_each(const char *path, const char *prefix, MtScoreFn *fn)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int count = 0;
    json_t *line;
    while ((line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        count += each_of_line(line, prefix, fn);
        json_decref(line);
    }
    fclose(file);
    return count;
}

const char *mt_field(const char *signature, const char *name)
{
    static char value[64];
    char start[64];
    snprintf(start, sizeof start, "|%s:", name);
    const char *at = strstr(signature, start);
    assert_non_null(at);
    at += strlen(start);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "|"), at);
    return value;
}

void mt_sums(const CorpusMetric *metric, const Corpus *corpus, double *sums)
{
    Err err;
    int width = corpus_metric_width(metric);
    double *stats = xcalloc((size_t)corpus->n * (size_t)width, sizeof *stats);
    ASSERT_OK(corpus_metric_count(metric, corpus, stats, &err));
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int64_t i = 0; i < corpus->n; i++)
        for (int k = 0; k < width; k++)
            sums[k] += stats[i * width + k];
    free(stats);
}

void assert_signature(const CorpusMetric *metric, const Corpus *corpus, const char *want)
{
    StrBuf text = {0};
    corpus_metric_signature(metric, corpus->n_refs, &text);
    assert_string_equal(text.data, want);
    strbuf_clear(&text);
}

void assert_near(double got, double want, const char *signature)
{
    if (!(fabs(got - want) <= 1e-11 * fmax(1.0, fabs(want))))
        fail_msg("%s: %.15g instead of %.15g", signature, got, want);
}
