#include "core/text/chat_prompt.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

Status chat_prompt_choose(ChatTemplate **out, const char *name, const Tokenizer *tokenizer,
                          Err *err)
{
    bool own = strcmp(name, "auto") == 0;
    *out = NULL;
    if (strcmp(name, "none") == 0 || (own && !tokenizer_spec(tokenizer)->chat_template))
        return STATUS_OK;
    ChatTemplate *chat = xcalloc(1, sizeof *chat);
    Status status = chat_template_init(chat, tokenizer, own ? NULL : name, err);
    if (status == STATUS_OK)
        *out = chat;
    else
        free(chat);
    return status;
}

void chat_prompt_free(ChatTemplate *chat)
{
    if (!chat)
        return;
    chat_template_clear(chat);
    free(chat);
}

/* ---- plain lines ----------------------------------------------------------------------------- */

static void add_json_text(StrBuf *text, const json_t *json)
{
    strbuf_append(text, json_string_value(json), json_string_length(json));
}

/* A message's words, and the calls that it makes as JSON. */
static void add_words(StrBuf *text, const json_t *message)
{
    size_t i;
    json_t *part;
    const json_t *content = json_object_get(message, "content");
    const json_t *calls = json_object_get(message, "tool_calls");
    if (json_is_string(content))
        add_json_text(text, content);
    json_array_foreach(content, i, part)
    {
        if (json_is_string(json_object_get(part, "text")))
            add_json_text(text, json_object_get(part, "text"));
    }
    if (json_array_size(calls) == 0)
        return;
    char *dump = json_dumps(calls, JSON_COMPACT);
    strbuf_puts(text, dump ? dump : "");
    free(dump);
}

static Status plain_lines(const ChatRequest *request, StrBuf *text, Err *err)
{
    size_t i, n = json_array_size(request->messages);
    json_t *one;
    if (json_array_size(request->tools) > 0 || json_array_size(request->documents) > 0)
        return err_set(err, "the model has no chat template, so it cannot be told of tools or "
                            "documents");
    json_array_foreach(request->messages, i, one)
    {
        const json_t *role = json_object_get(one, "role");
        if (!json_is_string(role))
            return err_set(err, "message %zu has no role", i);
        add_json_text(text, role);
        strbuf_puts(text, ": ");
        add_words(text, one);
        if (i + 1 < n || !request->continue_final_message)
            strbuf_putc(text, '\n');
    }
    if (request->add_generation_prompt)
        strbuf_puts(text, "assistant:");
    return STATUS_OK;
}

static Status plain_prompt(const Tokenizer *tokenizer, const ChatRequest *request, IdList *ids,
                           StringList *stops, Err *err)
{
    StrBuf text = {0};
    Status status = plain_lines(request, &text, err);
    if (status == STATUS_OK) {
        tokenizer_encode_prompt(tokenizer, text.data ? text.data : "", text.size, false, ids);
        string_list_add(stops, "\nuser:");
        string_list_add(stops, "\nsystem:");
    }
    strbuf_clear(&text);
    return status;
}

/* ---- prompts --------------------------------------------------------------------------------- */

Status chat_prompt_request(const ChatTemplate *chat, const Tokenizer *tokenizer,
                           const ChatRequest *request, IdList *ids, int32_t *end, StringList *stops,
                           Err *err)
{
    *end = -1;
    if (!chat)
        return plain_prompt(tokenizer, request, ids, stops, err);
    json_t *adapted = chat_adapt_messages(chat, request->messages);
    ChatRequest own = *request;
    own.messages = adapted;
    *end = chat_template_end(chat);
    Status status = chat_encode_request(chat, tokenizer, &own, ids, err);
    json_decref(adapted);
    return status;
}

Status chat_prompt(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, IdList *ids, int32_t *end,
                   StringList *stops, Err *err)
{
    json_t *list = chat_messages_json(messages, n);
    ChatRequest request = {.messages = list, .add_generation_prompt = true};
    Status status = chat_prompt_request(chat, tokenizer, &request, ids, end, stops, err);
    json_decref(list);
    return status;
}
