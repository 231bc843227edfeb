/* Documents out of text, JSON lines and packed files, and what is said about damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <bzlib.h>
#include <cmocka.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/support/folder.h"
#include "core/io/corpus_file.h"
#include "core/io/corpus_list.h"
#include "core/io/corpus_reader.h"
#include "tests/support/assert_ok.h"

/* All documents with '|' behind each, or the error with "! " before it. */
static char *read_with(const char *path, const CorpusOptions *options)
{
    Err err;
    StrBuf all = {0}, document = {0};
    CorpusReader *reader = corpus_reader_open(path, options, &err);
    Status status = reader ? STATUS_OK : STATUS_FAIL;
    bool found = true;
    while (status == STATUS_OK && found) {
        status = corpus_reader_next(reader, &document, &found, &err);
        if (status == STATUS_OK && found) {
            strbuf_append(&all, document.data, (size_t)document.size);
            strbuf_putc(&all, '|');
        }
    }
    if (status != STATUS_OK) {
        strbuf_reset(&all);
        strbuf_printf(&all, "! %s", err.text);
    }
    strbuf_clear(&document);
    corpus_reader_close(reader);
    return strbuf_detach(&all);
}

static char *read_all(const char *path)
{
    return read_with(path, &(CorpusOptions){.field = "text"});
}

static void assert_reads(const char *name, const void *data, int64_t bytes, const char *wanted)
{
    char *got = read_all(folder_put(name, data, bytes));
    if (wanted[0] != '!')
        assert_string_equal(got, wanted);
    else if (got[0] != '!' || !strstr(got, wanted + 1))
        fail_msg("%s (%lld bytes): %.200s, not %s", name, (long long)bytes, got, wanted);
    free(got);
}

static void text_is_cut_at_form_feeds(void **state)
{
    (void)state;
    assert_reads("a.txt", "one\ntwo\n\f\n \f\fthree", -1, "one\ntwo\n|three|");
    assert_reads("a.txt", "", 0, "");
    assert_reads("a.txt", "\f\f\n", -1, "");
    assert_reads("a.txt", "\xef\xbb\xbfmarked", -1, "marked|");
    assert_reads("a.txt", "\xef\xbb\xbf\n", -1, "");
    assert_reads("noname", "plain", -1, "plain|");
}

static void json_lines_give_their_member(void **state)
{
    (void)state;
    assert_reads("a.jsonl", "{\"text\":\"\\u0436\"}\n\n {\"id\":1,\"text\":\"b\\nc\"}", -1,
                 "ж|b\nc|");
    assert_reads("a.jsonl", "{\"text\":\" \"}\n{\"text\":\"x\"}\n", -1, "x|");
    assert_reads("a.jsonl", "\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}\r\n", -1, "a|b|");
    assert_reads("a.jsonl", "{\"text\":null}\n{\"text\":\"b\",\"text\":\"c\"}", -1, "c|");
    assert_reads("a.jsonl", "{\"text\":\"half \\ud83d\"}", -1, "half \xEF\xBF\xBD|");
}

/* What other members hold does not matter. */
static void only_the_member_is_read(void **state)
{
    (void)state;
    static const char *const values[] = {
        "9223372036854775808", "1e999", "NaN", "-Infinity", "\"\\ud800\"", "\"\xff\"", "[[[[{}]]]]",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        StrBuf line = {0};
        strbuf_printf(&line, "{\"a\":%s,\"text\":\"x\"}\n{\"text\":\"y\",\"b\":%s}\n", values[i],
                      values[i]);
        assert_reads("a.jsonl", line.data, line.size, "x|y|");
        strbuf_clear(&line);
    }
    StrBuf deep = {0};
    strbuf_puts(&deep, "{\"a\":");
    for (int i = 0; i < 5000; i++)
        strbuf_putc(&deep, '[');
    for (int i = 0; i < 5000; i++)
        strbuf_putc(&deep, ']');
    strbuf_puts(&deep, ",\"text\":\"x\"}\n");
    assert_reads("a.jsonl", deep.data, deep.size, "x|");
    strbuf_clear(&deep);
}

static void bad_lines_and_documents_are_left_out(void **state)
{
    (void)state;
    CorpusSkips skips = {0};
    CorpusOptions options = {.field = "text", .skips = &skips};
    static const char lines[] = "{\"text\":\"a\"}\nnot json\n\n{\"text\":1}\n{\"body\":\"b\"}\n"
                                "{\"text\":\"\\x\"}\n\0\0\n{\"text\":\"z\"}\n{\"text\":\"cut";
    static const char documents[] = "one\fbad \xff\fb\0d\ftwo";
    const char *path = folder_put("s.jsonl", lines, sizeof lines - 1);
    char *got = read_with(path, &options);
    assert_string_equal(got, "a|z|");
    free(got);
    assert_int_equal(skips.lines, 6);
    assert_int_equal(skips.documents, 0);
    assert_non_null(strstr(skips.first.text, "s.jsonl:2: not JSON"));
    skips = (CorpusSkips){0};
    got = read_with(folder_put("s.txt", documents, sizeof documents - 1), &options);
    assert_string_equal(got, "one|two|");
    free(got);
    assert_int_equal(skips.documents, 2);
    assert_non_null(strstr(skips.first.text, "s.txt:1: byte 0xff"));
}

static void fields_may_be_nested(void **state)
{
    (void)state;
    const char *path = folder_put("n.jsonl", "{\"meta\":{\"body\":\"x\"}}\n", -1);
    char *got = read_with(path, &(CorpusOptions){.field = "meta.body"});
    assert_string_equal(got, "x|");
    free(got);
}

static void errors_name_file_and_line(void **state)
{
    (void)state;
    assert_reads("b.txt", "ok\nok\f\n\nbad \xff here", -1, "!b.txt:4: byte 0xff is not UTF-8");
    assert_reads("b.txt", "cut \xd0", -1, "!b.txt:1: byte 0xd0");
    assert_reads("b.jsonl", "{\"text\":\"a\"}\n\n{\"text\":", -1, "!b.jsonl:3: not JSON");
    assert_reads(
        "b.jsonl", "{\"text\":\"a\"}\n{\"body\":\"b\"}\n", -1,
        "!b.jsonl:2: no member \"text\"; name the one that holds the text with --field, or "
        "leave out such lines with --skip-bad");
    assert_reads("b.jsonl", "[1]\n", -1, "!b.jsonl:1: a list, where each line is an object");
    assert_reads(
        "b.jsonl", "{\"text\":\"\xff\"}\n", -1,
        "!b.jsonl:1: the member \"text\" is not a text (byte 0xff is not UTF-8 here, at byte "
        "10)");
    assert_reads("b.jsonl", "{\"text\":7}\n", -1, "!b.jsonl:1: the member \"text\" is a number");
    assert_reads("b.jsonl", "{\"text\":\"a\"}{\"text\":\"b\"}\n", -1, "!b.jsonl:1: not JSON (more");
    assert_reads("b.txt", "PK\3\4 more\0", 10, "!b.txt is a zip archive");
    assert_reads("b.txt", "\xff\xfeo\0k\0", 6, "!b.txt is UTF-16; convert it with iconv");
    char *got = read_all(folder_path("missing.txt"));
    assert_non_null(strstr(got, "cannot open"));
    free(got);
}

/* Text long enough for several reads, not compressible into one. */
static StrBuf long_text(void)
{
    StrBuf text = {0};
    Rng rng;
    rng_init(&rng, 3, 0);
    for (int i = 0; i < 300000; i++)
        strbuf_printf(&text, "%llx ", (unsigned long long)(rng_u64(&rng) & 0xffffff));
    return text;
}

static int64_t pack_gzip(const StrBuf *text, uint8_t *out, size_t room)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)text->data, z.avail_in = (uInt)text->size;
    z.next_out = out, z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    int64_t bytes = (int64_t)z.total_out;
    deflateEnd(&z);
    return bytes;
}

static int64_t pack_xz(const StrBuf *text, uint8_t *out, size_t room)
{
    size_t bytes = 0;
    assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, (const uint8_t *)text->data,
                                             (size_t)text->size, out, &bytes, room),
                     LZMA_OK);
    return (int64_t)bytes;
}

typedef int64_t PackFn(const StrBuf *text, uint8_t *out, size_t room);

static void check_packing(PackFn *pack, const char *name, const char *damaged)
{
    StrBuf text = long_text();
    size_t room = (size_t)text.size + (1 << 16);
    uint8_t *packed = xmalloc(2 * room);
    int64_t bytes = pack(&text, packed, room);
    StrBuf wanted = {0};
    strbuf_append(&wanted, text.data, (size_t)text.size);
    strbuf_putc(&wanted, '|');
    assert_reads(name, packed, bytes, wanted.data);

    /* Two packed files one behind the other are their texts one behind the other. */
    memcpy(packed + bytes, packed, (size_t)bytes);
    strbuf_reset(&wanted);
    strbuf_append(&wanted, text.data, (size_t)text.size);
    strbuf_append(&wanted, text.data, (size_t)text.size);
    strbuf_putc(&wanted, '|');
    assert_reads(name, packed, 2 * bytes, wanted.data);

    static const int64_t cuts[] = {8, 20, 100, 40000, 700000};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0] && cuts[i] < bytes; i++)
        assert_reads(name, packed, cuts[i], "!is cut off in the middle");
    assert_reads(name, packed, bytes - 1, "!is cut off in the middle");
    packed[bytes / 2] ^= 0x10;
    assert_reads(name, packed, bytes, damaged);
    strbuf_clear(&text);
    strbuf_clear(&wanted);
    free(packed);
}

static void gzip_whole_joined_cut_and_damaged(void **state)
{
    (void)state;
    check_packing(pack_gzip, "c.txt.gz", "!damaged");
}

static void xz_whole_joined_cut_and_damaged(void **state)
{
    (void)state;
    check_packing(pack_xz, "c.txt.xz", "!damaged");
}

static int64_t pack_bzip(const StrBuf *text, uint8_t *out, size_t room)
{
    unsigned bytes = (unsigned)room;
    assert_int_equal(
        BZ2_bzBuffToBuffCompress((char *)out, &bytes, text->data, (unsigned)text->size, 1, 0, 0),
        BZ_OK);
    return bytes;
}

static int64_t pack_zstd(const StrBuf *text, uint8_t *out, size_t room)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t bytes = ZSTD_compress2(context, out, room, text->data, (size_t)text->size);
    assert_false(ZSTD_isError(bytes));
    ZSTD_freeCCtx(context);
    return (int64_t)bytes;
}

static void bzip_whole_joined_cut_and_damaged(void **state)
{
    (void)state;
    /* A block is given out before its check sum is known: its zero bytes may be met first. */
    check_packing(pack_bzip, "c.txt.bz2", "!c.txt.bz2");
}

static void zstd_whole_joined_cut_and_damaged(void **state)
{
    (void)state;
    check_packing(pack_zstd, "c.txt.zst", "!damaged");
}

static void packed_files_need_no_name(void **state)
{
    (void)state;
    static PackFn *const packs[] = {pack_gzip, pack_xz, pack_bzip, pack_zstd};
    static const char *const names[] = {"a.jsonl.gz", "a.jsonl.xz", "a.jsonl.bz2", "a.jsonl.zst"};
    static const char line[] = "{\"text\":\"x\"}\n";
    StrBuf text = {0};
    strbuf_puts(&text, line);
    uint8_t packed[1024];
    for (size_t i = 0; i < 4; i++) {
        int64_t bytes = packs[i](&text, packed, sizeof packed);
        assert_reads(names[i], packed, bytes, "x|");
        assert_reads("a.jsonl", packed, bytes, "x|");
        assert_reads(names[(i + 1) % 4], packed, bytes, "x|");
        assert_reads("noname", packed, bytes, "{\"text\":\"x\"}\n|");
        assert_reads(names[i], line, -1, "x|"); /* not packed at all */
        assert_reads(names[i], "", 0, "!is empty, as no packed file is");
    }
    strbuf_reset(&text);
    strbuf_puts(&text, "");
    for (size_t i = 0; i < 4; i++)
        assert_reads(names[i], packed, packs[i](&text, packed, sizeof packed), "");
    strbuf_clear(&text);
}

/* As gzip and bzip2 do it, with a warning. */
static void what_follows_packed_data_is_ignored(void **state)
{
    (void)state;
    StrBuf text = {0};
    strbuf_puts(&text, "whole");
    uint8_t packed[1024];
    static const char *const rests[] = {"garbage", "\x1f\x20 more", "BZ0 more"};
    for (size_t i = 0; i < 3; i++) {
        for (int kind = 0; kind < 2; kind++) {
            int64_t bytes = (kind ? pack_bzip : pack_gzip)(&text, packed, sizeof packed);
            size_t rest = strlen(rests[i]);
            memcpy(packed + bytes, rests[i], rest);
            assert_reads("g.txt", packed, bytes + (int64_t)rest, "whole|");
        }
    }
    int64_t bytes = pack_gzip(&text, packed, sizeof packed);
    memset(packed + bytes, 0, 100);
    assert_reads("g.txt", packed, bytes + 100, "whole|");
    strbuf_clear(&text);
}

/* Appends what corpus_list makes of the paths. */
static void list_paths(StringList *files, int n, const char *const *paths)
{
    Err err;
    StringList given = {0};
    for (int i = 0; i < n; i++)
        string_list_add(&given, folder_path(paths[i]));
    ASSERT_OK(corpus_list(&given, files, &err));
    string_list_clear(&given);
}

static void each_file_is_listed_once(void **state)
{
    (void)state;
    StringList files = {0};
    Err err;
    ASSERT_OK(file_make_folder(folder_path("d/e"), &err));
    folder_put("d/1.txt", "a", 1);
    folder_put("d/e/2.txt", "b", 1);
    assert_int_equal(symlink("..", folder_path("d/e/up")), 0);        /* a circle */
    assert_int_equal(symlink("e", folder_path("d/f")), 0);            /* a folder twice */
    assert_int_equal(symlink("self", folder_path("d/self")), 0);      /* leads to itself */
    assert_int_equal(symlink("gone.txt", folder_path("d/l.txt")), 0); /* to nothing */
    assert_int_equal(symlink("1.txt", folder_path("d/same.txt")), 0);
    assert_int_equal(link(folder_path("d/1.txt"), folder_path("d/hard.txt")), 0);
    list_paths(&files, 1, (const char *[]){"d"});
    assert_int_equal(files.count, 2);
    assert_string_equal(file_base_name(files.items[0]), "1.txt");
    assert_string_equal(file_base_name(files.items[1]), "2.txt");
    string_list_clear(&files);
    list_paths(&files, 4, (const char *[]){"d/1.txt", "d", "d/../d/1.txt", "d/hard.txt"});
    assert_int_equal(files.count, 2);
    string_list_clear(&files);
}

static void folders_list_their_corpus_files(void **state)
{
    (void)state;
    Err err;
    StringList files = {0};
    folder_put("2.txt", "b", 1);
    folder_put("1.jsonl.xz", "a", 1);
    folder_put("2.md.zst", "c", 1);
    folder_put("2.ndjson.BZ2", "d", 1);
    folder_put("3.png", "c", 1);
    list_paths(&files, 1, (const char *[]){""});
    assert_int_equal(files.count, 4);
    assert_string_equal(file_base_name(files.items[0]), "1.jsonl.xz");
    string_list_clear(&files);
    list_paths(&files, 1, (const char *[]){"3.png"});
    assert_int_equal(files.count, 1);
    string_list_clear(&files);
    StringList none = {0};
    string_list_add(&none, folder_path("none"));
    assert_int_equal(corpus_list(&none, &files, &err), STATUS_FAIL);
    string_list_clear(&none);
    string_list_clear(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_is_cut_at_form_feeds, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(json_lines_give_their_member, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(errors_name_file_and_line, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(gzip_whole_joined_cut_and_damaged, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(xz_whole_joined_cut_and_damaged, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(bzip_whole_joined_cut_and_damaged, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(zstd_whole_joined_cut_and_damaged, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(packed_files_need_no_name, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(what_follows_packed_data_is_ignored, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(only_the_member_is_read, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(bad_lines_and_documents_are_left_out, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(fields_may_be_nested, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(each_file_is_listed_once, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(folders_list_their_corpus_files, folder_set_up,
                                        folder_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
