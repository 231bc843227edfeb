/* Encoding whole texts: names of added and special tokens are found first, as they are; what lies
 * between is normalised, and searched for the names that are found in the normal form; the rest is
 * text for tokenizer_encode.c.
 *
 * Who wrote a byte decides which names count there: what a user wrote never becomes a control
 * token. Each byte therefore carries a tag, which normalisation keeps. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/char_class.h"
#include "core/text/token_roles.h"
#include "core/text/tokenizer_impl.h"
#include "core/text/utf8.h"

/* Tags, and a bit of what the whole text begins with. */
enum { MARKUP = 0, PLAIN = 1, BEGINS = 2 };

/* A stretch of text. */
typedef struct Section {
    const char *text;
    int64_t bytes;
    const char *tags; /* (bytes), or NULL: `tag` for all */
    char tag;
    bool first; /* it begins the whole text */
} Section;

typedef struct Search {
    Encoding e;
    IdList marks; /* names of the markup that are no control tokens otherwise */
} Search;

static Section part(const Section *s, int64_t begin, int64_t end)
{
    return (Section){s->text + begin, end - begin, s->tags ? s->tags + begin : NULL, s->tag,
                     s->first && begin == 0};
}

/* Whether all of the stretch has the tag. */
static bool all_tagged(const Section *s, int64_t begin, int64_t end, char tag)
{
    if (!s->tags)
        return s->tag == tag;
    for (int64_t i = begin; i < end; i++)
        if ((s->tags[i] & PLAIN) != tag)
            return false;
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_control(const Search *search, int32_t id)
{
    return search->e.tokenizer->control[id] || id_list_has(&search->marks, id);
}

/* The longest name at `at`. That of a control token lies wholly in the markup, or wholly in what a
 * user wrote, where it is text. */
static const Name *name_at(const Search *search, const NameSet *set, const Section *s, int64_t at,
                           bool *is_text)
{
    *is_text = false;
    for (int64_t limit = s->bytes - at; limit > 0;) {
        const Name *name = name_set_find(set, s->text + at, s->bytes - at, limit);
        if (!name || !is_control(search, name->id) || all_tagged(s, at, at + name->bytes, MARKUP))
            return name;
        *is_text = true;
        if (all_tagged(s, at, at + name->bytes, PLAIN))
            return name;
        *is_text = false;
        limit = name->bytes - 1;
    }
    return NULL;
}

typedef void GapFn(Search *search, const Section *gap);

/* Finds the names of the set from left to right, and tells of what lies between them. */
static void find_names(Search *search, const NameSet *set, const Section *s, GapFn *gap)
{
    const uint8_t *ways = search->e.tokenizer->spec.find;
    int64_t start = 0;
    bool all_plain = !s->tags && s->tag == PLAIN; /* where names of control tokens are text */
    bool any = all_plain ? set->n_ordinary > 0 : set->count > 0;
    for (int64_t at = 0; at < s->bytes && any;) {
        bool is_text = false;
        const Name *name = name_set_starts(set, s->text + at, s->bytes - at)
                               ? name_at(search, set, s, at, &is_text)
                               : NULL;
        if (!name) {
            at++;
            continue;
        }
        int64_t begin = at, end = at + name->bytes;
        at = end; /* whatever comes of it */
        int how = ways ? ways[name->id] : 0;
        bool in_word = how & FIND_SINGLE_WORD && (char_word_behind(s->text, begin) ||
                                                  char_word_before(s->text + end, s->bytes - end));
        if (is_text || in_word)
            continue;
        if (how & FIND_LSTRIP) {
            begin -= char_spaces_behind(s->text, begin);
            begin = begin > start ? begin : start;
        }
        if (how & FIND_RSTRIP)
            end += char_spaces_before(s->text + end, s->bytes - end);
        if (start < begin) {
            Section before = part(s, start, begin);
            gap(search, &before);
        }
        if (begin < end) /* the name before may have taken all of it as white space */
            id_list_add(search->e.out, name->id);
        start = end;
    }
    if (start < s->bytes) {
        Section rest = part(s, start, s->bytes);
        gap(search, &rest);
    }
}

/* ---- what lies between ----------------------------------------------------------------------- */

/* Text without names, with the space that the vocabulary wants before it. */
static void encode_text(Search *search, const Section *s)
{
    Encoding *e = &search->e;
    const TokenizerSpec *spec = &e->tokenizer->spec;
    const char *end = e->end;
    bool has = spec->byte_level ? s->text[0] == ' ' : e->tokenizer->normalizer != NULL;
    if (!spec->add_prefix_space || has) {
        encode_stretches(e, s->text, s->bytes, s->first);
        return;
    }
    char *copy = xmalloc((size_t)s->bytes + 1);
    copy[0] = ' ';
    memcpy(copy + 1, s->text, (size_t)s->bytes);
    e->end = copy + s->bytes + 1;
    encode_stretches(e, copy, s->bytes + 1, s->first);
    e->end = end;
    free(copy);
}

/* Valid text in its normal form. */
static void encode_normalized(Search *search, const Section *s)
{
    TaggedText normal = {0};
    strbuf_append(&normal.text, s->text, (size_t)s->bytes);
    for (int64_t i = 0; i < s->bytes; i++)
        strbuf_putc(&normal.tags, s->tags ? s->tags[i] : s->tag);
    for (int i = 0; s->first && i < utf8_length(s->text[0]); i++)
        normal.tags.data[i] |= BEGINS;
    normalizer_run(search->e.tokenizer->normalizer, &normal);
    /* The text's first character may have gone. */
    bool first = normal.text.size > 0 && normal.tags.data[0] & BEGINS;
    Section section = {normal.text.data, normal.text.size, normal.tags.data, MARKUP, first};
    const char *end = search->e.end;
    search->e.end = normal.text.data + normal.text.size;
    if (normal.text.size > 0)
        find_names(search, &search->e.tokenizer->normal_names, &section, encode_text);
    search->e.end = end;
    tagged_text_clear(&normal);
}

static void encode_section(Search *search, const Section *s)
{
    const Tokenizer *t = search->e.tokenizer;
    if (!t->normalizer) {
        find_names(search, &t->normal_names, s, encode_text);
        return;
    }
    for (int64_t at = 0; at < s->bytes;) {
        int64_t valid = utf8_valid_prefix(s->text + at, s->bytes - at);
        Section stretch = part(s, at, at + valid);
        if (valid > 0)
            encode_normalized(search, &stretch);
        at += valid;
        if (at < s->bytes)
            encode_stretches(&search->e, s->text + at++, 1, false);
    }
}

static void encode(Search *search, const Section *s)
{
    find_names(search, &search->e.tokenizer->names, s, encode_section);
    encode_work_give_back(search->e.tokenizer, search->e.work);
    id_list_clear(&search->marks);
}

static Search search_of(const Tokenizer *t, const char *text, int64_t bytes, IdList *out)
{
    return (Search){.e = {t, encode_work_take(t), text + bytes, out}};
}

/* ---- the public calls ------------------------------------------------------------------------ */

void tokenizer_encode(const Tokenizer *tokenizer, const char *text, int64_t bytes, IdList *out)
{
    Search search = search_of(tokenizer, text, bytes, out);
    encode(&search, &(Section){text, bytes, NULL, PLAIN, true});
}

void tokenizer_encode_with_specials(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                                    IdList *out)
{
    Search search = search_of(tokenizer, text, bytes, out);
    encode(&search, &(Section){text, bytes, NULL, MARKUP, true});
}

/* Remembers the marks in a stretch of markup. */
static void collect_marks(Search *search, const NameSet *set, const char *text, int64_t bytes)
{
    for (int64_t at = 0; at < bytes && set->count > 0;) {
        const Name *name = name_set_find(set, text + at, bytes - at, bytes - at);
        if (name && !is_control(search, name->id) && token_role_is_mark(text + at, name->bytes))
            id_list_add(&search->marks, name->id);
        at += name ? name->bytes : 1;
    }
}

void tokenizer_encode_marked(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                             const TextSpan *plain, int64_t n, IdList *out)
{
    Search search = search_of(tokenizer, text, bytes, out);
    char *tags = xcalloc((size_t)bytes + 1, 1);
    int64_t at = 0;
    for (int64_t i = 0; i <= n; i++) {
        int64_t begin = i < n ? plain[i].begin : bytes;
        collect_marks(&search, &tokenizer->names, text + at, begin - at);
        collect_marks(&search, &tokenizer->normal_names, text + at, begin - at);
        if (i == n)
            break;
        memset(tags + begin, PLAIN, (size_t)(plain[i].end - begin));
        at = plain[i].end;
    }
    encode(&search, &(Section){text, bytes, tags, MARKUP, true});
    free(tags);
}

void tokenizer_encode_prompt(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                             bool specials, IdList *out)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    int32_t start = tokenizer_start(tokenizer);
    if (start < 0 && bytes == 0) /* an empty prompt must have something to go on from */
        start = spec->bos >= 0 ? spec->bos : spec->eos;
    if (start >= 0)
        id_list_add(out, start);
    if (specials)
        tokenizer_encode_with_specials(tokenizer, text, bytes, out);
    else
        tokenizer_encode(tokenizer, text, bytes, out);
}
