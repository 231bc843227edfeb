/* Documents out of text, JSON lines, gzip and xz, and what is said about damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lzma.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/support/folder.h"
#include "core/io/corpus_file.h"
#include "core/io/corpus_reader.h"

/* All documents with '|' behind each, or the error with "! " before it. */
static char *read_all(const char *path)
{
    Err err;
    StrBuf all = {0}, document = {0};
    CorpusReader *reader = corpus_reader_open(path, "text", &err);
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

static void assert_reads(const char *name, const void *data, int64_t bytes, const char *wanted)
{
    char *got = read_all(folder_put(name, data, bytes));
    if (wanted[0] == '!')
        assert_non_null(got[0] == '!' ? strstr(got, wanted + 1) : NULL);
    else
        assert_string_equal(got, wanted);
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
}

static void errors_name_file_and_line(void **state)
{
    (void)state;
    assert_reads("b.txt", "ok\nok\f\n\nbad \xff here", -1, "!b.txt:4: byte 0xff is not UTF-8");
    assert_reads("b.txt", "cut \xd0", -1, "!b.txt:1: byte 0xd0");
    assert_reads("b.jsonl", "{\"text\":\"a\"}\n\n{\"text\":", -1, "!b.jsonl:3: not JSON");
    assert_reads("b.jsonl", "{\"text\":\"a\"}\n{\"body\":\"b\"}\n", -1,
                 "!b.jsonl:2: no text in the member \"text\"");
    assert_reads("b.jsonl", "[1]\n", -1, "!b.jsonl:1: no text");
    assert_reads("b.jsonl", "{\"text\":\"\xff\"}\n", -1, "!b.jsonl:1: not JSON");
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

static void check_packing(PackFn *pack, const char *name)
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

    static const int64_t cuts[] = {8, 20, 100, 40000, 1000000};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        assert_reads(name, packed, cuts[i], "!is cut off in the middle");
    assert_reads(name, packed, bytes - 1, "!is cut off in the middle");
    packed[bytes / 2] ^= 0x10;
    assert_reads(name, packed, bytes, "!damaged");
    strbuf_clear(&text);
    strbuf_clear(&wanted);
    free(packed);
}

static void gzip_whole_joined_cut_and_damaged(void **state)
{
    (void)state;
    check_packing(pack_gzip, "c.txt.gz");
}

static void xz_whole_joined_cut_and_damaged(void **state)
{
    (void)state;
    check_packing(pack_xz, "c.txt.xz");
}

static void folders_list_their_corpus_files(void **state)
{
    (void)state;
    Err err;
    StringList files = {0};
    folder_put("2.txt", "b", 1);
    folder_put("1.jsonl.xz", "a", 1);
    folder_put("3.png", "c", 1);
    assert_int_equal(corpus_reader_list(folder_path(""), &files, &err), STATUS_OK);
    assert_int_equal(files.count, 2);
    assert_string_equal(file_base_name(files.items[0]), "1.jsonl.xz");
    string_list_clear(&files);
    assert_int_equal(corpus_reader_list(folder_path("3.png"), &files, &err), STATUS_OK);
    assert_int_equal(files.count, 1);
    string_list_clear(&files);
    assert_int_equal(corpus_reader_list(folder_path("none"), &files, &err), STATUS_FAIL);
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
        cmocka_unit_test_setup_teardown(folders_list_their_corpus_files, folder_set_up,
                                        folder_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
