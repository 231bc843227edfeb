/* Added tokens of which tokenizer_config.json says more than tokenizer.json. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/text/text_step.h"
#include "core/text/tokenizer_json_reader.h"

static json_t *list_of(json_t *root)
{
    json_t *list = json_object_get(root, "added_tokens");
    if (json_is_array(list))
        return list;
    json_object_set_new(root, "added_tokens", json_array());
    return json_object_get(root, "added_tokens");
}

static json_t *find(json_t *list, json_int_t id)
{
    size_t i;
    json_t *token;
    json_array_foreach(list, i, token)
    {
        const json_t *value = json_object_get(token, "id");
        if (json_is_integer(value) && json_integer_value(value) == id)
            return token;
    }
    return NULL;
}

/* The id behind all others. */
static json_int_t next_id(const json_t *vocab, const json_t *list)
{
    const char *surface;
    json_t *value;
    size_t i;
    json_int_t next = 0;
    json_object_foreach((json_t *)(uintptr_t)vocab, surface,
                        value) if (json_integer_value(value) >= next) next =
        json_integer_value(value) + 1;
    json_array_foreach(list, i, value)
    {
        json_int_t id = json_integer_value(json_object_get(value, "id"));
        next = id >= next ? id + 1 : next;
    }
    return next;
}

/* A token that tokenizer.json does not list is one of its vocabulary, or follows it. */
static void add(const json_t *vocab, json_t *list, json_int_t id, const json_t *token)
{
    const char *content = json_string_value(json_object_get(token, "content"));
    const json_t *known = content ? json_object_get(vocab, content) : NULL;
    bool fits = known ? json_integer_value(known) == id : id == next_id(vocab, list);
    if (!content || !fits) {
        log_warn(
            "tokenizer_config.json: the added token %lld is none of tokenizer.json; it is left "
            "out",
            (long long)id);
        return;
    }
    json_t *copy = json_copy((json_t *)(uintptr_t)token);
    json_object_set_new(copy, "id", json_integer(id));
    json_array_append_new(list, copy);
}

/* The settings of a token that both list; one that is special in either is special. */
static void change(json_t *token, const json_t *other)
{
    static const char *const ways[] = {"single_word", "lstrip", "rstrip", "normalized"};
    const char *content = json_string_value(json_object_get(other, "content"));
    if (!content || !text_step_is(token, "content", content))
        return;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (json_is_boolean(json_object_get(other, ways[i])))
            json_object_set(token, ways[i], json_object_get(other, ways[i]));
    if (text_step_flag(other, "special", false))
        json_object_set_new(token, "special", json_true());
}

void tokenizer_json_merge_added(json_t *root, const json_t *added)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    if (!json_is_object(root) || !json_is_object(vocab))
        return; /* which is told elsewhere */
    json_t *list = list_of(root), *other;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)added, key, other)
    {
        char *rest;
        json_int_t id = strtoll(key, &rest, 10);
        json_t *token = find(list, id);
        if (*rest || rest == key)
            continue;
        if (token)
            change(token, other);
        else
            add(vocab, list, id, other);
    }
}
