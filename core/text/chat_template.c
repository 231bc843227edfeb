#include "core/text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/text/chat_probe.h"
#include "core/text/chat_request.h"
#include "core/text/chat_styles.h"

enum { FILE_MAX = 1 << 24 };

/* Roles that templates write into names of tokens ("<|" ~ role ~ "|>"). */
static const char *const roles[] = {"system", "developer", "user",        "assistant",
                                    "tool",   "function",  "environment", NULL};

/* ---- life ------------------------------------------------------------------------------------ */

static Status no_style(const char *name, Err *err)
{
    return err_set(err,
                   "there is no chat template '%.60s', neither a style nor a file; "
                   "--chat-template is one of %s, none, or a file with a template",
                   name, chat_style_names());
}

static Status parse_file(ChatTemplate *chat, const char *path, Err *err)
{
    StrBuf source = {0};
    TRY(file_read(path, FILE_MAX, &source, err));
    Status status = jinja_parse(&chat->program, source.data ? source.data : "", source.size, err);
    if (status != STATUS_OK)
        err_wrap(err, "%s", path);
    strbuf_clear(&source);
    return status;
}

static Status parse_named(ChatTemplate *chat, const char *name, Err *err)
{
    const char *source = chat_style_source(name);
    chat->name = xstrdup(source ? name : file_base_name(name));
    if (!source)
        return file_exists(name) ? parse_file(chat, name, err) : no_style(name, err);
    Status status = jinja_parse(&chat->program, source, (int64_t)strlen(source), err);
    CHECK(status == STATUS_OK, "the style %s: %s", name, err->text);
    return STATUS_OK;
}

/* One that cannot be parsed becomes the problem. */
static void parse_source(const char *source, JinjaTemplate **out, char **problem)
{
    Err why;
    if (jinja_parse(out, source, (int64_t)strlen(source), &why) != STATUS_OK)
        *problem = xasprintf("the model's chat template cannot be run: %s; --chat-template names "
                             "another (%s, or a file)",
                             why.text, chat_style_names());
}

static Status parse_own(ChatTemplate *chat, const TokenizerSpec *spec, Err *err)
{
    if (!spec->chat_template)
        return err_set(err,
                       "the model has no chat template; if it was trained to converse, say in "
                       "which form with --chat-template (%s, or a file)",
                       chat_style_names());
    chat->name = xstrdup("own");
    parse_source(spec->chat_template, &chat->program, &chat->problem);
    if (spec->tool_template)
        parse_source(spec->tool_template, &chat->tools_program, &chat->tools_problem);
    return STATUS_OK;
}

/* `missing`: the value where the tokenizer has no such token, or NULL: no variable then. */
static void set_token(json_t *own, const char *name, const Tokenizer *tokenizer, int32_t id,
                      const char *missing)
{
    int64_t bytes;
    if (id >= 0) {
        const char *text = tokenizer_token(tokenizer, id, &bytes);
        json_object_set_new(own, name, json_stringn_nocheck(text, (size_t)bytes));
    } else if (missing) {
        json_object_set_new(own, name, json_string(missing));
    }
}

static json_t *own_variables(const Tokenizer *tokenizer, const char *missing)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    json_t *own = json_object();
    set_token(own, "bos_token", tokenizer, spec->bos, missing);
    set_token(own, "eos_token", tokenizer, spec->eos, missing);
    set_token(own, "unk_token", tokenizer, spec->unk, NULL);
    set_token(own, "pad_token", tokenizer, spec->pad, NULL);
    return own;
}

Status chat_template_init(ChatTemplate *out, const Tokenizer *tokenizer, const char *name, Err *err)
{
    *out = (ChatTemplate){.end = -1};
    Status status =
        name ? parse_named(out, name, err) : parse_own(out, tokenizer_spec(tokenizer), err);
    if (status != STATUS_OK) {
        chat_template_clear(out);
        return status;
    }
    bool style = name && chat_style_source(name);
    out->own = own_variables(tokenizer, style ? "" : NULL);
    if (out->program) {
        out->takes_parts = chat_probe_parts(out);
        out->takes_calls_as_objects = chat_probe_objects(out);
        out->wants_content = chat_probe_content(out);
        out->knows_developer = chat_probe_developer(out);
        out->end = chat_probe_end(out, tokenizer);
    }
    return STATUS_OK;
}

void chat_template_clear(ChatTemplate *chat)
{
    jinja_free(chat->program);
    jinja_free(chat->tools_program);
    json_decref(chat->own);
    free(chat->name);
    free(chat->problem);
    free(chat->tools_problem);
    *chat = (ChatTemplate){.end = -1};
}

const char *chat_template_name(const ChatTemplate *chat)
{
    return chat->name;
}

const char *chat_template_problem(const ChatTemplate *chat)
{
    return chat->problem;
}

int32_t chat_template_end(const ChatTemplate *chat)
{
    return chat->end;
}

/* ---- rendering ------------------------------------------------------------------------------- */

Status chat_render_request(const ChatTemplate *chat, const ChatRequest *request, JinjaOutput *out,
                           Err *err)
{
    json_t *variables;
    *out = (JinjaOutput){0};
    const char *problem =
        request->tools && chat->tools_problem ? chat->tools_problem : chat->problem;
    bool tools = request->tools && chat->tools_program;
    if (problem && !tools)
        return err_set(err, "%s", problem);
    TRY(chat_request_variables(request, &variables, err));
    JinjaInput input = {
        .variables = variables, .own = chat->own, .roles = roles, .now = request->now};
    Status status = jinja_render(tools ? chat->tools_program : chat->program, &input, out, err);
    json_decref(variables);
    if (status != STATUS_OK)
        return err_wrap(err, "the chat template");
    if (request->continue_final_message)
        status = chat_request_cut(request, out, err);
    if (status != STATUS_OK)
        jinja_output_clear(out);
    return status;
}

Status chat_encode_request(const ChatTemplate *chat, const Tokenizer *tokenizer,
                           const ChatRequest *request, IdList *out, Err *err)
{
    JinjaOutput text;
    TRY(chat_render_request(chat, request, &text, err));
    tokenizer_encode_marked(tokenizer, text.text.data, text.text.size, text.plain, text.n_plain,
                            out);
    jinja_output_clear(&text);
    return STATUS_OK;
}

/* ---- plain messages -------------------------------------------------------------------------- */

json_t *chat_messages_json(const ChatMessage *messages, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "role", json_string_nocheck(messages[i].role));
        json_object_set_new(one, "content", json_string_nocheck(messages[i].content));
        json_array_append_new(list, one);
    }
    return list;
}

Status chat_render(const ChatTemplate *chat, const ChatMessage *messages, int64_t n,
                   bool add_generation_prompt, StrBuf *out, Err *err)
{
    JinjaOutput text;
    json_t *list = chat_messages_json(messages, n);
    ChatRequest request = {.messages = list, .add_generation_prompt = add_generation_prompt};
    Status status = chat_render_request(chat, &request, &text, err);
    json_decref(list);
    if (status == STATUS_OK)
        strbuf_append(out, text.text.data, (size_t)text.text.size);
    jinja_output_clear(&text);
    return status;
}

Status chat_encode(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, bool add_generation_prompt, IdList *out,
                   Err *err)
{
    json_t *list = chat_messages_json(messages, n);
    ChatRequest request = {.messages = list, .add_generation_prompt = add_generation_prompt};
    Status status = chat_encode_request(chat, tokenizer, &request, out, err);
    json_decref(list);
    return status;
}
