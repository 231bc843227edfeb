/* What apply_chat_template of transformers makes of a conversation before and after its template is
 * run. */
#ifndef CAMBIUM_CORE_TEXT_CHAT_REQUEST_H
#define CAMBIUM_CORE_TEXT_CHAT_REQUEST_H

#include "core/text/chat_template.h"

/* The variables of a template, a new object. Fails on requests that make no sense. */
Status chat_request_variables(const ChatRequest *request, json_t **out, Err *err);

/* Cuts the text of a request with continue_final_message behind the last message's content. */
Status chat_request_cut(const ChatRequest *request, JinjaOutput *out, Err *err);

#endif
