#include "infer/serve/chat_prompt.h"

#include <string.h>

static int32_t find(const Tokenizer *tokenizer, const char *token)
{
    return tokenizer_find(tokenizer, token, (int64_t)strlen(token));
}

static bool knows_chatml(const Tokenizer *tokenizer)
{
    return find(tokenizer, "<|im_start|>") >= 0 && find(tokenizer, "<|im_end|>") >= 0;
}

Status chat_template_parse(const char *name, const Tokenizer *tokenizer, ChatTemplate *out,
                           Err *err)
{
    bool automatic = strcmp(name, "auto") == 0;
    *out = CHAT_PLAIN;
    if (strcmp(name, "chatml") == 0 || (automatic && knows_chatml(tokenizer)))
        *out = CHAT_CHATML;
    else if (!automatic && strcmp(name, "none") != 0)
        return err_set(err, "--chat-template is auto, none or chatml, not '%s'", name);
    if (*out == CHAT_CHATML && !knows_chatml(tokenizer))
        return err_set(err, "--chat-template chatml: the vocabulary has no <|im_start|> and "
                            "<|im_end|>; take none");
    return STATUS_OK;
}

const char *chat_template_name(ChatTemplate kind)
{
    return kind == CHAT_CHATML ? "chatml" : "none";
}

static void add(const Tokenizer *tokenizer, const char *text, IdList *ids)
{
    tokenizer_encode(tokenizer, text, (int64_t)strlen(text), ids);
}

static void chatml(const Tokenizer *tokenizer, const ChatMessage *messages, int64_t n, IdList *ids)
{
    int32_t start = find(tokenizer, "<|im_start|>"), end = find(tokenizer, "<|im_end|>");
    StrBuf text = {0};
    for (int64_t i = 0; i < n; i++) {
        strbuf_reset(&text);
        strbuf_printf(&text, "%s\n%s", messages[i].role, messages[i].content);
        id_list_add(ids, start);
        add(tokenizer, text.data, ids);
        id_list_add(ids, end);
        add(tokenizer, "\n", ids);
    }
    id_list_add(ids, start);
    add(tokenizer, "assistant\n", ids);
    strbuf_clear(&text);
}

static void plain(const Tokenizer *tokenizer, const ChatMessage *messages, int64_t n, IdList *ids)
{
    StrBuf text = {0};
    for (int64_t i = 0; i < n; i++)
        strbuf_printf(&text, "%s: %s\n", messages[i].role, messages[i].content);
    strbuf_puts(&text, "assistant:");
    tokenizer_encode_prompt(tokenizer, text.data, text.size, false, ids);
    strbuf_clear(&text);
}

void chat_prompt(ChatTemplate kind, const Tokenizer *tokenizer, const ChatMessage *messages,
                 int64_t n, IdList *ids, int32_t *end, StringList *stops)
{
    *end = -1;
    if (kind == CHAT_CHATML) {
        *end = find(tokenizer, "<|im_end|>");
        chatml(tokenizer, messages, n, ids);
    } else {
        plain(tokenizer, messages, n, ids);
        string_list_add(stops, "\nuser:");
        string_list_add(stops, "\nsystem:");
    }
}
