#include "core/decode/budget.h"

#include <math.h>

static const double MB = 1e6;

static const char *what_there_is(const MemoryBudget *budget)
{
    return budget->asked ? "--memory allows" : "free here are";
}

Status budget_check_weights(const MemoryBudget *b, Err *err)
{
    if (b->bytes <= 0.0 || b->bytes_weights <= b->bytes)
        return STATUS_OK;
    return err_set(err,
                   "the weights do not fit: they take %.0f MB, and %s %.0f MB; take narrower ones "
                   "(--weights int8), more machines or GPUs (--ranks), or more memory",
                   b->bytes_weights / MB, what_there_is(b), b->bytes / MB);
}

double budget_room(const MemoryBudget *b, size_t bytes)
{
    if (!b || b->bytes <= 0.0)
        return INFINITY;
    return (b->bytes - b->bytes_weights) / (double)b->ranks - (double)bytes;
}

Status budget_check_decoder(const MemoryBudget *b, const DecoderOptions *o, size_t bytes, Err *err)
{
    double decoders = (double)bytes * (double)b->ranks;
    if (budget_room(b, bytes) >= 0.0)
        return STATUS_OK;
    return err_set(err,
                   "%lld tokens of context for %lld sequence%s do not fit: KV cache and buffers "
                   "take %.0f MB beside %.0f MB of weights, and %s %.0f MB; give a shorter "
                   "--context,%s%s more machines or GPUs (--ranks), or more memory",
                   (long long)o->max_positions, (long long)o->max_sequences,
                   o->max_sequences == 1 ? "" : "s", decoders / MB, b->bytes_weights / MB,
                   what_there_is(b), b->bytes / MB, o->max_sequences > 1 ? " fewer at a time," : "",
                   o->kv_dtype == DTYPE_I8 ? "" : " --kv int8,");
}
