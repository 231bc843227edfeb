#include "infer/plan/planner.h"

#include <math.h>

#include "infer/plan/roofline.h"

const char *plan_strategy_name(PlanStrategy strategy)
{
    static const char *const names[PLAN_STRATEGIES] = {"helix", "tp", "tp+pp", "dp+ep", "kvp"};
    return names[strategy];
}

int64_t plan_ranks(const PlanLayout *layout)
{
    return layout->grid.kvp * layout->grid.tpa * layout->dp * layout->pp;
}

/* ---- a layout's shares ----------------------------------------------------------------------- */

/* What a layout means for one rank. */
typedef struct Share {
    const PlanModel *model;
    const PlanRequest *request;
    const PlanLayout *layout;
    const PlanLink *link;
    bool hides;    /* whether an exchange can run beside attention */
    double tokens; /* of one step, over all ranks: a stage's part of the batch */
    double rows;   /* of them, those whose attention this rank computes */
    double bandwidth, attention_rate, weight_rate; /* bytes and operations per second */
    double wire;                                   /* bytes of an activation */
    int64_t tp;    /* ranks that share the output projection and the head */
    int64_t out;   /* the same, as the elements are counted */
    int64_t dense; /* ranks that share a dense feed-forward part */
} Share;

static Share share_of(const PlanModel *model, const PlanHardware *hardware,
                      const PlanRequest *request, const PlanLayout *layout, int64_t batch)
{
    const PlanGrid *grid = &layout->grid;
    int64_t ranks = plan_ranks(layout);
    bool helix = layout->strategy == PLAN_HELIX;
    int64_t tp = helix ? grid->kvp * grid->tpa : grid->tpa;
    double tokens = (double)batch / (double)layout->pp;
    return (Share){
        .model = model,
        .request = request,
        .layout = layout,
        .link = plan_link(hardware, ranks),
        .hides = helix && !request->lockstep && !hardware->shared,
        .tokens = tokens,
        .rows = tokens / (double)layout->dp,
        .bandwidth = plan_rank_bandwidth(hardware, ranks),
        .attention_rate = plan_rank_flops(hardware, request->kv, ranks),
        .weight_rate = plan_rank_flops(hardware, request->weights, ranks),
        .wire = request->weights == PLAN_F32 ? 4.0 : 2.0,
        .tp = tp,
        .out = helix && request->literal ? grid->tpa : tp,
        /* Merged experts are cut by the width of their group, like routed ones. */
        .dense = model->n_stacks > 1 ? grid->tpf : tp,
    };
}

/* Bytes of an element of a stack's matrices. */
static double weight_bytes(const Share *share, const PlanStack *stack)
{
    return plan_type_bytes(share->request->weights, stack->d_model);
}

/* Whether merged expert `i` belongs to expert-parallel group `group`. */
static bool is_in_group(const Share *share, int64_t i, int64_t group)
{
    return share->model->n_stacks == 1 || i % share->layout->grid.ep == group;
}

static int64_t groups(const Share *share)
{
    return share->model->n_stacks == 1 ? 1 : share->layout->grid.ep;
}

/* ---- one layer ------------------------------------------------------------------------------- */

/* A roof: whichever of memory and arithmetic takes longer. */
static double roof(double bytes, double bandwidth, double flops, double rate)
{
    return fmax(bytes / bandwidth, flops / rate);
}

/* All-reduce of `bytes` over `width` ranks: each sends 2 (width - 1) / width of them. */
static void add_all_reduce(const Share *share, double bytes, int64_t width, PlanCost *cost)
{
    if (width < 2)
        return;
    double sent = 2.0 * bytes * (double)(width - 1) / (double)width;
    cost->sent += sent;
    cost->reduce += share->link->all_reduce.latency + sent / share->link->all_reduce.bandwidth;
}

/* An all-to-all or all-gather in which a rank sends (or receives, if that is more) `sent` bytes. */
static void add_exchange(const Share *share, double sent, int64_t width, PlanCost *cost)
{
    if (width < 2)
        return;
    cost->sent += sent;
    cost->reduce += share->link->all_to_all.latency + sent / share->link->all_to_all.bandwidth;
}

/* The exchange of partial outputs beside `attention` seconds, in the number of pieces that ends
 * soonest. */
static void add_merge(const Share *share, double sent, double attention, double pairs,
                      PlanCost *cost)
{
    const PlanWire *wire = &share->link->all_to_all;
    double whole = wire->latency + sent / wire->bandwidth, best = attention + whole;
    cost->pieces = 1;
    for (int64_t n = 2; share->hides && (double)n <= pairs; n *= 2) {
        double piece = wire->latency + sent / (double)n / wire->bandwidth;
        double seconds = hopb_seconds(n, attention / (double)n, piece);
        if (seconds < best) {
            best = seconds;
            cost->pieces = n;
        }
    }
    cost->sent += sent;
    cost->exchange += best - attention;
    if (cost->pieces > 1)
        cost->hidden += attention + whole - best;
}

static void add_attention(const Share *share, int64_t layer, PlanCost *cost)
{
    const PlanGrid *grid = &share->layout->grid;
    double context = share->request->context;
    double cache = 0.0, flops = 0.0, weights = 0.0, products = 0.0, merged = 0.0, width = 0.0;
    double pairs = 0.0;
    for (int64_t i = 0; i < share->model->n_stacks; i++) {
        const PlanStack *s = &share->model->stacks[i];
        if (layer >= s->n_layers)
            continue;
        double elements = attention_elements(s, grid->tpa, share->out);
        cache += kv_bytes(s, share->request->kv, share->rows, context, grid->tpa, grid->kvp);
        flops += attention_flops(s, share->rows, context, grid->tpa, grid->kvp);
        weights += elements * weight_bytes(share, s);
        products += 2.0 * share->rows * elements;
        ExchangeBytes e = exchange_bytes(share->rows, rank_heads(s, grid->tpa), exchange_width(s),
                                         grid->kvp, share->wire);
        merged += e.output + e.lse;
        width += (double)s->d_model;
        pairs += share->rows;
    }
    double attention = roof(cache, share->bandwidth, flops, share->attention_rate);
    cost->compute_bound = flops / share->attention_rate > cache / share->bandwidth;
    cost->attention += attention;
    cost->attention_weights += roof(weights, share->bandwidth, products, share->weight_rate);
    cost->read += cache + weights;
    /* Medha's groups gather whole partial outputs, since each of them goes on with all heads. */
    if (share->layout->strategy == PLAN_KVP)
        merged *= (double)grid->kvp;
    if (grid->kvp > 1)
        add_merge(share, merged, attention, pairs, cost);
    add_all_reduce(share, share->rows * width * share->wire, share->tp, cost);
}

/* Bytes that a rank of a group reads of the feed-forward part, and its operations. */
static void feed_forward(const Share *share, int64_t layer, int64_t group, double *bytes,
                         double *flops)
{
    const PlanGrid *grid = &share->layout->grid;
    *bytes = *flops = 0.0;
    for (int64_t i = 0; i < share->model->n_stacks; i++) {
        const PlanStack *s = &share->model->stacks[i];
        if (layer >= s->n_layers || !is_in_group(share, i, group))
            continue;
        if (layer < s->n_dense) {
            double elements = dense_elements(s, share->dense);
            *bytes += elements * weight_bytes(share, s);
            *flops += 2.0 * share->rows * elements;
            continue;
        }
        double shared = shared_elements(s, share->dense), expert = expert_elements(s, grid->tpf);
        /* The busiest group reads the average, and never less than one. */
        double experts = distinct_experts(&s->routing, share->tokens) / (double)grid->ep;
        double uses = share->tokens * (double)s->routing.active / (double)grid->ep;
        *bytes += (shared + fmax(1.0, experts) * expert) * weight_bytes(share, s);
        *flops += 2.0 * (share->rows * shared + uses * expert);
    }
}

/* The width of all residuals of a layer, and whether it has a mixture. */
static double residual_width(const Share *share, int64_t layer, bool *mixture)
{
    double width = 0.0;
    *mixture = share->model->n_stacks > 1;
    for (int64_t i = 0; i < share->model->n_stacks; i++) {
        const PlanStack *s = &share->model->stacks[i];
        if (layer < s->n_layers)
            width += (double)s->d_model;
        *mixture = *mixture || (layer >= s->n_dense && layer < s->n_layers);
    }
    return width;
}

static void add_feed_forward(const Share *share, int64_t layer, PlanCost *cost)
{
    const PlanGrid *grid = &share->layout->grid;
    double slowest = 0.0, most = 0.0, bytes, flops;
    for (int64_t g = 0; g < groups(share); g++) {
        feed_forward(share, layer, g, &bytes, &flops);
        slowest = fmax(slowest, roof(bytes, share->bandwidth, flops, share->weight_rate));
        most = fmax(most, bytes);
    }
    cost->feed_forward += slowest;
    cost->read += most;

    bool mixture;
    double residual = residual_width(share, layer, &mixture) * share->wire;
    double ep = (double)grid->ep;
    if (!mixture) {
        add_all_reduce(share, share->rows * residual, share->tp, cost);
    } else if (share->layout->strategy == PLAN_EP) {
        /* Tokens go to their experts' ranks and come back. */
        double active = (double)share->model->stacks[0].routing.active;
        double sent = share->rows * active * residual * (ep - 1.0) / ep / (double)grid->tpa;
        add_exchange(share, sent, grid->ep, cost);
        add_exchange(share, sent, grid->ep, cost);
        add_all_reduce(share, share->tokens * active / ep * residual, grid->tpf, cost);
    } else if (share->model->n_stacks > 1) {
        /* Groups complete their experts' residuals, then everybody gets those of the others. */
        add_all_reduce(share, share->rows * residual / ep, grid->tpf, cost);
        add_exchange(share, share->rows * residual * (ep - 1.0) / ep, grid->ep, cost);
    } else {
        /* Each group has its experts' part of the sum: gathered, and added on every rank. */
        add_all_reduce(share, share->rows * residual, grid->tpf, cost);
        add_exchange(share, share->rows * residual * (ep - 1.0), grid->ep, cost);
    }
}

/* ---- a whole step ---------------------------------------------------------------------------- */

/* The first layer after `layer` that is of another kind, for any stack. */
static int64_t next_kind(const PlanModel *model, int64_t layer)
{
    int64_t next = plan_model_layers(model);
    for (int64_t i = 0; i < model->n_stacks; i++) {
        const int64_t ends[] = {model->stacks[i].n_dense, model->stacks[i].n_layers};
        for (int k = 0; k < 2; k++)
            if (ends[k] > layer && ends[k] < next)
                next = ends[k];
    }
    return next;
}

static void add_scaled(PlanCost *cost, const PlanCost *layer, double times)
{
    cost->attention += times * layer->attention;
    cost->attention_weights += times * layer->attention_weights;
    cost->feed_forward += times * layer->feed_forward;
    cost->exchange += times * layer->exchange;
    cost->hidden += times * layer->hidden;
    cost->reduce += times * layer->reduce;
    cost->read += times * layer->read;
    cost->sent += times * layer->sent;
    cost->pieces = layer->pieces > cost->pieces ? layer->pieces : cost->pieces;
    cost->compute_bound = cost->compute_bound || layer->compute_bound;
}

static void add_head(const Share *share, PlanCost *cost)
{
    double bytes = 0.0, flops = 0.0;
    for (int64_t i = 0; i < share->model->n_stacks; i++) {
        const PlanStack *s = &share->model->stacks[i];
        double elements = (double)share->model->vocab * (double)s->d_model / (double)share->tp;
        bytes += elements * weight_bytes(share, s);
        flops += 2.0 * share->rows * elements;
    }
    cost->head = roof(bytes, share->bandwidth, flops, share->weight_rate);
    cost->read += bytes;
    if (share->tp > 1) /* the best tokens and the log-sum-exp of each part of the vocabulary */
        cost->reduce += share->link->all_reduce.latency;
}

/* Layers of a stage times stages: what a token passes when they are not even. */
static double stage_layers(const Share *share)
{
    int64_t layers = plan_model_layers(share->model), pp = share->layout->pp;
    return (double)((layers + pp - 1) / pp * pp);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* What a rank holds of all layers' matrices, for one stack. */
static double held_elements(const Share *share, const PlanStack *s, bool with_feed_forward)
{
    const PlanGrid *grid = &share->layout->grid;
    int64_t mixed = s->n_layers - s->n_dense;
    double elements = (double)s->n_layers * attention_elements(s, grid->tpa, share->tp);
    if (!with_feed_forward)
        return elements;
    int64_t experts = (s->routing.n_experts + grid->ep - 1) / grid->ep;
    return elements + (double)s->n_dense * dense_elements(s, share->dense) +
           (double)mixed *
               (shared_elements(s, share->dense) + (double)experts * expert_elements(s, grid->tpf));
}

static void add_memory(const Share *share, int64_t batch, PlanCost *cost)
{
    const PlanModel *model = share->model;
    const PlanGrid *grid = &share->layout->grid;
    double part =
        stage_layers(share) / (double)plan_model_layers(model) / (double)share->layout->pp;
    double table = (double)(model->vocab * model->n_embed) / (double)share->tp;
    for (int64_t g = 0; g < groups(share); g++) {
        double held = table * weight_bytes(share, &model->stacks[0]);
        for (int64_t i = 0; i < model->n_stacks; i++) {
            const PlanStack *s = &model->stacks[i];
            double head = s->tied_head ? 0.0 : (double)(model->vocab * s->d_model);
            held +=
                weight_bytes(share, s) * (part * held_elements(share, s, is_in_group(share, i, g)) +
                                          head / (double)share->tp);
        }
        cost->weight_bytes = fmax(cost->weight_bytes, held);
    }
    for (int64_t i = 0; i < model->n_stacks; i++)
        cost->cache_bytes += part * (double)model->stacks[i].n_layers *
                             kv_bytes(&model->stacks[i], share->request->kv,
                                      (double)batch / (double)share->layout->dp,
                                      share->request->context, grid->tpa, grid->kvp);
}

PlanPoint plan_point(const PlanModel *model, const PlanHardware *hardware,
                     const PlanRequest *request, const PlanLayout *layout, int64_t batch)
{
    Share share = share_of(model, hardware, request, layout, batch);
    PlanPoint point = {.layout = *layout, .batch = batch};
    PlanCost *cost = &point.cost;
    int64_t layers = plan_model_layers(model);
    double passed = layers ? stage_layers(&share) / (double)layers : 1.0;
    for (int64_t l = 0, next; l < layers; l = next) {
        PlanCost layer = {0};
        next = next_kind(model, l);
        add_attention(&share, l, &layer);
        add_feed_forward(&share, l, &layer);
        add_scaled(cost, &layer, passed * (double)(next - l));
    }
    add_head(&share, cost);
    for (int64_t stage = 1; stage < layout->pp; stage++)
        add_exchange(&share, share.rows * (double)model->stacks[0].d_model * share.wire, 2, cost);
    cost->overhead = hardware->layer_overhead * (passed * (double)layers + 1.0);
    cost->total = cost->attention + cost->attention_weights + cost->feed_forward + cost->head +
                  cost->exchange + cost->reduce + cost->overhead;
    if (layers)
        add_memory(&share, batch, cost);
    cost->fits =
        cost->weight_bytes + cost->cache_bytes <= plan_rank_memory(hardware, plan_ranks(layout));
    point.per_user = 1.0 / cost->total;
    point.per_rank = (double)batch * point.per_user / (double)plan_ranks(layout);
    return point;
}

/* ---- one Helix grid -------------------------------------------------------------------------- */

Status plan_grid_check(const PlanModel *model, const PlanGrid *grid, Err *err)
{
    const struct {
        const char *name;
        int64_t value;
    } widths[] = {{"kvp", grid->kvp}, {"tpa", grid->tpa}, {"tpf", grid->tpf}, {"ep", grid->ep}};
    for (int i = 0; i < 4; i++)
        if (widths[i].value < 1 || widths[i].value > PLAN_RANKS_MAX)
            return err_set(err, "grid: %s is %lld; it must be from 1 to %d", widths[i].name,
                           (long long)widths[i].value, PLAN_RANKS_MAX);
    if (grid->kvp * grid->tpa != grid->tpf * grid->ep)
        return err_set(err,
                       "grid: kvp x tpa is %lld and tpf x ep %lld; they must be the same ranks",
                       (long long)(grid->kvp * grid->tpa), (long long)(grid->tpf * grid->ep));
    int64_t most = plan_model_kv_heads(model), experts = plan_model_experts(model);
    if (grid->tpa > most)
        return err_set(err, "grid: tpa is %lld, above the %lld KV heads of %s; raise kvp instead",
                       (long long)grid->tpa, (long long)most, model->name);
    if (grid->ep > experts)
        return err_set(err, "grid: ep is %lld, above the %lld experts of %s; raise tpf instead",
                       (long long)grid->ep, (long long)experts, model->name);
    for (int64_t i = 0; i < model->n_stacks; i++)
        if (grid->kvp * grid->tpa > model->stacks[i].n_heads)
            return err_set(err, "grid: %lld ranks are more than the %lld heads of %s; use fewer",
                           (long long)(grid->kvp * grid->tpa), (long long)model->stacks[i].n_heads,
                           model->name);
    return STATUS_OK;
}

Status planner_predict(const PlanModel *model, const PlanHardware *hardware,
                       const PlanRequest *request, const PlanGrid *grid, int64_t batch,
                       PlanPoint *out, Err *err)
{
    TRY(plan_grid_check(model, grid, err));
    if (batch < 1)
        return err_set(err, "a batch of %lld requests; it must be at least 1", (long long)batch);
    PlanLayout layout = {.strategy = PLAN_HELIX, .grid = *grid, .dp = 1, .pp = 1};
    *out = plan_point(model, hardware, request, &layout, batch);
    return STATUS_OK;
}
