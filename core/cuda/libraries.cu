#include "core/cuda/libraries.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include "core/tensor/libraries.h"
}

enum { CUBLASLT, CUDNN, LIBRARIES };

struct LibraryName {
    const char *name;  /* as --require has it */
    const char *shown; /* as its maker has it */
    const char *files; /* whose folders LD_LIBRARY_PATH must name */
    void (*look)(Worker *out);
};

static const LibraryName names[LIBRARIES] = {
    {"cublaslt", "cuBLASLt", "libcublasLt.so.13", products_library},
    {"cudnn", "cuDNN", "libcudnn.so.9 and that of libnvrtc.so.13", attn_fused_library},
};

/* What was done so far. */
struct Record {
    int64_t done, refused;
    char why[300]; /* of the last refusal */
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static Record records[WORK_KINDS];
static bool required[LIBRARIES];

static int library_of(Work work)
{
    return work == WORK_PRODUCTS ? CUBLASLT : CUDNN;
}

void library_did(Work work)
{
    pthread_mutex_lock(&lock);
    records[work].done++;
    pthread_mutex_unlock(&lock);
}

void library_refused(Queue *queue, Work work, const char *why)
{
    const LibraryName *library = &names[library_of(work)];
    pthread_mutex_lock(&lock);
    Record *record = &records[work];
    bool first = record->refused++ == 0, fails = required[library_of(work)];
    snprintf(record->why, sizeof record->why, "%s", why);
    pthread_mutex_unlock(&lock);
    if (first)
        log_info("%s: own, slower kernel, because %s", work_name(work), why);
    if (!fails || queue->failed)
        return;
    queue->failed = true;
    err_set(&queue->err,
            "%s by %s is required, but %s; leave --require %s out to have Cambium's own kernel do "
            "it",
            work_name(work), library->shown, why, library->name);
}

void cuda_worker(Work work, DType type, Worker *out)
{
    memset(out, 0, sizeof *out);
    if (work != WORK_PRODUCTS && type != DTYPE_BF16) {
        snprintf(out->why, sizeof out->why, "cuDNN's attention is for bfloat16");
        return;
    }
    names[library_of(work)].look(out);
    pthread_mutex_lock(&lock);
    const Record *record = &records[work];
    out->by_library = record->done;
    out->refused = record->refused;
    if (record->refused > 0)
        snprintf(out->why, sizeof out->why, "%s", record->why);
    pthread_mutex_unlock(&lock);
}

Status cuda_require(const char *library, Err *err)
{
    for (int i = 0; i < LIBRARIES; i++) {
        if (strcmp(library, names[i].name) != 0)
            continue;
        Worker worker;
        memset(&worker, 0, sizeof worker);
        names[i].look(&worker);
        if (worker.why[0])
            return err_set(err,
                           "--require %s: %s; set LD_LIBRARY_PATH to the folder of %s that work (a "
                           "Python wheel has them in site-packages/nvidia/*/lib), or leave "
                           "--require out",
                           library, worker.why, names[i].files);
        pthread_mutex_lock(&lock);
        required[i] = true;
        pthread_mutex_unlock(&lock);
        return STATUS_OK;
    }
    return err_usage(err, "no library '%s' is used here", library);
}
