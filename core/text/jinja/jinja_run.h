/* A template being rendered. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_RUN_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_RUN_H

#include <time.h>

#include "core/text/jinja/jinja_ast.h"
#include "core/text/jinja/jinja_entries.h"
#include "core/text/jinja/jinja_text.h"

typedef struct JinjaScope JinjaScope;

struct JinjaScope {
    JinjaScope *outer;
    struct {
        const char *name;
        JinjaValue value;
    } * items;
    int64_t count, capacity;
};

struct JinjaRun {
    JinjaWork *work;
    JinjaDict *variables; /* what the template was given */
    JinjaScope *scope;    /* the innermost */
    JinjaBuild *out;
    struct tm now; /* of strftime_now */
};

struct JinjaMacro {
    const JinjaNode *node;
    JinjaScope *scope; /* where it was defined */
};

struct JinjaLoop {
    const JinjaNode *node;
    JinjaScope *scope; /* around it */
    JinjaList *items;
    int64_t index, depth;
    JinjaList *changed; /* what loop.changed() last saw, or NULL */
};

typedef enum JinjaFlow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } JinjaFlow;

JinjaValue jinja_eval(JinjaRun *run, const JinjaNode *node);
JinjaFlow jinja_exec(JinjaRun *run, const JinjaNodes *body);

JinjaScope *scope_enter(JinjaRun *run, JinjaScope *outer);
void scope_set(JinjaRun *run, JinjaScope *scope, const char *name, JinjaValue value);
JinjaValue scope_get(JinjaRun *run, const char *name); /* undefined where there is none */

/* Arguments of a call, evaluated. */
void jinja_arguments(JinjaRun *run, const JinjaNodes *parts, JinjaList *items, JinjaDict *named);
JinjaValue jinja_call(JinjaRun *run, JinjaValue callee, JinjaList *items, JinjaDict *named);
JinjaValue jinja_call_macro(JinjaRun *run, const JinjaMacro *macro, JinjaList *items,
                            JinjaDict *named);
/* A loop's text over other items: loop(children). */
JinjaValue jinja_call_loop(JinjaRun *run, const JinjaLoop *loop, JinjaList *items);
JinjaValue jinja_loop_attr(JinjaRun *run, const JinjaLoop *loop, const char *name);

/* value.name, value[key]; undefined where there is none. Fails on what is itself undefined. */
JinjaValue jinja_attr(JinjaRun *run, JinjaValue value, const char *name);
JinjaValue jinja_item(JinjaRun *run, JinjaValue value, JinjaValue key);
/* An attribute alone, not an item of this name; undefined where there is none. */
JinjaValue jinja_own_attr(JinjaRun *run, JinjaValue value, const char *name);
/* value[from:to:step], JINJA_NONE where one is left out. */
JinjaValue jinja_slice(JinjaRun *run, JinjaValue value, const JinjaValue bounds[3]);
/* What stands behind attribute= of filters: "a.b.0", a number; several with commas give a list. */
JinjaValue jinja_attr_path(JinjaRun *run, JinjaValue value, JinjaValue path);

JinjaValue jinja_binary(JinjaRun *run, const char *op, JinjaValue a, JinjaValue b);
JinjaValue jinja_negative(JinjaRun *run, JinjaValue a);
bool jinja_contains(JinjaRun *run, JinjaValue container, JinjaValue item);
bool jinja_same(JinjaValue a, JinjaValue b); /* Python's `is` */

/* str(), repr(), json.dumps() */
JinjaText *jinja_str(JinjaWork *work, JinjaValue value);
void jinja_put_str(JinjaBuild *build, JinjaValue value);
void jinja_put_repr(JinjaBuild *build, JinjaValue value);
typedef struct JinjaJson {
    bool ascii, sorted;
    const JinjaText *indent; /* of one level; NULL: all in one line */
    const JinjaText *between, *after_key;
} JinjaJson;
void jinja_put_json(JinjaBuild *build, const JinjaJson *how, JinjaValue value, int64_t level);
enum { JINJA_REAL_SIZE = 40 };
void jinja_print_real(double real, char out[JINJA_REAL_SIZE]);

/* "..." % values, and "...".format(...) */
JinjaText *jinja_percent(JinjaRun *run, const JinjaText *format, JinjaValue values);
JinjaText *jinja_braces(JinjaRun *run, const JinjaText *format, const JinjaArgs *args);

/* A stable order; `key` NULL: the items themselves. */
void jinja_sort(JinjaWork *work, JinjaValue *items, const JinjaValue *keys, int64_t n,
                bool reverse);

/* Arguments of entries. Each fails naming the entry when the argument is of another type. */
JinjaText *arg_text(JinjaRun *run, JinjaValue value, const char *what);
int64_t arg_int(JinjaRun *run, JinjaValue value, int64_t standard, const char *what);
bool arg_truth(JinjaRun *run, JinjaValue value, bool standard);
JinjaText *jinja_escape(JinjaWork *work, const JinjaText *text); /* HTML */

#endif
