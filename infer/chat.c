#include "infer/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/text/chat_prompt.h"

/* What was said: one text, or the system's, the user's and the assistant's turns. */
typedef struct Talk {
    const ChatOptions *options;
    const LoadedModel *model;
    StrBuf text;
    StringList turns;
} Talk;

static void talk_reset(Talk *talk)
{
    strbuf_reset(&talk->text);
    string_list_clear(&talk->turns);
    if (talk->options->system)
        string_list_add(&talk->turns, talk->options->system);
}

/* The conversation so far as ids, up to where the answer begins. */
static Status talk_prompt(const Talk *talk, IdList *ids, int32_t *end, Err *err)
{
    int64_t n = talk->turns.count, first = talk->options->system ? 1 : 0;
    ChatMessage *messages = xcalloc((size_t)n, sizeof *messages);
    for (int64_t i = 0; i < n; i++) {
        const char *role = (i - first) % 2 ? "assistant" : "user";
        messages[i] = (ChatMessage){i < first ? "system" : role, talk->turns.items[i]};
    }
    StringList stops = {0}; /* only conversations without a template have any */
    Status status = chat_prompt(talk->options->chat, talk->model->tokenizer, messages, n, ids, end,
                                &stops, err);
    string_list_clear(&stops);
    free(messages);
    return status;
}

/* One line of the user's and the answer to it. */
static Status talk_line(Talk *talk, const char *line, int64_t bytes, CompletionOptions *options,
                        Err *err)
{
    Completion completion = {0};
    IdList ids = {0};
    Status status = STATUS_OK;
    if (talk->options->chat) {
        char *message = xstrndup(line, (size_t)(line[bytes - 1] == '\n' ? bytes - 1 : bytes));
        string_list_add(&talk->turns, message);
        free(message);
        status = talk_prompt(talk, &ids, &completion.turn_end, err);
        completion.prompt_ids = &ids;
    } else {
        strbuf_append(&talk->text, line, (size_t)bytes);
        completion.prompt = talk->text.data;
    }
    options->sampling.seed++;
    if (status == STATUS_OK)
        status = complete(talk->model->ensemble, talk->model->tokenizer, options, &completion, 1,
                          NULL, err);
    putchar('\n');
    const char *answer = completion.text.data ? completion.text.data : "";
    if (talk->options->chat) {
        string_list_add(&talk->turns, answer);
    } else {
        strbuf_puts(&talk->text, answer);
        strbuf_putc(&talk->text, '\n');
    }
    id_list_clear(&ids);
    completion_clear(&completion);
    return status;
}

static void greet(const ChatOptions *options)
{
    if (options->chat)
        log_info("A conversation in the form of %s. An empty line starts anew, Ctrl-C cuts an "
                 "answer short, Ctrl-D ends.",
                 strcmp(chat_template_name(options->chat), "own") == 0
                     ? "the model's own template"
                     : chat_template_name(options->chat));
    else
        log_info("Your lines and the model's make one text. An empty line starts anew, Ctrl-C cuts "
                 "an answer short, Ctrl-D ends.");
}

Status chat_run(const ChatOptions *options, const LoadedModel *model, Err *err)
{
    bool terminal = isatty(STDIN_FILENO);
    if (terminal)
        greet(options);
    StringList line_end = {0};
    string_list_add(&line_end, "\n");
    CompletionOptions completion = options->completion;
    if (!options->chat && completion.stops->count == 0)
        completion.stops = &line_end;
    completion.write = completion_print;
    Talk talk = {.options = options, .model = model};
    talk_reset(&talk);
    char *line = NULL;
    size_t size = 0;
    Status status = STATUS_OK;
    while (status == STATUS_OK) {
        if (terminal)
            fputs("> ", stderr);
        stop_uninstall();
        ssize_t length = getline(&line, &size, stdin);
        if (length < 0)
            break;
        if (length == 1 && line[0] == '\n') {
            talk_reset(&talk);
            continue;
        }
        stop_install();
        status = talk_line(&talk, line, length, &completion, err);
        /* Ctrl-C ends the answer; at the prompt it ends the program. */
        if (status == STATUS_STOPPED && terminal) {
            stop_reset();
            status = STATUS_OK;
        }
    }
    free(line);
    strbuf_clear(&talk.text);
    string_list_clear(&talk.turns);
    string_list_clear(&line_end);
    return status;
}
