/* `cambium infer`: continues text, for prompts on the command line, from stdin, or in a chat. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/text/chat_prompt.h"
#include "infer/chat.h"
#include "infer/helix/helix.h"

typedef struct InferSettings {
    StringList prompts, stops;
    char *prompts_file, *chat_template, *system, *save_kv, *save_kv_at, *load_kv;
    bool chat, echo, json, ignore_end, specials;
    int64_t max_tokens, batch, context, seed, top_k, repetition_window;
    double temperature, top_p, min_p, repetition_penalty;
    LoadSettings load;
    HelixSettings helix;
    const char *model; /* the file */
} InferSettings;

#define AT(field) offsetof(InferSettings, field)

static const Option infer_options[] = {
    {"prompt", OPTION_LIST, AT(prompts), "TEXT", NULL,
     "text to continue; may be given several times (none: standard input, without its last line "
     "break)",
     NULL, 'p', NULL},
    {"prompts", OPTION_INPUT, AT(prompts_file), "FILE", NULL, "a file with one prompt per line",
     NULL, 0, NULL},
    {"chat", OPTION_FLAG, AT(chat), NULL, NULL,
     "interactive: a conversation in the model's chat template; without one your lines and the "
     "model's continuations make one text",
     NULL, 0, NULL},
    {"chat-template", OPTION_INPUT, AT(chat_template), "NAME", "auto",
     "form of a conversation: auto (the model's own), none, a file with a Jinja template, or one "
     "of "
     "chatml, llama2, llama3, ... (another name lists them)",
     NULL, 0, NULL},
    {"system", OPTION_TEXT, AT(system), "TEXT", NULL,
     "what a conversation begins with, instead of the template's own", NULL, 0, NULL},
    {"echo", OPTION_FLAG, AT(echo), NULL, NULL, "print the prompt before its continuation", NULL, 0,
     NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print one JSON object per prompt", NULL, 0, NULL},
    {"max-tokens", OPTION_INT, AT(max_tokens), "N", "128", "tokens to write at most", NULL, 'n',
     NULL},
    {"temperature", OPTION_REAL, AT(temperature), "X", "0.8",
     "0: always the most probable token; above 1: wilder", "0..1e6", 0, "Sampling"},
    {"top-k", OPTION_INT, AT(top_k), "N", "0", "only the N most probable tokens (0: all)", NULL, 0,
     NULL},
    {"top-p", OPTION_REAL, AT(top_p), "X", "0.95",
     "only the most probable tokens that add up to X (1: all)", NULL, 0, NULL},
    {"min-p", OPTION_REAL, AT(min_p), "X", "0",
     "only tokens at least X times as probable as the best", NULL, 0, NULL},
    {"repetition-penalty", OPTION_REAL, AT(repetition_penalty), "X", "1",
     "divides the chances of recent tokens (1: off)", "1e-6..1e6", 0, NULL},
    {"repetition-window", OPTION_INT, AT(repetition_window), "N", "64",
     "how many recent tokens that means", NULL, 0, NULL},
    {"seed", OPTION_INT, AT(seed), "S", "0",
     "the same seed gives the same text (of several prompts each has the next seed)", NULL, 0,
     NULL},
    {"stop", OPTION_LIST, AT(stops), "TEXT", NULL,
     "end before this text; may be given several times", NULL, 0, NULL},
    {"ignore-end", OPTION_FLAG, AT(ignore_end), NULL, NULL, "go on after an end token", NULL, 0,
     NULL},
    {"specials", OPTION_FLAG, AT(specials), NULL, NULL,
     "names of special tokens and of a chat's marks in the prompt mean those tokens", NULL, 0,
     NULL},
    {"context", OPTION_INT, AT(context), "N", "0",
     "tokens of prompt and text together, at which it ends (0: what is needed)", NULL, 0, NULL},
    {"batch", OPTION_INT, AT(batch), "N", "16", "prompts to work on at a time", NULL, 0, NULL},
    {"save-kv", OPTION_OUTPUT, AT(save_kv), "FILE", NULL,
     "write the text's KV cache to FILE, for --load-kv (one prompt)", NULL, 0, "KV snapshots"},
    {"save-kv-at", OPTION_CHOICE, AT(save_kv_at), NULL, "prompt",
     "when: as soon as the prompt is read, or at the end with what was written", "prompt|end", 0,
     NULL},
    {"load-kv", OPTION_TEXT, AT(load_kv), "FILE", NULL,
     "go on from the text of a snapshot of this model, with any number of ranks; a prompt is added "
     "to it",
     NULL, 0, NULL},
    LOAD_OPTIONS(InferSettings, load),
    HELIX_OPTIONS(InferSettings, helix),
    {0},
};

static Sampling sampling_of(const InferSettings *s)
{
    return (Sampling){.temperature = s->temperature,
                      .top_p = s->top_p,
                      .min_p = s->min_p,
                      .repetition_penalty = s->repetition_penalty,
                      .repetition_window = s->repetition_window,
                      .top_k = s->top_k,
                      .seed = (uint64_t)s->seed};
}

static CompletionOptions options_of(const InferSettings *s, Helix *helix)
{
    return (CompletionOptions){.sampling = sampling_of(s),
                               .max_tokens = s->max_tokens,
                               .max_sequences = s->batch,
                               .max_positions = s->context,
                               .stops = &s->stops,
                               .ignore_end = s->ignore_end,
                               .specials = s->specials,
                               .kv_dtype = helix_model(helix)->kv_dtype,
                               .budget = helix_budget(helix),
                               .source = helix_source(helix)};
}

static Status check_settings(const InferSettings *s, Err *err)
{
    Sampling sampling = sampling_of(s);
    TRY(sampling_check(&sampling, err));
    if (s->max_tokens < 1 || s->max_tokens > INT32_MAX)
        return err_usage(err, "--max-tokens is between 1 and %d", INT32_MAX);
    if (s->batch < 1 || s->repetition_window < 0 || s->context < 0)
        return err_usage(err,
                         "--batch is at least 1, --repetition-window and --context are 0 or more");
    if (s->system && !s->chat)
        return err_usage(err, "--system belongs to a conversation; add --chat");
    if (s->chat && (s->save_kv || s->load_kv))
        return err_usage(err, "--save-kv and --load-kv are for one prompt; leave --chat out");
    if (s->context > INT32_MAX || s->batch > INT32_MAX)
        return err_usage(err, "--batch and --context are at most %d", INT32_MAX);
    return STATUS_OK;
}

enum { PROMPTS_BYTES = 1 << 28 };

/* Prompts from the command line, a file, or all of standard input. */
static Status gather_prompts(const InferSettings *s, StringList *out, Err *err)
{
    for (int64_t i = 0; i < s->prompts.count; i++)
        string_list_add(out, s->prompts.items[i]);
    StrBuf text = {0};
    Status status = STATUS_OK;
    if (s->prompts_file) {
        status = file_read(s->prompts_file, PROMPTS_BYTES, &text, err);
        char *rest = text.data, *line;
        while (status == STATUS_OK && rest && (line = strsep(&rest, "\n")) != NULL)
            if (*line)
                string_list_add(out, line);
    } else if (s->prompts.count == 0 && s->load_kv) {
        string_list_add(out, "");
    } else if (s->prompts.count == 0) {
        status = file_read("-", PROMPTS_BYTES, &text, err);
        if (status == STATUS_OK && text.size && memchr(text.data, '\0', (size_t)text.size))
            status = err_set(err, "standard input holds a zero byte; a prompt is text");
        if (status == STATUS_OK && text.size && text.data[text.size - 1] == '\n')
            text.data[text.size - 1] = '\0';
        if (status == STATUS_OK)
            string_list_add(out, text.data ? text.data : "");
    }
    strbuf_clear(&text);
    if (status == STATUS_OK && out->count == 0)
        status = err_set(err, "%s holds no prompt", s->prompts_file);
    return status;
}

static void print_json(const Completion *c, const Ensemble *ensemble)
{
    json_t *tokens = json_array(), *logprobs = json_array(), *weights = json_array();
    for (int64_t i = 0; i < c->ids.count; i++) {
        json_array_append_new(tokens, json_integer(c->ids.items[i]));
        json_array_append_new(logprobs, json_real((double)c->logprobs[i]));
        json_t *row = json_array();
        for (int64_t e = 0; e < ensemble->n_experts && c->weights; e++)
            json_array_append_new(row, json_real((double)c->weights[i * ensemble->n_experts + e]));
        json_array_append_new(weights, row);
    }
    json_t *prompt = json_string(c->prompt);
    json_t *object =
        json_pack("{s:o, s:s%, s:I, s:o, s:o, s:s}", "prompt", prompt ? prompt : json_null(),
                  "text", c->text.data ? c->text.data : "", (size_t)c->text.size, "prompt_tokens",
                  (json_int_t)c->n_prompt, "tokens", tokens, "logprobs", logprobs, "finish",
                  finish_name(c->finish));
    if (c->weights)
        json_object_set(object, "expert_weights", weights);
    json_decref(weights);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(7));
    puts(text);
    free(text);
    json_decref(object);
}

static void log_times(const Helix *helix)
{
    HelixTimes t = helix_times(helix);
    HelixGrid grid = helix_grid(helix);
    char text[64];
    helix_grid_text(&grid, text, sizeof text);
    log_debug("%s: %.3f s in layers, %.3f of them attending, %.3f waiting for the exchange, %.3f "
              "in sums over ranks (rank 0)",
              text, t.steps, t.attention, t.exposed, t.reduce);
}

static Status run_prompts(const InferSettings *s, Helix *helix, Err *err)
{
    const LoadedModel *model = helix_model(helix);
    StringList prompts = {0};
    Status status = gather_prompts(s, &prompts, err);
    int64_t n = prompts.count;
    Completion *completions = xcalloc((size_t)n, sizeof *completions);
    for (int64_t i = 0; i < n; i++)
        completions[i].prompt = prompts.items[i];
    CompletionOptions options = options_of(s, helix);
    CompletionKv kv = {s->model, s->load_kv, s->save_kv, strcmp(s->save_kv_at, "end") == 0};
    if (kv.load || kv.save)
        options.kv = &kv;
    if (options.kv && n > 1)
        status =
            err_usage(err, "--save-kv and --load-kv are for one prompt, and here are %" PRId64, n);
    bool streams = n == 1 && !s->json;
    if (streams) {
        options.write = completion_print;
        if (s->echo)
            fputs(prompts.items[0], stdout);
    }
    CompletionRates rates = {0};
    if (status == STATUS_OK)
        status = complete(model->ensemble, model->tokenizer, &options, completions, n, &rates, err);
    for (int64_t i = 0; i < n && status != STATUS_FAIL; i++) {
        if (s->json)
            print_json(&completions[i], model->ensemble);
        else if (streams)
            putchar('\n');
        else
            printf("%s%s%s\n", i ? "\n" : "", s->echo ? completions[i].prompt : "",
                   completions[i].text.data ? completions[i].text.data : "");
    }
    if (status == STATUS_OK)
        log_debug("%" PRId64 " prompt tokens and %" PRId64 " new ones in %.2f s (%.1f tokens/s)",
                  rates.prompt_tokens, rates.new_tokens, rates.seconds,
                  (double)rates.new_tokens / fmax(rates.seconds, 1e-9));
    if (status == STATUS_OK && helix_source(helix))
        log_times(helix);
    for (int64_t i = 0; i < n; i++)
        completion_clear(&completions[i]);
    free(completions);
    string_list_clear(&prompts);
    return status;
}

static Status converse(const InferSettings *s, Helix *helix, Err *err)
{
    const LoadedModel *model = helix_model(helix);
    ChatTemplate *chat;
    TRY(chat_prompt_choose(&chat, s->chat_template, model->tokenizer, err));
    ChatOptions options = {chat, s->system, options_of(s, helix)};
    Status status;
    if (chat && chat_template_problem(chat))
        status = err_set(err, "%s", chat_template_problem(chat));
    else if (s->system && !chat)
        status = err_set(err, "--system needs a chat template, which this model does not bring; "
                              "name one by --chat-template");
    else
        status = chat_run(&options, model, err);
    chat_prompt_free(chat);
    return status;
}

static Status infer_with(void *context, Helix *helix, Err *err)
{
    const InferSettings *s = context;
    bool asks = s->prompts.count == 0 && !s->prompts_file && !s->load_kv && isatty(STDIN_FILENO);
    return s->chat || asks ? converse(s, helix, err) : run_prompts(s, helix, err);
}

static Status infer_run(const void *settings, const StringList *positionals, Err *err)
{
    InferSettings s = *(const InferSettings *)settings;
    TRY(check_settings(&s, err));
    s.model = positionals->items[0];
    s.load.rope.context = s.helix.grid_context = s.context;
    s.helix.grid_batch = s.prompts_file || s.prompts.count > s.batch ? s.batch : s.prompts.count;
    return helix_use(positionals->items[0], &s.load, &s.helix, infer_with, &s, err);
}

const Verb verb_infer = {
    .name = "infer",
    .summary = "continue text with a model, grown, merged or imported",
    .positionals = "MODEL",
    .positionals_min = 1,
    .positionals_max = 1,
    .examples =
        {
            "infer both.h5 -p 'Чтобы открыть' --max-tokens 40 --temperature 0.7 --seed 1 --echo",
            "infer both.h5 --chat",
            "infer long.h5 --prompts questions.txt --ranks 4 --grid kvp=2,tpa=2",
            "infer long.h5 -p \"$(cat book.txt)\" --save-kv book.kv",
        },
    .options = infer_options,
    .settings_size = sizeof(InferSettings),
    .run = infer_run,
};
