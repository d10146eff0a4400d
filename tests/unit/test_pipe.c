/* SPDX-License-Identifier: MIT */
/* The guest's pipes, eventfds and epoll, and calls that block. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "guest_rt/pipe.h"
#include "tests/unit/guest.h"

static int ends[2];
static long other; /* what a test's other thread works on */

static void make_pipe(void)
{
    cr_assert_eq(SYS(pipe2, ends, 0), 0);
}

TestSuite(pipe, .init = make_pipe);

static void write_later(void)
{
    cr_assert_eq(SYS(write, ends[1], "later", 5), 5);
}

static void close_later(void)
{
    cr_assert_eq(SYS(close, ends[1]), 0);
}

Test(pipe, a_reader_waits_for_a_writer)
{
    char text[16] = "";

    cr_assert_eq(SYS(read, ends[0], text, 16), -EINTR);
    guest_when_blocked = write_later;
    cr_assert_eq(SYS(read, ends[0], text, 16), 5);
    cr_assert_str_eq(text, "later");
    guest_when_blocked = close_later;
    cr_assert_eq(SYS(read, ends[0], text, 16), 0);
}

static void read_some(void)
{
    static char text[5000];

    cr_assert_eq(SYS(read, ends[0], text, sizeof(text)), 5000);
}

Test(pipe, a_writer_waits_for_room)
{
    static char block[100000];

    guest_when_blocked = read_some;
    cr_assert_eq(SYS(write, ends[1], block, sizeof(block)), sizeof(block));
    /* What fits is written before a signal comes. */
    guest_when_blocked = NULL;
    cr_assert_lt((size_t)SYS(write, ends[1], block, sizeof(block)),
                 sizeof(block));
    cr_assert_eq(SYS(write, ends[1], block, 100), -EINTR);
}

Test(pipe, few_bytes_go_in_whole_or_not_at_all)
{
    char block[PIPE_ATOMIC] = {0};
    long left = PIPE_BYTES;

    cr_assert_eq(SYS(fcntl, ends[1], F_SETFL, O_NONBLOCK), 0);
    cr_assert_eq(SYS(write, ends[1], "x", 1), 1);
    for (left--; left >= (long)PIPE_ATOMIC; left -= PIPE_ATOMIC)
        cr_assert_eq(SYS(write, ends[1], block, PIPE_ATOMIC), PIPE_ATOMIC);
    cr_assert_eq(left, PIPE_ATOMIC - 1);
    cr_assert_eq(SYS(write, ends[1], block, PIPE_ATOMIC), -EAGAIN);
    cr_assert_eq(SYS(write, ends[1], block, left), left);
    cr_assert_eq(SYS(write, ends[1], block, 1), -EAGAIN);
}

Test(pipe, nobody_reads_is_a_signal_and_EPIPE)
{
    cr_assert_eq(SYS(close, ends[0]), 0);
    cr_assert_eq(SYS(write, ends[1], "x", 1), -EPIPE);
    cr_assert_eq(guest_sigpipes, 1);
}

Test(pipe, gives_back_all_memory)
{
    unsigned before;

    SYS(close, ends[0]);
    SYS(close, ends[1]);
    before = guest_pieces;
    make_pipe();
    write_later();
    SYS(close, ends[0]);
    SYS(close, ends[1]);
    cr_assert_eq(guest_pieces, before);
}

static void open_writer(void)
{
    guest_when_blocked = NULL;
    other = SYS(open, "/fifo", O_WRONLY, 0);
}

static void open_and_close_writer(void)
{
    open_writer();
    cr_assert_eq(SYS(close, other), 0);
}

Test(pipe, opening_a_fifo_waits_for_the_other_end)
{
    long fd;

    cr_assert_eq(SYS(mknod, "/fifo", S_IFIFO | 0600, 0), 0);
    cr_assert_eq(SYS(open, "/fifo", O_RDONLY, 0), -EINTR);
    guest_when_blocked = open_writer;
    fd = SYS(open, "/fifo", O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    cr_assert_geq(other, 0);
    SYS(close, other);
    SYS(close, fd);
    /* One that came and went is enough. */
    guest_when_blocked = open_and_close_writer;
    fd = SYS(open, "/fifo", O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    SYS(close, fd);
    cr_assert_eq(SYS(open, "/fifo", O_WRONLY | O_NONBLOCK, 0), -ENXIO);
}

/* ---- poll --------------------------------------------------------------- */

Test(pipe, poll_waits_for_any)
{
    struct pollfd fds[2] = {{.fd = ends[1], .events = POLLIN},
                            {.fd = ends[0], .events = POLLIN}};

    cr_assert_eq(SYS(poll, fds, 2, -1), -EINTR);
    cr_assert_eq(SYS(poll, fds, 2, 5), 0);
    guest_when_blocked = write_later;
    cr_assert_eq(SYS(poll, fds, 2, -1), 1);
    cr_assert_eq(fds[0].revents, 0);
    cr_assert_eq(fds[1].revents, POLLIN);
}

/* ---- epoll -------------------------------------------------------------- */

static long control(long epoll, int operation, long fd, uint32_t events)
{
    struct epoll_event event = {events, {.u64 = (uint64_t)fd}};

    return SYS(epoll_ctl, epoll, operation, fd, &event);
}

Test(pipe, epoll_waits_and_tells_in_turn)
{
    struct epoll_event events[2];
    long epoll = SYS(epoll_create1, 0);
    long fds[3];

    for (int i = 0; i < 3; i++) {
        fds[i] = SYS(eventfd2, 1, 0);
        cr_assert_eq(control(epoll, EPOLL_CTL_ADD, fds[i], EPOLLIN), 0);
    }
    /* Two at a time: nobody is forgotten. */
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, 0), 2);
    cr_assert_eq(events[0].data.u64, (uint64_t)fds[0]);
    cr_assert_eq(events[1].data.u64, (uint64_t)fds[1]);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, 0), 2);
    cr_assert_eq(events[0].data.u64, (uint64_t)fds[2]);
    cr_assert_eq(events[1].data.u64, (uint64_t)fds[0]);
    for (int i = 0; i < 3; i++)
        SYS(close, fds[i]);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, 0), 0);
    cr_assert_eq(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, -1), -EINTR);
    guest_when_blocked = write_later;
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, -1), 1);
    cr_assert_eq(events[0].events, EPOLLIN);
}

Test(pipe, epoll_of_thousands_gives_back_all_memory)
{
    enum { MANY = 3000 };
    struct epoll_event events[4];
    long epoll, last = -1;
    unsigned before;

    SYS(close, SYS(eventfd2, 0, 0));
    for (int i = 0; i < MANY; i++)
        last = SYS(eventfd2, 0, 0);
    before = guest_pieces;
    epoll = SYS(epoll_create1, 0);
    for (long fd = last; fd > last - MANY; fd--)
        cr_assert_eq(control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET), 0);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 4, 0), 0);
    cr_assert_eq(SYS(write, last - 77, &(uint64_t){1}, 8), 8);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 4, 0), 1);
    cr_assert_eq(events[0].data.u64, (uint64_t)last - 77);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 4, 0), 0);
    cr_assert_eq(SYS(close, epoll), 0);
    cr_assert_eq(guest_pieces, before);
    /* Nobody waits at the files any more. */
    cr_assert_eq(SYS(write, last, &(uint64_t){1}, 8), 8);
}

Test(pipe, epoll_forgets_what_is_closed_while_it_is_ready)
{
    struct epoll_event events[2];
    long epoll = SYS(epoll_create1, 0), fd = SYS(eventfd2, 1, 0), copy;

    cr_assert_eq(control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    copy = SYS(dup, fd);
    cr_assert_eq(control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN), 0);
    SYS(close, fd);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, 0), 2);
    SYS(close, copy);
    cr_assert_eq(SYS(epoll_wait, epoll, events, 2, 0), 0);
}

/* ---- Locks -------------------------------------------------------------- */

static long lock_of(long fd, int command, short type, off_t start, off_t length)
{
    struct flock lock = {.l_type = type, .l_start = start, .l_len = length};
    long result = SYS(fcntl, fd, command, &lock);

    return command == F_OFD_GETLK && !result ? lock.l_type : result;
}

static void unlock_later(void)
{
    cr_assert_eq(lock_of(other, F_OFD_SETLK, F_UNLCK, 0, 0), 0);
}

Test(pipe, locks_of_open_files_keep_each_other_out)
{
    long a = SYS(open, "/l", O_RDWR | O_CREAT, 0600), b, c;

    b = SYS(open, "/l", O_RDWR, 0);
    c = SYS(dup, a);
    cr_assert_eq(lock_of(a, F_OFD_SETLK, F_WRLCK, 10, 10), 0);
    cr_assert_eq(lock_of(c, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
    cr_assert_eq(lock_of(a, F_OFD_SETLK, F_UNLCK, 15, 1), 0);
    cr_assert_eq(lock_of(b, F_OFD_SETLK, F_RDLCK, 14, 1), -EAGAIN);
    cr_assert_eq(lock_of(b, F_OFD_SETLK, F_WRLCK, 15, 1), 0);
    cr_assert_eq(lock_of(b, F_OFD_SETLK, F_RDLCK, 16, 1), -EAGAIN);
    cr_assert_eq(lock_of(a, F_OFD_GETLK, F_WRLCK, 15, 1), F_WRLCK);
    cr_assert_eq(lock_of(a, F_OFD_GETLK, F_WRLCK, 16, 1), F_UNLCK);
    cr_assert_eq(SYS(flock, b, LOCK_EX | LOCK_NB), 0);
    cr_assert_eq(SYS(flock, a, LOCK_EX), -EINTR);
    other = a;
    guest_when_blocked = unlock_later;
    cr_assert_eq(lock_of(b, F_OFD_SETLKW, F_WRLCK, 0, 5), 0);
    SYS(close, b);
    cr_assert_eq(SYS(flock, a, LOCK_EX | LOCK_NB), 0);
}
