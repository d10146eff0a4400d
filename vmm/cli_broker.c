/* SPDX-License-Identifier: MIT */
/* The broker: a process that connects for a guest, outside of its sandbox. */
#include "vmm/cli.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "seccomp_filter.h"

/*
 * It is asked by the number of an entry, and knows no other addresses than
 * those of its list: whatever has become of the one who asks. It ends when the
 * other end of its socket closes, however that ends.
 */

#define AT_ONCE    64 /* attempts */
#define PATIENCE_S 10 /* for each */

/* An attempt that is under way. */
struct attempt {
    int fd;
    uint32_t ticket;
    time_t until;
};

struct broker {
    int socket;
    const struct cli_connect *list;
    unsigned list_count;
    struct attempt attempts[AT_ONCE];
    unsigned count;
};

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* With the socket, which is closed here, if there is no error. */
static void answer(struct broker *broker, uint32_t ticket, int error, int fd)
{
    struct mayfly_connected words = {ticket, -error};
    struct iovec iov = {&words, sizeof(words)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (!error) {
        struct cmsghdr *part;

        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    }
    if (sendmsg(broker->socket, &message, MSG_NOSIGNAL) < 0)
        cli_end_at_once(0);
    if (fd >= 0)
        close(fd);
}

static socklen_t make_address(const struct cli_connect *entry,
                              struct sockaddr_storage *address)
{
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof(*address));
    if (entry->is_ipv6) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(entry->port);
        memcpy(&in6->sin6_addr, entry->address, 16);
        return sizeof(*in6);
    }
    in->sin_family = AF_INET;
    in->sin_port = htons(entry->port);
    memcpy(&in->sin_addr, entry->address, 4);
    return sizeof(*in);
}

/* Begins to connect. Answers at once if that is done, or in vain. */
static void attempt(struct broker *broker,
                    const struct mayfly_connect *question)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    int fd, error = 0;

    if (question->entry >= broker->list_count) {
        answer(broker, question->ticket, EACCES, -1);
        return;
    }
    bytes = make_address(&broker->list[question->entry], &address);
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, bytes))
        error = errno;
    if (error == EINPROGRESS)
        broker->attempts[broker->count++] =
            (struct attempt){fd, question->ticket, now_s() + PATIENCE_S};
    else
        answer(broker, question->ticket, error, fd);
}

static void hear_question(struct broker *broker)
{
    struct mayfly_connect question;
    ssize_t bytes = recv(broker->socket, &question, sizeof(question), 0);

    if (bytes == sizeof(question))
        attempt(broker, &question);
    else if (bytes >= 0 || (errno != EAGAIN && errno != EINTR))
        cli_end_at_once(0);
}

/* It has come to something, or its time is over. */
static void settle(struct broker *broker, unsigned index, bool ready)
{
    struct attempt done = broker->attempts[index];
    int error = ETIMEDOUT;
    socklen_t bytes = sizeof(error);

    if (ready && getsockopt(done.fd, SOL_SOCKET, SO_ERROR, &error, &bytes))
        error = errno;
    broker->attempts[index] = broker->attempts[--broker->count];
    answer(broker, done.ticket, error, done.fd);
}

/* One look at everything, after a sleep. */
static void work(struct broker *broker)
{
    struct pollfd files[AT_ONCE + 1];
    unsigned count = broker->count;

    for (unsigned i = 0; i < count; i++)
        files[i] =
            (struct pollfd){.fd = broker->attempts[i].fd, .events = POLLOUT};
    /* While it is busy with as many as it can be, questions wait. */
    files[count] = (struct pollfd){.fd = broker->socket,
                                   .events = count < AT_ONCE ? POLLIN : 0};
    if (poll(files, count + 1, count ? 1000 : -1) < 0 && errno != EINTR)
        cli_end_at_once(1);
    /* From the end: one that is done gives its place to the last one. */
    for (unsigned i = count; i-- > 0;)
        if (files[i].revents || broker->attempts[i].until <= now_s())
            settle(broker, i, files[i].revents != 0);
    if (files[count].revents)
        hear_question(broker);
}

/* From here on it can do nothing but connect, and pass sockets on. */
static void confine(void)
{
    struct sock_fprog program = {
        sizeof(filter_for_broker) / sizeof(filter_for_broker[0]),
        filter_for_broker,
    };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
        cli_end_at_once(1);
}

/* The child: keeps nothing but its socket, and what it says errors to. */
static _Noreturn void run(struct broker *broker)
{
    const int ignored[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT,
                           SIGPIPE, SIGUSR1, SIGUSR2};

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    if (broker->socket != 3 && dup2(broker->socket, 3) < 0)
        cli_end_at_once(1);
    broker->socket = 3;
    /* Whoever waits for the end of our output does not wait for the broker. */
    syscall(SYS_close_range, 4, UINT_MAX, 0);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    setsid();
    confine();
    for (;;)
        work(broker);
}

int cli_start_broker(const struct cli_connect *list, unsigned count, int *fd)
{
    struct broker broker = {.list = list, .list_count = count};
    int ends[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return cli_fail(CLI_FAILED, "--allow-connect: %s", strerror(errno));
    broker.socket = ends[1];
    child = fork();
    if (child == 0)
        run(&broker);
    close(ends[1]);
    *fd = ends[0];
    if (child > 0)
        return CLI_OK;
    close(ends[0]);
    return cli_fail(CLI_FAILED, "--allow-connect: %s", strerror(errno));
}
