/* Low-rank pairs on a model: nothing at first, the same function after folding, and a folded model
 * that freezes, is saved and trains on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/checkpoint.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/model_logits.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

enum { TOKENS = 12 };

static float *logits_of(Model *model)
{
    Ensemble alone = {.n_experts = 1, .experts = &model};
    return model_logits(&alone, TOKENS);
}

static double largest_difference(const float *a, const float *b)
{
    double worst = 0.0;
    for (int i = 0; i < TOKENS * 97; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

/* Training makes B something: here random numbers do. */
static Status fill_b(void *context, const ParamRef *ref, Err *err)
{
    Model *model = context;
    if (!ref->lora)
        return STATUS_OK;
    float values[31 * 3];
    Rng rng;
    rng_init(&rng, (uint64_t)ref->layer, (uint64_t)tensor_count(&ref->param->weight));
    for (int i = 0; i < 31 * 3; i++)
        values[i] = (float)(0.2 * rng_normal(&rng));
    assert_true(tensor_count(&ref->param->weight) <= 31 * 3);
    return model_write_rows(model, ref->param, 0, ref->param->weight.shape[0], values, DTYPE_F32,
                            err);
}

static void folding_keeps_the_function(void **state)
{
    (void)state;
    for (int act = ACT_GELU; act <= ACT_SWIGLU; act++) {
        Err err = {.text = ""};
        ModelConfig config = tiny_config();
        config.act = (Activation)act;
        Model *model = tiny_model(&config, DTYPE_F32, 1, 1);
        float *plain = logits_of(model);
        ASSERT_OK(model_add_lora(model, 3, 6.0, 1, &err));
        float *begun = logits_of(model);
        assert_true(largest_difference(plain, begun) == 0.0);
        ASSERT_OK(model_visit(model, fill_b, model, &err));
        float *paired = logits_of(model);
        assert_true(largest_difference(plain, paired) > 0.1);
        ASSERT_OK(model_fold_lora(model, &err));
        assert_int_equal(model->config.lora_rank, 0);
        float *folded = logits_of(model);
        assert_true(largest_difference(paired, folded) < 2e-4);
        free(plain);
        free(begun);
        free(paired);
        free(folded);
        model_free(model);
    }
}

static Status save_model(Model *model, const char *path, Err *err)
{
    char name[] = "model", *names[] = {name};
    Ensemble ensemble = {.n_experts = 1, .experts = &model, .names = names};
    TokenizerSpec spec;
    spec_start(&spec);
    spec_text(&spec, "a");
    CheckpointSave save = {
        .path = path, .ensemble = &ensemble, .tokenizer = &spec, .dtype = DTYPE_F32};
    Status status = checkpoint_save(&save, err);
    tokenizer_spec_clear(&spec);
    return status;
}

/* The weights that pairs were folded into were frozen beneath them: with other values. */
static void a_folded_model_trains_on(void **state)
{
    (void)state;
    Err err = {.text = ""};
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_F32, 1, 1);
    const TrainSet pairs = {.lora = true}, head = {.head = true};
    ASSERT_OK(model_add_lora(model, 2, 2.0, 1, &err));
    ASSERT_OK(model_set_trained(model, &pairs, &err));
    ASSERT_OK(model_visit(model, fill_b, model, &err));
    ASSERT_OK(model_check_frozen(model, &err));
    ASSERT_OK(model_fold_lora(model, &err));
    folder_begin();
    const char *path = folder_path("folded.h5");
    ASSERT_OK(save_model(model, path, &err));
    model_free(model);

    Ensemble *loaded;
    LoadOptions load = {
        .device = tiny_device(), .compute = DTYPE_F32, .weights = DTYPE_F32, .train = true};
    ASSERT_OK(ensemble_load(&loaded, NULL, path, &load, &err));
    ASSERT_OK(model_set_trained(loaded->experts[0], &head, &err));
    ASSERT_OK(model_check_frozen(loaded->experts[0], &err));
    ensemble_free(loaded);
    folder_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_keeps_the_function),
        cmocka_unit_test(a_folded_model_trains_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
