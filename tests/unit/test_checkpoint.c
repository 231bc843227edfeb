/* Model files: what was saved is what is loaded, in every type, with every kind of table; frozen
 * values stay what they were; extras of the caller's ride along. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_file.h"
#include "tests/support/tiny_model.h"

static TokenizerSpec spec;

static int set_up(void **state)
{
    (void)state;
    folder_begin();
    spec_start(&spec);
    for (char c = ' '; c < ' ' + 90; c++)
        spec_text(&spec, (char[]){c, '\0'});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_spec_clear(&spec);
    folder_end();
    return 0;
}

static LoadOptions load_options(DType compute, DType weights, bool train)
{
    return (LoadOptions){
        .device = tiny_device(), .compute = compute, .weights = weights, .train = train};
}

/* All values of a model in visiting order, one after another. */
typedef struct Values {
    float *items;
    int64_t count, capacity;
    Model *model;
} Values;

static Status collect(void *context, const ParamRef *ref, Err *err)
{
    Values *values = context;
    int64_t n = tensor_count(&ref->param->weight);
    values->items =
        mem_grow(values->items, &values->capacity, values->count + n, sizeof *values->items);
    float *to = values->items + values->count;
    values->count += n;
    return model_read_rows(values->model, ref->param, 0, ref->param->weight.shape[0], to, err);
}

static Values values_of(Model *model)
{
    Values values = {.model = model};
    Err err;
    ASSERT_OK(model_visit(model, collect, &values, &err));
    return values;
}

static void assert_same_values(Model *a, Model *b, bool rounded)
{
    Values x = values_of(a), y = values_of(b);
    assert_int_equal(x.count, y.count);
    for (int64_t i = 0; i < x.count; i++) {
        float want = x.items[i];
        /* Matrices were rounded; vectors were not. */
        if (y.items[i] != want && (!rounded || y.items[i] != bf16_to_f32(f32_to_bf16(want))))
            fail_msg("value %lld is %g instead of %g", (long long)i, (double)y.items[i],
                     (double)want);
    }
    free(x.items);
    free(y.items);
}

static Status save(const char *path, Ensemble *ensemble, DType dtype, const Container *base,
                   Err *err)
{
    CheckpointSave args = {
        .path = path, .ensemble = ensemble, .tokenizer = &spec, .dtype = dtype, .base = base};
    return checkpoint_save(&args, err);
}

static void every_type_comes_back(void **state)
{
    (void)state;
    Err err;
    ModelConfig configs[3] = {tiny_config(), tiny_config(), tiny_config()};
    configs[1].embedding = EMBEDDING_LEARNED;
    configs[1].norm = NORM_RMS;
    configs[1].norm_bias = configs[1].bias_head = configs[1].bias_ffn = configs[1].bias_out = false;
    configs[1].act = ACT_SWIGLU;
    configs[2].n_embed = configs[2].d_model;
    configs[2].embedding = EMBEDDING_LEARNED;
    configs[2].tied_head = true;
    configs[2].lora_rank = 2;
    configs[2].lora_alpha = 4.0;
    for (int i = 0; i < 3; i++) {
        Model *model = tiny_model(&configs[i], DTYPE_F32, 5, 6);
        if (configs[i].embedding != EMBEDDING_LEARNED)
            tiny_hash_table(model);
        Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN), *loaded;
        for (int stored = 0; stored < 2; stored++) {
            char *path = xstrdup(folder_path("model.h5"));
            DType dtype = stored ? DTYPE_BF16 : DTYPE_F32;
            ASSERT_OK(save(path, one, dtype, NULL, &err));
            for (int kind = 0; kind < 4; kind++) {
                DType compute = kind & 1 ? DTYPE_BF16 : DTYPE_F32;
                LoadOptions options = load_options(compute, compute, kind >= 2);
                Tokenizer *tokenizer;
                ASSERT_OK(ensemble_load(&loaded, &tokenizer, path, &options, &err));
                assert_int_equal(tokenizer_size(tokenizer), spec.n_tokens);
                assert_memory_equal(&loaded->experts[0]->config, &configs[i], sizeof configs[i]);
                assert_same_values(model, loaded->experts[0], stored || kind == 1);
                assert_string_equal(loaded->experts[0]->substrate.hash, model->substrate.hash);
                tokenizer_free(tokenizer);
                ensemble_free(loaded);
            }
            LoadOptions options = load_options(DTYPE_F32, DTYPE_I8, false);
            ASSERT_OK(ensemble_load(&loaded, NULL, path, &options, &err));
            assert_int_equal(loaded->experts[0]->blocks[0].params[BLOCK_ATTN_Q].weight.dtype,
                             DTYPE_I8);
            ensemble_free(loaded);
            free(path);
        }
        ensemble_free(one);
    }
}

static StrBuf content_of(const char *path)
{
    StrBuf content = {0};
    Err err;
    ASSERT_OK(file_read(path, 0, &content, &err));
    return content;
}

/* Loading for training and saving again gives the same file, to the last byte. */
static void saving_again_gives_the_same_file(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_BF16, 1, 2);
    tiny_hash_table(model);
    TrainSet set = {.head = true, .block_begin = 1, .block_end = 2};
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
    char *first = xstrdup(folder_path("first.h5")), *second = xstrdup(folder_path("second.h5"));
    ASSERT_OK(save(first, one, DTYPE_F32, NULL, &err));
    /* The frozen block's masters are released: its values come from the first file, once that says
     * that they are frozen. */
    ASSERT_OK(model_set_trained(model, &set, &err));
    assert_null(model->blocks[0].params[BLOCK_ATTN_Q].master.data);
    assert_int_equal(save(second, one, DTYPE_F32, NULL, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "attn_q"));
    ensemble_free(one);

    LoadOptions options = load_options(DTYPE_BF16, DTYPE_BF16, true);
    ASSERT_OK(ensemble_load(&one, NULL, first, &options, &err));
    ASSERT_OK(save(second, one, DTYPE_F32, NULL, &err));
    StrBuf a = content_of(first), b = content_of(second);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, (size_t)a.size);
    strbuf_clear(&a);
    strbuf_clear(&b);
    ensemble_free(one);
    free(first);
    free(second);
}

static void freeze_file(const char *path, const TrainSet *set, Err *err)
{
    /* In float32 nothing is released, so the whole model with its marks can be written. */
    LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, true);
    Ensemble *one;
    assert_int_equal(ensemble_load(&one, NULL, path, &options, err), STATUS_OK);
    assert_int_equal(model_set_trained(one->experts[0], set, err), STATUS_OK);
    assert_int_equal(save(path, one, DTYPE_F32, NULL, err), STATUS_OK);
    ensemble_free(one);
}

static void frozen_values_survive_in_every_file(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 1, 2);
    tiny_hash_table(model);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN), *loaded;
    char *first = xstrdup(folder_path("first.h5")), *second = xstrdup(folder_path("second.h5"));
    TrainSet set = {.head = true, .block_begin = 1, .block_end = 2};
    ASSERT_OK(save(first, one, DTYPE_F32, NULL, &err));
    freeze_file(first, &set, &err);

    LoadOptions options = load_options(DTYPE_BF16, DTYPE_BF16, true);
    Container *base;
    ASSERT_OK(container_open(&base, first, &err));
    ASSERT_OK(ensemble_load(&loaded, NULL, first, &options, &err));
    Model *grown = loaded->experts[0];
    assert_true(grown->blocks[0].params[BLOCK_FFN_UP].frozen);
    assert_false(grown->blocks[1].params[BLOCK_FFN_UP].frozen);
    ASSERT_OK(model_set_trained(grown, &set, &err));
    ASSERT_OK(model_check_frozen(grown, &err));
    assert_null(grown->blocks[0].params[BLOCK_ATTN_Q].master.data);
    ASSERT_OK(save(second, loaded, DTYPE_F32, base, &err));
    StrBuf a = content_of(first), b = content_of(second);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, (size_t)a.size);
    strbuf_clear(&a);
    strbuf_clear(&b);
    ensemble_free(loaded);
    ensemble_free(one);
    container_close(base);
    free(first);
    free(second);
}

/* A file whose frozen tensor is not the one that froze, though every checksum of the file is right.
 */
static void altered_frozen_values_are_refused(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN), *loaded;
    TrainSet nothing = {0};
    ASSERT_OK(model_set_trained(model, &nothing, &err));
    Param *param = &model->blocks[1].params[BLOCK_FFN_DOWN];
    float row[31] = {0};
    ASSERT_OK(model_write_rows(model, param, 3, 1, row, DTYPE_F32, &err));
    ASSERT_OK(save(folder_path("altered.h5"), one, DTYPE_F32, NULL, &err));
    LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, true);
    assert_int_equal(ensemble_load(&loaded, NULL, folder_path("altered.h5"), &options, &err),
                     STATUS_FAIL);
    assert_non_null(strstr(err.text, "blocks/1/ffn_down"));
    ensemble_free(one);
}

static void table_may_live_elsewhere(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 1, 2);
    tiny_hash_table(model);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN), *loaded;
    char *path = xstrdup(folder_path("small.h5")), *table = xstrdup(folder_path("table.h5"));
    json_t *recipe = json_pack("{s:s}", "name", "tiny");
    CheckpointSave args = {.path = path,
                           .ensemble = one,
                           .tokenizer = &spec,
                           .recipe = recipe,
                           .leave_out_table = true};
    ASSERT_OK(checkpoint_save(&args, &err));
    LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, false);
    assert_int_equal(ensemble_load(&loaded, NULL, path, &options, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "--table"));
    assert_non_null(strstr(err.text, "tiny"));

    float *values = xmalloc(tensor_bytes(&model->substrate.table));
    ASSERT_OK(device_download(&model->device, &model->substrate.table, values, &err));
    TableSave wanted = {.path = table,
                        .tokenizer = &spec,
                        .shape = tensor_2d(NULL, DTYPE_F32, config.vocab_size, config.n_embed),
                        .values = values,
                        .recipe = recipe};
    ASSERT_OK(table_save(&wanted, &err));
    options.table = table;
    ASSERT_OK(ensemble_load(&loaded, NULL, path, &options, &err));
    assert_same_values(model, loaded->experts[0], false);
    ensemble_free(loaded);
    values[0] += 1.0f;
    ASSERT_OK(table_save(&wanted, &err));
    assert_int_equal(ensemble_load(&loaded, NULL, path, &options, &err), STATUS_FAIL);
    json_decref(recipe);
    free(values);
    ensemble_free(one);
    free(path);
    free(table);
}

static Status put_extra(void *context, ContainerWriter *writer, Err *err)
{
    Tensor shape = tensor_1d(NULL, DTYPE_I64, 2);
    return container_put(writer, "/loader/position", &shape, context, err);
}

static void assert_same_table(const Substrate *a, const Substrate *b)
{
    assert_true(tensor_same_shape(&a->table, &b->table));
    size_t bytes = tensor_bytes(&a->table);
    void *x = xmalloc(bytes), *y = xmalloc(bytes);
    Err err;
    ASSERT_OK(device_download(tiny_device(), &a->table, x, &err));
    ASSERT_OK(device_download(tiny_device(), &b->table, y, &err));
    assert_memory_equal(x, y, bytes);
    free(x);
    free(y);
}

/* A frozen table, a learned one of another width, and two experts that read what another owns. */
static void experts_with_tables_of_their_own_come_back(void **state)
{
    (void)state;
    Err err;
    ModelConfig narrow = tiny_config(), wide = tiny_config();
    wide.n_embed = wide.d_model;
    wide.embedding = EMBEDDING_LEARNED;
    Model *models[4] = {tiny_model(&narrow, DTYPE_F32, 1, 2), tiny_model(&wide, DTYPE_F32, 3, 0)};
    for (int i = 2; i < 4; i++) {
        ModelOptions shared = {.device = tiny_device(), .shared = &models[3 - i]->substrate};
        ASSERT_OK(model_new(&models[i], i == 2 ? &wide : &narrow, &shared, &err));
        for (int64_t l = 0; l < narrow.n_layers; l++)
            ASSERT_OK(model_start_block(models[i], l, BLOCK_START_RANDOM, 9, &err));
        ASSERT_OK(model_start_head(models[i], 9, &err));
    }
    Ensemble *four = tiny_ensemble(models, 4, MERGE_BAYES), *loaded;
    static const int64_t owners[] = {0, 1, 1, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(ensemble_table_owner(four, i), owners[i]);
    char *path = xstrdup(folder_path("four.h5")), *again = xstrdup(folder_path("again.h5"));
    ASSERT_OK(save(path, four, DTYPE_F32, NULL, &err));
    for (int train = 0; train < 2; train++) {
        LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, train);
        ASSERT_OK(ensemble_load(&loaded, NULL, path, &options, &err));
        for (int i = 0; i < 4; i++) {
            assert_int_equal(ensemble_table_owner(loaded, i), owners[i]);
            assert_same_table(&models[i]->substrate, &loaded->experts[i]->substrate);
            assert_same_values(models[i], loaded->experts[i], false);
        }
        loaded->rule = MERGE_BAYES;
        ASSERT_OK(save(again, loaded, DTYPE_F32, NULL, &err));
        ensemble_free(loaded);
        StrBuf a = content_of(path), b = content_of(again);
        assert_int_equal(a.size, b.size);
        strbuf_clear(&a);
        strbuf_clear(&b);
    }
    ensemble_free(four);
    free(path);
    free(again);
}

static void merged_models_and_extras_come_back(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config(), deeper = tiny_config();
    deeper.n_layers = 3;
    Model *models[2] = {tiny_model(&config, DTYPE_F32, 1, 2), NULL};
    ModelOptions shared = {.device = tiny_device(), .shared = &models[0]->substrate};
    ASSERT_OK(model_new(&models[1], &deeper, &shared, &err));
    for (int64_t l = 0; l < 3; l++)
        ASSERT_OK(model_start_block(models[1], l, BLOCK_START_RANDOM, 9, &err));
    ASSERT_OK(model_start_head(models[1], 9, &err));
    Ensemble *two = tiny_ensemble(models, 2, MERGE_ADAPTER), *loaded;
    two->weights = xcalloc(2, sizeof *two->weights);
    two->weights[0] = 0.25f, two->weights[1] = 0.75f;
    two->adapter = (MergeAdapter){.top = 3, .hidden = 4};
    two->adapter.w1 = xcalloc(4 * 2 * 3, sizeof(float));
    two->adapter.b1 = xcalloc(4, sizeof(float));
    two->adapter.w2 = xcalloc(2 * 4, sizeof(float));
    two->adapter.b2 = xcalloc(2, sizeof(float));
    two->adapter.w1[23] = 5.0f;
    json_t *history = json_pack("[{s:i}]", "blocks", 3);
    json_t *histories[2] = {NULL, history};
    int64_t position[2] = {12, 1};
    char *path = xstrdup(folder_path("two.h5"));
    CheckpointSave args = {.path = path,
                           .ensemble = two,
                           .tokenizer = &spec,
                           .histories = histories,
                           .extra = put_extra,
                           .context = position};
    ASSERT_OK(checkpoint_save(&args, &err));
    LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, false);
    ASSERT_OK(ensemble_load(&loaded, NULL, path, &options, &err));
    assert_int_equal(loaded->n_experts, 2);
    assert_int_equal(loaded->rule, MERGE_ADAPTER);
    assert_true(loaded->weights[1] == 0.75f && loaded->adapter.w1[23] == 5.0f);
    assert_string_equal(loaded->names[1], "expert 1");
    assert_same_values(models[0], loaded->experts[0], false);
    assert_same_values(models[1], loaded->experts[1], false);
    Model *only;
    assert_int_equal(ensemble_take_model(loaded, path, &only, &err), STATUS_FAIL);
    ensemble_free(loaded);

    Container *file;
    CheckpointInfo info;
    const void *data;
    ASSERT_OK(container_open(&file, path, &err));
    ASSERT_OK(checkpoint_info_read(file, &info, &err));
    assert_int_equal(json_array_size(info.experts[1].history), 1);
    ASSERT_OK(container_map(file, "/loader/position", &data, &err));
    assert_memory_equal(data, position, sizeof position);
    checkpoint_info_clear(&info);
    container_close(file);
    json_decref(history);
    ensemble_free(two);
    free(path);
}

/* A file that agrees with all its checksums, but whose /meta is another text. */
static Status load_with_meta(const char *from, const char *to, const char *meta, Err *err)
{
    Container *file;
    ContainerWriter *writer;
    assert_int_equal(container_open(&file, from, err), STATUS_OK);
    assert_int_equal(container_create(&writer, to, err), STATUS_OK);
    for (int64_t i = 0; i < container_count(file); i++) {
        const char *path = container_entry(file, i)->path;
        if (strcmp(path, "/meta") != 0)
            assert_int_equal(container_copy(writer, path, file, path, err), STATUS_OK);
    }
    assert_int_equal(container_put_text(writer, "/meta", meta, err), STATUS_OK);
    assert_int_equal(container_commit(writer, err), STATUS_OK);
    container_close(file);
    LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, false);
    Ensemble *loaded;
    err->text[0] = '\0';
    Status status = ensemble_load(&loaded, NULL, to, &options, err);
    if (status == STATUS_OK)
        ensemble_free(loaded);
    return status;
}

static void contradicting_files_are_refused(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN);
    char *path = xstrdup(folder_path("whole.h5")), *to = xstrdup(folder_path("other.h5"));
    ASSERT_OK(save(path, one, DTYPE_F32, NULL, &err));
    ensemble_free(one);
    Container *file;
    const char *meta;
    ASSERT_OK(container_open(&file, path, &err));
    ASSERT_OK(container_text(file, "/meta", &meta, &err));
    ASSERT_OK(load_with_meta(path, to, meta, &err));
    Rng rng;
    rng_init(&rng, 4, 0);
    char *text = xstrdup(meta);
    int64_t length = (int64_t)strlen(meta);
    int refused = 0;
    for (int i = 0; i < 120; i++) {
        int64_t at = rng_below(&rng, length);
        /* Digits become digits, so that numbers stay numbers and only the sense goes. */
        bool digit = meta[at] >= '0' && meta[at] <= '9';
        text[at] = (char)(digit ? '0' + rng_below(&rng, 10) : ' ' + rng_below(&rng, 95));
        if (load_with_meta(path, to, text, &err) != STATUS_OK) {
            refused++;
            assert_true(strlen(err.text) > 10);
        }
        text[at] = meta[at];
    }
    assert_true(refused > 40);
    free(text);
    container_close(file);
    free(path);
    free(to);
}

static void a_full_disk_leaves_the_previous_checkpoint(void **state)
{
    (void)state;
    Err err;
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 1, 2);
    Ensemble *one = tiny_ensemble(&model, 1, MERGE_MEAN), *loaded;
    char *path = xstrdup(folder_path("kept.h5"));
    ASSERT_OK(save(path, one, DTYPE_F32, NULL, &err));
    float row[18] = {0};
    ASSERT_OK(model_write_rows(model, &model->head[HEAD_HEAD], 0, 1, row, DTYPE_F32, &err));
    struct rlimit old;
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < (rlim_t)info.st_size; limit += 1500) {
        struct rlimit low = {limit, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        Status status = save(path, one, DTYPE_F32, NULL, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, STATUS_FAIL);
        assert_non_null(strstr(err.text, "kept.h5"));
    }
    LoadOptions options = load_options(DTYPE_F32, DTYPE_F32, false);
    ASSERT_OK(ensemble_load(&loaded, NULL, path, &options, &err));
    Values values = values_of(loaded->experts[0]);
    assert_true(values.items[values.count - 1] != 0.0f);
    free(values.items);
    ensemble_free(loaded);
    ensemble_free(one);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back),
        cmocka_unit_test(saving_again_gives_the_same_file),
        cmocka_unit_test(frozen_values_survive_in_every_file),
        cmocka_unit_test(altered_frozen_values_are_refused),
        cmocka_unit_test(table_may_live_elsewhere),
        cmocka_unit_test(experts_with_tables_of_their_own_come_back),
        cmocka_unit_test(merged_models_and_extras_come_back),
        cmocka_unit_test(contradicting_files_are_refused),
        cmocka_unit_test(a_full_disk_leaves_the_previous_checkpoint),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
