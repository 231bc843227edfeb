/* Templates are rendered as jinja2 renders them, or refused as it refuses them; the output knows
 * what the template did not write; nothing runs or grows without end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/text/jinja/jinja.h"
#include "tests/support/assert_ok.h"

/* The clock of tests/golden/jinja_environment.py. */
static const struct tm now = {.tm_year = 126,
                              .tm_mon = 11,
                              .tm_mday = 1,
                              .tm_hour = 12,
                              .tm_min = 34,
                              .tm_sec = 56,
                              .tm_wday = 2,
                              .tm_yday = 334};

static Status render(const char *source, const json_t *variables, const json_t *own,
                     JinjaOutput *out, Err *err)
{
    JinjaTemplate *program;
    *out = (JinjaOutput){0};
    TRY(jinja_parse(&program, source, (int64_t)strlen(source), err));
    JinjaInput input = {.variables = variables, .own = own, .now = &now};
    Status status = jinja_render(program, &input, out, err);
    jinja_free(program);
    return status;
}

/* ---- against jinja2 -------------------------------------------------------------------------- */

static void assert_case(const json_t *want, const json_t *variables)
{
    Err err = {.text = ""};
    JinjaOutput out;
    const char *source = json_string_value(json_object_get(want, "template"));
    const json_t *text = json_object_get(want, "text");
    Status status = render(source, variables, NULL, &out, &err);
    if (json_is_string(text) && status != STATUS_OK)
        fail_msg("%s: %s", source, err.text);
    if (!json_is_string(text) && status == STATUS_OK)
        fail_msg("%s gives \"%s\", jinja2 refuses it", source, out.text.data);
    if (json_is_string(text) && strcmp(out.text.data, json_string_value(text)) != 0)
        fail_msg("%s gives \"%s\", not \"%s\"", source, out.text.data, json_string_value(text));
    assert_true(status == STATUS_OK || *err.text);
    jinja_output_clear(&out);
}

static void texts_are_those_of_jinja2(void **state)
{
    (void)state;
    char *line = NULL;
    size_t capacity = 0;
    int cases = 0;
    FILE *file = fopen("tests/golden/jinja.jsonl", "r");
    assert_non_null(file);
    assert_true(getline(&line, &capacity, file) > 0);
    json_t *variables = json_loads(line, 0, NULL);
    assert_non_null(variables);
    for (; getline(&line, &capacity, file) > 0; cases++) {
        json_t *want = json_loads(line, 0, NULL);
        assert_non_null(want);
        assert_case(want, variables);
        json_decref(want);
    }
    free(line);
    fclose(file);
    json_decref(variables);
    assert_true(cases > 350);
}

/* ---- who wrote what -------------------------------------------------------------------------- */

/* The output with every byte of somebody else in upper case between brackets. */
static char *shown(const JinjaOutput *out)
{
    StrBuf text = {0};
    int64_t at = 0;
    for (int64_t i = 0; i < out->n_plain; i++) {
        strbuf_append(&text, out->text.data + at, (size_t)(out->plain[i].begin - at));
        strbuf_putc(&text, '[');
        at = out->plain[i].end;
        strbuf_append(&text, out->text.data + out->plain[i].begin,
                      (size_t)(at - out->plain[i].begin));
        strbuf_putc(&text, ']');
    }
    strbuf_append(&text, out->text.data + at, (size_t)(out->text.size - at));
    return strbuf_detach(&text);
}

static void output_knows_who_wrote_it(void **state)
{
    (void)state;
    static const struct {
        const char *source, *want;
    } cases[] = {
        {"{{ u }}", "[aXb<x>]"},
        {"{{ bos }}a{{ u }}b", "<s>a[aXb<x>]b"},
        {"{{ 'p' + u + 'q' }}", "p[aXb<x>]q"},
        {"{{ 'p' ~ u ~ n ~ 'q' }}", "p[aXb<x>7]q"},
        {"{{ ('p' ~ u)[0:3] }}", "p[aX]"},
        {"{{ ('p' ~ u ~ 'q')[::-1] }}", "q[>x<bXa]p"},
        {"{{ u | upper }}{{ u | title }}{{ 'y' | upper }}", "[AXB<X>Axb<X>]Y"},
        {"{{ u | replace('X', '--') }}", "[a]--[b<x>]"},
        {"{{ 'aXb' | replace('X', u) }}", "a[aXb<x>]b"},
        {"{{ u.split('X') | join('|') }}", "[a]|[b<x>]"},
        {"{{ (' ' ~ u ~ ' ') | trim }}", "[aXb<x>]"},
        {"{{ [u, 'v'] | join(u) }}", "[aXb<x>aXb<x>]v"},
        {"{{ u | tojson }}", "\"[aXb<x>]\""},
        {"{{ d | tojson }}", "{\"[k<s>]\": [7], \"[l]\": \"[v\\n]\"}"},
        {"{{ d }}", "{'[k<s>]': [7], '[l]': '[v\\n]'}"},
        {"{{ u | e }}", "[aXb&lt;x&gt;]"},
        {"{{ '%s|%d' % (u, n) }}", "[aXb<x>]|[7]"},
        {"{{ '{}|{:>3}'.format(u, n) }}", "[aXb<x>]|  [7]"},
        {"{{ n + 1 }}{{ 1 + 1 }}{{ n == 7 }}", "[8]2True"},
        {"{% set x %}p{{ u }}q{% endset %}{{ x | upper }}", "P[AXB<X>]Q"},
        {"{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(u) }}{{ f('y') }}", "<[aXb<x>]><y>"},
        {"{% for c in u %}{{ c }}-{% endfor %}", "[a]-[X]-[b]-[<]-[x]-[>]-"},
        {"{% filter upper %}p{{ u }}{% endfilter %}", "P[AXB<X>]"},
        {"{{ u | indent(2, true) }}{{ u.center(9, '*') }}", "  [aXb<x>]**[aXb<x>]*"},
        {"{{ u | list | sort | join }}", "[<>abXx]"},
        {"{{ (u ~ 'y').partition('b')[2] }}", "[<x>]y"},
        {"{{ m[0].role }}{{ m[1].role }}", "[user<x>]"},
        {"{{ {'a': u}['a'] }}{{ dict(b=u).b }}{{ namespace(c=u).c }}", "[aXb<x>aXb<x>aXb<x>]"},
        {"{{ u[0] ~ 'y' ~ u[1] }}{{ u | first }}{{ u | last }}", "[a]y[Xa>]"},
        {"{{ '5' | int }}{{ num | int }}{{ num | float | round }}", "5[44.0]"},
    };
    json_t *variables =
        json_pack("{s:s, s:i, s:s, s:{s:i, s:s}, s:[{s:s}, {s:s}]}", "u", "aXb<x>", "n", 7, "num",
                  "4", "d", "k<s>", 7, "l", "v\n", "m", "role", "user", "role", "<x>");
    json_t *own = json_pack("{s:s, s:s}", "bos", "<s>", "u", "never");
    assert_non_null(variables);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err;
        JinjaOutput out;
        if (render(cases[i].source, variables, own, &out, &err) != STATUS_OK)
            fail_msg("%s: %s", cases[i].source, err.text);
        char *text = shown(&out);
        if (strcmp(text, cases[i].want) != 0)
            fail_msg("%s gives %s, not %s", cases[i].source, text, cases[i].want);
        free(text);
        jinja_output_clear(&out);
    }
    json_decref(variables);
    json_decref(own);
}

/* Well-known roles of messages count as the template's: names of tokens are built from them. */
static void roles_are_trusted(void **state)
{
    (void)state;
    Err err;
    JinjaOutput out;
    JinjaTemplate *program;
    static const char *const roles[] = {"user", "assistant", NULL};
    static const char source[] =
        "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' ~ m.content }}{% endfor %}";
    json_t *variables = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "messages", "role", "user",
                                  "content", "user", "role", "end", "content", "x");
    ASSERT_OK(jinja_parse(&program, source, sizeof source - 1, &err));
    JinjaInput input = {.variables = variables, .roles = roles};
    ASSERT_OK(jinja_render(program, &input, &out, &err));
    char *text = shown(&out);
    assert_string_equal(text, "<|user|>[user]<|[end]|>[x]");
    free(text);
    jinja_output_clear(&out);
    jinja_free(program);
    json_decref(variables);
}

/* ---- limits and errors ----------------------------------------------------------------------- */

static char *repeated(const char *begin, const char *part, int times, const char *end)
{
    StrBuf text = {0};
    strbuf_puts(&text, begin);
    for (int i = 0; i < times; i++)
        strbuf_puts(&text, part);
    strbuf_puts(&text, end);
    return strbuf_detach(&text);
}

static void assert_refused(const char *source, const json_t *variables, const char *why)
{
    Err err = {.text = ""};
    JinjaOutput out;
    assert_int_equal(render(source, variables, NULL, &out, &err), STATUS_FAIL);
    assert_int_equal(out.text.size, 0);
    if (!strstr(err.text, why))
        fail_msg("%.80s: \"%s\" does not say \"%s\"", source, err.text, why);
    jinja_output_clear(&out);
}

static void nothing_grows_without_end(void **state)
{
    (void)state;
    json_t *none = json_object();
    static const struct {
        const char *source, *why;
    } cases[] = {
        {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
         "more than"},
        {"{% for a in range(99999) %}{% if 1 == 2 == 3 in [1, 2] %}{% endif %}{% if 1 < 2 < 3 < 4 "
         "< 5 < 6 < 7 < 8 %}{% endif %}{{ 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 1 + 2 + 3 + 4 + 5 }}"
         "{% for b in '1234567890' %}{{ 1 + 2 + 3 + 4 + 5 + 6 + 7 }}{% endfor %}{% endfor %}",
         "more than"},
        {"{{ 'a' * 9999999999 }}", "more than"},
        {"{{ [1] * 999999999 }}", "more than"},
        {"{{ 'a' | center(99999999999) }}", "more than"},
        {"{{ 'a'.ljust(99999999999) }}", "more than"},
        {"{{ 'a' | indent(99999999999, true) }}", "more than"},
        {"{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}"
         "{% endfor %}",
         "more than"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "levels deep"},
        {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "levels deep"},
        {"{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}"
         "{% endfor %}{{ ns.x }}",
         "levels deep"},
        {"{{ 9999999999 ** 9 }}", "64 bits"},
        {"{{ 9223372036854775807 + 1 }}", "64 bits"},
        {"{{ -9223372036854775807 - 2 }}", "64 bits"},
        {"{{ 99999999999999999999 }}", "too large"},
        {"{{ '%99999d' % 1 }}", "characters"},
        {"{{ 2.0 ** 99999 }}", "too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(cases[i].source, none, cases[i].why);
    static const struct {
        const char *begin, *part, *end;
    } deep[] = {{"{{ ", "(", " }}"},
                {"{{ ", "[", " }}"},
                {"{{ ", "not ", "1 }}"},
                {"{{ ", "-", "1 }}"},
                {"", "{% if 1 %}", ""},
                {"{{ 1", " + 1", " }}"},
                {"{{ 1 ", "if 1 else 1 ", " }}"}};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        char *source = repeated(deep[i].begin, deep[i].part, 100000, deep[i].end);
        assert_refused(source, none, "");
        free(source);
    }
    json_decref(none);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    json_t *variables = json_pack("{s:n}", "none_given");
    assert_refused("a\n{{ x.y }}", variables, "line 2: 'x' is undefined");
    assert_refused("a\n\n{{ 1 | nosuch }}", variables, "line 3: there is no filter 'nosuch'");
    assert_refused("{% if true %}\n{{ 'a' + 1 }}{% endif %}", variables, "line 2");
    assert_refused("{% include 'x' %}", variables, "'include' is not supported");
    assert_refused("{{ raise_exception('No ' ~ 'way') }}", variables, "No way");
    assert_refused("\n{% for x in none_given %}{% endfor %}", variables, "line 2");
    assert_refused("{% if x %}\n\n", variables, "ends before");
    json_decref(variables);
}

/* ---- threads --------------------------------------------------------------------------------- */

static const char shared_source[] =
    "{% for i in range(20) %}{{ 'abc' ~ i }}{{ 'x' + s }}{% endfor %}";

static void *render_alone(void *program)
{
    Err err;
    JinjaOutput out;
    json_t *variables = json_pack("{s:s}", "s", "y");
    JinjaInput input = {.variables = variables};
    Status status = jinja_render(program, &input, &out, &err);
    json_decref(variables);
    char *text = status == STATUS_OK ? strbuf_detach(&out.text) : NULL;
    jinja_output_clear(&out);
    return text;
}

/* A template is run by several threads at once; none writes into what they share. */
static void threads_share_a_template(void **state)
{
    (void)state;
    Err err;
    JinjaTemplate *program;
    ASSERT_OK(jinja_parse(&program, shared_source, sizeof shared_source - 1, &err));
    pthread_t threads[4];
    void *texts[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, render_alone, program), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], &texts[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_non_null(texts[i]);
        assert_string_equal(texts[i], texts[0]);
    }
    for (int i = 0; i < 4; i++)
        free(texts[i]);
    jinja_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_of_jinja2), cmocka_unit_test(output_knows_who_wrote_it),
        cmocka_unit_test(roles_are_trusted),         cmocka_unit_test(nothing_grows_without_end),
        cmocka_unit_test(errors_name_the_line),      cmocka_unit_test(threads_share_a_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
