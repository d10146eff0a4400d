/* SPDX-License-Identifier: MIT */
/* Reading from the console, alone or beside other things. */
#include <string.h>
#include <sys/epoll.h>

#include "guest_rt/console.h"
#include "guest_rt/file.h"

/*
 * A program with one thing to do reads straight into its own buffers and waits
 * for that. Where there is a scheduler, a signal may end the wait, and where
 * somebody polls, input must be asked for before anyone reads: then it comes
 * into a buffer here first. What poll has asked for is taken from the host
 * even if nobody reads it.
 */
#define AHEAD_BYTES 65536u
#define POLL_BYTES  4096u

#pragma weak source_add
#pragma weak source_remove
#pragma weak wait_on
#pragma weak wait_wake

static unsigned char buffer[AHEAD_BYTES] __attribute__((section(".lbss")));

static bool asked;          /* the device has the buffer */
static bool ended;          /* the end of the file is what has come */
static size_t filled, used; /* bytes that came, and were read */

static bool is_ready(struct source *source)
{
    (void)source;
    return console_input_is_done();
}

static bool arm(struct source *source)
{
    (void)source;
    return console_input_arm();
}

static bool has_input(void)
{
    return ended || used < filled;
}

/* Takes what has come. Returns 0, -EAGAIN or -EIO. */
static int take(bool wait)
{
    long bytes = console_input_end(wait);

    if (bytes < 0)
        return (int)bytes;
    asked = false;
    ended = bytes == 0;
    filled = (size_t)bytes;
    used = 0;
    return 0;
}

static void serve(struct source *source)
{
    source_remove(source);
    take(false);
    file_wake(&console_files[0], EPOLLIN);
}

static struct source input = {.ready = is_ready, .arm = arm, .serve = serve};

/* Asks for input, if that has not been done yet. Returns 0 or -EBADF. */
static int ask(size_t bytes)
{
    int error;

    if (asked)
        return 0;
    error =
        console_input_begin(buffer, bytes < AHEAD_BYTES ? bytes : AHEAD_BYTES);
    if (error)
        return error;
    asked = true;
    if (source_add) {
        input.event = console_input_event();
        source_add(&input);
    }
    return 0;
}

/* Waits for input. Returns 0 to look again, or -errno. */
static int await_input(const struct file *file)
{
    if (file->flags & O_NONBLOCK) {
        console_input_ask();
        if (!console_input_is_done())
            return -EAGAIN;
        if (source_remove)
            source_remove(&input);
        return take(false);
    }
    if (wait_on)
        return wait_on(&console_files[0].wait, WAIT_NO_END);
    return take(true);
}

static long copy_input(const struct iovec *iov, int count)
{
    size_t total = 0;

    ended = false;
    for (int i = 0; i < count && used < filled; i++) {
        size_t part = filled - used;

        if (part > iov[i].iov_len)
            part = iov[i].iov_len;
        memcpy(iov[i].iov_base, buffer + used, part);
        used += part;
        total += part;
    }
    return (long)total;
}

long console_read(struct file *file, const struct iovec *iov, int count,
                  off_t offset)
{
    size_t wanted = 0;

    (void)offset;
    if (!source_add && !(file->flags & O_NONBLOCK) && !asked && !has_input())
        return console_readv(iov, count);
    for (int i = 0; i < count; i++)
        wanted += iov[i].iov_len;
    if (!wanted)
        return 0;
    while (!has_input()) {
        int error = ask(wanted);

        if (!error)
            error = await_input(file);
        if (error)
            return error;
    }
    return copy_input(iov, count);
}

uint32_t console_poll(struct file *file)
{
    int number = console_number(file);

    if (number == 1 || number == 2)
        return EPOLLOUT;
    if (!has_input() && ask(POLL_BYTES))
        return EPOLLIN; /* reading says what is wrong */
    return has_input() ? EPOLLIN : 0;
}
