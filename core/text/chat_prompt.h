/* A conversation as the prompt that the model continues: by a chat template, or, for models that
 * have none, as lines of "role: content". */
#ifndef CAMBIUM_CORE_TEXT_CHAT_PROMPT_H
#define CAMBIUM_CORE_TEXT_CHAT_PROMPT_H

#include "core/base/file.h"
#include "core/text/chat_template.h"

/* `name`: a style's name, or a file with a template; "none": plain lines; "auto": the template that
 * the model came with, plain lines where there is none. *out is NULL for plain lines, else the
 * caller frees it by chat_prompt_free; its chat_template_problem may say that it cannot be run. */
Status chat_prompt_choose(ChatTemplate **out, const char *name, const Tokenizer *tokenizer,
                          Err *err);
void chat_prompt_free(ChatTemplate *chat);

/* Appends the ids of the prompt, up to where the assistant's answer begins. *end becomes the token
 * that ends the answer, or -1; strings that end it are added to `stops`. What messages say never
 * becomes a control token. Fails on conversations that the template does not take. */
Status chat_prompt(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, IdList *ids, int32_t *end,
                   StringList *stops, Err *err);

/* The same for a client's request, whose messages are first brought into the form that the template
 * reads (chat_adapt_messages). Plain lines know no tools and no documents. */
Status chat_prompt_request(const ChatTemplate *chat, const Tokenizer *tokenizer,
                           const ChatRequest *request, IdList *ids, int32_t *end, StringList *stops,
                           Err *err);

#endif
