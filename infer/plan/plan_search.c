/* Which layouts there are, and which of them are best. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "infer/plan/planner.h"
#include "infer/plan/quantity.h"

enum { BATCH_MAX = 1 << 16, MEDHA_TP = 8 };

typedef struct Searching {
    const PlanModel *model;
    const PlanHardware *hardware;
    const PlanRequest *request;
    PlanSearch *found;
} Searching;

static void keep(PlanSearch *found, const PlanPoint *point)
{
    found->points = mem_grow(found->points, &found->capacity, found->count + 1, sizeof *point);
    found->points[found->count++] = *point;
}

/* A layout with every batch that fits. */
static void try_layout(const Searching *s, const PlanLayout *layout)
{
    int64_t fixed = s->request->batch;
    int64_t first = fixed > 0 ? fixed : layout->dp * layout->pp;
    if (fixed > 0 && fixed % (layout->dp * layout->pp) != 0)
        return;
    for (int64_t batch = first; batch <= (fixed > 0 ? fixed : BATCH_MAX); batch *= 2) {
        PlanPoint point = plan_point(s->model, s->hardware, s->request, layout, batch);
        s->found->tried++;
        if (!point.cost.fits) {
            double bytes = point.cost.weight_bytes + point.cost.cache_bytes;
            if (s->found->least_memory == 0.0 || bytes < s->found->least_memory)
                s->found->least_memory = bytes;
            return;
        }
        keep(s->found, &point);
    }
}

/* The same attention with every way to divide the feed-forward part of a mixture or of merged
 * experts among `ranks`; all of them cut a dense one. */
static void try_feed_forward(const Searching *s, PlanLayout layout, int64_t ranks)
{
    int64_t experts = plan_model_experts(s->model);
    for (int64_t ep = 1; ep <= ranks && ep <= experts; ep++) {
        if (ranks % ep != 0)
            continue;
        layout.grid.ep = ep;
        layout.grid.tpf = ranks / ep;
        try_layout(s, &layout);
    }
}

static void try_helix(const Searching *s, int64_t ranks)
{
    Err why;
    int64_t most = plan_model_kv_heads(s->model);
    for (int64_t tpa = 1; tpa <= most && tpa <= ranks; tpa++) {
        PlanGrid grid = {.kvp = ranks / tpa, .tpa = tpa, .tpf = ranks, .ep = 1};
        if (ranks % tpa == 0 && plan_grid_check(s->model, &grid, &why) == STATUS_OK)
            try_feed_forward(
                s, (PlanLayout){.strategy = PLAN_HELIX, .grid = grid, .dp = 1, .pp = 1}, ranks);
    }
}

/* TP alone, and in pipeline stages. */
static void try_tp(const Searching *s, int64_t ranks)
{
    for (int64_t pp = 1; pp <= ranks && pp <= plan_model_layers(s->model); pp++) {
        int64_t tp = ranks / pp;
        if (ranks % pp != 0 || tp > s->model->stacks[0].n_heads)
            continue;
        PlanLayout layout = {.strategy = pp > 1 ? PLAN_PP : PLAN_TP,
                             .grid = {.kvp = 1, .tpa = tp},
                             .dp = 1,
                             .pp = pp};
        try_feed_forward(s, layout, tp);
    }
}

/* Requests divided among groups of ranks, experts among all of them. */
static void try_ep(const Searching *s, int64_t ranks)
{
    if (s->model->stacks[0].routing.n_experts == 0)
        return;
    for (int64_t dp = 2; dp <= ranks; dp++) {
        int64_t tp = ranks / dp;
        if (ranks % dp != 0 || tp > s->model->stacks[0].n_heads)
            continue;
        PlanLayout layout = {.strategy = PLAN_EP, .grid = {.kvp = 1, .tpa = tp}, .dp = dp, .pp = 1};
        try_feed_forward(s, layout, ranks);
    }
}

/* Medha: published for dense models with ordinary attention, within one machine's TP. */
static void try_kvp(const Searching *s, int64_t ranks)
{
    const PlanStack *stack = &s->model->stacks[0];
    if (s->model->n_stacks > 1 || stack->routing.n_experts > 0 || stack->latent.kv_rank > 0)
        return;
    for (int64_t tp = 1; tp < ranks && tp <= MEDHA_TP && tp <= stack->n_kv_heads; tp++)
        if (ranks % tp == 0)
            try_layout(s, &(PlanLayout){.strategy = PLAN_KVP,
                                        .grid = {.kvp = ranks / tp, .tpa = tp, .tpf = tp, .ep = 1},
                                        .dp = 1,
                                        .pp = 1});
}

Status planner_search(const PlanModel *model, const PlanHardware *hardware,
                      const PlanRequest *request, PlanSearch *out, Err *err)
{
    *out = (PlanSearch){0};
    Searching s = {.model = model, .hardware = hardware, .request = request, .found = out};
    int64_t most = request->ranks;
    for (int64_t ranks = 1; ranks <= most;
         ranks = ranks * 2 > most && ranks < most ? most : ranks * 2) {
        if (ranks < request->min_ranks)
            continue;
        try_helix(&s, ranks);
        try_tp(&s, ranks);
        try_ep(&s, ranks);
        try_kvp(&s, ranks);
    }
    if (out->count > 0)
        return STATUS_OK;
    if (out->tried == 0)
        return err_set(err, "no layout of %s has %lld ranks and a batch of %lld", model->name,
                       (long long)most, (long long)request->batch);
    StrBuf need = {0}, have = {0};
    quantity_put(&need, out->least_memory, "B");
    quantity_put(&have, plan_rank_memory(hardware, most), "B");
    Status status =
        err_set(err,
                "%s does not fit: a rank would hold at least %s of weights and cache, and has %s; "
                "take more ranks, a shorter context or narrower types",
                model->name, need.data, have.data);
    strbuf_clear(&need);
    strbuf_clear(&have);
    plan_search_clear(out);
    return status;
}

void plan_search_clear(PlanSearch *search)
{
    free(search->points);
    *search = (PlanSearch){0};
}

/* ---- the best -------------------------------------------------------------------------------- */

static bool is_among(const PlanPoint *point, unsigned strategies)
{
    return (strategies >> point->layout.strategy & 1u) != 0;
}

/* Faster users first; among equals, more per rank, then fewer ranks, then the order of the search
 * (which begins with Helix and with few groups). */
static int by_speed(const void *a, const void *b)
{
    const PlanPoint *x = *(const PlanPoint *const *)a, *y = *(const PlanPoint *const *)b;
    if (x->per_user != y->per_user)
        return x->per_user < y->per_user ? 1 : -1;
    if (x->per_rank != y->per_rank)
        return x->per_rank < y->per_rank ? 1 : -1;
    int64_t rx = plan_ranks(&x->layout), ry = plan_ranks(&y->layout);
    return rx != ry ? (rx > ry) - (rx < ry) : (x > y) - (x < y);
}

int64_t plan_front(const PlanSearch *search, unsigned strategies, const PlanPoint **front)
{
    int64_t count = 0, kept = 0;
    for (int64_t i = 0; i < search->count; i++)
        if (is_among(&search->points[i], strategies))
            front[count++] = &search->points[i];
    if (count > 1)
        qsort(front, (size_t)count, sizeof *front, by_speed);
    double best = 0.0;
    for (int64_t i = 0; i < count; i++)
        if (front[i]->per_rank > best) {
            best = front[i]->per_rank;
            front[kept++] = front[i];
        }
    return kept;
}

const PlanPoint *plan_pick(const PlanSearch *search, unsigned strategies, double ttl)
{
    const PlanPoint *best = NULL;
    for (int64_t i = 0; i < search->count; i++) {
        const PlanPoint *p = &search->points[i];
        if (!is_among(p, strategies) || (ttl > 0.0 && p->cost.total > ttl))
            continue;
        double gain = !best       ? 1.0
                      : ttl > 0.0 ? p->per_rank - best->per_rank
                                  : p->per_user - best->per_user;
        if (gain > 0.0 || (gain == 0.0 && by_speed(&p, &best) < 0))
            best = p;
    }
    return best;
}

PlanGain plan_gain(const PlanSearch *search)
{
    PlanGain gain = {0};
    const PlanPoint *helix = plan_pick(search, 1u << PLAN_HELIX, 0.0);
    const PlanPoint *other = plan_pick(search, PLAN_BASELINES, 0.0);
    if (!helix || !other)
        return gain;
    gain.interactivity = helix->per_user / other->per_user;
    const PlanPoint **front = xmalloc((size_t)search->count * sizeof *front);
    int64_t n = plan_front(search, PLAN_BASELINES, front);
    for (int64_t i = 0; i < n; i++) {
        helix = plan_pick(search, 1u << PLAN_HELIX, front[i]->cost.total);
        if (helix && helix->per_rank / front[i]->per_rank > gain.throughput) {
            gain.throughput = helix->per_rank / front[i]->per_rank;
            gain.at = front[i]->cost.total;
        }
    }
    free(front);
    return gain;
}

Status planner_best(const PlanModel *model, const PlanHardware *hardware,
                    const PlanRequest *request, PlanPoint *out, Err *err)
{
    PlanSearch search;
    TRY(planner_search(model, hardware, request, &search, err));
    const PlanPoint *best = plan_pick(&search, 1u << PLAN_HELIX, request->ttl);
    const PlanPoint *fastest = plan_pick(&search, 1u << PLAN_HELIX, 0.0);
    Status status = STATUS_OK;
    if (best)
        *out = *best;
    else if (fastest)
        status = err_set(err,
                         "no grid makes a token of %s in %.4g ms; the fastest takes %.4g ms: allow "
                         "that, more ranks, a shorter context or narrower types",
                         model->name, request->ttl * 1e3, fastest->cost.total * 1e3);
    else
        status = err_set(err, "no Helix grid of %s fits; take more ranks", model->name);
    plan_search_clear(&search);
    return status;
}
