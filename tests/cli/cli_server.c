/* SPDX-License-Identifier: MIT */
/* mayfly serve as tests run it, and its clients. */
#include "tests/cli/cli_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_test.h"

struct test_server server;

void choose_paths(void)
{
    need_kvm();
    strcpy(server.dir, "/tmp/mayfly-serve-XXXXXX");
    make_directory(server.dir);
    snprintf(server.path, sizeof(server.path), "%s/socket", server.dir);
}

const char *image_path(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/images/%s", build_directory(), name);
    return path;
}

/* ---- The server --------------------------------------------------------- */

pid_t start_mayfly(const char *const *words, int output, int errors)
{
    const char *argv[32];
    char mayfly[256];
    unsigned count = 0;
    pid_t pid = fork();

    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGHUP, SIG_DFL); /* whoever runs the tests may have it ignored */
    if (output >= 0)
        dup2(output, STDOUT_FILENO);
    if (errors >= 0)
        dup2(errors, STDERR_FILENO);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    snprintf(mayfly, sizeof(mayfly), "%s/mayfly", build_directory());
    argv[count++] = mayfly;
    while (*words && count < 31)
        argv[count++] = *words++;
    argv[count] = NULL;
    execv(mayfly, (char *const *)argv);
    _exit(99);
}

void launch_server(const char *const *words, int output)
{
    char listen_at[96];
    const char *argv[28] = {"serve", "--listen", listen_at};
    unsigned count = 3;
    int fds[2];

    snprintf(listen_at, sizeof(listen_at), "unix:%s", server.path);
    while (*words && count < 27)
        argv[count++] = *words++;
    cr_assert_eq(pipe(fds), 0);
    server.said_bytes = 0;
    server.pid = start_mayfly(argv, output, fds[1]);
    server.errors = fds[0];
    close(fds[1]);
    if (output >= 0)
        close(output);
}

void start_server(const char *const *words)
{
    const char *all[24];
    unsigned count = 0;

    if (!*server.dir)
        choose_paths();
    while (*words)
        all[count++] = *words++;
    if (*all[count - 1] != '/')
        all[count - 1] = image_path(all[count - 1]);
    all[count] = NULL;
    launch_server(all, -1);
    await_words("serving ");
}

bool read_words(void)
{
    ssize_t more = read(server.errors, server.said + server.said_bytes,
                        sizeof(server.said) - 1 - server.said_bytes);

    server.said_bytes += more > 0 ? (size_t)more : 0;
    server.said[server.said_bytes] = '\0';
    return more > 0;
}

void await_words(const char *words)
{
    server.said[server.said_bytes] = '\0';
    while (!strstr(server.said, words))
        cr_assert(read_words(), "it ended before it said '%s': %s", words,
                  server.said);
}

void forget_words(void)
{
    server.said_bytes = 0;
}

void assert_server_ended(int expected)
{
    int status = -1;

    cr_assert_eq(waitpid(server.pid, &status, 0), server.pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected,
              "status %#x, not %d", status, expected);
    close(server.errors);
    cr_assert_eq(access(server.path, F_OK), -1, "the socket's file is left");
}

void stop_server(void)
{
    kill(server.pid, SIGTERM);
    assert_server_ended(0);
}

/* ---- Its clients -------------------------------------------------------- */

int connect_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    for (unsigned i = 0; i < 2000; i++) {
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        usleep(5000);
    }
    cr_assert_fail("cannot connect to %s: %s", path, strerror(errno));
    return -1;
}

int connect_server(void)
{
    return connect_path(server.path);
}

void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
                 (ssize_t)strlen(text));
}

size_t read_to_end(int fd, char *to, size_t room)
{
    size_t bytes = 0;
    ssize_t more;

    while ((more = read(fd, to + bytes, room - 1 - bytes)) > 0)
        bytes += (size_t)more;
    to[bytes] = '\0';
    close(fd);
    return bytes;
}

int ask(const char *target)
{
    char text[256];
    int fd = connect_server();

    snprintf(text, sizeof(text),
             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    say(fd, text);
    return fd;
}

int read_status(int fd)
{
    static char text[65536];
    int status = 0;

    if (read_to_end(fd, text, sizeof(text)) == 0)
        return 0;
    cr_assert_eq(sscanf(text, "HTTP/1.1 %d ", &status), 1, "%s", text);
    cr_assert_not(strstr(text + 1, "HTTP/1.1"), "two answers: %s", text);
    return status;
}

void assert_status(const char *target, int status)
{
    int got = read_status(ask(target));

    cr_assert_eq(got, status, "%s: %d, not %d", target, got, status);
}
