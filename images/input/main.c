/* SPDX-License-Identifier: MIT */
/* Copies standard input to standard output without blocking in read(). */

/*
 * Says when it has waited in vain for the first time, and how it ended:
 *   input poll|select|epoll|nonblock
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static int epoll;

static void note_timeout(void)
{
    static unsigned timeouts;

    if (timeouts++ == 0)
        fprintf(stderr, "waits\n");
}

/* Waits for input, 20 ms at most. Returns whether there is some. */
static int await_input(const char *how)
{
    struct pollfd one = {.fd = 0, .events = POLLIN};
    struct timeval soon = {0, 20000};
    struct epoll_event event;
    fd_set in;

    switch (how[0]) {
    case 'p':
        return poll(&one, 1, 20);
    case 'e':
        return epoll_wait(epoll, &event, 1, 20);
    case 's':
        FD_ZERO(&in);
        FD_SET(0, &in);
        return select(1, &in, NULL, NULL, &soon);
    default:
        poll(NULL, 0, 20);
        return 1;
    }
}

static void copy_unblocked(const char *how)
{
    struct epoll_event event = {.events = EPOLLIN};
    char bytes[1000];
    long got = 1;

    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    if (how[0] == 'n')
        fcntl(0, F_SETFL, O_NONBLOCK);
    while (got != 0) {
        if (!await_input(how)) {
            note_timeout();
            continue;
        }
        got = read(0, bytes, sizeof(bytes));
        if (got > 0)
            fwrite(bytes, 1, (size_t)got, stdout);
        else if (got < 0 && errno == EAGAIN)
            note_timeout();
        else if (got < 0)
            break;
    }
    fprintf(stderr, "%s\n", got ? strerror(errno) : "end");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        copy_unblocked(argv[1]);
    return 0;
}
