/* What this process reads, so that nothing that it writes takes the place of it. Options,
 * positional arguments and files that are named inside files are added as they become known; every
 * draft (file.h) is checked against them. Files are compared as the system knows them, by device
 * and inode, so other names and links are seen through. Filled before threads start. */
#ifndef CAMBIUM_CORE_BASE_INPUTS_H
#define CAMBIUM_CORE_BASE_INPUTS_H

#include "core/base/err.h"

/* From here on inputs are noted and outputs checked; before, and after inputs_end, nothing is.
 * `results`: which names results may have in a folder that is read as a whole ("*.html", kept), or
 * NULL: any. */
void inputs_begin(const char *results);
void inputs_end(void);

/* A file or folder that is read. What is not there, "-" and devices are ignored. */
void inputs_add(const char *path);
/* As text of an option may name them: PATH, PATH:WEIGHT, NAME=PATH, or several with commas. */
void inputs_add_text(const char *text);

/* Refuses an output that is an input, or lies in a folder that is read under a name that is not a
 * result's. */
Status inputs_check(const char *output, Err *err);
/* Refuses two outputs that are one file. */
Status inputs_check_pair(const char *output, const char *other, Err *err);

#endif
