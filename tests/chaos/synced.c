/* Notes how far each file is on disk: preloaded into a server, it writes "inode size" to $SYNCED after every fsync.
 * The size is taken before the call, so that what is noted is never more than what is safe. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int sync_and_note(const char *name, int fd) {
    int (*sync)(int) = dlsym(RTLD_NEXT, name);
    struct stat before;
    char line[64];
    int known = fstat(fd, &before), result = sync(fd);
    int log = open(getenv("SYNCED"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) abort();
    if (known == 0 && result == 0) {
        int length = snprintf(line, sizeof line, "%lu %lld\n", (unsigned long)before.st_ino, (long long)before.st_size);
        if (write(log, line, length) != length) abort();
    }
    close(log);
    return result;
}

int fsync(int fd) { return sync_and_note("fsync", fd); }
int fdatasync(int fd) { return sync_and_note("fdatasync", fd); }
