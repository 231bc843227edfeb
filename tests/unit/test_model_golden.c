/* Forward, loss and every gradient of small models against an independent implementation, against
 * finite differences, and against each other when less trains. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "tests/support/model_golden.h"
#include "tests/support/tiny_model.h"
#include "train/backward.h"

static void ok(Status status, const Err *err)
{
    if (status != STATUS_OK)
        fail_msg("%s", err->text);
}

typedef void CaseFn(const GoldenCase *golden);

static void each_case(CaseFn *check)
{
    FILE *file = fopen("tests/golden/model.txt", "r");
    assert_non_null(file);
    GoldenCase golden;
    int cases = 0;
    for (; golden_next(file, &golden); cases++) {
        check(&golden);
        golden_clear(&golden);
    }
    fclose(file);
    assert_true(cases >= 5);
}

/* What one pass gives: the sum of losses, and the gradients of the mean loss. */
typedef struct Outcome {
    Grads *grads;
    Pass *pass;
    double loss;
    int64_t count;
} Outcome;

static int64_t counted(const GoldenCase *golden)
{
    int64_t n = 0;
    for (int64_t i = 0; i < golden->batch * golden->t; i++)
        n += golden->targets[i] >= 0;
    return n;
}

static PassInput input_of(const GoldenCase *golden, bool backward)
{
    return (PassInput){.ids = golden->ids,
                       .targets = golden->targets,
                       .backward = backward,
                       .grad_scale = 1.0f / (float)counted(golden)};
}

static Outcome run(const GoldenCase *golden, Model *model)
{
    Err err;
    Outcome out = {0};
    ok(grads_new(&out.grads, model, false, &err), &err);
    ok(pass_new(&out.pass, model, out.grads, golden->batch, golden->t, &err), &err);
    PassInput input = input_of(golden, true);
    /* Twice: what an earlier pass left must be overwritten. */
    ok(pass_run(out.pass, &input, &out.loss, &out.count, &err), &err);
    ok(pass_run(out.pass, &input, &out.loss, &out.count, &err), &err);
    return out;
}

static void outcome_clear(Outcome *out)
{
    pass_free(out->pass);
    grads_free(out->grads);
}

static float *host_grad(const Model *model, const TrainedParam *item)
{
    Err err;
    float *host = xmalloc(tensor_bytes(&item->grad));
    ok(device_download(&model->device, &item->grad, host, &err), &err);
    return host;
}

/* max |difference| / max |expected|. */
static double distance(const float *got, const double *expected, int64_t n)
{
    double worst = 0.0, scale = 1e-8;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - expected[i]));
        scale = fmax(scale, fabs(expected[i]));
    }
    return worst / scale;
}

static void compare_grads(const GoldenCase *golden, const Model *model, const Grads *grads,
                          double tolerance)
{
    assert_int_equal(grads->n_items, golden->n_params);
    for (int64_t i = 0; i < grads->n_items; i++) {
        const TrainedParam *item = &grads->items[i];
        const GoldenParam *expected = golden_find(golden, item->path);
        float *got = host_grad(model, item);
        double d = distance(got, expected->grad, expected->count);
        free(got);
        /* The gradient of a key's bias is zero in exact arithmetic: only noise can be compared. */
        bool zero = strstr(item->path, "attn_k_bias") != NULL;
        if (!zero && !(d <= tolerance))
            fail_msg("%s: gradient of %s is off by %.2g", golden->name, item->path, d);
    }
}

static void check_float32(const GoldenCase *golden)
{
    Model *model = golden_model(golden, DTYPE_F32);
    Outcome out = run(golden, model);
    assert_int_equal(out.count, counted(golden));
    double loss = out.loss / (double)out.count;
    if (fabs(loss - golden->loss) > 2e-6 * golden->loss)
        fail_msg("%s: loss %.9g, expected %.9g", golden->name, loss, golden->loss);
    compare_grads(golden, model, out.grads, 2e-5);
    outcome_clear(&out);
    model_free(model);
}

static void gradients_float32(void **state)
{
    (void)state;
    each_case(check_float32);
}

static void check_bfloat16(const GoldenCase *golden)
{
    Model *model = golden_model(golden, DTYPE_BF16);
    Outcome out = run(golden, model);
    double loss = out.loss / (double)out.count;
    assert_true(fabs(loss - golden->loss) < 0.02 * golden->loss);
    double dot = 0.0, ours = 0.0, theirs = 0.0;
    for (int64_t i = 0; i < out.grads->n_items; i++) {
        const GoldenParam *expected = golden_find(golden, out.grads->items[i].path);
        float *got = host_grad(model, &out.grads->items[i]);
        for (int64_t k = 0; k < expected->count; k++) {
            dot += (double)got[k] * expected->grad[k];
            ours += (double)got[k] * (double)got[k];
            theirs += expected->grad[k] * expected->grad[k];
        }
        free(got);
    }
    double cosine = dot / sqrt(ours * theirs);
    if (!(cosine > 0.998))
        fail_msg("%s: bfloat16 gradients point elsewhere (cosine %.5f)", golden->name, cosine);
    outcome_clear(&out);
    model_free(model);
}

static void gradients_bfloat16(void **state)
{
    (void)state;
    each_case(check_bfloat16);
}

static void check_logits(const GoldenCase *golden)
{
    Err err;
    Model *model = golden_model(golden, DTYPE_F32);
    const Device *device = &model->device;
    int64_t N = golden->batch * golden->t, V = golden->config.vocab_size;
    Arena arena;
    arena_init(&arena, NULL, 0);
    BlockBuffers buffers;
    block_buffers_plan(&buffers, model, golden->batch, golden->t, false, NULL, &arena);
    size_t bytes = arena.used;
    void *memory;
    ok(device->ops->alloc(&memory, bytes, "buffers", &err), &err);
    arena_init(&arena, memory, bytes);
    block_buffers_plan(&buffers, model, golden->batch, golden->t, false, NULL, &arena);
    Tensor ids = tensor_1d(NULL, DTYPE_I32, N), positions = ids;
    Tensor x = tensor_2d(NULL, DTYPE_F32, N, golden->config.d_model), y = x;
    Tensor logits = tensor_2d(NULL, DTYPE_F32, N, V);
    Tensor *const all[] = {&ids, &positions, &x, &y, &logits};
    for (int i = 0; i < 5; i++)
        ok(device_tensor(device, all[i], "a test tensor", &err), &err);
    int32_t *host_positions = xmalloc((size_t)N * sizeof *host_positions);
    for (int64_t n = 0; n < N; n++)
        host_positions[n] = (int32_t)(n % golden->t);
    ok(device_upload(device, &ids, golden->ids, &err), &err);
    ok(device_upload(device, &positions, host_positions, &err), &err);
    forward_embed(model, &ids, &x);
    Stream stream = {.sum = x};
    for (int64_t l = 0; l < golden->config.n_layers; l++)
        forward_block(model, l, golden->batch, &stream, &positions, &buffers, NULL);
    forward_final_norm(model, &stream, &y, NULL, NULL, NULL);
    forward_logits(model, &y, &logits);
    float *got = xmalloc((size_t)(N * V) * sizeof *got);
    ok(device_download(device, &logits, got, &err), &err);
    if (!(distance(got, golden->logits, N * V) < 3e-6))
        fail_msg("%s: logits are off by %.2g", golden->name, distance(got, golden->logits, N * V));
    for (int i = 0; i < 5; i++)
        device->ops->free(all[i]->data);
    device->ops->free(memory);
    free(got);
    free(host_positions);
    model_free(model);
}

static void logits_float32(void **state)
{
    (void)state;
    each_case(check_logits);
}

/* ---- finite differences -----------------------------------------------------------------------
 */

static void shift(Model *model, const Grads *grads, float *const directions[], float step)
{
    Err err;
    for (int64_t i = 0; i < grads->n_items; i++) {
        Param *param = grads->items[i].param;
        int64_t n = tensor_count(&param->master);
        float *values = xmalloc((size_t)n * sizeof *values);
        ok(model_read_rows(model, param, 0, param->master.shape[0], values, &err), &err);
        for (int64_t k = 0; k < n; k++)
            values[k] += step * directions[i][k];
        ok(model_write_rows(model, param, 0, param->master.shape[0], values, DTYPE_F32, &err),
           &err);
        free(values);
        model_refresh(model, param);
    }
}

static double mean_loss(Pass *pass, const PassInput *how)
{
    Err err;
    double loss;
    int64_t count;
    PassInput input = *how;
    input.backward = false;
    ok(pass_run(pass, &input, &loss, &count, &err), &err);
    return loss / (double)count;
}

/* Along a random direction d, (L(p + h d) - L(p - h d)) / 2h is the gradient times d. */
static void check_differences(const GoldenCase *golden)
{
    Err err;
    Model *model = golden_model(golden, DTYPE_F32);
    Outcome out = {0};
    ok(grads_new(&out.grads, model, false, &err), &err);
    ok(pass_new(&out.pass, model, out.grads, golden->batch, golden->t, &err), &err);
    PassInput input = input_of(golden, true);
    ok(pass_run(out.pass, &input, &out.loss, &out.count, &err), &err);
    Rng rng;
    rng_init(&rng, 7, 0);
    float *directions[GOLDEN_PARAMS];
    double expected = 0.0;
    for (int64_t i = 0; i < out.grads->n_items; i++) {
        int64_t n = tensor_count(&out.grads->items[i].grad);
        float *grad = host_grad(model, &out.grads->items[i]);
        directions[i] = xmalloc((size_t)n * sizeof *directions[i]);
        for (int64_t k = 0; k < n; k++) {
            /* Mostly uphill, so that the difference stands out of float32's noise. */
            directions[i][k] = grad[k] + 0.01f * (float)rng_normal(&rng);
            expected += (double)(directions[i][k] * grad[k]);
        }
        free(grad);
    }
    const float h = 2e-3f;
    shift(model, out.grads, directions, h);
    double up = mean_loss(out.pass, &input);
    shift(model, out.grads, directions, -2.0f * h);
    double down = mean_loss(out.pass, &input);
    double got = (up - down) / (2.0 * (double)h);
    if (fabs(got - expected) > 0.01 * fabs(expected))
        fail_msg("%s: slope %.6g, gradient says %.6g", golden->name, got, expected);
    for (int64_t i = 0; i < out.grads->n_items; i++)
        free(directions[i]);
    outcome_clear(&out);
    model_free(model);
}

static void finite_differences(void **state)
{
    (void)state;
    each_case(check_differences);
}

/* Backward drops what forward dropped: under one mask the slope is still the gradient's. */
static void check_dropout(const GoldenCase *golden)
{
    Err err;
    Model *model = golden_model(golden, DTYPE_F32);
    Outcome plain = run(golden, model);
    Outcome out = {0};
    ok(grads_new(&out.grads, model, false, &err), &err);
    ok(pass_new(&out.pass, model, out.grads, golden->batch, golden->t, &err), &err);
    PassInput input = input_of(golden, true);
    input.dropout = (Dropout){.p = 0.2f, .seed = 5};
    double first, again;
    ok(pass_run(out.pass, &input, &first, &out.count, &err), &err);
    input.accumulate = true;
    ok(pass_run(out.pass, &input, &again, &out.count, &err), &err);
    assert_true(first == again);
    assert_true(first != plain.loss);
    float *directions[GOLDEN_PARAMS];
    double slope = 0.0;
    for (int64_t i = 0; i < out.grads->n_items; i++) {
        directions[i] = host_grad(model, &out.grads->items[i]); /* twice: two passes were added */
        for (int64_t k = 0; k < tensor_count(&out.grads->items[i].grad); k++)
            slope += (double)directions[i][k] * (double)directions[i][k] / 2.0;
    }
    const float h = 1e-3f;
    double up, down;
    shift(model, out.grads, directions, h);
    ok(pass_run(out.pass, &input, &up, &out.count, &err), &err);
    shift(model, out.grads, directions, -2.0f * h);
    ok(pass_run(out.pass, &input, &down, &out.count, &err), &err);
    double got = (up - down) / (2.0 * (double)h) / (double)out.count;
    if (fabs(got - slope) > 0.02 * slope)
        fail_msg("%s: with dropout the slope is %.6g, the gradient says %.6g", golden->name, got,
                 slope);
    for (int64_t i = 0; i < out.grads->n_items; i++)
        free(directions[i]);
    outcome_clear(&out);
    outcome_clear(&plain);
    model_free(model);
}

static void dropout_repeats(void **state)
{
    (void)state;
    each_case(check_dropout);
}

/* ---- less trains ------------------------------------------------------------------------------
 */

/* Gradients of what trains are the same bits whatever else trains. */
static void check_subset(const GoldenCase *golden, const TrainSet *set)
{
    Err err;
    Model *whole = golden_model(golden, DTYPE_F32), *part = golden_model(golden, DTYPE_F32);
    ok(model_set_trained(part, set, &err), &err);
    Outcome all = run(golden, whole), some = run(golden, part);
    assert_true(all.loss == some.loss);
    assert_true(some.grads->n_items < all.grads->n_items);
    for (int64_t i = 0; i < some.grads->n_items; i++) {
        const TrainedParam *item = &some.grads->items[i];
        int64_t at = 0;
        while (strcmp(all.grads->items[at].path, item->path) != 0)
            at++;
        float *a = host_grad(whole, &all.grads->items[at]), *b = host_grad(part, item);
        if (memcmp(a, b, tensor_bytes(&item->grad)) != 0)
            fail_msg("%s: the gradient of %s depends on what else trains", golden->name,
                     item->path);
        free(a);
        free(b);
    }
    ok(model_check_frozen(part, &err), &err);
    assert_true(pass_bytes(part, some.grads, golden->batch, golden->t) <=
                pass_bytes(whole, all.grads, golden->batch, golden->t));
    outcome_clear(&all);
    outcome_clear(&some);
    model_free(whole);
    model_free(part);
}

static void check_subsets(const GoldenCase *golden)
{
    bool lora = golden->config.lora_rank > 0;
    const TrainSet newest = {.head = true, .block_begin = 1, .block_end = 2};
    const TrainSet middle = {.block_begin = 0, .block_end = 1};
    const TrainSet head = {.head = true};
    const TrainSet table = {.embedding = true};
    const TrainSet pairs = {.lora = true, .head = true};
    check_subset(golden, &newest);
    check_subset(golden, &middle);
    check_subset(golden, &head);
    check_subset(golden, &table);
    if (lora)
        check_subset(golden, &pairs);
}

static void gradients_of_a_part(void **state)
{
    (void)state;
    each_case(check_subsets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_float32),     cmocka_unit_test(gradients_float32),
        cmocka_unit_test(gradients_bfloat16), cmocka_unit_test(finite_differences),
        cmocka_unit_test(dropout_repeats),    cmocka_unit_test(gradients_of_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
