/* The text of `cambium VERB --help`, made from the option tables. */
#include <stdio.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "core/cli/options.h"

enum { COLUMNS = 98, OPTION_INDENT = 33 };

/* How many characters of UTF-8 the bytes are. */
static int width_of(const char *text, size_t bytes)
{
    int width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += ((unsigned char)text[i] & 0xC0) != 0x80;
    return width;
}

/* Prints words from `column` on, each line but the first with this indent. */
static void print_wrapped(const char *text, int column, int indent)
{
    for (bool first = true; *text; first = false) {
        size_t bytes = strcspn(text, " ");
        int width = width_of(text, bytes);
        if (!first && column + 1 + width > COLUMNS) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)bytes, text);
        column += width;
        text += bytes;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void option_help(const Option *o)
{
    const char *placeholder = o->kind == OPTION_CHOICE && !o->placeholder ? o->choices
                              : o->placeholder                            ? o->placeholder
                                                                          : "";
    StrBuf line = {0};
    strbuf_printf(&line, "  %s%c%s--%s%s%s", o->letter ? "-" : "", o->letter ? o->letter : ' ',
                  o->letter ? ", " : "   ", o->name, placeholder[0] ? " " : "", placeholder);
    if (line.size >= OPTION_INDENT)
        printf("%s\n%*s", line.data, OPTION_INDENT, "");
    else
        printf("%-*s", OPTION_INDENT, line.data);
    strbuf_clear(&line);
    strbuf_puts(&line, o->help);
    if (o->kind == OPTION_CHOICE && o->placeholder)
        strbuf_printf(&line, " (%s)", o->choices);
    if (o->standard && o->standard[0] && o->kind != OPTION_FLAG)
        strbuf_printf(&line, " [%s]", o->standard);
    print_wrapped(line.data, OPTION_INDENT, OPTION_INDENT);
    strbuf_clear(&line);
}

static void help_table(const Option *table)
{
    for (const Option *o = table; o->name; o++) {
        if (o->group)
            printf("\n%s:\n", o->group);
        option_help(o);
    }
}

void options_help(const Verb *verb)
{
    printf("Usage: cambium %s %s%s[OPTIONS]\n\n%s\n", verb->name, verb->positionals,
           verb->positionals[0] ? " " : "", verb->summary);
    if (verb->second_words)
        printf("\nOther forms, each with a --help of its own:\n");
    for (const Verb *const *v = verb->second_words; v && *v; v++)
        printf("  cambium %-22s %s\n", (*v)->name, (*v)->summary);
    if (verb->options->name && !verb->options->group)
        printf("\nOptions:\n");
    help_table(verb->options);
    help_table(options_of_all_verbs());
    printf("  -h, --help                     this text\n");
    if (verb->details) {
        putchar('\n');
        print_wrapped(verb->details, 0, 0);
    }
    printf("\nExamples:\n");
    for (int i = 0; i < VERB_EXAMPLES && verb->examples[i]; i++)
        printf("  cambium %s\n", verb->examples[i]);
}
