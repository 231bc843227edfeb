/* Options from a YAML file: one mapping from option names to scalars or lists of scalars. */
#ifndef CAMBIUM_CORE_CLI_CONFIG_FILE_H
#define CAMBIUM_CORE_CLI_CONFIG_FILE_H

#include "core/cli/options.h"

Status config_file_apply(const Verb *verb, void *settings, const char *path, Err *err);

#endif
