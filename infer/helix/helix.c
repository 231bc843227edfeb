#include "infer/helix/helix.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/io/checkpoint.h"
#include "infer/helix/choose_grid.h"
#include "infer/helix/command.h"
#include "infer/helix/memory.h"

/* A rank of this process. */
typedef struct Seat {
    Helix *helix;
    HelixMember member;
    HelixShards shards;
    LoadedModel model;
    Device device; /* until the model takes it */
    pthread_t thread;
    bool running;
    Status status;
    Err err;
} Seat;

struct Helix {
    const char *path;
    const LoadSettings *load;
    int n_ranks;
    HelixGrid grid;
    MemoryBudget budget;
    int64_t block;
    bool hopb;
    Ranks ranks; /* processes, if they are */
    Device device;
    int n_seats; /* ranks of this process: all of them as threads, or one */
    Seat *seats;
    int width; /* workers before the ranks shared them */
    bool opened;
    HelixLeader leader;
};

/* ---- the grid and the memory ----------------------------------------------------------------- */

static Status plan_grid(Helix *h, const HelixSettings *settings, const ModelConfig *const *configs,
                        int64_t n, Err *err)
{
    LoadTypes types;
    TRY(load_model_types(h->load, &h->device, &types, err));
    GridWish wish = {.ranks = h->n_ranks,
                     .own_devices = h->ranks.comm && h->device.ops->memory,
                     .context = settings->grid_context,
                     .batch = settings->grid_batch > 0 ? settings->grid_batch : 1,
                     .weights = types.weights,
                     .kv = types.kv,
                     .hopb = h->hopb};
    for (int64_t i = 0; settings->grid_context == 0 && i < n; i++)
        wish.context =
            i == 0 || configs[i]->context < wish.context ? configs[i]->context : wish.context;
    GridChoice choice = helix_choose_grid(&wish, configs, n);
    char text[64];
    helix_grid_text(&choice.grid, text, sizeof text);
    log_debug("--grid auto is %s: %s", text, choice.reason);
    h->grid = choice.grid;
    return STATUS_OK;
}

static Status choose_grid(Helix *h, const HelixSettings *settings,
                          const ModelConfig *const *configs, int64_t n, Err *err)
{
    if (h->n_ranks == 1) {
        h->grid = (HelixGrid){1, 1, 1, 1};
        return strcmp(settings->grid, "auto") == 0
                   ? STATUS_OK
                   : err_usage(err, "--grid is for several ranks; give --ranks");
    }
    if (strcmp(settings->grid, "auto") == 0)
        TRY(plan_grid(h, settings, configs, n, err));
    else
        TRY(helix_grid_parse(settings->grid, h->n_ranks, &h->grid, err));
    return helix_grid_check(&h->grid, configs, n, err);
}

/* Ranks that share this process's memory: its threads, or on the host the machine's processes. */
static int64_t local_ranks(const Helix *h)
{
    if (!h->ranks.comm)
        return h->n_ranks;
    return h->device.ops->memory ? 1 : comm_launch().local_size;
}

/* What the model's description decides: the grid, and the memory that decoders may take. */
static Status plan_model(Helix *h, const HelixSettings *settings, Err *err)
{
    Container *file;
    CheckpointInfo info;
    TRY(container_open(&file, h->path, err));
    Status status = checkpoint_info_read(file, &info, err);
    if (status == STATUS_OK) {
        status = checkpoint_info_extend(&info, &h->load->rope, err);
        const ModelConfig **configs = xcalloc((size_t)info.n_experts, sizeof *configs);
        for (int64_t i = 0; i < info.n_experts; i++)
            configs[i] = &info.experts[i].config;
        if (status == STATUS_OK)
            status = choose_grid(h, settings, configs, info.n_experts, err);
        HelixMemory memory = {.file = file,
                              .info = &info,
                              .load = h->load,
                              .device = &h->device,
                              .ranks = h->n_ranks,
                              .local = local_ranks(h),
                              .kvp = h->grid.kvp,
                              .asked = (double)settings->memory};
        if (status == STATUS_OK)
            status = helix_memory_budget(&memory, &h->budget, err);
        free(configs);
        checkpoint_info_clear(&info);
    }
    container_close(file);
    return status;
}

/* ---- one rank ------------------------------------------------------------------------------- */

/* The ranks of a phase, in the order of the others' numbers. Collective. */
static Status split_comms(HelixComms *comms, const HelixGrid *grid, Err *err)
{
    int rank = comms->world->rank;
    TRY(comm_split(comms->world, rank / grid->kvp, &comms->kvp, err));
    TRY(comm_split(comms->world, rank / grid->tpf, &comms->tpf, err));
    return comm_split(comms->world, rank % grid->tpf, &comms->ep, err);
}

/* Loads this rank's shards and meets the others. */
static Status seat_open(Seat *seat, Err *err)
{
    const Helix *h = seat->helix;
    HelixMember *m = &seat->member;
    *m = (HelixMember){
        .comms = {.world = m->comms.world}, .grid = h->grid, .block = h->block, .hopb = h->hopb};
    seat->shards = (HelixShards){.grid = h->grid, .rank = m->comms.world->rank};
    ShardPlan plan = helix_shard_plan(&seat->shards);
    Device device = seat->device;
    seat->device = (Device){0};
    Status status = device.ops ? STATUS_OK : device_open(&device, h->load->device, err);
    if (status == STATUS_OK)
        status = load_model_on(&seat->model, h->path, h->load, &device, &plan, err);
    TRY(helix_agree(m->comms.world, status, err));
    m->ensemble = seat->model.ensemble;
    return split_comms(&m->comms, &h->grid, err);
}

static void seat_close(Seat *seat)
{
    HelixComms *c = &seat->member.comms;
    load_model_close(&seat->model);
    comm_free(c->kvp);
    comm_free(c->tpf);
    comm_free(c->ep);
    if (!seat->helix->ranks.comm)
        comm_free(c->world);
    *c = (HelixComms){0};
}

static void *seat_main(void *argument)
{
    Seat *seat = argument;
    int width = seat->helix->width / seat->helix->n_ranks;
    parallel_set_width(width > 0 ? width : 1);
    seat->status = seat_open(seat, &seat->err);
    /* When all agree that one cannot open, the leader says it. */
    if (seat->status == STATUS_OK)
        seat->status = helix_follow_commands(&seat->member, &seat->err);
    if (seat->status != STATUS_OK)
        comm_abort(seat->member.comms.world);
    return NULL;
}

/* A rank that failed knows more than the leader, which only hears that another one did. */
static void explain(void *context, Err *err)
{
    Helix *h = context;
    for (int r = 1; r < h->n_seats; r++) {
        Seat *seat = &h->seats[r];
        if (!seat->running)
            continue;
        pthread_join(seat->thread, NULL);
        seat->running = false;
        if (seat->status != STATUS_OK && strcmp(seat->err.text, "another rank failed") != 0) {
            err_set(err, "rank %d of %d: %s", r, h->n_ranks, seat->err.text);
            err->usage = seat->err.usage;
            return;
        }
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

static void take_seats(Helix *h, int n)
{
    h->n_seats = n;
    h->seats = xcalloc((size_t)n, sizeof *h->seats);
    for (int r = 0; r < n; r++)
        h->seats[r].helix = h;
}

static void start_threads(Helix *h, const CommWire *wire)
{
    Comm **comms = xcalloc((size_t)h->n_ranks, sizeof(Comm *));
    comm_threads_new(h->device.ops, h->n_ranks, wire, comms);
    for (int r = 0; r < h->n_ranks; r++)
        h->seats[r].member.comms.world = comms[r];
    for (int r = 1; r < h->n_ranks; r++) {
        Seat *seat = &h->seats[r];
        CHECK(pthread_create(&seat->thread, NULL, seat_main, seat) == 0, "no thread for a rank");
        seat->running = true;
    }
    free(comms);
}

static Status open_ranks(Helix *h, const HelixSettings *settings, const CommWire *wire, Err *err)
{
    TRY(ranks_agree(&h->ranks, plan_model(h, settings, err), err));
    take_seats(h, h->ranks.comm ? 1 : h->n_ranks);
    h->width = parallel_width();
    Seat *own = &h->seats[0];
    if (h->ranks.comm) {
        own->member.comms.world = h->ranks.comm;
        h->ranks.in_phase = true; /* from here on all follow the leader */
    } else {
        start_threads(h, wire);
        int share = h->width / h->n_ranks;
        parallel_set_width(share > 0 ? share : 1);
    }
    own->device = h->device;
    h->device = (Device){0};
    TRY(seat_open(own, err));
    h->opened = true;
    helix_leader_init(&h->leader, &own->member);
    if (!h->ranks.comm) {
        h->leader.explain = explain;
        h->leader.context = h;
    }
    return STATUS_OK;
}

static Status check_settings(const HelixSettings *s, Err *err)
{
    if (s->ranks < 1 || s->ranks > HELIX_RANKS)
        return err_usage(err, "--ranks is from 1 to %d", HELIX_RANKS);
    if (s->block < 1 || 64 % s->block != 0)
        return err_usage(err, "--kv-block divides 64, the positions of a page");
    if (s->memory < 0)
        return err_usage(err, "--memory is 0 or more bytes");
    return STATUS_OK;
}

Status helix_open(Helix **out, const char *path, const LoadSettings *load,
                  const HelixSettings *settings, const CommWire *wire, Err *err)
{
    *out = NULL;
    TRY(check_settings(settings, err));
    Helix *h = xcalloc(1, sizeof *h);
    *h = (Helix){.path = path,
                 .load = load,
                 .block = settings->block,
                 .hopb = strcmp(settings->hopb, "on") == 0};
    *out = h;
    RanksWish wish = {.kind = settings->comm,
                      .device = load->device,
                      .require = load->require,
                      .count = settings->ranks,
                      .count_given = settings->ranks != 1};
    TRY(ranks_open(&h->ranks, &h->device, &wish, err));
    h->n_ranks = h->ranks.count;
    if (h->n_ranks > 1)
        return open_ranks(h, settings, wire, err);
    TRY(plan_model(h, settings, err));
    Device device = h->device;
    h->device = (Device){0};
    take_seats(h, 1);
    return load_model_on(&h->seats[0].model, path, load, &device, NULL, err);
}

/* ---- use ------------------------------------------------------------------------------------ */

bool helix_leads(const Helix *h)
{
    return h->ranks.is_first;
}

Status helix_follow(Helix *h, Err *err)
{
    return helix_follow_commands(&h->seats[0].member, err);
}

const LoadedModel *helix_model(const Helix *h)
{
    return &h->seats[0].model;
}

RunnerSource *helix_source(Helix *h)
{
    return h->n_ranks > 1 ? &h->leader.source : NULL;
}

const MemoryBudget *helix_budget(const Helix *h)
{
    return &h->budget;
}

int helix_ranks(const Helix *h)
{
    return h->n_ranks;
}

HelixGrid helix_grid(const Helix *h)
{
    return h->grid;
}

HelixTimes helix_times(const Helix *h)
{
    const HelixRank *rank = h->seats[0].member.rank;
    return rank ? helix_rank_times(rank) : h->leader.times;
}

/* The threads end when they are told to, or because a collective fails. */
static void end_threads(Helix *h)
{
    for (int r = 1; r < h->n_seats; r++)
        if (h->seats[r].running)
            pthread_join(h->seats[r].thread, NULL);
}

Status helix_close(Helix *h, Status status, Err *err)
{
    Err lost;
    if (!h)
        return status;
    /* The leader tells the followers to quit; a follower whose work went well was told. */
    bool leads = h->n_ranks > 1 && h->opened && h->ranks.is_first;
    if (leads ? helix_leader_quit(&h->leader, &lost) == STATUS_OK
              : h->opened && status == STATUS_OK)
        h->ranks.in_phase = false;
    end_threads(h);
    for (int r = 0; r < h->n_seats; r++)
        seat_close(&h->seats[r]);
    if (h->n_seats > 1)
        parallel_set_width(h->width);
    status = ranks_close(&h->ranks, &h->device, status, err);
    free(h->seats);
    free(h);
    return status;
}

Status helix_use(const char *path, const LoadSettings *load, const HelixSettings *settings,
                 HelixWork *work, void *context, Err *err)
{
    Helix *helix;
    Status status = helix_open(&helix, path, load, settings, NULL, err);
    if (status == STATUS_OK)
        status = helix_leads(helix) ? work(context, helix, err) : helix_follow(helix, err);
    return helix_close(helix, status, err);
}
