/* Exported folders: what comes back through import is what went out, and `transformers`, where it
 * is installed, computes the same logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/io/compare.h"
#include "core/io/hf_export.h"
#include "core/io/model_import.h"
#include "core/io/npy.h"
#include "core/io/safetensors.h"
#include "core/io/table_export.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/model_logits.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

enum { POSITIONS = 30 };

static TokenizerSpec spec;
static char *model_path, *folder, *logits_path;

static ModelConfig family_config(void)
{
    ModelConfig c = tiny_config();
    c.norm = NORM_RMS;
    c.act = ACT_SWIGLU;
    c.bias_qkv = c.bias_out = c.bias_ffn = c.bias_head = c.norm_bias = false;
    return c;
}

/* Exports a model, frees it (a skip leaves the test) and compares with transformers. */
static void check_export(Ensemble *ensemble, const char *want_class)
{
    Err err;
    CheckpointSave save = {.path = model_path, .ensemble = ensemble, .tokenizer = &spec};
    HfExport args = {.path = model_path, .folder = folder, .device = tiny_device()};
    const char *architecture;
    ASSERT_OK(checkpoint_save(&save, &err));
    ASSERT_OK(hf_export(&args, &architecture, &err));
    assert_string_equal(architecture, want_class);
    float *logits = model_logits(ensemble, POSITIONS);
    int64_t v = ensemble->experts[0]->config.vocab_size;
    ASSERT_OK(npy_write(logits_path, STORED_F32, POSITIONS, v, logits, &err));
    free(logits);
    bool shift = ensemble->rule == MERGE_BAYES || ensemble->rule == MERGE_ADAPTER;
    ensemble_free(ensemble);
    const char *python = getenv("PYTHON");
    char *command =
        xasprintf("%s tests/golden/check_hf_export.py %s %s %s", python ? python : "python3",
                  folder, logits_path, shift ? "--shift" : "");
    int result = system(command);
    free(command);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == 3 || WEXITSTATUS(result) == 127) {
        print_message("SKIP: transformers is not installed for %s\n", python ? python : "python3");
        skip();
    }
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void family_models_load_as_they_are(void **state)
{
    (void)state;
    ModelConfig c = family_config();
    c.embed_scale = 3.0;
    Model *model = tiny_model(&c, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
    check_export(one, "LlamaForCausalLM");
}

static void biased_family_models_load_too(void **state)
{
    (void)state;
    ModelConfig c = family_config();
    c.bias_qkv = true;
    c.embedding = EMBEDDING_LEARNED;
    c.n_embed = c.d_model;
    c.tied_head = true;
    Model *model = tiny_model(&c, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
    check_export(one, "Qwen2ForCausalLM");
}

static void scaled_rotary_frequencies_are_kept(void **state)
{
    (void)state;
    /* The original contexts are so short that some of three pairs are stretched and some are not.
     */
    const RopeScaling kinds[] = {{ROPE_LINEAR, 4.0, 0, 0, 0, 0},
                                 {ROPE_LLAMA3, 8.0, 40, 1.0, 4.0, 0},
                                 {ROPE_YARN, 4.0, 16, 0.5, 2.0, 0},
                                 {ROPE_YARN, 2.0, 16, 1.0, 32.0, 1.5}};
    for (int i = 0; i < 4; i++) {
        ModelConfig c = family_config();
        c.rope_scaling = kinds[i];
        c.context = 64;
        Model *model = tiny_model(&c, DTYPE_F32, 1, 2);
        Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
        check_export(one, "LlamaForCausalLM");
    }
}

static void own_models_load_with_their_file(void **state)
{
    (void)state;
    ModelConfig c = tiny_config();
    c.lora_rank = 2;
    c.lora_alpha = 3.0;
    c.embed_scale = 2.0;
    Model *model = tiny_model(&c, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
    check_export(one, "CambiumForCausalLM");
}

/* Over one table, or each over its own. */
static Ensemble *two_experts(MergeRule rule, bool own_tables)
{
    ModelConfig c = tiny_config(), deeper = family_config();
    Err err;
    deeper.n_layers = 3;
    Model *models[2] = {tiny_model(&c, DTYPE_F32, 1, 2), NULL};
    ModelOptions options = {.device = tiny_device(), .shared = &models[0]->substrate};
    if (own_tables) {
        deeper.n_embed = deeper.d_model;
        deeper.embedding = EMBEDDING_LEARNED;
        deeper.tied_head = true;
        models[1] = tiny_model(&deeper, DTYPE_F32, 9, 0);
    } else {
        ASSERT_OK(model_new(&models[1], &deeper, &options, &err));
        for (int64_t l = 0; l < 3; l++)
            ASSERT_OK(model_start_block(models[1], l, BLOCK_START_RANDOM, 9, &err));
        ASSERT_OK(model_start_head(models[1], 9, &err));
    }
    Ensemble *two = tiny_ensemble(models, 2, rule);
    two->weights = xcalloc(2, sizeof *two->weights);
    two->weights[0] = 0.25f, two->weights[1] = 0.75f;
    two->adapter = (MergeAdapter){.top = 3, .hidden = 4};
    float **parts[] = {&two->adapter.w1, &two->adapter.b1, &two->adapter.w2, &two->adapter.b2};
    static const int sizes[] = {24, 4, 8, 2};
    for (int p = 0; p < 4; p++) {
        *parts[p] = xcalloc((size_t)sizes[p], sizeof(float));
        for (int i = 0; i < sizes[p]; i++)
            (*parts[p])[i] = 0.1f * (float)((i * 7 + p) % 11 - 5);
    }
    return two;
}

static void merged_models_keep_their_rule(void **state)
{
    (void)state;
    for (MergeRule rule = MERGE_MEAN; rule <= MERGE_ADAPTER; rule++)
        for (int own_tables = 0; own_tables < 2; own_tables++)
            check_export(two_experts(rule, own_tables), "CambiumForCausalLM");
}

static void import_takes_back_what_export_gave(void **state)
{
    (void)state;
    Err err;
    const char *architecture;
    char *first = xstrdup(folder_path("first.h5")), *again = xstrdup(folder_path("again.h5"));
    ASSERT_OK(hf_import("tests/golden/hf_llama", NULL, first, &err));
    HfExport args = {.path = first, .folder = folder, .device = tiny_device()};
    for (int rounded = 0; rounded < 2; rounded++) {
        args.type = rounded ? BLOCK_BF16 : BLOCK_F32;
        ASSERT_OK(hf_export(&args, &architecture, &err));
        ASSERT_OK(hf_import(folder, NULL, again, &err));
        Container *a, *b;
        DifferenceList list;
        ASSERT_OK(container_open(&a, first, &err));
        ASSERT_OK(container_open(&b, again, &err));
        ASSERT_OK(containers_compare(a, b, rounded ? 0.01 : 0.0, &list, &err));
        /* The name of the model and of its tokenizer are those of the folder. */
        for (int64_t i = 0; i < list.count; i++)
            if (list.items[i].kind != DIFFERENCE_TEXT)
                fail_msg("%s differs", list.items[i].path);
        free(list.items);
        container_close(a);
        container_close(b);
    }
    free(first);
    free(again);
}

static void tables_come_out_whole(void **state)
{
    (void)state;
    Err err;
    Container *file;
    NpyFile array;
    SafeFile *tensors;
    char *path = xstrdup(folder_path("first.h5")), *npy = xstrdup(folder_path("table.npy"));
    char *safe = xstrdup(folder_path("table.safetensors"));
    const void *data;
    ASSERT_OK(hf_import("tests/golden/hf_llama", NULL, path, &err));
    ASSERT_OK(table_export_npy(path, npy, &err));
    ASSERT_OK(table_export_safetensors(path, safe, &err));
    ASSERT_OK(container_open(&file, path, &err));
    ASSERT_OK(container_map(file, "/embedding", &data, &err));
    ASSERT_OK(npy_open(&array, npy, &err));
    ASSERT_OK(safe_open(&tensors, safe, &err));
    assert_int_equal(array.bytes, 264 * 24 * 4);
    assert_memory_equal(array.data, data, (size_t)array.bytes);
    assert_memory_equal(safe_find(tensors, "embedding")->data, data, (size_t)array.bytes);
    npy_close(&array);
    safe_close(tensors);
    container_close(file);
    free(path);
    free(npy);
    free(safe);
}

static int set_up(void **state)
{
    (void)state;
    folder_begin();
    model_path = xstrdup(folder_path("model.h5"));
    folder = xstrdup(folder_path("hf"));
    logits_path = xstrdup(folder_path("logits.npy"));
    spec_start(&spec);
    for (char c = ' '; c < ' ' + 90; c++)
        spec_text(&spec, (char[]){c, '\0'});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_spec_clear(&spec);
    free(model_path);
    free(folder);
    free(logits_path);
    folder_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(family_models_load_as_they_are),
        cmocka_unit_test(biased_family_models_load_too),
        cmocka_unit_test(scaled_rotary_frequencies_are_kept),
        cmocka_unit_test(own_models_load_with_their_file),
        cmocka_unit_test(merged_models_keep_their_rule),
        cmocka_unit_test(import_takes_back_what_export_gave),
        cmocka_unit_test(tables_come_out_whole),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
