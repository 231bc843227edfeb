/* What a growth reads: once everything, before anything twice, however it is cut into stages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "train/loader.h"
#include "train/pack_build.h"

enum { PACKS = 3, T = 12 };

static Pack *packs[PACKS];

static int make_packs(void **state)
{
    (void)state;
    folder_begin();
    TokenizerSpec spec;
    Err err = {.text = ""};
    spec_start(&spec);
    spec_bytes(&spec);
    spec.eos = spec_token(&spec, "<end>", 5, TOKEN_SPECIAL);
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    assert_non_null(tokenizer);
    for (int p = 0; p < PACKS; p++) {
        char text[900], name[24];
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)('a' + (i * (size_t)(p + 3)) % 23);
        folder_put("text", text, (int64_t)sizeof text - 211 * p);
        snprintf(name, sizeof name, "%d.pack", p);
        StringList inputs = {0};
        string_list_add(&inputs, folder_path("text"));
        PackPlan plan = {
            .inputs = &inputs, .reading = {.field = "text"}, .tokenizer = tokenizer, .seed = 1};
        PackReport report;
        ASSERT_OK(pack_build(&plan, folder_path(name), &report, &err));
        packs[p] = pack_open(folder_path(name), &err);
        assert_non_null(packs[p]);
        string_list_clear(&inputs);
    }
    tokenizer_free(tokenizer);
    return 0;
}

static int close_packs(void **state)
{
    for (int p = 0; p < PACKS; p++)
        pack_close(packs[p]);
    return folder_tear_down(state);
}

/* A loader that goes on where a checkpoint says. */
static Loader *loader_at(const LoaderSource *sources, int64_t count, int64_t row, uint64_t seed,
                         const char *reading, bool from_start)
{
    Err err = {.text = ""};
    Reading before = {0};
    if (reading) {
        json_t *json = json_loads(reading, 0, NULL);
        ASSERT_OK(reading_parse(json, "here", &before, &err));
        json_decref(json);
    }
    LoaderConfig config = {.sources = sources,
                           .n_sources = count,
                           .batch = 2,
                           .window = row,
                           .seed = seed,
                           .ranks = 1,
                           .reading = &before,
                           .from_start = from_start};
    Loader *loader = loader_new(&config, &err);
    if (!loader)
        fail_msg("%s", err.text);
    reading_clear(&before);
    return loader;
}

/* Ends a stage: what its checkpoint says, as text. */
static char *end_stage(Loader *loader)
{
    json_t *json = reading_json(loader_reading(loader));
    char *text = json_dumps(json, 0);
    json_decref(json);
    loader_free(loader);
    return text;
}

static void stages_read_what_one_run_reads(void **state)
{
    (void)state;
    LoaderSource sources[] = {{packs[0], 0.7}, {packs[1], 0.2}, {packs[2], 0.1 / 3.0}};
    for (int64_t count = 1; count <= 3; count++) {
        Rng rng;
        rng_init(&rng, 4, (uint64_t)count);
        Loader *whole = loader_at(sources, count, T, 9, NULL, false);
        char *reading = NULL;
        for (int stage = 0; stage < 40; stage++) {
            Loader *part = loader_at(sources, count, T, 9, reading, false);
            free(reading);
            for (int64_t step = rng_below(&rng, 14); step > 0; step--) {
                int32_t a[2 * (T + 1)], b[2 * (T + 1)];
                int64_t v[2], w[2];
                loader_next(whole, a, v);
                loader_next(part, b, w);
                assert_memory_equal(a, b, sizeof a);
                assert_memory_equal(v, w, sizeof v);
            }
            reading = end_stage(part);
        }
        char *all = end_stage(whole);
        assert_string_equal(all, reading);
        free(all);
        free(reading);
    }
}

/* Marks what a row of a pack reads; how many of its tokens were read before. */
static int64_t count_tokens(int64_t *times, int64_t window, int64_t row)
{
    int64_t again = 0;
    for (int64_t i = window * row; i < (window + 1) * row; i++)
        again += times[i]++ > 0;
    return again;
}

/* Stages of other mixtures, orders and seeds: a pack goes on where it stopped. */
static void no_window_comes_twice_in_an_epoch(void **state)
{
    (void)state;
    int64_t left[PACKS], *times[PACKS];
    for (int p = 0; p < PACKS; p++) {
        int64_t tokens = pack_info(packs[p])->tokens[PACK_TRAIN];
        times[p] = xcalloc((size_t)tokens, sizeof **times);
        left[p] = read_windows(tokens, T);
    }
    Rng rng;
    rng_init(&rng, 5, 0);
    char *reading = NULL;
    for (int stage = 0; stage < 200; stage++) {
        LoaderSource sources[PACKS];
        int64_t which[PACKS], count = 1 + rng_below(&rng, PACKS), first = rng_below(&rng, PACKS);
        for (int64_t i = 0; i < count; i++) {
            which[i] = (first + i) % PACKS;
            sources[i] = (LoaderSource){packs[which[i]], 1.0 + (double)rng_below(&rng, 3)};
        }
        Loader *loader = loader_at(sources, count, T, (uint64_t)stage, reading, false);
        free(reading);
        int64_t begin[PACKS + 1] = {0};
        for (int64_t i = 0; i < count; i++)
            begin[i + 1] =
                begin[i] + read_windows(pack_info(packs[which[i]])->tokens[PACK_TRAIN], T);
        int64_t windows[2];
        loader_next(loader, NULL, windows);
        for (int r = 0; r < 2; r++) {
            int64_t i = 0;
            while (windows[r] >= begin[i + 1])
                i++;
            int64_t p = which[i], again = count_tokens(times[p], windows[r] - begin[i], T);
            assert_int_equal(again, 0);
            if (--left[p] > 0)
                continue;
            int64_t tokens = pack_info(packs[p])->tokens[PACK_TRAIN];
            left[p] = read_windows(tokens, T);
            memset(times[p], 0, (size_t)tokens * sizeof **times);
        }
        reading = end_stage(loader);
    }
    free(reading);
    for (int p = 0; p < PACKS; p++)
        free(times[p]);
}

/* Rows that divide each other fill an epoch exactly; others leave out or repeat a little. Coverage
 * is what counting says, at any time. */
static void an_epoch_ends_in_rows_of_another_length(void **state)
{
    (void)state;
    int64_t tokens = pack_info(packs[0])->tokens[PACK_TRAIN], *times;
    LoaderSource source = {packs[0], 1.0};
    static const struct {
        int64_t rows[4];
        bool exact;
    } cases[] = {{{24, 12, 6, 3}, true}, {{12, 12, 4, 2}, true}, {{7, 12, 5, 30}, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char *reading = NULL;
        times = xcalloc((size_t)tokens, sizeof *times);
        int64_t read = 0, again = 0, last = 0;
        for (int stage = 0; stage < 4; stage++) {
            int64_t row = cases[c].rows[stage], windows[2], most = stage < 3 ? 8 : 1000;
            Loader *loader = loader_at(&source, 1, row, 3, reading, false);
            free(reading);
            for (int64_t step = 0; step < most; step++) {
                int64_t before = loader_reading(loader)->sources[0].passes[0].epoch;
                loader_next(loader, NULL, windows);
                const ReadSource *s = &loader_reading(loader)->sources[0];
                if (s->passes[s->n_passes - 1].epoch != before)
                    break; /* the epoch has ended, and these rows belong to the next one */
                again +=
                    count_tokens(times, windows[0], row) + count_tokens(times, windows[1], row);
                read += 2 * row;
                int64_t seen = 0;
                for (int64_t i = 0; i < tokens; i++)
                    seen += times[i] > 0;
                ReadCoverage coverage = loader_coverage(loader, 0);
                assert_int_equal(coverage.read, read);
                assert_int_equal(coverage.seen, seen);
                last = seen;
            }
            reading = end_stage(loader);
        }
        free(reading);
        free(times);
        if (cases[c].exact)
            assert_int_equal(again, 0);
        assert_true(again <= read / 4);
        assert_true(last >= tokens * 7 / 10);
        if (cases[c].exact)
            assert_true(last >= tokens - 24);
    }
}

static void a_start_reads_the_same_again_and_says_so(void **state)
{
    (void)state;
    LoaderSource source = {packs[0], 1.0};
    int64_t first[2], second[2], windows = read_windows(pack_info(packs[0])->tokens[PACK_TRAIN], T);
    Loader *loader = loader_at(&source, 1, T, 3, NULL, false);
    loader_next(loader, NULL, first);
    char *reading = end_stage(loader);
    loader = loader_at(&source, 1, T, 3, reading, true);
    loader_next(loader, NULL, second);
    assert_memory_equal(first, second, sizeof first);
    ReadCoverage coverage = loader_coverage(loader, 0);
    assert_int_equal(coverage.read, 4 * T);
    assert_int_equal(coverage.seen, 2 * T);
    assert_int_equal(coverage.never, (windows - 2) * T);
    free(reading);
    loader_free(loader);
}

static void a_pack_given_twice_is_read_once(void **state)
{
    (void)state;
    LoaderSource twice[] = {{packs[0], 1.0}, {packs[0], 2.0}};
    int64_t n = read_windows(pack_info(packs[0])->tokens[PACK_TRAIN], T), windows[2];
    Loader *loader = loader_at(twice, 2, T, 3, NULL, false);
    assert_int_equal(loader_windows(loader), n);
    bool *seen = xcalloc((size_t)n, sizeof *seen);
    for (int64_t step = 0; step < n / 2; step++) {
        loader_next(loader, NULL, windows);
        assert_false(seen[windows[0]] || seen[windows[1]]);
        seen[windows[0]] = seen[windows[1]] = true;
    }
    free(seen);
    loader_free(loader);
}

static void skipping_is_drawing(void **state)
{
    (void)state;
    for (int64_t count = 0; count < 400; count += 7) {
        ReadSource a = {.tokens = 500}, b = a;
        ReadCursor drawn, skipped;
        read_cursor_init(&drawn, &a, T, 1, 0, false);
        read_cursor_init(&skipped, &b, T, 1, 0, false);
        for (int64_t i = 0; i < count + 5; i++)
            read_cursor_next(&drawn, false);
        for (int64_t i = 0; i < 5; i++)
            read_cursor_next(&skipped, false);
        read_cursor_skip(&skipped, count);
        assert_memory_equal(&a, &b, sizeof a);
        read_cursor_clear(&drawn);
        read_cursor_clear(&skipped);
    }
}

/* Rows of 8, then of 9, in a pack of more tokens than could be marked one by one. */
static void a_huge_pack_begins_anew_in_other_rows(void **state)
{
    (void)state;
    ReadSource s = {.name = (char *)(uintptr_t) "huge", .tokens = (int64_t)1 << 40};
    ReadCursor cursor;
    for (int64_t row = 8; row < 12; row++) {
        read_cursor_init(&cursor, &s, row, 1, 0, false);
        for (int i = 0; i < 5; i++)
            assert_in_range(read_cursor_next(&cursor, true), 0, cursor.windows - 1);
        read_cursor_clear(&cursor);
        Reading reading = {.sources = &s, .n_sources = 1}, back;
        Err err = {.text = ""};
        json_t *json = reading_json(&reading);
        ASSERT_OK(reading_parse(json, "here", &back, &err));
        json_decref(json);
        reading_clear(&back);
    }
    assert_int_equal(s.read, 5 * (8 + 9 + 10 + 11));
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char good[] =
        "{'steps': 1, 'sources': [{'data': 'a', 'hash': "
        "'0000000000000000000000000000000000000000000000000000000000000000', 'tokens': 100, "
        "'read': 20, 'whole': false, 'passes': [{'row': 10, 'seed': 1, 'stream': 0, 'epoch': 0, "
        "'drawn': 2, 'after': 0}]}], 'mixture': [{'source': 0, 'share': 1.0, 'drawn': 2}]}";
    static const char *const changes[][2] = {
        {"'steps': 1", "'steps': -1"},     {"'tokens': 100", "'tokens': 0"},
        {"'tokens': 100", "'tokens': 10"}, {"'row': 10", "'row': 0"},
        {"'row': 10", "'row': 1.5"},       {"'drawn': 2, 'after'", "'drawn': 10, 'after'"},
        {"'after': 0", "'after': 1"},      {"'source': 0", "'source': 1"},
        {"'hash': '0", "'hash': '"},       {"'epoch': 0", "'epoch': -1"},
        {"'read': 20", "'read': null"},    {"'stream': 0", "'stream': 99999"},
    };
    for (size_t i = 0; i <= sizeof changes / sizeof *changes; i++) {
        StrBuf text = {0};
        const char *at = i ? strstr(good, changes[i - 1][0]) : NULL;
        assert_true(i == 0 || at != NULL);
        strbuf_printf(&text, "%.*s", at ? (int)(at - good) : (int)sizeof good, good);
        if (at)
            strbuf_printf(&text, "%s%s", changes[i - 1][1], at + strlen(changes[i - 1][0]));
        for (int64_t k = 0; k < text.size; k++)
            text.data[k] = text.data[k] == '\'' ? '"' : text.data[k];
        Reading reading;
        Err err = {.text = ""};
        json_t *json = json_loads(text.data, 0, NULL);
        assert_non_null(json);
        Status status = reading_parse(json, "here", &reading, &err);
        if (status != (i ? STATUS_FAIL : STATUS_OK))
            fail_msg("change %zu: %s", i, err.text);
        if (i && !strstr(err.text, "here"))
            fail_msg("change %zu: %s", i, err.text);
        reading_clear(&reading);
        json_decref(json);
        strbuf_clear(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_read_what_one_run_reads),
        cmocka_unit_test(no_window_comes_twice_in_an_epoch),
        cmocka_unit_test(an_epoch_ends_in_rows_of_another_length),
        cmocka_unit_test(a_start_reads_the_same_again_and_says_so),
        cmocka_unit_test(a_pack_given_twice_is_read_once),
        cmocka_unit_test(skipping_is_drawing),
        cmocka_unit_test(a_huge_pack_begins_anew_in_other_rows),
        cmocka_unit_test(other_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, make_packs, close_packs);
}
