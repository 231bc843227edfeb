#include "core/text/jinja/jinja_entries.h"

#include <string.h>

#include "core/text/jinja/jinja_run.h"

const JinjaEntry *jinja_entry_in(const JinjaEntry *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

const JinjaEntry *jinja_filter_find(const char *name)
{
    const JinjaEntry *const tables[] = {jinja_text_filters, jinja_item_filters,
                                        jinja_value_filters};
    const JinjaEntry *entry = NULL;
    for (int i = 0; i < 3 && !entry; i++)
        entry = jinja_entry_in(tables[i], name);
    return entry;
}

const JinjaEntry *jinja_test_find(const char *name)
{
    return jinja_entry_in(jinja_tests, name);
}

/* Which parameter this name is, or -1. */
static int parameter(const char *parameters, const JinjaText *name)
{
    int index = 0;
    for (const char *p = parameters; *p; index++) {
        size_t n = strcspn(p, ",");
        if ((int64_t)n == name->size && memcmp(p, name->data, n) == 0)
            return index;
        p += n + (p[n] == ',');
    }
    return -1;
}

static int count_of(const char *parameters)
{
    int count = *parameters != '\0';
    for (const char *p = parameters; *p; p++)
        count += *p == ',';
    return count;
}

static void bind(JinjaRun *run, const JinjaEntry *entry, JinjaArgs *args)
{
    int most = count_of(entry->parameters);
    CHECK(most <= JINJA_PARAMETERS, "too many parameters of %s", entry->name);
    if (args->items->count > most)
        jinja_fail(run->work, "'%s' takes %d arguments, not %lld", entry->name, most,
                   (long long)args->items->count);
    for (int64_t i = 0; i < args->items->count; i++)
        args->bound[i] = args->items->items[i];
    for (int64_t i = 0; i < args->named->count; i++) {
        const JinjaText *name = args->named->keys[i].text;
        int index = parameter(entry->parameters, name);
        if (index < 0)
            jinja_fail(run->work, "'%s' has no argument '%.60s'", entry->name, name->data);
        if (jinja_given(args->bound[index]))
            jinja_fail(run->work, "'%s' is given its argument '%.60s' twice", entry->name,
                       name->data);
        args->bound[index] = args->named->values[i];
    }
    for (int i = 0; i < entry->required; i++)
        if (!jinja_given(args->bound[i]))
            jinja_fail(run->work, "'%s' wants %d arguments (%s)", entry->name, entry->required,
                       entry->parameters);
}

JinjaValue jinja_apply(JinjaRun *run, const JinjaEntry *entry, JinjaValue self, JinjaList *items,
                       JinjaDict *named)
{
    JinjaArgs args = {.items = items, .named = named};
    if (entry->parameters)
        bind(run, entry, &args);
    jinja_charge(run->work, 1);
    jinja_deeper(run->work);
    JinjaValue value = entry->fn(run, self, &args);
    jinja_shallower(run->work);
    return value;
}

/* ---- arguments ------------------------------------------------------------------------------- */

JinjaText *arg_text(JinjaRun *run, JinjaValue value, const char *what)
{
    if (value.kind != JINJA_TEXT)
        jinja_fail(run->work, "%s is a text, not '%s'", what, jinja_kind_name(value));
    return value.text;
}

int64_t arg_int(JinjaRun *run, JinjaValue value, int64_t standard, const char *what)
{
    if (!jinja_given(value))
        return standard;
    if (value.kind != JINJA_INT && value.kind != JINJA_BOOL)
        jinja_fail(run->work, "%s is an integer, not '%s'", what, jinja_kind_name(value));
    return jinja_whole(value);
}

bool arg_truth(JinjaRun *run, JinjaValue value, bool standard)
{
    return jinja_given(value) ? jinja_truth(run->work, value) : standard;
}
