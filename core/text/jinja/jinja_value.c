#include "core/text/jinja/jinja_value.h"

#include <math.h>
#include <string.h>

#include "core/text/jinja/jinja_text.h"

enum { FEW_KEYS = 8 }; /* of which a dictionary keeps no hashes */

JinjaValue jinja_undefined(const char *name)
{
    return (JinjaValue){.kind = JINJA_UNDEFINED, .name = name};
}

JinjaValue jinja_none(void)
{
    return (JinjaValue){.kind = JINJA_NONE};
}

JinjaValue jinja_bool(bool truth)
{
    return (JinjaValue){.kind = JINJA_BOOL, .truth = truth};
}

JinjaValue jinja_int(int64_t number)
{
    return (JinjaValue){.kind = JINJA_INT, .number = number};
}

JinjaValue jinja_float(double real)
{
    return (JinjaValue){.kind = JINJA_FLOAT, .real = real};
}

JinjaValue jinja_of_text(JinjaText *text)
{
    return (JinjaValue){.kind = JINJA_TEXT, .text = text};
}

JinjaValue jinja_of_list(JinjaKind kind, JinjaList *list)
{
    return (JinjaValue){.kind = (uint8_t)kind, .list = list};
}

JinjaValue jinja_of_dict(JinjaDict *dict)
{
    return (JinjaValue){.kind = JINJA_DICT, .dict = dict};
}

const char *jinja_kind_name(JinjaValue value)
{
    static const char *const names[] = {
        [JINJA_ABSENT] = "missing",    [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",     [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",           [JINJA_FLOAT] = "float",
        [JINJA_TEXT] = "str",          [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",       [JINJA_RANGE] = "range",
        [JINJA_VIEW] = "view",         [JINJA_ITERATOR] = "generator",
        [JINJA_DICT] = "dict",         [JINJA_NAMESPACE] = "Namespace",
        [JINJA_FUNCTION] = "function", [JINJA_METHOD] = "method",
        [JINJA_MACRO] = "Macro",       [JINJA_LOOP] = "LoopContext",
        [JINJA_CYCLER] = "Cycler",     [JINJA_JOINER] = "Joiner",
    };
    return names[value.kind];
}

double jinja_real(JinjaValue v)
{
    return v.kind == JINJA_FLOAT ? v.real : (double)jinja_whole(v);
}

int64_t jinja_whole(JinjaValue v)
{
    return v.kind == JINJA_BOOL ? v.truth : v.number;
}

bool jinja_truth(JinjaWork *work, JinjaValue v)
{
    switch (v.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v.truth;
    case JINJA_INT:
        return v.number != 0;
    case JINJA_FLOAT:
        return v.real != 0.0;
    case JINJA_ITERATOR:
        return true; /* whatever is in it */
    default:
        break;
    }
    bool sized = v.kind == JINJA_TEXT || jinja_has_items(v) || v.kind == JINJA_DICT;
    return !sized || jinja_length(work, v) > 0;
}

/* ---- lists ----------------------------------------------------------------------------------- */

JinjaList *jinja_list_new(JinjaWork *work)
{
    return jinja_take(work, sizeof(JinjaList));
}

void jinja_list_add(JinjaWork *work, JinjaList *list, JinjaValue value)
{
    list->items =
        jinja_grow(work, list->items, list->count, &list->capacity, list->count + 1, sizeof value);
    list->items[list->count++] = value;
}

int64_t jinja_length(JinjaWork *work, JinjaValue v)
{
    switch (v.kind) {
    case JINJA_UNDEFINED:
        return 0;
    case JINJA_TEXT:
        return v.text->chars;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
        return v.list->count;
    case JINJA_DICT:
        return v.dict->count;
    default:
        jinja_fail(work, "an object of type '%s' has no length", jinja_kind_name(v));
    }
}

static JinjaList *characters(JinjaWork *work, const JinjaText *text)
{
    uint32_t code;
    JinjaList *list = jinja_list_new(work);
    for (int64_t i = 0; i < text->size;) {
        int length = text_next(text, i, &code);
        jinja_list_add(work, list, jinja_of_text(text_slice(work, text, i, i + length)));
        i += length;
    }
    return list;
}

JinjaList *jinja_items(JinjaWork *work, JinjaValue v)
{
    JinjaList *list;
    switch (v.kind) {
    case JINJA_UNDEFINED:
        return jinja_list_new(work);
    case JINJA_TEXT:
        return characters(work, v.text);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
        return v.list;
    case JINJA_ITERATOR:
        list = jinja_list_new(work);
        list->items = v.list->items + v.list->at;
        list->count = v.list->count - v.list->at;
        v.list->at = v.list->count;
        return list;
    case JINJA_DICT:
        list = jinja_list_new(work);
        list->items = v.dict->keys;
        list->count = v.dict->count;
        return list;
    default:
        jinja_fail(work, "an object of type '%s' cannot be gone through", jinja_kind_name(v));
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool equal_items(JinjaWork *work, const JinjaList *a, const JinjaList *b)
{
    bool same = a->count == b->count;
    jinja_deeper(work);
    for (int64_t i = 0; same && i < a->count; i++)
        same = jinja_equal(work, a->items[i], b->items[i]);
    jinja_shallower(work);
    return same;
}

static bool equal_dicts(JinjaWork *work, const JinjaDict *a, const JinjaDict *b)
{
    bool same = a->count == b->count;
    jinja_deeper(work);
    for (int64_t i = 0; same && i < a->count; i++) {
        const JinjaValue *other = jinja_dict_find(work, b, a->keys[i]);
        same = other && jinja_equal(work, a->values[i], *other);
    }
    jinja_shallower(work);
    return same;
}

bool jinja_equal(JinjaWork *work, JinjaValue a, JinjaValue b)
{
    jinja_charge(work, 1);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT)
            return jinja_real(a) == jinja_real(b);
        return jinja_whole(a) == jinja_whole(b);
    }
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    case JINJA_TEXT:
        return text_same(a.text, b.text);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
        return a.list == b.list || equal_items(work, a.list, b.list);
    case JINJA_DICT:
        return a.dict == b.dict || equal_dicts(work, a.dict, b.dict);
    default:
        return a.list == b.list;
    }
}

int jinja_compare(JinjaWork *work, JinjaValue a, JinjaValue b)
{
    jinja_charge(work, 1);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.kind != JINJA_FLOAT && b.kind != JINJA_FLOAT)
            return (jinja_whole(a) > jinja_whole(b)) - (jinja_whole(a) < jinja_whole(b));
        double x = jinja_real(a), y = jinja_real(b);
        if (isnan(x) || isnan(y))
            jinja_fail(work, "not a number has no order");
        return (x > y) - (x < y);
    }
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        jinja_fail(work, "'%s' is undefined", a.kind == JINJA_UNDEFINED ? a.name : b.name);
    if (a.kind == JINJA_TEXT && b.kind == JINJA_TEXT)
        return text_compare(a.text, b.text);
    if (a.kind != b.kind || (a.kind != JINJA_LIST && a.kind != JINJA_TUPLE))
        jinja_fail(work, "'%s' and '%s' have no order", jinja_kind_name(a), jinja_kind_name(b));
    int order = 0;
    jinja_deeper(work);
    for (int64_t i = 0; order == 0 && i < a.list->count && i < b.list->count; i++)
        if (!jinja_equal(work, a.list->items[i], b.list->items[i]))
            order = jinja_compare(work, a.list->items[i], b.list->items[i]);
    jinja_shallower(work);
    return order ? order : (a.list->count > b.list->count) - (a.list->count < b.list->count);
}

/* ---- dictionaries ---------------------------------------------------------------------------- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static uint64_t hash_of_key(JinjaWork *work, JinjaValue key)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    double real;
    switch (key.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return hash + key.kind;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        real = jinja_real(key) + 0.0; /* equal numbers hash alike; no negative zero */
        return hash_bytes(hash, &real, sizeof real);
    case JINJA_TEXT:
        return hash_bytes(hash, key.text->data, key.text->size);
    case JINJA_TUPLE:
        jinja_deeper(work);
        for (int64_t i = 0; i < key.list->count; i++) {
            uint64_t one = hash_of_key(work, key.list->items[i]);
            hash = hash_bytes(hash, &one, sizeof one);
        }
        jinja_shallower(work);
        return hash;
    default:
        jinja_fail(work, "an object of type '%s' cannot be a key", jinja_kind_name(key));
    }
}

/* The slot of the key, or the empty one where it would be. */
static int64_t *slot_of(JinjaWork *work, const JinjaDict *dict, JinjaValue key)
{
    uint64_t mask = (uint64_t)dict->n_slots - 1, at = hash_of_key(work, key);
    for (at ^= at >> 32;; at++) {
        int64_t *slot = &dict->slots[at & mask];
        if (*slot == 0 || jinja_equal(work, dict->keys[*slot - 1], key))
            return slot;
    }
}

static void rehash(JinjaWork *work, JinjaDict *dict)
{
    dict->n_slots = 4 * FEW_KEYS;
    while (dict->n_slots < 4 * dict->count)
        dict->n_slots *= 2;
    dict->slots = jinja_take(work, dict->n_slots * (int64_t)sizeof *dict->slots);
    for (int64_t i = 0; i < dict->count; i++)
        *slot_of(work, dict, dict->keys[i]) = i + 1;
}

JinjaDict *jinja_dict_new(JinjaWork *work)
{
    return jinja_take(work, sizeof(JinjaDict));
}

static int64_t find_key(JinjaWork *work, const JinjaDict *dict, JinjaValue key)
{
    if (dict->n_slots)
        return *slot_of(work, dict, key) - 1;
    for (int64_t i = 0; i < dict->count; i++)
        if (jinja_equal(work, dict->keys[i], key))
            return i;
    return -1;
}

JinjaValue *jinja_dict_find(JinjaWork *work, const JinjaDict *dict, JinjaValue key)
{
    if (key.kind != JINJA_TEXT)
        hash_of_key(work, key); /* fails on what cannot be a key */
    int64_t i = find_key(work, dict, key);
    return i < 0 ? NULL : &dict->values[i];
}

JinjaValue *jinja_dict_find_name(JinjaWork *work, const JinjaDict *dict, const char *name)
{
    JinjaText text = {.data = name, .size = (int64_t)strlen(name)};
    return jinja_dict_find(work, dict, jinja_of_text(&text));
}

void jinja_dict_put(JinjaWork *work, JinjaDict *dict, JinjaValue key, JinjaValue value)
{
    hash_of_key(work, key);
    int64_t i = find_key(work, dict, key);
    if (i >= 0) {
        dict->values[i] = value;
        return;
    }
    int64_t capacity = dict->capacity;
    dict->keys = jinja_grow(work, dict->keys, dict->count, &capacity, dict->count + 1, sizeof key);
    dict->values =
        jinja_grow(work, dict->values, dict->count, &dict->capacity, dict->count + 1, sizeof value);
    dict->keys[dict->count] = key;
    dict->values[dict->count++] = value;
    if (dict->count > FEW_KEYS && 2 * dict->count > dict->n_slots)
        rehash(work, dict);
    else if (dict->n_slots)
        *slot_of(work, dict, key) = dict->count;
}
