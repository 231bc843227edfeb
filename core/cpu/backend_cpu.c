#include <stdio.h>
#include <stdlib.h>

#include <dnnl.h>

#include "core/base/isa.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cpu/attn.h"
#include "core/cpu/attn_decode.h"
#include "core/cpu/cpu.h"
#include "core/cpu/embed.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/product.h"
#include "core/cpu/quant.h"
#include "core/cpu/ref_attn.h"
#include "core/cpu/ref_embed.h"
#include "core/cpu/ref_ops.h"
#include "core/cpu/ref_quant.h"
#include "core/cpu/ref_sample.h"
#include "core/cpu/rope.h"
#include "core/cpu/sample.h"

/* The CPU's name as the operating system tells it. */
static void read_model_name(char *name, size_t size)
{
    snprintf(name, size, "unknown CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = 0;
            snprintf(name, size, "%s", colon + 2);
            break;
        }
    }
    fclose(file);
}

static char description[512]; /* written once, by backend_cpu_register */

static const char *cpu_description(void)
{
    return description;
}

static void describe(void)
{
    char model[256];
    read_model_name(model, sizeof model);
    const dnnl_version_t *v = dnnl_version();
    snprintf(description, sizeof description, "%s, %s, %d cores, oneDNN %d.%d.%d", model,
             isa_name(cpu_isa()), parallel_cores(), v->major, v->minor, v->patch);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static Status cpu_alloc(void **out, size_t bytes, const char *what, Err *err)
{
    TRY(mem_try(out, bytes ? bytes : MEM_ALIGN, what, err));
    *out = cpu_flip(*out);
    return STATUS_OK;
}

static void cpu_free(void *data)
{
    free(cpu_flip(data));
}

static void cpu_upload(Queue *queue, void *device, const void *host, size_t bytes)
{
    (void)queue;
    if (bytes)
        memcpy(cpu_flip(device), host, bytes);
}

static void cpu_download(Queue *queue, void *host, const void *device, size_t bytes)
{
    (void)queue;
    if (bytes)
        memcpy(host, cpu_flip(device), bytes);
}

static void cpu_copy(Queue *queue, void *to, const void *from, size_t bytes)
{
    (void)queue;
    if (bytes)
        memmove(cpu_flip(to), cpu_flip(from), bytes);
}

static void cpu_zero(Queue *queue, void *device, size_t bytes)
{
    (void)queue;
    if (bytes)
        memset(cpu_flip(device), 0, bytes);
}

static void *cpu_adopt(const void *host, size_t bytes)
{
    (void)bytes;
    return cpu_flip(host);
}

/* ---- queues and events ----------------------------------------------------------------------- */

static Status cpu_queue_new(Queue **out, Err *err)
{
    (void)err;
    *out = xcalloc(1, sizeof **out);
    return STATUS_OK;
}

static void cpu_queue_free(Queue *queue)
{
    if (!queue)
        return;
    product_cache_free(queue->products);
    free(queue->scratch);
    free(queue);
}

static Status cpu_queue_wait(Queue *queue, Err *err)
{
    (void)queue, (void)err;
    return STATUS_OK; /* every operation was done when its call returned */
}

void *cpu_scratch(Queue *queue, size_t bytes)
{
    if (bytes > queue->scratch_bytes) {
        free(queue->scratch);
        Err err;
        Status status = mem_try(&queue->scratch, bytes, "kernel scratch", &err);
        CHECK(status == STATUS_OK, "%s", err.text);
        queue->scratch_bytes = bytes;
    }
    return queue->scratch;
}

/* Queues are synchronous: when an event is recorded, all before it has happened. */
struct Event {
    bool recorded;
};

static Status cpu_event_new(Event **out, Err *err)
{
    (void)err;
    *out = xcalloc(1, sizeof **out);
    return STATUS_OK;
}

static void cpu_event_free(Event *event)
{
    free(event);
}

static void cpu_event_record(Queue *queue, Event *event)
{
    (void)queue;
    event->recorded = true;
}

static void cpu_event_wait(Queue *queue, Event *event)
{
    (void)queue;
    CHECK(event->recorded, "waiting for an event that was never recorded would hang on a GPU");
}

static size_t ref_loss_scratch(const HeadLossArgs *shapes, const AttnShape *attn)
{
    (void)shapes, (void)attn;
    return 0; /* its memory is one row's */
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const Backend reference = {.abi = BACKEND_ABI,
                                  .name = "cpu-reference",
                                  .description = cpu_description,
                                  .synchronous = true,
                                  .alloc = cpu_alloc,
                                  .free = cpu_free,
                                  .upload = cpu_upload,
                                  .download = cpu_download,
                                  .copy = cpu_copy,
                                  .zero = cpu_zero,
                                  .adopt = cpu_adopt,
                                  .queue_new = cpu_queue_new,
                                  .queue_free = cpu_queue_free,
                                  .queue_wait = cpu_queue_wait,
                                  .event_new = cpu_event_new,
                                  .event_free = cpu_event_free,
                                  .event_record = cpu_event_record,
                                  .event_wait = cpu_event_wait,
                                  .loss_scratch = ref_loss_scratch,
#define REFERENCE_FIELD(name, Args, f32, bf16) .name = ref_##name,
                                  CAMBIUM_OPS(REFERENCE_FIELD)
#undef REFERENCE_FIELD
};

static Backend cpu;

const Backend *backend_cpu_reference(void)
{
    return &reference;
}

void backend_cpu_register(void)
{
    if (cpu.abi)
        return;
    cpu = reference;
    cpu.name = "cpu";
    /* Each fast version replaces its reference here. */
    cpu.gemm = cpu_gemm;
    cpu.sum_rows = cpu_sum_rows;
    cpu.head_loss = cpu_head_loss;
    cpu.loss_scratch = cpu_loss_scratch;
    cpu.adamw = cpu_adamw;
    cpu.grad_norm = cpu_grad_norm;
    cpu.cast = cpu_cast;
    cpu.weighted_sum = cpu_weighted_sum;
    cpu.dropout = cpu_dropout;
    cpu.non_finite = cpu_non_finite;
    cpu.norm = cpu_norm;
    cpu.norm_backward = cpu_norm_backward;
    cpu.act = cpu_act;
    cpu.act_backward = cpu_act_backward;
    cpu.attn = cpu_attn;
    cpu.attn_backward = cpu_attn_backward;
    cpu.attn_decode = cpu_attn_decode;
    cpu.attn_merge = cpu_attn_merge;
    cpu.kv_write = cpu_kv_write;
    cpu.gemm_i8 = cpu_gemm_i8;
    cpu.quantise = cpu_quantise;
    cpu.rope = cpu_rope;
    cpu.embed = cpu_embed;
    cpu.embed_backward = cpu_embed_backward;
    cpu.sample = cpu_sample;
    cpu.top_k = cpu_top_k;
    cpu.log_softmax = cpu_log_softmax;
    cpu.mix = cpu_mix;
    product_start();
    describe();
    backend_register(&cpu);
}
