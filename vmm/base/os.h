/* SPDX-License-Identifier: MIT */
/* The host kernel as the monitor calls it: every system call is counted. */
#ifndef VMM_BASE_OS_H
#define VMM_BASE_OS_H

/*
 * What a VM costs is counted, the monitor's own system calls included, so they
 * all pass through here. Each wrapper returns what the call returns, or a
 * negative errno; none of them touches errno's old value in a way that
 * matters. The count is the calling thread's. Calls that libc answers without
 * the kernel (clock_gettime) are not here.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Linux 5.14; not in every <sys/mman.h>. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* System calls that this thread made through this header. */
extern _Thread_local unsigned long os_calls;

static inline long os_result(long result)
{
    os_calls++;
    return result < 0 ? -errno : result;
}

/* Not by open(): musl's sets close-on-exec once more by a second call. */
static inline int os_open(const char *path, int flags)
{
    return (int)os_result(
        syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0666));
}

static inline int os_close(int fd)
{
    return (int)os_result(close(fd));
}

static inline int os_fstat(int fd, struct stat *status)
{
    return (int)os_result(fstat(fd, status));
}

static inline ssize_t os_pread(int fd, void *to, size_t bytes, off_t offset)
{
    return os_result(pread(fd, to, bytes, offset));
}

static inline ssize_t os_readv(int fd, const struct iovec *iov, int count)
{
    return os_result(readv(fd, iov, count));
}

static inline ssize_t os_writev(int fd, const struct iovec *iov, int count)
{
    return os_result(writev(fd, iov, count));
}

static inline ssize_t os_preadv(int fd, const struct iovec *iov, int count,
                                off_t offset)
{
    return os_result(preadv(fd, iov, count, offset));
}

static inline ssize_t os_pwritev(int fd, const struct iovec *iov, int count,
                                 off_t offset)
{
    return os_result(pwritev(fd, iov, count, offset));
}

static inline int os_fdatasync(int fd)
{
    return (int)os_result(fdatasync(fd));
}

static inline int os_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    return (int)os_result(fallocate(fd, mode, offset, bytes));
}

static inline ssize_t os_getrandom(void *to, size_t bytes)
{
    return os_result(getrandom(to, bytes, 0));
}

static inline int os_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return (int)os_result(poll(fds, count, timeout_ms));
}

static inline int os_ppoll(struct pollfd *fds, nfds_t count,
                           const struct timespec *timeout, const sigset_t *mask)
{
    return (int)os_result(ppoll(fds, count, timeout, mask));
}

static inline int os_epoll_create(void)
{
    return (int)os_result(epoll_create1(EPOLL_CLOEXEC));
}

static inline int os_epoll_control(int epoll_fd, int operation, int fd,
                                   struct epoll_event *event)
{
    return (int)os_result(epoll_ctl(epoll_fd, operation, fd, event));
}

/* What is ready now. Not by epoll_wait(), which is epoll_pwait in musl. */
static inline int os_epoll_look(int epoll_fd, struct epoll_event *events,
                                int count)
{
    return (int)os_result(syscall(SYS_epoll_wait, epoll_fd, events, count, 0));
}

/* Takes a connection, which does not block. */
static inline int os_accept(int fd)
{
    return (int)os_result(
        accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/* To a socket that gets more bytes at once, or its end: TCP waits for them. */
static inline ssize_t os_send_more(int fd, const void *from, size_t bytes)
{
    return os_result(sendto(fd, from, bytes, MSG_MORE, NULL, 0));
}

static inline int os_shutdown(int fd, int how)
{
    return (int)os_result(shutdown(fd, how));
}

/* Closing the socket, TCP's, will tell its peer that it was cut off. */
static inline int os_set_abort(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    return (int)os_result(
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

static inline ssize_t os_recvmsg(int fd, struct msghdr *message, int flags)
{
    return os_result(recvmsg(fd, message, flags));
}

static inline int os_ioctl(int fd, unsigned long request, uintptr_t argument)
{
    return (int)os_result(ioctl(fd, (int)request, argument));
}

/* Stores the mapping's address in `*address`. Returns 0 or -errno. */
static inline int os_mmap(size_t bytes, int protection, int flags, int fd,
                          void **address)
{
    void *mapped = mmap(NULL, bytes, protection, flags, fd, 0);

    os_calls++;
    if (mapped == MAP_FAILED)
        return -errno;
    *address = mapped;
    return 0;
}

/*
 * Puts a private copy of `bytes` bytes of a file, from `offset` on, where
 * `address` is mapped already. Returns 0 or -errno.
 */
static inline int os_map_over(void *address, size_t bytes, int fd, off_t offset)
{
    void *mapped = mmap(address, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, offset);

    os_calls++;
    return mapped == MAP_FAILED ? -errno : 0;
}

static inline ssize_t os_pwrite(int fd, const void *from, size_t bytes,
                                off_t offset)
{
    return os_result(pwrite(fd, from, bytes, offset));
}

static inline int os_munmap(void *address, size_t bytes)
{
    return (int)os_result(munmap(address, bytes));
}

static inline int os_madvise(void *address, size_t bytes, int advice)
{
    return (int)os_result(madvise(address, bytes, advice));
}

static inline int os_sigaction(int number, const struct sigaction *action,
                               struct sigaction *old)
{
    return (int)os_result(sigaction(number, action, old));
}

static inline int os_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return (int)os_result(sigprocmask(how, set, old));
}

/* Host monotonic time in nanoseconds; libc answers without the kernel. */
static inline uint64_t os_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline struct timespec os_timespec(uint64_t ns)
{
    return (struct timespec){
        .tv_sec = (time_t)(ns / 1000000000u),
        .tv_nsec = (long)(ns % 1000000000u),
    };
}

/* A system call that libc has no wrapper for, or that musl's lacks. */
#define os_syscall(...) os_result(syscall(__VA_ARGS__))

#endif
