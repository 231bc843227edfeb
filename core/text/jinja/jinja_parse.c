#include <string.h>

#include "core/text/jinja/jinja_parser.h"

/* ---- tokens ---------------------------------------------------------------------------------- */

JinjaNode *parser_node(Parser *p, JinjaNodeKind kind)
{
    JinjaNode *node = jinja_take(p->work, sizeof *node);
    node->kind = kind;
    node->line = p->work->line = p->token->line;
    return node;
}

void parser_add(Parser *p, JinjaNodes *nodes, JinjaNode *node)
{
    nodes->items = jinja_grow(p->work, nodes->items, nodes->count, &nodes->capacity,
                              nodes->count + 1, sizeof node);
    nodes->items[nodes->count++] = node;
}

bool parser_at(const Parser *p, const char *op)
{
    return p->token->kind == LEX_OPERATOR && strcmp(p->token->text, op) == 0;
}

bool parser_at_name(const Parser *p, const char *name)
{
    return p->token->kind == LEX_NAME && strcmp(p->token->text, name) == 0;
}

bool parser_skip(Parser *p, const char *op)
{
    bool there = parser_at(p, op);
    p->token += there;
    return there;
}

bool parser_skip_name(Parser *p, const char *name)
{
    bool there = parser_at_name(p, name);
    p->token += there;
    return there;
}

void parser_unexpected(const Parser *p, const char *wanted)
{
    static const char *const names[] = {[LEX_END] = "the end of the template",
                                        [LEX_DATA] = "text",
                                        [LEX_VAR_BEGIN] = "'{{'",
                                        [LEX_VAR_END] = "'}}'",
                                        [LEX_TAG_BEGIN] = "'{%'",
                                        [LEX_TAG_END] = "'%}'",
                                        [LEX_STRING] = "a string",
                                        [LEX_INT] = "a number",
                                        [LEX_FLOAT] = "a number"};
    const JinjaToken *token = p->token;
    p->work->line = token->line;
    if (token->text)
        jinja_fail(p->work, "expected %s, got '%.60s'", wanted, token->text);
    jinja_fail(p->work, "expected %s, got %s", wanted, names[token->kind]);
}

void parser_expect(Parser *p, const char *op)
{
    if (!parser_skip(p, op))
        parser_unexpected(p, op);
}

const char *parser_expect_name(Parser *p)
{
    if (p->token->kind != LEX_NAME)
        parser_unexpected(p, "a name");
    return (p->token++)->text;
}

static void expect_kind(Parser *p, JinjaTokenKind kind, const char *wanted)
{
    if (p->token->kind != kind)
        parser_unexpected(p, wanted);
    p->token++;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static JinjaNode *parse_statement(Parser *p);

static bool at_end_tag(const Parser *p, const char *const *ends)
{
    if (p->token->kind != LEX_TAG_BEGIN || p->token[1].kind != LEX_NAME)
        return false;
    for (; ends && *ends; ends++)
        if (strcmp(p->token[1].text, *ends) == 0)
            return true;
    return false;
}

/* Statements up to a tag whose name is one of `ends` (NULL: to the template's end). Returns that
 * name; what follows it in its tag comes next. */
static const char *parse_body(Parser *p, const char *const *ends, JinjaNodes *out)
{
    jinja_deeper(p->work);
    while (!at_end_tag(p, ends)) {
        JinjaNode *node = NULL;
        if (p->token->kind == LEX_DATA) {
            node = parser_node(p, NODE_DATA);
            node->value = (p->token++)->value;
        } else if (p->token->kind == LEX_VAR_BEGIN) {
            node = parser_node(p, NODE_OUTPUT);
            p->token++;
            node->a = parse_tuple(p);
            expect_kind(p, LEX_VAR_END, "'}}'");
        } else if (p->token->kind == LEX_TAG_BEGIN) {
            p->token++;
            node = parse_statement(p);
            expect_kind(p, LEX_TAG_END, "'%}'");
        } else if (ends) {
            jinja_fail(p->work, "the template ends before {%% %s %%}", *ends);
        } else {
            jinja_shallower(p->work);
            return NULL;
        }
        parser_add(p, out, node);
    }
    p->token++;
    jinja_shallower(p->work);
    return (p->token++)->text;
}

/* The body of a tag that has just been read up to its end. */
static void parse_block(Parser *p, const char *end, JinjaNodes *out)
{
    const char *const ends[] = {end, NULL};
    expect_kind(p, LEX_TAG_END, "'%}'");
    parse_body(p, ends, out);
}

/* ---- statements ------------------------------------------------------------------------------ */

/* One name, or several; within brackets more. `ns`: or an attribute of a namespace. */
static JinjaNode *parse_target(Parser *p, bool ns, const char *until);

static JinjaNode *parse_one_target(Parser *p, bool ns)
{
    if (parser_skip(p, "(")) {
        JinjaNode *inner = parse_target(p, ns, NULL);
        parser_expect(p, ")");
        return inner;
    }
    JinjaNode *node = parser_node(p, NODE_NAME);
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    node->name = parser_expect_name(p);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(node->name, reserved[i]) == 0)
            jinja_fail(p->work, "'%s' cannot be set", node->name);
    if (ns && parser_skip(p, ".")) {
        const char *name = parser_expect_name(p);
        node->kind = NODE_NS_ATTR;
        node->value = text_value(p->work, name);
    }
    return node;
}

static JinjaNode *parse_target(Parser *p, bool ns, const char *until)
{
    jinja_deeper(p->work);
    JinjaNode *first = parse_one_target(p, ns), *tuple = NULL;
    while (parser_skip(p, ",")) {
        if (!tuple) {
            tuple = parser_node(p, NODE_TUPLE);
            parser_add(p, &tuple->parts, first);
        }
        if ((until && parser_at_name(p, until)) || parser_at(p, "=") || parser_at(p, ")") ||
            p->token->kind == LEX_TAG_END)
            break;
        parser_add(p, &tuple->parts, parse_one_target(p, ns));
    }
    jinja_shallower(p->work);
    return tuple ? tuple : first;
}

static void parse_if(Parser *p, JinjaNode *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    p->conditions++;
    jinja_deeper(p->work);
    node->a = parse_condition(p);
    expect_kind(p, LEX_TAG_END, "'%}'");
    const char *end = parse_body(p, ends, &node->body);
    if (strcmp(end, "elif") == 0) {
        JinjaNode *next = parser_node(p, NODE_IF);
        parse_if(p, next);
        parser_add(p, &node->other, next);
    } else if (strcmp(end, "else") == 0) {
        parse_block(p, "endif", &node->other);
    }
    jinja_shallower(p->work);
    p->conditions--;
}

static void parse_for(Parser *p, JinjaNode *node)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    node->a = parse_target(p, false, "in");
    if (!parser_skip_name(p, "in"))
        parser_unexpected(p, "'in'");
    node->b = parse_condition(p);
    if (parser_skip_name(p, "if"))
        node->c = parse_expression(p);
    node->recursive = parser_skip_name(p, "recursive");
    expect_kind(p, LEX_TAG_END, "'%}'");
    p->loops++;
    const char *end = parse_body(p, ends, &node->body);
    p->loops--;
    if (strcmp(end, "else") == 0)
        parse_block(p, "endfor", &node->other);
}

static void parse_set(Parser *p, JinjaNode *node)
{
    node->a = parse_target(p, true, NULL);
    if (parser_skip(p, "=")) {
        node->b = parse_tuple(p);
        return;
    }
    node->kind = NODE_SET_BLOCK;
    node->b = parser_at(p, "|") ? parse_filters(p, NULL) : NULL;
    parse_block(p, "endset", &node->body);
}

static void parse_with(Parser *p, JinjaNode *node)
{
    while (p->token->kind != LEX_TAG_END) {
        if (node->parts.count > 0)
            parser_expect(p, ",");
        parser_add(p, &node->parts, parse_one_target(p, false));
        parser_expect(p, "=");
        parser_add(p, &node->parts, parse_expression(p));
    }
    parse_block(p, "endwith", &node->body);
}

/* (a, b=1) */
static void parse_parameters(Parser *p, JinjaNode *macro)
{
    parser_expect(p, "(");
    bool defaults = false;
    while (!parser_at(p, ")")) {
        if (macro->parts.count > 0)
            parser_expect(p, ",");
        JinjaNode *one = parser_node(p, NODE_KEYWORD);
        one->name = parser_expect_name(p);
        one->a = parser_skip(p, "=") ? parse_expression(p) : NULL;
        if (defaults && !one->a)
            jinja_fail(p->work, "a parameter without default follows one with a default");
        defaults = one->a != NULL;
        parser_add(p, &macro->parts, one);
    }
    parser_expect(p, ")");
}

/* Loops outside cannot be left from within. */
static void parse_macro_body(Parser *p, JinjaNode *macro, const char *end)
{
    ParserMacro within = {p->macro, macro};
    int loops = p->loops;
    p->loops = 0;
    p->macro = &within;
    parse_block(p, end, &macro->body);
    p->macro = within.outer;
    p->loops = loops;
}

static void parse_macro(Parser *p, JinjaNode *node)
{
    node->name = parser_expect_name(p);
    parse_parameters(p, node);
    parse_macro_body(p, node, "endmacro");
}

static void parse_call_block(Parser *p, JinjaNode *node)
{
    node->b = parser_node(p, NODE_MACRO);
    node->b->name = "caller";
    if (parser_at(p, "("))
        parse_parameters(p, node->b);
    node->a = parse_expression(p);
    if (node->a->kind != NODE_CALL)
        jinja_fail(p->work, "{%% call %%} wants the call of a macro");
    parse_macro_body(p, node->b, "endcall");
}

static void parse_generation(Parser *p, JinjaNode *node)
{
    parse_macro_body(p, node, "endgeneration");
}

static void parse_filter_block(Parser *p, JinjaNode *node)
{
    node->a = parse_block_filters(p);
    parse_block(p, "endfilter", &node->body);
}

static void parse_jump(Parser *p, JinjaNode *node)
{
    if (p->loops == 0)
        jinja_fail(p->work, "'%s' outside of a loop",
                   node->kind == NODE_BREAK ? "break" : "continue");
}

static const struct {
    const char *name;
    JinjaNodeKind kind;
    void (*parse)(Parser *p, JinjaNode *node);
} statements[] = {
    {"if", NODE_IF, parse_if},
    {"for", NODE_FOR, parse_for},
    {"set", NODE_SET, parse_set},
    {"macro", NODE_MACRO, parse_macro},
    {"call", NODE_CALL_BLOCK, parse_call_block},
    {"filter", NODE_FILTER_BLOCK, parse_filter_block},
    {"with", NODE_WITH, parse_with},
    {"generation", NODE_GENERATION, parse_generation},
    {"break", NODE_BREAK, parse_jump},
    {"continue", NODE_CONTINUE, parse_jump},
};

static JinjaNode *parse_statement(Parser *p)
{
    JinjaNode *node = parser_node(p, NODE_IF);
    const char *name = parser_expect_name(p);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (strcmp(name, statements[i].name) != 0)
            continue;
        node->kind = statements[i].kind;
        statements[i].parse(p, node);
        return node;
    }
    jinja_fail(p->work, "the tag '%.60s' is not supported", name);
}

JinjaNodes jinja_parse_nodes(JinjaWork *work, const char *source, int64_t bytes)
{
    JinjaTokens tokens = jinja_lex(work, source, bytes);
    Parser parser = {.work = work, .token = tokens.items};
    JinjaNodes body = {0};
    parse_body(&parser, NULL, &body);
    work->line = 0;
    return body;
}
