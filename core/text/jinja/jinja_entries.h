/* What templates can call by name: filters, tests, methods and functions. Each is an entry of a
 * table. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_ENTRIES_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_ENTRIES_H

#include "core/text/jinja/jinja_value.h"

typedef struct JinjaRun JinjaRun;

enum { JINJA_PARAMETERS = 6 };

typedef struct JinjaArgs {
    JinjaValue bound[JINJA_PARAMETERS]; /* by the entry's parameters; JINJA_ABSENT: not given */
    JinjaList *items;                   /* as they were given: those without name, */
    JinjaDict *named;                   /* and those with; never NULL */
} JinjaArgs;

/* `self`: what a filter or test is applied to, or whose method this is. */
typedef JinjaValue JinjaFn(JinjaRun *run, JinjaValue self, const JinjaArgs *args);

struct JinjaEntry {
    const char *name;
    JinjaFn *fn;
    const char *parameters; /* "width,fill"; NULL: any arguments, not bound */
    int required;
};

/* Each table ends with an entry without name. */
extern const JinjaEntry jinja_text_filters[], jinja_item_filters[], jinja_value_filters[];
extern const JinjaEntry jinja_tests[], jinja_functions[];
extern const JinjaEntry jinja_text_methods[], jinja_text_questions[], jinja_list_methods[],
    jinja_dict_methods[], jinja_cycler_methods[], jinja_loop_methods[];

const JinjaEntry *jinja_entry_in(const JinjaEntry *table, const char *name); /* NULL: none */
const JinjaEntry *jinja_filter_find(const char *name);
const JinjaEntry *jinja_test_find(const char *name);

/* Binds the arguments and calls. */
JinjaValue jinja_apply(JinjaRun *run, const JinjaEntry *entry, JinjaValue self, JinjaList *items,
                       JinjaDict *named);

#endif
