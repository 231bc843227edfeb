/* Locks between processes: one writer of a folder or file at a time. Only a living process holds
 * one, so no lock is ever stale. */
#ifndef CAMBIUM_CORE_BASE_FILE_LOCK_H
#define CAMBIUM_CORE_BASE_FILE_LOCK_H

#include "core/base/err.h"

/* All zeros: nothing is held. */
typedef struct FileLock {
    char *path; /* of the lock file, which exists while it is held; NULL: not held */
    int fd;
} FileLock;

/* Takes the lock. Fails at once when another process has it, naming that process, its machine and
 * what it does ("trains in r2"). Where the file system has no locks it warns and goes on. */
Status file_lock_take(FileLock *lock, const char *path, const char *doing, Err *err);
void file_lock_release(FileLock *lock);

#endif
