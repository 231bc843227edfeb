/* The law of folders: what is exported, loaded and saved by `transformers`, and imported again is
 * what it was, to the last bit, for every family that is read and for this program's own models.
 * PYTHON names a Python with torch and transformers; without it the step through them is left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/compare.h"
#include "core/io/hf_export.h"
#include "core/io/model_import.h"
#include "core/io/picture_basis.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

static TokenizerSpec spec;
static char *exported, *saved, *made; /* folders of folders */

static void give_hash(Substrate *substrate)
{
    Err err;
    const Tensor *table = &substrate->table;
    void *values = xmalloc(tensor_bytes(table));
    ASSERT_OK(device_download(tiny_device(), table, values, &err));
    Sha256 hash = table_hash(values, table->dtype, tensor_count(table));
    hash_text(&hash, substrate->hash);
    free(values);
}

/* ---- models ---------------------------------------------------------------------------------- */

static char *model_file(const char *name)
{
    char *file = xasprintf("%s.h5", name);
    char *path = xstrdup(folder_path(file));
    free(file);
    return path;
}

static Status put_pictures(void *context, ContainerWriter *writer, Err *err)
{
    (void)context;
    enum { SIDE = 4, KEPT = 3, ROWS = 97 };
    float values[ROWS + KEPT * SIDE * SIDE];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = 0.25f * (float)(i % 13) / 3.0f;
    PictureBasis basis = {SIDE, KEPT, ROWS, values + 1, values + 2, values + 5};
    return picture_basis_put(writer, &basis, err);
}

static void save_model(const char *name, Ensemble *ensemble, json_t *recipe)
{
    Err err;
    char *path = model_file(name);
    json_t *histories[2] = {json_pack("[{s:s, s:i}]", "stage", "grow", "steps", 7),
                            json_pack("[{s:s, s:f}]", "stage", "train", "loss", 1.0 / 3.0)};
    CheckpointSave save = {.path = path,
                           .ensemble = ensemble,
                           .tokenizer = &spec,
                           .histories = histories,
                           .recipe = recipe,
                           .extra = recipe ? put_pictures : NULL};
    ASSERT_OK(checkpoint_save(&save, &err));
    json_decref(histories[0]);
    json_decref(histories[1]);
    json_decref(recipe);
    ensemble_free(ensemble);
    free(path);
}

static ModelConfig family_config(void)
{
    ModelConfig c = tiny_config();
    c.norm = NORM_RMS;
    c.act = ACT_SWIGLU;
    c.bias_qkv = c.bias_out = c.bias_ffn = c.bias_head = c.norm_bias = false;
    return c;
}

static void save_one(const char *name, ModelConfig config)
{
    Model *model = tiny_model(&config, DTYPE_F32, 1, 2);
    if (config.embedding != EMBEDDING_LEARNED)
        give_hash(&model->substrate);
    json_t *recipe = config.embedding == EMBEDDING_LEARNED
                         ? NULL
                         : json_pack("{s:s, s:i}", "name", "glyph", "size", 16);
    save_model(name, tiny_ensemble(&model, 1, MERGE_MEAN), recipe);
}

static void save_two(const char *name, MergeRule rule)
{
    Err err;
    ModelConfig c = tiny_config(), deeper = family_config();
    deeper.n_layers = 3;
    Model *models[2] = {tiny_model(&c, DTYPE_F32, 1, 2), NULL};
    give_hash(&models[0]->substrate);
    ModelOptions options = {.device = tiny_device(), .shared = &models[0]->substrate};
    ASSERT_OK(model_new(&models[1], &deeper, &options, &err));
    for (int64_t l = 0; l < 3; l++)
        ASSERT_OK(model_start_block(models[1], l, BLOCK_START_RANDOM, 9, &err));
    ASSERT_OK(model_start_head(models[1], 9, &err));
    Ensemble *two = tiny_ensemble(models, 2, rule);
    two->weights = xcalloc(2, sizeof *two->weights);
    two->weights[0] = 0.3f, two->weights[1] = 0.7f;
    two->forget = 0.03f;
    if (rule == MERGE_ADAPTER)
        two->adapter = (MergeAdapter){.top = 3, .hidden = 4};
    float **parts[] = {&two->adapter.w1, &two->adapter.b1, &two->adapter.w2, &two->adapter.b2};
    static const int sizes[] = {24, 4, 8, 2};
    for (int p = 0; p < 4 && rule == MERGE_ADAPTER; p++) {
        *parts[p] = xcalloc((size_t)sizes[p], sizeof(float));
        for (int i = 0; i < sizes[p]; i++)
            (*parts[p])[i] = 0.1f * (float)((i * 7 + p) % 11 - 5);
    }
    save_model(name, two, NULL);
}

/* Learned tables, which the family has as they are. */
static ModelConfig learned(ModelConfig c)
{
    c.embedding = EMBEDDING_LEARNED;
    c.n_embed = c.d_model;
    return c;
}

static const char *const own_names[] = {"own_glyph", "own_narrow",   "own_codes",   "own_learned",
                                        "own_tied",  "mean",         "weighted",    "bayes",
                                        "adapter",   "family_plain", "family_tied", "family_qwen"};
/* transformers gives every Qwen2 the tokenizer of the published ones: the last stays out. */
enum { OWN = sizeof own_names / sizeof *own_names, THROUGH = OWN - 1 };

static void save_own_models(void)
{
    ModelConfig narrow = tiny_config(), codes = tiny_config(), tied = learned(tiny_config()),
                qwen = learned(family_config()), family_tied = learned(family_config());
    narrow.n_embed = narrow.d_model / 2;
    narrow.embed_scale = 2.5;
    codes.embedding = EMBEDDING_CODES;
    codes.bias_qkv = true;
    tied.tied_head = family_tied.tied_head = true;
    qwen.bias_qkv = true;
    save_one("own_glyph", tiny_config());
    save_one("own_narrow", narrow);
    save_one("own_codes", codes);
    save_one("own_learned", learned(tiny_config()));
    save_one("own_tied", tied);
    save_two("mean", MERGE_MEAN);
    save_two("weighted", MERGE_WEIGHTED);
    save_two("bayes", MERGE_BAYES);
    save_two("adapter", MERGE_ADAPTER);
    save_one("family_plain", learned(family_config()));
    save_one("family_tied", family_tied);
    save_one("family_qwen", qwen);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void export_to(const char *name, const char *folder, BlockType type)
{
    Err err;
    const char *architecture;
    char *path = model_file(name), *to = file_join(folder, name);
    HfExport args = {.path = path, .folder = to, .device = tiny_device(), .type = type};
    ASSERT_OK(hf_export(&args, &architecture, &err));
    free(path);
    free(to);
}

static void import_from(const char *name, const char *folder, const char *file)
{
    Err err;
    char *path = model_file(file), *from = file_join(folder, name);
    ASSERT_OK(hf_import(from, NULL, path, &err));
    free(path);
    free(from);
}

/* No dataset differs, /meta and /tokenizer/spec among them. */
static void assert_same(const char *name, const char *first, const char *second)
{
    Err err;
    Container *a, *b;
    DifferenceList list;
    char *one = model_file(first), *other = model_file(second);
    ASSERT_OK(container_open(&a, one, &err));
    ASSERT_OK(container_open(&b, other, &err));
    ASSERT_OK(containers_compare(a, b, 0.0, &list, &err));
    if (list.count > 0 && list.items[0].kind == DIFFERENCE_TEXT) {
        const char *x, *y;
        ASSERT_OK(container_text(a, list.items[0].path, &x, &err));
        ASSERT_OK(container_text(b, list.items[0].path, &y, &err));
        size_t at = 0;
        while (x[at] == y[at])
            at++;
        at = at > 40 ? at - 40 : 0;
        fail_msg("%s: %s: %.200s\n... against ...\n%.200s", name, list.items[0].path, x + at,
                 y + at);
    }
    if (list.count > 0)
        fail_msg("%s: %s differs", name, list.items[0].path);
    free(list.items);
    container_close(a);
    container_close(b);
    free(one);
    free(other);
}

/* Runs the script with arguments, which are taken; skips where the Python packages are missing. */
static void run_python(char *arguments)
{
    const char *python = getenv("PYTHON");
    char *command = xasprintf("%s tests/golden/check_hf_round_trip.py %s",
                              python ? python : "python3", arguments);
    int result = system(command);
    free(command);
    free(arguments);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == 3 || WEXITSTATUS(result) == 127) {
        print_message("SKIP: transformers is not installed for %s\n", python ? python : "python3");
        skip();
    }
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void through_transformers(const char *const *names, int64_t n)
{
    StrBuf arguments = {0};
    strbuf_printf(&arguments, "save %s", saved);
    for (int64_t i = 0; i < n; i++)
        strbuf_printf(&arguments, " %s/%s", exported, names[i]);
    run_python(strbuf_detach(&arguments));
}

/* ---- laws ------------------------------------------------------------------------------------ */

static void own_models_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < OWN; i++) {
        export_to(own_names[i], exported, BLOCK_F32);
        import_from(own_names[i], exported, "back");
        assert_same(own_names[i], own_names[i], "back");
    }
}

static void rounding_happens_once(void **state)
{
    (void)state;
    static const BlockType types[] = {BLOCK_BF16, BLOCK_F16};
    for (int i = 0; i < OWN; i++) {
        for (int t = 0; t < 2; t++) {
            export_to(own_names[i], exported, types[t]);
            import_from(own_names[i], exported, "first");
            export_to("first", exported, types[t]);
            import_from("first", exported, "second");
            assert_same(own_names[i], "first", "second");
        }
    }
}

/* transformers trains the table too, unless it is told not to. */
static void a_table_that_was_trained_is_learned(void **state)
{
    (void)state;
    Err err;
    export_to("own_narrow", exported, BLOCK_F32);
    char *weights = xasprintf("%s/own_narrow/model.safetensors", exported);
    StrBuf content = {0};
    ASSERT_OK(file_read(weights, 0, &content, &err));
    /* The table is the first tensor behind the header. */
    uint64_t header;
    memcpy(&header, content.data, sizeof header);
    float changed = 0.5f;
    memcpy(content.data + 8 + header, &changed, sizeof changed);
    ASSERT_OK(file_write(weights, content.data, (size_t)content.size, &err));
    strbuf_clear(&content);
    free(weights);
    import_from("own_narrow", exported, "tuned");

    Container *container;
    CheckpointInfo info;
    char *path = model_file("tuned");
    ASSERT_OK(container_open(&container, path, &err));
    ASSERT_OK(checkpoint_info_read(container, &info, &err));
    assert_int_equal(info.experts[0].config.embedding, EMBEDDING_LEARNED);
    assert_string_equal(info.table.hash, "");
    checkpoint_info_clear(&info);
    container_close(container);
    Ensemble *ensemble;
    LoadOptions options = {.device = tiny_device(), .compute = DTYPE_F32, .weights = DTYPE_F32};
    ASSERT_OK(ensemble_load(&ensemble, NULL, path, &options, &err));
    ensemble_free(ensemble);
    free(path);
}

static void own_models_come_back_from_transformers(void **state)
{
    (void)state;
    static const BlockType types[] = {BLOCK_F32, BLOCK_BF16};
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < THROUGH; i++)
            export_to(own_names[i], exported, types[t]);
        through_transformers(own_names, THROUGH);
        for (int i = 0; i < THROUGH; i++) {
            import_from(own_names[i], exported, "before");
            import_from(own_names[i], saved, "after");
            assert_same(own_names[i], "before", "after");
            if (types[t] == BLOCK_F32)
                assert_same(own_names[i], own_names[i], "after");
        }
    }
}

static void models_of_transformers_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"llama",           "llama_biases", "llama_tied",
                                        "llama_linear",    "llama_llama3", "llama_yarn",
                                        "llama_yarn_fast", "llama_half",   "mistral",
                                        "mistral_window",  "qwen2",        "qwen2_tied"};
    enum { N = sizeof names / sizeof *names };
    run_python(xasprintf("make %s", made));
    for (int i = 0; i < N; i++) {
        import_from(names[i], made, names[i]);
        export_to(names[i], exported, strstr(names[i], "half") ? BLOCK_BF16 : BLOCK_F32);
    }
    through_transformers(names, N);
    for (int i = 0; i < N; i++) {
        import_from(names[i], saved, "after");
        assert_same(names[i], names[i], "after");
    }
}

static int set_up(void **state)
{
    folder_set_up(state);
    spec_start(&spec);
    for (char c = ' '; c < ' ' + 90; c++)
        spec_text(&spec, (char[]){c, '\0'});
    exported = xstrdup(folder_path("exported"));
    saved = xstrdup(folder_path("saved"));
    made = xstrdup(folder_path("made"));
    save_own_models();
    return 0;
}

static int tear_down(void **state)
{
    tokenizer_spec_clear(&spec);
    free(exported);
    free(saved);
    free(made);
    return folder_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_models_come_back),
        cmocka_unit_test(rounding_happens_once),
        cmocka_unit_test(a_table_that_was_trained_is_learned),
        cmocka_unit_test(own_models_come_back_from_transformers),
        cmocka_unit_test(models_of_transformers_come_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
