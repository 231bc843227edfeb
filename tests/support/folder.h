/* A temporary folder for a test, and the files in it. */
#ifndef CAMBIUM_TESTS_SUPPORT_FOLDER_H
#define CAMBIUM_TESTS_SUPPORT_FOLDER_H

#include <stdint.h>

/* Makes the folder; folder_end removes it with all that is in it. One at a time. */
void folder_begin(void);
void folder_end(void);
/* The same as set-up and tear-down of tests that need nothing else. */
int folder_set_up(void **state);
int folder_tear_down(void **state);

/* The path of a file in it; valid until the next four calls. */
const char *folder_path(const char *name);

/* How many files in it are drafts (file.h) that nobody has finished. */
int folder_temporaries(void);

/* Writes a file and returns its path; `bytes` below 0: up to the zero. */
const char *folder_put(const char *name, const void *data, int64_t bytes);

#endif
