/* Statements. */
#include <string.h>

#include "core/text/jinja/jinja_run.h"

/* ---- variables ------------------------------------------------------------------------------- */

JinjaScope *scope_enter(JinjaRun *run, JinjaScope *outer)
{
    JinjaScope *scope = jinja_take(run->work, sizeof *scope);
    scope->outer = outer;
    return scope;
}

void scope_set(JinjaRun *run, JinjaScope *scope, const char *name, JinjaValue value)
{
    jinja_charge(run->work, 1 + scope->count / 8);
    for (int64_t i = 0; i < scope->count; i++)
        if (strcmp(scope->items[i].name, name) == 0) {
            scope->items[i].value = value;
            return;
        }
    scope->items = jinja_grow(run->work, scope->items, scope->count, &scope->capacity,
                              scope->count + 1, sizeof *scope->items);
    scope->items[scope->count].name = name;
    scope->items[scope->count++].value = value;
}

JinjaValue scope_get(JinjaRun *run, const char *name)
{
    for (const JinjaScope *s = run->scope; s; s = s->outer) {
        jinja_charge(run->work, 1 + s->count / 8);
        for (int64_t i = 0; i < s->count; i++)
            if (strcmp(s->items[i].name, name) == 0)
                return s->items[i].value;
    }
    const JinjaValue *given = jinja_dict_find_name(run->work, run->variables, name);
    if (given)
        return *given;
    const JinjaEntry *function = jinja_entry_in(jinja_functions, name);
    if (function)
        return (JinjaValue){.kind = JINJA_FUNCTION, .function = function};
    return jinja_undefined(name);
}

static void assign(JinjaRun *run, const JinjaNode *target, JinjaValue value);

static void unpack(JinjaRun *run, const JinjaNodes *targets, JinjaValue value)
{
    if (value.kind == JINJA_UNDEFINED)
        value = jinja_of_list(JINJA_TUPLE, jinja_list_new(run->work));
    const JinjaList *items = jinja_items(run->work, value);
    if (items->count != targets->count)
        jinja_fail(run->work, "%lld values for %lld variables", (long long)items->count,
                   (long long)targets->count);
    for (int64_t i = 0; i < targets->count; i++)
        assign(run, targets->items[i], items->items[i]);
}

static void assign(JinjaRun *run, const JinjaNode *target, JinjaValue value)
{
    if (target->kind == NODE_TUPLE) {
        unpack(run, &target->parts, value);
    } else if (target->kind == NODE_NS_ATTR) {
        JinjaValue ns = scope_get(run, target->name);
        if (ns.kind != JINJA_NAMESPACE)
            jinja_fail(run->work, "an attribute is set of '%.60s', which is no namespace",
                       target->name);
        if (target->value.text->data[0] == '_')
            jinja_fail(run->work, "the attribute '%.60s' of a namespace begins with '_'",
                       target->value.text->data);
        jinja_dict_put(run->work, ns.dict, target->value, value);
    } else {
        scope_set(run, run->scope, target->name, value);
    }
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* The text that a body writes, in a scope of its own. */
static JinjaFlow capture(JinjaRun *run, JinjaScope *scope, const JinjaNodes *body, JinjaValue *out)
{
    JinjaScope *before = run->scope;
    JinjaBuild *outer = run->out, inner = build_new(run->work, NULL);
    run->scope = scope;
    run->out = &inner;
    JinjaFlow flow = jinja_exec(run, body);
    run->scope = before;
    run->out = outer;
    *out = jinja_of_text(build_done(&inner));
    return flow;
}

static JinjaFlow exec_in(JinjaRun *run, JinjaScope *scope, const JinjaNodes *body)
{
    JinjaScope *before = run->scope;
    run->scope = scope;
    JinjaFlow flow = jinja_exec(run, body);
    run->scope = before;
    return flow;
}

/* The filters of a block applied to its text. */
static JinjaValue apply_filters(JinjaRun *run, const JinjaNode *filter, JinjaValue text)
{
    if (!filter)
        return text;
    const JinjaEntry *entry = jinja_filter_find(filter->name);
    JinjaValue self = apply_filters(run, filter->a, text);
    if (!entry)
        jinja_fail(run->work, "there is no filter '%.60s'", filter->name);
    JinjaList *items = jinja_list_new(run->work);
    JinjaDict *named = jinja_dict_new(run->work);
    jinja_arguments(run, &filter->parts, items, named);
    return jinja_apply(run, entry, self, items, named);
}

/* ---- loops ----------------------------------------------------------------------------------- */

static JinjaList *filtered(JinjaRun *run, const JinjaNode *node, JinjaList *items)
{
    if (!node->c)
        return items;
    JinjaScope *before = run->scope;
    JinjaList *kept = jinja_list_new(run->work);
    for (int64_t i = 0; i < items->count; i++) {
        run->scope = scope_enter(run, before);
        assign(run, node->a, items->items[i]);
        if (jinja_truth(run->work, jinja_eval(run, node->c)))
            jinja_list_add(run->work, kept, items->items[i]);
    }
    run->scope = before;
    return kept;
}

/* Goes through `items` with the body of `node`, which stands in `scope`. */
static JinjaFlow loop_over(JinjaRun *run, const JinjaNode *node, JinjaScope *scope,
                           JinjaValue source, int64_t depth)
{
    JinjaScope *before = run->scope;
    run->scope = scope;
    JinjaLoop *loop = jinja_take(run->work, sizeof *loop);
    *loop = (JinjaLoop){.node = node, .scope = scope, .depth = depth};
    loop->items = filtered(run, node, jinja_items(run->work, source));
    JinjaFlow flow = FLOW_NEXT;
    bool completed = false; /* some turn reached its end: only then is there no "else" */
    for (; loop->index < loop->items->count && flow != FLOW_BREAK; loop->index++) {
        jinja_charge(run->work, 1);
        run->scope = scope_enter(run, scope);
        scope_set(run, run->scope, "loop", (JinjaValue){.kind = JINJA_LOOP, .loop = loop});
        assign(run, node->a, loop->items->items[loop->index]);
        flow = jinja_exec(run, &node->body);
        completed = completed || flow == FLOW_NEXT;
    }
    run->scope = scope;
    flow = completed ? FLOW_NEXT : exec_in(run, scope_enter(run, scope), &node->other);
    run->scope = before;
    return flow;
}

JinjaValue jinja_call_loop(JinjaRun *run, const JinjaLoop *loop, JinjaList *items)
{
    if (!loop->node->recursive)
        jinja_fail(run->work, "the loop is not recursive, so it cannot be called");
    if (items->count != 1)
        jinja_fail(run->work, "loop() takes what it goes through");
    JinjaBuild *outer = run->out, inner = build_new(run->work, NULL);
    run->out = &inner;
    loop_over(run, loop->node, loop->scope, items->items[0], loop->depth + 1);
    run->out = outer;
    return jinja_of_text(build_done(&inner));
}

JinjaValue jinja_loop_attr(JinjaRun *run, const JinjaLoop *loop, const char *name)
{
    int64_t i = loop->index, n = loop->items->count;
    const JinjaValue *items = loop->items->items;
    const struct {
        const char *name;
        JinjaValue value;
    } attrs[] = {
        {"index0", jinja_int(i)},
        {"index", jinja_int(i + 1)},
        {"first", jinja_bool(i == 0)},
        {"last", jinja_bool(i == n - 1)},
        {"length", jinja_int(n)},
        {"revindex", jinja_int(n - i)},
        {"revindex0", jinja_int(n - i - 1)},
        {"depth", jinja_int(loop->depth + 1)},
        {"depth0", jinja_int(loop->depth)},
        {"previtem", i > 0 ? items[i - 1] : jinja_undefined("loop.previtem of the first")},
        {"nextitem", i + 1 < n ? items[i + 1] : jinja_undefined("loop.nextitem of the last")},
    };
    for (size_t k = 0; k < sizeof attrs / sizeof *attrs; k++)
        if (strcmp(attrs[k].name, name) == 0)
            return attrs[k].value;
    const JinjaEntry *entry = jinja_entry_in(jinja_loop_methods, name);
    if (!entry)
        return (JinjaValue){.kind = JINJA_ABSENT};
    JinjaMethod *method = jinja_take(run->work, sizeof *method);
    *method = (JinjaMethod){
        {.kind = JINJA_LOOP, .loop = (JinjaLoop *)(uintptr_t)loop}, entry, entry->name};
    return (JinjaValue){.kind = JINJA_METHOD, .method = method};
}

/* ---- macros ---------------------------------------------------------------------------------- */

static void give_rest(JinjaRun *run, const JinjaMacro *macro, JinjaScope *scope,
                      const JinjaList *items, JinjaDict *rest)
{
    const JinjaNode *node = macro->node;
    JinjaValue caller = jinja_undefined("caller");
    JinjaDict *others = jinja_dict_new(run->work);
    for (int64_t i = 0; i < rest->count; i++) {
        if (node->wants_caller && text_is(rest->keys[i].text, "caller"))
            caller = rest->values[i];
        else
            jinja_dict_put(run->work, others, rest->keys[i], rest->values[i]);
    }
    if (others->count > 0 && !node->wants_named)
        jinja_fail(run->work, "the macro '%.60s' takes no argument '%.60s'", node->name,
                   others->keys[0].text->data);
    if (items->count > node->parts.count && !node->wants_varargs)
        jinja_fail(run->work, "the macro '%.60s' takes not more than %lld arguments", node->name,
                   (long long)node->parts.count);
    JinjaList *more = jinja_list_new(run->work);
    for (int64_t i = node->parts.count; i < items->count; i++)
        jinja_list_add(run->work, more, items->items[i]);
    if (node->wants_caller)
        scope_set(run, scope, "caller", caller);
    if (node->wants_named)
        scope_set(run, scope, "kwargs", jinja_of_dict(others));
    if (node->wants_varargs)
        scope_set(run, scope, "varargs", jinja_of_list(JINJA_TUPLE, more));
}

/* Parameters by place, by name, by default. What is left over goes to `rest`. */
static void give_parameters(JinjaRun *run, const JinjaNode *node, JinjaScope *scope,
                            const JinjaList *items, const JinjaDict *named, JinjaDict *rest)
{
    for (int64_t i = 0; i < named->count; i++) {
        bool known = false;
        for (int64_t k = 0; k < node->parts.count; k++)
            if (text_is(named->keys[i].text, node->parts.items[k]->name)) {
                known = true;
                if (k < items->count)
                    jinja_fail(run->work, "the macro '%.60s' is given '%.60s' twice", node->name,
                               node->parts.items[k]->name);
            }
        if (!known)
            jinja_dict_put(run->work, rest, named->keys[i], named->values[i]);
    }
    run->scope = scope;
    for (int64_t i = 0; i < node->parts.count; i++) {
        const JinjaNode *part = node->parts.items[i];
        const JinjaValue *by_name = jinja_dict_find_name(run->work, named, part->name);
        JinjaValue value = i < items->count ? items->items[i]
                           : by_name        ? *by_name
                           : part->a        ? jinja_eval(run, part->a)
                                            : jinja_undefined(part->name);
        scope_set(run, scope, part->name, value);
    }
}

JinjaValue jinja_call_macro(JinjaRun *run, const JinjaMacro *macro, JinjaList *items,
                            JinjaDict *named)
{
    JinjaValue text;
    JinjaScope *before = run->scope, *scope = scope_enter(run, macro->scope);
    JinjaDict *rest = jinja_dict_new(run->work);
    give_parameters(run, macro->node, scope, items, named, rest);
    give_rest(run, macro, scope, items, rest);
    run->scope = before;
    capture(run, scope, &macro->node->body, &text);
    return text;
}

static JinjaValue macro_value(JinjaRun *run, const JinjaNode *node)
{
    JinjaMacro *macro = jinja_take(run->work, sizeof *macro);
    *macro = (JinjaMacro){node, run->scope};
    return (JinjaValue){.kind = JINJA_MACRO, .macro = macro};
}

static void exec_call_block(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue callee = jinja_eval(run, node->a->a);
    JinjaList *items = jinja_list_new(run->work);
    JinjaDict *named = jinja_dict_new(run->work);
    jinja_arguments(run, &node->a->parts, items, named);
    jinja_dict_put(run->work, named, text_value(run->work, "caller"), macro_value(run, node->b));
    jinja_put_str(run->out, jinja_call(run, callee, items, named));
}

/* ---- statements ------------------------------------------------------------------------------ */

static JinjaFlow exec_set_block(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue text;
    JinjaFlow flow = capture(run, scope_enter(run, run->scope), &node->body, &text);
    if (flow == FLOW_NEXT)
        assign(run, node->a, apply_filters(run, node->b, text));
    return flow;
}

static JinjaFlow exec_filter_block(JinjaRun *run, const JinjaNode *node)
{
    JinjaValue text;
    JinjaFlow flow = capture(run, scope_enter(run, run->scope), &node->body, &text);
    if (flow == FLOW_NEXT)
        jinja_put_str(run->out, apply_filters(run, node->a, text));
    return flow;
}

static JinjaFlow exec_with(JinjaRun *run, const JinjaNode *node)
{
    JinjaScope *scope = scope_enter(run, run->scope);
    for (int64_t i = 0; i + 1 < node->parts.count; i += 2)
        scope_set(run, scope, node->parts.items[i]->name,
                  jinja_eval(run, node->parts.items[i + 1]));
    return exec_in(run, scope, &node->body);
}

static JinjaFlow exec_one(JinjaRun *run, const JinjaNode *node)
{
    switch (node->kind) {
    case NODE_DATA:
        build_text(run->out, node->value.text);
        return FLOW_NEXT;
    case NODE_OUTPUT:
        jinja_put_str(run->out, jinja_eval(run, node->a));
        return FLOW_NEXT;
    case NODE_IF:
        return jinja_exec(run, jinja_truth(run->work, jinja_eval(run, node->a)) ? &node->body
                                                                                : &node->other);
    case NODE_FOR:
        return loop_over(run, node, run->scope, jinja_eval(run, node->b), 0);
    case NODE_SET:
        assign(run, node->a, jinja_eval(run, node->b));
        return FLOW_NEXT;
    case NODE_SET_BLOCK:
        return exec_set_block(run, node);
    case NODE_WITH:
        return exec_with(run, node);
    case NODE_MACRO:
        scope_set(run, run->scope, node->name, macro_value(run, node));
        return FLOW_NEXT;
    case NODE_CALL_BLOCK:
        exec_call_block(run, node);
        return FLOW_NEXT;
    case NODE_FILTER_BLOCK:
        return exec_filter_block(run, node);
    case NODE_GENERATION:
        return exec_in(run, scope_enter(run, run->scope), &node->body);
    default:
        break;
    }
    return node->kind == NODE_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
}

JinjaFlow jinja_exec(JinjaRun *run, const JinjaNodes *body)
{
    JinjaFlow flow = FLOW_NEXT;
    jinja_deeper(run->work);
    for (int64_t i = 0; i < body->count && flow == FLOW_NEXT; i++) {
        jinja_charge(run->work, 1);
        run->work->line = body->items[i]->line;
        flow = exec_one(run, body->items[i]);
    }
    jinja_shallower(run->work);
    return flow;
}
