#include <string.h>

#include "core/text/jinja/jinja_entries.h"
#include "core/text/jinja/jinja_parser.h"

static JinjaNode *binary(Parser *p, JinjaNodeKind kind, const char *op, JinjaNode *a, JinjaNode *b)
{
    JinjaNode *node = parser_node(p, kind);
    node->name = op;
    node->a = a;
    node->b = b;
    return node;
}

static JinjaNode *unary(Parser *p, JinjaNodeKind kind, JinjaNode *a)
{
    return binary(p, kind, NULL, a, NULL);
}

static JinjaNode *parse_tuple_of(Parser *p, bool in_brackets, JinjaNode *(*next)(Parser *));

/* ---- literals and names ---------------------------------------------------------------------- */

static JinjaNode *constant(Parser *p, JinjaValue value)
{
    JinjaNode *node = parser_node(p, NODE_CONST);
    node->value = value;
    return node;
}

static JinjaNode *parse_strings(Parser *p)
{
    JinjaNode *node = parser_node(p, NODE_CONST);
    JinjaBuild build = build_new(p->work, NULL);
    for (; p->token->kind == LEX_STRING; p->token++)
        build_text(&build, p->token->value.text);
    node->value = jinja_of_text(build_done(&build));
    node->value.text->room = NULL; /* renderings share it: none may go on writing behind it */
    return node;
}

static bool is_one_of(const char *name, const char *a, const char *b)
{
    return strcmp(name, a) == 0 || strcmp(name, b) == 0;
}

static JinjaNode *parse_name(Parser *p)
{
    const char *name = parser_expect_name(p);
    if (is_one_of(name, "true", "True"))
        return constant(p, jinja_bool(true));
    if (is_one_of(name, "false", "False"))
        return constant(p, jinja_bool(false));
    if (is_one_of(name, "none", "None"))
        return constant(p, jinja_none());
    for (ParserMacro *m = p->macro; m; m = m->outer) {
        m->node->wants_caller |= strcmp(name, "caller") == 0;
        m->node->wants_varargs |= strcmp(name, "varargs") == 0;
        m->node->wants_named |= strcmp(name, "kwargs") == 0;
    }
    JinjaNode *node = parser_node(p, NODE_NAME);
    node->name = name;
    return node;
}

/* Items up to the closing bracket; of a dictionary with their keys. */
static JinjaNode *parse_items(Parser *p, JinjaNodeKind kind, const char *close)
{
    JinjaNode *node = parser_node(p, kind);
    p->token++;
    while (!parser_at(p, close)) {
        if (node->parts.count > 0)
            parser_expect(p, ",");
        if (parser_at(p, close))
            break;
        parser_add(p, &node->parts, parse_expression(p));
        if (kind == NODE_DICT) {
            parser_expect(p, ":");
            parser_add(p, &node->parts, parse_expression(p));
        }
    }
    parser_expect(p, close);
    return node;
}

JinjaNode *parse_primary(Parser *p)
{
    switch (p->token->kind) {
    case LEX_NAME:
        return parse_name(p);
    case LEX_STRING:
        return parse_strings(p);
    case LEX_INT:
    case LEX_FLOAT:
        return constant(p, (p->token++)->value);
    default:
        break;
    }
    if (parser_skip(p, "(")) {
        JinjaNode *node = parse_tuple_of(p, true, parse_expression);
        parser_expect(p, ")");
        return node;
    }
    if (parser_at(p, "["))
        return parse_items(p, NODE_LIST, "]");
    if (parser_at(p, "{"))
        return parse_items(p, NODE_DICT, "}");
    parser_unexpected(p, "an expression");
}

/* ---- what follows them ----------------------------------------------------------------------- */

static JinjaNode *parse_argument(Parser *p)
{
    if (parser_skip(p, "*"))
        return unary(p, NODE_STAR, parse_expression(p));
    if (parser_skip(p, "**"))
        return unary(p, NODE_STAR_STAR, parse_expression(p));
    bool named = p->token->kind == LEX_NAME && p->token[1].kind == LEX_OPERATOR &&
                 strcmp(p->token[1].text, "=") == 0;
    if (!named)
        return parse_expression(p);
    JinjaNode *node = parser_node(p, NODE_KEYWORD);
    node->name = parser_expect_name(p);
    p->token++;
    node->a = parse_expression(p);
    return node;
}

static void parse_arguments(Parser *p, JinjaNodes *out)
{
    JinjaNodeKind last = NODE_CONST;
    parser_expect(p, "(");
    while (!parser_at(p, ")")) {
        if (out->count > 0)
            parser_expect(p, ",");
        if (parser_at(p, ")"))
            break;
        JinjaNode *one = parse_argument(p);
        bool positional = one->kind != NODE_KEYWORD && one->kind != NODE_STAR_STAR;
        bool late = positional && (last == NODE_KEYWORD || last == NODE_STAR);
        if (last == NODE_STAR_STAR || late)
            jinja_fail(p->work, "the arguments of a call are in a wrong order");
        last = one->kind == NODE_KEYWORD || one->kind == NODE_STAR || one->kind == NODE_STAR_STAR
                   ? one->kind
                   : last;
        parser_add(p, out, one);
    }
    parser_expect(p, ")");
}

static bool at_slice_end(const Parser *p)
{
    return parser_at(p, "]") || parser_at(p, ",") || parser_at(p, ":");
}

/* What stands within brackets behind a value. */
static JinjaNode *parse_subscript(Parser *p)
{
    JinjaNode *first = at_slice_end(p) ? NULL : parse_expression(p);
    if (first && !parser_at(p, ":"))
        return first;
    JinjaNode *slice = parser_node(p, NODE_SLICE);
    parser_add(p, &slice->parts, first);
    for (int i = 0; i < 2; i++) {
        bool there = parser_skip(p, ":");
        parser_add(p, &slice->parts, there && !at_slice_end(p) ? parse_expression(p) : NULL);
    }
    if (parser_at(p, ":"))
        parser_unexpected(p, "]");
    return slice;
}

static JinjaNode *parse_brackets(Parser *p, JinjaNode *node)
{
    JinjaNode *index = NULL, *several = NULL;
    while (!parser_at(p, "]")) {
        if (index)
            parser_expect(p, ",");
        JinjaNode *one = parse_subscript(p);
        if (index && !several) {
            several = parser_node(p, NODE_TUPLE);
            parser_add(p, &several->parts, index);
        }
        if (several)
            parser_add(p, &several->parts, one);
        if (several && (one->kind == NODE_SLICE || index->kind == NODE_SLICE))
            jinja_fail(p->work, "slices of several dimensions are not supported");
        index = one;
    }
    parser_expect(p, "]");
    if (!index)
        index = parser_node(p, NODE_TUPLE);
    return binary(p, NODE_ITEM, NULL, node, several ? several : index);
}

static JinjaNode *parse_dot(Parser *p, JinjaNode *node)
{
    if (p->token->kind == LEX_INT)
        return binary(p, NODE_ITEM, NULL, node, constant(p, (p->token++)->value));
    JinjaNode *attr = parser_node(p, NODE_ATTR);
    attr->a = node;
    attr->name = parser_expect_name(p);
    return attr;
}

static JinjaNode *parse_call(Parser *p, JinjaNode *node)
{
    JinjaNode *call = parser_node(p, NODE_CALL);
    call->a = node;
    parse_arguments(p, &call->parts);
    return call;
}

JinjaNode *parse_postfix(Parser *p, JinjaNode *node)
{
    for (;;) {
        if (parser_skip(p, "."))
            node = parse_dot(p, node);
        else if (parser_skip(p, "["))
            node = parse_brackets(p, node);
        else if (parser_at(p, "("))
            node = parse_call(p, node);
        else
            return node;
    }
}

/* A filter's or test's name, which is checked where it is certain to be met. */
static const char *parse_entry_name(Parser *p, const char *what,
                                    const JinjaEntry *(*find)(const char *))
{
    JinjaBuild dotted = build_new(p->work, NULL);
    build_puts(&dotted, parser_expect_name(p), false);
    while (parser_skip(p, ".")) {
        build_puts(&dotted, ".", false);
        build_puts(&dotted, parser_expect_name(p), false);
    }
    const char *name = build_done(&dotted)->data;
    if (!find(name) && p->conditions == 0)
        jinja_fail(p->work, "there is no %s '%.60s'", what, name);
    return name;
}

static JinjaNode *parse_filter(Parser *p, JinjaNode *node)
{
    JinjaNode *filter = parser_node(p, NODE_FILTER);
    filter->a = node;
    filter->name = parse_entry_name(p, "filter", jinja_filter_find);
    if (parser_at(p, "("))
        parse_arguments(p, &filter->parts);
    return filter;
}

JinjaNode *parse_filters(Parser *p, JinjaNode *node)
{
    while (parser_skip(p, "|"))
        node = parse_filter(p, node);
    return node;
}

JinjaNode *parse_block_filters(Parser *p)
{
    return parse_filters(p, parse_filter(p, NULL));
}

static bool at_test_argument(const Parser *p)
{
    switch (p->token->kind) {
    case LEX_NAME:
        return !parser_at_name(p, "else") && !parser_at_name(p, "or") && !parser_at_name(p, "and");
    case LEX_STRING:
    case LEX_INT:
    case LEX_FLOAT:
        return true;
    default:
        return parser_at(p, "[") || parser_at(p, "{");
    }
}

static JinjaNode *parse_test(Parser *p, JinjaNode *node)
{
    bool negated = parser_skip_name(p, "not");
    const char *op = p->token->kind == LEX_OPERATOR ? p->token->text : NULL;
    JinjaNode *test = parser_node(p, NODE_TEST);
    if (op)
        parser_unexpected(p, "the name of a test");
    test->a = node;
    test->name = parse_entry_name(p, "test", jinja_test_find);
    if (parser_at(p, "(")) {
        parse_arguments(p, &test->parts);
    } else if (at_test_argument(p)) {
        if (parser_at_name(p, "is"))
            jinja_fail(p->work, "tests with 'is' cannot be chained");
        parser_add(p, &test->parts, parse_postfix(p, parse_primary(p)));
    }
    return negated ? unary(p, NODE_NOT, test) : test;
}

/* ---- operators, loosest last ----------------------------------------------------------------- */

static JinjaNode *parse_unary(Parser *p, bool with_filter)
{
    JinjaNode *node;
    jinja_deeper(p->work);
    if (parser_skip(p, "-"))
        node = unary(p, NODE_NEGATIVE, parse_unary(p, false));
    else if (parser_skip(p, "+"))
        node = unary(p, NODE_POSITIVE, parse_unary(p, false));
    else
        node = parse_primary(p);
    node = parse_postfix(p, node);
    while (with_filter) {
        if (parser_at(p, "|"))
            node = parse_filters(p, node);
        else if (parser_skip_name(p, "is"))
            node = parse_test(p, node);
        else if (parser_at(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    jinja_shallower(p->work);
    return node;
}

static JinjaNode *parse_power(Parser *p)
{
    JinjaNode *left = parse_unary(p, true);
    while (parser_skip(p, "**"))
        left = binary(p, NODE_BINARY, "**", left, parse_unary(p, true));
    return left;
}

/* Operands of `next` with operators of `ops` between them, from the left. */
static JinjaNode *parse_binary(Parser *p, const char *const *ops, JinjaNode *(*next)(Parser *))
{
    JinjaNode *left = next(p);
    for (;;) {
        const char *op = NULL;
        for (const char *const *o = ops; *o && !op; o++)
            op = parser_skip(p, *o) ? *o : NULL;
        if (!op)
            return left;
        left = binary(p, NODE_BINARY, op, left, next(p));
    }
}

static JinjaNode *parse_product(Parser *p)
{
    static const char *const ops[] = {"*", "/", "//", "%", NULL};
    return parse_binary(p, ops, parse_power);
}

static JinjaNode *parse_concat(Parser *p)
{
    JinjaNode *first = parse_product(p);
    if (!parser_at(p, "~"))
        return first;
    JinjaNode *node = parser_node(p, NODE_CONCAT);
    parser_add(p, &node->parts, first);
    while (parser_skip(p, "~"))
        parser_add(p, &node->parts, parse_product(p));
    return node;
}

static JinjaNode *parse_sum(Parser *p)
{
    static const char *const ops[] = {"+", "-", NULL};
    return parse_binary(p, ops, parse_concat);
}

static const char *comparison(Parser *p)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (parser_skip(p, ops[i]))
            return ops[i];
    if (parser_skip_name(p, "in"))
        return "in";
    bool not_in = parser_at_name(p, "not") && p->token[1].kind == LEX_NAME &&
                  strcmp(p->token[1].text, "in") == 0;
    p->token += not_in ? 2 : 0;
    return not_in ? "not in" : NULL;
}

static JinjaNode *parse_comparison(Parser *p)
{
    JinjaNode *first = parse_sum(p), *node = NULL;
    const char *op;
    while ((op = comparison(p))) {
        if (!node)
            node = unary(p, NODE_COMPARE, first);
        parser_add(p, &node->parts, binary(p, NODE_BINARY, op, NULL, parse_sum(p)));
    }
    return node ? node : first;
}

static JinjaNode *parse_not(Parser *p)
{
    if (!parser_skip_name(p, "not"))
        return parse_comparison(p);
    jinja_deeper(p->work);
    JinjaNode *node = unary(p, NODE_NOT, parse_not(p));
    jinja_shallower(p->work);
    return node;
}

static JinjaNode *parse_and(Parser *p)
{
    JinjaNode *left = parse_not(p);
    while (parser_skip_name(p, "and"))
        left = binary(p, NODE_AND, NULL, left, parse_not(p));
    return left;
}

static JinjaNode *parse_or(Parser *p)
{
    JinjaNode *left = parse_and(p);
    while (parser_skip_name(p, "or"))
        left = binary(p, NODE_OR, NULL, left, parse_and(p));
    return left;
}

JinjaNode *parse_expression(Parser *p)
{
    jinja_deeper(p->work);
    JinjaNode *node = parse_or(p);
    while (parser_skip_name(p, "if")) {
        JinjaNode *choice = binary(p, NODE_CHOICE, NULL, node, parse_or(p));
        if (parser_skip_name(p, "else"))
            choice->c = parse_expression(p);
        node = choice;
    }
    jinja_shallower(p->work);
    return node;
}

/* An expression whose "if" would be somebody else's. */
static JinjaNode *parse_without_choice(Parser *p)
{
    jinja_deeper(p->work);
    JinjaNode *node = parse_or(p);
    jinja_shallower(p->work);
    return node;
}

static bool at_tuple_end(const Parser *p)
{
    return p->token->kind == LEX_VAR_END || p->token->kind == LEX_TAG_END || parser_at(p, ")") ||
           parser_at_name(p, "recursive");
}

/* `in_brackets`: an empty one is a tuple too. */
static JinjaNode *parse_tuple_of(Parser *p, bool in_brackets, JinjaNode *(*next)(Parser *))
{
    JinjaNode *tuple = parser_node(p, NODE_TUPLE);
    bool comma = false;
    while (!at_tuple_end(p)) {
        parser_add(p, &tuple->parts, next(p));
        if (!parser_skip(p, ","))
            break;
        comma = true;
    }
    if (comma)
        return tuple;
    if (tuple->parts.count == 1)
        return tuple->parts.items[0];
    if (!in_brackets)
        parser_unexpected(p, "an expression");
    return tuple;
}

JinjaNode *parse_tuple(Parser *p)
{
    return parse_tuple_of(p, false, parse_expression);
}

JinjaNode *parse_condition(Parser *p)
{
    return parse_tuple_of(p, false, parse_without_choice);
}
