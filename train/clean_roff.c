#include "train/clean_roff.h"

#include <string.h>

#include "core/base/lines.h"

typedef struct Glyph {
    const char *name;
    uint32_t code;
} Glyph;

/* Special characters of groff_char(7) that manual pages use. */
static const Glyph glyphs[] = {
    {"!=", 0x2260}, {"**", 0x2217}, {"+-", 0xb1},   {"->", 0x2192}, {"14", 0xbc},   {"12", 0xbd},
    {"34", 0xbe},   {"<-", 0x2190}, {"<=", 0x2264}, {"==", 0x2261}, {">=", 0x2265}, {"Bq", 0x201e},
    {"Cs", 0xa4},   {"Fc", 0xbb},   {"Fo", 0xab},   {"Of", 0xaa},   {"Po", 0xa3},   {"Tm", 0x2122},
    {"aq", '\''},   {"at", '@'},    {"ba", '|'},    {"bq", 0x201a}, {"bu", 0x2022}, {"co", 0xa9},
    {"cq", 0x2019}, {"de", 0xb0},   {"dg", 0x2020}, {"di", 0xf7},   {"dq", '"'},    {"em", 0x2014},
    {"en", 0x2013}, {"eu", 0x20ac}, {"fc", 0x203a}, {"fo", 0x2039}, {"ga", '`'},    {"ha", '^'},
    {"hy", '-'},    {"if", 0x221e}, {"lB", '['},    {"lC", '{'},    {"la", 0x27e8}, {"lq", 0x201c},
    {"mc", 0xb5},   {"mi", 0x2212}, {"mu", 0xd7},   {"oq", 0x2018}, {"or", '|'},    {"pc", 0xb7},
    {"pl", '+'},    {"rB", ']'},    {"rC", '}'},    {"ra", 0x27e9}, {"rg", 0xae},   {"rq", 0x201d},
    {"rs", '\\'},   {"sc", 0xa7},   {"sh", '#'},    {"sl", '/'},    {"sq", 0x25a1}, {"ss", 0xdf},
    {"ti", '~'},    {"ul", '_'},    {"~=", 0x2248},
};

typedef struct Reader {
    Paragraphs *out;
    bool verbatim;         /* between .nf and .fi */
    bool heading_next;     /* the next line of text is a heading */
    const char *skip_to;   /* name of the request that ends what is being dropped, or NULL */
    int64_t braces;        /* open \{ of a conditional being dropped */
    const char *page_name; /* first argument of the first .Nm, borrowed from the page */
    int64_t page_name_bytes;
} Reader;

static void add_glyph(Reader *reader, const char *name, int64_t bytes)
{
    for (size_t i = 0; i < sizeof glyphs / sizeof glyphs[0]; i++)
        if ((int64_t)strlen(glyphs[i].name) == bytes &&
            !memcmp(glyphs[i].name, name, (size_t)bytes))
            paragraph_add_char(reader->out, glyphs[i].code);
    uint32_t code = 0;
    if (bytes < 5 || bytes > 7 || name[0] != 'u')
        return;
    for (int64_t i = 1; i < bytes; i++) {
        const char *digits = "0123456789ABCDEF", *digit = memchr(digits, name[i], 16);
        if (!digit)
            return;
        code = code * 16 + (uint32_t)(digit - digits);
    }
    paragraph_add_char(reader->out, code);
}

/* Length of the name behind an escape letter: "x", "(xx" or "[...]"; `*name`, `*bytes`: it. */
static int64_t escape_name(const char *s, int64_t left, const char **name, int64_t *bytes)
{
    int64_t skip = 0, total = 1;
    if (left <= 0) {
        *name = s, *bytes = 0;
        return 0;
    }
    if (*s == '(') {
        skip = 1, *bytes = left < 3 ? left - 1 : 2, total = 1 + *bytes;
    } else if (*s == '[') {
        const char *end = memchr(s, ']', (size_t)left);
        skip = 1, *bytes = (end ? end - s : left) - 1, total = end ? end - s + 1 : left;
    } else {
        *bytes = 1;
    }
    *name = s + skip;
    return total;
}

/* Length of 'argument' with any delimiter. */
static int64_t escape_quoted(const char *s, int64_t left)
{
    const char *end = left > 1 ? memchr(s + 1, s[0], (size_t)left - 1) : NULL;
    return end ? end - s + 1 : left;
}

/* A number behind \s: optional sign, then "n", "(nn", "[..]" or '..'. */
static int64_t escape_size(const char *s, int64_t left)
{
    int64_t i = left > 0 && (s[0] == '+' || s[0] == '-');
    if (i < left && s[i] == '\'')
        return i + escape_quoted(s + i, left - i);
    const char *name;
    int64_t bytes;
    return i + escape_name(s + i, left - i, &name, &bytes);
}

/* Handles the escape at `s` (a backslash) and returns its length; a comment takes all that is
 * left. */
static int64_t read_escape(Reader *reader, const char *s, int64_t left)
{
    if (left < 2)
        return left; /* continues on the next line */
    const char *name;
    int64_t bytes, used;
    switch (s[1]) {
    case '"':
    case '#':
        return left;
    case '-':
        paragraph_add(reader->out, "-", 1);
        return 2;
    case '\\':
    case 'e':
    case 'E':
        paragraph_add(reader->out, "\\", 1);
        return 2;
    case ' ':
    case '~':
    case '0':
    case 't':
        paragraph_add(reader->out, " ", 1);
        return 2;
    case '\'':
    case '`':
    case '.':
    case '_':
        paragraph_add(reader->out, s + 1, 1);
        return 2;
    case '(':
    case '[':
        used = escape_name(s + 1, left - 1, &name, &bytes);
        add_glyph(reader, name, bytes);
        return 1 + used;
    case '*':
        used = escape_name(s + 2, left - 2, &name, &bytes);
        add_glyph(reader, name, bytes); /* \*(lq and its like are named as the glyphs are */
        return 2 + used;
    case 'f':
    case 'F':
    case 'm':
    case 'M':
    case 'n':
    case 'k':
    case 'g':
    case 'V':
    case 'Y':
        return 2 + escape_name(s + 2, left - 2, &name, &bytes);
    case 's':
        return 2 + escape_size(s + 2, left - 2);
    case 'h':
    case 'v':
    case 'w':
    case 'l':
    case 'L':
    case 'o':
    case 'b':
    case 'D':
    case 'H':
    case 'N':
    case 'S':
    case 'x':
    case 'X':
    case 'Z':
    case 'A':
    case 'B':
    case 'R':
        return 2 + escape_quoted(s + 2, left - 2);
    default:
        return 2; /* \& \% \| \^ \c \: \, \/ and the like: no ink */
    }
}

static void add_text(Reader *reader, const char *s, int64_t bytes)
{
    while (bytes > 0) {
        const char *mark = memchr(s, '\\', (size_t)bytes);
        int64_t used = mark ? mark - s : bytes;
        if (used)
            paragraph_add(reader->out, s, used);
        else
            used = read_escape(reader, s, bytes);
        s += used, bytes -= used;
    }
}

static void end_paragraph(Reader *reader)
{
    reader->out->verbatim = reader->verbatim;
    paragraph_end(reader->out);
}

/* Cuts the next argument from the line: quoted ("" is a quote) or up to a blank. */
static bool next_argument(const char **line, int64_t *left, const char **word, int64_t *bytes)
{
    const char *s = *line, *end = s + *left;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    if (s == end || (s + 1 < end && s[0] == '\\' && (s[1] == '"' || s[1] == '#')))
        return false;
    bool quoted = *s == '"';
    const char *start = s += quoted;
    while (s < end &&
           (quoted ? *s != '"' || (s + 1 < end && s[1] == '"') : *s != ' ' && *s != '\t'))
        s += (*s == '\\' || *s == '"') && s + 1 < end ? 2 : 1;
    *word = start, *bytes = s - start;
    s += quoted && s < end;
    *line = s, *left = end - s;
    return true;
}

static void add_argument(Reader *reader, const char *word, int64_t bytes)
{
    while (bytes > 0) {
        const char *pair = memmem(word, (size_t)bytes, "\"\"", 2);
        int64_t used = pair ? pair - word + 1 : bytes;
        add_text(reader, word, used);
        used += pair ? 1 : 0;
        word += used, bytes -= used;
    }
}

/* Adds the arguments of the line with `between` among them; at most `most`. */
static void add_arguments(Reader *reader, const char *line, int64_t left, const char *between,
                          int64_t most)
{
    const char *word;
    int64_t bytes;
    for (int64_t i = 0; i < most && next_argument(&line, &left, &word, &bytes); i++) {
        if (i)
            paragraph_add(reader->out, between, (int64_t)strlen(between));
        add_argument(reader, word, bytes);
    }
}

static bool word_in(const char *word, int64_t bytes, const char *list)
{
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, " ");
        if ((int64_t)n == bytes && memcmp(p, word, n) == 0)
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

static const char mdoc_inline[] =
    "Ad An Ao Ap Aq Ar Bc Bo Bq Cd Cm Dl Do Dq Dv Ec Em En Eo Er Ev Fa Fl Fn Ft Ic In Li Lk Ms Mt "
    "Nd Nm Ns No Oc Oo Op Pa Pc Po Pq Qc Ql Qo Qq Sc So Sq Sx Sy Tn Ux Va Vt Xc Xo Xr Fd";

/* A line of mdoc: the words among the arguments that are macros themselves leave no ink, except
 * that Fl puts a dash before the word behind it. */
static void add_mdoc(Reader *reader, const char *macro, const char *line, int64_t left)
{
    const char *word;
    int64_t bytes, words = 0;
    bool dash = memcmp(macro, "Fl", 2) == 0;
    while (next_argument(&line, &left, &word, &bytes)) {
        if (word_in(word, bytes, mdoc_inline)) {
            dash = memcmp(word, "Fl", 2) == 0;
            continue;
        }
        bool mark = bytes == 1 && strchr(".,;:)]", *word);
        if (words++ && !mark)
            paragraph_add(reader->out, " ", 1);
        if (dash && !mark)
            paragraph_add(reader->out, "-", 1);
        dash = false;
        add_argument(reader, word, bytes);
        if (memcmp(macro, "Nm", 2) == 0 && !reader->page_name)
            reader->page_name = word, reader->page_name_bytes = bytes;
    }
    if (!words && memcmp(macro, "Nm", 2) == 0 && reader->page_name)
        add_argument(reader, reader->page_name, reader->page_name_bytes);
    paragraph_add(reader->out, "\n", 1);
}

/* What ends the passages that are dropped whole; NULL: `name` begins none. */
static const char *passage_end(const char *name, int64_t bytes)
{
    static const char *const passages[][2] = {{"TS", "TE"}, {"EQ", "EN"}, {"PS", "PE"},
                                              {"de", "."},  {"am", "."},  {"ig", "."}};
    for (size_t i = 0; i < sizeof passages / sizeof passages[0]; i++)
        if (word_in(name, bytes, passages[i][0]))
            return passages[i][1];
    return NULL;
}

static int64_t count_braces(const char *line, int64_t bytes)
{
    int64_t open = 0;
    for (int64_t i = 0; i + 1 < bytes; i++)
        if (line[i] == '\\') {
            open += (line[i + 1] == '{') - (line[i + 1] == '}');
            i++;
        }
    return open;
}

static void read_heading(Reader *reader, const char *rest, int64_t left)
{
    end_paragraph(reader);
    reader->verbatim = false;
    int64_t before = reader->out->open.size;
    add_arguments(reader, rest, left, " ", INT64_MAX);
    reader->heading_next = reader->out->open.size == before;
    if (!reader->heading_next)
        end_paragraph(reader);
}

/* Requests that print nothing themselves but end or change the running paragraph. */
static bool read_layout(Reader *reader, const char *name, int64_t bytes)
{
    bool begins = word_in(name, bytes, "nf EX Vb Bd"), ends = word_in(name, bytes, "fi EE Ve Ed");
    if (begins || ends) {
        end_paragraph(reader);
        reader->verbatim = begins;
        return true;
    }
    if (word_in(name, bytes, "PP P LP Pp HP TP TQ RS RE sp br in ti Sp Bl El bp")) {
        if (!reader->verbatim || !word_in(name, bytes, "sp br"))
            end_paragraph(reader);
        else
            paragraph_add(reader->out, "\n", 1);
        return true;
    }
    return false;
}

static void read_request(Reader *reader, const char *line, int64_t left)
{
    while (left > 0 && (*line == ' ' || *line == '\t'))
        line++, left--;
    int64_t n = 0;
    while (n < left && line[n] != ' ' && line[n] != '\t' && line[n] != '\\')
        n++;
    const char *rest = line + n;
    int64_t rest_bytes = left - n;
    if (reader->skip_to) {
        if (word_in(line, n, reader->skip_to))
            reader->skip_to = NULL;
        return;
    }
    if ((reader->skip_to = passage_end(line, n)) || read_layout(reader, line, n))
        return;
    if (word_in(line, n, "if ie el while")) {
        reader->braces = count_braces(rest, rest_bytes);
    } else if (word_in(line, n, "SH SS Sh Ss")) {
        read_heading(reader, rest, rest_bytes);
    } else if (word_in(line, n, "B I SM SB R UE ME OP")) {
        add_arguments(reader, rest, rest_bytes, " ", INT64_MAX);
        paragraph_add(reader->out, "\n", 1);
    } else if (word_in(line, n, "BR RB IR RI BI IB")) {
        add_arguments(reader, rest, rest_bytes, "", INT64_MAX);
        paragraph_add(reader->out, "\n", 1);
    } else if (word_in(line, n, "IP It")) {
        end_paragraph(reader);
        if (n == 2 && line[1] == 't')
            add_mdoc(reader, line, rest, rest_bytes);
        else
            add_arguments(reader, rest, rest_bytes, " ", 1);
        paragraph_add(reader->out, "\n", 1);
    } else if (n == 2 && word_in(line, n, mdoc_inline)) {
        add_mdoc(reader, line, rest, rest_bytes);
    }
}

static void read_line(Reader *reader, const char *line, int64_t bytes)
{
    bool request = bytes > 0 && (line[0] == '.' || line[0] == '\'');
    if (reader->braces > 0) {
        reader->braces += count_braces(line, bytes);
    } else if (request) {
        read_request(reader, line + 1, bytes - 1);
    } else if (!reader->skip_to) {
        if (!reader->verbatim && (bytes == 0 || line[0] == ' '))
            end_paragraph(reader);
        add_text(reader, line, bytes);
        paragraph_add(reader->out, "\n", 1);
        if (reader->heading_next && bytes > 0) {
            reader->heading_next = false;
            end_paragraph(reader);
        }
    }
}

void roff_read(const char *page, int64_t bytes, Paragraphs *out)
{
    Reader reader = {.out = out};
    paragraph_end(out);
    for (TextLine line = lines_of(page, bytes); lines_next(&line);)
        read_line(&reader, line.text,
                  line.bytes - (line.bytes > 0 && line.text[line.bytes - 1] == '\r'));
    end_paragraph(&reader);
}
