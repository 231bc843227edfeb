#include "core/model/context_extension.h"

#include <math.h>
#include <string.h>

static bool keeps(const ContextExtension *e)
{
    return !e->scaling || strcmp(e->scaling, "model") == 0;
}

static bool stretches(const ContextExtension *e)
{
    return !keeps(e) && strcmp(e->scaling, "none") != 0;
}

int64_t model_unscaled_context(const ModelConfig *config)
{
    const RopeScaling *s = &config->rope_scaling;
    if (s->kind == ROPE_LINEAR)
        return (int64_t)fmax(floor((double)config->context / s->factor), 1.0);
    return s->kind == ROPE_UNSCALED ? config->context : s->original_context;
}

Status context_extension_check(const ContextExtension *e, Err *err)
{
    if (!stretches(e))
        return e->factor == 0.0
                   ? STATUS_OK
                   : err_usage(err, "--rope-factor says how far --rope-scaling linear, "
                                    "ntk or yarn stretches; name one of them");
    if (e->factor == 0.0 && e->context == 0)
        return err_usage(err,
                         "--rope-scaling %s stretches the context, and nothing says how far; give "
                         "--rope-factor F or --context N",
                         e->scaling);
    if (e->factor != 0.0 && !(e->factor >= 1.0 && e->factor < 1e6))
        return err_usage(err, "--rope-factor %g is not from 1 to a million", e->factor);
    return STATUS_OK;
}

Status context_extension_apply(const ContextExtension *e, ModelConfig *c, Err *err)
{
    int64_t own = model_unscaled_context(c);
    TRY(context_extension_check(e, err));
    if (keeps(e))
        return STATUS_OK;
    c->rope_scaling = (RopeScaling){0};
    c->context = own;
    if (!stretches(e))
        return STATUS_OK;
    double factor = e->factor > 0.0 ? e->factor : fmax((double)e->context / (double)own, 1.0);
    double context =
        e->factor > 0.0 ? floor((double)own * factor) : fmax((double)e->context, (double)own);
    if (context > INT32_MAX)
        return err_usage(err, "--rope-factor %g makes the context of %lld more than %d positions",
                         factor, (long long)own, INT32_MAX);
    c->context = (int64_t)context;
    if (strcmp(e->scaling, "linear") == 0) {
        c->rope_scaling = (RopeScaling){.kind = ROPE_LINEAR, .factor = factor};
    } else if (strcmp(e->scaling, "yarn") == 0) {
        c->rope_scaling = (RopeScaling){
            .kind = ROPE_YARN, .factor = factor, .original_context = own, .low = 1.0, .high = 32.0};
    } else if (strcmp(e->scaling, "ntk") == 0) {
        if (c->head_dim <= 2)
            return err_set(err, "--rope-scaling ntk needs heads of more than 2 values");
        double d = (double)c->head_dim;
        c->rope_base *= pow(factor, d / (d - 2.0));
    } else {
        return err_set(err, "no rope scaling '%s'; there are model, none, linear, ntk and yarn",
                       e->scaling);
    }
    return model_config_check(c, err);
}
