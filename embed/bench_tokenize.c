/* The speed of tokenizing, on one thread. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/bench.h"
#include "core/io/tokenizer_io.h"
#include "embed/sample_text.h"

enum { TEXT_BYTES = 4 << 20, VOCABULARY = 16384 };

/* A text and what it is called in the results. */
typedef struct Sample {
    char name[48];
    StrBuf text;
    BenchTimes times;
} Sample;

enum { ONE_LETTER = SAMPLE_SCRIPTS, SAMPLES };

static void make_samples(Sample samples[SAMPLES])
{
    for (int i = 0; i < SAMPLES; i++) {
        Sample *sample = &samples[i];
        snprintf(sample->name, sizeof sample->name, "%s_mb_per_second",
                 i == ONE_LETTER ? "one_letter" : sample_name(i));
        if (i < ONE_LETTER)
            sample_text(i, TEXT_BYTES, &sample->text);
        while (sample->text.size < TEXT_BYTES)
            strbuf_putc(&sample->text, 'a');
    }
}

static Status open_tokenizer(const char *path, Tokenizer **tokenizer, Err *err)
{
    if (path) {
        TokenizerSpec spec;
        TRY(tokenizer_spec_load(path, &spec, err));
        *tokenizer = tokenizer_new(&spec, err);
        return *tokenizer ? STATUS_OK : err_wrap(err, "%s", path);
    }
    FontFiles fonts = {0};
    StringList standard = {0};
    TRY(font_files_open(&fonts, &standard, err));
    Status status = sample_tokenizer(tokenizer, &fonts, VOCABULARY, err);
    font_files_close(&fonts);
    return status;
}

/* All samples in turn, then decoding, until the time is over. */
static void measure(const Tokenizer *tokenizer, double seconds, Sample samples[SAMPLES],
                    BenchTimes *decoding, int64_t *decoded)
{
    IdList ids = {0};
    StrBuf back = {0};
    double end = clock_seconds() + seconds;
    while (decoding->count < 3 || clock_seconds() < end) {
        for (int i = SAMPLES - 1; i >= 0; i--) {
            double start = clock_seconds();
            ids.count = 0;
            tokenizer_encode(tokenizer, samples[i].text.data, samples[i].text.size, &ids);
            bench_time_add(&samples[i].times, clock_seconds() - start);
        }
        double start = clock_seconds();
        strbuf_reset(&back);
        tokenizer_decode(tokenizer, ids.items, ids.count, false, &back);
        bench_time_add(decoding, clock_seconds() - start);
    }
    *decoded = back.size;
    id_list_clear(&ids);
    strbuf_clear(&back);
}

static Status tokenize(const BenchRun *how, BenchResult *result, Err *err)
{
    Tokenizer *tokenizer;
    TRY(open_tokenizer(how->path, &tokenizer, err));
    Sample *samples = xcalloc(SAMPLES, sizeof *samples);
    BenchTimes *decoding = xcalloc(1, sizeof *decoding);
    int64_t decoded;
    make_samples(samples);
    measure(tokenizer, how->seconds, samples, decoding, &decoded);
    bench_put(result, "tokens", (double)tokenizer_size(tokenizer), "in the vocabulary");
    for (int i = 0; i < SAMPLES; i++) {
        double bytes = (double)samples[i].text.size;
        bench_put(result, samples[i].name, bytes / bench_median(&samples[i].times) * 1e-6, "MB/s");
        strbuf_clear(&samples[i].text);
    }
    bench_put(result, "decode_mb_per_second", (double)decoded / bench_median(decoding) * 1e-6,
              "MB/s");
    free(samples);
    free(decoding);
    tokenizer_free(tokenizer);
    return STATUS_OK;
}

const Bench bench_tokenize[] = {
    {"tokenize", "text to ids and back on one thread (--model: a table, model or tokenizer.json)",
     tokenize},
    {0},
};
