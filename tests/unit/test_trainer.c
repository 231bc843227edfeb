/* Laws of training: stopped and resumed is the same to the last bit, two ranks are one, what is
 * frozen stays frozen, and the loss falls. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"
#include "train/pack_build.h"
#include "train/trainer.h"

enum { STEPS = 12, LETTERS = 26 };

static Pack *pack;

/* Text with something to learn: each letter is followed by one of two others. */
static void write_corpus(const char *path)
{
    StrBuf text = {0};
    Rng rng;
    rng_init(&rng, 3, 0);
    for (int d = 0; d < 40; d++) {
        int letter = d % LETTERS;
        for (int i = 0; i < 400; i++) {
            strbuf_putc(&text, (char)('a' + letter));
            letter = (letter * 5 + 1 + (int)rng_below(&rng, 2)) % LETTERS;
        }
        strbuf_puts(&text, "\n\f\n");
    }
    Err err = {.text = ""};
    ASSERT_OK(file_write(path, text.data, (size_t)text.size, &err));
    strbuf_clear(&text);
}

static int make_pack(void **state)
{
    (void)state;
    folder_begin();
    char *corpus = xstrdup(folder_path("corpus.txt")), *path = xstrdup(folder_path("data.pack"));
    write_corpus(corpus);
    TokenizerSpec spec;
    spec_start(&spec);
    for (char c = 'a'; c <= 'z'; c++)
        spec_text(&spec, (char[]){c, '\0'});
    spec_text(&spec, "\n");
    spec.eos = spec_token(&spec, "<eos>", 5, TOKEN_SPECIAL);
    spec.unk = spec_token(&spec, "<unk>", 5, TOKEN_SPECIAL);
    Err err = {.text = ""};
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    assert_non_null(tokenizer);
    StringList inputs = {0};
    string_list_add(&inputs, corpus);
    PackPlan plan = {.inputs = &inputs,
                     .reading = {.field = "text"},
                     .tokenizer = tokenizer,
                     .validation = 0.2,
                     .seed = 1};
    PackReport report;
    ASSERT_OK(pack_build(&plan, path, &report, &err));
    pack = pack_open(path, &err);
    assert_non_null(pack);
    string_list_clear(&inputs);
    tokenizer_free(tokenizer);
    free(corpus);
    free(path);
    return 0;
}

static int remove_pack(void **state)
{
    (void)state;
    pack_close(pack);
    folder_end();
    return 0;
}

static Model *new_model(DType compute)
{
    ModelConfig config = tiny_config();
    config.dropout = 0.1;
    return tiny_model(&config, compute, 5, 3);
}

/* Where a run saves: the model's values and the trainer's state in one file. */
typedef struct Saver {
    const char *path;
    int64_t stop_at;
    const Container *base; /* the model as it was before training */
} Saver;

static Status put_state(void *context, ContainerWriter *writer, Err *err)
{
    return trainer_put(context, writer, err);
}

/* Writes a model, and the trainer's state when there is one. */
static Status save_model(Model *model, const Saver *saver, const char *path, const Trainer *trainer,
                         Err *err)
{
    char name[] = "model", *names[] = {name};
    Ensemble ensemble = {.n_experts = 1, .experts = &model, .names = names};
    TokenizerSpec spec;
    spec_start(&spec);
    spec_text(&spec, "a");
    CheckpointSave args = {.path = path,
                           .ensemble = &ensemble,
                           .tokenizer = &spec,
                           .dtype = DTYPE_F32,
                           .base = saver ? saver->base : NULL,
                           .extra = trainer ? put_state : NULL,
                           .context = (void *)(uintptr_t)trainer};
    Status status = checkpoint_save(&args, err);
    tokenizer_spec_clear(&spec);
    return status;
}

static Status save(void *context, const Trainer *trainer, Err *err)
{
    const Saver *saver = context;
    Model *model = (Model *)(uintptr_t)trainer_model(trainer);
    Status status = save_model(model, saver, saver->path, trainer, err);
    if (trainer_status(trainer).step >= saver->stop_at)
        stop_request();
    return status;
}

static TrainerSetup setup_for(Model *model, int ranks, Saver *saver)
{
    static LoaderSource source;
    source = (LoaderSource){.pack = pack, .weight = 1.0};
    TrainerSetup setup = {.model = model,
                          .trained = {.head = true, .block_begin = 1, .block_end = 2},
                          .config = train_config_default(),
                          .sources = &source,
                          .n_sources = 1,
                          .quiet = true};
    setup.config.schedule.lr = 5e-3;
    setup.config.schedule.steps = STEPS;
    setup.config.schedule.warmup = 2;
    setup.config.batch = 4;
    setup.config.micro_batch = 2;
    setup.config.context = 32;
    setup.config.ranks = ranks;
    if (saver) {
        setup.hooks = (TrainerHooks){.context = saver, .save = save};
        setup.config.save_every = 5;
    }
    return setup;
}

typedef struct Values {
    float *items;
    int64_t count, capacity;
    Model *model;
} Values;

static Status gather(void *context, const ParamRef *ref, Err *err)
{
    Values *values = context;
    int64_t n = tensor_count(&ref->param->weight);
    values->items = mem_grow(values->items, &values->capacity, values->count + n, sizeof(float));
    TRY(model_read_rows(values->model, ref->param, 0, ref->param->weight.shape[0],
                        values->items + values->count, err));
    values->count += n;
    return STATUS_OK;
}

static Values values_of(Model *model)
{
    Values values = {.model = model};
    Err err = {.text = ""};
    ASSERT_OK(model_visit(model, gather, &values, &err));
    return values;
}

static TrainerStatus run(const TrainerSetup *setup, const char *restore, Status expected)
{
    Trainer *trainer;
    Err err = {.text = ""};
    ASSERT_OK(trainer_new(&trainer, setup, &err));
    if (restore) {
        Container *container;
        ASSERT_OK(container_open(&container, restore, &err));
        ASSERT_OK(trainer_restore(trainer, container, &err));
        container_close(container);
    }
    Status status = trainer_run(trainer, &err);
    if (status != expected)
        fail_msg("status %d: %s", (int)status, err.text);
    TrainerStatus result = trainer_status(trainer);
    trainer_free(trainer);
    return result;
}

static void resumed_is_undisturbed_to_the_last_bit(void **state)
{
    (void)state;
    for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        char *path = xstrdup(folder_path("run.h5")), *base = xstrdup(folder_path("base.h5"));
        Err err = {.text = ""};
        Model *whole = new_model((DType)dtype), *first = new_model((DType)dtype);
        TrainerSetup setup = setup_for(whole, 1, NULL);
        run(&setup, NULL, STATUS_OK);
        Saver saver = {.path = path, .stop_at = 5};
        Container *container;
        ASSERT_OK(save_model(first, NULL, base, NULL, &err));
        ASSERT_OK(container_open(&container, base, &err));
        saver.base = container;
        setup = setup_for(first, 1, &saver);
        TrainerStatus half = run(&setup, NULL, STATUS_STOPPED);
        assert_true(half.step >= 5 && half.step < STEPS);
        stop_reset();
        model_free(first);

        Ensemble *loaded;
        LoadOptions load = {.device = tiny_device(),
                            .compute = (DType)dtype,
                            .weights = (DType)dtype,
                            .train = true};
        ASSERT_OK(ensemble_load(&loaded, NULL, path, &load, &err));
        saver.stop_at = STEPS + 1;
        setup = setup_for(loaded->experts[0], 1, &saver);
        run(&setup, path, STATUS_OK);
        Values want = values_of(whole), got = values_of(loaded->experts[0]);
        assert_int_equal(want.count, got.count);
        assert_memory_equal(want.items, got.items, (size_t)want.count * sizeof(float));
        free(want.items);
        free(got.items);
        ensemble_free(loaded);
        model_free(whole);
        container_close(container);
        free(path);
        free(base);
    }
}

/* As older programs wrote it: how many windows were drawn stands in /trainer, and no /loader. */
static void put_old_file(const char *from, const char *to)
{
    Container *file;
    ContainerWriter *writer;
    json_t *trainer, *loader;
    Err err = {.text = ""};
    ASSERT_OK(container_open(&file, from, &err));
    ASSERT_OK(container_create(&writer, to, &err));
    ASSERT_OK(container_json(file, "/trainer", &trainer, &err));
    ASSERT_OK(container_json(file, "/loader", &loader, &err));
    const json_t *share = json_array_get(json_object_get(loader, "mixture"), 0);
    json_object_set_new(trainer, "drawn", json_pack("[O]", json_object_get(share, "drawn")));
    json_object_del(trainer, "began");
    for (int64_t i = 0; i < container_count(file); i++) {
        const char *path = container_entry(file, i)->path;
        if (strcmp(path, "/trainer") != 0 && strcmp(path, "/loader") != 0)
            ASSERT_OK(container_copy(writer, path, file, path, &err));
    }
    ASSERT_OK(container_put_json(writer, "/trainer", trainer, &err));
    ASSERT_OK(container_commit(writer, &err));
    json_decref(trainer);
    json_decref(loader);
    container_close(file);
}

static void a_file_without_a_loader_goes_on(void **state)
{
    (void)state;
    char *path = xstrdup(folder_path("new.h5")), *old = xstrdup(folder_path("old.h5"));
    Model *whole = new_model(DTYPE_F32), *first = new_model(DTYPE_F32);
    TrainerSetup setup = setup_for(whole, 1, NULL);
    setup.config.context = 128; /* several epochs */
    setup.trained.block_begin = 0;
    run(&setup, NULL, STATUS_OK);
    Saver saver = {.path = path, .stop_at = 5};
    setup = setup_for(first, 1, &saver);
    setup.config.context = 128;
    setup.trained.block_begin = 0;
    run(&setup, NULL, STATUS_STOPPED);
    stop_reset();
    model_free(first);
    put_old_file(path, old);
    Ensemble *loaded;
    Err err = {.text = ""};
    LoadOptions load = {
        .device = tiny_device(), .compute = DTYPE_F32, .weights = DTYPE_F32, .train = true};
    ASSERT_OK(ensemble_load(&loaded, NULL, old, &load, &err));
    setup = setup_for(loaded->experts[0], 1, NULL);
    setup.config.context = 128;
    setup.trained.block_begin = 0;
    run(&setup, old, STATUS_OK);
    Values want = values_of(whole), got = values_of(loaded->experts[0]);
    assert_memory_equal(want.items, got.items, (size_t)want.count * sizeof(float));
    free(want.items);
    free(got.items);
    ensemble_free(loaded);
    model_free(whole);
    free(path);
    free(old);
}

/* Killed after the last checkpoint but before its owner noted the end: nothing is left to compute,
 * and the figures are those that were reached. */
static void a_finished_run_resumes_to_its_figures(void **state)
{
    (void)state;
    const char *path = folder_path("finished.h5");
    Saver saver = {.path = path, .stop_at = STEPS + 1};
    Model *model = new_model(DTYPE_F32);
    TrainerSetup setup = setup_for(model, 1, &saver);
    TrainerStatus want = run(&setup, NULL, STATUS_OK);
    Model *again = new_model(DTYPE_F32);
    setup = setup_for(again, 1, &saver);
    TrainerStatus got = run(&setup, path, STATUS_OK);
    assert_int_equal(got.step, STEPS);
    assert_int_equal(got.own_tokens, 0);
    assert_true(got.loss == want.loss);
    assert_true(got.eval_loss == want.eval_loss && got.eval_bpb == want.eval_bpb);
    model_free(model);
    model_free(again);
}

/* The batch cut into ranks and micro-batches: the same rows, the same values dropped, and so the
 * same losses but for the order of sums. */
static void a_batch_in_parts_is_the_batch(void **state)
{
    (void)state;
    static const struct {
        int ranks;
        int64_t micro_batch;
    } cuts[] = {{1, 1}, {2, 2}, {4, 1}};
    for (int dropout = 0; dropout < 2; dropout++) {
        Model *whole = new_model(DTYPE_F32);
        whole->config.dropout = 0.2 * dropout;
        TrainerSetup setup = setup_for(whole, 1, NULL);
        setup.config.micro_batch = 4;
        TrainerStatus want = run(&setup, NULL, STATUS_OK);
        model_free(whole);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            Model *cut = new_model(DTYPE_F32);
            cut->config.dropout = 0.2 * dropout;
            setup = setup_for(cut, cuts[i].ranks, NULL);
            setup.config.micro_batch = cuts[i].micro_batch;
            TrainerStatus got = run(&setup, NULL, STATUS_OK);
            if (fabs(got.loss - want.loss) > 1e-5 * want.loss ||
                fabs(got.eval_bpb - want.eval_bpb) > 1e-5 * want.eval_bpb)
                fail_msg("%d ranks, micro-batches of %d, dropout %g: loss %.9g, whole batch %.9g",
                         cuts[i].ranks, (int)cuts[i].micro_batch, cut->config.dropout, got.loss,
                         want.loss);
            model_free(cut);
        }
    }
}

/* Sums over ranks in many buckets, some, and one: the same bits. */
static void sums_in_buckets_are_the_sum(void **state)
{
    (void)state;
    static const int64_t bytes[] = {INT64_MAX, 1, 4096};
    Values want = {0};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        Model *model = new_model(DTYPE_F32);
        TrainerSetup setup = setup_for(model, 4, NULL);
        setup.trained.block_begin = 0;
        setup.config.batch = 8;
        setup.config.micro_batch = 1;
        setup.config.bucket_bytes = bytes[i];
        run(&setup, NULL, STATUS_OK);
        Values got = values_of(model);
        if (i == 0) {
            want = got;
        } else {
            assert_memory_equal(want.items, got.items, (size_t)want.count * sizeof(float));
            free(got.items);
        }
        model_free(model);
    }
    free(want.items);
}

static void the_loss_falls_and_frozen_values_stay(void **state)
{
    (void)state;
    Model *model = new_model(DTYPE_F32);
    model->config.dropout = 0.0;
    TrainerSetup setup = setup_for(model, 1, NULL);
    setup.config.schedule.steps = 1;
    setup.config.schedule.warmup = 0;
    setup.config.schedule.lr = 1e-9;
    double before = run(&setup, NULL, STATUS_OK).eval_loss;
    float kept[18 * 18], after[18 * 18];
    Err err = {.text = ""};
    Param *frozen = &model->blocks[0].params[BLOCK_ATTN_Q];
    ASSERT_OK(model_read_rows(model, frozen, 0, 18, kept, &err));
    setup = setup_for(model, 1, NULL);
    setup.config.schedule.steps = 60;
    TrainerStatus status = run(&setup, NULL, STATUS_OK);
    ASSERT_OK(model_read_rows(model, frozen, 0, 18, after, &err));
    assert_memory_equal(kept, after, sizeof kept);
    assert_true(status.eval_loss < before - 1.0);
    assert_true(isfinite(status.eval_bpb));
    model_free(model);
}

/* Corrupts a frozen weight in the middle of a run. */
static Status corrupt(void *context, const Trainer *trainer, Err *err)
{
    Model *model = (Model *)(uintptr_t)trainer_model(trainer);
    const float row[18] = {0};
    *(int64_t *)context = trainer_status(trainer).step;
    return model_write_rows(model, &model->blocks[0].params[BLOCK_ATTN_Q], 2, 1, row, DTYPE_F32,
                            err);
}

static void a_frozen_tensor_that_changes_is_an_error(void **state)
{
    (void)state;
    for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        Model *model = new_model((DType)dtype);
        TrainerSetup setup = setup_for(model, 1, NULL);
        int64_t corrupted = 0;
        setup.hooks = (TrainerHooks){.context = &corrupted, .save = corrupt};
        setup.config.save_every = STEPS / 2;
        Trainer *trainer;
        Err err = {.text = ""};
        ASSERT_OK(trainer_new(&trainer, &setup, &err));
        assert_int_equal(trainer_run(trainer, &err), STATUS_FAIL);
        assert_int_equal(corrupted, STEPS / 2);
        assert_non_null(strstr(err.text, "blocks/0/attn_q changed although it is frozen"));
        trainer_free(trainer);
        model_free(model);
    }
}

static void a_loss_that_is_not_finite_names_the_step_and_the_tensor(void **state)
{
    (void)state;
    Model *model = new_model(DTYPE_F32);
    Param *param = &model->blocks[1].params[BLOCK_FFN_UP];
    float row[18];
    for (int i = 0; i < 18; i++)
        row[i] = NAN;
    Err err = {.text = ""};
    ASSERT_OK(model_write_rows(model, param, 3, 1, row, DTYPE_F32, &err));
    TrainerSetup setup = setup_for(model, 1, NULL);
    Trainer *trainer;
    ASSERT_OK(trainer_new(&trainer, &setup, &err));
    assert_int_equal(trainer_run(trainer, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "step 1"));
    assert_non_null(strstr(err.text, "blocks/1/"));
    trainer_free(trainer);
    model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumed_is_undisturbed_to_the_last_bit),
        cmocka_unit_test(a_file_without_a_loader_goes_on),
        cmocka_unit_test(a_finished_run_resumes_to_its_figures),
        cmocka_unit_test(a_batch_in_parts_is_the_batch),
        cmocka_unit_test(sums_in_buckets_are_the_sum),
        cmocka_unit_test(the_loss_falls_and_frozen_values_stay),
        cmocka_unit_test(a_frozen_tensor_that_changes_is_an_error),
        cmocka_unit_test(a_loss_that_is_not_finite_names_the_step_and_the_tensor),
    };
    return cmocka_run_group_tests(tests, make_pack, remove_pack);
}
