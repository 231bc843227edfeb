/* GGUF files: what is written comes back, a model that the Python package `gguf` wrote gives the
 * logits that `transformers` computes from its numbers, and whatever is cut or altered gives one
 * sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/checkpoint.h"
#include "core/io/gguf.h"
#include "core/io/gguf_tokenizer.h"
#include "core/io/model_import.h"
#include "core/io/npy.h"
#include "core/text/tokenizer_json.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/model_logits.h"
#include "tests/support/tiny_model.h"

static const char golden[] = "tests/golden/gguf_tiny/model.gguf";

static StrBuf content_of(const char *path)
{
    StrBuf content = {0};
    Err err;
    ASSERT_OK(file_read(path, 0, &content, &err));
    return content;
}

/* ---- the container -------------------------------------------------------------------------- */

static const float numbers[40] = {1, -2, 3.5f, 0, 1e-30f, 7, [39] = 5};

static const char *write_sample(void)
{
    Err err;
    GgufWriter *writer = gguf_writer_new();
    const char *path = folder_path("sample.gguf");
    gguf_put_text(writer, "general.architecture", "llama");
    gguf_put_u32(writer, "llama.block_count", 7);
    gguf_put_f32(writer, "llama.eps", 0.5f);
    gguf_put_bool(writer, "flag", true);
    gguf_put_i32s(writer, "kinds", (int32_t[]){-3, 4}, 2);
    gguf_put_f32s(writer, "scores", numbers, 3);
    gguf_put_texts(writer, "words", (GgufText[]){{"one", 3}, {"", 0}, {"\0two", 4}}, 3);
    gguf_put_tensor(writer, "odd", BLOCK_F32, (int64_t[]){5}, 1);
    gguf_put_tensor(writer, "matrix", BLOCK_F32, (int64_t[]){4, 10}, 2);
    gguf_put_tensor(writer, "blocks", BLOCK_Q8_0, (int64_t[]){2, 32}, 2);
    ASSERT_OK(gguf_begin(writer, path, &err));
    ASSERT_OK(gguf_append(writer, numbers, 20, &err));
    ASSERT_OK(gguf_append(writer, numbers, 60, &err));
    ASSERT_OK(gguf_append(writer, numbers + 15, 100, &err));
    ASSERT_OK(gguf_append(writer, numbers, 68, &err));
    ASSERT_OK(gguf_commit(writer, &err));
    return path;
}

static void values_and_tensors_come_back(void **state)
{
    (void)state;
    Err err;
    GgufFile *file;
    int64_t whole = 0;
    double real = 0.0;
    bool flag = false;
    char *text = NULL;
    ASSERT_OK(gguf_open(&file, write_sample(), &err));
    assert_int_equal(gguf_value_count(file), 7);
    assert_int_equal(gguf_tensor_count(file), 3);
    ASSERT_OK(gguf_get_int(file, "llama.block_count", &whole, &err));
    ASSERT_OK(gguf_get_real(file, "llama.eps", &real, &err));
    ASSERT_OK(gguf_get_bool(file, "flag", &flag, &err));
    ASSERT_OK(gguf_get_text(file, "general.architecture", &text, &err));
    assert_int_equal(whole, 7);
    assert_true(real == 0.5 && flag);
    assert_string_equal(text, "llama");
    free(text);
    assert_int_equal(gguf_int_at(gguf_find(file, "kinds"), 0), -3);
    assert_true(gguf_real_at(gguf_find(file, "scores"), 2) == 3.5);
    const GgufValue *words = gguf_find(file, "words");
    assert_int_equal(words->count, 3);
    assert_int_equal(words->texts[2].bytes, 4);
    assert_memory_equal(words->texts[2].data, "\0two", 4);
    const GgufTensor *matrix = gguf_find_tensor(file, "matrix");
    assert_int_equal(matrix->shape[0], 4);
    assert_int_equal(matrix->shape[1], 10);
    assert_memory_equal(matrix->data, numbers, 160);
    assert_memory_equal(gguf_find_tensor(file, "odd")->data, numbers, 20);
    assert_int_equal(gguf_find_tensor(file, "blocks")->bytes, 68);
    assert_null(gguf_find_tensor(file, "none"));
    assert_int_equal(gguf_get_int(file, "words", &whole, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "'words' is an array and not an integer"));
    assert_int_equal(gguf_get_text(file, "none", &text, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "no 'none'"));
    gguf_close(file);
}

static void assert_inside(const GgufFile *file, const char *data, int64_t bytes)
{
    for (int64_t i = 0; i < gguf_tensor_count(file); i++) {
        const GgufTensor *tensor = gguf_tensor(file, i);
        const char *from = tensor->data;
        assert_true(from >= data && tensor->bytes <= bytes - (from - data));
    }
}

static void damage_never_leads_outside(void **state)
{
    (void)state;
    Err err;
    GgufFile *file;
    StrBuf content = content_of(write_sample());
    for (int64_t bytes = 0; bytes < content.size - 28; bytes++) {
        char *cut =
            xmalloc((size_t)bytes + 1); /* a reader past the end is found by the sanitizer */
        memcpy(cut, content.data, (size_t)bytes);
        cut = xrealloc(cut, bytes ? (size_t)bytes : 1);
        assert_int_equal(gguf_parse(&file, cut, bytes, "cut.gguf", &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, "cut.gguf"));
        free(cut);
    }
    Rng rng;
    rng_init(&rng, 1, 0);
    char *copy = xmalloc((size_t)content.size);
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, content.data, (size_t)content.size);
        for (int64_t n = 1 + rng_below(&rng, 3); n > 0; n--)
            copy[rng_below(&rng, content.size)] = (char)rng_below(&rng, 256);
        if (gguf_parse(&file, copy, content.size, "altered.gguf", &err) != STATUS_OK)
            continue;
        assert_inside(file, copy, content.size);
        gguf_close(file);
    }
    free(copy);
    strbuf_clear(&content);
}

/* Alters some bytes of the sample and wants a text in the error. */
static void altered(int64_t at, const void *bytes, size_t count, const char *want)
{
    Err err = {.text = ""};
    GgufFile *file;
    StrBuf content = content_of(write_sample());
    assert_true(at >= 0 && at + (int64_t)count <= content.size);
    memcpy(content.data + at, bytes, count);
    assert_int_equal(gguf_parse(&file, content.data, content.size, "x.gguf", &err), STATUS_FAIL);
    if (!strstr(err.text, want))
        fail_msg("'%s' does not say %s", err.text, want);
    strbuf_clear(&content);
}

/* Where a text of the sample ends. */
static int64_t behind(const char *text)
{
    StrBuf content = content_of(write_sample());
    const char *at = memmem(content.data, (size_t)content.size, text, strlen(text));
    int64_t place = at ? at - content.data + (int64_t)strlen(text) : -1;
    strbuf_clear(&content);
    return place;
}

static void hostile_heads_are_refused(void **state)
{
    (void)state;
    const uint64_t huge = UINT64_MAX, many = 1u << 30;
    altered(0, "GGML", 4, "not a GGUF file");
    altered(4, &(uint32_t){1}, 4, "version 1");
    altered(4, &(uint32_t){4}, 4, "unknown version");
    altered(4, &(uint32_t){3u << 24}, 4, "big-endian");
    altered(8, &huge, 8, "");
    altered(16, &huge, 8, "");
    altered(24, &huge, 8, "cut short");
    altered(behind("words"), &(uint32_t){77}, 4, "unknown type 77");
    altered(behind("words") + 8, &huge, 8, "more texts than");
    altered(behind("kinds") + 8, &many, 8, "cut short");
    altered(behind("kinds") + 4, &(uint32_t){GGUF_ARRAY}, 4, "'kinds'");
    altered(behind("kinds") - 5, "words", 5, "comes twice");
    altered(behind("matrix"), &(uint32_t){5}, 4, "5 dimensions");
    altered(behind("matrix") + 4, &huge, 8, "impossible shape");
    altered(behind("matrix") + 4, &(uint64_t){0}, 8, "impossible shape");
    altered(behind("matrix") + 20, &(uint32_t){15}, 4, "of type Q8_K (15)");
    altered(behind("matrix") + 20, &(uint32_t){BLOCK_Q4_K}, 4, "no whole blocks of Q4_K");
    altered(behind("matrix") + 24, &huge, 8, "outside the file");
    altered(behind("matrix") + 24, &(uint64_t){33}, 8, "not aligned");
    altered(behind("matrix") + 24, &(uint64_t){0}, 8, "overlaps");
}

/* ---- models --------------------------------------------------------------------------------- */

static void logits_are_those_of_transformers(void **state)
{
    (void)state;
    Err err;
    NpyFile want;
    Ensemble *model;
    const char *path = folder_path("tiny.h5");
    ASSERT_OK(npy_open(&want, "tests/golden/gguf_tiny/logits.npy", &err));
    ASSERT_OK(gguf_import(golden, NULL, path, &err));
    LoadOptions options = {.device = tiny_device(), .compute = DTYPE_F32, .weights = DTYPE_F32};
    ASSERT_OK(ensemble_load(&model, NULL, path, &options, &err));
    double error = model_logits_error(model, &want);
    print_message("largest difference %.2g of the largest logit\n", error);
    assert_true(error < 1e-5);
    ensemble_free(model);
    npy_close(&want);
}

/* Replaces a text in the golden file by one of the same length, and wants the import to say so. */
static void refused_with(const char *old, const char *new, const char *want)
{
    Err err = {.text = ""};
    StrBuf content = content_of(golden);
    char *at = memmem(content.data, (size_t)content.size, old, strlen(old));
    assert_non_null(at);
    assert_int_equal(strlen(old), strlen(new));
    memcpy(at, new, strlen(new));
    const char *path = folder_put("changed.gguf", content.data, content.size);
    assert_int_equal(gguf_import(path, NULL, folder_path("never.h5"), &err), STATUS_FAIL);
    if (!strstr(err.text, want) || !strstr(err.text, "changed.gguf"))
        fail_msg("'%s' does not say %s", err.text, want);
    assert_false(file_exists(folder_path("never.h5")));
    strbuf_clear(&content);
}

static void what_is_not_computed_is_refused_by_name(void **state)
{
    (void)state;
    refused_with("\x05\0\0\0\0\0\0\0llama" + 8, "mamba", "the architecture 'mamba'");
    refused_with("blk.0.attn_q.weight", "blk.0.attn_q.wei8ht", "holds 1 tensors that a model");
    refused_with("llama.context_length", "llama.context_lengbh", "no 'llama.context_length'");
    refused_with("tokenizer.ggml.scores", "tokenizer.ggml.scorez", "tokenizer.ggml.scores");
    refused_with("<0x41>", "<0x4X>", "not named <0xXX>");
}

/* ---- vocabularies --------------------------------------------------------------------------- */

static Tokenizer *tokenizer_in(const char *path)
{
    Err err;
    GgufFile *file;
    TokenizerSpec spec;
    ASSERT_OK(gguf_open(&file, path, &err));
    ASSERT_OK(gguf_tokenizer_read(file, &spec, &err));
    gguf_close(file);
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    return tokenizer;
}

static void assert_ids(const Tokenizer *tokenizer, const json_t *text, const json_t *want)
{
    IdList ids = {0};
    tokenizer_encode(tokenizer, json_string_value(text), (int64_t)json_string_length(text), &ids);
    assert_int_equal(ids.count, json_array_size(want));
    for (int64_t i = 0; i < ids.count; i++)
        assert_int_equal(ids.items[i], json_integer_value(json_array_get(want, (size_t)i)));
    id_list_clear(&ids);
}

static void sentencepiece_vocabularies_are_read(void **state)
{
    (void)state;
    char *line = NULL;
    size_t capacity = 0;
    int texts = 0;
    Tokenizer *tokenizer = tokenizer_in(golden);
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    FILE *file = fopen("tests/golden/gguf_tiny/tokens.jsonl", "r");
    assert_non_null(file);
    for (; getline(&line, &capacity, file) > 0; texts++) {
        json_t *one = json_loads(line, 0, NULL);
        assert_ids(tokenizer, json_object_get(one, "text"), json_object_get(one, "ids"));
        json_decref(one);
    }
    assert_true(texts > 8);
    assert_int_equal(spec->bos, 1);
    assert_int_equal(spec->eos, 2);
    assert_int_equal(tokenizer_start(tokenizer), 1);
    assert_non_null(strstr(spec->chat_template, "<|im_start|>"));
    free(line);
    fclose(file);
    tokenizer_free(tokenizer);
}

/* Writes a file with nothing but the vocabulary, and reads it again. */
static Tokenizer *through_gguf(const Tokenizer *tokenizer, int64_t more_rows, Err *refusal)
{
    Err err;
    const char *path = folder_path("vocabulary.gguf");
    GgufWriter *writer = gguf_writer_new();
    Status status =
        gguf_tokenizer_write(writer, tokenizer, tokenizer_size(tokenizer) + more_rows, refusal);
    if (status == STATUS_OK)
        ASSERT_OK(gguf_begin(writer, path, &err));
    if (status == STATUS_OK)
        ASSERT_OK(gguf_commit(writer, &err));
    else
        gguf_abandon(writer);
    return status == STATUS_OK ? tokenizer_in(path) : NULL;
}

/* Whether the format has a place for how texts are prepared and names found. */
static bool is_plain(const TokenizerSpec *spec)
{
    bool plain = !spec->pre_tokenizer && !spec->normalizer;
    for (int64_t i = 0; i < spec->n_tokens && spec->find; i++)
        plain = plain && (spec->find[i] & ~FIND_CHARACTER) == 0;
    return plain;
}

static void check_vocabulary(const json_t *one, int *held, int *refused)
{
    Err err = {.text = ""};
    TokenizerSpec spec;
    char *form = json_dumps(json_object_get(one, "tokenizer"), 0);
    ASSERT_OK(tokenizer_json_parse(form, (int64_t)strlen(form), &spec, &err));
    free(form);
    Tokenizer *before = tokenizer_new(&spec, &err);
    assert_non_null(before);
    Tokenizer *after = through_gguf(before, 3, &err);
    if (after) {
        size_t i;
        json_t *text;
        json_array_foreach(json_object_get(one, "texts"), i,
                           text) if (is_plain(tokenizer_spec(before)))
            assert_ids(after, text, json_array_get(json_object_get(one, "ids"), i));
        assert_int_equal(tokenizer_start(after), tokenizer_start(before));
        assert_int_equal(tokenizer_size(after), tokenizer_size(before));
        tokenizer_free(after);
        print_message("%s: held\n", json_string_value(json_object_get(one, "name")));
        ++*held;
    } else {
        print_message("%s: %s\n", json_string_value(json_object_get(one, "name")), err.text);
        assert_non_null(strstr(err.text, "GGUF cannot hold this vocabulary"));
        ++*refused;
    }
    tokenizer_free(before);
}

static void byte_level_vocabularies_come_back(void **state)
{
    (void)state;
    static const char *const files[] = {"tests/golden/tokenizers.jsonl",
                                        "tests/golden/tokenizer_forms.jsonl"};
    char *line = NULL;
    size_t capacity = 0;
    int held = 0, refused = 0;
    log_set_level(LOG_QUIET);
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "r");
        assert_non_null(file);
        while (getline(&line, &capacity, file) > 0) {
            json_t *one = json_loads(line, JSON_ALLOW_NUL, NULL);
            assert_non_null(one);
            check_vocabulary(one, &held, &refused);
            json_decref(one);
        }
        fclose(file);
    }
    free(line);
    assert_true(held >= 10 && refused >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_tensors_come_back),
        cmocka_unit_test(damage_never_leads_outside),
        cmocka_unit_test(hostile_heads_are_refused),
        cmocka_unit_test(logits_are_those_of_transformers),
        cmocka_unit_test(what_is_not_computed_is_refused_by_name),
        cmocka_unit_test(sentencepiece_vocabularies_are_read),
        cmocka_unit_test(byte_level_vocabularies_come_back),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
