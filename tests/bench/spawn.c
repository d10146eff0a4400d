/* SPDX-License-Identifier: MIT */
/* Starting programs and timing them. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Those that spawn_waiting has started and that are not stopped yet. */
static pid_t *waiting;
static unsigned waiting_count;

pid_t spawn(const char *const *argv, int out, int err)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (err != STDERR_FILENO)
        posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    errno = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)argv,
                        environ);
    if (errno)
        die("cannot start %s", argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

void kill_waiting(void)
{
    for (unsigned i = 0; i < waiting_count; i++)
        kill(waiting[i], SIGKILL);
}

pid_t spawn_waiting(const char *const *argv, int out)
{
    static bool registered;
    pid_t *more = realloc(waiting, (waiting_count + 1) * sizeof(*waiting));

    if (!more || (!registered && atexit(kill_waiting)))
        die("cannot keep track of %s", argv[0]);
    registered = true;
    waiting = more;
    waiting[waiting_count] = spawn(argv, out, STDERR_FILENO);
    return waiting[waiting_count++];
}

void stop_waiting(int status)
{
    unsigned count = waiting_count;
    int how;

    for (unsigned i = 0; i < count; i++)
        kill(waiting[i], SIGTERM);
    waiting_count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (waitpid(waiting[i], &how, 0) != waiting[i])
            die("wait");
        errno = 0;
        if (status >= 0 && (!WIFEXITED(how) || WEXITSTATUS(how) != status))
            die("a waiting VM ended with wait status %#x", (unsigned)how);
    }
}

static void check_status(const char *const *argv, pid_t pid, int expected)
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        die("cannot wait for %s", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        errno = 0;
        die("%s %s: wait status %#x instead of exit status %d", argv[0],
            argv[1] ? argv[1] : "", (unsigned)status, expected);
    }
}

void start_timed(const char *const *argv, const char *output, int status,
                 int err, struct start *start)
{
    char text[4096];
    size_t got = 0, length = strlen(output);
    int pipes[2];
    ssize_t bytes;

    if (pipe2(pipes, O_CLOEXEC))
        die("pipe");
    uint64_t begin = now_ns();
    pid_t pid = spawn(argv, pipes[1], err);
    close(pipes[1]);
    start->first_us = NAN;
    while ((bytes = read(pipes[0], text + got, sizeof(text) - got)) > 0) {
        if (!got)
            start->first_us = (double)(now_ns() - begin) / 1e3;
        got += (size_t)bytes;
    }
    check_status(argv, pid, status);
    start->exit_us = (double)(now_ns() - begin) / 1e3;
    close(pipes[0]);
    errno = 0;
    if (got != length || memcmp(text, output, length) != 0)
        die("%s wrote '%.*s' instead of '%s'", argv[0], (int)got, text, output);
}

double run_reading(const char *const *argv, int err, char *text, size_t room,
                   uint64_t *bytes)
{
    static char buffer[1 << 16];
    size_t kept = 0;
    int pipes[2];
    ssize_t got;

    if (pipe2(pipes, O_CLOEXEC))
        die("pipe");
    uint64_t begin = now_ns();
    pid_t pid = spawn(argv, pipes[1], err);
    close(pipes[1]);
    *bytes = 0;
    while ((got = read(pipes[0], buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < got && kept + 1 < room; i++)
            text[kept++] = buffer[i];
        *bytes += (uint64_t)got;
    }
    check_status(argv, pid, 0);
    close(pipes[0]);
    text[kept] = 0;
    return (double)(now_ns() - begin) / 1e9;
}
