#include "infer/serve/request_chat.h"

#include <string.h>

#include "core/text/json_read.h"
#include "infer/serve/request_fields.h"

/* What is read of a request; owned. */
typedef struct Conversation {
    json_t *messages; /* role, content (a text or parts), tool_calls, tool_call_id, name ... */
    json_t *tools;    /* NULL: none */
    json_t *documents;
    json_t *variables; /* an object */
    bool adds_prompt;  /* the assistant's turn begins */
    bool continues;    /* the answer goes on where the last message ends */
} Conversation;

/* Where an error is. */
typedef struct Place {
    char name[48];
    ApiError *error;
} Place;

static Status wrong(const Place *place, const char *what)
{
    return api_error_param(place->error, place->name, "%s: %s", place->name, what);
}

/* jansson counts references in what it is handed; a request belongs to one thread. */
static json_t *shared(const json_t *json)
{
    return json_incref((json_t *)(uintptr_t)json);
}

/* Why some value within could not be read, or NULL. */
static const char *unreadable_within(const json_t *json)
{
    const char *why = json_unreadable(json), *name;
    size_t i;
    json_t *one;
    if (why)
        return why;
    json_array_foreach(json, i, one)
    {
        if ((why = unreadable_within(one)))
            return why;
    }
    json_object_foreach((json_t *)(uintptr_t)json, name, one)
    {
        if ((why = unreadable_within(one)))
            return why;
    }
    return NULL;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The name that templates know a role by; NULL: it is none. Lines of "role: content" know no
 * developer. */
static const char *role_of(const json_t *message, bool plain)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    const char *role = json_string_value(json_object_get(message, "role"));
    if (role && strcmp(role, "function") == 0)
        return "tool"; /* its older name */
    if (plain && role && strcmp(role, "developer") == 0)
        return "system"; /* its newer name */
    for (int i = 0; role && i < 5; i++)
        if (strcmp(role, roles[i]) == 0)
            return roles[i];
    return NULL;
}

/* The text of one part of a content, or NULL: a text, or an object that holds one. */
static const json_t *part_text(const json_t *part)
{
    static const char *const types[][2] = {
        {"text", "text"}, {"input_text", "text"}, {"output_text", "text"}, {"refusal", "refusal"}};
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_is_string(part) ? part : NULL;
    for (int i = 0; type && i < 4; i++)
        if (strcmp(type, types[i][0]) == 0)
            text = json_object_get(part, types[i][1]);
    return json_is_string(text) ? text : NULL;
}

/* A content as a text or as parts of the one type that models read; absent where it is null. */
static Status read_content(const json_t *message, const Place *place, json_t *out)
{
    const json_t *content = field_get(message, "content");
    if (!content)
        return STATUS_OK;
    if (json_is_string(content)) {
        json_object_set_new(out, "content", shared(content));
        return STATUS_OK;
    }
    if (!json_is_array(content))
        return wrong(place, "'content' is a string or an array of parts");
    json_t *parts = json_array(), *part;
    json_object_set_new(out, "content", parts);
    size_t i;
    json_array_foreach(content, i, part)
    {
        const json_t *text = part_text(part);
        if (!text)
            return wrong(place, "the model reads parts of type 'text' alone");
        json_array_append_new(parts, json_pack("{s:s, s:o}", "type", "text", "text", shared(text)));
    }
    return STATUS_OK;
}

static Status add_call(const json_t *call, const json_t *function, const Place *place, json_t *out)
{
    const json_t *name = json_object_get(function, "name"), *id = json_object_get(call, "id");
    const json_t *arguments = json_object_get(function, "arguments");
    if (!json_is_string(name))
        return wrong(place, "a tool call has a function with a 'name'");
    json_t *one =
        json_pack("{s:s, s:{s:o, s:o}}", "type", "function", "function", "name", shared(name),
                  "arguments", arguments ? shared(arguments) : json_object());
    if (json_is_string(id))
        json_object_set_new(one, "id", shared(id));
    json_array_append_new(out, one);
    return STATUS_OK;
}

/* What the assistant called: tool_calls, or its older form, function_call. */
static Status read_calls(const json_t *message, const Place *place, json_t *out)
{
    const json_t *several = field_get(message, "tool_calls");
    const json_t *one = field_get(message, "function_call");
    if (several && !json_is_array(several))
        return wrong(place, "'tool_calls' is an array");
    if (!one && json_array_size(several) == 0)
        return STATUS_OK;
    json_t *calls = json_array(), *call;
    json_object_set_new(out, "tool_calls", calls);
    size_t i;
    json_array_foreach(several, i, call)
        TRY(add_call(call, json_object_get(call, "function"), place, calls));
    return one ? add_call(NULL, one, place, calls) : STATUS_OK;
}

/* Members that templates may use, as they are. */
static Status copy_texts(const json_t *message, const Place *place, json_t *out)
{
    static const char *const names[] = {"name", "tool_call_id", "reasoning_content", "reasoning",
                                        "thinking"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *value = field_get(message, names[i]);
        char what[64];
        snprintf(what, sizeof what, "'%s' is a string", names[i]);
        if (value && !json_is_string(value))
            return wrong(place, what);
        if (value)
            json_object_set_new(out, names[i], shared(value));
    }
    return STATUS_OK;
}

static Status read_message(const json_t *message, bool plain, const Place *place, json_t *out)
{
    const char *role = role_of(message, plain), *why = unreadable_within(message);
    if (!role)
        return wrong(place, "'role' is system, developer, user, assistant, tool or function");
    if (why)
        return api_error_param(place->error, place->name, "%s holds what is %s", place->name, why);
    bool assistant = strcmp(role, "assistant") == 0;
    json_object_set_new(out, "role", json_string(role));
    TRY(read_content(message, place, out));
    if (!assistant && !json_object_get(out, "content"))
        return wrong(place, "'content' is missing");
    TRY(copy_texts(message, place, out));
    return assistant ? read_calls(message, place, out) : STATUS_OK;
}

static Status read_messages(Conversation *talk, const json_t *object, bool plain, ApiError *error)
{
    const json_t *array = field_get(object, "messages");
    if (!json_is_array(array) || json_array_size(array) == 0)
        return api_error_param(error, "messages", "'messages' is an array of at least one message");
    size_t i;
    json_t *message;
    json_array_foreach(array, i, message)
    {
        Place place = {.error = error};
        snprintf(place.name, sizeof place.name, "messages[%zu]", i);
        json_t *out = json_object();
        json_array_append_new(talk->messages, out);
        TRY(read_message(message, plain, &place, out));
    }
    return STATUS_OK;
}

/* ---- tools and variables
 * ----------------------------------------------------------------------------------- */

/* An array or object that the template reads as it is. */
static Status read_variable(const json_t *object, const char *name, bool is_array, json_t **out,
                            ApiError *error)
{
    const json_t *value = field_get(object, name);
    const char *why = unreadable_within(value);
    if (!value)
        return STATUS_OK;
    if (is_array ? !json_is_array(value) : !json_is_object(value))
        return api_error_param(error, name, "'%s' is an %s", name, is_array ? "array" : "object");
    if (why)
        return api_error_param(error, name, "'%s' holds what is %s", name, why);
    if (json_array_size(value) + json_object_size(value) > 0)
        *out = shared(value);
    return STATUS_OK;
}

static Status read_tools(Conversation *talk, const json_t *object, ApiError *error)
{
    const json_t *tools = field_get(object, "tools"), *choice = field_get(object, "tool_choice");
    const char *name = json_string_value(choice);
    size_t i;
    json_t *tool;
    json_array_foreach(tools, i, tool)
    {
        const char *type = json_string_value(json_object_get(tool, "type"));
        const json_t *function = json_object_get(tool, "function");
        if (!type || strcmp(type, "function") != 0 ||
            !json_is_string(json_object_get(function, "name")))
            return api_error_param(error, "tools",
                                   "tools[%zu]: a tool has the type 'function' and a function with "
                                   "a 'name'",
                                   i);
    }
    if (choice && (!name || (strcmp(name, "auto") != 0 && strcmp(name, "none") != 0)))
        return api_error_param(error, "tool_choice",
                               "'tool_choice' is auto or none: this server cannot make the model "
                               "call a tool");
    if (name && strcmp(name, "none") == 0) /* the model is not told of them */
        return STATUS_OK;
    return read_variable(object, "tools", true, &talk->tools, error);
}

static Status read_variables(Conversation *talk, const json_t *object, ApiError *error)
{
    const json_t *effort = field_get(object, "reasoning_effort");
    json_t *given = NULL;
    TRY(read_variable(object, "documents", true, &talk->documents, error));
    if (effort && !json_is_string(effort))
        return api_error_param(error, "reasoning_effort", "'reasoning_effort' is a string");
    if (effort)
        json_object_set_new(talk->variables, "reasoning_effort", shared(effort));
    TRY(read_variable(object, "chat_template_kwargs", false, &given, error));
    if (given)
        json_object_update(talk->variables, given);
    json_decref(given);
    return STATUS_OK;
}

static Status read_conversation(Conversation *talk, const json_t *object, bool plain,
                                ApiError *error)
{
    TRY(read_messages(talk, object, plain, error));
    TRY(read_tools(talk, object, error));
    TRY(read_variables(talk, object, error));
    TRY(field_bool(object, "continue_final_message", &talk->continues, error));
    talk->adds_prompt = !talk->continues;
    TRY(field_bool(object, "add_generation_prompt", &talk->adds_prompt, error));
    return talk->continues && talk->adds_prompt
               ? api_error_param(
                     error, "continue_final_message",
                     "'continue_final_message' and 'add_generation_prompt' exclude each "
                     "other")
               : STATUS_OK;
}

static Status encode(const Conversation *talk, const Protocol *p, IdList *ids, int32_t *end,
                     StringList *stops, ApiError *error)
{
    Err why;
    ChatRequest request = {.messages = talk->messages,
                           .tools = talk->tools,
                           .documents = talk->documents,
                           .variables = talk->variables,
                           .add_generation_prompt = talk->adds_prompt,
                           .continue_final_message = talk->continues};
    if (chat_prompt_request(p->chat, p->tokenizer, &request, ids, end, stops, &why) != STATUS_OK)
        return api_error_param(error, "messages", "%s", why.text);
    return ids->count > 0 ? STATUS_OK
                          : api_error_param(error, "messages", "the conversation is empty");
}

Status request_conversation(const json_t *object, const Protocol *p, IdList *ids, int32_t *end,
                            StringList *stops, ApiError *error)
{
    Conversation talk = {.messages = json_array(), .variables = json_object()};
    Status status = read_conversation(&talk, object, p->chat == NULL, error);
    if (status == STATUS_OK)
        status = encode(&talk, p, ids, end, stops, error);
    json_decref(talk.messages);
    json_decref(talk.tools);
    json_decref(talk.documents);
    json_decref(talk.variables);
    return status;
}
