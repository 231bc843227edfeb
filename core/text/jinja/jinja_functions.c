/* Functions that templates find by name, and the methods of what they give. */
#include <string.h>

#include "core/text/jinja/jinja_run.h"

enum { RANGE_MAX = 100000, DATE_MAX = 256 }; /* the first is that of Jinja's sandbox */

static int64_t range_count(int64_t start, int64_t stop, int64_t step)
{
    if (step > 0)
        return stop > start ? (int64_t)(((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step) + 1
                            : 0;
    return start > stop ? (int64_t)(((uint64_t)start - (uint64_t)stop - 1) / -(uint64_t)step) + 1
                        : 0;
}

static JinjaValue make_range(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    bool one = !jinja_given(args->bound[1]);
    int64_t first = arg_int(run, args->bound[0], 0, "an argument of range");
    int64_t start = one ? 0 : first;
    int64_t stop = one ? first : arg_int(run, args->bound[1], 0, "an argument of range");
    int64_t step = arg_int(run, args->bound[2], 1, "an argument of range");
    if (step == 0)
        jinja_fail(run->work, "the step of a range is zero");
    int64_t count = range_count(start, stop, step);
    if (count > RANGE_MAX || count < 0)
        jinja_fail(run->work, "a range has more than %d numbers", RANGE_MAX);
    JinjaList *list = jinja_list_new(run->work);
    *list = (JinjaList){.start = start, .stop = stop, .step = step};
    jinja_charge(run->work, count / 8);
    for (int64_t i = 0; i < count; i++)
        jinja_list_add(run->work, list, jinja_int(start + i * step));
    return jinja_of_list(JINJA_RANGE, list);
}

/* dict(other, a=1) and the members of a namespace. */
static JinjaDict *gather(JinjaRun *run, const JinjaArgs *args)
{
    JinjaDict *dict = jinja_dict_new(run->work);
    if (args->items->count > 1)
        jinja_fail(run->work, "a dictionary is made from at most one other");
    JinjaValue from = args->items->count ? args->items->items[0] : jinja_undefined("");
    const JinjaList *pairs = from.kind == JINJA_DICT ? NULL : jinja_items(run->work, from);
    for (int64_t i = 0; from.kind == JINJA_DICT && i < from.dict->count; i++)
        jinja_dict_put(run->work, dict, from.dict->keys[i], from.dict->values[i]);
    for (int64_t i = 0; pairs && i < pairs->count; i++) {
        const JinjaList *pair = jinja_items(run->work, pairs->items[i]);
        if (pair->count != 2)
            jinja_fail(run->work, "a dictionary is made from pairs");
        jinja_dict_put(run->work, dict, pair->items[0], pair->items[1]);
    }
    for (int64_t i = 0; i < args->named->count; i++)
        jinja_dict_put(run->work, dict, args->named->keys[i], args->named->values[i]);
    return dict;
}

static JinjaValue make_dict(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    return jinja_of_dict(gather(run, args));
}

static JinjaValue make_namespace(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    JinjaDict *dict = gather(run, args);
    for (int64_t i = 0; i < dict->count; i++)
        if (dict->keys[i].kind == JINJA_TEXT && dict->keys[i].text->data[0] == '_')
            jinja_fail(run->work, "the attribute '%.60s' of a namespace begins with '_'",
                       dict->keys[i].text->data);
    return (JinjaValue){.kind = JINJA_NAMESPACE, .dict = dict};
}

static JinjaValue make_cycler(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    if (args->items->count == 0)
        jinja_fail(run->work, "a cycler has at least one item");
    return (JinjaValue){.kind = JINJA_CYCLER, .list = args->items};
}

static JinjaValue make_joiner(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    JinjaList *list = jinja_list_new(run->work);
    jinja_list_add(run->work, list,
                   jinja_given(args->bound[0]) ? args->bound[0] : text_value(run->work, ", "));
    return (JinjaValue){.kind = JINJA_JOINER, .joiner = list};
}

static JinjaValue raise(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    const JinjaText *why = jinja_str(run->work, args->bound[0]);
    run->work->line = 0;
    jinja_fail(run->work, "%.900s", why->data);
}

/* strftime, whose format is the template's. */
static size_t (*const format_date)(char *, size_t, const char *, const struct tm *) = strftime;

static JinjaValue date(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)self;
    char text[DATE_MAX];
    const JinjaText *format = arg_text(run, args->bound[0], "the form of a date");
    const char *own = jinja_keep(run->work, format->data, format->size);
    size_t n = format_date(text, sizeof text, own, &run->now);
    if (n == 0 && format->size > 0)
        jinja_fail(run->work, "the form of a date, '%.60s', gives no text of less than %d bytes",
                   format->data, DATE_MAX);
    return jinja_of_text(text_of(run->work, text, (int64_t)n, false));
}

const JinjaEntry jinja_functions[] = {
    {"range", make_range, "start,stop,step", 1}, {"dict", make_dict, NULL, 0},
    {"namespace", make_namespace, NULL, 0},      {"cycler", make_cycler, NULL, 0},
    {"joiner", make_joiner, "sep", 0},           {"raise_exception", raise, "message", 1},
    {"strftime_now", date, "format", 1},         {0},
};

/* ---- methods of loops and cyclers ------------------------------------------------------------ */

static JinjaValue loop_cycle(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    if (args->items->count == 0)
        jinja_fail(run->work, "loop.cycle() wants at least one item");
    return args->items->items[self.loop->index % args->items->count];
}

static JinjaValue loop_changed(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    JinjaLoop *loop = self.loop;
    JinjaValue now = jinja_of_list(JINJA_TUPLE, args->items);
    bool changed =
        !loop->changed || !jinja_equal(run->work, jinja_of_list(JINJA_TUPLE, loop->changed), now);
    loop->changed = args->items;
    return jinja_bool(changed);
}

const JinjaEntry jinja_loop_methods[] = {
    {"cycle", loop_cycle, NULL, 0},
    {"changed", loop_changed, NULL, 0},
    {0},
};

static JinjaValue cycler_next(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)run;
    (void)args;
    JinjaValue current = self.list->items[self.list->at];
    self.list->at = (self.list->at + 1) % self.list->count;
    return current;
}

static JinjaValue cycler_reset(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    (void)run;
    (void)args;
    self.list->at = 0;
    return jinja_none();
}

const JinjaEntry jinja_cycler_methods[] = {
    {"next", cycler_next, "", 0},
    {"reset", cycler_reset, "", 0},
    {0},
};
