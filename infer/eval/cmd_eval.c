/* `cambium eval`: measures models on text and on tasks. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/corpus_options.h"
#include "infer/eval/bpb_table.h"
#include "infer/eval/result.h"
#include "infer/eval/items_header.h"
#include "infer/eval/recall.h"
#include "infer/eval/eval_words.h"
#include "infer/eval/written.h"
#include "infer/helix/helix.h"

typedef struct EvalSettings {
    char *tasks;
    StringList data;
    CorpusSettings corpus;
    char *split, *protocol, *lengths;
    int64_t depths, samples, shots, limit, seed, context, stride;
    char *rules;
    bool positions, experts, json, resume;
    char *out, *save_items;
    LoadSettings load;
    HelixSettings helix;
} EvalSettings;

#define AT(field) offsetof(EvalSettings, field)

static const Option eval_options[] = {
    {"tasks", OPTION_TEXT, AT(tasks), "LIST", "bpb",
     "what to measure, comma-separated: bpb, mmlu (or mmlu_SUBJECT, mmlu_CATEGORY), arc_easy, "
     "arc_challenge, openbookqa, commonsense_qa, boolq, copa, lambada_openai, squad, squad2, "
     "xquad_en, xquad_ru, xquad_zh, flores_SRC-TGT, ntrex_SRC-TGT (of en, ru, zh), passkey, needle",
     NULL, 0, NULL},
    {"data", OPTION_INPUTS, AT(data), "PATH", NULL,
     "a folder with the tasks' files (mmlu/, choice/, squad/, parallel/ or the files themselves); "
     "for bpb and needle, text, or a folder of it: documents separated by form feeds, or JSON "
     "lines; packed ones, too",
     NULL, 0, NULL},
    {"limit", OPTION_INT, AT(limit), "N", "0",
     "at most N questions of each task, subject or place of passkey and needle, N documents of "
     "each text (0: all)",
     NULL, 0, NULL},
    {"context", OPTION_INT, AT(context), "N", "0",
     "tokens that the model sees at most (0: what it was trained with)", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {"output", OPTION_OUTPUT, AT(out), "FILE", NULL, "also write the JSON to a file", NULL, 'o',
     NULL},
    {"shots", OPTION_INT, AT(shots), "K", "-1",
     "solved examples before every question (-1: as is usual, 5 for mmlu and translations, else "
     "none)",
     "-1..1000", 0, "Tasks"},
    {"seed", OPTION_INT, AT(seed), "N", "0", "which examples (0: the first ones), which numbers",
     NULL, 0, NULL},
    {"split", OPTION_CHOICE, AT(split), NULL, "test", "which questions of mmlu", "test|val|dev", 0,
     NULL},
    {"protocol", OPTION_CHOICE, AT(protocol), NULL, "log-probability",
     "author: mmlu, squad and squad2 as the growing-transformers line published them (sampled "
     "letters, answers' lengths given away); for comparison with those figures only",
     "log-probability|author", 0, NULL},
    {"save-items", OPTION_OUTPUT, AT(save_items), "FILE", NULL,
     "every prompt, its answers' log-probabilities and what came of it, as JSON lines", NULL, 0,
     NULL},
    {"resume", OPTION_FLAG, AT(resume), NULL, NULL,
     "go on from the --save-items file of a run that was interrupted", NULL, 0, NULL},
    {"lengths", OPTION_TEXT, AT(lengths), "LIST", "1K",
     "tokens of the prompts of passkey and needle, comma-separated: 1K,4K", NULL, 0, NULL},
    {"depths", OPTION_INT, AT(depths), "N", "5",
     "places in them where the number stands, from the beginning to the end", "1..10000", 0, NULL},
    {"samples", OPTION_INT, AT(samples), "N", "5", "prompts of each length and place", "1..1000000",
     0, NULL},
    {"stride", OPTION_INT, AT(stride), "N", "0",
     "tokens by which windows move on (0: half the context)", NULL, 0, "Bits per byte"},
    CORPUS_OPTIONS(EvalSettings, corpus),
    {"positions", OPTION_FLAG, AT(positions), NULL, NULL,
     "also by the number of tokens that stand before in the context", NULL, 0, NULL},
    {"experts", OPTION_FLAG, AT(experts), NULL, NULL,
     "also each expert of a merged model alone, and an oracle that picks the better one per "
     "document",
     NULL, 0, NULL},
    {"rules", OPTION_TEXT, AT(rules), "LIST", NULL,
     "merge rules to measure instead of the model's own: mean,bayes,...", NULL, 0, NULL},
    LOAD_OPTIONS(EvalSettings, load),
    HELIX_OPTIONS(EvalSettings, helix),
    {0},
};

/* All that is measured, of one model after the other. */
typedef struct EvalWork {
    const EvalSettings *settings;
    const char *path, *name; /* of the model */
    TaskRuns runs;
    bool bpb;
    StringList texts;  /* of bpb and needle */
    CorpusSkips skips; /* of the texts, under the last model */
    BpbTable table;
    TaskResult *results;
    int64_t n_results, capacity;
} EvalWork;

static Status measure_texts(EvalWork *work, Helix *helix, Err *err)
{
    const EvalSettings *s = work->settings;
    const LoadedModel *model = helix_model(helix);
    CorpusSkips skips = {0};
    BpbRequest request = {.paths = &work->texts,
                          .reading = corpus_options(&s->corpus, &skips),
                          .limit = s->limit,
                          .experts = s->experts,
                          .rules = s->rules,
                          .options = {.context = s->context,
                                      .stride = s->stride,
                                      .kv_dtype = model->kv_dtype,
                                      .budget = helix_budget(helix),
                                      .source = helix_source(helix)}};
    Status status = bpb_table_measure(&work->table, model, work->name, &request, err);
    work->skips = skips;
    return status;
}

static EvalProtocol protocol_of(const EvalSettings *s)
{
    return strcmp(s->protocol, "author") == 0 ? PROTOCOL_AUTHOR : PROTOCOL_LOGPROB;
}

static int64_t context_of(const EvalSettings *s, const LoadedModel *model)
{
    return s->context ? s->context : ensemble_context(model->ensemble);
}

/* The questions that are made for the model's tokenizer. */
static Status make_questions(EvalWork *work, const LoadedModel *model, Err *err)
{
    const EvalSettings *s = work->settings;
    RecallSettings recall = {.lengths = s->lengths,
                             .longest = context_of(s, model),
                             .depths = s->depths,
                             .samples = s->limit && s->limit < s->samples ? s->limit : s->samples,
                             .seed = s->seed};
    for (int64_t i = 0; i < work->runs.count; i++) {
        TaskRun *run = &work->runs.items[i];
        StrBuf haystack = {0};
        CorpusSkips skips = {0};
        CorpusOptions reading = corpus_options(&s->corpus, &skips);
        int64_t bytes;
        if (!task_is_made(run->task))
            continue;
        bool needle = run->task->kind == TASK_NEEDLE;
        recall.haystack = needle ? &haystack : NULL;
        question_groups_clear(&run->groups);
        Status status = recall_haystack_bytes(s->lengths, &bytes, err);
        if (status == STATUS_OK && needle)
            status = recall_haystack(&haystack, &work->texts, &reading, bytes, err);
        work->skips = skips;
        if (status == STATUS_OK)
            status = recall_make(&run->groups, &recall, model->tokenizer, err);
        strbuf_clear(&haystack);
        TRY(status);
    }
    return STATUS_OK;
}

static Status answer_tasks(EvalWork *work, Helix *helix, ItemsFile *items, Err *err)
{
    const EvalSettings *s = work->settings;
    const LoadedModel *model = helix_model(helix);
    RunnerSource *source = helix_source(helix);
    bool author = protocol_of(s) == PROTOCOL_AUTHOR; /* which stops at nothing */
    bool *ends = author ? NULL : line_ends_new(model->tokenizer);
    ScorerOptions scorer_options = {.ends = ends,
                                    .kv_dtype = model->kv_dtype,
                                    .budget = helix_budget(helix),
                                    .source = source,
                                    .ranks = helix_ranks(helix),
                                    .page_size = source ? s->helix.block : 0};
    AnswerOptions options = {.tokenizer = model->tokenizer,
                             .context = context_of(s, model),
                             .items = items,
                             .seed = s->seed};
    Scorer *scorer = scorer_new(model->ensemble, &scorer_options);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < work->runs.count && status == STATUS_OK; i++) {
        const TaskRun *run = &work->runs.items[i];
        if (run->task->kind == TASK_BPB)
            continue;
        int64_t total = question_groups_total(&run->groups);
        Outcome *outcomes = xcalloc((size_t)total, sizeof *outcomes);
        status = answer_task(run, scorer, &options, outcomes, err);
        options.first += total;
        if (status == STATUS_OK) {
            work->results = mem_grow(work->results, &work->capacity, work->n_results + 1,
                                     sizeof *work->results);
            TaskResult *result = &work->results[work->n_results++];
            status = task_result_make(result, run, work->name, outcomes, err);
            result->layers = model->ensemble->experts[0]->config.n_layers;
        }
        outcomes_clear(outcomes, total);
        free(outcomes);
    }
    scorer_free(scorer);
    free(ends);
    return status;
}

/* What the items file says of the run: everything that its numbers follow from. */
static Status open_items(const EvalWork *work, const Helix *helix, ItemsFile **items, Err *err)
{
    const EvalSettings *s = work->settings;
    *items = NULL;
    if (!s->save_items)
        return STATUS_OK;
    ItemsSettings settings = {.model_path = work->path,
                              .model_name = work->name,
                              .runs = &work->runs,
                              .model = helix_model(helix),
                              .weights = s->load.weights,
                              .rope = &s->load.rope,
                              .ranks = helix_ranks(helix),
                              .grid = s->helix.grid,
                              .context = s->context,
                              .limit = s->limit,
                              .seed = s->seed,
                              .split = s->split,
                              .protocol = protocol_of(s)};
    json_t *header;
    TRY(items_header(&header, &settings, err));
    Status status = items_open(items, s->save_items, header, s->resume, err);
    json_decref(header);
    return status;
}

static Status eval_with(void *context, Helix *helix, Err *err)
{
    EvalWork *work = context;
    ItemsFile *items;
    TRY(make_questions(work, helix_model(helix), err));
    TRY(open_items(work, helix, &items, err));
    Status status = answer_tasks(work, helix, items, err);
    if (status == STATUS_STOPPED && items)
        log_info("stopped; the same command with --resume goes on");
    Err closing;
    if (items_close(items, &closing) != STATUS_OK && status == STATUS_OK) {
        *err = closing;
        status = STATUS_FAIL;
    }
    if (status == STATUS_OK && work->bpb)
        status = measure_texts(work, helix, err);
    return status;
}

static Status report(const EvalWork *work, Err *err)
{
    const EvalSettings *s = work->settings;
    json_t *rows = work->bpb ? bpb_table_json(&work->table, s->positions) : json_array();
    for (int64_t i = 0; i < work->n_results; i++)
        json_array_append_new(rows, task_result_json(&work->results[i]));
    if (!s->json && work->bpb)
        bpb_table_print(&work->table);
    if (!s->json && work->bpb && s->positions)
        bpb_table_print_places(&work->table);
    if (!s->json)
        task_results_print(work->results, work->n_results);
    char *text = json_dumps(rows, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
    if (s->json)
        puts(text);
    Status status = s->out ? file_write(s->out, text, strlen(text), err) : STATUS_OK;
    free(text);
    json_decref(rows);
    return status;
}

static Status check_rules(const char *rules, Err *err)
{
    char *list = xstrdup(rules), *rest = list, *word;
    MergeRule rule;
    Status status = STATUS_OK;
    while (status == STATUS_OK && (word = strsep(&rest, ",")) != NULL)
        status = err_of_usage(merge_rule_parse(word, &rule, err), err);
    free(list);
    return status;
}

static Status check_settings(const EvalSettings *s, int64_t n_models, Err *err)
{
    if (s->limit < 0 || s->context < 0 || s->stride < 0 || s->seed < 0)
        return err_usage(err, "--limit, --context, --stride and --seed are 0 or more");
    if (s->context == 1 || s->context > INT32_MAX)
        return err_usage(err, "--context is from 2 to %d", INT32_MAX);
    if (s->resume && !s->save_items)
        return err_usage(err, "--resume goes on from a file: name it with --save-items");
    if (s->save_items && n_models > 1)
        return err_usage(err, "--save-items holds the answers of one model; measure one at a time");
    for (int64_t i = 0; i < s->data.count && n_models > 1; i++)
        if (strcmp(s->data.items[i], "-") == 0)
            return err_usage(err,
                             "--data -: standard input can be read once; measure one model at a "
                             "time, or name a file");
    if (s->rules)
        TRY(check_rules(s->rules, err));
    if (s->out)
        TRY(file_check_target(s->out, err));
    if (n_models > 1 && comm_launch().size > 1)
        return err_usage(err, "under mpirun one model is measured at a time");
    return STATUS_OK;
}

/* The tasks' questions, and the texts: what of --data no task took. */
static Status read_data(EvalWork *work, Err *err)
{
    const EvalSettings *s = work->settings;
    TaskSettings settings = {.names = s->tasks,
                             .data = &s->data,
                             .split = s->split,
                             .shots = s->shots,
                             .limit = s->limit,
                             .seed = s->seed,
                             .protocol = protocol_of(s)};
    TRY(task_runs_read(&work->runs, &settings, err));
    const char *reader = NULL; /* of texts */
    bool others = false;
    for (int64_t i = 0; i < work->runs.count; i++) {
        const Task *task = work->runs.items[i].task;
        work->bpb |= task->kind == TASK_BPB;
        others |= task->kind != TASK_BPB;
        reader = task_wants_text(task) ? task->name : reader;
    }
    if (!work->bpb && (s->experts || s->rules || s->positions))
        return err_usage(err,
                         "--experts, --rules and --positions are for bpb, which --tasks does not "
                         "name");
    if (s->save_items && !others)
        return err_usage(err, "--save-items is for tasks with questions, which bpb has not");
    for (int64_t d = 0; d < s->data.count && reader; d++) {
        bool taken = false;
        for (int64_t i = 0; i < work->runs.count; i++)
            taken |= work->runs.items[i].source == d;
        if (!taken)
            string_list_add(&work->texts, s->data.items[d]);
    }
    if (reader && work->texts.count == 0)
        return err_usage(err, "%s wants text: --data FILE", reader);
    work->table = bpb_table_new(work->texts.count);
    return STATUS_OK;
}

static Status eval_run(const void *settings, const StringList *models, Err *err)
{
    EvalWork work = {.settings = settings};
    const EvalSettings *s = settings;
    Status status = check_settings(s, models->count, err);
    if (status == STATUS_OK)
        status = read_data(&work, err);
    if (status == STATUS_OK && s->out)
        status = file_check_target(s->out, err); /* now that the files are known */
    for (int64_t m = 0; m < models->count && status == STATUS_OK; m++) {
        work.path = models->items[m];
        /* Several runs all end in model.h5: then the path tells them apart. */
        work.name = models->count > 1 ? work.path : file_base_name(work.path);
        HelixSettings helix = s->helix;
        LoadSettings load = s->load;
        load.rope.context = helix.grid_context = s->context;
        status = helix_use(work.path, &load, &helix, eval_with, &work, err);
    }
    corpus_skips_tell(&work.skips);
    /* A process that followed measured nothing. */
    if (status == STATUS_OK && (work.table.n_rows > 0 || work.n_results > 0))
        status = report(&work, err);
    for (int64_t i = 0; i < work.n_results; i++)
        task_result_clear(&work.results[i]);
    free(work.results);
    bpb_table_clear(&work.table);
    string_list_clear(&work.texts);
    task_runs_clear(&work.runs);
    return status;
}

const Verb verb_eval = {
    .name = "eval",
    .summary = "measure models: tasks with questions, bits per byte of text",
    .positionals = "MODEL...",
    .positionals_min = 1,
    .positionals_max = -1,
    .details =
        "Questions are asked as lm-evaluation-harness asks them, and the answer with the largest "
        "log-probability counts (per byte: divided by its length). +- is one standard error; a "
        "merged model answers by its own rule. "
        "For bpb, every document is scored on its own, after an end token, and its own closing end "
        "token does not count. (The evaluation while training counts the same way: its figures are "
        "those of --context ROW on the texts of the validation split.)",
    .examples =
        {
            "eval ru/model.h5 --data ru.heldout.txt",
            "eval both.h5 --experts --rules mean,bayes --data ru.heldout.txt --data zh.heldout.txt",
            "eval model.h5 --tasks mmlu,arc_easy --data data -o results.json --save-items "
            "items.jsonl",
        },
    .options = eval_options,
    .settings_size = sizeof(EvalSettings),
    .run = eval_run,
    .second_words = eval_words,
};
