#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "infer/plan/plan_hardware.h"
#include "infer/plan/quantity.h"

enum { FILE_LIMIT = 1 << 20 };

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *wire_json(const PlanWire *wire)
{
    return json_pack("{s:f, s:f}", "latency", wire->latency, "bandwidth", wire->bandwidth);
}

json_t *plan_hardware_json(const PlanHardware *h)
{
    json_t *flops = json_object(), *links = json_array();
    for (int i = 0; i < PLAN_TYPES; i++)
        if (h->flops[i] > 0.0)
            json_object_set_new(flops, plan_type_name((PlanType)i), json_real(h->flops[i]));
    for (int64_t i = 0; i < h->n_links; i++)
        json_array_append_new(links,
                              json_pack("{s:I, s:o, s:o}", "ranks", (json_int_t)h->links[i].ranks,
                                        "all_to_all", wire_json(&h->links[i].all_to_all),
                                        "all_reduce", wire_json(&h->links[i].all_reduce)));
    return json_pack("{s:s, s:I, s:b, s:f, s:f, s:f, s:f, s:o, s:f, s:s, s:o}", "name", h->name,
                     "ranks", (json_int_t)h->ranks, "shared", h->shared, "memory", h->memory,
                     "usable", h->usable, "bandwidth", h->bandwidth, "efficiency", h->efficiency,
                     "flops", flops, "layer_overhead", h->layer_overhead, "weights",
                     plan_type_name(h->weights), "links", links);
}

/* ---- reading --------------------------------------------------------------------------------- */

static Status known_members(const json_t *object, const char *where, const char *const *names,
                            Err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        bool known = false;
        for (int i = 0; names[i]; i++)
            known = known || strcmp(names[i], key) == 0;
        if (!known)
            return err_set(err, "%s: '%s' is not known; 'cambium plan --help' lists what is", where,
                           key);
    }
    return STATUS_OK;
}

/* A number, or a text with a unit. Without a member, `*out` stays when
 * `optional`. */
static Status read_quantity(const json_t *object, const char *key, const char *unit,
                            const char *where, bool optional, double *out, Err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value && optional)
        return STATUS_OK;
    if (!json_is_string(value))
        return json_get_real(object, key, where, out, err);
    char what[160];
    snprintf(what, sizeof what, "%s: '%s'", where, key);
    return quantity_parse(json_string_value(value), unit, what, out, err);
}

static Status check_range(double value, double low, double high, const char *key, const char *where,
                          Err *err)
{
    if (value >= low && value <= high)
        return STATUS_OK;
    return err_set(err, "%s: '%s' is %g; it must be from %g to %g", where, key, value, low, high);
}

static Status read_wire(const json_t *link, const char *key, const char *where, PlanWire *out,
                        Err *err)
{
    static const char *const names[] = {"latency", "bandwidth", NULL};
    json_t *wire;
    TRY(json_get_object(link, key, where, &wire, err));
    TRY(known_members(wire, where, names, err));
    TRY(read_quantity(wire, "latency", "s", where, false, &out->latency, err));
    TRY(read_quantity(wire, "bandwidth", "B/s", where, false, &out->bandwidth, err));
    TRY(check_range(out->latency, 0.0, 60.0, "latency", where, err));
    return check_range(out->bandwidth, 1.0, 1e18, "bandwidth", where, err);
}

static Status read_links(const json_t *json, const char *where, PlanHardware *out, Err *err)
{
    static const char *const names[] = {"ranks", "all_to_all", "all_reduce", NULL};
    json_t *links, *link;
    TRY(json_get_array(json, "links", where, &links, err));
    if (json_array_size(links) < 1 || json_array_size(links) > PLAN_LINKS)
        return err_set(err, "%s: 'links' has %zu members; it must have 1 to %d", where,
                       json_array_size(links), PLAN_LINKS);
    size_t i;
    json_array_foreach(links, i, link)
    {
        PlanLink *to = &out->links[i];
        if (!json_is_object(link))
            return err_set(err, "%s: 'links' holds something that is not an object", where);
        TRY(known_members(link, where, names, err));
        TRY(json_get_int(link, "ranks", where, &to->ranks, err));
        TRY(check_range((double)to->ranks, 2.0, PLAN_RANKS_MAX, "links: ranks", where, err));
        if (i > 0 && to->ranks <= out->links[i - 1].ranks)
            return err_set(err, "%s: 'links' must be in the order of rising 'ranks'", where);
        TRY(read_wire(link, "all_to_all", where, &to->all_to_all, err));
        TRY(read_wire(link, "all_reduce", where, &to->all_reduce, err));
    }
    out->n_links = (int64_t)json_array_size(links);
    return STATUS_OK;
}

static Status read_flops(const json_t *json, const char *where, PlanHardware *out, Err *err)
{
    json_t *flops, *value;
    const char *key;
    TRY(json_get_object(json, "flops", where, &flops, err));
    json_object_foreach(flops, key, value)
    {
        PlanType type;
        if (plan_type_parse(key, &type, err) != STATUS_OK)
            return err_wrap(err, "%s: 'flops'", where);
        TRY(read_quantity(flops, key, "FLOP/s", where, false, &out->flops[type], err));
        TRY(check_range(out->flops[type], 1.0, 1e24, key, where, err));
    }
    if (out->flops[PLAN_F32] == 0.0)
        out->flops[PLAN_F32] = out->flops[PLAN_BF16] / 2.0;
    if (out->flops[PLAN_F32] == 0.0)
        return err_set(err, "%s: 'flops' must have a rate for bfloat16 or float32", where);
    return STATUS_OK;
}

static Status read_numbers(const json_t *json, const char *where, PlanHardware *out, Err *err)
{
    TRY(json_get_int(json, "ranks", where, &out->ranks, err));
    TRY(check_range((double)out->ranks, 1.0, PLAN_RANKS_MAX, "ranks", where, err));
    TRY(read_quantity(json, "memory", "B", where, false, &out->memory, err));
    TRY(check_range(out->memory, 1.0, 1e18, "memory", where, err));
    TRY(read_quantity(json, "bandwidth", "B/s", where, false, &out->bandwidth, err));
    TRY(check_range(out->bandwidth, 1.0, 1e18, "bandwidth", where, err));
    TRY(read_quantity(json, "layer_overhead", "s", where, true, &out->layer_overhead, err));
    TRY(check_range(out->layer_overhead, 0.0, 60.0, "layer_overhead", where, err));
    if (json_object_get(json, "usable"))
        TRY(json_get_real(json, "usable", where, &out->usable, err));
    TRY(check_range(out->usable, 0.01, 1.0, "usable", where, err));
    if (json_object_get(json, "efficiency"))
        TRY(json_get_real(json, "efficiency", where, &out->efficiency, err));
    return check_range(out->efficiency, 0.01, 1.0, "efficiency", where, err);
}

/* A name is one short line. */
static Status read_name(const json_t *json, const char *where, PlanHardware *out, Err *err)
{
    const char *name;
    TRY(json_get_text(json, "name", where, &name, err));
    if (strlen(name) >= sizeof out->name)
        return err_set(err, "%s: 'name' is longer than %zu bytes", where, sizeof out->name - 1);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, "%s: 'name' holds a control character", where);
    snprintf(out->name, sizeof out->name, "%s", name);
    return STATUS_OK;
}

Status plan_hardware_parse(const json_t *json, const char *where, PlanHardware *out, Err *err)
{
    static const char *const names[] = {"name",   "ranks",   "shared",         "memory",
                                        "usable", "flops",   "bandwidth",      "efficiency",
                                        "links",  "weights", "layer_overhead", NULL};
    const char *text;
    *out = (PlanHardware){.usable = 0.9, .efficiency = 1.0, .weights = PLAN_BF16};
    if (!json_is_object(json))
        return err_set(err, "%s is not a JSON object", where);
    TRY(known_members(json, where, names, err));
    TRY(read_name(json, where, out, err));
    TRY(read_numbers(json, where, out, err));
    TRY(read_flops(json, where, out, err));
    if (json_object_get(json, "shared"))
        TRY(json_get_bool(json, "shared", where, &out->shared, err));
    if (json_object_get(json, "weights")) {
        TRY(json_get_text(json, "weights", where, &text, err));
        if (plan_type_parse(text, &out->weights, err) != STATUS_OK)
            return err_wrap(err, "%s: 'weights'", where);
    }
    return read_links(json, where, out, err);
}

Status plan_hardware_read(const char *path, PlanHardware *out, Err *err)
{
    StrBuf text = {0};
    json_error_t fault;
    Status status = file_read(path, FILE_LIMIT, &text, err);
    if (status == STATUS_OK) {
        json_t *json = json_loadb(text.data ? text.data : "", (size_t)text.size,
                                  JSON_REJECT_DUPLICATES, &fault);
        status = json ? plan_hardware_parse(json, path, out, err)
                      : err_set(err, "%s is not JSON: line %d: %s", path, fault.line, fault.text);
        json_decref(json);
    }
    strbuf_clear(&text);
    return status;
}
