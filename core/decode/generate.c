#include "core/decode/generate.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

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
    Sampler *sampler;
} Run;

static void seat_free(Run *run, Seat *seat)
{
    if (!run->generations[seat->generation].is_open)
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
        const Generation *g = &run->generations[seat->generation];
        seat->sequence = g->is_open ? g->sequence : decoder_open(run->decoder);
        CHECK(seat->sequence >= 0, "no sequence for seat %lld", (long long)i);
        sampling_start(run->sampling, seat->generation, &seat->rng);
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
    for (int64_t i = 0; i < n; i++) {
        Seat *seat = &run->seats[run->item_seat[i]];
        run->rules[i] = sampling_rule(run->sampling, &seat->rng, &seat->seen);
    }
    Tensor logits = decoder_logits(run->decoder);
    return sampler_draw(run->sampler, &logits, run->rules, run->ids, run->logprobs, err);
}

static void take_tokens(Run *run, int64_t n, GenerationToken *token, void *context)
{
    for (int64_t i = 0; i < n; i++) {
        Seat *seat = &run->seats[run->item_seat[i]];
        Generation *g = &run->generations[seat->generation];
        int32_t id = run->ids[i];
        if (g->ends && id_list_has(g->ends, id)) {
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
    Device device = decoder_device(run->decoder);
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
    return sampler_new(&run->sampler, &device, run->n_seats, err);
}

static void run_clear(Run *run)
{
    for (int64_t i = 0; i < run->n_seats; i++) {
        if (run->seats[i].generation >= 0)
            seat_free(run, &run->seats[i]);
        id_list_clear(&run->seats[i].seen);
    }
    sampler_free(run->sampler);
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
