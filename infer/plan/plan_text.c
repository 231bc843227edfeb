#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "infer/plan/plan_report.h"
#include "infer/plan/quantity.h"

const char *plan_grid_text(const PlanGrid *grid, char text[PLAN_GRID_TEXT])
{
    snprintf(text, PLAN_GRID_TEXT, "kvp=%lld,tpa=%lld,tpf=%lld,ep=%lld", (long long)grid->kvp,
             (long long)grid->tpa, (long long)grid->tpf, (long long)grid->ep);
    return text;
}

static void put_quantity(FILE *out, const char *before, double value, const char *unit,
                         const char *after)
{
    StrBuf text = {0};
    quantity_put(&text, value, unit);
    fprintf(out, "%s%s%s", before, text.data, after);
    strbuf_clear(&text);
}

static void put_model(const PlanReport *r, FILE *out)
{
    const PlanModel *m = r->model;
    const PlanStack *s = &m->stacks[0];
    fprintf(out, "model      %s: ", m->name);
    if (m->n_stacks > 1)
        fprintf(out, "%lld merged experts, ", (long long)m->n_stacks);
    fprintf(out, "%lld layers of %lld, %lld heads, ", (long long)plan_model_layers(m),
            (long long)s->d_model, (long long)s->n_heads);
    if (s->latent.kv_rank)
        fprintf(out, "latent KV of %lld, ", (long long)(s->latent.kv_rank + s->latent.rope));
    else
        fprintf(out, "%lld KV heads, ", (long long)s->n_kv_heads);
    if (s->routing.n_experts)
        fprintf(out, "%lld experts of which %lld act, ", (long long)s->routing.n_experts,
                (long long)s->routing.active);
    double params = plan_model_params(m);
    fprintf(out, "%.4g %s parameters\n", params / (params < 1e9 ? 1e6 : 1e9),
            params < 1e9 ? "million" : "billion");
}

static void put_hardware(const PlanReport *r, FILE *out)
{
    const PlanHardware *h = r->hardware;
    fprintf(out, "hardware   %s: ", h->name);
    fputs(h->shared ? "shared by its ranks: " : "a rank has ", out);
    put_quantity(out, "", h->memory * h->usable, "B", " for weights and cache, ");
    put_quantity(out, "", h->bandwidth * h->efficiency, "B/s", ", ");
    put_quantity(out, "", plan_rank_flops(h, r->request->weights, 1), "FLOP/s", "\n");
    fputs("           ", out);
    put_quantity(out, "a layer ", h->layer_overhead, "s", "");
    for (int64_t i = 0; i < h->n_links && h->links[i].ranks <= 2 * r->request->ranks; i++) {
        const PlanLink *link = &h->links[i];
        fprintf(out, "; %lld ranks: ", (long long)link->ranks);
        put_quantity(out, "all-to-all ", link->all_to_all.latency, "s", " + ");
        put_quantity(out, "", link->all_to_all.bandwidth, "B/s", ", ");
        put_quantity(out, "all-reduce ", link->all_reduce.latency, "s", " + ");
        put_quantity(out, "", link->all_reduce.bandwidth, "B/s", "");
    }
    fputs("\n", out);
}

static void put_request(const PlanReport *r, FILE *out)
{
    const PlanRequest *q = r->request;
    fprintf(out, "request    %.0f tokens of context, %s weights, %s cache, ", q->context,
            plan_type_name(q->weights), plan_type_name(q->kv));
    if (q->ttl > 0.0)
        put_quantity(out, "a token in ", q->ttl, "s", "\n");
    else
        fputs("as fast as can be\n", out);
    fprintf(out, "searched   %lld layouts and batches, of which %lld fit\n",
            (long long)r->search->tried, (long long)r->search->count);
}

static void put_point(const PlanReport *r, const PlanPoint *p, FILE *out)
{
    const PlanGrid *g = &p->layout.grid;
    fprintf(out, "%c %-6s%6lld%7lld%5lld%5lld%5lld%5lld%4lld%4lld%11.4g%11.4g%11.4g%9.3g\n",
            p == r->best ? '>' : ' ', plan_strategy_name(p->layout.strategy),
            (long long)plan_ranks(&p->layout), (long long)p->batch, (long long)g->kvp,
            (long long)g->tpa, (long long)g->tpf, (long long)g->ep, (long long)p->layout.dp,
            (long long)p->layout.pp, p->cost.total * 1e3, p->per_user, p->per_rank,
            (p->cost.weight_bytes + p->cost.cache_bytes) / 1e9);
}

static void put_front(const PlanReport *r, unsigned strategies, FILE *out)
{
    const PlanPoint **front = xmalloc((size_t)r->search->count * sizeof *front);
    int64_t n = plan_front(r->search, strategies, front);
    for (int64_t i = 0; i < n; i++)
        put_point(r, front[i], out);
    free(front);
}

/* Where the time of the chosen grid goes. */
static void put_parts(const PlanReport *r, FILE *out)
{
    const PlanCost *c = &r->best->cost;
    PlanRequest literal = *r->request;
    literal.literal = true;
    PlanPoint appendix =
        plan_point(r->model, r->hardware, &literal, &r->best->layout, r->best->batch);
    const struct {
        const char *name;
        double seconds;
    } parts[] = {
        {"KV cache", c->attention},
        {"attention's weights", c->attention_weights},
        {"feed-forward", c->feed_forward},
        {"output head", c->head},
        {"exchange, not hidden", c->exchange},
        {"other collectives", c->reduce},
        {"fixed overhead", c->overhead},
    };
    fprintf(out, "\na token takes %.4g ms:\n", c->total * 1e3);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fprintf(out, "  %-24s%9.4g ms  %5.1f %%", parts[i].name, parts[i].seconds * 1e3,
                100.0 * parts[i].seconds / c->total);
        if (i == 0 && c->compute_bound)
            fputs("  (bound by arithmetic, not by memory)", out);
        if (i == 1 && appendix.cost.attention_weights != c->attention_weights)
            fprintf(out,
                    "  (output projection over all ranks; over TPA, as in the paper's "
                    "appendix: %.4g ms)",
                    appendix.cost.attention_weights * 1e3);
        if (i == 4 && c->hidden > 0.0)
            fprintf(out, "  (HOP-B hides %.4g ms, in %lld pieces)", c->hidden * 1e3,
                    (long long)c->pieces);
        fputs("\n", out);
    }
    put_quantity(out, "a rank reads ", c->read, "B", " and ");
    put_quantity(out, "sends ", c->sent, "B", " per step; ");
    put_quantity(out, "it holds ", c->weight_bytes, "B", " of weights and ");
    put_quantity(out, "", c->cache_bytes, "B", " of cache\n");
}

static void put_advice(const PlanReport *r, FILE *out)
{
    char text[PLAN_GRID_TEXT];
    PlanGain gain = plan_gain(r->search);
    fprintf(out,
            "\nuse        --grid %s, batch %lld: %.4g ms per token, %.4g tokens/s "
            "in all\n",
            plan_grid_text(&r->best->layout.grid, text), (long long)r->best->batch,
            r->best->cost.total * 1e3, r->best->per_user * (double)r->best->batch);
    const PlanPoint *other = plan_pick(r->search, PLAN_BASELINES, r->request->ttl);
    double share = other ? other->per_rank / r->best->per_rank : 1.0;
    if (r->request->ttl > 0.0 && fabs(share - 1.0) > 0.005)
        fprintf(out,
                "           (the best other layout within that time, %s, makes %.3g times the "
                "tokens per rank)\n",
                plan_strategy_name(other->layout.strategy), share);
    if (gain.interactivity > 0.0)
        fprintf(out, "helix      a user's tokens come %.3g times as fast as the others' fastest",
                gain.interactivity);
    if (gain.throughput > 0.0)
        fprintf(out, "; at their speeds, up to %.3g times the tokens per rank (at %.4g ms)",
                gain.throughput, gain.at * 1e3);
    if (gain.interactivity > 0.0)
        fputs("\n", out);
}

void plan_report_text(const PlanReport *r, FILE *out)
{
    put_model(r, out);
    put_hardware(r, out);
    put_request(r, out);
    fputs("\n         ranks  users  kvp  tpa  tpf   ep  dp  pp   ms/token tokens/s/u tokens/s/r "
          "  GB/rank\n",
          out);
    put_front(r, 1u << PLAN_HELIX, out);
    put_front(r, PLAN_BASELINES, out);
    if (r->best) {
        put_parts(r, out);
        put_advice(r, out);
    }
}
