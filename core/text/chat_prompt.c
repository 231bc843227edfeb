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

static void plain(const Tokenizer *tokenizer, const ChatMessage *messages, int64_t n, IdList *ids)
{
    StrBuf text = {0};
    for (int64_t i = 0; i < n; i++)
        strbuf_printf(&text, "%s: %s\n", messages[i].role, messages[i].content);
    strbuf_puts(&text, "assistant:");
    tokenizer_encode_prompt(tokenizer, text.data, text.size, false, ids);
    strbuf_clear(&text);
}

Status chat_prompt(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, IdList *ids, int32_t *end,
                   StringList *stops, Err *err)
{
    *end = -1;
    if (chat) {
        *end = chat_template_end(chat, tokenizer);
        return chat_encode(chat, tokenizer, messages, n, true, ids, err);
    }
    plain(tokenizer, messages, n, ids);
    string_list_add(stops, "\nuser:");
    string_list_add(stops, "\nsystem:");
    return STATUS_OK;
}
