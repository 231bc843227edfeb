/* The values of a template's variables: Python's, as far as templates see them. Numbers are 64-bit
 * integers and doubles. Texts know which of their bytes somebody else than the template wrote.
 * Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_VALUE_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_VALUE_H

#include <stdbool.h>

#include "core/text/jinja/jinja_work.h"
#include "core/text/tokenizer.h"

typedef enum JinjaKind {
    JINJA_ABSENT = 0, /* an argument that was not given; never a variable's */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_RANGE,
    JINJA_VIEW,     /* a dictionary's keys, values or items */
    JINJA_ITERATOR, /* what can be gone through once */
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_MACRO,
    JINJA_LOOP,
    JINJA_CYCLER,
    JINJA_JOINER,
} JinjaKind;

/* Room behind the texts that begin in it: the last of them can grow in place, so that building a
 * text piece by piece takes linear time. */
typedef struct JinjaRoom {
    char *data;
    TextSpan *plain;
    int64_t size, capacity, n_plain, plain_capacity;
} JinjaRoom;

typedef struct JinjaText {
    const char *data; /* UTF-8; other bytes stand for themselves */
    int64_t size, chars;
    const TextSpan *plain; /* (n_plain) in order: what the template did not write */
    int64_t n_plain;
    JinjaRoom *room; /* NULL: no room of its own */
    bool markup;     /* went through `safe` or `escape` */
} JinjaText;

typedef struct JinjaValue JinjaValue;
typedef struct JinjaList JinjaList;
typedef struct JinjaDict JinjaDict;
typedef struct JinjaEntry JinjaEntry;
typedef struct JinjaMethod JinjaMethod;
typedef struct JinjaMacro JinjaMacro;
typedef struct JinjaLoop JinjaLoop;

struct JinjaValue {
    uint8_t kind; /* JinjaKind */
    bool plain;   /* a number, truth value or None that the template did not write */
    union {
        bool truth;
        int64_t number;
        double real;
        JinjaText *text;
        JinjaList *list;  /* also tuple, range, view, iterator, cycler */
        JinjaDict *dict;  /* also namespace */
        const char *name; /* undefined: of what */
        const JinjaEntry *function;
        JinjaMethod *method;
        JinjaMacro *macro;
        JinjaLoop *loop;
        JinjaList *joiner; /* its separator; at: whether it was used */
    };
};

struct JinjaList {
    JinjaValue *items;
    int64_t count, capacity;
    int64_t at;                /* an iterator: what is next; a cycler: the current one */
    const char *name;          /* views: what Python calls it; "group": a tuple of groupby */
    int64_t start, stop, step; /* ranges */
};

struct JinjaDict {
    JinjaValue *keys, *values;
    int64_t count, capacity;
    int64_t *slots, n_slots; /* where a key's hash leads, plus one; 0: nowhere; for many keys */
};

struct JinjaMethod {
    JinjaValue self;
    const JinjaEntry *entry; /* NULL: one that templates may not call */
    const char *name;
};

JinjaValue jinja_undefined(const char *name);
JinjaValue jinja_none(void);
JinjaValue jinja_bool(bool truth);
JinjaValue jinja_int(int64_t number);
JinjaValue jinja_float(double real);
JinjaValue jinja_of_text(JinjaText *text);
JinjaValue jinja_of_list(JinjaKind kind, JinjaList *list);
JinjaValue jinja_of_dict(JinjaDict *dict);

static inline bool jinja_given(JinjaValue value)
{
    return value.kind != JINJA_ABSENT;
}
static inline bool jinja_is(JinjaValue value, JinjaKind kind)
{
    return value.kind == kind;
}
/* Lists, tuples, ranges, views and iterators. */
static inline bool jinja_has_items(JinjaValue value)
{
    return value.kind >= JINJA_LIST && value.kind <= JINJA_ITERATOR;
}
static inline bool jinja_is_number(JinjaValue value)
{
    return value.kind >= JINJA_BOOL && value.kind <= JINJA_FLOAT;
}

JinjaList *jinja_list_new(JinjaWork *work);
void jinja_list_add(JinjaWork *work, JinjaList *list, JinjaValue value);

JinjaDict *jinja_dict_new(JinjaWork *work);
/* Sets or adds. Fails on keys that Python cannot hash. */
void jinja_dict_put(JinjaWork *work, JinjaDict *dict, JinjaValue key, JinjaValue value);
/* NULL: no such key. */
JinjaValue *jinja_dict_find(JinjaWork *work, const JinjaDict *dict, JinjaValue key);
JinjaValue *jinja_dict_find_name(JinjaWork *work, const JinjaDict *dict, const char *name);

const char *jinja_kind_name(JinjaValue value); /* as Python says it: "dict", "str" */
bool jinja_truth(JinjaWork *work, JinjaValue value);
double jinja_real(JinjaValue number);   /* of any number */
int64_t jinja_whole(JinjaValue number); /* of a truth value or an integer */
bool jinja_equal(JinjaWork *work, JinjaValue a, JinjaValue b);
/* Negative, 0, positive. Fails on values that have no order. */
int jinja_compare(JinjaWork *work, JinjaValue a, JinjaValue b);

/* What a loop goes through: items, keys, characters. An iterator is used up. Fails on what has
 * none. The items are borrowed. */
JinjaList *jinja_items(JinjaWork *work, JinjaValue value);
/* len(); fails on what has none. */
int64_t jinja_length(JinjaWork *work, JinjaValue value);

#endif
