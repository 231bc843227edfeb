/* `cambium info`: what this program found on this machine. */
#include <stdio.h>

#include "core/base/parallel.h"
#include "core/cli/options.h"
#include "core/tensor/backend.h"

typedef struct InfoSettings {
    bool devices;
} InfoSettings;

static const Option info_options[] = {
    {"devices", OPTION_FLAG, offsetof(InfoSettings, devices), NULL, NULL,
     "list devices and plug-ins, and why one was refused", NULL, 0, NULL},
    {0},
};

static Status info_run(const void *settings, const StringList *positionals, Err *err)
{
    (void)positionals;
    const InfoSettings *info = settings;
    printf("cores      %d\n", parallel_cores());
    if (info->devices) {
        const Backend *cpu;
        TRY(backend_open("cpu", &cpu, err));
        printf("cpu        %s\n", cpu->description());
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
