/* The conversation of a chat request: its messages, the tools that the model is told of, and what
 * else its template is to know. */
#ifndef CAMBIUM_INFER_SERVE_REQUEST_CHAT_H
#define CAMBIUM_INFER_SERVE_REQUEST_CHAT_H

#include "infer/serve/request.h"

/* Appends the ids of the prompt; what ends the answer goes to `end` and `stops`. */
Status request_conversation(const json_t *object, const Protocol *protocol, IdList *ids,
                            int32_t *end, StringList *stops, ApiError *error);

#endif
