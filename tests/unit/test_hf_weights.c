/* Which files of a Hugging Face folder are the model, and what their tensors may be like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/compare.h"
#include "core/io/hf_export.h"
#include "core/io/model_import.h"
#include "core/io/safetensors.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/folder_copy.h"
#include "tests/support/tiny_model.h"

static const char golden[] = "tests/golden/hf_llama";
static char *whole; /* the same model with its weights in one file */

/* ---- weights that a test makes --------------------------------------------------------------- */

static void put_tensors(const char *file, const SafeEntry *entries, int64_t count,
                        const void *const *data)
{
    Err err;
    SafeWriter *writer;
    ASSERT_OK(safe_create(&writer, copy_path(file), entries, count, &err));
    for (int64_t i = 0; i < count; i++)
        ASSERT_OK(safe_append(writer, data[i], (size_t)entries[i].bytes, &err));
    ASSERT_OK(safe_commit(writer, &err));
}

/* Weights of something else. */
static void put_other(const char *file)
{
    const float values[2] = {1, 2};
    const SafeEntry entry = {"base.lora_A", STORED_F32, 1, {2}, NULL, sizeof values};
    put_tensors(file, &entry, 1, (const void *const[]){values});
}

typedef enum Change { WIDEN, ADD_EMPTY, TIE, TIE_OTHER, HEAD_AS_TABLE, NO_HEAD } Change;

enum { TENSORS_MAX = 64 };

static SafeEntry widened(SafeEntry entry, void **data)
{
    int64_t count = entry.bytes / 4;
    float *narrow = xmalloc((size_t)entry.bytes);
    double *wide = *data = xmalloc((size_t)count * sizeof *wide);
    memcpy(narrow, entry.data, (size_t)entry.bytes);
    for (int64_t i = 0; i < count; i++)
        wide[i] = (double)narrow[i];
    free(narrow);
    entry.type = STORED_F64;
    entry.bytes *= 2;
    return entry;
}

/* A copy of the whole folder, its tensors in reverse order and changed. */
static const char *changed(Change change, const char *tied)
{
    Err err;
    SafeFile *file;
    SafeEntry entries[TENSORS_MAX];
    void *owned[TENSORS_MAX] = {NULL};
    const void *data[TENSORS_MAX];
    const char *folder = folder_copy(whole, "hf_llama");
    char *from = file_join(whole, "model.safetensors");
    ASSERT_OK(safe_open(&file, from, &err));
    const SafeEntry *table = safe_find(file, "model.embed_tokens.weight");
    int64_t n = 0;
    for (int64_t i = safe_count(file) - 1; i >= 0; i--, n++) {
        entries[n] = *safe_entry(file, i);
        bool is_head = strcmp(entries[n].name, "lm_head.weight") == 0;
        data[n] =
            is_head && (change == TIE || change == HEAD_AS_TABLE) ? table->data : entries[n].data;
        if (change == WIDEN) {
            entries[n] = widened(entries[n], &owned[n]);
            data[n] = owned[n];
        }
        if ((change == NO_HEAD && is_head) ||
            (change == HEAD_AS_TABLE && strcmp(entries[n].name, table->name) == 0))
            n--;
    }
    if (change == ADD_EMPTY) {
        entries[n] = (SafeEntry){"nothing", STORED_F32, 2, {0, 7}, NULL, 0};
        data[n++] = "";
    }
    put_tensors("model.safetensors", entries, n, data);
    if (tied)
        copy_add_member("config.json", tied);
    for (int64_t i = 0; i < n; i++)
        free(owned[i]);
    safe_close(file);
    free(from);
    return folder;
}

/* ---- comparisons ----------------------------------------------------------------------------- */

static void assert_same(const char *path, const char *want_file)
{
    Err err;
    Container *want, *got;
    DifferenceList list;
    ASSERT_OK(hf_import(path, NULL, folder_path("got.h5"), &err));
    ASSERT_OK(container_open(&want, folder_path(want_file), &err));
    ASSERT_OK(container_open(&got, folder_path("got.h5"), &err));
    ASSERT_OK(containers_compare(want, got, 0.0, &list, &err));
    if (list.count > 0)
        fail_msg("%s: %s differs", path, list.items[0].path);
    free(list.items);
    container_close(want);
    container_close(got);
}

static void assert_refused(const char *path, const char *said)
{
    Err err = {.text = ""};
    assert_int_equal(hf_import(path, NULL, folder_path("never.h5"), &err), STATUS_FAIL);
    if (!strstr(err.text, said))
        fail_msg("'%s' does not say '%s'", err.text, said);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const char *const shards[] = {"model-00001-of-00003.safetensors",
                                     "model-00002-of-00003.safetensors",
                                     "model-00003-of-00003.safetensors"};
static const char index_file[] = "model.safetensors.index.json";

static void the_index_names_the_files(void **state)
{
    (void)state;
    const char *folder = folder_copy(golden, "hf_llama");
    put_other("adapter_model.safetensors");
    put_other("consolidated.safetensors");
    put_other("model.safetensors");
    put_other("model-00004-of-00004.safetensors");
    assert_same(folder, "hf_llama.h5");
    for (int i = 0; i < 3; i++)
        copy_rename(shards[i], i == 0 ? "first.safetensors" : shards[i]);
    copy_rename("model.safetensors", NULL);
    assert_refused(folder, shards[0]);
    folder = folder_copy(golden, "hf_llama");
    put_other(shards[1]);
    assert_refused(folder, "has no tensor");
    folder = folder_copy(golden, "hf_llama");
    copy_add_member(index_file, "\"weight_map\": {\"x\": \"../x.safetensors\"}");
    assert_refused(folder, index_file);
    copy_add_member(index_file, "\"weight_map\": 5");
    assert_refused(folder, "weight_map");
}

static void a_folder_saved_into_twice(void **state)
{
    (void)state;
    const char *folder = folder_copy(whole, "hf_llama");
    copy_add_member(index_file, "\"weight_map\": {\"x\": \"model-00001-of-00009.safetensors\"}");
    assert_same(folder, "hf_llama.h5");
}

static void without_an_index(void **state)
{
    (void)state;
    const char *folder = folder_copy(golden, "hf_llama");
    copy_rename(index_file, NULL);
    put_other("adapter_model.safetensors");
    put_other("other.safetensors");
    assert_same(folder, "hf_llama.h5");
    assert_same(copy_path(shards[1]), "hf_llama.h5");
    copy_rename(shards[1], "model-00001-of-00002.safetensors");
    assert_refused(folder, "model-00001-of-00002.safetensors");
    copy_rename("model-00001-of-00002.safetensors", NULL);
    assert_refused(folder, shards[1]);

    folder = folder_copy(whole, "hf_llama");
    put_other("other.safetensors");
    assert_same(folder, "hf_llama.h5");
    copy_rename("other.safetensors", NULL);
    put_other("consolidated.safetensors");
    copy_rename("model.safetensors", "odd.safetensors");
    assert_same(folder, "hf_llama.h5");
    put_other("even.safetensors");
    assert_refused(folder, "even.safetensors and odd.safetensors");
    assert_same(copy_path("odd.safetensors"), "hf_llama.h5");
}

static void what_holds_no_model_is_named(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"pytorch_model.bin", "pickle of PyTorch"},
        {"consolidated.00.pth", "pickle of PyTorch"},
        {"m.Q4_K_M.gguf", "m.Q4_K_M.gguf"},
        {"notes.txt", "has no *.safetensors files"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *folder = folder_copy(whole, "hf_llama");
        copy_rename("model.safetensors", files[i][0]);
        assert_refused(folder, files[i][1]);
    }
    const char *folder = folder_copy(whole, "hf_llama");
    copy_rename("model.safetensors", "adapter_model.safetensors");
    assert_refused(folder, "merge_and_unload");
    copy_rename("adapter_model.safetensors", "consolidated.safetensors");
    assert_refused(folder, "consolidated");
    copy_rename("config.json", NULL);
    assert_refused(folder, "config.json");
}

static void odd_tensors(void **state)
{
    (void)state;
    assert_same(changed(WIDEN, NULL), "hf_llama.h5");
    assert_same(changed(ADD_EMPTY, NULL), "hf_llama.h5");
}

static bool head_is_tied(const char *folder)
{
    Err err;
    Container *file;
    CheckpointInfo info;
    ASSERT_OK(hf_import(folder, NULL, folder_path("tied.h5"), &err));
    ASSERT_OK(container_open(&file, folder_path("tied.h5"), &err));
    ASSERT_OK(checkpoint_info_read(file, &info, &err));
    bool tied = info.experts[0].config.tied_head;
    checkpoint_info_clear(&info);
    container_close(file);
    return tied;
}

/* As transformers 5 reads them. */
static void heads_that_contradict_the_config(void **state)
{
    (void)state;
    const char yes[] = "\"tie_word_embeddings\": true", no[] = "\"tie_word_embeddings\": false",
               silent[] = "\"tie_word_embeddings\": null";
    assert_true(head_is_tied(changed(TIE, yes)));
    assert_false(head_is_tied(changed(TIE_OTHER, yes)));
    assert_true(head_is_tied(changed(HEAD_AS_TABLE, yes)));
    assert_true(head_is_tied(changed(NO_HEAD, yes)));
    assert_true(head_is_tied(changed(NO_HEAD, silent)));
    assert_false(head_is_tied(changed(TIE, no)));
    assert_false(head_is_tied(changed(TIE_OTHER, silent)));
    assert_refused(changed(NO_HEAD, no), "lm_head.weight");
}

static int set_up(void **state)
{
    Err err;
    folder_set_up(state);
    const char *architecture;
    char *model = xstrdup(folder_path("hf_llama.h5"));
    whole = xstrdup(folder_path("whole"));
    HfExport args = {.path = model, .folder = whole, .device = tiny_device()};
    Status status = hf_import(golden, NULL, model, &err);
    if (status == STATUS_OK)
        status = hf_export(&args, &architecture, &err);
    if (status == STATUS_OK)
        status = hf_import(folder_copy(whole, "hf_llama"), NULL, model, &err);
    free(model);
    return status != STATUS_OK;
}

static int tear_down(void **state)
{
    free(whole);
    return folder_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_names_the_files),
        cmocka_unit_test(a_folder_saved_into_twice),
        cmocka_unit_test(without_an_index),
        cmocka_unit_test(what_holds_no_model_is_named),
        cmocka_unit_test(odd_tensors),
        cmocka_unit_test(heads_that_contradict_the_config),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
