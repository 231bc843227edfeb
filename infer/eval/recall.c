#include "infer/eval/recall.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/cli/options.h"
#include "core/io/corpus_list.h"
#include "core/text/utf8.h"

enum {
    SLACK = 16,           /* tokens by which numbers and places may change a prompt's length */
    BYTES_PER_TOKEN = 16, /* of any text, at most */
    LENGTHS = 32,         /* at most */
    DEPTHS = 101,
    SAMPLES = 100000,
};

static const char introduction[] =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I "
    "will quiz you about the important information there.\n";
static const char filler[] = "The grass is green. The sky is blue. The sun is yellow. Here we go. "
                             "There and back again. ";

/* ---- prompts --------------------------------------------------------------------------------- */

/* The pass key between `units` sentences of filler. */
static void passkey_prompt(StrBuf *out, int64_t units, double depth, int64_t number)
{
    int64_t before = (int64_t)((double)units * depth + 0.5);
    strbuf_reset(out);
    strbuf_puts(out, introduction);
    for (int64_t i = 0; i <= units; i++) {
        if (i == before)
            strbuf_printf(out, "\nThe pass key is %lld. Remember it. %lld is the pass key.\n",
                          (long long)number, (long long)number);
        if (i < units)
            strbuf_puts(out, filler);
    }
    strbuf_puts(out, "\nWhat is the pass key? The pass key is");
}

/* The end of the last sentence (or line, or word, or at least character) before `at`. */
static int64_t sentence_end(const StrBuf *text, int64_t at)
{
    enum { NEAR = 400 };
    int64_t word = 0;
    for (int64_t i = at; i > 0 && i > at - NEAR; i--) {
        char last = text->data[i - 1];
        if (last == '\n' || (i > 1 && last == ' ' && strchr(".!?", text->data[i - 2])))
            return i;
        if (last == ' ' && !word)
            word = i;
    }
    while (!word && at > 0 && ((unsigned char)text->data[at] & 0xC0) == 0x80)
        at--;
    return word ? word : at;
}

static void needle_prompt(StrBuf *out, const StrBuf *haystack, int64_t bytes, double depth,
                          int64_t number)
{
    int64_t end = sentence_end(haystack, bytes);
    int64_t before = sentence_end(haystack, (int64_t)((double)end * depth));
    if (depth >= 1.0)
        before = end;
    strbuf_reset(out);
    strbuf_append(out, haystack->data, (size_t)before);
    strbuf_printf(out, "The secret number of Oslo is %lld. ", (long long)number);
    strbuf_append(out, haystack->data + before, (size_t)(end - before));
    strbuf_puts(out,
                "\n\nQuestion: What is the secret number of Oslo?\nAnswer: The secret number of "
                "Oslo is");
}

static void make_prompt(StrBuf *out, const RecallSettings *s, int64_t units, double depth,
                        int64_t number)
{
    if (s->haystack)
        needle_prompt(out, s->haystack, units, depth, number);
    else
        passkey_prompt(out, units, depth, number);
}

/* ---- lengths --------------------------------------------------------------------------------- */

static int64_t tokens_of(const RecallSettings *s, const Tokenizer *tokenizer, int64_t units)
{
    StrBuf text = {0};
    IdList ids = {0};
    make_prompt(&text, s, units, 0.5, 12345);
    tokenizer_encode(tokenizer, text.data, text.size, &ids);
    int64_t count = ids.count;
    id_list_clear(&ids);
    strbuf_clear(&text);
    return count;
}

/* The most filler with which a prompt has at most `length` tokens. */
static Status fit(const RecallSettings *s, const Tokenizer *tokenizer, int64_t length, int64_t *out,
                  Err *err)
{
    int64_t most = s->haystack ? s->haystack->size : length;
    int64_t low = 0, high = most;
    if (tokens_of(s, tokenizer, 0) > length - SLACK)
        return err_usage(err, "--lengths: %lld tokens do not hold the question; take more",
                         (long long)length);
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (tokens_of(s, tokenizer, middle) <= length - SLACK)
            low = middle;
        else
            high = middle - 1;
    }
    if (s->haystack && low == most)
        return err_set(
            err,
            "the text for needle, %lld bytes, is shorter than %lld tokens; give more with "
            "--data",
            (long long)most, (long long)length);
    *out = low;
    return STATUS_OK;
}

static Status parse_lengths(const char *text, int64_t lengths[LENGTHS], int *n, Err *err)
{
    char *list = xstrdup(text), *rest = list, *word;
    Status status = STATUS_OK;
    *n = 0;
    while (status == STATUS_OK && (word = strsep(&rest, ",")) != NULL) {
        if (*n == LENGTHS)
            status = err_usage(err, "--lengths: at most %d", LENGTHS);
        else if (option_parse_int(word, &lengths[*n]) != STATUS_OK || lengths[*n] < 1 ||
                 lengths[*n] > INT32_MAX)
            status = err_usage(err, "--lengths: '%.40s' is no number of tokens", word);
        else
            ++*n;
        for (int i = 0; i + 1 < *n && status == STATUS_OK; i++)
            if (lengths[i] == lengths[*n - 1])
                status = err_usage(err, "--lengths: %lld is named twice", (long long)lengths[i]);
    }
    free(list);
    return status;
}

/* ---- questions ------------------------------------------------------------------------------- */

static void add_cell(QuestionGroups *out, const RecallSettings *s, int64_t length, int64_t units,
                     double depth, Rng *rng)
{
    char *category = xasprintf("%lld tokens", (long long)length);
    char *name = xasprintf("%s, depth %.0f %%", category, 100.0 * depth);
    QuestionGroup *group = question_groups_add(out, name, category);
    StrBuf text = {0};
    for (int64_t i = 0; i < s->samples; i++) {
        char id[24], answer[24];
        int64_t number = 10000 + rng_below(rng, 90000);
        make_prompt(&text, s, units, depth, number);
        snprintf(id, sizeof id, "%lld", (long long)i + 1);
        snprintf(answer, sizeof answer, "%lld", (long long)number);
        question_add_choice(question_list_add(&group->questions, id, text.data), answer);
    }
    strbuf_clear(&text);
    free(name);
    free(category);
}

Status recall_make(QuestionGroups *out, const RecallSettings *s, const Tokenizer *tokenizer,
                   Err *err)
{
    int64_t lengths[LENGTHS];
    int n;
    Rng rng;
    rng_init(&rng, (uint64_t)s->seed, s->haystack ? 1 : 0);
    TRY(parse_lengths(s->lengths, lengths, &n, err));
    if (s->depths < 1 || s->depths > DEPTHS)
        return err_usage(err, "--depths is from 1 to %d, a place for every percent", DEPTHS);
    if (s->samples < 1 || s->samples > SAMPLES)
        return err_usage(err, "--samples is from 1 to %d", SAMPLES);
    for (int i = 0; i < n; i++) {
        int64_t units = 0;
        if (lengths[i] > s->longest)
            return err_set(err,
                           "--lengths: %lld tokens are more than the context of %lld; --context "
                           "says what the model shall see",
                           (long long)lengths[i], (long long)s->longest);
        TRY(fit(s, tokenizer, lengths[i], &units, err));
        for (int64_t d = 0; d < s->depths; d++)
            add_cell(out, s, lengths[i], units,
                     s->depths > 1 ? (double)d / (double)(s->depths - 1) : 0.5, &rng);
    }
    return STATUS_OK;
}

/* ---- haystacks ------------------------------------------------------------------------------- */

Status recall_haystack_bytes(const char *lengths, int64_t *out, Err *err)
{
    int64_t list[LENGTHS];
    int n;
    TRY(parse_lengths(lengths, list, &n, err));
    *out = 0;
    for (int i = 0; i < n; i++)
        *out = list[i] * BYTES_PER_TOKEN > *out ? list[i] * BYTES_PER_TOKEN : *out;
    return STATUS_OK;
}

static Status read_documents(StrBuf *out, const char *path, const CorpusOptions *reading,
                             int64_t bytes, Err *err)
{
    CorpusReader *reader = corpus_reader_open(path, reading, err);
    StrBuf text = {0};
    bool found = true;
    Status status = reader ? STATUS_OK : STATUS_FAIL;
    while (status == STATUS_OK && found && out->size < bytes) {
        status = corpus_reader_next(reader, &text, &found, err);
        if (status == STATUS_OK && found && memchr(text.data, '\0', (size_t)text.size))
            status = err_set(err,
                             "%s: a document holds U+0000, which no prompt can; take it out, or "
                             "give another text",
                             path);
        if (status == STATUS_OK && found) {
            strbuf_append(out, text.data, (size_t)text.size);
            strbuf_putc(out, '\n');
        }
    }
    corpus_reader_close(reader);
    strbuf_clear(&text);
    return status;
}

Status recall_haystack(StrBuf *out, const StringList *paths, const CorpusOptions *reading,
                       int64_t bytes, Err *err)
{
    StringList files = {0};
    Status status = corpus_list(paths, &files, err);
    for (int64_t i = 0; i < files.count && status == STATUS_OK && out->size < bytes; i++)
        status = read_documents(out, files.items[i], reading, bytes, err);
    string_list_clear(&files);
    return status;
}
