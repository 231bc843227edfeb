/* Filters of lists and dictionaries. Those that Python makes generators give iterators. */
#include <string.h>

#include "core/text/jinja/jinja_run.h"

#define FILTER(name) static JinjaValue name(JinjaRun *run, JinjaValue self, const JinjaArgs *args)

static JinjaValue iterator(JinjaList *list)
{
    return jinja_of_list(JINJA_ITERATOR, list);
}

/* What several filters go through: nothing at all for what counts as false. */
static JinjaList *items_if_any(JinjaRun *run, JinjaValue value)
{
    return jinja_truth(run->work, value) ? jinja_items(run->work, value)
                                         : jinja_list_new(run->work);
}

FILTER(first)
{
    (void)args;
    if (self.kind == JINJA_ITERATOR)
        return self.list->at < self.list->count ? self.list->items[self.list->at++]
                                                : jinja_undefined("the first of no items");
    const JinjaList *list = jinja_items(run->work, self);
    return list->count ? list->items[0] : jinja_undefined("the first of no items");
}

static bool is_reversible(JinjaValue v)
{
    return v.kind != JINJA_ITERATOR && (jinja_has_items(v) || v.kind == JINJA_TEXT ||
                                        v.kind == JINJA_DICT || v.kind == JINJA_UNDEFINED);
}

FILTER(last)
{
    (void)args;
    if (!is_reversible(self))
        jinja_fail(run->work, "an object of type '%s' has no last item", jinja_kind_name(self));
    const JinjaList *list = jinja_items(run->work, self);
    return list->count ? list->items[list->count - 1] : jinja_undefined("the last of no items");
}

static JinjaList *copy_of(JinjaRun *run, const JinjaList *list)
{
    JinjaList *copy = jinja_list_new(run->work);
    for (int64_t i = 0; i < list->count; i++)
        jinja_list_add(run->work, copy, list->items[i]);
    jinja_charge(run->work, list->count);
    return copy;
}

FILTER(as_list)
{
    (void)args;
    return jinja_of_list(JINJA_LIST, copy_of(run, jinja_items(run->work, self)));
}

FILTER(reversed)
{
    (void)args;
    const JinjaValue backwards[3] = {jinja_none(), jinja_none(), jinja_int(-1)};
    if (self.kind == JINJA_TEXT)
        return jinja_slice(run, self, backwards);
    JinjaList *list = copy_of(run, jinja_items(run->work, self));
    for (int64_t i = 0; i < list->count / 2; i++) {
        JinjaValue keep = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = keep;
    }
    return jinja_of_list(is_reversible(self) ? JINJA_ITERATOR : JINJA_LIST, list);
}

FILTER(join)
{
    JinjaBuild b = build_new(run->work, NULL);
    const JinjaList *list = jinja_items(run->work, self);
    JinjaValue between = args->bound[0], path = args->bound[1];
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue one = list->items[i];
        if (jinja_given(path) && path.kind != JINJA_NONE)
            one = jinja_attr_path(run, one, path);
        if (i > 0 && jinja_given(between))
            jinja_put_str(&b, between);
        jinja_put_str(&b, one);
    }
    return jinja_of_text(build_done(&b));
}

/* ---- dictionaries ---------------------------------------------------------------------------- */

static JinjaValue pair_of(JinjaRun *run, JinjaValue a, JinjaValue b)
{
    JinjaList *pair = jinja_list_new(run->work);
    jinja_list_add(run->work, pair, a);
    jinja_list_add(run->work, pair, b);
    return jinja_of_list(JINJA_TUPLE, pair);
}

static JinjaList *pairs_of(JinjaRun *run, const JinjaDict *dict)
{
    JinjaList *list = jinja_list_new(run->work);
    for (int64_t i = 0; i < dict->count; i++)
        jinja_list_add(run->work, list, pair_of(run, dict->keys[i], dict->values[i]));
    return list;
}

FILTER(items)
{
    (void)args;
    if (self.kind == JINJA_UNDEFINED)
        return iterator(jinja_list_new(run->work));
    if (self.kind != JINJA_DICT)
        jinja_fail(run->work, "items wants a dictionary, not '%s'", jinja_kind_name(self));
    return iterator(pairs_of(run, self.dict));
}

/* What values are sorted by: letter case ignored unless it counts. */
static JinjaValue sort_key(JinjaRun *run, JinjaValue value, bool case_counts)
{
    if (case_counts || value.kind != JINJA_TEXT)
        return value;
    return jinja_of_text(text_case(run->work, value.text, CASE_LOWER));
}

FILTER(dict_sort)
{
    bool case_counts = arg_truth(run, args->bound[0], false);
    bool reverse = arg_truth(run, args->bound[2], false);
    int64_t by = 0;
    if (jinja_given(args->bound[1])) {
        const JinjaText *name = arg_text(run, args->bound[1], "what dictsort sorts by");
        by = text_is(name, "value");
        if (!by && !text_is(name, "key"))
            jinja_fail(run->work, "dictsort sorts by 'key' or 'value'");
    }
    if (self.kind != JINJA_DICT)
        jinja_fail(run->work, "dictsort wants a dictionary, not '%s'", jinja_kind_name(self));
    JinjaList *list = pairs_of(run, self.dict), *keys = jinja_list_new(run->work);
    for (int64_t i = 0; i < list->count; i++)
        jinja_list_add(run->work, keys, sort_key(run, list->items[i].list->items[by], case_counts));
    jinja_sort(run->work, list->items, keys->items, list->count, reverse);
    return jinja_of_list(JINJA_LIST, list);
}

/* ---- order ----------------------------------------------------------------------------------- */

/* The attribute (`path` not given: the item itself) as a key. */
static JinjaValue key_of(JinjaRun *run, JinjaValue item, JinjaValue path, bool case_counts)
{
    if (jinja_given(path) && path.kind != JINJA_NONE)
        item = jinja_attr_path(run, item, path);
    return sort_key(run, item, case_counts);
}

/* The keys of "a,b", or of one attribute: a list, whose equal items are never asked for an order.
 */
static JinjaValue keys_of(JinjaRun *run, JinjaValue item, JinjaValue path, bool case_counts)
{
    JinjaList *keys = jinja_list_new(run->work);
    const JinjaText comma = {.data = ",", .size = 1};
    bool several = path.kind == JINJA_TEXT;
    for (int64_t at = 0; several && at <= path.text->size;) {
        int64_t end = text_find(run->work, path.text, &comma, at, path.text->size, false);
        end = end < 0 ? path.text->size : end;
        JinjaValue part = jinja_of_text(text_slice(run->work, path.text, at, end));
        jinja_list_add(run->work, keys, key_of(run, item, part, case_counts));
        at = end + 1;
    }
    if (!several)
        jinja_list_add(run->work, keys, key_of(run, item, path, case_counts));
    return jinja_of_list(JINJA_LIST, keys);
}

FILTER(sorted)
{
    bool reverse = arg_truth(run, args->bound[0], false);
    bool case_counts = arg_truth(run, args->bound[1], false);
    JinjaList *list = copy_of(run, jinja_items(run->work, self)), *keys = jinja_list_new(run->work);
    for (int64_t i = 0; i < list->count; i++)
        jinja_list_add(run->work, keys, keys_of(run, list->items[i], args->bound[2], case_counts));
    jinja_sort(run->work, list->items, keys->items, list->count, reverse);
    return jinja_of_list(JINJA_LIST, list);
}

FILTER(unique)
{
    bool case_counts = arg_truth(run, args->bound[0], false);
    const JinjaList *list = jinja_items(run->work, self);
    JinjaList *out = jinja_list_new(run->work);
    JinjaDict *seen = jinja_dict_new(run->work);
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue key = key_of(run, list->items[i], args->bound[1], case_counts);
        int64_t before = seen->count;
        jinja_dict_put(run->work, seen, key, jinja_none());
        if (seen->count > before)
            jinja_list_add(run->work, out, list->items[i]);
    }
    return iterator(out);
}

static JinjaValue extreme(JinjaRun *run, JinjaValue self, const JinjaArgs *args, int sign)
{
    bool case_counts = arg_truth(run, args->bound[0], false);
    const JinjaList *list = jinja_items(run->work, self);
    JinjaValue best = jinja_undefined("the least or greatest of no items"), best_key = best;
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue key = key_of(run, list->items[i], args->bound[1], case_counts);
        if (i > 0 && sign * jinja_compare(run->work, key, best_key) >= 0)
            continue;
        best = list->items[i];
        best_key = key;
    }
    return best;
}

FILTER(least)
{
    return extreme(run, self, args, 1);
}

FILTER(greatest)
{
    return extreme(run, self, args, -1);
}

FILTER(sum)
{
    JinjaValue total = jinja_given(args->bound[1]) ? args->bound[1] : jinja_int(0);
    const JinjaList *list = jinja_items(run->work, self);
    if (total.kind == JINJA_TEXT)
        jinja_fail(run->work, "sum does not join texts");
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue one = list->items[i];
        if (jinja_given(args->bound[0]) && args->bound[0].kind != JINJA_NONE)
            one = jinja_attr_path(run, one, args->bound[0]);
        total = jinja_binary(run, "+", total, one);
    }
    return total;
}

FILTER(group_by)
{
    bool case_counts = arg_truth(run, args->bound[2], false);
    JinjaList *list = copy_of(run, jinja_items(run->work, self)), *keys = jinja_list_new(run->work);
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue key = key_of(run, list->items[i], args->bound[0], case_counts);
        if (key.kind == JINJA_UNDEFINED && jinja_given(args->bound[1]))
            key = sort_key(run, args->bound[1], case_counts);
        jinja_list_add(run->work, keys, key);
    }
    JinjaList *sorted_keys = copy_of(run, keys), *out = jinja_list_new(run->work);
    jinja_sort(run->work, list->items, keys->items, list->count, false);
    jinja_sort(run->work, sorted_keys->items, NULL, list->count, false);
    for (int64_t i = 0; i < list->count; i++) {
        bool more =
            i > 0 && jinja_equal(run->work, sorted_keys->items[i - 1], sorted_keys->items[i]);
        if (!more) {
            JinjaValue key = key_of(run, list->items[i], args->bound[0], true);
            if (key.kind == JINJA_UNDEFINED && jinja_given(args->bound[1]))
                key = args->bound[1];
            JinjaValue group =
                pair_of(run, key, jinja_of_list(JINJA_LIST, jinja_list_new(run->work)));
            group.list->name = "group";
            jinja_list_add(run->work, out, group);
        }
        jinja_list_add(run->work, out->items[out->count - 1].list->items[1].list, list->items[i]);
    }
    return jinja_of_list(JINJA_LIST, out);
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* The arguments behind the first `n`. */
static JinjaList *rest_of(JinjaRun *run, const JinjaArgs *args, int64_t n)
{
    JinjaList *rest = jinja_list_new(run->work);
    for (int64_t i = n; i < args->items->count; i++)
        jinja_list_add(run->work, rest, args->items->items[i]);
    return rest;
}

static JinjaValue map_attribute(JinjaRun *run, JinjaValue self, const JinjaArgs *args)
{
    JinjaList *out = jinja_list_new(run->work);
    const JinjaValue *path = jinja_dict_find_name(run->work, args->named, "attribute");
    const JinjaValue *standard = jinja_dict_find_name(run->work, args->named, "default");
    if (args->named->count != 1 + (standard != NULL))
        jinja_fail(run->work, "map takes 'attribute' and 'default'");
    bool replaces = standard && standard->kind != JINJA_NONE;
    const JinjaList *list = items_if_any(run, self);
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue one = jinja_attr_path(run, list->items[i], *path);
        jinja_list_add(run->work, out, one.kind == JINJA_UNDEFINED && replaces ? *standard : one);
    }
    return iterator(out);
}

FILTER(map)
{
    if (args->items->count == 0 && jinja_dict_find_name(run->work, args->named, "attribute"))
        return map_attribute(run, self, args);
    if (args->items->count == 0)
        jinja_fail(run->work, "map wants a filter or an attribute");
    const char *name = arg_text(run, args->items->items[0], "the filter of map")->data;
    const JinjaEntry *entry = jinja_filter_find(name);
    const JinjaList *list = items_if_any(run, self);
    JinjaList *out = jinja_list_new(run->work), *rest = rest_of(run, args, 1);
    if (!entry && list->count > 0)
        jinja_fail(run->work, "there is no filter '%.60s'", name);
    for (int64_t i = 0; i < list->count; i++)
        jinja_list_add(run->work, out, jinja_apply(run, entry, list->items[i], rest, args->named));
    return iterator(out);
}

/* The items for which a test holds, or does not (`wanted` false); `by_attr`: of an attribute. */
static JinjaValue choose(JinjaRun *run, JinjaValue self, const JinjaArgs *args, bool by_attr,
                         bool wanted)
{
    int64_t at = by_attr;
    if (args->items->count < at)
        jinja_fail(run->work, "the name of an attribute is missing");
    const JinjaEntry *test = NULL;
    const JinjaList *list = items_if_any(run, self);
    if (args->items->count > at) {
        const char *name = arg_text(run, args->items->items[at], "the name of a test")->data;
        test = jinja_test_find(name);
        if (!test && list->count > 0)
            jinja_fail(run->work, "there is no test '%.60s'", name);
    }
    JinjaList *out = jinja_list_new(run->work), *rest = rest_of(run, args, at + 1);
    for (int64_t i = 0; i < list->count; i++) {
        JinjaValue one = list->items[i];
        if (by_attr)
            one = jinja_attr_path(run, one, args->items->items[0]);
        if (test)
            one = jinja_apply(run, test, one, rest, args->named);
        if (jinja_truth(run->work, one) == wanted)
            jinja_list_add(run->work, out, list->items[i]);
    }
    return iterator(out);
}

FILTER(chosen)
{
    return choose(run, self, args, false, true);
}

FILTER(rejected)
{
    return choose(run, self, args, false, false);
}

FILTER(chosen_by_attr)
{
    return choose(run, self, args, true, true);
}

FILTER(rejected_by_attr)
{
    return choose(run, self, args, true, false);
}

/* ---- dividing -------------------------------------------------------------------------------- */

static void fill_up(JinjaRun *run, JinjaList *list, JinjaValue with, int64_t count)
{
    while (jinja_given(with) && with.kind != JINJA_NONE && list->count < count)
        jinja_list_add(run->work, list, with);
}

FILTER(batch)
{
    int64_t size = arg_int(run, args->bound[0], 0, "the size of a batch");
    const JinjaList *list = jinja_items(run->work, self);
    JinjaList *out = jinja_list_new(run->work), *part = NULL;
    for (int64_t i = 0; i < list->count; i++) {
        if (!part || part->count == size) {
            part = jinja_list_new(run->work);
            jinja_list_add(run->work, out, jinja_of_list(JINJA_LIST, part));
        }
        jinja_list_add(run->work, part, list->items[i]);
    }
    if (part)
        fill_up(run, part, args->bound[1], size);
    return iterator(out);
}

FILTER(sliced)
{
    int64_t n = arg_int(run, args->bound[0], 0, "the number of slices"), at = 0;
    const JinjaList *list = jinja_items(run->work, self);
    JinjaList *out = jinja_list_new(run->work);
    if (n == 0)
        jinja_fail(run->work, "division by zero");
    for (int64_t k = 0; k < n; k++) {
        JinjaList *part = jinja_list_new(run->work);
        int64_t size = list->count / n, longer = list->count % n;
        for (int64_t i = 0; i < size + (k < longer); i++)
            jinja_list_add(run->work, part, list->items[at++]);
        if (k >= longer)
            fill_up(run, part, args->bound[1], size + 1);
        jinja_list_add(run->work, out, jinja_of_list(JINJA_LIST, part));
    }
    return iterator(out);
}

const JinjaEntry jinja_item_filters[] = {
    {"first", first, "", 0},
    {"last", last, "", 0},
    {"list", as_list, "", 0},
    {"reverse", reversed, "", 0},
    {"join", join, "d,attribute", 0},
    {"items", items, "", 0},
    {"dictsort", dict_sort, "case_sensitive,by,reverse", 0},
    {"sort", sorted, "reverse,case_sensitive,attribute", 0},
    {"unique", unique, "case_sensitive,attribute", 0},
    {"min", least, "case_sensitive,attribute", 0},
    {"max", greatest, "case_sensitive,attribute", 0},
    {"sum", sum, "attribute,start", 0},
    {"groupby", group_by, "attribute,default,case_sensitive", 1},
    {"map", map, NULL, 0},
    {"select", chosen, NULL, 0},
    {"reject", rejected, NULL, 0},
    {"selectattr", chosen_by_attr, NULL, 0},
    {"rejectattr", rejected_by_attr, NULL, 0},
    {"batch", batch, "linecount,fill_with", 1},
    {"slice", sliced, "slices,fill_with", 1},
    {0},
};
