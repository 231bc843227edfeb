/* A conversation as the text that the model continues. */
#ifndef CAMBIUM_INFER_SERVE_CHAT_PROMPT_H
#define CAMBIUM_INFER_SERVE_CHAT_PROMPT_H

#include "core/base/file.h"
#include "core/text/tokenizer.h"

typedef struct ChatMessage {
    const char *role, *content; /* borrowed */
} ChatMessage;

typedef enum ChatTemplate {
    CHAT_PLAIN,  /* "role: content" lines: for models that know no template */
    CHAT_CHATML, /* <|im_start|>role ... <|im_end|> */
} ChatTemplate;

/* "none", "chatml", or "auto": chatml where the vocabulary has its tokens. */
Status chat_template_parse(const char *name, const Tokenizer *tokenizer, ChatTemplate *out,
                           Err *err);
const char *chat_template_name(ChatTemplate kind);

/* The ids of the prompt, up to where the assistant's answer begins. `end` is the token that ends
 * the answer, or -1; strings that end it are added to `stops`. What messages say never becomes a
 * special token. */
void chat_prompt(ChatTemplate kind, const Tokenizer *tokenizer, const ChatMessage *messages,
                 int64_t n, IdList *ids, int32_t *end, StringList *stops);

#endif
