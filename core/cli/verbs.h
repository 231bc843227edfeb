/* The list of verbs, made by the Makefile from the files named cmd_*.c. */
#ifndef CAMBIUM_CORE_CLI_VERBS_H
#define CAMBIUM_CORE_CLI_VERBS_H

#include "core/cli/options.h"

extern const Verb *const verb_table[];
extern const int verb_count;

#endif
