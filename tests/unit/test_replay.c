/* Recorded work: when it is recorded, what makes a record void, and what a record must not do. The
 * decoder's and the queue's own sequences run on the CPU and on the emulated GPU, where memory that
 * a record holds and that has gone is found by the address sanitizer. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/decode/decoder.h"
#include "core/tensor/replay.h"
#include "tests/support/assert_ok.h"
#include "tests/support/tiny_model.h"

/* ---- when work is recorded: a backend that only counts ----------------------------------------
 */

static struct {
    int begun, launched, freed;
    bool stale;
    const char *difference;
} seen;

/* What cannot be freed twice. */
struct Graph {
    int launches;
};

static void count_begin(Queue *queue)
{
    (void)queue;
    seen.begun++;
}

static Status count_end(Queue *queue, Graph **out, Err *err)
{
    (void)queue, (void)err;
    *out = xcalloc(1, sizeof **out);
    return STATUS_OK;
}

static void count_launch(Queue *queue, Graph *graph)
{
    (void)queue;
    graph->launches++;
    seen.launched++;
}

static void count_free(Graph *graph)
{
    seen.freed++;
    free(graph);
}

static bool is_stale(const Queue *queue, const Graph *graph)
{
    (void)queue, (void)graph;
    return seen.stale;
}

static const char *difference(const Graph *before, const Graph *now)
{
    assert_ptr_not_equal(before, now);
    return seen.difference;
}

static Device counting_device(bool checked)
{
    static Backend counting;
    memset(&seen, 0, sizeof seen);
    counting = (Backend){.capture_begin = count_begin,
                         .capture_end = count_end,
                         .graph_launch = count_launch,
                         .graph_free = count_free,
                         .graph_stale = is_stale,
                         .graph_difference = checked ? difference : NULL};
    return (Device){.ops = &counting};
}

static void count_work(void *context)
{
    ++*(int *)context;
}

static void run_counted(Replay *replay, const Device *device, int times, int *works)
{
    Err err = {.text = ""};
    for (int i = 0; i < times; i++)
        ASSERT_OK(replay_run(replay, device, count_work, works, &err));
}

static void recorded_the_second_time(void **state)
{
    (void)state;
    Device device = counting_device(false);
    Replay replay = {0};
    int works = 0;
    run_counted(&replay, &device, 1, &works);
    assert_int_equal(works, 1);
    assert_int_equal(seen.begun, 0);
    run_counted(&replay, &device, 3, &works);
    assert_int_equal(works, 2);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(seen.launched, 3);
    replay_clear(&replay, &device);
    assert_int_equal(seen.freed, 1);
}

static void recorded_anew_when_stale(void **state)
{
    (void)state;
    Device device = counting_device(false);
    Replay replay = {0};
    int works = 0;
    run_counted(&replay, &device, 3, &works);
    seen.stale = true;
    run_counted(&replay, &device, 1, &works);
    seen.stale = false;
    run_counted(&replay, &device, 1, &works);
    assert_int_equal(works, 3);
    assert_int_equal(seen.begun, 2);
    assert_int_equal(seen.freed, 1);
    assert_int_equal(seen.launched, 4);
    replay_clear(&replay, &device);
    assert_int_equal(seen.freed, 2);
}

/* What a child process that must not survive says. */
static void last_words(void (*fault)(void), char *text, size_t size)
{
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fault();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], text + length, size - 1 - length)) > 0;)
        length += (size_t)n;
    text[length] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void differ(void)
{
    Device device = counting_device(true);
    Replay replay = {0};
    int works = 0;
    Err err;
    for (int i = 0; i < 3; i++)
        replay_run(&replay, &device, count_work, &works, &err);
    seen.difference = "a kernel is another";
    replay_run(&replay, &device, count_work, &works, &err);
}

static void checked_builds_compare(void **state)
{
    (void)state;
    Device device = counting_device(true);
    Replay replay = {0};
    int works = 0;
    run_counted(&replay, &device, 4, &works);
    assert_int_equal(works, 4);
    assert_int_equal(seen.launched, 3);
    replay_clear(&replay, &device);
    assert_int_equal(seen.freed, seen.begun);
    char said[4096];
    last_words(differ, said, sizeof said);
    assert_non_null(strstr(said, "recorded work has changed: a kernel is another"));
}

/* A queue that nobody has used: what it keeps grows with what it is given. */
static Device fresh_device(void)
{
    Device device = *tiny_device();
    Err err = {.text = ""};
    ASSERT_OK(device.ops->queue_new(&device.queue, &err));
    return device;
}

/* ---- scratch that moves ------------------------------------------------------------------------
 */

enum { COLUMNS = 32, ROWS = 256, MANY = 4096 };

typedef struct Sum {
    const Device *device;
    Tensor x, out;
} Sum;

static void sum_work(void *context)
{
    Sum *sum = context;
    sum->device->ops->sum_rows(sum->device->queue, &(SumRowsArgs){.x = sum->x, .out = sum->out});
}

static Sum new_sum(const Device *device, int64_t rows)
{
    Err err = {.text = ""};
    Sum sum = {.device = device,
               .x = tensor_2d(NULL, DTYPE_F32, rows, COLUMNS),
               .out = tensor_1d(NULL, DTYPE_F32, COLUMNS)};
    ASSERT_OK(device_tensor(sum.device, &sum.x, "rows", &err));
    ASSERT_OK(device_tensor(sum.device, &sum.out, "sums", &err));
    return sum;
}

static void free_sum(Sum *sum)
{
    sum->device->ops->free(sum->x.data);
    sum->device->ops->free(sum->out.data);
}

/* Sums rows that all are `value`. */
static void check_sum(Replay *replay, Sum *sum, float value)
{
    Err err = {.text = ""};
    int64_t rows = sum->x.shape[0];
    float *x = xmalloc(tensor_bytes(&sum->x)), out[COLUMNS];
    for (int64_t i = 0; i < rows * COLUMNS; i++)
        x[i] = value;
    ASSERT_OK(device_upload(sum->device, &sum->x, x, &err));
    ASSERT_OK(replay_run(replay, sum->device, sum_work, sum, &err));
    ASSERT_OK(device_download(sum->device, &sum->out, out, &err));
    for (int i = 0; i < COLUMNS; i++)
        assert_true(out[i] == value * (float)rows);
    free(x);
}

static void scratch_grows_between_runs(void **state)
{
    (void)state;
    Replay few = {0}, many = {0};
    Device device = fresh_device();
    Sum small = new_sum(&device, ROWS), large = new_sum(&device, MANY);
    for (int i = 1; i < 4; i++)
        check_sum(&few, &small, (float)i);
    for (int i = 1; i < 4; i++)
        check_sum(&many, &large, (float)i);
    for (int i = 4; i < 7; i++) {
        check_sum(&few, &small, (float)i);
        check_sum(&many, &large, (float)i);
    }
    replay_clear(&few, &device);
    replay_clear(&many, &device);
    free_sum(&small);
    free_sum(&large);
    device_close(&device);
}

/* ---- the decoder -------------------------------------------------------------------------------
 */

enum { V = 97, STEPS = 9, SEQUENCES = 4, PROMPT = 40, PAGE = 4 };

static Decoder *new_decoder(int64_t page_size, Ensemble **ensemble, int64_t sequences[SEQUENCES])
{
    ModelConfig config = tiny_config();
    Model *model = tiny_model(&config, DTYPE_BF16, 5, 3);
    model->device = fresh_device();
    *ensemble = tiny_ensemble(&model, 1, MERGE_MEAN);
    DecoderOptions options = {
        .max_sequences = SEQUENCES, .max_positions = 1024, .page_size = page_size, .chunk = 64};
    Decoder *decoder;
    Err err = {.text = ""};
    ASSERT_OK(decoder_new(&decoder, *ensemble, &options, &err));
    for (int i = 0; i < SEQUENCES; i++)
        sequences[i] = decoder_open(decoder);
    return decoder;
}

static void free_decoder(Decoder *decoder, Ensemble *ensemble)
{
    Device device = decoder_device(decoder);
    decoder_free(decoder);
    ensemble_free(ensemble);
    device_close(&device);
}

/* One token each for the first n sequences. */
static void step(Decoder *decoder, const int64_t *sequences, int64_t n)
{
    static const int32_t tokens[SEQUENCES] = {7, 31, 2, 90};
    DecodeItem items[SEQUENCES];
    Err err = {.text = ""};
    for (int64_t i = 0; i < n; i++)
        items[i] = (DecodeItem){sequences[i], &tokens[i], 1};
    ASSERT_OK(decoder_step(decoder, items, n, &err));
}

/* The logits (V) of the step's first sequence. */
static void read_logits(const Decoder *decoder, float *logits)
{
    float all[SEQUENCES * V];
    Err err = {.text = ""};
    Device device = decoder_device(decoder);
    Tensor out = decoder_logits(decoder);
    ASSERT_OK(device_download(&device, &out, all, &err));
    memcpy(logits, all, V * sizeof *logits);
}

static void decode(Decoder *decoder, const int64_t *sequences, int64_t n, float *logits)
{
    step(decoder, sequences, n);
    read_logits(decoder, logits);
}

/* The logits (STEPS, V) of a sequence that nobody disturbs. */
static void decode_alone(float *logits)
{
    Ensemble *ensemble;
    int64_t sequences[SEQUENCES];
    Decoder *decoder = new_decoder(64, &ensemble, sequences);
    for (int i = 0; i < STEPS; i++)
        decode(decoder, sequences, 1, logits + i * V);
    free_decoder(decoder, ensemble);
}

static void assert_near(const float *a, const float *b, int n, double limit)
{
    double top = 0.0, worst = 0.0;
    for (int i = 0; i < n; i++) {
        assert_false(isnan(a[i]));
        top = fmax(top, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    if (worst > limit * top)
        fail_msg("differs by %g of %g", worst, top);
}

static void one_client_then_two_then_one(void **state)
{
    (void)state;
    Ensemble *ensemble;
    int64_t sequences[SEQUENCES];
    float alone[STEPS * V], logits[STEPS * V];
    decode_alone(alone);
    Decoder *decoder = new_decoder(64, &ensemble, sequences);
    for (int i = 0; i < STEPS; i++)
        decode(decoder, sequences, i / 3 == 1 ? 2 : 1, logits + i * V);
    /* Two rows share a GPU out in another way, whose sums are rounded in another way. */
    assert_near(logits, alone, STEPS * V, 0.05);
    free_decoder(decoder, ensemble);
}

static void score_another(Decoder *decoder, int64_t sequence)
{
    int32_t text[PROMPT];
    float logprobs[PROMPT], *to[1] = {logprobs};
    Err err = {.text = ""};
    for (int i = 0; i < PROMPT; i++)
        text[i] = i;
    ASSERT_OK(decoder_score(decoder, &(DecodeItem){sequence, text, PROMPT}, 1, to, &err));
    for (int i = 1; i < PROMPT; i++)
        assert_true(logprobs[i] < 0.0f);
    decoder_reset(decoder, sequence);
}

static void decode_score_decode(void **state)
{
    (void)state;
    Ensemble *ensemble;
    int64_t sequences[SEQUENCES];
    float alone[STEPS * V], logits[STEPS * V];
    decode_alone(alone);
    Decoder *decoder = new_decoder(64, &ensemble, sequences);
    for (int i = 0; i < STEPS; i++) {
        if (i > 0 && i % 3 == 0)
            score_another(decoder, sequences[1]);
        decode(decoder, sequences, 1, logits + i * V);
    }
    assert_memory_equal(logits, alone, sizeof alone);
    free_decoder(decoder, ensemble);
}

/* The step is on its way when its sequence's pages go to others: what the host then writes into its
 * table of pages must not reach the device before the step. */
static void pages_change_hands_behind_a_step(void **state)
{
    (void)state;
    Ensemble *ensemble;
    int64_t sequences[SEQUENCES];
    float logits[2][V], weight = 1.0f;
    for (int change = 0; change < 2; change++) {
        Decoder *decoder = new_decoder(PAGE, &ensemble, sequences);
        Err err = {.text = ""};
        for (int i = 0; i <= 4 * PAGE; i++) /* the last one needs a new page, and so an upload */
            step(decoder, sequences, 1);
        if (change)
            decoder_reset(decoder, sequences[0]);
        for (int i = 1; change && i >= 0; i--)
            ASSERT_OK(decoder_restore(decoder, sequences[i], 4 * PAGE, &weight, &err));
        read_logits(decoder, logits[change]);
        free_decoder(decoder, ensemble);
    }
    assert_memory_equal(logits[1], logits[0], sizeof logits[0]);
}

int main(void)
{
    /* As many processors as a GPU has: work is shared out by them, and so is memory. */
    setenv("CAMBIUM_EMULATE_PROCESSORS", "132", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_the_second_time),
        cmocka_unit_test(recorded_anew_when_stale),
        cmocka_unit_test(checked_builds_compare),
        cmocka_unit_test(scratch_grows_between_runs),
        cmocka_unit_test(one_client_then_two_then_one),
        cmocka_unit_test(decode_score_decode),
        cmocka_unit_test(pages_change_hands_behind_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
