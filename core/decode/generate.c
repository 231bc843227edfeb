#include "core/decode/generate.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

Sampling sampling_default(void)
{
    return (Sampling){
        .temperature = 0.8, .top_p = 0.95, .repetition_penalty = 1.0, .repetition_window = 64};
}

Status sampling_check(const Sampling *s, Err *err)
{
    if (s->temperature < 0.0)
        return err_set(err, "--temperature is 0 or more, not %g", s->temperature);
    if (!(s->top_p > 0.0 && s->top_p <= 1.0))
        return err_set(err, "--top-p is above 0 and at most 1, not %g", s->top_p);
    if (!(s->min_p >= 0.0 && s->min_p < 1.0))
        return err_set(err, "--min-p is at least 0 and below 1, not %g", s->min_p);
    if (s->repetition_penalty <= 0.0)
        return err_set(err, "--repetition-penalty is above 0, not %g", s->repetition_penalty);
    if (s->top_k < 0 || s->top_k > INT32_MAX)
        return err_set(err, "--top-k is 0 or more");
    return STATUS_OK;
}

/* A generation that is under way: seat i of the decoder. */
typedef struct Seat {
    int64_t generation; /* -1: free */
    int64_t sequence;
    Rng rng;
    IdList seen; /* prompt and output */
} Seat;

typedef struct Run {
    Decoder *decoder;
    const Sampling *sampling;
    Generation *generations;
    int64_t n, next;
    Seat *seats;
    int64_t n_seats, n_busy;
    DecodeItem *items;
    int64_t *item_seat;
    SampleRule *rules;
    int32_t *ids;
    float *logprobs;
    Tensor device_ids, device_logprobs;
    Device device;
} Run;

static void seat_free(Run *run, Seat *seat)
{
    decoder_close(run->decoder, seat->sequence);
    seat->generation = -1;
    seat->seen.count = 0;
    run->n_busy--;
}

/* Puts waiting prompts on free seats. */
static void seat_waiting(Run *run)
{
    for (int64_t i = 0; i < run->n_seats && run->next < run->n; i++) {
        Seat *seat = &run->seats[i];
        if (seat->generation >= 0)
            continue;
        seat->generation = run->next++;
        seat->sequence = decoder_open(run->decoder);
        CHECK(seat->sequence >= 0, "no sequence for seat %lld", (long long)i);
        rng_init(&seat->rng, run->sampling->seed + (uint64_t)seat->generation, 0);
        const Generation *g = &run->generations[seat->generation];
        for (int64_t t = 0; t < g->n_prompt; t++)
            id_list_add(&seat->seen, g->prompt[t]);
        run->n_busy++;
    }
}

static int64_t fill_items(Run *run)
{
    int64_t n = 0;
    for (int64_t i = 0; i < run->n_seats; i++) {
        Seat *seat = &run->seats[i];
        if (seat->generation < 0)
            continue;
        int64_t done = decoder_length(run->decoder, seat->sequence);
        run->items[n] = (DecodeItem){.sequence = seat->sequence,
                                     .tokens = seat->seen.items + done,
                                     .n_tokens = seat->seen.count - done};
        run->item_seat[n++] = i;
    }
    return n;
}

static Status sample_items(Run *run, int64_t n, Err *err)
{
    const Sampling *s = run->sampling;
    for (int64_t i = 0; i < n; i++) {
        Seat *seat = &run->seats[run->item_seat[i]];
        int64_t recent =
            seat->seen.count < s->repetition_window ? seat->seen.count : s->repetition_window;
        run->rules[i] = (SampleRule){.temperature = (float)s->temperature,
                                     .top_p = (float)s->top_p,
                                     .min_p = (float)s->min_p,
                                     .repetition_penalty = (float)s->repetition_penalty,
                                     .top_k = (int32_t)s->top_k,
                                     .uniform = (float)(rng_u64(&seat->rng) >> 40) * 0x1.0p-24f,
                                     .recent = seat->seen.items + seat->seen.count - recent,
                                     .n_recent = recent};
    }
    Tensor ids = tensor_slice(&run->device_ids, 0, n);
    Tensor logprobs = tensor_slice(&run->device_logprobs, 0, n);
    SampleArgs args = {.logits = decoder_logits(run->decoder),
                       .ids = ids,
                       .logprobs = logprobs,
                       .rules = run->rules};
    run->device.ops->sample(run->device.queue, &args);
    TRY(device_download(&run->device, &ids, run->ids, err));
    return device_download(&run->device, &logprobs, run->logprobs, err);
}

static void take_tokens(Run *run, int64_t n, GenerationToken *token, void *context)
{
    for (int64_t i = 0; i < n; i++) {
        Seat *seat = &run->seats[run->item_seat[i]];
        Generation *g = &run->generations[seat->generation];
        int32_t id = run->ids[i];
        if (id == g->ends[0] || id == g->ends[1]) {
            g->ended = true;
            seat_free(run, seat);
            continue;
        }
        id_list_add(&g->output, id);
        id_list_add(&seat->seen, id);
        const float *weights = decoder_weights(run->decoder, seat->sequence);
        bool go_on = !token || token(context, seat->generation, id, run->logprobs[i], weights);
        if (!go_on || g->output.count >= g->max_tokens)
            seat_free(run, seat);
    }
}

static Status run_init(Run *run, int64_t max_sequences, Err *err)
{
    run->device = decoder_device(run->decoder);
    run->n_seats = max_sequences < run->n ? max_sequences : run->n;
    size_t seats = (size_t)run->n_seats;
    run->seats = xcalloc(seats, sizeof *run->seats);
    for (int64_t i = 0; i < run->n_seats; i++)
        run->seats[i].generation = -1;
    run->items = xcalloc(seats, sizeof *run->items);
    run->item_seat = xcalloc(seats, sizeof *run->item_seat);
    run->rules = xcalloc(seats, sizeof *run->rules);
    run->ids = xcalloc(seats, sizeof *run->ids);
    run->logprobs = xcalloc(seats, sizeof *run->logprobs);
    run->device_ids = tensor_1d(NULL, DTYPE_I32, run->n_seats);
    run->device_logprobs = tensor_1d(NULL, DTYPE_F32, run->n_seats);
    TRY(device_tensor(&run->device, &run->device_ids, "sampled tokens", err));
    return device_tensor(&run->device, &run->device_logprobs, "sampled tokens", err);
}

static void run_clear(Run *run)
{
    for (int64_t i = 0; i < run->n_seats; i++) {
        if (run->seats[i].generation >= 0)
            seat_free(run, &run->seats[i]);
        id_list_clear(&run->seats[i].seen);
    }
    if (run->device_ids.data)
        run->device.ops->free(run->device_ids.data);
    if (run->device_logprobs.data)
        run->device.ops->free(run->device_logprobs.data);
    free(run->seats);
    free(run->items);
    free(run->item_seat);
    free(run->rules);
    free(run->ids);
    free(run->logprobs);
}

Status generate(Decoder *decoder, int64_t max_sequences, const Sampling *sampling,
                Generation *generations, int64_t n, GenerationToken *token, void *context, Err *err)
{
    if (n == 0)
        return STATUS_OK;
    Run run = {.decoder = decoder, .sampling = sampling, .generations = generations, .n = n};
    Status status = run_init(&run, max_sequences, err);
    while (status == STATUS_OK) {
        seat_waiting(&run);
        if (run.n_busy == 0)
            break;
        int64_t items = fill_items(&run);
        status = decoder_step(decoder, run.items, items, err);
        if (status == STATUS_OK)
            status = sample_items(&run, items, err);
        if (status == STATUS_OK)
            take_tokens(&run, items, token, context);
        if (status == STATUS_OK && !sampling->finish && stop_requested())
            status = STATUS_STOPPED;
    }
    run_clear(&run);
    return status;
}
