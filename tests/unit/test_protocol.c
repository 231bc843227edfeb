/* OpenAI's JSON: members become jobs, mistakes become errors that name them, and what jobs report
 * becomes answers and events. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/serve/response.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"

#define TOOL "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"

static Tokenizer *tokenizer;
static Protocol protocol;

static int set_up(void **state)
{
    (void)state;
    static char name[] = "expert", *names[] = {name, name};
    tokenizer = byte_vocabulary();
    protocol = (Protocol){.tokenizer = tokenizer,
                          .model = "tiny",
                          .context = 100,
                          .vocab_size = tokenizer_size(tokenizer),
                          .n_experts = 2,
                          .experts = names,
                          .rule = "bayes",
                          .timeout = 60.0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_free(tokenizer);
    return 0;
}

static Request parse(RequestKind kind, const char *body)
{
    Request request;
    ApiError error;
    if (request_parse(&request, kind, &protocol, body, (int64_t)strlen(body), &error) != STATUS_OK)
        fail_msg("%s: %s", body, error.message.text);
    return request;
}

static void members_become_jobs(void **state)
{
    (void)state;
    Request r = parse(REQUEST_COMPLETION,
                      "{\"model\":\"tiny\",\"prompt\":[\"abc\",[1,2,3]],\"n\":2,\"max_tokens\":7,"
                      "\"temperature\":0.5,\"top_p\":0.9,\"seed\":11,\"stop\":[\"x\",\"yz\"],"
                      "\"presence_penalty\":1,\"frequency_penalty\":-1,\"logit_bias\":{\"5\":-100},"
                      "\"logprobs\":4,\"echo\":true,\"stream\":true,\"user\":null,"
                      "\"stream_options\":{\"include_usage\":true}}");
    assert_int_equal(r.n_jobs, 4);
    assert_true(r.stream && r.include_usage && r.echo && r.logprobs);
    assert_int_equal(r.n_top, 4);
    for (int i = 0; i < 4; i++) {
        const JobSpec *job = &r.jobs[i];
        assert_int_equal(job->index, i % 2);
        assert_int_equal(job->max_tokens, 7);
        assert_true(job->sampling.temperature == 0.5 && job->sampling.top_p == 0.9);
        assert_int_equal(job->sampling.seed, 11);
        assert_int_equal(job->stops.count, 2);
        assert_string_equal(job->stops.items[1], "yz");
        assert_int_equal(job->n_bias, 1);
        assert_int_equal(job->bias[0].id, 5);
        assert_true(job->presence_penalty == 1.0 && job->frequency_penalty == -1.0);
        assert_true(job->score_prompt);
        assert_int_equal(job->ends.items[0], tokenizer_spec(tokenizer)->eos);
    }
    assert_int_equal(r.jobs[3].prompt.count, 3);
    assert_int_equal(r.jobs[3].prompt.items[2], 3);
    assert_memory_equal(r.id, "cmpl-", 5);
    request_clear(&r);

    r = parse(REQUEST_COMPLETION, "{\"prompt\":\"abc\"}");
    assert_int_equal(r.jobs[0].max_tokens, 16);
    assert_true(r.jobs[0].sampling.temperature == 1.0 && r.jobs[0].sampling.top_p == 1.0);
    request_clear(&r);
    r = parse(REQUEST_COMPLETION, "{\"prompt\":\"abc\",\"max_tokens\":5000,\"ignore_eos\":true}");
    assert_int_equal(r.jobs[0].max_tokens + r.jobs[0].prompt.count, 100);
    assert_int_equal(r.jobs[0].ends.count, 0);
    request_clear(&r);

    r = parse(REQUEST_CHAT, "{\"messages\":[{\"role\":\"developer\",\"content\":\"be\"},"
                            "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                            "{\"type\":\"text\",\"text\":\"b\"}]}],\"max_completion_tokens\":3,"
                            "\"response_format\":{\"type\":\"json_object\"}}");
    StrBuf text = {0};
    tokenizer_decode(tokenizer, r.prompts[0].items, r.prompts[0].count, false, &text);
    assert_string_equal(text.data, "system: be\nuser: ab\nassistant:");
    strbuf_clear(&text);
    assert_true(r.jobs[0].json);
    assert_int_equal(r.jobs[0].max_tokens, 3);
    request_clear(&r);
}

/* What agents and front ends send is taken, and means what it means elsewhere. */
static void clients_of_other_servers_are_understood(void **state)
{
    (void)state;
    static const char *const same[] = {
        "\"max_tokens\":5.0",
        "\"max_tokens\":null,\"max_completion_tokens\":5",
        "\"n_predict\":5",
        "\"max_tokens\":5,\"stop\":null,\"seed\":null,\"stream\":false,\"stream_options\":null,"
        "\"logprobs\":null,\"n\":1.0,\"user\":\"me\",\"store\":false,\"metadata\":{\"a\":1},"
        "\"service_tier\":\"auto\",\"top_k\":-1,\"response_format\":null,\"logit_bias\":{}",
        "\"max_tokens\":5,\"use_beam_search\":false,\"typical_p\":1.0,\"mirostat\":0,"
        "\"guided_json\":null,\"cache_prompt\":true,\"length_penalty\":1,\"top_a\":0.0",
        "\"max_tokens\":5,\"my_own_member\":{\"deep\":[1e999,\"\\ud800\"]},\"another\":1"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        for (int kind = REQUEST_COMPLETION; kind <= REQUEST_CHAT; kind++) {
            char body[640];
            snprintf(body, sizeof body, "{%s,%s}",
                     kind == REQUEST_CHAT ? MESSAGES : "\"prompt\":\"a\"", same[i]);
            Request r = parse((RequestKind)kind, body);
            assert_int_equal(r.jobs[0].max_tokens, 5);
            assert_int_equal(r.jobs[0].sampling.top_k, 0);
            assert_string_equal(r.ignored, i == 5 ? "my_own_member, another" : "");
            request_clear(&r);
        }
    static const char *const seeds[] = {"9223372036854775808", "18446744073709551615", "-1", "3.0",
                                        "1e30"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        char body[96];
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"seed\":%s}", seeds[i]);
        Request a = parse(REQUEST_COMPLETION, body), b = parse(REQUEST_COMPLETION, body);
        assert_true(a.jobs[0].sampling.seed == b.jobs[0].sampling.seed);
        request_clear(&a);
        request_clear(&b);
    }
    Request r =
        parse(REQUEST_COMPLETION, "{\"prompt\":\"a\\u0000b\",\"max_tokens\":-1,"
                                  "\"logprobs\":true,\"min_tokens\":3,"
                                  "\"stop_token_ids\":[7,8.0],\"skip_special_tokens\":false}");
    const JobSpec *job = &r.jobs[0];
    assert_int_equal(job->max_tokens + job->prompt.count, 100);
    assert_int_equal(job->prompt.items[job->prompt.count - 2], 0);
    assert_true(r.logprobs && job->n_top == 1 && job->min_tokens == 3 && job->show_specials);
    assert_true(id_list_has(&job->ends, 7) && id_list_has(&job->ends, 8));
    request_clear(&r);
    r = parse(REQUEST_CHAT, "{" MESSAGES ",\"logprobs\":4,\"top_logprobs\":null}");
    assert_true(r.logprobs && r.n_top == 4);
    request_clear(&r);
}

static void assert_chat(const char *members, const char *want)
{
    char body[1024];
    snprintf(body, sizeof body, "{%s}", members);
    Request r = parse(REQUEST_CHAT, body);
    StrBuf text = {0};
    tokenizer_decode(tokenizer, r.prompts[0].items, r.prompts[0].count, false, &text);
    assert_string_equal(text.data, want);
    strbuf_clear(&text);
    request_clear(&r);
}

/* Histories of tool calls are part of the prompt. */
static void histories_with_tools_are_read(void **state)
{
    (void)state;
    protocol.context = 400;
    assert_chat("\"messages\":[{\"role\":\"user\",\"content\":\"2+2\"},"
                "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\","
                "\"type\":\"function\",\"function\":{\"name\":\"add\","
                "\"arguments\":\"[2]\"}}]},"
                "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":[{\"type\":\"text\","
                "\"text\":\"4\"}]}],\"tools\":[],\"tool_choice\":\"none\","
                "\"parallel_tool_calls\":false,\"reasoning_effort\":\"low\","
                "\"chat_template_kwargs\":{\"enable_thinking\":false}",
                "user: 2+2\nassistant: [{\"type\":\"function\",\"function\":{\"name\":\"add\","
                "\"arguments\":\"[2]\"},\"id\":\"1\"}]\ntool: 4\nassistant:");
    assert_chat("\"messages\":[{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\","
                "\"arguments\":\"x\"}},{\"role\":\"function\",\"name\":\"f\","
                "\"content\":\"x\"}]",
                "assistant: [{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
                "\"x\"}}]\ntool: x\nassistant:");
    assert_chat(MESSAGES ",\"tools\":[" TOOL "],\"tool_choice\":\"none\"", "user: a\nassistant:");
    assert_chat("\"messages\":[{\"role\":\"user\",\"content\":[\"a\",{\"type\":\"input_text\","
                "\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":\"c\",\"refusal\":null}],"
                "\"continue_final_message\":true",
                "user: ab\nassistant: c");
    protocol.context = 100;
}

/* A template is given what the client said: parts, calls, tools, variables. */
static void templates_are_given_all_of_it(void **state)
{
    (void)state;
    static const char program[] =
        "{% for m in messages %}{{ m.role }}:{{ m.content if m.content is string else 'none' }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson "
        "}}){% endfor %};{% endfor %}{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"
        "{{ reasoning_effort }}{{ mood }}{% if add_generation_prompt %}>{% endif %}";
    static const char body[] =
        "{\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]}],\"tools\":[" TOOL "],"
        "\"chat_template_kwargs\":{\"mood\":\"mild\"},\"reasoning_effort\":\"low\"";
    static const char *const ends[][2] = {{"}", ">"}, {",\"add_generation_prompt\":false}", ""}};
    Err err = {.text = ""};
    char path[] = "/tmp/cambium-template-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, program, strlen(program)) == (ssize_t)strlen(program));
    close(fd);
    Protocol own = protocol;
    ChatTemplate *chat;
    ASSERT_OK(chat_prompt_choose(&chat, path, tokenizer, &err));
    unlink(path);
    own.chat = chat;
    for (int i = 0; i < 2; i++) {
        Request r;
        ApiError error;
        char whole[640], want[128];
        snprintf(whole, sizeof whole, "%s%s", body, ends[i][0]);
        snprintf(want, sizeof want, "system:x;assistant:nonef({\"a\": 1});flowmild%s", ends[i][1]);
        if (request_parse(&r, REQUEST_CHAT, &own, whole, (int64_t)strlen(whole), &error) !=
            STATUS_OK)
            fail_msg("%s", error.message.text);
        StrBuf text = {0};
        tokenizer_decode(tokenizer, r.prompts[0].items, r.prompts[0].count, false, &text);
        assert_string_equal(text.data, want);
        strbuf_clear(&text);
        request_clear(&r);
    }
    chat_prompt_free(chat);
}

/* A raw prompt may say that names of special tokens are those tokens. */
static void raw_prompts_may_hold_control_tokens(void **state)
{
    (void)state;
    static const char *const members[] = {"", ",\"parse_special\":true",
                                          ",\"add_special_tokens\":false",
                                          ",\"add_special_tokens\":false,\"parse_special\":true"};
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    int64_t name_bytes;
    const char *name = tokenizer_token(tokenizer, spec->eos, &name_bytes);
    int32_t start = tokenizer_start(tokenizer);
    assert_true(start >= 0);
    for (int i = 0; i < 4; i++) {
        char body[160];
        snprintf(body, sizeof body, "{\"prompt\":\"a%.*s\"%s}", (int)name_bytes, name, members[i]);
        Request r = parse(REQUEST_COMPLETION, body);
        const IdList *ids = &r.prompts[0];
        assert_true((ids->items[0] == start) == (i < 2));
        assert_true((ids->items[ids->count - 1] == spec->eos) == (i % 2 == 1));
        request_clear(&r);
    }
}

/* A template marks the turns; what messages say cannot. */
static void conversations_follow_their_template(void **state)
{
    (void)state;
    Err err;
    ChatTemplate *chat = NULL;
    assert_int_equal(chat_prompt_choose(&chat, "auto", tokenizer, &err), STATUS_OK);
    assert_null(chat);
    assert_int_equal(chat_prompt_choose(&chat, "no such style", tokenizer, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "--chat-template"));
    ASSERT_OK(chat_prompt_choose(&chat, "chatml", tokenizer, &err));
    Protocol own = protocol;
    own.chat = chat;
    static const char body[] = "{" MESSAGES "}";
    Request r;
    ApiError error;
    assert_int_equal(request_parse(&r, REQUEST_CHAT, &own, body, (int64_t)strlen(body), &error),
                     STATUS_OK);
    StrBuf text = {0};
    tokenizer_decode(tokenizer, r.prompts[0].items, r.prompts[0].count, true, &text);
    assert_non_null(strstr(text.data, "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"));
    assert_int_equal(r.jobs[0].stops.count, 0);
    strbuf_clear(&text);
    request_clear(&r);
    chat_prompt_free(chat);
}

typedef struct Mistake {
    RequestKind kind;
    const char *body, *param, *says;
    int status;
} Mistake;

static void mistakes_are_named(void **state)
{
    (void)state;
    static const Mistake mistakes[] = {
        {REQUEST_COMPLETION, "", "", "not JSON", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"prompt\":\"b\"}", "", "duplicate", 400},
        {REQUEST_COMPLETION, "{}", "prompt", "missing", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"\"}", "prompt", "empty", 0},
        {REQUEST_COMPLETION, "{\"prompt\":[]}", "prompt", "array of token ids", 400},
        {REQUEST_COMPLETION, "{\"prompt\":[1,\"a\"]}", "prompt", "token id", 400},
        {REQUEST_COMPLETION, "{\"prompt\":[[1],\"a\",{}]}", "prompt", "array of token ids", 400},
        {REQUEST_COMPLETION, "{\"prompt\":[-1]}", "prompt", "token id", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"n\":0}", "n", "1 to 128", 400},
        {REQUEST_COMPLETION, "{\"prompt\":[\"a\",\"b\"],\"n\":128}", "prompt", "at most 128", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"n\":2.5}", "n", "whole number", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"\\ud83d\"}", "prompt", "not Unicode", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"temperature\":NaN}", "temperature", "number",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"seed\":1.5}", "seed", "whole", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"seed\":\"1\"}", "seed", "whole", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":-2}", "max_tokens", "from -1", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"max_token\":2}", "max_token", "'max_tokens'?",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"temprature\":2}", "temprature", "mean", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"guided_json\":{\"a\":1}}", "guided_json",
         "not supported", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"typical_p\":0.5}", "typical_p", "not supported",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"stop_token_ids\":5}", "stop_token_ids", "array",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":0}", "max_tokens", "from 1", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"temperature\":2.5}", "temperature", "0 to 2",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"stop\":[\"\"]}", "stop", "empty", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"stop\":5}", "stop", "string", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"best_of\":3}", "best_of", "not supported", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix", "not supported", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"messages\":[]}", "messages", "no member", 400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":{\"x\":1}}", "logit_bias", "maps",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"stream_options\":{}}", "stream_options", "stream",
         400},
        {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"model\":\"b\"}", "model", "it is 'tiny'", 404},
        {REQUEST_CHAT, "{}", "messages", "at least one", 400},
        {REQUEST_CHAT, "{\"messages\":[5]}", "messages[0]", "role", 400},
        {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0]", "content", 400},
        {REQUEST_CHAT, "{\"messages\":[{\"role\":\"god\",\"content\":\"a\"}]}", "messages[0]",
         "role", 400},
        {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages[0]",
         "content", 400},
        {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":{}}]}", "messages[0]",
         "string or an array", 400},
        {REQUEST_CHAT,
         "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}",
         "messages[0]", "'name'", 400},
        {REQUEST_CHAT,
         "{" MESSAGES ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
         "\"tool_choice\":\"required\"}",
         "tool_choice", "auto or none", 400},
        {REQUEST_CHAT,
         "{" MESSAGES ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}}",
         "tool_choice", "auto or none", 400},
        {REQUEST_CHAT,
         "{" MESSAGES ",\"continue_final_message\":true,\"add_generation_prompt\":true}",
         "continue_final_message", "exclude", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"functions\":[{\"name\":\"f\"}]}", "functions",
         "not supported", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"modalities\":[\"audio\"]}", "modalities", "not supported",
         400},
        {REQUEST_CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "messages[0]", "'text' alone", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"top_logprobs\":3}", "top_logprobs", "wants", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"logprobs\":\"a\"}", "logprobs", "true or false", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"tools\":[{}]}", "tools", "a tool has", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"tools\":{}}", "tools", "array", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"tools\":[" TOOL "]}", "messages", "no chat template", 400},
        {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"\\udc00\"}]}",
         "messages[0]", "not Unicode", 400},
        {REQUEST_CHAT, "{" MESSAGES ",\"response_format\":{\"type\":\"json_schema\"}}",
         "response_format", "json_schema", 400},
        {REQUEST_CHAT,
         "{" MESSAGES ",\"max_tokens\":1,\"response_format\":{\"type\":\"json_object\"}}",
         "max_tokens", "at least 2", 400},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const Mistake *m = &mistakes[i];
        Request request;
        ApiError error;
        Status status =
            request_parse(&request, m->kind, &protocol, m->body, (int64_t)strlen(m->body), &error);
        if (m->status == 0) { /* the vocabulary begins texts with its end token */
            assert_int_equal(status, STATUS_OK);
            assert_true(request.jobs[0].at_start);
            request_clear(&request);
            continue;
        }
        if (status == STATUS_OK)
            fail_msg("takes %s", m->body);
        if (error.status != m->status || strcmp(error.param, m->param) != 0 ||
            !strstr(error.message.text, m->says))
            fail_msg("%s: %d '%s' %s", m->body, error.status, error.param, error.message.text);
        json_t *object = api_error_json(&error);
        assert_non_null(json_object_get(json_object_get(object, "error"), "message"));
        json_decref(object);
    }
}

/* What a job of three tokens reports, the last character of which comes with the end. */
static void report(TokenLog *log, int64_t job, JobEnd end)
{
    static const TopToken top[2] = {{'a', -0.5f}, {'b', -INFINITY}};
    static const float weights[2] = {0.25f, 0.75f};
    JobToken token = {.logprob = -0.5f, .top = top, .n_top = 2, .weights = weights};
    static const char *const texts[] = {"a", "", "\xD0\xB6"};
    static const int characters[] = {1, 0, 1};
    static const int32_t ids[] = {'a', 0xD0, 0xB6};
    for (int i = 0; i < 3; i++) {
        token.id = ids[i];
        token.text = texts[i];
        token.bytes = (int64_t)strlen(texts[i]);
        token.characters = characters[i];
        token_log_token(log, job, &token, 2);
    }
    token_log_end(log, job, end, "\xEF\xBF\xBD", 3);
}

static json_t *member(json_t *object, const char *path)
{
    char copy[96], *rest = copy, *key;
    snprintf(copy, sizeof copy, "%s", path);
    while (object && (key = strsep(&rest, ".")) != NULL)
        object = json_is_array(object) ? json_array_get(object, (size_t)atoi(key))
                                       : json_object_get(object, key);
    if (!object)
        fail_msg("no %s", path);
    return object;
}

static void answers_have_openais_form(void **state)
{
    (void)state;
    Request r = parse(REQUEST_CHAT, "{" MESSAGES ",\"n\":2,\"logprobs\":true,\"top_logprobs\":2,"
                                    "\"return_tokens\":true}");
    Response *response = response_new(&r, &protocol);
    TokenLog log = {0};
    report(&log, 1, JOB_LENGTH);
    report(&log, 0, JOB_STOP);
    response_take(response, &log);
    assert_true(response_ended(response));
    json_t *object = response_whole(response);
    assert_string_equal(json_string_value(member(object, "object")), "chat.completion");
    assert_string_equal(json_string_value(member(object, "choices.0.message.content")),
                        "a\xD0\xB6\xEF\xBF\xBD");
    assert_string_equal(json_string_value(member(object, "choices.0.message.role")), "assistant");
    assert_string_equal(json_string_value(member(object, "choices.0.finish_reason")), "stop");
    assert_string_equal(json_string_value(member(object, "choices.1.finish_reason")), "length");
    json_t *second = member(object, "choices.1.logprobs.content.1");
    assert_string_equal(json_string_value(member(second, "token")), "\xEF\xBF\xBD");
    assert_int_equal(json_integer_value(member(second, "bytes.0")), 0xD0);
    assert_true(json_real_value(member(second, "top_logprobs.1.logprob")) == -9999.0);
    assert_true(json_real_value(member(object, "choices.0.tokens.2.experts.1")) == 0.75);
    assert_int_equal(json_integer_value(member(object, "choices.0.tokens.0.top.1.id")), 'b');
    assert_int_equal(json_integer_value(member(object, "usage.completion_tokens")), 6);
    json_decref(object);
    response_free(response);
    token_log_clear(&log);
    request_clear(&r);
}

static void echoes_have_the_prompts_scores(void **state)
{
    (void)state;
    Request r = parse(REQUEST_COMPLETION,
                      "{\"prompt\":[120,121],\"echo\":true,\"logprobs\":2,\"max_tokens\":3}");
    Response *response = response_new(&r, &protocol);
    TokenLog log = {0};
    static const TopToken tops[] = {{0, 0.0f}, {0, 0.0f}, {'z', -0.25f}, {0xB6, -1.5f}};
    PromptScores scores = {.n = 2, .n_top = 2, .logprobs = (float[]){0.0f, -2.0f}, .top = tops};
    token_log_scores(&log, 0, &scores);
    report(&log, 0, JOB_STOP);
    response_take(response, &log);
    json_t *object = response_whole(response);
    assert_string_equal(json_string_value(member(object, "choices.0.text")),
                        "xya\xD0\xB6\xEF\xBF\xBD");
    assert_true(json_is_null(member(object, "choices.0.logprobs.token_logprobs.0")));
    assert_true(json_real_value(member(object, "choices.0.logprobs.token_logprobs.1")) == -2.0);
    assert_true(json_is_null(member(object, "choices.0.logprobs.top_logprobs.0")));
    assert_true(json_real_value(member(object, "choices.0.logprobs.top_logprobs.2.a")) == -0.5);
    /* The best two of the prompt, the one that was given, and a byte that is no character. */
    json_t *given = member(object, "choices.0.logprobs.top_logprobs.1");
    assert_int_equal(json_object_size(given), 3);
    assert_true(json_real_value(json_object_get(given, "z")) == -0.25);
    assert_true(json_real_value(json_object_get(given, "y")) == -2.0);
    assert_true(json_real_value(json_object_get(given, "bytes:\\xb6")) == -1.5);
    json_t *written = member(object, "choices.0.logprobs.top_logprobs.3");
    assert_true(json_real_value(json_object_get(written, "bytes:\\xd0")) == -0.5);
    assert_int_equal(json_object_size(written), 3);
    assert_string_equal(json_string_value(member(object, "choices.0.logprobs.tokens.3")),
                        "bytes:\\xd0");
    static const int offsets[] = {0, 1, 2, 3, 3};
    for (int i = 0; i < 5; i++) {
        json_t *list = member(object, "choices.0.logprobs.text_offset");
        assert_int_equal(json_integer_value(json_array_get(list, (size_t)i)), offsets[i]);
    }
    json_decref(object);
    response_free(response);
    token_log_clear(&log);
    request_clear(&r);
}

/* The events of a stream, however the log is cut, join to the whole answer. */
static void events_join_to_the_answer(void **state)
{
    (void)state;
    TokenLog all = {0};
    report(&all, 0, JOB_STOP);
    for (int64_t cut = 1; cut <= all.count; cut++) {
        Request r =
            parse(REQUEST_CHAT,
                  "{" MESSAGES ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
        Response *response = response_new(&r, &protocol);
        StrBuf out = {0}, text = {0};
        for (int64_t from = 0; from < all.count; from += cut) {
            TokenLog part = all;
            part.records += from;
            part.count = all.count - from < cut ? all.count - from : cut;
            response_take(response, &part);
            response_events(response, &out);
        }
        assert_true(response_closed(response));
        int roles = 0, usages = 0, finishes = 0, done = 0;
        char *rest = out.data, *line;
        while ((line = strsep(&rest, "\n")) != NULL) {
            if (!*line)
                continue;
            assert_memory_equal(line, "data: ", 6);
            if (strcmp(line + 6, "[DONE]") == 0) {
                done++;
                continue;
            }
            assert_int_equal(done, 0);
            json_t *object = json_loads(line + 6, 0, NULL);
            assert_non_null(object);
            json_t *choices = member(object, "choices");
            usages += json_is_object(member(object, "usage"));
            if (json_array_size(choices)) {
                json_t *delta = member(choices, "0.delta");
                strbuf_puts(&text, json_string_value(member(delta, "content")));
                roles += json_object_get(delta, "role") != NULL;
                finishes += json_is_string(member(choices, "0.finish_reason"));
            }
            json_decref(object);
        }
        assert_string_equal(text.data, "a\xD0\xB6\xEF\xBF\xBD");
        assert_int_equal(roles, 1);
        assert_int_equal(usages, 1);
        assert_int_equal(finishes, 1);
        assert_int_equal(done, 1);
        strbuf_clear(&out);
        strbuf_clear(&text);
        response_free(response);
        request_clear(&r);
    }
    token_log_clear(&all);
}

static void failures_are_told(void **state)
{
    (void)state;
    static const int statuses[] = {[JOB_CANCELLED] = 503, [JOB_TIMEOUT] = 504, [JOB_FAILED] = 500};
    for (int end = JOB_CANCELLED; end <= JOB_FAILED; end++) {
        Request r = parse(REQUEST_COMPLETION, "{\"prompt\":\"a\",\"stream\":true}");
        Response *response = response_new(&r, &protocol);
        TokenLog log = {0};
        StrBuf out = {0};
        ApiError error;
        token_log_end(&log, 0, (JobEnd)end, "the reason", end == JOB_FAILED ? 10 : 0);
        response_take(response, &log);
        assert_int_equal(response_failure(response, &error), statuses[end]);
        response_events(response, &out);
        assert_memory_equal(out.data, "data: {\"error\":{", 16);
        if (end == JOB_FAILED)
            assert_non_null(strstr(out.data, "the reason"));
        assert_true(response_closed(response));
        strbuf_clear(&out);
        response_free(response);
        token_log_clear(&log);
        request_clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_become_jobs),
        cmocka_unit_test(clients_of_other_servers_are_understood),
        cmocka_unit_test(histories_with_tools_are_read),
        cmocka_unit_test(templates_are_given_all_of_it),
        cmocka_unit_test(raw_prompts_may_hold_control_tokens),
        cmocka_unit_test(conversations_follow_their_template),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(answers_have_openais_form),
        cmocka_unit_test(echoes_have_the_prompts_scores),
        cmocka_unit_test(events_join_to_the_answer),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
