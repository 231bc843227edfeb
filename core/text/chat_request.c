#include "core/text/chat_request.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Put behind the message that is to be continued, so that its end is found in the text. */
static const char tag[] = "CONTINUE_FINAL_MESSAGE_TAG ";

/* jansson counts references in what it is handed; a request belongs to one thread. */
static json_t *shared(const json_t *json)
{
    return json_incref((json_t *)(uintptr_t)json);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The model's reasoning is found under whichever name the template uses. */
static void alias_reasoning(json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    json_t *reasoning = NULL;
    for (int i = 0; i < 3 && !reasoning; i++)
        reasoning = json_object_get(message, names[i]);
    if (!reasoning)
        return;
    json_incref(reasoning);
    if (!json_object_get(message, "thinking"))
        json_object_set(message, "thinking", reasoning);
    json_object_set_new(message, "reasoning_content", reasoning);
}

/* A copy without members that are null. */
static json_t *normal_message(const json_t *message)
{
    json_t *out = json_object(), *from = (json_t *)(uintptr_t)message;
    for (void *at = json_object_iter(from); at; at = json_object_iter_next(from, at))
        if (!json_is_null(json_object_iter_value(at)))
            json_object_setn_new_nocheck(out, json_object_iter_key(at),
                                         json_object_iter_key_len(at),
                                         shared(json_object_iter_value(at)));
    alias_reasoning(out);
    return out;
}

static Status normal_messages(const json_t *messages, json_t **out, Err *err)
{
    size_t i;
    json_t *one;
    *out = json_array();
    json_array_foreach(messages, i, one)
    {
        if (!json_is_object(one)) {
            json_decref(*out);
            *out = NULL;
            return err_set(err, "message %zu is not an object", i);
        }
        json_array_append_new(*out, normal_message(one));
    }
    return STATUS_OK;
}

/* ---- going on from the last message ---------------------------------------------------------- */

/* The last part of a content that has a text, or NULL. */
static json_t *last_text_part(const json_t *content)
{
    for (size_t i = json_array_size(content); i > 0; i--) {
        json_t *part = json_array_get(content, i - 1);
        if (json_is_string(json_object_get(part, "text")))
            return part;
    }
    return NULL;
}

static json_t *tagged(const json_t *text)
{
    StrBuf out = {0};
    strbuf_append(&out, json_string_value(text), json_string_length(text));
    strbuf_puts(&out, tag);
    json_t *json = json_stringn_nocheck(out.data, (size_t)out.size);
    strbuf_clear(&out);
    return json;
}

/* Puts the tag behind the content of the last of `messages`, which are copies. */
static Status tag_last(json_t *messages, Err *err)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    json_t *content = json_object_get(last, "content");
    if (json_is_string(content)) {
        json_object_set_new(last, "content", tagged(content));
        return STATUS_OK;
    }
    if (!last_text_part(content))
        return err_set(err, "the last message has no text to continue");
    json_t *copy = json_deep_copy(content), *part = last_text_part(copy);
    json_object_set_new(part, "text", tagged(json_object_get(part, "text")));
    json_object_set_new(last, "content", copy);
    return STATUS_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
}

/* The last place of the tag, without its space, in the text; -1: none. */
static int64_t find_tag(const StrBuf *text)
{
    size_t bytes = sizeof tag - 2;
    for (int64_t i = text->size - (int64_t)bytes; i >= 0; i--)
        if (memcmp(text->data + i, tag, bytes) == 0)
            return i;
    return -1;
}

/* Whether the text holds the content, white space around it aside. */
static bool holds(const StrBuf *text, const json_t *content)
{
    if (json_is_array(content))
        content = json_object_get(last_text_part(content), "text");
    const char *start = json_string_value(content), *end = start + json_string_length(content);
    while (start < end && is_space(*start))
        start++;
    while (end > start && is_space(end[-1]))
        end--;
    return end == start || memmem(text->data, (size_t)text->size, start, (size_t)(end - start));
}

Status chat_request_cut(const ChatRequest *request, JinjaOutput *out, Err *err)
{
    size_t n = json_array_size(request->messages);
    const json_t *last = json_array_get(request->messages, n - 1);
    int64_t at = find_tag(&out->text);
    if (at < 0 || !holds(&out->text, json_object_get(last, "content")))
        return err_set(err, "the chat template changes the last message, so that it cannot be "
                            "continued");
    bool trimmed = strncmp(out->text.data + at, tag, sizeof tag - 1) != 0;
    while (trimmed && at > 0 && is_space(out->text.data[at - 1]))
        at--;
    out->text.size = at;
    out->text.data[at] = '\0';
    while (out->n_plain > 0 && out->plain[out->n_plain - 1].begin >= at)
        out->n_plain--;
    if (out->n_plain > 0 && out->plain[out->n_plain - 1].end > at)
        out->plain[out->n_plain - 1].end = at;
    return STATUS_OK;
}

/* ---- variables ------------------------------------------------------------------------------- */

static Status check(const ChatRequest *request, Err *err)
{
    if (!json_is_array(request->messages) || json_array_size(request->messages) == 0)
        return err_set(err, "a conversation has at least one message");
    if (request->tools && !json_is_array(request->tools))
        return err_set(err, "tools are an array");
    if (request->documents && !json_is_array(request->documents))
        return err_set(err, "documents are an array");
    if (request->variables && !json_is_object(request->variables))
        return err_set(err, "the variables of the chat template are an object");
    if (request->continue_final_message && request->add_generation_prompt)
        return err_set(err, "a text either continues the last message or begins another: not both "
                            "continue_final_message and add_generation_prompt");
    return STATUS_OK;
}

Status chat_request_variables(const ChatRequest *request, json_t **out, Err *err)
{
    json_t *messages;
    *out = NULL;
    TRY(check(request, err));
    TRY(normal_messages(request->messages, &messages, err));
    if (request->continue_final_message && tag_last(messages, err) != STATUS_OK) {
        json_decref(messages);
        return STATUS_FAIL;
    }
    *out = request->variables ? json_copy((json_t *)(uintptr_t)request->variables) : json_object();
    json_object_set_new(*out, "messages", messages);
    json_object_set_new(*out, "tools", request->tools ? shared(request->tools) : json_null());
    json_object_set_new(*out, "documents",
                        request->documents ? shared(request->documents) : json_null());
    json_object_set_new(*out, "add_generation_prompt",
                        json_boolean(request->add_generation_prompt));
    return STATUS_OK;
}
