#include "core/base/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/* The file says who holds it: "PID HOST". */
static void sign(int fd)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    /* Only a message needs it: a full disk may lose it. */
    if (ftruncate(fd, 0) == 0)
        dprintf(fd, "%ld %s\n", (long)getpid(), host);
}

static Status busy(int fd, const char *doing, Err *err)
{
    char text[300] = "", host[256] = "";
    long process = 0;
    if (pread(fd, text, sizeof text - 1, 0) > 0 && sscanf(text, "%ld %255s", &process, host) == 2)
        return err_set(err, "another process (pid %ld, %s) %s; wait for it, or stop it", process,
                       host, doing);
    return err_set(err, "another process %s; wait for it, or stop it", doing);
}

Status file_lock_take(FileLock *lock, const char *path, const char *doing, Err *err)
{
    *lock = (FileLock){0};
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return err_set(err, "cannot create %s: %s", path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            Status status = STATUS_OK;
            if (errno == EWOULDBLOCK)
                status = busy(fd, doing, err);
            else
                log_warn("%s: %s: other processes will not notice this one", path, strerror(errno));
            close(fd);
            return status;
        }
        /* Whoever releases a lock removes its file: what was opened before that is no lock. */
        if (file_is_named(fd, path)) {
            sign(fd);
            *lock = (FileLock){xstrdup(path), fd};
            return STATUS_OK;
        }
        close(fd);
    }
}

void file_lock_release(FileLock *lock)
{
    if (lock->path) {
        unlink(lock->path);
        close(lock->fd);
    }
    free(lock->path);
    *lock = (FileLock){0};
}
