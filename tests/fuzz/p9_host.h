/* SPDX-License-Identifier: MIT */
/* A host that is made up for the 9P device, and looks at what it is asked. */
#ifndef TESTS_FUZZ_P9_HOST_H
#define TESTS_FUZZ_P9_HOST_H

/*
 * It answers as the script says: with files of any kind, errors,
 * interruptions, less data than was asked for. It has no names: each is what
 * the script makes of it at that moment, so that everything races with
 * everything.
 */
#include "tests/fuzz/p9_hooked.h"

#include <stdarg.h>

#include "tests/fuzz/changing.h"
#include "tests/fuzz/no_console.h"

#define ROOT_FD   100
#define FD_FIRST  200
#define FDS       64
#define RAM_BASE  UINT64_C(0x10000)
#define RAM_BYTES 0x24000u

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{RAM_BASE, RAM_BYTES, ram}},
    .count = 1,
};
static struct p9 p9;
static struct script *answers; /* how host calls end */
static bool read_only, changes_seen;
static uint64_t now_ns;
static unsigned host_calls;

/* ---- The host's descriptors ---------------------------------------------- */

/* What each stands for: its flags, and the mode that fstat() has for it. */
static struct {
    bool open;
    bool plain; /* its mode was looked at, and it may be used for data */
    unsigned flags, mode;
} fds[FDS];
static unsigned fd_count;

static unsigned index_of(int fd)
{
    bug_on(fd < FD_FIRST || fd >= FD_FIRST + FDS);
    bug_on(!fds[fd - FD_FIRST].open);
    return (unsigned)(fd - FD_FIRST);
}

/* A descriptor that names of a directory may be used with. */
static void check_directory(int fd)
{
    bug_on(!(fds[index_of(fd)].flags & O_PATH));
}

static void check_data(int fd)
{
    unsigned i = index_of(fd);

    bug_on(fds[i].flags & O_PATH);
    bug_on(!fds[i].plain && !(fds[i].flags & O_EXCL));
}

static int hooked_os_close(int fd)
{
    fds[index_of(fd)].open = false;
    fd_count--;
    return 0;
}

/* ---- What the host is asked ---------------------------------------------- */

static uint64_t hooked_os_now_ns(void)
{
    return now_ns;
}

/* Mostly 0, or an error that a host might have. */
static int any_error(void)
{
    static const int errors[] = {EINTR,  EIO,    ENOENT, EACCES,
                                 EEXIST, ENOSPC, EMFILE, ENOSYS};
    unsigned choice = script_below(answers, 32);

    host_calls++;
    change_memory();
    return choice > 0 && choice <= ARRAY_SIZE(errors) ? -errors[choice - 1] : 0;
}

/* A relative path of names, or "." for the root. */
static void check_path(const char *path)
{
    size_t length = strlen(path);

    bug_on(length == 0 || length >= P9_PATH_BYTES);
    if (strcmp(path, ".") == 0)
        return;
    for (const char *name = path; name; name = strchr(name, '/')) {
        name += *name == '/';
        size_t bytes = strcspn(name, "/");

        bug_on(bytes == 0 || bytes > P9_NAME_MAX);
        bug_on(bytes == 1 && name[0] == '.');
        bug_on(bytes == 2 && name[0] == '.' && name[1] == '.');
    }
}

/* The name of one file; "." only where times are set. */
static void check_name(const char *name, bool may_be_root)
{
    bug_on(strchr(name, '/') || strlen(name) > P9_NAME_MAX || !*name);
    bug_on(strcmp(name, "..") == 0);
    bug_on(strcmp(name, ".") == 0 && !may_be_root);
}

static void check_change(void)
{
    bug_on(read_only);
    changes_seen = true;
}

/* Directories, files, links and, less often, what must not be opened. */
static unsigned any_mode(void)
{
    static const unsigned modes[] = {S_IFDIR, S_IFDIR, S_IFREG, S_IFREG,
                                     S_IFREG, S_IFLNK, S_IFIFO, S_IFCHR};

    return modes[script_below(answers, ARRAY_SIZE(modes))] | 0644;
}

static long host_open(int dir, const char *path, const struct open_how *how,
                      size_t bytes)
{
    unsigned flags = (unsigned)how->flags;
    int error;

    bug_on(dir != ROOT_FD || bytes != sizeof(*how));
    check_path(path);
    bug_on(how->resolve != (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                            RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
    bug_on(~flags & (O_NOFOLLOW | O_CLOEXEC));
    bug_on(flags & (O_DIRECT | (O_TMPFILE & ~O_DIRECTORY)));
    bug_on((flags & O_CREAT) && !(flags & O_EXCL));
    bug_on(how->mode & ~01777u);
    bug_on(!(flags & (O_PATH | O_CREAT)) &&
           !(flags & O_NONBLOCK && flags & O_NOCTTY));
    if ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC))
        check_change();
    error = any_error();
    if (error)
        return error;
    for (unsigned i = 0; i < FDS; i++) {
        if (fds[i].open)
            continue;
        fds[i].open = true;
        fds[i].plain = false;
        fds[i].flags = flags;
        fds[i].mode = flags & O_CREAT       ? S_IFREG | 0644u
                      : flags & O_DIRECTORY ? S_IFDIR | 0755u
                                            : any_mode();
        fd_count++;
        return FD_FIRST + (int)i;
    }
    return -EMFILE;
}

static long host_fstat(int fd, struct stat *status)
{
    int error = fd == ROOT_FD ? 0 : any_error();
    unsigned i;

    if (error)
        return error;
    memset(status, 0, sizeof(*status));
    status->st_mode = S_IFDIR | 0755;
    if (fd == ROOT_FD)
        return 0;
    i = index_of(fd);
    status->st_mode = fds[i].mode;
    status->st_ino = script_number(answers, 1);
    status->st_size = (off_t)script_number(answers, 2);
    fds[i].plain = S_ISREG(fds[i].mode) || S_ISDIR(fds[i].mode);
    return 0;
}

/* Some entries, whole, as the kernel has them. */
static long host_getdents(int fd, uint8_t *to, size_t bytes)
{
    size_t at = 0;
    int error = any_error();

    check_data(fd);
    bug_on(!S_ISDIR(fds[index_of(fd)].mode) || bytes > P9_DIRENTS_BYTES);
    for (unsigned left = script_below(answers, 24); !error && left > 0;
         left--) {
        size_t name = 1 + script_below(answers, P9_NAME_MAX);
        size_t whole = (DIRENT_BYTES + name + 1 + 7) / 8 * 8;
        struct host_dirent *entry = (struct host_dirent *)(to + at);

        if (whole > bytes - at)
            return at ? (long)at : -EINVAL;
        *entry = (struct host_dirent){
            .inode = script_number(answers, 1),
            .next = (int64_t)at,
            .bytes = (uint16_t)whole,
            .type = (uint8_t)script_below(answers, 16),
        };
        memset(entry->name, 'e', name);
        entry->name[name] = '\0';
        at += whole;
    }
    return error ? error : (long)at;
}

static long host_readlink(int fd, const char *path, char *to, size_t bytes)
{
    size_t length = script_number(answers, 2) % 4096;
    int error = any_error();

    check_directory(fd);
    bug_on(*path || bytes > 4096);
    memset(to, 't', length < bytes ? length : bytes);
    return error ? error : (long)min_u64(length, bytes);
}

/* Calls with a directory and a name, and a number that is to be looked at. */
static long host_change_name(long number, va_list list)
{
    int dir = va_arg(list, int);
    const char *name = va_arg(list, const char *);
    unsigned mode = number == SYS_unlinkat ? 0 : va_arg(list, unsigned);

    check_change();
    check_directory(dir);
    check_name(name, false);
    if (number == SYS_unlinkat)
        mode = (unsigned)va_arg(list, int) & ~(unsigned)AT_REMOVEDIR;
    if (number == SYS_mknodat)
        bug_on(!S_ISREG(mode) && !S_ISFIFO(mode));
    if (number == SYS_mknodat)
        mode &= ~(unsigned)S_IFMT;
    bug_on(mode & ~01777u);
    return any_error();
}

static long host_two_names(long number, va_list list)
{
    int from = va_arg(list, int);
    const char *old = va_arg(list, const char *);
    int to = va_arg(list, int);
    const char *new = va_arg(list, const char *);

    check_change();
    check_directory(from);
    check_directory(to);
    check_name(old, number == SYS_linkat);
    check_name(new, false);
    if (number == SYS_linkat)
        bug_on(va_arg(list, int) != 0);
    return any_error();
}

static long host_attributes(long number, va_list list)
{
    int fd = va_arg(list, int);
    const char *name;

    check_change();
    if (number == SYS_ftruncate) {
        check_data(fd);
        bug_on(va_arg(list, off_t) < 0);
    } else if (number == SYS_fchmod) {
        check_data(fd);
        bug_on(va_arg(list, unsigned) & ~01777u);
    } else if (number == SYS_fchmodat2) {
        check_directory(fd);
        bug_on(*va_arg(list, const char *));
        bug_on(va_arg(list, unsigned) & ~01777u);
        bug_on(va_arg(list, int) != AT_EMPTY_PATH);
    } else {
        name = va_arg(list, const char *);
        if (name)
            check_name(name, true);
        bug_on(!va_arg(list, const struct timespec *));
        bug_on(va_arg(list, int) != (name ? AT_SYMLINK_NOFOLLOW : 0));
        if (name)
            check_directory(fd);
        else
            check_data(fd);
    }
    return any_error();
}

static long host_symlink(va_list list)
{
    const char *target = va_arg(list, const char *);
    int dir = va_arg(list, int);

    check_change();
    bug_on(strlen(target) > P9_REQUEST_BYTES);
    check_directory(dir);
    check_name(va_arg(list, const char *), false);
    return any_error();
}

static long host_call(long number, va_list list)
{
    int fd;

    switch (number) {
    case SYS_mkdirat:
    case SYS_mknodat:
    case SYS_unlinkat:
        return host_change_name(number, list);
    case SYS_renameat:
    case SYS_linkat:
        return host_two_names(number, list);
    case SYS_symlinkat:
        return host_symlink(list);
    case SYS_ftruncate:
    case SYS_fchmod:
    case SYS_fchmodat2:
    case SYS_utimensat:
        return host_attributes(number, list);
    }
    fd = va_arg(list, int);
    switch (number) {
    case SYS_openat2: {
        const char *path = va_arg(list, const char *);
        const struct open_how *how = va_arg(list, const struct open_how *);

        return host_open(fd, path, how, va_arg(list, size_t));
    }
    case SYS_fstat:
        return host_fstat(fd, va_arg(list, struct stat *));
    case SYS_fstatfs:
        if (fd != ROOT_FD)
            index_of(fd);
        memset(va_arg(list, struct statfs *), 0, sizeof(struct statfs));
        return fd == ROOT_FD ? 0 : any_error();
    case SYS_readlinkat: {
        const char *path = va_arg(list, const char *);
        char *to = va_arg(list, char *);

        return host_readlink(fd, path, to, va_arg(list, size_t));
    }
    case SYS_getdents64: {
        uint8_t *to = va_arg(list, uint8_t *);

        return host_getdents(fd, to, va_arg(list, uint64_t));
    }
    case SYS_lseek:
    case SYS_fsync:
    case SYS_fdatasync:
        check_data(fd);
        return any_error();
    }
    bug_on(true);
    return 0;
}

static long hooked_syscall(long number, ...)
{
    va_list list;

    va_start(list, number);
    long result = host_call(number, list);
    va_end(list);
    return result;
}

/* Returns what is moved between file and pieces, all of them guest memory. */
static ssize_t move(int fd, const struct iovec *iov, int count, bool in)
{
    uint64_t bytes = 0;
    int error = any_error();

    check_data(fd);
    bug_on(count <= 0 || count > (int)P9_QUEUE_MAX);
    for (int i = 0; i < count; i++) {
        const uint8_t *start = iov[i].iov_base;

        bug_on(iov[i].iov_len == 0 && count > 1 && i > 0 && i < count - 1);
        bug_on(start < ram || start > ram + RAM_BYTES);
        bug_on(iov[i].iov_len > (size_t)(ram + RAM_BYTES - start));
        bytes += iov[i].iov_len;
    }
    bug_on(bytes == 0 || bytes > P9_MSIZE_MAX);
    if (error)
        return error;
    if (script_below(answers, 4) == 0)
        bytes = min_u64(bytes, script_number(answers, 2));
    uint64_t left = bytes;
    for (int i = 0; in && left > 0; i++) {
        size_t part = min_u64(left, iov[i].iov_len);

        memset(iov[i].iov_base, 'd', part);
        left -= part;
    }
    return (ssize_t)bytes;
}

static ssize_t hooked_os_preadv(int fd, const struct iovec *iov, int count,
                                off_t offset)
{
    (void)offset;
    return move(fd, iov, count, true);
}

static ssize_t hooked_os_pwritev(int fd, const struct iovec *iov, int count,
                                 off_t offset)
{
    (void)offset;
    check_change();
    return move(fd, iov, count, false);
}

#endif
