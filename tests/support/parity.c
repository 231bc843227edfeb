#include "tests/support/parity.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/isa.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cpu/cpu.h"

enum { GUARD_BYTES = 64, GUARD_BYTE = 0xa5, THREADS_MAX = 3 };

/* Under emulation the address sanitizer guards the device's memory, reads too: no guard words. */
static size_t guard_bytes(const Device *device)
{
    return strstr(device->ops->description(), "emulated") ? 0 : GUARD_BYTES;
}

/* The emulated device runs a block's threads in another order from case to case. */
static void choose_order(void)
{
    static const char *const orders[] = {"forwards", "backwards", "shuffled"};
    static int turn;
    setenv("CAMBIUM_EMULATE_ORDER", orders[turn++ % 3], 1);
}

const int64_t parity_sizes[5] = {1, 3, 17, 63, 65};

/* ---- building a case ------------------------------------------------------------------------- */

void parity_begin(Parity *p, const char *format, ...)
{
    static int64_t cases;
    memset(p, 0, sizeof *p);
    va_list list;
    va_start(list, format);
    vsnprintf(p->label, sizeof p->label, format, list);
    va_end(list);
    const char *seed = getenv("TEST_SEED");
    p->seed = seed ? strtoull(seed, NULL, 10) : 20240607;
    if (cases == 0)
        print_message("TEST_SEED=%llu\n", (unsigned long long)p->seed);
    rng_init(&p->rng, p->seed, (uint64_t)cases++);
}

void parity_end(Parity *p)
{
    for (int i = 0; i < p->count; i++)
        free(p->items[i].host);
    p->count = 0;
}

static ParityTensor *add(Parity *p, Tensor shape)
{
    assert_true(p->count < PARITY_TENSORS);
    ParityTensor *item = &p->items[p->count++];
    shape.data = NULL;
    item->shape = shape;
    item->host = xcalloc(1, tensor_bytes(&shape) + 1);
    item->compared = true;
    return item;
}

int parity_normal(Parity *p, Tensor shape, double mean, double deviation)
{
    ParityTensor *item = add(p, shape);
    for (int64_t i = 0; i < tensor_count(&shape); i++)
        element_put(item->host, shape.dtype, i, (float)(mean + deviation * rng_normal(&p->rng)));
    return p->count - 1;
}

static void put_integer(void *host, DType dtype, int64_t i, int64_t value)
{
    if (dtype == DTYPE_I32)
        ((int32_t *)host)[i] = (int32_t)value;
    else if (dtype == DTYPE_I8 || dtype == DTYPE_U8)
        ((int8_t *)host)[i] = (int8_t)value;
    else
        element_put(host, dtype, i, (float)value);
}

int parity_integers(Parity *p, Tensor shape, int64_t low, int64_t high)
{
    ParityTensor *item = add(p, shape);
    for (int64_t i = 0; i < tensor_count(&shape); i++)
        put_integer(item->host, shape.dtype, i, low + rng_below(&p->rng, high - low));
    return p->count - 1;
}

int parity_values(Parity *p, Tensor shape, const void *values)
{
    ParityTensor *item = add(p, shape);
    memcpy(item->host, values, tensor_bytes(&shape));
    return p->count - 1;
}

int parity_output(Parity *p, Tensor shape)
{
    ParityTensor *item = add(p, shape);
    for (int64_t i = 0; i < tensor_count(&shape); i++) {
        if (is_compute_type(shape.dtype))
            element_put(item->host, shape.dtype, i, NAN);
        else
            put_integer(item->host, shape.dtype, i, 0x55);
    }
    return p->count - 1;
}

int parity_scratch(Parity *p, Tensor shape)
{
    int index = parity_output(p, shape);
    p->items[index].compared = false;
    return index;
}

/* ---- running it ------------------------------------------------------------------------------ */

/* What a run left behind: one malloc'ed copy per tensor. */
typedef struct Outcome {
    void *host[PARITY_TENSORS];
} Outcome;

static void outcome_clear(Outcome *outcome)
{
    for (int i = 0; i < PARITY_TENSORS; i++)
        free(outcome->host[i]);
    memset(outcome, 0, sizeof *outcome);
}

static void must(Status status, const Err *err)
{
    if (status != STATUS_OK)
        fail_msg("%s", err->text);
}

static void run(Parity *p, const Device *device, ParityCall *call, const void *context,
                const char *where, Outcome *outcome)
{
    Err err;
    Tensor tensors[PARITY_TENSORS] = {0};
    uint8_t guard[GUARD_BYTES];
    memset(guard, GUARD_BYTE, sizeof guard);
    const Backend *ops = device->ops;
    size_t guarded = guard_bytes(device);
    for (int i = 0; i < p->count; i++) {
        tensors[i] = p->items[i].shape;
        size_t bytes = tensor_bytes(&tensors[i]);
        must(ops->alloc(&tensors[i].data, p->offset + bytes + guarded, "a test tensor", &err),
             &err);
        tensors[i].data = (char *)tensors[i].data + p->offset;
        ops->upload(device->queue, tensors[i].data, p->items[i].host, bytes);
        ops->upload(device->queue, (char *)tensors[i].data + bytes, guard, guarded);
    }
    call(device, tensors, context);
    must(ops->queue_wait(device->queue, &err), &err);
    for (int i = 0; i < p->count; i++) {
        size_t bytes = tensor_bytes(&tensors[i]);
        uint8_t *host = xmalloc(bytes + GUARD_BYTES);
        ops->download(device->queue, host, tensors[i].data, bytes + guarded);
        must(ops->queue_wait(device->queue, &err), &err);
        if (memcmp(host + bytes, guard, guarded) != 0)
            fail_msg("%s, %s: the guard after tensor %d was overwritten (TEST_SEED=%llu)", p->label,
                     where, i, (unsigned long long)p->seed);
        outcome->host[i] = host;
        ops->free((char *)tensors[i].data - p->offset);
    }
}

/* Sum of squared differences over sum of squares; infinite when one side is not finite where the
 * other differs. */
static double error_of(const void *got, const void *want, const Tensor *shape)
{
    double difference = 0, total = 0;
    for (int64_t i = 0; i < tensor_count(shape); i++) {
        double g = (double)element_get(got, shape->dtype, i);
        double w = (double)element_get(want, shape->dtype, i);
        if (g == w || (isnan(g) && isnan(w)))
            g = w = isfinite(w) ? w : 0.0;
        if (!isfinite(g) || !isfinite(w))
            return INFINITY;
        difference += (g - w) * (g - w);
        total += w * w;
    }
    return difference == 0 ? 0.0 : difference / total;
}

static double tolerance_of(const char *op, DType dtype)
{
#define PARITY_TOLERANCE(name, Args, f32, bf16)                                                    \
    if (strcmp(op, #name) == 0)                                                                    \
        return dtype == DTYPE_BF16 ? bf16 : f32;
    CAMBIUM_OPS(PARITY_TOLERANCE)
#undef PARITY_TOLERANCE
    fail_msg("no operation %s", op);
    return 0;
}

static void compare(const Parity *p, const Outcome *got, const Outcome *want, double tolerance,
                    const char *where)
{
    for (int i = 0; i < p->count; i++) {
        const Tensor *shape = &p->items[i].shape;
        if (!p->items[i].compared)
            continue;
        bool exact = !is_compute_type(shape->dtype);
        double error = error_of(got->host[i], want->host[i], shape);
        if (!(error <= (exact ? 0.0 : tolerance)))
            fail_msg("%s, %s: tensor %d differs from the reference by %g, allowed %g "
                     "(TEST_SEED=%llu)",
                     p->label, where, i, error, exact ? 0.0 : tolerance,
                     (unsigned long long)p->seed);
    }
}

static void same_bits(const Parity *p, const Outcome *got, const Outcome *want, const char *where)
{
    for (int i = 0; i < p->count; i++)
        if (p->items[i].compared &&
            memcmp(got->host[i], want->host[i], tensor_bytes(&p->items[i].shape)) != 0)
            fail_msg("%s, %s: tensor %d depends on the number of threads (TEST_SEED=%llu)",
                     p->label, where, i, (unsigned long long)p->seed);
}

static void check_cpu(Parity *p, const Device *device, ParityCall *call, const void *context,
                      const Outcome *want, double tolerance)
{
    Isa isa_before = cpu_isa();
    int width_before = parallel_width();
    for (int isa = 0; isa <= (int)isa_best(); isa++) {
        isa_set((Isa)isa);
        Outcome first = {0};
        for (int threads = 1; threads <= THREADS_MAX; threads++) {
            char where[64];
            snprintf(where, sizeof where, "%s, %d threads", isa_name((Isa)isa), threads);
            parallel_set_width(threads);
            Outcome got = {0};
            run(p, device, call, context, where, &got);
            if (threads == 1) {
                compare(p, &got, want, tolerance, where);
                first = got;
            } else {
                same_bits(p, &got, &first, where);
                outcome_clear(&got);
            }
        }
        outcome_clear(&first);
    }
    isa_set(isa_before);
    parallel_set_width(width_before);
}

static Device reference_device(void)
{
    Err err;
    Device device = {.ops = backend_cpu_reference()};
    must(device.ops->queue_new(&device.queue, &err), &err);
    return device;
}

void *parity_reference(Parity *p, ParityCall *call, const void *context, int index)
{
    Device device = reference_device();
    Outcome outcome = {0};
    run(p, &device, call, context, "reference", &outcome);
    void *result = outcome.host[index];
    outcome.host[index] = NULL;
    outcome_clear(&outcome);
    device_close(&device);
    return result;
}

void parity_check(Parity *p, const char *op, DType dtype, ParityCall *call, const void *context)
{
    Err err;
    const char *name = getenv("TEST_BACKEND") ? getenv("TEST_BACKEND") : "cpu";
    double tolerance = tolerance_of(op, dtype);
    Device reference = reference_device(), device;
    Outcome want = {0};
    run(p, &reference, call, context, "reference", &want);
    device_close(&reference);
    must(device_open(&device, name, &err), &err);
    if (strcmp(name, "cpu") == 0) {
        check_cpu(p, &device, call, context, &want, tolerance);
    } else {
        Outcome got = {0};
        choose_order();
        run(p, &device, call, context, name, &got);
        compare(p, &got, &want, tolerance, name);
        outcome_clear(&got);
    }
    device_close(&device);
    outcome_clear(&want);
}

/* ---- gradients ------------------------------------------------------------------------------- */

static double loss_at(Parity *p, ParityCall *forward, const void *context,
                      const ParityGradient *check)
{
    float *out = parity_reference(p, forward, context, check->out);
    double loss = 0;
    for (int64_t i = 0; i < tensor_count(&p->items[check->out].shape); i++)
        loss += (double)out[i] * (check->weights ? (double)check->weights[i] : 1.0);
    free(out);
    return loss;
}

void parity_gradient(Parity *p, ParityCall *forward, const void *context,
                     const ParityGradient *check)
{
    float *x = p->items[check->x].host;
    int64_t count = tensor_count(&p->items[check->x].shape);
    int64_t stride = count / 40 + 1;
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)check->gradient[i]));
    for (int64_t i = 0; i < count; i += stride) {
        float kept = x[i];
        float above = (float)((double)kept + check->step);
        float below = (float)((double)kept - check->step);
        x[i] = above;
        double loss = loss_at(p, forward, context, check);
        x[i] = below;
        loss -= loss_at(p, forward, context, check);
        x[i] = kept;
        double slope = loss / ((double)above - (double)below);
        double error = fabs(slope - (double)check->gradient[i]);
        if (!(error <= check->tolerance * largest))
            fail_msg("%s: gradient %lld is %g, finite differences say %g (TEST_SEED=%llu)",
                     p->label, (long long)i, (double)check->gradient[i], slope,
                     (unsigned long long)p->seed);
    }
}
