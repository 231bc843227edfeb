/* Packed token files and the loader over them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "core/cli/options.h"
#include "core/io/tokenizer_io.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "train/loader.h"
#include "train/sweep.h"
#include "train/pack_build.h"

/* Bytes, a few letters and pairs, and an eos; `extra` tokens that no text uses. */
static Tokenizer *make_tokenizer(int64_t extra)
{
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    spec_bytes(&spec);
    int32_t a = spec_text(&spec, "a"), b = spec_text(&spec, "b");
    spec_merge(&spec, a, b);
    spec_text(&spec, "ж");
    spec.eos = spec_token(&spec, "<end>", 5, TOKEN_SPECIAL);
    if (extra) {
        int64_t all = spec.n_tokens + extra;
        spec.types = xrealloc(spec.types, (size_t)all);
        spec.offsets = xrealloc(spec.offsets, (size_t)(all + 1) * sizeof *spec.offsets);
        for (; spec.n_tokens < all; spec.n_tokens++) {
            spec.types[spec.n_tokens] = TOKEN_UNUSED;
            spec.offsets[spec.n_tokens + 1] = spec.offsets[spec.n_tokens];
        }
    }
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    return tokenizer;
}

enum { DOCUMENTS = 200 };

/* Documents of 1 to 60 pieces; document i begins with its number. */
static void put_corpus(const char *name, uint64_t seed)
{
    static const char *const pieces[] = {"ab", "a", "ж", "中", " ", "\n", "b"};
    StrBuf text = {0};
    Rng rng;
    rng_init(&rng, seed, 0);
    for (int i = 0; i < DOCUMENTS; i++) {
        strbuf_printf(&text, "%s%d:", i ? "\f" : "", i);
        for (int64_t k = rng_below(&rng, 60); k >= 0; k--)
            strbuf_puts(&text, pieces[rng_below(&rng, 7)]);
    }
    folder_put(name, text.data, text.size);
    strbuf_clear(&text);
}

static PackReport build(const char *input, const char *output, double validation, int64_t extra)
{
    Err err;
    Tokenizer *tokenizer = make_tokenizer(extra);
    StringList inputs = {0};
    string_list_add(&inputs, folder_path(input));
    PackPlan plan = {.inputs = &inputs,
                     .reading = {.field = "text"},
                     .tokenizer = tokenizer,
                     .tokenizer_hash = hash_of("t", 1),
                     .validation = validation,
                     .seed = 5};
    PackReport report;
    if (pack_build(&plan, folder_path(output), &report, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    string_list_clear(&inputs);
    tokenizer_free(tokenizer);
    return report;
}

static Pack *open_pack(const char *name)
{
    Err err;
    Pack *pack = pack_open(folder_path(name), &err);
    if (!pack)
        fail_msg("%s", err.text);
    return pack;
}

static int begin(void **state)
{
    (void)state;
    folder_begin();
    put_corpus("a.txt", 1);
    put_corpus("b.txt", 2);
    build("a.txt", "a.pack", 0.2, 0);
    build("b.txt", "b.pack", 0.2, 0);
    return 0;
}

static void documents_come_back(void **state)
{
    (void)state;
    Tokenizer *tokenizer = make_tokenizer(0);
    Pack *pack = open_pack("a.pack");
    const PackInfo *info = pack_info(pack);
    assert_int_equal(info->documents[0] + info->documents[1], DOCUMENTS);
    assert_in_range(info->documents[PACK_VALIDATION], 20, 60);
    StrBuf all = {0}, text = {0};
    assert_int_equal(file_read(folder_path("a.txt"), 0, &all, NULL), STATUS_OK);
    for (int s = 0; s < PACK_SPLITS; s++) {
        int before = -1;
        int64_t bytes = 0;
        for (int64_t d = 0; d < info->documents[s]; d++) {
            int64_t start = pack_document_start(pack, (PackSplit)s, d);
            int64_t count = pack_document_start(pack, (PackSplit)s, d + 1) - start;
            int32_t ids[300];
            pack_read(pack, (PackSplit)s, start, count, ids);
            assert_int_equal(ids[count - 1], info->eos);
            strbuf_reset(&text);
            tokenizer_decode(tokenizer, ids, count, false, &text);
            assert_int_equal(text.size, pack_document_bytes(pack, (PackSplit)s, d));
            assert_non_null(strstr(all.data, text.data));
            assert_true(atoi(text.data) > before); /* order within a split is kept */
            before = atoi(text.data);
            bytes += text.size;
        }
        assert_int_equal(bytes, info->bytes[s]);
        assert_int_equal(pack_document_start(pack, (PackSplit)s, info->documents[s]),
                         info->tokens[s]);
    }
    strbuf_clear(&all);
    strbuf_clear(&text);
    pack_close(pack);
    tokenizer_free(tokenizer);
}

/* Runs `cambium pack` as the command line would. */
static Status run_verb(const char *const *words, int argc, Err *err)
{
    extern const Verb verb_pack;
    char *argv[16];
    for (int i = 0; i < argc; i++)
        argv[i] = xstrdup(words[i]);
    void *settings = xcalloc(1, verb_pack.settings_size);
    StringList positionals = {0};
    Status status = options_parse(&verb_pack, argc, argv, settings, &positionals, err);
    if (status == STATUS_OK)
        status = verb_pack.run(settings, &positionals, err);
    options_clear(&verb_pack, settings);
    string_list_clear(&positionals);
    free(settings);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return status;
}

static void the_verb_takes_the_tokenizer_of_a_table(void **state)
{
    (void)state;
    Err err;
    ContainerWriter *writer;
    Tokenizer *tokenizer = make_tokenizer(0);
    assert_int_equal(container_create(&writer, folder_path("t.h5"), &err), STATUS_OK);
    assert_int_equal(tokenizer_put(writer, tokenizer_spec(tokenizer), &err), STATUS_OK);
    assert_int_equal(container_commit(writer, &err), STATUS_OK);

    char *table = xstrdup(folder_path("t.h5")), *input = xstrdup(folder_path("a.txt"));
    char *output = xstrdup(folder_path("verb.pack"));
    const char *all[] = {"--table",      table, input,    "-o", output,
                         "--validation", "0.2", "--seed", "5"};
    if (run_verb(all, 9, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    Pack *made = open_pack("verb.pack"), *wanted = open_pack("a.pack");
    assert_true(hash_equal(&pack_info(made)->hash, &pack_info(wanted)->hash));
    Sha256 hash = tokenizer_hash(tokenizer_spec(tokenizer));
    assert_true(hash_equal(&pack_info(made)->tokenizer_hash, &hash));

    const char *no_table[] = {"--table", input, input, "-o", output};
    assert_int_equal(run_verb(no_table, 5, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "a.txt"));
    const char *no_share[] = {"--table", table, input, "-o", output, "--validation", "1"};
    assert_int_equal(run_verb(no_share, 7, &err), STATUS_FAIL);
    const char *bad_input[] = {"--table", table, "-o", output, folder_put("bad.txt", "\xff", 1)};
    assert_int_equal(run_verb(bad_input, 5, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "bad.txt:1:"));
    Pack *still_there = open_pack("verb.pack"); /* a failed run leaves what was there */
    pack_close(still_there);
    pack_close(made);
    pack_close(wanted);
    free(table);
    free(input);
    free(output);
    tokenizer_free(tokenizer);
}

static void assert_same_file(const char *a, const char *b)
{
    StrBuf x = {0}, y = {0};
    assert_int_equal(file_read(folder_path(a), 0, &x, NULL), STATUS_OK);
    assert_int_equal(file_read(folder_path(b), 0, &y, NULL), STATUS_OK);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, (size_t)x.size);
    strbuf_clear(&x);
    strbuf_clear(&y);
}

static void threads_do_not_change_the_file(void **state)
{
    (void)state;
    int width = parallel_width();
    parallel_set_width(1);
    build("a.txt", "one.pack", 0.2, 0);
    parallel_set_width(5);
    build("a.txt", "five.pack", 0.2, 0);
    parallel_set_width(width);
    assert_same_file("one.pack", "five.pack");
    assert_same_file("one.pack", "a.pack");
}

static void large_vocabularies_are_wide(void **state)
{
    (void)state;
    PackReport report = build("a.txt", "wide.pack", 0.2, 70000);
    Pack *narrow = open_pack("a.pack"), *wide = open_pack("wide.pack");
    int64_t n = report.tokens[PACK_TRAIN];
    assert_int_equal(n, pack_info(narrow)->tokens[PACK_TRAIN]);
    assert_true(pack_info(wide)->vocabulary > 65536);
    int32_t *x = xcalloc((size_t)n, sizeof *x), *y = xcalloc((size_t)n, sizeof *y);
    pack_read(narrow, PACK_TRAIN, 0, n, x);
    pack_read(wide, PACK_TRAIN, 0, n, y);
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    free(x);
    free(y);
    pack_close(narrow);
    pack_close(wide);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    Err err;
    StrBuf file = {0};
    assert_int_equal(file_read(folder_path("a.pack"), 0, &file, NULL), STATUS_OK);
    assert_null(pack_open(folder_path("a.txt"), &err));
    assert_null(pack_open(folder_path("none"), &err));
    assert_null(pack_open(folder_put("cut", file.data, file.size / 2), &err));
    assert_null(pack_open(folder_put("empty", "", 0), &err));
    for (int64_t at = 0; at < file.size; at += 997) {
        file.data[at] ^= 4;
        assert_null(pack_open(folder_put("flipped", file.data, file.size), &err));
        assert_non_null(strstr(err.text, "flipped"));
        file.data[at] ^= 4;
    }
    strbuf_clear(&file);
}

static Loader *make_loader(Pack *const packs[2], int rank, int ranks)
{
    Err err;
    LoaderSource sources[2] = {{packs[0], 3.0}, {packs[1], 1.0}};
    LoaderConfig config = {.sources = sources,
                           .n_sources = 2,
                           .batch = 4,
                           .window = 7,
                           .seed = 11,
                           .rank = rank,
                           .ranks = ranks};
    Loader *loader = loader_new(&config, &err);
    if (!loader)
        fail_msg("%s", err.text);
    return loader;
}

static void an_epoch_draws_each_window_once(void **state)
{
    (void)state;
    Pack *pack = open_pack("a.pack");
    LoaderSource source = {pack, 1.0};
    LoaderConfig config = {
        .sources = &source, .n_sources = 1, .batch = 1, .window = 7, .seed = 3, .ranks = 1};
    Err err;
    Loader *loader = loader_new(&config, &err);
    int64_t n = loader_windows(loader), same_place = 0;
    assert_int_equal(n, (pack_info(pack)->tokens[PACK_TRAIN] - 1) / 7);
    int64_t *orders = xcalloc(2 * (size_t)n, sizeof *orders);
    for (int epoch = 0; epoch < 2; epoch++) {
        bool *seen = xcalloc((size_t)n, sizeof *seen);
        for (int64_t i = 0; i < n; i++) {
            int32_t tokens[8], wanted[8];
            int64_t window;
            loader_next(loader, tokens, &window);
            assert_in_range(window, 0, n - 1);
            assert_false(seen[window]);
            seen[window] = true;
            orders[epoch * n + i] = window;
            pack_read(pack, PACK_TRAIN, window * 7, 8, wanted);
            assert_memory_equal(tokens, wanted, sizeof wanted);
        }
        free(seen);
    }
    for (int64_t i = 0; i < n; i++)
        same_place += (orders[i] == orders[n + i]) + (orders[i] == i);
    assert_true(same_place < n / 20 + 10);
    assert_true(loader_coverage(loader, 0).epochs == 2.0);
    free(orders);
    loader_free(loader);
    pack_close(pack);
}

static void ranks_share_the_global_batch(void **state)
{
    (void)state;
    Pack *packs[2] = {open_pack("a.pack"), open_pack("b.pack")};
    Loader *whole = make_loader(packs, 0, 1);
    Loader *halves[2] = {make_loader(packs, 0, 2), make_loader(packs, 1, 2)};
    for (int step = 0; step < 100; step++) {
        int32_t all[4 * 8], part[4 * 8];
        int64_t windows[4], parts[4];
        loader_next(whole, all, windows);
        for (int r = 0; r < 2; r++)
            loader_next(halves[r], part + r * 16, parts + r * 2);
        assert_memory_equal(all, part, sizeof all);
        assert_memory_equal(windows, parts, sizeof windows);
    }
    loader_free(whole);
    loader_free(halves[0]);
    loader_free(halves[1]);
    pack_close(packs[0]);
    pack_close(packs[1]);
}

static void shares_follow_the_weights(void **state)
{
    (void)state;
    Pack *packs[2] = {open_pack("a.pack"), open_pack("b.pack")};
    Loader *loader = make_loader(packs, 0, 1);
    for (int step = 1; step <= 200; step++) {
        int32_t tokens[4 * 8];
        loader_next(loader, tokens, NULL);
        assert_int_equal(loader_reading(loader)->mixture[0].drawn, 3 * step);
        assert_int_equal(loader_reading(loader)->mixture[1].drawn, step);
    }
    loader_free(loader);
    pack_close(packs[0]);
    pack_close(packs[1]);
}

static void a_restored_loader_goes_on(void **state)
{
    (void)state;
    Err err;
    Pack *packs[2] = {open_pack("a.pack"), open_pack("b.pack")};
    Loader *one = make_loader(packs, 0, 1), *two = make_loader(packs, 0, 1);
    int32_t x[4 * 8], y[4 * 8];
    for (int step = 0; step < 333; step++)
        loader_next(one, x, NULL);
    Reading saved = {0};
    reading_copy(&saved, loader_reading(one));
    assert_int_equal(loader_restore(two, &saved, &err), STATUS_OK);
    for (int step = 0; step < 50; step++) {
        loader_next(one, x, NULL);
        loader_next(two, y, NULL);
        assert_memory_equal(x, y, sizeof x);
    }
    Sha256 a = loader_fingerprint(one), b = loader_fingerprint(two);
    assert_true(hash_equal(&a, &b));
    saved.sources[1].passes[0].window = 8;
    assert_int_equal(loader_restore(two, &saved, &err), STATUS_FAIL);
    saved.n_sources = 1;
    assert_int_equal(loader_restore(two, &saved, &err), STATUS_FAIL);
    free(saved.sources[1].name);
    reading_clear(&saved);
    loader_free(one);
    loader_free(two);
    pack_close(packs[0]);
    pack_close(packs[1]);
}

static void impossible_settings_are_refused(void **state)
{
    (void)state;
    Err err;
    Pack *pack = open_pack("a.pack");
    LoaderSource source = {pack, 1.0};
    LoaderConfig config = {
        .sources = &source, .n_sources = 1, .batch = 4, .window = 1 << 20, .ranks = 1};
    assert_null(loader_new(&config, &err));
    assert_non_null(strstr(err.text, "fewer than a row"));
    config.window = 7, config.ranks = 3;
    assert_null(loader_new(&config, &err));
    config.ranks = 1, source.weight = 0.0;
    assert_null(loader_new(&config, &err));
    Sweep sweep;
    build("a.txt", "novalidation.pack", 0.0, 0);
    Pack *without = open_pack("novalidation.pack");
    assert_int_equal(sweep_init(&sweep, without, PACK_VALIDATION, 8, 0, &err), STATUS_FAIL);
    pack_close(without);
    pack_close(pack);
}

/* Each token of a document counts once, its closing eos never, behind as many tokens of the same
 * document as a window has room for; the bytes add up exactly. */
static void check_sweep(const Pack *pack, int64_t row, int64_t limit)
{
    Err err;
    Sweep sweep;
    enum { ROWS = 3 };
    const PackInfo *info = pack_info(pack);
    int64_t n = info->tokens[PACK_VALIDATION], next = 0, sum = 0, rows, all = 0, document = 0;
    int32_t *tokens = xcalloc((size_t)n, sizeof *tokens);
    int32_t *cells = xcalloc((size_t)(3 * ROWS * row), sizeof *cells);
    int32_t *inputs = cells, *targets = inputs + ROWS * row, *bytes = targets + ROWS * row;
    pack_read(pack, PACK_VALIDATION, 0, n, tokens);
    assert_int_equal(sweep_init(&sweep, pack, PACK_VALIDATION, row, limit, &err), STATUS_OK);
    while ((rows = sweep_next(&sweep, ROWS, inputs, targets, bytes)) > 0) {
        all += rows;
        for (int64_t i = 0; i < ROWS * row; i++) {
            if (targets[i] < 0) {
                assert_int_equal(bytes[i], 0);
                continue;
            }
            assert_true(i < rows * row);
            while (tokens[next] == info->eos)
                next++, document++;
            int64_t start = pack_document_start(pack, PACK_VALIDATION, document);
            assert_int_equal(targets[i], tokens[next]);
            for (int64_t back = 0; back <= i % row; back++) {
                int64_t at = next - 1 - back;
                assert_int_equal(inputs[i - back], at >= start ? tokens[at] : info->eos);
            }
            int64_t before = next - start < row / 2 ? next - start : row / 2 - 1;
            assert_true(i % row >= before);
            sum += bytes[i];
            next++;
        }
    }
    assert_int_equal(all, sweep_rows(pack, PACK_VALIDATION, row, limit));
    if (!limit) {
        assert_int_equal(next, n - 1);
        assert_int_equal(sum, info->bytes[PACK_VALIDATION]);
    } else {
        assert_true(all == 1 || all * row <= limit);
    }
    free(cells);
    free(tokens);
}

static void a_sweep_counts_every_token_once(void **state)
{
    (void)state;
    Pack *pack = open_pack("a.pack");
    for (int64_t row = 1; row < 20; row++)
        check_sweep(pack, row, 0);
    check_sweep(pack, 1 << 16, 0);
    check_sweep(pack, 17, 100);
    check_sweep(pack, 8, 3);
    pack_close(pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_back),
        cmocka_unit_test(the_verb_takes_the_tokenizer_of_a_table),
        cmocka_unit_test(threads_do_not_change_the_file),
        cmocka_unit_test(large_vocabularies_are_wide),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(an_epoch_draws_each_window_once),
        cmocka_unit_test(ranks_share_the_global_batch),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(a_restored_loader_goes_on),
        cmocka_unit_test(impossible_settings_are_refused),
        cmocka_unit_test(a_sweep_counts_every_token_once),
    };
    return cmocka_run_group_tests(tests, begin, folder_tear_down);
}
