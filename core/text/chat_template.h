/* Conversations as the text that a chat model was trained on: the Jinja program that the model came
 * with is run (core/text/jinja/jinja.h), on the variables that transformers' apply_chat_template
 * gives it. Programs of well-known forms come with this one, for models without.
 *
 * A ChatTemplate is immutable after chat_template_init and may be shared by threads. */
#ifndef CAMBIUM_CORE_TEXT_CHAT_TEMPLATE_H
#define CAMBIUM_CORE_TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include <time.h>

#include "core/text/chat_styles.h"
#include "core/text/jinja/jinja.h"
#include "core/text/tokenizer.h"

typedef struct ChatMessage {
    const char *role; /* "system", "user", "assistant"; some templates take any */
    const char *content;
} ChatMessage;

typedef struct ChatTemplate {
    JinjaTemplate *program;       /* NULL: `problem` says why */
    JinjaTemplate *tools_program; /* for conversations with tools; NULL: `program` */
    char *name;                   /* of the style or file; "own": the model's */
    char *problem;                /* why it cannot be run, or NULL */
    char *tools_problem;          /* the same of that for tools */
    json_t *own;                  /* the variables that are no message's: bos_token ... */
    int32_t end;                  /* the token that ends an answer, or -1 */
    bool takes_parts;             /* contents may be lists of parts */
    bool takes_calls_as_objects;  /* a call's arguments are wanted as an object, not as its JSON */
    bool wants_content;           /* a message that only calls tools must have a content */
    bool knows_developer;         /* the role "developer" is one of its own */
} ChatTemplate;

/* `name` NULL: the template that the tokenizer's model came with (TokenizerSpec.chat_template);
 * else a style (see chat_style_names) or a file that holds a template. Fails when there is none of
 * that name, and when a file is no template; the error lists the names and speaks of
 * --chat-template. A model's own template that cannot be parsed is no failure here: `problem` says
 * so, and every rendering fails with it. The caller clears it. */
Status chat_template_init(ChatTemplate *out, const Tokenizer *tokenizer, const char *name,
                          Err *err);
void chat_template_clear(ChatTemplate *chat);

const char *chat_template_name(const ChatTemplate *chat);
const char *chat_template_problem(const ChatTemplate *chat); /* NULL: it can be run */

/* The control token that follows an assistant's words in a conversation ("<|im_end|>"), where
 * generation stops too; -1: none but the tokenizer's own. */
int32_t chat_template_end(const ChatTemplate *chat);

/* What a template is run on, all borrowed. Members of messages are given as they are, except that
 * those which are null count as absent, and that reasoning is offered under each of its names. */
typedef struct ChatRequest {
    const json_t *messages;  /* an array of objects, at least one */
    const json_t *tools;     /* an array, or NULL */
    const json_t *documents; /* an array, or NULL */
    const json_t *variables; /* an object (chat_template_kwargs), or NULL */
    bool add_generation_prompt;
    bool continue_final_message; /* the text ends with the last message's, to be gone on from */
    const struct tm *now;        /* NULL: the clock's */
} ChatRequest;

/* The conversation as text, names of special tokens (bos included) written out, and which parts of
 * it the template did not write. Fails on what the template refuses (with its words), on what it
 * uses and is not supported, and on requests that make no sense. The caller clears `out`, which is
 * empty on failure. */
Status chat_render_request(const ChatTemplate *chat, const ChatRequest *request, JinjaOutput *out,
                           Err *err);

/* Appends the ids of the same text. Names of control tokens mean those tokens in what the template
 * writes, never in what messages, tools or variables say: no message can end its turn or begin
 * another. The ids are the whole prompt: no bos is to be added. */
Status chat_encode_request(const ChatTemplate *chat, const Tokenizer *tokenizer,
                           const ChatRequest *request, IdList *out, Err *err);

/* The messages of a client as this template wants them, a new array: the text of parts alone where
 * it takes no lists of parts, an empty content where one is needed, arguments of calls as objects
 * where it wants those (clients send them as JSON texts), "system" for "developer" where it does
 * not know that role. Everything else as it is. */
json_t *chat_adapt_messages(const ChatTemplate *chat, const json_t *messages);

/* Plain messages as an array, which the caller owns. */
json_t *chat_messages_json(const ChatMessage *messages, int64_t n);

/* The same for plain messages. Appends to `out`, which is as it was on failure. */
Status chat_render(const ChatTemplate *chat, const ChatMessage *messages, int64_t n,
                   bool add_generation_prompt, StrBuf *out, Err *err);
Status chat_encode(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, bool add_generation_prompt, IdList *out,
                   Err *err);

#endif
