/* SPDX-License-Identifier: MIT */
/* mayfly serve when it is told to end: who is served, and who is not. */
#include "tests/cli/cli_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_server.h"

TestSuite(serve_end, .timeout = 60);

Test(serve_end, what_is_there_is_served_before_the_end)
{
    int clients[6];

    START_SERVER("--timeout", "20000", "--workers", "1", "function.elf");
    for (unsigned i = 0; i < 6; i++)
        clients[i] = ask("/slow?30");
    kill(server.pid, SIGTERM);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(read_status(clients[i]), 200);
    assert_server_ended(0);
}

/* Connects and goes, again and again, until nobody listens any more. */
static pid_t knock_for_ever(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pid_t pid = fork();
    int fd;

    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server.path);
    do {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
            _exit(0);
    } while (close(fd) == 0);
    _exit(1);
}

/* Until it sleeps: then the kernel has no room for another one. */
static void await_full_queue(pid_t knocking)
{
    char name[64], state = 0;

    snprintf(name, sizeof(name), "/proc/%d/stat", knocking);
    for (unsigned calm = 0; calm < 10; calm++) {
        FILE *file = fopen(name, "re");

        if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1 ||
            state != 'S')
            calm = 0;
        if (file)
            fclose(file);
        usleep(1000);
    }
}

Test(serve_end, who_comes_while_it_ends_does_not_keep_it)
{
    char log[96];
    pid_t knocking[2];
    unsigned count = 0;
    FILE *lines;
    int c;

    choose_paths();
    snprintf(log, sizeof(log), "%s/log", server.dir);
    START_SERVER("--workers", "1", "--access-log", log, "served.elf");
    kill(server.pid, SIGSTOP);
    for (unsigned i = 0; i < 2; i++)
        knocking[i] = knock_for_ever();
    await_full_queue(knocking[0]);
    await_full_queue(knocking[1]);
    kill(server.pid, SIGTERM);
    kill(server.pid, SIGCONT);
    assert_server_ended(0);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(waitpid(knocking[i], NULL, 0), knocking[i]);
    lines = fopen(log, "re");
    while ((c = fgetc(lines)) != EOF)
        count += c == '\n';
    fclose(lines);
    /* The kernel's, and what the worker took while nobody read its reports. */
    cr_assert(count > 0 && count <= 4097 + 256 + 16, "%u were accepted", count);
}

/* The last --listen counts. */
static int connect_tcp(int flags)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *at = strstr(server.said, " at 127.0.0.1:");
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

    cr_assert(at);
    to.sin_port = htons((uint16_t)atoi(at + strlen(" at 127.0.0.1:")));
    cr_assert(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ||
              (flags && errno == EINPROGRESS));
    return fd;
}

/* Tries until it is not answered: then the server is about to end. */
static int connect_too_late(void)
{
    struct pollfd late = {.events = POLLOUT};

    for (unsigned i = 0; i < 1000; i++) {
        late.fd = connect_tcp(SOCK_NONBLOCK);
        if (poll(&late, 1, 5) == 0)
            return late.fd;
        cr_assert_eq(late.revents, POLLOUT, "nobody listens any more");
        close(late.fd);
    }
    cr_assert_fail("it does not end");
    return -1;
}

Test(serve_end, who_connected_before_the_end_may_still_speak)
{
    int fd, late;

    START_SERVER("--timeout", "20000", "--workers", "1", "--listen",
                 "127.0.0.1:0", "function.elf");
    fd = connect_tcp(0); /* its server does not see it yet */
    kill(server.pid, SIGTERM);
    late = connect_too_late();
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    cr_assert_eq(read_status(fd), 200);
    assert_server_ended(0);
    close(late);
}

Test(serve_end, a_second_signal_ends_it_at_once)
{
    int fd;

    START_SERVER("--timeout", "50000", "--workers", "1", "function.elf");
    fd = ask("/slow?60000");
    kill(server.pid, SIGTERM);
    await_words("a second signal ends them");
    kill(server.pid, SIGINT);
    assert_server_ended(128 + SIGINT);
    read_status(fd);
}
