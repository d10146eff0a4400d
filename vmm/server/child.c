/* SPDX-License-Identifier: MIT */
/* The beginning of the server's processes, and what they send each other. */
#include "vmm/server/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmm/cli.h"

#define FIRST_FD 3 /* after the standard ones */

/* ---- Beginning ---------------------------------------------------------- */

static void settle_signals(void)
{
    static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                  SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
    sigset_t none;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t child_fork(void)
{
    pid_t parent = getpid(), child;
    sigset_t all, before;

    /* What comes in between waits: the parent's handlers are not ours. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    child = fork();
    if (child != 0) {
        int error = errno;

        sigprocmask(SIG_SETMASK, &before, NULL);
        return child > 0 ? child : -error;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        cli_end_at_once(CLI_FAILED);
    settle_signals();
    return 0;
}

/* Out of the way of those whose numbers will be given to others. */
static int move_up(int *fd, int above)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, above);

    if (moved < 0)
        return -errno;
    *fd = moved;
    return 0;
}

int child_keep(int *const fds[], unsigned count)
{
    int at = FIRST_FD, result = 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return -errno;
    for (unsigned i = 0; i < count && !result; i++)
        if (*fds[i] >= 0)
            result = move_up(fds[i], FIRST_FD + (int)count);
    for (unsigned i = 0; i < count && !result; i++) {
        if (*fds[i] < 0)
            continue;
        if (dup3(*fds[i], at, O_CLOEXEC) < 0)
            result = -errno;
        *fds[i] = at++;
    }
    if (!result && syscall(SYS_close_range, at, UINT_MAX, 0))
        result = -errno;
    return result;
}

int child_output(int fd)
{
    struct pollfd file = {.fd = fd};

    return poll(&file, 1, 0) > 0 && file.revents & (POLLERR | POLLNVAL) ? -1
                                                                        : fd;
}

uint64_t child_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Packets ------------------------------------------------------------ */

union control {
    char bytes[CMSG_SPACE(CHILD_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

int child_send(int socket, const void *data, size_t bytes, const int *fds,
               unsigned count)
{
    union control control = {{0}};
    struct iovec iov = {(void *)(uintptr_t)data, bytes};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *part;

    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Takes what has come; closes what there is no room for. */
static unsigned take_fds(struct msghdr *message, int *fds, unsigned room)
{
    unsigned count = 0;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0);
             at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
            if (count < room)
                fds[count++] = fd;
            else
                close(fd);
        }
    }
    return count;
}

int child_receive(int socket, void *data, size_t bytes, int *fds,
                  unsigned *count)
{
    union control control;
    struct iovec iov = {data, bytes};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    unsigned room = *count;
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

    *count = 0;
    if (got < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    *count = take_fds(&message, fds, room);
    if ((size_t)got == bytes && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return 0;
    while (*count > 0)
        close(fds[--*count]);
    if ((size_t)got == bytes && !(message.msg_flags & MSG_TRUNC))
        return -EMFILE;
    return got == 0 ? -EPIPE : -EPROTO;
}
