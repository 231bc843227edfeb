/* Expressions. */
#include <string.h>

#include "core/text/jinja/jinja_run.h"

static JinjaList *eval_parts(JinjaRun *run, const JinjaNodes *parts)
{
    JinjaList *list = jinja_list_new(run->work);
    for (int64_t i = 0; i < parts->count; i++)
        jinja_list_add(run->work, list, jinja_eval(run, parts->items[i]));
    return list;
}

static JinjaValue eval_dict(JinjaRun *run, const JinjaNode *node)
{
    JinjaDict *dict = jinja_dict_new(run->work);
    for (int64_t i = 0; i + 1 < node->parts.count; i += 2) {
        JinjaValue key = jinja_eval(run, node->parts.items[i]);
        jinja_dict_put(run->work, dict, key, jinja_eval(run, node->parts.items[i + 1]));
    }
    return jinja_of_dict(dict);
}

static JinjaValue eval_item(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue value = jinja_eval(run, node->a);
    if (node->b->kind != NODE_SLICE)
        return jinja_item(run, value, jinja_eval(run, node->b));
    JinjaValue bounds[3];
    for (int i = 0; i < 3; i++) {
        const JinjaNode *part = node->b->parts.items[i];
        bounds[i] = part ? jinja_eval(run, part) : jinja_none();
    }
    return jinja_slice(run, value, bounds);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void put_named(JinjaRun *run, JinjaDict *named, JinjaValue key, JinjaValue value)
{
    if (key.kind != JINJA_TEXT)
        jinja_fail(run->work, "the names of arguments are texts");
    if (jinja_dict_find(run->work, named, key))
        jinja_fail(run->work, "the argument '%.60s' is given twice", key.text->data);
    jinja_dict_put(run->work, named, key, value);
}

void jinja_arguments(JinjaRun *run, const JinjaNodes *parts, JinjaList *items, JinjaDict *named)
{
    for (int64_t i = 0; i < parts->count; i++) {
        const JinjaNode *part = parts->items[i];
        bool wrapped =
            part->kind == NODE_KEYWORD || part->kind == NODE_STAR || part->kind == NODE_STAR_STAR;
        JinjaValue value = jinja_eval(run, wrapped ? part->a : part);
        if (!wrapped) {
            jinja_list_add(run->work, items, value);
        } else if (part->kind == NODE_KEYWORD) {
            put_named(run, named, text_value(run->work, part->name), value);
        } else if (part->kind == NODE_STAR) {
            const JinjaList *more = jinja_items(run->work, value);
            for (int64_t k = 0; k < more->count; k++)
                jinja_list_add(run->work, items, more->items[k]);
        } else {
            if (value.kind != JINJA_DICT)
                jinja_fail(run->work, "** wants a dictionary");
            for (int64_t k = 0; k < value.dict->count; k++)
                put_named(run, named, value.dict->keys[k], value.dict->values[k]);
        }
    }
}

JinjaValue jinja_call(JinjaRun *run, JinjaValue callee, JinjaList *items, JinjaDict *named)
{
    switch (callee.kind) {
    case JINJA_FUNCTION:
        return jinja_apply(run, callee.function, callee, items, named);
    case JINJA_METHOD:
        if (!callee.method->entry)
            jinja_fail(run->work, "the method '%s' of '%s' cannot be called in a template",
                       callee.method->name, jinja_kind_name(callee.method->self));
        return jinja_apply(run, callee.method->entry, callee.method->self, items, named);
    case JINJA_MACRO:
        return jinja_call_macro(run, callee.macro, items, named);
    case JINJA_LOOP:
        return jinja_call_loop(run, callee.loop, items);
    case JINJA_CYCLER:
    case JINJA_JOINER:
        break;
    case JINJA_UNDEFINED:
        jinja_fail(run->work, "'%.60s' is undefined", callee.name);
    default:
        jinja_fail(run->work, "an object of type '%s' cannot be called", jinja_kind_name(callee));
    }
    if (callee.kind == JINJA_CYCLER)
        jinja_fail(run->work, "a cycler is not called, but its next()");
    JinjaList *joiner = callee.joiner;
    return joiner->at++ ? joiner->items[0] : text_value(run->work, "");
}

static JinjaValue eval_call(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue callee = jinja_eval(run, node->a);
    JinjaList *items = jinja_list_new(run->work);
    JinjaDict *named = jinja_dict_new(run->work);
    jinja_arguments(run, &node->parts, items, named);
    run->work->line = node->line;
    return jinja_call(run, callee, items, named);
}

static JinjaValue eval_entry(JinjaRun *run, const JinjaNode *node)
{
    bool filter = node->kind == NODE_FILTER;
    const JinjaEntry *entry = filter ? jinja_filter_find(node->name) : jinja_test_find(node->name);
    if (!entry)
        jinja_fail(run->work, "there is no %s '%.60s'", filter ? "filter" : "test", node->name);
    JinjaValue self = jinja_eval(run, node->a);
    JinjaList *items = jinja_list_new(run->work);
    JinjaDict *named = jinja_dict_new(run->work);
    jinja_arguments(run, &node->parts, items, named);
    run->work->line = node->line;
    return jinja_apply(run, entry, self, items, named);
}

/* ---- operators ------------------------------------------------------------------------------- */

static bool holds(JinjaRun *run, const char *op, JinjaValue a, JinjaValue b)
{
    if (strcmp(op, "==") == 0)
        return jinja_equal(run->work, a, b);
    if (strcmp(op, "!=") == 0)
        return !jinja_equal(run->work, a, b);
    if (strcmp(op, "in") == 0)
        return jinja_contains(run, b, a);
    if (strcmp(op, "not in") == 0)
        return !jinja_contains(run, b, a);
    int order = jinja_compare(run->work, a, b);
    bool or_equal = op[1] == '=';
    return order == 0 ? or_equal : (op[0] == '<') == (order < 0);
}

static JinjaValue eval_comparison(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue left = jinja_eval(run, node->a);
    for (int64_t i = 0; i < node->parts.count; i++) {
        const JinjaNode *part = node->parts.items[i];
        JinjaValue right = jinja_eval(run, part->b);
        if (!holds(run, part->name, left, right))
            return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static JinjaValue eval_concat(JinjaRun *run, const JinjaNode *node)
{
    JinjaList *parts = eval_parts(run, &node->parts);
    const JinjaText *first = jinja_str(run->work, parts->items[0]);
    JinjaBuild build = build_new(run->work, first);
    for (int64_t i = 1; i < parts->count; i++)
        jinja_put_str(&build, parts->items[i]);
    return jinja_of_text(build_done(&build));
}

static JinjaValue eval_choice(JinjaRun *run, const JinjaNode *node)
{
    if (jinja_truth(run->work, jinja_eval(run, node->b)))
        return jinja_eval(run, node->a);
    return node->c ? jinja_eval(run, node->c)
                   : jinja_undefined("the value of an 'if' without 'else'");
}

static JinjaValue eval_either(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue left = jinja_eval(run, node->a);
    bool decided = jinja_truth(run->work, left) == (node->kind == NODE_OR);
    return decided ? left : jinja_eval(run, node->b);
}

static JinjaValue positive(JinjaRun *run, JinjaValue v)
{
    return jinja_negative(run, jinja_negative(run, v));
}

static JinjaValue eval(JinjaRun *run, const JinjaNode *node)
{
    switch (node->kind) {
    case NODE_CONST:
        return node->value;
    case NODE_NAME:
        return scope_get(run, node->name);
    case NODE_LIST:
        return jinja_of_list(JINJA_LIST, eval_parts(run, &node->parts));
    case NODE_TUPLE:
        return jinja_of_list(JINJA_TUPLE, eval_parts(run, &node->parts));
    case NODE_DICT:
        return eval_dict(run, node);
    case NODE_ATTR:
        return jinja_attr(run, jinja_eval(run, node->a), node->name);
    case NODE_ITEM:
        return eval_item(run, node);
    case NODE_CALL:
        return eval_call(run, node);
    case NODE_FILTER:
    case NODE_TEST:
        return eval_entry(run, node);
    case NODE_CHOICE:
        return eval_choice(run, node);
    case NODE_AND:
    case NODE_OR:
        return eval_either(run, node);
    case NODE_NOT:
        return jinja_bool(!jinja_truth(run->work, jinja_eval(run, node->a)));
    case NODE_NEGATIVE:
        return jinja_negative(run, jinja_eval(run, node->a));
    case NODE_POSITIVE:
        return positive(run, jinja_eval(run, node->a));
    case NODE_CONCAT:
        return eval_concat(run, node);
    case NODE_COMPARE:
        return eval_comparison(run, node);
    default:
        break;
    }
    CHECK(node->kind == NODE_BINARY, "not an expression");
    JinjaValue a = jinja_eval(run, node->a);
    return jinja_binary(run, node->name, a, jinja_eval(run, node->b));
}

JinjaValue jinja_eval(JinjaRun *run, const JinjaNode *node)
{
    jinja_charge(run->work, 1);
    jinja_deeper(run->work);
    run->work->line = node->line;
    JinjaValue value = eval(run, node);
    jinja_shallower(run->work);
    return value;
}
