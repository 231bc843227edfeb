/* `cambium info`: what this program found on this machine. */
#include <stdio.h>

#include "core/base/parallel.h"
#include "core/cli/options.h"
#include "core/comm/comm.h"
#include "core/tensor/libraries.h"

typedef struct InfoSettings {
    bool devices;
} InfoSettings;

static const Option info_options[] = {
    {"devices", OPTION_FLAG, offsetof(InfoSettings, devices), NULL, NULL,
     "list devices and plug-ins, and why one was refused", NULL, 0, NULL},
    {0},
};

/* A device, or why there is none. */
static void print_device(const char *name)
{
    const Backend *backend;
    Err err;
    if (backend_open(name, &backend, &err) != STATUS_OK) {
        printf("%-10s none: %s\n", name, err.text);
        return;
    }
    printf("%-10s %s\n", name, backend->description());
    for (int work = 0; work < WORK_KINDS && backend->worker; work++) {
        StrBuf text = {0};
        Worker worker;
        backend->worker((Work)work, DTYPE_BF16, &worker);
        worker_text(&worker, &text);
        printf("%-10s %s by %s\n", "", work_name((Work)work), text.data);
        strbuf_clear(&text);
    }
    if (!backend->memory)
        return;
    size_t free_bytes, total;
    backend->memory(&free_bytes, &total);
    printf("%-10s %.1f of %.1f GB are free\n", "", (double)free_bytes / 1e9, (double)total / 1e9);
}

static void print_comm(const char *kind)
{
    char text[128];
    Err err;
    bool found = comm_describe(kind, text, sizeof text, &err) == STATUS_OK;
    printf("%-10s %s%s\n", kind, found ? "" : "none: ", found ? text : err.text);
}

static Status info_run(const void *settings, const StringList *positionals, Err *err)
{
    (void)positionals, (void)err;
    const InfoSettings *info = settings;
    printf("cores      %d\n", parallel_cores());
    if (info->devices) {
        print_device("cpu");
        print_device("cuda");
        print_comm("mpi");
        print_comm("nccl");
    }
    return STATUS_OK;
}

const Verb verb_info = {
    .name = "info",
    .summary = "what was found on this machine: instruction sets, devices, plug-ins",
    .positionals = "",
    .examples =
        {
            "info",
            "info --devices",
        },
    .options = info_options,
    .settings_size = sizeof(InfoSettings),
    .run = info_run,
};
