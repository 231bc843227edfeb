/* Gradients summed in buckets: a bucket starts only when backward is done with it, every gradient
 * is in exactly one, and no more are in flight than a communicator takes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "tests/support/assert_ok.h"
#include "tests/support/tiny_model.h"
#include "train/buckets.h"
#include "train/rig.h"

/* A communicator that keeps what each collective was started with. */
typedef struct Witness {
    Comm comm;
    const Grads *grads;
    float *seen;  /* (n): of each gradient, at its bucket's start */
    int *started; /* (n): how often */
    int in_flight, most;
    int64_t starts;
} Witness;

static Status witness_start(Comm *comm, CommRequest *request, Err *err)
{
    Witness *witness = (Witness *)comm;
    const Tensor *send = &request->what.send;
    int64_t at = ((char *)send->data - (char *)witness->grads->flat.data) / (int64_t)sizeof(float);
    comm->ops->download(request->queue, witness->seen + at, send->data, tensor_bytes(send));
    TRY(comm->ops->queue_wait(request->queue, err));
    for (int64_t i = 0; i < tensor_count(send); i++)
        witness->started[at + i]++;
    witness->starts++;
    if (++witness->in_flight > witness->most)
        witness->most = witness->in_flight;
    return STATUS_OK;
}

static Status witness_wait(Comm *comm, CommRequest *request, Err *err)
{
    (void)request, (void)err;
    ((Witness *)comm)->in_flight--;
    return STATUS_OK;
}

static const CommTable witness_table = {.start = witness_start, .wait = witness_wait};

/* Gradients that nobody has written yet are NaN. */
static void poison(const Rig *rig)
{
    Err err;
    int64_t n = tensor_count(&rig->grads->flat);
    float *values = xmalloc((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = NAN;
    ASSERT_OK(device_upload(&rig->model->device, &rig->grads->flat, values, &err));
    free(values);
}

static void check_one(const RigSetup *setup, int64_t bucket_bytes, int64_t at_least)
{
    Rig rig;
    Err err = {.text = ""};
    ASSERT_OK(rig_init(&rig, setup, &err));
    ASSERT_OK(rig_step(&rig, NULL, &err)); /* sets ids and targets */
    int64_t n = tensor_count(&rig.grads->flat);
    Witness witness = {.comm = {.table = &witness_table, .ops = setup->device->ops, .size = 2},
                       .grads = rig.grads,
                       .seen = xcalloc((size_t)n, sizeof(float)),
                       .started = xcalloc((size_t)n, sizeof(int))};
    BucketSum sum;
    bucket_sum_init(&sum, rig.grads, bucket_bytes);
    poison(&rig);
    bucket_sum_begin(&sum, &witness.comm, rig.model->device.queue);
    PassInput input = {.ids = rig.ids,
                       .targets = rig.targets,
                       .backward = true,
                       .grad_scale = 1.0f,
                       .ready = bucket_sum_ready,
                       .ready_context = &sum};
    double loss;
    int64_t count;
    ASSERT_OK(pass_run(rig.pass, &input, &loss, &count, &err));
    ASSERT_OK(bucket_sum_end(&sum, &err));
    float *after = xmalloc((size_t)n * sizeof *after);
    ASSERT_OK(device_download(&rig.model->device, &rig.grads->flat, after, &err));
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(witness.started[i], 1);
    for (int64_t i = 0; i < rig.grads->n_items; i++) {
        const TrainedParam *item = &rig.grads->items[i];
        for (int64_t k = item->offset; k < item->offset + tensor_count(&item->grad); k++)
            if (isnan(witness.seen[k]) || memcmp(&witness.seen[k], &after[k], sizeof(float)) != 0)
                fail_msg("%s was %g when its sum started and is %g", item->path,
                         (double)witness.seen[k], (double)after[k]);
    }
    assert_true(witness.starts >= at_least);
    assert_true(witness.most <= COMM_IN_FLIGHT && witness.in_flight == 0);
    free(after);
    free(witness.seen);
    free(witness.started);
    bucket_sum_clear(&sum);
    rig_clear(&rig);
}

/* Layers that train have a bucket each when buckets are small, and share one when they are large.
 */
static void check(const ModelConfig *config, TrainSet trained, int64_t layers)
{
    for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        RigSetup setup = {.device = tiny_device(),
                          .config = config,
                          .compute = (DType)dtype,
                          .trained = trained,
                          .rows = 2,
                          .context = 9};
        check_one(&setup, 1, layers);
        check_one(&setup, 6000, 1);
        check_one(&setup, BUCKET_BYTES, 1);
    }
}

static void a_whole_model(void **state)
{
    (void)state;
    ModelConfig config = tiny_config();
    check(&config, (TrainSet){.head = true, .block_end = 2}, 3);
    config.n_layers = 12; /* more than may be in flight */
    check(&config, (TrainSet){.head = true, .block_end = 12}, 13);
}

static void a_learned_and_a_tied_embedding(void **state)
{
    (void)state;
    ModelConfig config = tiny_config();
    config.embedding = EMBEDDING_LEARNED;
    config.n_embed = config.d_model;
    check(&config, (TrainSet){.embedding = true, .head = true, .block_end = 2}, 4);
    config.tied_head = true;
    check(&config, (TrainSet){.embedding = true, .head = true, .block_end = 2}, 4);
}

static void new_blocks_on_frozen_ones(void **state)
{
    (void)state;
    ModelConfig config = tiny_config();
    config.n_layers = 5;
    check(&config, (TrainSet){.head = true, .block_begin = 3, .block_end = 5}, 3);
    check(&config, (TrainSet){.block_begin = 3, .block_end = 5}, 2);
    check(&config, (TrainSet){.head = true}, 1);
}

static void low_rank_pairs(void **state)
{
    (void)state;
    ModelConfig config = tiny_config();
    config.lora_rank = 2;
    config.lora_alpha = 4;
    check(&config, (TrainSet){.lora = true}, 2);
    check(&config, (TrainSet){.lora = true, .head = true}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_model),
        cmocka_unit_test(a_learned_and_a_tied_embedding),
        cmocka_unit_test(new_blocks_on_frozen_ones),
        cmocka_unit_test(low_rank_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
