/* The options of every verb that computes: which device, and which libraries must be there. */
#ifndef CAMBIUM_CORE_CLI_DEVICE_OPTIONS_H
#define CAMBIUM_CORE_CLI_DEVICE_OPTIONS_H

#include "core/cli/options.h"

/* Rows of a verb's option table; `device` and `require` are the offsets of two char *. The second
 * is for backend_require (core/tensor/libraries.h). */
#define DEVICE_OPTIONS(device, require, help, group)                                               \
    {"device", OPTION_TEXT, device, "NAME", "auto", help, NULL, 0, group},                         \
    {                                                                                              \
        "require", OPTION_TEXT, require, "LIST", NULL,                                             \
            "cublaslt, cudnn or both with a comma: an error where the GPU cannot use them, "       \
            "instead of slower kernels",                                                           \
            NULL, 0, NULL                                                                          \
    }

#endif
