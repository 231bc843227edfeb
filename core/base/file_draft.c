/* Files that appear under their names only when they are complete. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/inputs.h"
#include "core/base/mem.h"

/* ---- temporary files --------------------------------------------------------------------------
 * PATH.PID-N.tmp, held by a lock (flock) for as long as its writer lives. No two writers share one,
 * and one that nobody holds is what a killed process left. */

bool file_is_named(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && stat(path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

/* The process in a name "PATH.PID-N.tmp" that belongs to `base`, or 0. */
static long owner_of(const char *name, const char *base)
{
    size_t length = strlen(base);
    char *end;
    if (strncmp(name, base, length) != 0 || name[length] != '.')
        return 0;
    long process = strtol(name + length + 1, &end, 10);
    if (process <= 0 || *end != '-')
        return 0;
    strtol(end + 1, &end, 10);
    /* A draft of a draft (merging makes one) has more behind that. */
    return strncmp(end, ".tmp", 4) == 0 && file_has_suffix(end, ".tmp") ? process : 0;
}

static void remove_if_left(const char *path, long process)
{
    if (kill((pid_t)process, 0) == 0 || errno != ESRCH)
        return; /* of another machine or container it may be: then its lock says more */
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && file_is_named(fd, path))
        unlink(path);
    close(fd);
}

/* Removes what killed processes left of earlier writes to `path`. */
static void remove_left(const char *path)
{
    char *folder = file_folder(path);
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    while (stream && (entry = readdir(stream)) != NULL) {
        long process = owner_of(entry->d_name, file_base_name(path));
        if (process == 0)
            continue;
        char *left = file_join(folder, entry->d_name);
        remove_if_left(left, process);
        free(left);
    }
    if (stream)
        closedir(stream);
    free(folder);
}

/* Creates a temporary file that only this call has. Returns its descriptor, which holds the lock,
 * or -1 with a reason in errno. The caller frees the name. */
static int open_temporary(const char *path, char **name)
{
    for (int n = 0;; n++) {
        *name = xasprintf("%s.%ld-%d.tmp", path, (long)getpid(), n);
        int fd = open(*name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        /* Somebody who removes what is left may have it for a moment, before it is locked. File
         * systems without locks have nobody who removes. */
        bool taken = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (fd >= 0 && !taken && file_is_named(fd, *name))
            return fd;
        bool again = fd >= 0 || errno == EEXIST;
        int reason = errno;
        if (fd >= 0)
            close(fd);
        free(*name);
        *name = NULL;
        errno = reason;
        if (!again)
            return -1;
    }
}

FILE *file_scratch(const char *path, Err *err)
{
    char *name;
    remove_left(path);
    int fd = open_temporary(path, &name);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w+b");
    if (!stream)
        err_set(err, "cannot create a file beside %s: %s", path, strerror(errno));
    if (name)
        unlink(name);
    free(name);
    return stream;
}

/* ---- drafts -----------------------------------------------------------------------------------
 */

static Status check_kind(const char *path, Err *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return err_set(err, "cannot write %s: it is a %s; name a file", path,
                       S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
    return STATUS_OK;
}

Status file_draft_init(FileDraft *draft, const char *path, Err *err)
{
    *draft = (FileDraft){0};
    TRY(check_kind(path, err));
    TRY(inputs_check(path, err));
    remove_left(path);
    draft->fd = open_temporary(path, &draft->temporary);
    if (draft->fd < 0)
        return err_set(err, "cannot create %s: %s", path, strerror(errno));
    draft->path = xstrdup(path);
    return STATUS_OK;
}

static void draft_end(FileDraft *draft)
{
    if (draft->temporary)
        close(draft->fd);
    free(draft->path);
    free(draft->temporary);
    *draft = (FileDraft){0};
}

static Status sync_path(const char *path, int flags, Err *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, "cannot open %s: %s", path, strerror(errno));
    Status status = STATUS_OK;
    /* Some file systems cannot sync a folder (EINVAL); the rename is then as safe as it gets. */
    if (fsync(fd) != 0 && errno != EINVAL)
        status = err_set(err, "cannot flush %s to disk: %s", path, strerror(errno));
    close(fd);
    return status;
}

Status file_check_target(const char *path, Err *err)
{
    TRY(check_kind(path, err));
    TRY(inputs_check(path, err));
    char *folder = file_folder(path);
    Status status = STATUS_OK;
    if (access(folder, W_OK | X_OK) != 0)
        status = err_set(err, "cannot create %s: %s", path, strerror(errno));
    free(folder);
    return status;
}

Status file_draft_commit(FileDraft *draft, Err *err)
{
    Status status = sync_path(draft->temporary, O_RDONLY, err);
    if (status == STATUS_OK && rename(draft->temporary, draft->path) != 0)
        status = err_set(err, "cannot rename %s to %s: %s", draft->temporary, draft->path,
                         strerror(errno));
    if (status == STATUS_OK) {
        char *folder = file_folder(draft->path);
        status = sync_path(folder, O_RDONLY | O_DIRECTORY, err);
        free(folder);
    } else {
        unlink(draft->temporary);
    }
    draft_end(draft);
    return status;
}

void file_draft_abandon(FileDraft *draft)
{
    if (draft->temporary)
        unlink(draft->temporary);
    draft_end(draft);
}

Status file_write(const char *path, const void *data, size_t bytes, Err *err)
{
    FileDraft draft;
    TRY(file_draft_init(&draft, path, err));
    FILE *stream = fopen(draft.temporary, "wb");
    if (!stream) {
        err_set(err, "cannot create %s: %s", draft.path, strerror(errno));
        file_draft_abandon(&draft);
        return STATUS_FAIL;
    }
    bool written = fwrite(data, 1, bytes, stream) == bytes;
    int fault = errno;
    if (fclose(stream) != 0 && written) {
        fault = errno;
        written = false;
    }
    if (!written) {
        err_set(err, "cannot write %s: %s", draft.path, strerror(fault));
        file_draft_abandon(&draft);
        return STATUS_FAIL;
    }
    return file_draft_commit(&draft, err);
}
