#include "core/tensor/libraries.h"

#include <stdio.h>
#include <string.h>

static const char *const work_names[WORK_KINDS] = {"products", "attention", "attention's gradient"};
static const char *const library_names[] = {"cublaslt", "cudnn"};
enum { LIBRARIES = sizeof library_names / sizeof *library_names };

const char *work_name(Work work)
{
    return work_names[work];
}

void worker_text(const Worker *w, StrBuf *out)
{
    bool library = w->version[0] && (w->by_library > 0 || w->refused == 0);
    bool own = !w->version[0] || w->refused > 0;
    strbuf_printf(out, "%s%s%s", library ? w->version : "", library && own ? " and " : "",
                  own ? "own kernels" : "");
    if (w->why[0])
        strbuf_printf(out, " (%s)", w->why);
}

void backend_workers_text(const Backend *backend, DType type, StrBuf *out)
{
    strbuf_puts(out, "");
    for (int work = 0; work < WORK_KINDS && backend->worker; work++) {
        Worker worker;
        backend->worker((Work)work, type, &worker);
        strbuf_printf(out, "%s%s by ", work ? ", " : "", work_names[work]);
        worker_text(&worker, out);
    }
}

static Status require_one(const Backend *backend, const char *name, Err *err)
{
    bool known = false;
    for (int i = 0; i < LIBRARIES; i++)
        known = known || strcmp(name, library_names[i]) == 0;
    if (!known)
        return err_usage(err, "--require takes cublaslt, cudnn or both with a comma, not '%s'",
                         name);
    if (!backend->require)
        return err_set(
            err,
            "--require %s: the device in use is %s, which has nothing to do with it; use "
            "--device cuda, or leave --require out",
            name, backend->name);
    return backend->require(name, err);
}

Status backend_require(const Backend *backend, const char *list, Err *err)
{
    for (const char *at = list; at && *at;) {
        char name[32];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 31 ? length : 31), at);
        TRY(require_one(backend, name, err));
        at += length + (at[length] == ',');
    }
    return STATUS_OK;
}

Status device_open_requiring(Device *device, const char *name, const char *list, Err *err)
{
    TRY(device_open(device, name, err));
    Status status = backend_require(device->ops, list, err);
    if (status != STATUS_OK)
        device_close(device);
    return status;
}
