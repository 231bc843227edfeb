/* A parsed template. Immutable, so that threads may share it. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_AST_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_AST_H

#include "core/text/jinja/jinja_value.h"

typedef enum JinjaNodeKind {
    /* expressions */
    NODE_CONST,
    NODE_NAME,
    NODE_LIST,      /* parts */
    NODE_TUPLE,     /* parts */
    NODE_DICT,      /* parts: key, value, key ... */
    NODE_ATTR,      /* a.name */
    NODE_ITEM,      /* a[b] */
    NODE_SLICE,     /* parts: from, to, step, each may be NULL; only within ITEM */
    NODE_CALL,      /* a(parts) */
    NODE_FILTER,    /* a|name(parts); a NULL: the body of a filter block */
    NODE_TEST,      /* a is name(parts) */
    NODE_KEYWORD,   /* an argument name=a */
    NODE_STAR,      /* *a */
    NODE_STAR_STAR, /* **a */
    NODE_CHOICE,    /* a if b else c (NULL: undefined) */
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_NEGATIVE,
    NODE_POSITIVE,
    NODE_BINARY,  /* a name b */
    NODE_CONCAT,  /* parts */
    NODE_COMPARE, /* a, and parts: BINARY nodes whose name is the operator and whose b its operand
                   */
    /* statements */
    NODE_DATA,         /* value */
    NODE_OUTPUT,       /* a */
    NODE_IF,           /* a, body, other */
    NODE_FOR,          /* target a, in b, if c, body, other */
    NODE_SET,          /* target a, value b */
    NODE_SET_BLOCK,    /* target a, filter b or NULL, body */
    NODE_WITH,         /* parts: target, value, target ..., body */
    NODE_MACRO,        /* name, parts: parameters (KEYWORD, a NULL: no default), body */
    NODE_CALL_BLOCK,   /* call a, macro b */
    NODE_FILTER_BLOCK, /* filter a, body */
    NODE_GENERATION,   /* body */
    NODE_BREAK,
    NODE_CONTINUE,
    /* targets */
    NODE_NS_ATTR, /* name.value */
} JinjaNodeKind;

typedef struct JinjaNode JinjaNode;

typedef struct JinjaNodes {
    JinjaNode **items;
    int64_t count, capacity;
} JinjaNodes;

struct JinjaNode {
    JinjaNodeKind kind;
    int line;
    bool recursive;                                /* FOR */
    bool wants_caller, wants_varargs, wants_named; /* MACRO: its body speaks of them */
    const char *name;
    JinjaValue value;
    JinjaNode *a, *b, *c;
    JinjaNodes parts, body, other;
};

/* Fails on what is no template and on what is not supported. */
JinjaNodes jinja_parse_nodes(JinjaWork *work, const char *source, int64_t bytes);

#endif
