#include "core/text/chat_template.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"

/* ---- the styles ----------------------------------------------------------------------------- */

typedef enum SystemPlace {
    SYSTEM_TURN,       /* a turn of its own */
    SYSTEM_FIRST_USER, /* before the content of the first user turn */
    SYSTEM_LAST_USER,  /* before the content of the last turn */
    SYSTEM_REFUSED,
} SystemPlace;

enum { MARKS = 3 };

/* In the texts %c is a content, %r a role, %b and %e the names of bos and eos, %d a date. */
struct ChatStyle {
    const char *name;
    const char *has[MARKS];   /* texts that are all in its Jinja program */
    const char *lacks[MARKS]; /* texts of relatives that would render otherwise */
    const char *begin;
    const char *system;    /* a system message, in its place */
    const char *user;      /* turns of a user, */
    const char *assistant; /* of the assistant, */
    const char *other;     /* and of anybody else; NULL: refused */
    const char *answer;    /* the generation prompt */
    const char *no_answer; /* the end of a text without it, or NULL */
    const char *end;       /* the token that ends a turn, or NULL: eos */
    SystemPlace place;
    bool always_system;          /* a system turn comes first, with an empty content if need be */
    bool alternates;             /* user and assistant in turns, the user first */
    bool trims, trims_assistant; /* white space around contents goes: of all, of the assistant */
};

#define CHATML(role) "<|im_start|>" role "\n%c<|im_end|>\n"
#define LLAMA3(role, facts) "<|start_header_id|>" role "<|end_header_id|>\n\n" facts "%c<|eot_id|>"
#define GEMMA(role) "<start_of_turn>" role "\n%c<end_of_turn>\n"

static const ChatStyle styles[] = {
    {.name = "chatml",
     .has = {"<|im_start|>", "<|im_end|>"},
     .lacks = {"think", "<|im_sep|>"},
     .system = CHATML("%r"),
     .user = CHATML("%r"),
     .assistant = CHATML("%r"),
     .other = CHATML("%r"),
     .answer = "<|im_start|>assistant\n",
     .end = "<|im_end|>"},
    {.name = "llama2",
     .has = {"<<SYS>>", "[INST]", "strip()"},
     .system = "<<SYS>>\n%c\n<</SYS>>\n\n",
     .user = "%b[INST] %c [/INST]",
     .assistant = " %c %e",
     .place = SYSTEM_FIRST_USER,
     .alternates = true,
     .trims = true},
    {.name = "llama3",
     .has = {"<|start_header_id|>", "<|eot_id|>"},
     .lacks = {"Cutting Knowledge Date"},
     .begin = "%b",
     .system = LLAMA3("%r", ""),
     .user = LLAMA3("%r", ""),
     .assistant = LLAMA3("%r", ""),
     .other = LLAMA3("%r", ""),
     .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .end = "<|eot_id|>",
     .trims = true},
    {.name = "llama3.1",
     .has = {"<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date: December 2023"},
     .begin = "%b",
     .system = LLAMA3("%r", "Cutting Knowledge Date: December 2023\nToday Date: %d\n\n"),
     .user = LLAMA3("%r", ""),
     .assistant = LLAMA3("%r", ""),
     .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .end = "<|eot_id|>",
     .always_system = true,
     .trims = true},
    {.name = "mistral-v1",
     .has = {"'[INST] '", "' [/INST]'"},
     .lacks = {"<<SYS>>", "strip()"},
     .begin = "%b",
     .user = "[INST] %c [/INST]",
     .assistant = "%c%e",
     .place = SYSTEM_REFUSED,
     .alternates = true},
    {.name = "mistral-v3",
     .has = {"\"[INST] \"", "\"[/INST]\"", "[AVAILABLE_TOOLS]"},
     .begin = "%b",
     .system = "%c\n\n",
     .user = "[INST] %c[/INST]",
     .assistant = " %c%e",
     .place = SYSTEM_LAST_USER,
     .alternates = true,
     .trims_assistant = true},
    {.name = "gemma",
     .has = {"<start_of_turn>", "<end_of_turn>", "System role not supported"},
     .begin = "%b",
     .user = GEMMA("user"),
     .assistant = GEMMA("model"),
     .answer = "<start_of_turn>model\n",
     .end = "<end_of_turn>",
     .place = SYSTEM_REFUSED,
     .alternates = true,
     .trims = true},
    {.name = "zephyr",
     .has = {"<|user|>", "<|assistant|>", "eos_token"},
     .lacks = {"<|end|>", "bos_token"},
     .system = "<|system|>\n%c%e\n",
     .user = "<|user|>\n%c%e\n",
     .assistant = "<|assistant|>\n%c%e\n",
     .answer = "<|assistant|>\n"},
    {.name = "phi3",
     .has = {"<|user|>", "<|assistant|>", "<|end|>"},
     .lacks = {"<|tool"},
     .system = "<|system|>\n%c<|end|>\n",
     .user = "<|user|>\n%c<|end|>\n",
     .assistant = "<|assistant|>\n%c<|end|>\n",
     .answer = "<|assistant|>\n",
     .no_answer = "%e",
     .end = "<|end|>"},
};
enum { N_STYLES = sizeof styles / sizeof *styles };

const char *chat_style_names(void)
{
    return "chatml, llama2, llama3, llama3.1, mistral-v1, mistral-v3, gemma, zephyr, phi3";
}

static const ChatStyle *recognise(const char *jinja)
{
    for (int i = 0; i < N_STYLES; i++) {
        bool fits = true;
        for (int m = 0; m < MARKS; m++) {
            fits = fits && (!styles[i].has[m] || strstr(jinja, styles[i].has[m]));
            fits = fits && (!styles[i].lacks[m] || !strstr(jinja, styles[i].lacks[m]));
        }
        if (fits)
            return &styles[i];
    }
    return NULL;
}

static Status choose_style(const char *jinja, const char *name, const ChatStyle **out, Err *err)
{
    if (name) {
        for (int i = 0; i < N_STYLES; i++) {
            *out = &styles[i];
            if (strcmp(name, styles[i].name) == 0)
                return STATUS_OK;
        }
        return err_set(err, "there is no chat template '%.60s'; --chat-template is one of %s", name,
                       chat_style_names());
    }
    if (!jinja)
        return err_set(err,
                       "the model has no chat template; if it was trained to converse, say in "
                       "which form with --chat-template (%s)",
                       chat_style_names());
    *out = recognise(jinja);
    if (*out)
        return STATUS_OK;
    return err_set(err,
                   "the model's chat template (\"%.40s...\") is none that this program knows; say "
                   "which it is like with --chat-template (%s)",
                   jinja, chat_style_names());
}

/* ---- life ----------------------------------------------------------------------------------- */

/* The rest of a literal of the program up to `end`, escapes undone; NULL when the literal's own
 * quotation mark comes before. */
static char *literal_until(const char *text, const char *end, char quotation)
{
    StrBuf out = {0};
    for (; *text && strncmp(text, end, strlen(end)) != 0; text++) {
        if (*text == quotation)
            break;
        if (*text == '\\' && text[1] != '\0') {
            text++;
            strbuf_putc(&out, *text == 'n' ? '\n' : *text == 't' ? '\t' : *text);
        } else {
            strbuf_putc(&out, *text);
        }
    }
    if (strncmp(text, end, strlen(end)) == 0)
        return strbuf_detach(&out);
    strbuf_clear(&out);
    return NULL;
}

/* Programs of the chatml style often begin conversations with a sentence of their own. */
static char *default_system(const ChatStyle *style, const char *jinja)
{
    static const char head[] = "<|im_start|>system";
    if (strcmp(style->name, "chatml") != 0 || !jinja)
        return NULL;
    for (const char *at = jinja; (at = strstr(at, head));) {
        char quotation = at > jinja && strchr("'\"", at[-1]) ? at[-1] : '{';
        at += strlen(head);
        bool escaped = strncmp(at, "\\n", 2) == 0;
        if (!escaped && *at != '\n')
            continue;
        char *text = literal_until(at + (escaped ? 2 : 1), style->end, quotation);
        if (text)
            return text;
    }
    return NULL;
}

static char *token_name(const Tokenizer *tokenizer, int32_t id)
{
    int64_t bytes;
    if (id < 0)
        return xstrdup("");
    const char *text = tokenizer_token(tokenizer, id, &bytes);
    return xstrndup(text, (size_t)bytes);
}

Status chat_template_init(ChatTemplate *out, const Tokenizer *tokenizer, const char *name, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    *out = (ChatTemplate){0};
    TRY(choose_style(spec->chat_template, name, &out->style, err));
    /* The details of the model's own program count only where it is of that style. */
    const char *jinja = spec->chat_template;
    if (jinja && recognise(jinja) != out->style)
        jinja = NULL;
    out->system = default_system(out->style, jinja);
    out->today = jinja && strstr(jinja, "strftime_now");
    out->bos = token_name(tokenizer, spec->bos);
    out->eos = token_name(tokenizer, spec->eos);
    return STATUS_OK;
}

void chat_template_clear(ChatTemplate *chat)
{
    free(chat->system);
    free(chat->bos);
    free(chat->eos);
    *chat = (ChatTemplate){0};
}

const char *chat_template_name(const ChatTemplate *chat)
{
    return chat->style->name;
}

int32_t chat_template_end(const ChatTemplate *chat, const Tokenizer *tokenizer)
{
    const char *end = chat->style->end;
    if (!end)
        return -1;
    int32_t id = tokenizer_find(tokenizer, end, (int64_t)strlen(end));
    return id >= 0 && tokenizer_spec(tokenizer)->types[id] == TOKEN_SPECIAL ? id : -1;
}

/* ---- rendering ------------------------------------------------------------------------------ */

typedef struct Rendering {
    const ChatTemplate *chat;
    StrBuf *out;
    TextSpan *plain; /* where roles and contents lie in `out`, in order */
    int64_t n_plain, capacity;
} Rendering;

static void put_date(const ChatTemplate *chat, StrBuf *out)
{
    char date[32] = "26 Jul 2024";
    time_t now = time(NULL);
    struct tm parts;
    if (chat->today && localtime_r(&now, &parts))
        strftime(date, sizeof date, "%d %b %Y", &parts);
    strbuf_puts(out, date);
}

/* Appends what the template did not write, and remembers where it is. */
static void put_plain(Rendering *r, const char *text, size_t length)
{
    r->plain = mem_grow(r->plain, &r->capacity, r->n_plain + 1, sizeof *r->plain);
    r->plain[r->n_plain++] = (TextSpan){r->out->size, r->out->size + (int64_t)length};
    strbuf_append(r->out, text, length);
}

/* White space as Python's strip takes it off, within ASCII. */
static void put_content(Rendering *r, const char *text, bool trim_left, bool trim_right)
{
    static const char space[] = " \t\n\r\v\f\x1c\x1d\x1e\x1f";
    text += trim_left ? strspn(text, space) : 0;
    size_t length = strlen(text);
    while (trim_right && length > 0 && strchr(space, text[length - 1]))
        length--;
    put_plain(r, text, length);
}

/* Appends a text of the style, without contents. */
static void put_form(Rendering *r, const char *form, size_t length, const char *role)
{
    for (const char *p = form; p < form + length; p++) {
        if (*p != '%') {
            strbuf_putc(r->out, *p);
            continue;
        }
        p++;
        if (*p == 'b' || *p == 'e')
            strbuf_puts(r->out, *p == 'b' ? r->chat->bos : r->chat->eos);
        else if (*p == 'r')
            put_plain(r, role, strlen(role));
        else if (*p == 'd')
            put_date(r->chat, r->out);
    }
}

/* A turn: what is before its content, an embedded system message, the content, what is behind. */
static void put_turn(Rendering *r, const char *form, const ChatMessage *message, const char *system)
{
    const ChatStyle *style = r->chat->style;
    const char *place = strstr(form, "%c");
    bool assistant = strcmp(message->role, "assistant") == 0;
    bool trim = style->trims || (style->trims_assistant && assistant);
    put_form(r, form, (size_t)(place - form), message->role);
    if (system) {
        const char *within = strstr(style->system, "%c");
        put_form(r, style->system, (size_t)(within - style->system), "system");
        put_content(r, system, false, false);
        put_form(r, within + 2, strlen(within + 2), "system");
    }
    put_content(r, message->content, trim && !system, trim);
    put_form(r, place + 2, strlen(place + 2), message->role);
}

static const char *form_of(const ChatStyle *style, const char *role)
{
    if (strcmp(role, "user") == 0)
        return style->user;
    if (strcmp(role, "assistant") == 0)
        return style->assistant;
    bool system = strcmp(role, "system") == 0 && style->place == SYSTEM_TURN;
    return system && !style->always_system ? style->system : style->other;
}

/* What the template itself would refuse. `n` messages without the system's. */
static Status check_roles(const ChatStyle *style, const ChatMessage *messages, int64_t n, Err *err)
{
    for (int64_t i = 0; i < n; i++) {
        const char *role = messages[i].role;
        if (!form_of(style, role))
            return err_set(err,
                           "a message of the role '%.60s' has no place here in the chat template "
                           "%s",
                           role, style->name);
        if (style->alternates && strcmp(role, i % 2 ? "assistant" : "user") != 0)
            return err_set(err,
                           "the chat template %s takes messages of user and assistant in turns, "
                           "the user first; message %lld is of '%.60s'",
                           style->name, (long long)i, role);
    }
    return STATUS_OK;
}

static Status render(Rendering *r, const ChatMessage *messages, int64_t n, bool answer, Err *err)
{
    const ChatStyle *style = r->chat->style;
    const char *system = NULL; /* to be put into a user's turn */
    ChatMessage first = {"system", r->chat->system ? r->chat->system : ""};
    bool has_system = n > 0 && strcmp(messages[0].role, "system") == 0;
    bool own_turn = style->place == SYSTEM_TURN;
    if (has_system && style->place == SYSTEM_REFUSED)
        return err_set(err, "the chat template %s has no place for a system message", style->name);
    if (has_system && (!own_turn || style->always_system)) {
        first.content = messages[0].content;
        system = own_turn ? NULL : first.content;
        messages++;
        n--;
    }
    TRY(check_roles(style, messages, n, err));
    if (style->begin)
        put_form(r, style->begin, strlen(style->begin), "");
    if (style->always_system || (r->chat->system && !has_system))
        put_turn(r, style->system, &first, NULL);
    for (int64_t i = 0; i < n; i++) {
        bool here = style->place == SYSTEM_FIRST_USER ? i == 0 : i == n - 1;
        here = here && strcmp(messages[i].role, "user") == 0;
        put_turn(r, form_of(style, messages[i].role), &messages[i], here ? system : NULL);
    }
    const char *last = answer ? style->answer : style->no_answer;
    if (last)
        put_form(r, last, strlen(last), "");
    return STATUS_OK;
}

static Status render_marked(const ChatTemplate *chat, const ChatMessage *messages, int64_t n,
                            bool answer, StrBuf *out, Rendering *rendering, Err *err)
{
    *rendering = (Rendering){.chat = chat, .out = out};
    StrBuf text = {0};
    rendering->out = &text;
    Status status = render(rendering, messages, n, answer, err);
    if (status == STATUS_OK)
        strbuf_append(out, text.data ? text.data : "", (size_t)text.size);
    strbuf_clear(&text);
    return status;
}

Status chat_render(const ChatTemplate *chat, const ChatMessage *messages, int64_t n,
                   bool add_generation_prompt, StrBuf *out, Err *err)
{
    Rendering r;
    Status status = render_marked(chat, messages, n, add_generation_prompt, out, &r, err);
    free(r.plain);
    return status;
}

Status chat_encode(const ChatTemplate *chat, const Tokenizer *tokenizer,
                   const ChatMessage *messages, int64_t n, bool add_generation_prompt, IdList *out,
                   Err *err)
{
    Rendering r;
    StrBuf text = {0};
    Status status = render_marked(chat, messages, n, add_generation_prompt, &text, &r, err);
    if (status == STATUS_OK)
        tokenizer_encode_marked(tokenizer, text.data ? text.data : "", text.size, r.plain,
                                r.n_plain, out);
    strbuf_clear(&text);
    free(r.plain);
    return status;
}
