/* Has one call of a process fail: the n-th of its kind.
 *
 *   LD_PRELOAD=faults.so FAULT_CALL=fdatasync FAULT_AT=3 FAULT_ERRNO=5 FAULT_LOG=/a/file
 *   FAULT_SPARED=/usr:/etc    opens below these do not count: the interpreter's own
 *   FAULT_LASTS=1             later ones about the same file fail too
 *
 * Only the process itself: what it starts has no LD_PRELOAD. When a call fails its name and
 * what it was about are appended to the log; at the exit, how many calls there were. With an
 * empty FAULT_CALL none fails, and every call is written to the log.
 *
 * Not here: which calls are tried, and what must hold then (calls.py, trial.py).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char call[32], log_path[PATH_MAX], spared[PATH_MAX], bad[PATH_MAX];
static long at, seen;
static int failure, lasts;
static pid_t owner;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void say(const char *what, long number, const char *about) {
    char line[PATH_MAX + 64];
    int kept = errno;
    int n = snprintf(line, sizeof line, "%s %ld %s\n", what, number, about);
    int fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || syscall(SYS_write, fd, line, n) != n) abort();
    syscall(SYS_close, fd);
    errno = kept;
}

/* At the start, or when a process that was forked has set its environment. */
__attribute__((constructor)) void faults_begin(void) {
    const char *names[] = {getenv("FAULT_CALL"), getenv("FAULT_AT"), getenv("FAULT_ERRNO"), getenv("FAULT_LOG")};
    for (int i = 0; i < 4; i++)
        if (!names[i]) return;
    snprintf(call, sizeof call, "%s", names[0]);
    at = atol(names[1]);
    failure = atoi(names[2]);
    snprintf(log_path, sizeof log_path, "%s", names[3]);
    snprintf(spared, sizeof spared, "%s", getenv("FAULT_SPARED") ? getenv("FAULT_SPARED") : "");
    lasts = getenv("FAULT_LASTS") != NULL;
    owner = getpid();
    unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
    if (owner && getpid() == owner) say("calls", seen, call);
}

static int looked_at(const char *name) {
    return owner && getpid() == owner && (!*call || !strcmp(name, call));
}

/* Whether this call has to fail; then errno is set. */
static int fails(const char *name, const char *about) {
    if (!looked_at(name)) return 0;
    long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (!*call) say(name, number, about);
    int again = *bad && !strcmp(about, bad);
    if (!*call || (number != at && !again)) return 0;
    if (number == at) say(name, number, about);
    if (number == at && lasts) snprintf(bad, sizeof bad, "%s", about);
    errno = failure;
    return 1;
}

static int counts(const char *path) {
    for (const char *from = spared; *from;) {
        size_t n = strcspn(from, ":");
        if (n && !strncmp(path, from, n)) return 0;
        from += n + (from[n] == ':');
    }
    return 1;
}

static int file_fails(const char *name, int fd) {
    char link[64], path[PATH_MAX] = "";
    struct stat found;
    if (!looked_at(name) || fstat(fd, &found)) return 0;
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    return counts(path) && fails(name, path);
}

/* How many files of processes are looked at depends on what else runs: a kind of its own. */
static const char *opening(const char *path) {
    return strncmp(path, "/proc/", 6) ? "openat" : "openat_proc";
}

#define OPEN(name, arguments, values, path) \
    int name arguments { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); } \
        if (owner && counts(path) && fails(opening(path), path)) return -1; \
        return REAL(name) values; \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode), path)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), path)
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), path)
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), path)

int fsync(int fd) { return file_fails("fsync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return file_fails("fdatasync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t n) { return file_fails("ftruncate", fd) ? -1 : REAL(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { return file_fails("ftruncate", fd) ? -1 : REAL(ftruncate64)(fd, n); }
ssize_t write(int fd, const void *data, size_t n) {
    return file_fails("write", fd) ? -1 : REAL(write)(fd, data, n);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t to) {
    return file_fails("pwrite64", fd) ? -1 : REAL(pwrite)(fd, data, n, to);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t to) {
    return file_fails("pwrite64", fd) ? -1 : REAL(pwrite64)(fd, data, n, to);
}
ssize_t pread64(int fd, void *data, size_t n, off64_t from) {
    return file_fails("pread64", fd) ? -1 : REAL(pread64)(fd, data, n, from);
}
int accept(int fd, struct sockaddr *a, socklen_t *n) {
    return fails("accept4", "a socket") ? -1 : REAL(accept)(fd, a, n);
}
int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags) {
    return fails("accept4", "a socket") ? -1 : REAL(accept4)(fd, a, n, flags);
}
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *with) {
    return fails("clone3", "a thread") ? failure : REAL(pthread_create)(t, a, run, with);
}
pid_t fork(void) { return fails("clone", "a process") ? -1 : REAL(fork)(); }
/* A wrapped vfork would return into a stack that its child has used: a fork is one too. */
pid_t vfork(void) { return fails("clone", "a process") ? -1 : REAL(fork)(); }
