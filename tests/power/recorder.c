/* Writes down what a process does to the files below one folder, in the order it is done.
 *
 *   LD_PRELOAD=recorder.so RECORD_ROOT=/a/folder RECORD_LOG=/elsewhere/log
 *
 * Each record is one append, so that those of all processes are in one order. A record is
 * written after its call has succeeded; its time was read before it was appended. A sync has
 * two, for what is written while it is under way is not vouched for.
 *
 * Not here: what the records mean (disk.py, which must stay in step with `struct record`).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
    uint32_t path_bytes, data_bytes;
    uint64_t at_ns, inode;
    int64_t number; /* offset, size, or which sync */
    char op;        /* O open, W write, T truncate, B sync begun, S synced, M mkdir, U gone, R rename, L link */
    char pad[7];
};

static char root[PATH_MAX], log_path[PATH_MAX];
static size_t root_bytes;
static int64_t syncs;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *r = getenv("RECORD_ROOT"), *l = getenv("RECORD_LOG");
    if (!r || !l) return;
    snprintf(root, sizeof root, "%s", r);
    snprintf(log_path, sizeof log_path, "%s", l);
    root_bytes = strlen(root);
}

static int below_root(const char *path) {
    return root_bytes && !strncmp(path, root, root_bytes) &&
           (path[root_bytes] == '/' || path[root_bytes] == 0);
}

static void put(char op, const char *path, uint64_t inode, int64_t number,
                const struct iovec *data, int parts, size_t data_bytes) {
    struct timespec now;
    int kept = errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct record head = {
        .path_bytes = strlen(path), .data_bytes = data_bytes, .inode = inode, .number = number,
        .at_ns = now.tv_sec * 1000000000ull + now.tv_nsec, .op = op,
    };
    struct iovec all[66] = {{&head, sizeof head}, {(void *)path, head.path_bytes}};
    if (parts > 64) abort();
    size_t left = data_bytes;
    for (int i = 0; i < parts; i++) {
        all[i + 2] = data[i];
        if (all[i + 2].iov_len > left) all[i + 2].iov_len = left;
        left -= all[i + 2].iov_len;
    }
    /* opened each time: a number that is kept could be closed, and given to another file */
    int fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ssize_t want = sizeof head + head.path_bytes + data_bytes;
    if (fd < 0 || syscall(SYS_writev, fd, all, parts + 2) != want) abort();
    syscall(SYS_close, fd);
    errno = kept;
}

/* The path of an open file below the root; 0 if it is elsewhere, or nothing with a path. */
static int path_of(int fd, char *path, struct stat *found) {
    char link[64];
    if (!root_bytes || fstat(fd, found) || !(S_ISREG(found->st_mode) || S_ISDIR(found->st_mode)))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below_root(path);
}

static int resolve(int folder, const char *name, char *path) {
    char link[64];
    if (!root_bytes) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return below_root(path);
    }
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return 0;
    snprintf(path + n, PATH_MAX - n, "/%s", name);
    return below_root(path);
}

static int opened(int fd, int folder, const char *name, int flags) {
    char path[PATH_MAX];
    struct stat found;
    if (fd >= 0 && flags & (O_CREAT | O_TRUNC) && resolve(folder, name, path) && !fstat(fd, &found))
        put('O', path, found.st_ino, flags & O_TRUNC ? 1 : 0, 0, 0, 0);
    return fd;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }

int open(const char *name, int flags, ...) {
    MODE(flags, mode);
    return opened(REAL(open)(name, flags, mode), AT_FDCWD, name, flags);
}
int open64(const char *name, int flags, ...) {
    MODE(flags, mode);
    return opened(REAL(open64)(name, flags, mode), AT_FDCWD, name, flags);
}
int openat(int folder, const char *name, int flags, ...) {
    MODE(flags, mode);
    return opened(REAL(openat)(folder, name, flags, mode), folder, name, flags);
}
int openat64(int folder, const char *name, int flags, ...) {
    MODE(flags, mode);
    return opened(REAL(openat64)(folder, name, flags, mode), folder, name, flags);
}

static ssize_t wrote(int fd, const struct iovec *data, int parts, int64_t at, ssize_t n) {
    char path[PATH_MAX];
    struct stat found;
    if (n > 0 && path_of(fd, path, &found))
        put('W', path, found.st_ino, at < 0 ? lseek(fd, 0, SEEK_CUR) - n : at, data, parts, n);
    return n;
}

ssize_t write(int fd, const void *data, size_t size) {
    struct iovec one = {(void *)data, size};
    return wrote(fd, &one, 1, -1, REAL(write)(fd, data, size));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    struct iovec one = {(void *)data, size};
    return wrote(fd, &one, 1, at, REAL(pwrite)(fd, data, size, at));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    struct iovec one = {(void *)data, size};
    return wrote(fd, &one, 1, at, REAL(pwrite64)(fd, data, size, at));
}
ssize_t writev(int fd, const struct iovec *data, int parts) {
    return wrote(fd, data, parts, -1, REAL(writev)(fd, data, parts));
}

static int cut(int result, int fd, int64_t size) {
    char path[PATH_MAX];
    struct stat found;
    if (!result && path_of(fd, path, &found)) put('T', path, found.st_ino, size, 0, 0, 0);
    return result;
}
int ftruncate(int fd, off_t size) { return cut(REAL(ftruncate)(fd, size), fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(REAL(ftruncate64)(fd, size), fd, size); }

static int synced(int (*sync)(int), int fd) {
    char path[PATH_MAX];
    struct stat found;
    int ours = path_of(fd, path, &found);
    int64_t number = ((int64_t)getpid() << 32) | __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    if (ours) put('B', path, found.st_ino, number, 0, 0, 0);
    int result = sync(fd);
    if (ours && !result) put('S', path, found.st_ino, number, 0, 0, 0);
    return result;
}
int fsync(int fd) { return synced(REAL(fsync), fd); }
int fdatasync(int fd) { return synced(REAL(fdatasync), fd); }

static int named(char op, int result, int folder, const char *name) {
    char path[PATH_MAX];
    if (!result && resolve(folder, name, path)) put(op, path, 0, 0, 0, 0, 0);
    return result;
}
int mkdir(const char *name, mode_t mode) { return named('M', REAL(mkdir)(name, mode), AT_FDCWD, name); }
int mkdirat(int folder, const char *name, mode_t mode) {
    return named('M', REAL(mkdirat)(folder, name, mode), folder, name);
}
int unlink(const char *name) { return named('U', REAL(unlink)(name), AT_FDCWD, name); }
int rmdir(const char *name) { return named('U', REAL(rmdir)(name), AT_FDCWD, name); }
int unlinkat(int folder, const char *name, int flags) {
    return named('U', REAL(unlinkat)(folder, name, flags), folder, name);
}

static int moved(char op, int result, int from, const char *old, int to, const char *new) {
    char path[PATH_MAX], target[PATH_MAX];
    if (!result && resolve(from, old, path) | resolve(to, new, target)) {
        struct iovec data = {target, strlen(target)};
        put(op, path, 0, 0, &data, 1, data.iov_len);
    }
    return result;
}
int rename(const char *old, const char *new) {
    return moved('R', REAL(rename)(old, new), AT_FDCWD, old, AT_FDCWD, new);
}
int renameat(int from, const char *old, int to, const char *new) {
    return moved('R', REAL(renameat)(from, old, to, new), from, old, to, new);
}
int link(const char *old, const char *new) {
    return moved('L', REAL(link)(old, new), AT_FDCWD, old, AT_FDCWD, new);
}
