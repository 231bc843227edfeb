/* What a chat template does, found out by running it. */
#ifndef CAMBIUM_CORE_TEXT_CHAT_PROBE_H
#define CAMBIUM_CORE_TEXT_CHAT_PROBE_H

#include "core/text/chat_template.h"

/* Contents that are lists of parts give the same text as the parts' text alone. */
bool chat_probe_parts(const ChatTemplate *chat);
/* Arguments of calls show as JSON when they are objects, and not when they are JSON texts. */
bool chat_probe_objects(const ChatTemplate *chat);
/* A message that only calls tools fails without a content, and does not with an empty one. */
bool chat_probe_content(const ChatTemplate *chat);
/* The role "developer" is shown, and otherwise than a role that nobody has heard of: templates that
 * write any role's name were seldom trained with this one. */
bool chat_probe_developer(const ChatTemplate *chat);
/* The first control token behind an assistant's words, or -1. */
int32_t chat_probe_end(const ChatTemplate *chat, const Tokenizer *tokenizer);

#endif
