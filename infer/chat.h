/* An interactive conversation on standard input and output. */
#ifndef CAMBIUM_INFER_CHAT_H
#define CAMBIUM_INFER_CHAT_H

#include "core/cli/load_model.h"
#include "core/text/chat_template.h"
#include "infer/completion.h"

typedef struct ChatOptions {
    const ChatTemplate *chat; /* NULL: lines and answers make one text, an answer is a line */
    const char *system;       /* what the conversation begins with, or NULL; needs a template */
    CompletionOptions completion;
} ChatOptions;

/* Answers line after line until standard input ends; an empty line starts anew. On a terminal
 * Ctrl-C cuts an answer short. Every answer has the next seed. */
Status chat_run(const ChatOptions *options, const LoadedModel *model, Err *err);

#endif
