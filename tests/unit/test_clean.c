/* Markup readers and the corpus cleaner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "train/clean_html.h"
#include "train/clean_page.h"
#include "train/clean_roff.h"

static const StringList no_names;

/* The paragraphs joined by '|', from HTML ('h'), roff ('r') or plain text ('t'). */
static char *read_joined(char kind, const char *page, int64_t bytes, const StringList *skip)
{
    Paragraphs p = {0};
    StrBuf text = {0}, out = {0};
    strbuf_append(&text, page, (size_t)bytes);
    page_read(kind == 'h' ? PAGE_HTML : kind == 'r' ? PAGE_ROFF : PAGE_TEXT, &text, skip, &p);
    for (int64_t i = 0, n; i < p.count; i++) {
        const char *s = paragraph_at(&p, i, &n);
        strbuf_puts(&out, i ? "|" : "");
        strbuf_append(&out, s, (size_t)n);
    }
    paragraphs_clear(&p);
    strbuf_clear(&text);
    return strbuf_detach(&out);
}

static void assert_reads(char kind, const char *page, const char *wanted)
{
    char *got = read_joined(kind, page, (int64_t)strlen(page), NULL);
    assert_string_equal(got, wanted);
    free(got);
}

static void html_text_and_blocks(void **state)
{
    (void)state;
    assert_reads('h', "<p>One <b>bold</b>\n word.<p>Two<br/>three", "One bold word.|Two\nthree");
    assert_reads('h', "<p>a <br>\n b<br> <BR>\n c<p><br>d<br></p>e", "a\nb|c|d|e");
    assert_reads('h', "<p>\xE4\xB8\xAD<br>\xE6\x96\x87", "\xE4\xB8\xAD\n\xE6\x96\x87");
    assert_reads('h', "<pre>a<br>  b<br><br>c</pre>", "a\n  b\n\nc");
    assert_reads('h', "<ul><li>a</li><li>b</li></ul><table><tr><td>c<td>d</table>", "a|b|c|d");
    assert_reads('h', "<pre>if x:\n    y\n\n\n\nz</pre>", "if x:\n    y\n\nz");
    assert_reads('h', "a < b & c", "a < b & c");
    assert_reads('h', "<![CDATA[1 < 2]]>", "1 < 2");
}

static void html_entities_are_decoded(void **state)
{
    (void)state;
    assert_reads('h', "&laquo;&#1078;&#x436;&raquo;&nbsp;&amp;amp; &bogus; &#xFFFFFFFF; &",
                 "«жж» &amp; &bogus; &#xFFFFFFFF; &");
    assert_reads('h', "a &amp b &ampc &lt;&lt &copy2 &#38 &#x26z &notin &yen",
                 "a & b &c << ©2 & &z &notin ¥");
    assert_reads('h', "&apos &alpha &hellip &#; &#x; &;", "&apos &alpha &hellip &#; &#x; &;");
    assert_reads('h', "&AMP;&Aacute;&zwnj;&yen;&alpha;&frac12;&le;&shy;", "&Á¥α½≤");
}

static void html_drops_what_is_not_text(void **state)
{
    (void)state;
    assert_reads('h', "<head><title>t</title></head>x<script>a<b>'</p>'</script>y<!-- <p> -->z",
                 "xyz");
    assert_reads('h', "<nav>a<nav>b</nav>c</nav>d<style>p{}</style><svg/>e", "de");
    assert_reads('h', "<p title='a>b'>c</p><p title=\"</p>\">d</p>", "c|d");
    StringList skip = {0};
    string_list_add(&skip, "menu");
    const char *page = "<ul class='top menu'><ul>a</ul>b</ul><p id=menu>c</p><img class=menu>d";
    char *got = read_joined('h', page, (int64_t)strlen(page), &skip);
    assert_string_equal(got, "d");
    free(got);
    string_list_clear(&skip);
}

static void html_joins_han_lines_without_blank(void **state)
{
    (void)state;
    assert_reads('h', "<p>中文\n  文本，\n第二 行\nword</p>", "中文文本，第二 行 word");
}

static void roff_man_macros(void **state)
{
    (void)state;
    assert_reads(
        'r',
        ".\\\" comment\n.TH ls 1\n.SH NAME\nls \\- list \\fBfiles\\fP\n.PP\n"
        ".BR open (2),\n.I x y\n.TP\n\\fB\\-a\\fR, \\(bu\nall\n.IP \"two words\" 4\nbody\n",
        "NAME|ls - list files|open(2), x y|-a, • all|two words body");
    assert_reads('r', ".SH\nNext line\ntext\n.nf\na\n  b\n.fi\nc", "Next line|text|a\n  b|c");
    assert_reads('r', ".TS\nl l.\nx\n.TE\n.de Vb\n.nf\n..\n.if t \\{\nq\n.\\}\n.ie n a\n.el b\nc",
                 "c");
    assert_reads('r', "a\\s-1b\\s0c\\*(lqd\\*(rq\\[u0436]\\h'3n'e\\ f\\&g \\\"h", "abc“d”жe fg");
    assert_reads('r', ".B \"quo\"\"ted\" next\n.UR http://x\nsite\n.UE .", "quo\"ted next site .");
}

static void roff_mdoc_macros(void **state)
{
    (void)state;
    assert_reads('r',
                 ".Dd May 1\n.Dt CAT 1\n.Sh NAME\n.Nm cat\n.Nd show\n.Sh USE\n.Nm\n"
                 ".Op Fl a Ar file , Ns x\n.Bl -tag\n.It Fl n\nnumber\n.El\n",
                 "NAME|cat show|USE|cat -a file, x|-n number");
}

static void plain_text_paragraphs(void **state)
{
    (void)state;
    assert_reads('t', "a\nb\n\n \nc\xc2\xa0 d\x01\n", "a b|c d");
}

static void scripts_are_counted_in_letters(void **state)
{
    (void)state;
    const char *text = "Ёж, ab 12 中々";
    int64_t n = (int64_t)strlen(text);
    assert_true(script_share(text, n, SCRIPT_CYRILLIC) == 2.0 / 6.0);
    assert_true(script_share(text, n, SCRIPT_LATIN) == 2.0 / 6.0);
    assert_true(script_share(text, n, SCRIPT_HAN) == 2.0 / 6.0);
    assert_true(script_share("12 !?", 5, SCRIPT_LATIN) == 0.0);
}

static void names_and_contents_tell_the_format(void **state)
{
    (void)state;
    assert_int_equal(page_kind_of_name("a/x.HTML"), PAGE_HTML);
    assert_int_equal(page_kind_of_name("open.2.gz"), PAGE_ROFF);
    assert_int_equal(page_kind_of_name("Foo.3pm.xz"), PAGE_ROFF);
    assert_int_equal(page_kind_of_name("x.txt"), PAGE_TEXT);
    assert_int_equal(page_kind_of_name("x.png"), PAGE_OTHER);
    assert_int_equal(page_kind_of_name("gz"), PAGE_OTHER);
    assert_int_equal(page_kind_of_content("\n<?xml ", 7), PAGE_HTML);
    assert_int_equal(page_kind_of_content(".TH x", 5), PAGE_ROFF);
    assert_int_equal(page_kind_of_content("", 0), PAGE_TEXT);
}

static void other_encodings(void **state)
{
    (void)state;
    Err err;
    StrBuf text = {0};
    strbuf_puts(&text, ".\\\" coding: KOI8-R\n\xd6");
    assert_int_equal(page_to_utf8(&text, NULL, &err), STATUS_OK);
    assert_non_null(strstr(text.data, "ж"));
    strbuf_clear(&text);
    strbuf_puts(&text, "x\xd6\xd0");
    assert_int_equal(page_to_utf8(&text, NULL, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "byte 1 (0xd6)"));
    assert_int_equal(page_to_utf8(&text, "GB18030", &err), STATUS_OK);
    assert_string_equal(text.data, "x中");
    strbuf_clear(&text);
}

/* Any bytes are read in linear time, without a crash, into valid UTF-8 without form feeds. */
static void hostile_markup(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "<",         ">",     "</", "<p",   "<pre>", "<script>", "\"", "'",    "=",
        "&#",        "&",     ";",  "<!--", "\n.",   "\n.nf\n",  "\\", "\\*(", "\\[",
        "\n.if \\{", ".TS\n", "ж",  "\xff", "\f",    " ",        "\n"};
    Rng rng;
    rng_init(&rng, 7, 0);
    for (int round = 0; round < 300; round++) {
        StrBuf page = {0};
        for (int i = 0; i < 200; i++)
            strbuf_puts(&page, pieces[rng_below(&rng, sizeof pieces / sizeof pieces[0])]);
        for (const char *kind = "hrt"; *kind; kind++) {
            char *got = read_joined(*kind, page.data, page.size, &no_names);
            assert_null(strchr(got, '\f'));
            free(got);
        }
        strbuf_clear(&page);
    }
    for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
        StrBuf page = {0};
        for (int i = 0; i < 300000; i++)
            strbuf_puts(&page, pieces[k]);
        for (const char *kind = "hrt"; *kind; kind++)
            free(read_joined(*kind, page.data, page.size, &no_names));
        strbuf_clear(&page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html_text_and_blocks),
        cmocka_unit_test(html_entities_are_decoded),
        cmocka_unit_test(html_drops_what_is_not_text),
        cmocka_unit_test(html_joins_han_lines_without_blank),
        cmocka_unit_test(roff_man_macros),
        cmocka_unit_test(roff_mdoc_macros),
        cmocka_unit_test(plain_text_paragraphs),
        cmocka_unit_test(scripts_are_counted_in_letters),
        cmocka_unit_test(names_and_contents_tell_the_format),
        cmocka_unit_test(other_encodings),
        cmocka_unit_test(hostile_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
