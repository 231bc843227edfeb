#include "embed/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/io/corpus_reader.h"
#include "core/text/utf8.h"
#include "embed/ngrams.h"
#include "embed/recipe_bvv241.h"

Status corpus_read(const char *path, const CorpusOptions *reading, int64_t limit, DocumentFn *fn,
                   void *context, Err *err)
{
    CorpusReader *reader = corpus_reader_open(path, reading, err);
    if (!reader)
        return STATUS_FAIL;
    StrBuf document = {0};
    Status status = STATUS_OK;
    for (int64_t total = 0; limit == 0 || total < limit;) {
        bool found;
        TRY_GOTO(stop_requested() ? STATUS_STOPPED
                                  : corpus_reader_next(reader, &document, &found, err));
        if (!found)
            break;
        int64_t bytes = document.size;
        if (limit > 0 && bytes > limit - total)
            bytes = utf8_valid_prefix(document.data, limit - total);
        fn(context, document.data, bytes);
        total += document.size;
    }
done:
    strbuf_clear(&document);
    corpus_reader_close(reader);
    return status;
}

static void count_document(void *context, const char *text, int64_t bytes)
{
    bpe_words_add_text(context, text, bytes);
}

static Status read_ngrams(const StringList *paths, NgramList *ngrams, Err *err)
{
    for (int64_t i = 0; i < paths->count; i++)
        TRY(ngrams_read(ngrams, paths->items[i], err));
    return STATUS_OK;
}

static Status count_words(const VocabularyOptions *options, BpeWords *words, Err *err)
{
    const StringList *files = options->corpora;
    NgramList ngrams = {0};
    Status status = STATUS_OK;
    for (int64_t i = 0; i < files->count; i++) {
        log_debug("counting the words of %s", files->items[i]);
        TRY_GOTO(corpus_read(files->items[i], &options->reading, options->corpus_bytes,
                             count_document, words, err));
    }
    if (files->count > 0 && bpe_words_count(words) == 0)
        TRY_GOTO(corpus_no_text(files, options->reading.skips, err));
    TRY_GOTO(read_ngrams(options->ngrams, &ngrams, err));
    for (int64_t i = 0; i < ngrams.count; i++) {
        const Ngram *ngram = &ngrams.items[i];
        if (ngram->count > 0)
            bpe_words_add(words, ngrams.text.data + ngram->offset, ngram->bytes, ngram->count);
    }
done:
    ngrams_clear(&ngrams);
    return status;
}

static Status build_cambium(const VocabularyOptions *options, const FontFiles *fonts,
                            TokenizerSpec *out, json_t **facts, Err *err)
{
    Font *font = NULL;
    CambiumStats stats;
    BpeWords *words = bpe_words_new(cambium_pattern, err);
    if (!words)
        return STATUS_FAIL;
    Status status = STATUS_OK;
    TRY_GOTO(count_words(options, words, err));
    TRY_GOTO(font_open(&font, fonts, 16, err));
    TRY_GOTO(cambium_build(&options->cambium, words, font, out, &stats, err));
    *facts = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "words", (json_int_t)bpe_words_count(words),
        "code_points", (json_int_t)stats.n_code_points, "merged", (json_int_t)stats.n_merged,
        "filled", (json_int_t)stats.n_filled, "without_glyph", (json_int_t)stats.n_without_glyph,
        "text_code_points", (json_int_t)stats.text_code_points, "covered", stats.covered);
done:
    font_close(font);
    bpe_words_free(words);
    return status;
}

static Status build_published(const VocabularyOptions *options, TokenizerSpec *out, json_t **facts,
                              Err *err)
{
    if (options->corpora->count > 0)
        return err_usage(err,
                         "%s is made of published lists alone: leave out --corpus or take the "
                         "recipe cambium",
                         options->recipe);
    NgramList ngrams = {0};
    Bvv241Stats stats;
    Status status = read_ngrams(options->ngrams, &ngrams, err);
    if (status == STATUS_OK)
        status = bvv241_build(bvv241_find(options->recipe), &ngrams, out, &stats, err);
    if (status == STATUS_OK)
        *facts = json_pack("{s:I, s:I, s:I, s:I}", "ngrams", (json_int_t)stats.n_grams, "dropped",
                           (json_int_t)stats.n_dropped, "unused", (json_int_t)stats.n_unused,
                           "merges", (json_int_t)out->n_merges);
    ngrams_clear(&ngrams);
    return status;
}

Status vocabulary_build(const VocabularyOptions *options, const FontFiles *fonts,
                        TokenizerSpec *out, json_t **facts, Err *err)
{
    *out = (TokenizerSpec){0};
    *facts = NULL;
    return bvv241_find(options->recipe) ? build_published(options, out, facts, err)
                                        : build_cambium(options, fonts, out, facts, err);
}
