#include <stdlib.h>

#include "core/base/mem.h"
#include "infer/plan/plan_report.h"

static json_t *grid_json(const PlanGrid *g)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "kvp", (json_int_t)g->kvp, "tpa", (json_int_t)g->tpa,
                     "tpf", (json_int_t)g->tpf, "ep", (json_int_t)g->ep);
}

static json_t *point_json(const PlanPoint *p)
{
    const PlanCost *c = &p->cost;
    json_t *seconds = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "total", c->total, "attention", c->attention,
        "attention_weights", c->attention_weights, "feed_forward", c->feed_forward, "head", c->head,
        "exchange", c->exchange, "reduce", c->reduce, "overhead", c->overhead);
    json_object_set_new(seconds, "hidden", json_real(c->hidden));
    json_t *bytes = json_pack("{s:f, s:f, s:f, s:f}", "weights", c->weight_bytes, "cache",
                              c->cache_bytes, "read", c->read, "sent", c->sent);
    json_t *point = json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o}", "strategy",
        plan_strategy_name(p->layout.strategy), "grid", grid_json(&p->layout.grid), "dp",
        (json_int_t)p->layout.dp, "pp", (json_int_t)p->layout.pp, "ranks",
        (json_int_t)plan_ranks(&p->layout), "users", (json_int_t)p->batch, "tokens_per_second_user",
        p->per_user, "tokens_per_second_rank", p->per_rank, "seconds", seconds, "bytes", bytes);
    json_object_set_new(point, "hopb_pieces", json_integer(c->pieces));
    json_object_set_new(point, "compute_bound", json_boolean(c->compute_bound));
    return point;
}

static json_t *front_json(const PlanReport *r, unsigned strategies)
{
    json_t *list = json_array();
    const PlanPoint **front = xmalloc((size_t)r->search->count * sizeof *front);
    int64_t n = plan_front(r->search, strategies, front);
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, point_json(front[i]));
    free(front);
    return list;
}

json_t *plan_report_json(const PlanReport *r)
{
    const PlanRequest *q = r->request;
    PlanGain gain = plan_gain(r->search);
    json_t *name = json_string(r->model->name); /* a file's name may be no UTF-8 */
    json_t *model = json_pack("{s:o, s:I, s:f, s:f}", "name", name ? name : json_null(), "layers",
                              (json_int_t)plan_model_layers(r->model), "parameters",
                              plan_model_params(r->model), "kv_bytes_per_token",
                              plan_model_kv_bytes(r->model, q->kv));
    json_t *request =
        json_pack("{s:f, s:f, s:I, s:s, s:s, s:b, s:b}", "context", q->context, "ttl", q->ttl,
                  "ranks", (json_int_t)q->ranks, "weights", plan_type_name(q->weights), "kv",
                  plan_type_name(q->kv), "hopb", !q->lockstep, "literal", q->literal);
    json_t *best = r->best ? point_json(r->best) : json_null();
    if (r->best) {
        char text[PLAN_GRID_TEXT];
        json_object_set_new(best, "option",
                            json_string(plan_grid_text(&r->best->layout.grid, text)));
    }
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:{s:f, s:f, s:f}}", "model", model,
                     "hardware", plan_hardware_json(r->hardware), "request", request, "tried",
                     (json_int_t)r->search->tried, "fit", (json_int_t)r->search->count, "front",
                     front_json(r, 1u << PLAN_HELIX), "baselines", front_json(r, PLAN_BASELINES),
                     "best", best, "gain", "interactivity", gain.interactivity, "throughput",
                     gain.throughput, "at_seconds", gain.at);
}
