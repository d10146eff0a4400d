/* SPDX-License-Identifier: MIT */
/* The access log's file: buffered lines that wait for nobody. */
#include "vmm/server/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPEN_FLAGS (O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
#define CLOSE_MS   1000

/* ---- The file ----------------------------------------------------------- */

/*
 * Standard output is the others', too: that it must not block is for an opening
 * of our own, where there can be one. A file needs none; it would have another
 * position.
 */
static int open_output(bool *shared)
{
    struct stat status;
    int fd = -1;

    *shared = false;
    if (fstat(STDOUT_FILENO, &status))
        return -errno;
    if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
        fd = open("/proc/self/fd/1", OPEN_FLAGS);
    if (fd < 0) {
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        *shared = !S_ISREG(status.st_mode);
    }
    return fd < 0 ? -errno : fd;
}

static int open_path(const char *path, bool *shared)
{
    if (strcmp(path, "-") == 0)
        return open_output(shared);
    int fd = open(path, OPEN_FLAGS | O_CREAT, 0640);
    *shared = false;
    return fd < 0 ? -errno : fd;
}

int access_log_open(struct access_log *log, const char *path)
{
    memset(log, 0, offsetof(struct access_log, buffer));
    log->fd = -1;
    log->path = path;
    if (!path)
        return 0;
    int fd = open_path(path, &log->shared);
    if (fd < 0) {
        log->path = NULL;
        return fd;
    }
    log->fd = fd;
    (void)madvise(log->buffer, sizeof(log->buffer), MADV_WIPEONFORK);
    return 0;
}

/* Writes some of it, without a wait. Returns how much, or -errno. */
static ssize_t write_some(const struct access_log *log)
{
    struct pollfd writable = {.fd = log->fd, .events = POLLOUT};
    size_t bytes = log->used;
    ssize_t done;

    if (log->shared) {
        done = send(log->fd, log->buffer, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done >= 0 || errno != ENOTSOCK)
            return done < 0 ? -errno : done;
        if (poll(&writable, 1, 0) != 1)
            return -EAGAIN;
        /* So much has room in a pipe that has any (pipe(7)). */
        bytes = bytes > PIPE_BUF ? PIPE_BUF : bytes;
    }
    done = write(log->fd, log->buffer, bytes);
    return done < 0 ? -errno : done;
}

/* ---- The buffer --------------------------------------------------------- */

static void lose_lines(struct access_log *log, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        log->lost += log->buffer[i] == '\n';
}

static void remove_bytes(struct access_log *log, size_t bytes)
{
    log->used -= bytes;
    memmove(log->buffer, log->buffer + bytes, log->used);
}

/* Says so once, until it works again. */
static void complain(struct access_log *log, int error)
{
    if (!log->failing)
        fprintf(stderr,
                "mayfly: cannot write to the access log %s: %s: lines get "
                "lost\n",
                log->path, strerror(error));
    log->failing = true;
}

/* Whether nobody will ever read what is written. */
static bool is_gone(int error)
{
    return error == EPIPE || error == ECONNRESET || error == ENOTCONN ||
           error == ECONNREFUSED;
}

/* On a full disk there may be room again. */
static void fail(struct access_log *log, int error)
{
    if (error == EAGAIN || error == EINTR)
        return;
    complain(log, error);
    if (!is_gone(error))
        return;
    lose_lines(log, log->used);
    log->used = 0;
    log->torn = false;
}

bool access_log_flush(struct access_log *log)
{
    while (log->used > 0) {
        ssize_t done = write_some(log);

        if (done <= 0) {
            fail(log, done ? (int)-done : ENOSPC);
            return log->used > 0;
        }
        log->failing = false;
        log->torn = log->buffer[done - 1] != '\n';
        remove_bytes(log, (size_t)done);
    }
    return false;
}

void access_log_add(struct access_log *log,
                    const struct connection_record *record, uint64_t now_ns)
{
    if (log->fd < 0)
        return;
    if (sizeof(log->buffer) - log->used < ACCESS_LOG_LINE_BYTES)
        access_log_flush(log);
    if (sizeof(log->buffer) - log->used < ACCESS_LOG_LINE_BYTES)
        log->lost++;
    else
        log->used += access_log_format(log->buffer + log->used, record, now_ns);
}

/* ---- The end of a file -------------------------------------------------- */

/* A new file does not begin in the middle of a line. */
static void drop_torn_line(struct access_log *log)
{
    const char *end = memchr(log->buffer, '\n', log->used);

    if (!log->torn || !end)
        return;
    log->lost++;
    log->torn = false;
    remove_bytes(log, (size_t)(end - log->buffer) + 1);
}

int access_log_reopen(struct access_log *log)
{
    bool shared;

    if (log->fd < 0 || strcmp(log->path, "-") == 0)
        return 0;
    access_log_flush(log);
    int fd = open_path(log->path, &shared);
    if (fd < 0)
        return fd;
    close(log->fd);
    log->fd = fd;
    log->shared = shared;
    drop_torn_line(log);
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void access_log_close(struct access_log *log)
{
    struct pollfd writable = {.fd = log->fd, .events = POLLOUT};
    uint64_t end_ms = now_ms() + CLOSE_MS;

    if (log->fd < 0)
        return;
    while (access_log_flush(log) && !log->failing) {
        uint64_t now = now_ms();

        if (now >= end_ms)
            break;
        poll(&writable, 1, (int)(end_ms - now));
    }
    lose_lines(log, log->used);
    close(log->fd);
    log->fd = -1;
}
