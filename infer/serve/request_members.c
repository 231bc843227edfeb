#include <string.h>

#include "core/base/log.h"
#include "infer/serve/request_fields.h"

typedef enum MemberUse {
    MEMBER_TAKEN,
    MEMBER_IGNORED, /* about the client's bookkeeping or the server's speed, not about the text */
    MEMBER_REFUSED, /* would change the text, and this server does not do it */
} MemberUse;

typedef struct Member {
    const char *name;
    int kinds; /* RequestKind bits */
    MemberUse use;
    const char *neutral; /* refused, except this value, or one that is false or empty */
} Member;

enum { BOTH = REQUEST_COMPLETION | REQUEST_CHAT };

static const Member members[] = {
    {"model", BOTH, MEMBER_TAKEN, NULL},
    {"prompt", REQUEST_COMPLETION, MEMBER_TAKEN, NULL},
    {"messages", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"max_tokens", BOTH, MEMBER_TAKEN, NULL},
    {"max_completion_tokens", BOTH, MEMBER_TAKEN, NULL},
    {"temperature", BOTH, MEMBER_TAKEN, NULL},
    {"top_p", BOTH, MEMBER_TAKEN, NULL},
    {"n", BOTH, MEMBER_TAKEN, NULL},
    {"best_of", REQUEST_COMPLETION, MEMBER_TAKEN, NULL},
    {"stream", BOTH, MEMBER_TAKEN, NULL},
    {"stream_options", BOTH, MEMBER_TAKEN, NULL},
    {"logprobs", BOTH, MEMBER_TAKEN, NULL},
    {"top_logprobs", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"echo", REQUEST_COMPLETION, MEMBER_TAKEN, NULL},
    {"stop", BOTH, MEMBER_TAKEN, NULL},
    {"presence_penalty", BOTH, MEMBER_TAKEN, NULL},
    {"frequency_penalty", BOTH, MEMBER_TAKEN, NULL},
    {"seed", BOTH, MEMBER_TAKEN, NULL},
    {"logit_bias", BOTH, MEMBER_TAKEN, NULL},
    {"response_format", BOTH, MEMBER_TAKEN, NULL},
    {"tools", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"tool_choice", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"reasoning_effort", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"documents", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    /* Not OpenAI's, but common. */
    {"top_k", BOTH, MEMBER_TAKEN, NULL},
    {"min_p", BOTH, MEMBER_TAKEN, NULL},
    {"repetition_penalty", BOTH, MEMBER_TAKEN, NULL},
    {"repeat_penalty", BOTH, MEMBER_TAKEN, NULL},
    {"ignore_eos", BOTH, MEMBER_TAKEN, NULL},
    {"min_tokens", BOTH, MEMBER_TAKEN, NULL},
    {"n_predict", BOTH, MEMBER_TAKEN, NULL},
    {"stop_token_ids", BOTH, MEMBER_TAKEN, NULL},
    {"skip_special_tokens", BOTH, MEMBER_TAKEN, NULL},
    {"return_tokens", BOTH, MEMBER_TAKEN, NULL},
    {"add_special_tokens", REQUEST_COMPLETION, MEMBER_TAKEN, NULL},
    {"parse_special", REQUEST_COMPLETION, MEMBER_TAKEN, NULL},
    {"chat_template_kwargs", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"add_generation_prompt", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"continue_final_message", REQUEST_CHAT, MEMBER_TAKEN, NULL},
    {"user", BOTH, MEMBER_IGNORED, NULL},
    {"store", BOTH, MEMBER_IGNORED, NULL},
    {"metadata", BOTH, MEMBER_IGNORED, NULL},
    {"service_tier", BOTH, MEMBER_IGNORED, NULL},
    {"safety_identifier", BOTH, MEMBER_IGNORED, NULL},
    {"prompt_cache_key", BOTH, MEMBER_IGNORED, NULL},
    {"prompt_cache_retention", BOTH, MEMBER_IGNORED, NULL},
    {"prediction", REQUEST_CHAT, MEMBER_IGNORED, NULL},
    {"parallel_tool_calls", REQUEST_CHAT, MEMBER_IGNORED, NULL},
    {"verbosity", REQUEST_CHAT, MEMBER_IGNORED, NULL},
    {"cache_prompt", BOTH, MEMBER_IGNORED, NULL},
    {"id_slot", BOTH, MEMBER_IGNORED, NULL},
    {"priority", BOTH, MEMBER_IGNORED, NULL},
    {"request_id", BOTH, MEMBER_IGNORED, NULL},
    {"spaces_between_special_tokens", BOTH, MEMBER_IGNORED, NULL},
    {"suffix", REQUEST_COMPLETION, MEMBER_REFUSED, NULL},
    {"functions", REQUEST_CHAT, MEMBER_REFUSED, NULL},
    {"function_call", REQUEST_CHAT, MEMBER_REFUSED, "\"none\""},
    {"modalities", REQUEST_CHAT, MEMBER_REFUSED, "[\"text\"]"},
    {"audio", REQUEST_CHAT, MEMBER_REFUSED, NULL},
    {"web_search_options", REQUEST_CHAT, MEMBER_REFUSED, NULL},
    {"chat_template", REQUEST_CHAT, MEMBER_REFUSED, NULL},
    {"use_beam_search", BOTH, MEMBER_REFUSED, NULL},
    {"length_penalty", BOTH, MEMBER_REFUSED, "1"},
    {"early_stopping", BOTH, MEMBER_REFUSED, NULL},
    {"include_stop_str_in_output", BOTH, MEMBER_REFUSED, NULL},
    {"truncate_prompt_tokens", BOTH, MEMBER_REFUSED, NULL},
    {"prompt_logprobs", BOTH, MEMBER_REFUSED, NULL},
    {"prompt_embeds", BOTH, MEMBER_REFUSED, NULL},
    {"return_tokens_as_token_ids", BOTH, MEMBER_REFUSED, NULL},
    {"return_token_ids", BOTH, MEMBER_REFUSED, NULL},
    {"allowed_token_ids", BOTH, MEMBER_REFUSED, NULL},
    {"bad_words", BOTH, MEMBER_REFUSED, NULL},
    {"logits_processors", BOTH, MEMBER_REFUSED, NULL},
    {"guided_json", BOTH, MEMBER_REFUSED, NULL},
    {"guided_regex", BOTH, MEMBER_REFUSED, NULL},
    {"guided_choice", BOTH, MEMBER_REFUSED, NULL},
    {"guided_grammar", BOTH, MEMBER_REFUSED, NULL},
    {"structured_outputs", BOTH, MEMBER_REFUSED, NULL},
    {"grammar", BOTH, MEMBER_REFUSED, NULL},
    {"json_schema", BOTH, MEMBER_REFUSED, NULL},
    {"typical_p", BOTH, MEMBER_REFUSED, "1"},
    {"typical", BOTH, MEMBER_REFUSED, "1"},
    {"tfs_z", BOTH, MEMBER_REFUSED, "1"},
    {"tfs", BOTH, MEMBER_REFUSED, "1"},
    {"top_a", BOTH, MEMBER_REFUSED, "0"},
    {"top_n_sigma", BOTH, MEMBER_REFUSED, "-1"},
    {"mirostat", BOTH, MEMBER_REFUSED, "0"},
    {"mirostat_mode", BOTH, MEMBER_REFUSED, "0"},
    {"dynatemp_range", BOTH, MEMBER_REFUSED, "0"},
    {"dry_multiplier", BOTH, MEMBER_REFUSED, "0"},
    {"xtc_probability", BOTH, MEMBER_REFUSED, "0"},
};
enum { N_MEMBERS = sizeof members / sizeof *members };

/* A value that asks for nothing: false, zero, or empty. */
static bool is_empty(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0.0) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           ((json_is_array(value) && json_array_size(value) == 0) ||
            (json_is_object(value) && json_object_size(value) == 0));
}

static bool is_neutral(const Member *member, const json_t *value)
{
    if (is_empty(value))
        return true;
    json_t *neutral = member->neutral ? json_loads(member->neutral, JSON_DECODE_ANY, NULL) : NULL;
    bool same = neutral && (json_equal(neutral, value) ||
                            (json_is_number(neutral) && json_is_number(value) &&
                             json_number_value(neutral) == json_number_value(value)));
    json_decref(neutral);
    return same;
}

static const Member *find_member(const char *name)
{
    for (int i = 0; i < N_MEMBERS; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

/* Whether one letter was left out, added, replaced or swapped with the next. */
static bool is_slip(const char *wrong, const char *right)
{
    size_t n = strlen(wrong), m = strlen(right), same = 0;
    while (wrong[same] && wrong[same] == right[same])
        same++;
    const char *a = wrong + same, *b = right + same;
    if (n == m + 1)
        return strcmp(a + 1, b) == 0;
    if (m == n + 1)
        return strcmp(a, b + 1) == 0;
    return n == m && n > same &&
           (strcmp(a + 1, b + 1) == 0 ||
            (a[1] && a[0] == b[1] && a[1] == b[0] && strcmp(a + 2, b + 2) == 0));
}

/* The member that was meant, where a name is so near that a vendor's own is not likely. */
static const char *meant_member(const char *name, RequestKind kind)
{
    enum { SHORT_NAME = 4 };
    for (int i = 0; i < N_MEMBERS; i++)
        if (members[i].kinds & (int)kind && members[i].use == MEMBER_TAKEN &&
            strlen(members[i].name) > SHORT_NAME && is_slip(name, members[i].name))
            return members[i].name;
    return NULL;
}

/* Names for a header line: what is no plain ASCII is left out. */
static void note_ignored(const char *name, char *ignored, size_t room)
{
    size_t used = strlen(ignored);
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c >= 0x7F || *c == ',')
            return;
    if (used + strlen(name) + 3 < room)
        snprintf(ignored + used, room - used, "%s%s", used ? ", " : "", name);
}

static Status check_member(const char *name, const json_t *value, RequestKind kind, char *ignored,
                           size_t room, ApiError *error)
{
    const Member *member = find_member(name);
    bool here = member && member->kinds & (int)kind;
    if (here && member->use == MEMBER_TAKEN)
        return STATUS_OK;
    if (member && member->use == MEMBER_REFUSED)
        return is_neutral(member, value)
                   ? STATUS_OK
                   : api_error_param(error, name, "'%s' is not supported by this server", name);
    if (member && member->use == MEMBER_TAKEN) {
        bool asks =
            !is_empty(value) || strcmp(name, "prompt") == 0 || strcmp(name, "messages") == 0;
        return asks && !json_is_null(value)
                   ? api_error_param(error, name, "'%s' is no member of %s", name,
                                     kind == REQUEST_CHAT ? "chat completions" : "completions")
                   : STATUS_OK;
    }
    const char *meant = member ? NULL : meant_member(name, kind);
    if (meant)
        return api_error_param(error, name, "unknown member '%.64s'; did you mean '%s'?", name,
                               meant);
    if (!member)
        note_ignored(name, ignored, room);
    return STATUS_OK;
}

Status fields_check(const json_t *object, RequestKind kind, char *ignored, size_t room,
                    ApiError *error)
{
    const char *name;
    json_t *value;
    ignored[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
        TRY(check_member(name, value, kind, ignored, room, error));
    if (ignored[0])
        log_debug("members of a request that are not known: %s", ignored);
    return STATUS_OK;
}
