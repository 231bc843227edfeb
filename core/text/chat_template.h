/* Conversations as the text that a chat model was trained on.
 *
 * Model files carry this form as a Jinja program. There is no Jinja here: the well-known programs
 * are recognised by what they contain, and a table renders messages exactly as each of them does
 * (without tools). What is not recognised is an error that says so; the user may then name a style.
 *
 * A ChatTemplate is immutable after chat_template_init and may be shared by threads. */
#ifndef CAMBIUM_CORE_TEXT_CHAT_TEMPLATE_H
#define CAMBIUM_CORE_TEXT_CHAT_TEMPLATE_H

#include "core/text/tokenizer.h"

typedef struct ChatMessage {
    const char *role; /* "system", "user", "assistant"; some styles take any */
    const char *content;
} ChatMessage;

typedef struct ChatStyle ChatStyle;

typedef struct ChatTemplate {
    const ChatStyle *style;
    char *system;    /* what a conversation without a system message begins with, or NULL; owned */
    char *bos, *eos; /* names of the tokens, "" where there is none; owned */
    bool today;      /* the style's date is that of the clock, not the one it was published with */
} ChatTemplate;

/* The template that the tokenizer's model came with (TokenizerSpec.chat_template), or the style of
 * this name ("chatml", "llama3"; see chat_style_names). Fails when there is no template, when it is
 * none that this program knows, and on an unknown name; each error lists the names and speaks of
 * --chat-template. The caller clears it. */
Status chat_template_init(ChatTemplate *out, const Tokenizer *tokenizer, const char *name,
                          Err *err);
void chat_template_clear(ChatTemplate *chat);

const char *chat_template_name(const ChatTemplate *chat);
const char *chat_style_names(void); /* "chatml, llama2, ..." */

/* The special token that ends a turn ("<|im_end|>"), where generation stops too; -1: none but the
 * tokenizer's eos. */
int32_t chat_template_end(const ChatTemplate *chat, const Tokenizer *tokenizer);

/* Appends the conversation as text, names of special tokens (bos included) written out;
 * `add_generation_prompt`: and the beginning of the assistant's next turn. Fails on what the
 * template refuses: roles that it does not know, or in an order that it does not take. `out` is
 * then as it was. */
Status chat_render(const ChatTemplate *chat, const ChatMessage *messages, int64_t n,
                   bool add_generation_prompt, StrBuf *out, Err *err);

/* Appends the ids of the same text. Names of special tokens mean those tokens in what the template
 * writes, never in the messages' contents: no message can end its turn or begin another. The ids
 * are the whole prompt: no bos is to be added. */
Status chat_encode(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, bool add_generation_prompt, IdList *out,
                   Err *err);

#endif
