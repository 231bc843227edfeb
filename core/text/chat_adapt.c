/* Clients send conversations in one form, templates read them in several. What a template reads is
 * found out by running it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/text/chat_probe.h"

/* The text of a conversation, which it takes, or NULL when the template fails. */
static char *probe_messages(const ChatTemplate *chat, json_t *messages)
{
    Err err;
    JinjaOutput out = {0};
    ChatRequest request = {.messages = messages};
    bool fine = chat_render_request(chat, &request, &out, &err) == STATUS_OK;
    json_decref(messages);
    char *text = fine ? strbuf_detach(&out.text) : NULL;
    jinja_output_clear(&out);
    return text;
}

/* The same of one question and `answer`, which may be NULL. */
static char *probe(const ChatTemplate *chat, json_t *question, json_t *answer)
{
    json_t *messages = json_pack("[{s:s, s:o}]", "role", "user", "content", question);
    if (answer)
        json_array_append_new(messages, answer);
    return probe_messages(chat, messages);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

bool chat_probe_parts(const ChatTemplate *chat)
{
    char *plain = probe(chat, json_string("cambium"), NULL);
    char *parts = probe(chat, json_pack("[{s:s, s:s}]", "type", "text", "text", "cambium"), NULL);
    bool takes = same(plain, parts);
    free(plain);
    free(parts);
    return takes;
}

/* Whether the JSON of the arguments stands in the text, as it is, in whatever spacing. */
static bool shows_arguments(const char *text)
{
    return text &&
           (strstr(text, "{\"cambium\": \"probe\"}") || strstr(text, "{\"cambium\":\"probe\"}"));
}

/* An answer that calls a tool; without a content when `content` is NULL. */
static json_t *call_message(json_t *arguments, const char *content)
{
    return json_pack("{s:s, s:s?, s:[{s:s, s:s, s:{s:s, s:o}}]}", "role", "assistant", "content",
                     content, "tool_calls", "id", "cambium01", "type", "function", "function",
                     "name", "cambium", "arguments", arguments);
}

bool chat_probe_objects(const ChatTemplate *chat)
{
    char *text = probe(chat, json_string("cambium"),
                       call_message(json_string("{\"cambium\": \"probe\"}"), ""));
    char *object = probe(chat, json_string("cambium"),
                         call_message(json_pack("{s:s}", "cambium", "probe"), ""));
    bool wants = object && !shows_arguments(text) && !same(text, object);
    free(text);
    free(object);
    return wants;
}

bool chat_probe_content(const ChatTemplate *chat)
{
    bool object = chat->takes_calls_as_objects;
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        json_t *arguments = object ? json_object() : json_string("{}");
        texts[i] = probe(chat, json_string("cambium"), call_message(arguments, i ? "" : NULL));
    }
    bool wants = !texts[0] && texts[1];
    free(texts[0]);
    free(texts[1]);
    return wants;
}

static const char instructions[] = "cambium rules";
static char *probe_role(const ChatTemplate *chat, const char *role)
{
    return probe_messages(chat, json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", role, "content",
                                          instructions, "role", "user", "content", "cambium asks"));
}

/* The texts are alike but for the two names of a role, in any case. */
static bool same_but_names(const char *a, const char *name_a, const char *b, const char *name_b)
{
    size_t n_a = strlen(name_a), n_b = strlen(name_b);
    while (*a && *b) {
        bool names = strncasecmp(a, name_a, n_a) == 0 && strncasecmp(b, name_b, n_b) == 0;
        if (!names && *a != *b)
            return false;
        a += names ? n_a : 1;
        b += names ? n_b : 1;
    }
    return !*a && !*b;
}

bool chat_probe_developer(const ChatTemplate *chat)
{
    static const char unheard_of[] = "cambium-role";
    char *text = probe_role(chat, "developer"), *other = probe_role(chat, unheard_of);
    bool shown = text && strstr(text, instructions);
    bool knows = shown && (!other || !same_but_names(text, "developer", other, unheard_of));
    free(text);
    free(other);
    return knows;
}

int32_t chat_probe_end(const ChatTemplate *chat, const Tokenizer *tokenizer)
{
    static const char words[] = "cambium answers";
    int32_t end = -1;
    char *text = probe(chat, json_string("cambium asks"),
                       json_pack("{s:s, s:s}", "role", "assistant", "content", words));
    const char *at = text ? strstr(text, words) : NULL;
    if (at) {
        IdList ids = {0};
        at += strlen(words);
        tokenizer_encode_with_specials(tokenizer, at, (int64_t)strlen(at), &ids);
        for (int64_t i = 0; i < ids.count && end < 0; i++)
            if (tokenizer_is_control(tokenizer, ids.items[i]))
                end = ids.items[i];
        id_list_clear(&ids);
    }
    free(text);
    return end;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The texts of the parts one behind the other, or NULL when one of them is no text. */
static json_t *joined_parts(const json_t *parts)
{
    size_t i;
    json_t *part;
    StrBuf text = {0};
    json_array_foreach(parts, i, part)
    {
        const json_t *one = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!json_is_string(one) || !type || strcmp(type, "text") != 0) {
            strbuf_clear(&text);
            return NULL;
        }
        strbuf_append(&text, json_string_value(one), json_string_length(one));
    }
    json_t *out = json_stringn_nocheck(text.data ? text.data : "", (size_t)text.size);
    strbuf_clear(&text);
    return out;
}

/* `call` with its arguments as an object, where they are the JSON of one. */
static json_t *with_object(json_t *call)
{
    json_t *function = json_object_get(call, "function");
    json_t *arguments = json_object_get(function, "arguments");
    if (!json_is_string(arguments))
        return json_incref(call);
    json_t *object = json_loadb(json_string_value(arguments), json_string_length(arguments),
                                JSON_ALLOW_NUL, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return json_incref(call);
    }
    json_t *out = json_copy(call), *copy = json_copy(function);
    json_object_set_new(copy, "arguments", object);
    json_object_set_new(out, "function", copy);
    return out;
}

static void adapt(const ChatTemplate *chat, json_t *message)
{
    size_t i;
    json_t *call, *calls = json_object_get(message, "tool_calls");
    const json_t *content = json_object_get(message, "content");
    const char *role = json_string_value(json_object_get(message, "role"));
    if (role && strcmp(role, "developer") == 0 && !chat->knows_developer)
        json_object_set_new(message, "role", json_string("system"));
    json_t *joined = json_is_array(content) && !chat->takes_parts ? joined_parts(content) : NULL;
    if (joined)
        json_object_set_new(message, "content", joined);
    if (chat->wants_content && (!content || json_is_null(content)))
        json_object_set_new(message, "content", json_string(""));
    if (!json_is_array(calls) || !chat->takes_calls_as_objects)
        return;
    json_t *list = json_array();
    json_array_foreach(calls, i, call) json_array_append_new(list, with_object(call));
    json_object_set_new(message, "tool_calls", list);
}

json_t *chat_adapt_messages(const ChatTemplate *chat, const json_t *messages)
{
    size_t i;
    json_t *one, *out = json_array();
    json_array_foreach(messages, i, one)
    {
        json_t *copy = json_is_object(one) ? json_copy(one) : json_incref(one);
        if (json_is_object(copy))
            adapt(chat, copy);
        json_array_append_new(out, copy);
    }
    return out;
}
