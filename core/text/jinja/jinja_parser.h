/* What the two halves of the parser share. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_PARSER_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_PARSER_H

#include "core/text/jinja/jinja_ast.h"
#include "core/text/jinja/jinja_lex.h"

typedef struct ParserMacro {
    struct ParserMacro *outer;
    JinjaNode *node;
} ParserMacro;

typedef struct Parser {
    JinjaWork *work;
    JinjaToken *token;  /* the current one */
    ParserMacro *macro; /* whose body this is, innermost first */
    int loops;          /* around this place, within the macro */
    int conditions;     /* ifs around this place: there, unknown filters wait until they are met */
} Parser;

JinjaNode *parser_node(Parser *p, JinjaNodeKind kind);
void parser_add(Parser *p, JinjaNodes *nodes, JinjaNode *node);

bool parser_at(const Parser *p, const char *op);
bool parser_at_name(const Parser *p, const char *name);
bool parser_skip(Parser *p, const char *op);
bool parser_skip_name(Parser *p, const char *name);
void parser_expect(Parser *p, const char *op);
const char *parser_expect_name(Parser *p); /* any */
_Noreturn void parser_unexpected(const Parser *p, const char *wanted);

JinjaNode *parse_expression(Parser *p);
/* Several with commas between them are a tuple. */
JinjaNode *parse_tuple(Parser *p);
/* The same of expressions without "if": what a loop goes through, what an "if" asks. */
JinjaNode *parse_condition(Parser *p);
/* The filters behind a block's name: "upper | trim"; the first is not preceded by a bar. */
JinjaNode *parse_block_filters(Parser *p);
/* |filter ... behind `node`, which may be NULL. */
JinjaNode *parse_filters(Parser *p, JinjaNode *node);
JinjaNode *parse_postfix(Parser *p, JinjaNode *node);
JinjaNode *parse_primary(Parser *p);

#endif
