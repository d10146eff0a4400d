/* SPDX-License-Identifier: MIT */
/* Streams of a VM without a network, from the command line. */
#include "tests/cli/cli_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shell shell;

TestSuite(streams, .timeout = 120);

/* ---- Words -------------------------------------------------------------- */

static void assert_refused(const char *script, const char *message)
{
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", script, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", script, shell.err);
}

#define CONNECT(words) "$mayfly run --allow-connect " words " x"

Test(streams, addresses_to_connect_to_are_checked)
{
    static const char *const scripts[] = {
        CONNECT("''"),           CONNECT("10.0.0.1"),
        CONNECT("10.0.0.1:"),    CONNECT("10.0.0.1:0"),
        CONNECT(":80"),          CONNECT("10.0.0.1:65536"),
        CONNECT("10.0.0.1:80x"), CONNECT("fd00::1:80"),
        CONNECT("[fd00::1]80"),  CONNECT("[]:80"),
        CONNECT("[fd00::1:80"),  CONNECT("10.0.0.1:+80"),
    };

    for (unsigned i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        assert_refused(scripts[i], "--allow-connect takes HOST:PORT");
    run_shell(&shell, CONNECT("10.0.0.1:80 --allow-connect [fd00::1]:65535"));
    cr_assert_eq(shell.status, 127, "%s", shell.err);
    assert_refused("$mayfly run --net user --allow-connect 10.0.0.1:80 x",
                   "works without --net");
}

Test(streams, a_name_does_not_lead_to_this_host)
{
    assert_refused(CONNECT("localhost:80"), "has to be given itself");
    run_shell(&shell, CONNECT("127.0.0.1:80 --allow-connect [::1]:80"));
    cr_assert_eq(shell.status, 127, "%s", shell.err);
}

Test(streams, an_address_that_is_not_ours_is_refused)
{
    assert_refused("$mayfly run -p 203.0.113.1:18080:80 $images/hello.elf",
                   "cannot listen at port 18080 of 203.0.113.1");
}

/* ---- A guest and its peers ---------------------------------------------- */

static pid_t guest;
static unsigned short port;
static unsigned guest_port = 80;
static int output; /* the guest's */

/* A port that is free: not one of those that connections get (32768 to 60999).
 */
static unsigned short free_port(void)
{
    return (unsigned short)(10000 + getpid() % 22000);
}

/* Starts `command` of mayfly with words, and -p for a port that is free. */
static void start(const char *command, const char *file, const char *first,
                  const char *second)
{
    char mayfly[256], forward[64];
    int fds[2];

    need_kvm();
    snprintf(mayfly, sizeof(mayfly), "%s/mayfly", build_directory());
    port = free_port();
    snprintf(forward, sizeof(forward), "127.0.0.1:%d:%u", port, guest_port);
    cr_assert_eq(pipe(fds), 0);
    guest = fork();
    cr_assert(guest >= 0);
    if (guest == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execl(mayfly, mayfly, command, "-p", forward, file, first, second,
              (char *)NULL);
        _exit(99);
    }
    close(fds[1]);
    output = fds[0];
}

/* Starts images/streams, and waits until it listens. */
static void start_server(const char *how, const char *count)
{
    char image[256], byte;

    snprintf(image, sizeof(image), "%s/images/streams.elf", build_directory());
    start("run", image, how, count);
    cr_assert_eq(read(output, &byte, 1), 1, "the guest does not start");
}

static void assert_ended(void)
{
    int status = -1;

    cr_assert_eq(waitpid(guest, &status, 0), guest);
    cr_assert_eq(status, 0, "status %#x", status);
}

/* It may not listen yet. */
static int connect_guest(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    for (unsigned i = 0; i < 500; i++) {
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        usleep(10000);
    }
    cr_assert_fail("cannot connect: %s", strerror(errno));
    return -1;
}

static unsigned char byte_of(size_t at)
{
    return (unsigned char)(at * 31 + at / 251);
}

/* Sends so many bytes, while it reads what comes back. */
static void exchange(int fd, size_t bytes)
{
    static unsigned char data[65536];
    size_t sent = 0, got = 0;

    while (got < bytes) {
        size_t part = sizeof(data) / 4;
        ssize_t moved;

        if (part > bytes - sent)
            part = bytes - sent;
        for (size_t i = 0; i < part; i++)
            data[i] = byte_of(sent + i);
        moved = part ? send(fd, data, part, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        if (moved > 0)
            sent += (size_t)moved;
        if (part && sent == bytes)
            shutdown(fd, SHUT_WR);
        moved = recv(fd, data, sizeof(data), sent < bytes ? MSG_DONTWAIT : 0);
        cr_assert(moved > 0 || (moved < 0 && errno == EAGAIN), "%zu of %zu: %s",
                  got, bytes, strerror(errno));
        for (ssize_t i = 0; i < moved; i++)
            cr_assert_eq(data[i], byte_of(got + (size_t)i));
        got += moved > 0 ? (size_t)moved : 0;
    }
    cr_assert_eq(recv(fd, data, 1, 0), 0);
    close(fd);
}

Test(streams, a_port_of_the_host_leads_to_the_guest)
{
    start_server("serve", "1");
    exchange(connect_guest(), 6);
    assert_ended();
}

Test(streams, mib_come_back_as_they_were)
{
    start_server("serve", "1");
    exchange(connect_guest(), 20 << 20);
    assert_ended();
}

Test(streams, connections_come_one_after_the_other)
{
    start_server("poll", "200");
    for (unsigned i = 1; i <= 200; i++)
        exchange(connect_guest(), i * 37);
    assert_ended();
}

Test(streams, connections_wait_their_turn)
{
    int fds[12];

    start_server("serve", "12");
    for (unsigned i = 0; i < 12; i++)
        fds[i] = connect_guest();
    for (unsigned i = 0; i < 12; i++)
        exchange(fds[i], 1000);
    assert_ended();
}

Test(streams, what_a_guest_sent_before_it_ended_arrives)
{
    static char data[1 << 20];
    size_t waiting = 0;
    ssize_t moved;
    int fd;

    start_server("serve", "1");
    fd = connect_guest();
    /* It sends back as long as there is room for it anywhere. */
    for (unsigned rests = 0; rests < 5;) {
        moved = send(fd, data, sizeof(data), MSG_DONTWAIT);
        waiting += moved > 0 ? (size_t)moved : 0;
        if (moved < 0) {
            usleep(20000);
            rests++;
        }
    }
    shutdown(fd, SHUT_WR);
    while ((moved = recv(fd, data, sizeof(data), 0)) > 0)
        waiting -= (size_t)moved;
    cr_assert_eq(moved, 0);
    cr_assert_eq(waiting, 0);
    assert_ended();
}

Test(streams, a_port_where_nobody_listens_is_closed)
{
    char byte;
    int fd, status;

    guest_port = 81;
    start_server("serve", "1");
    fd = connect_guest();
    cr_assert(recv(fd, &byte, 1, 0) <= 0);
    kill(guest, SIGTERM);
    cr_assert_eq(waitpid(guest, &status, 0), guest);
}

Test(streams, are_counted)
{
    expect_status(&shell, 0,
                  "$mayfly run --stats=$dir/stats "
                  "-p 127.0.0.1:$((10000 + $$ % 22000)):80 "
                  "$images/hello.elf >&2\n"
                  "cat $dir/stats");
    cr_assert(is_json(shell.out), "%s", shell.out);
    cr_assert_eq(json_number(shell.out, "offered"), 0);
}

Test(streams, a_snapshot_is_given_its_port_afterwards)
{
    char snapshot[64], image[256];

    need_kvm();
    snprintf(snapshot, sizeof(snapshot), "/tmp/streams-%d.snap", getpid());
    snprintf(image, sizeof(image),
             "$mayfly run --snapshot %s $images/streams.elf serve 2", snapshot);
    run_shell(&shell, image);
    cr_assert_eq(shell.status, 0, "%s", shell.err);
    for (unsigned i = 0; i < 2; i++) {
        start("restore", snapshot, NULL, NULL);
        exchange(connect_guest(), 1000);
        exchange(connect_guest(), 2000);
        assert_ended();
    }
    unlink(snapshot);
}

/* ---- Connections by a guest --------------------------------------------- */

/* A server of the test's at an address of its own, which sends what it gets. */
static int serve_host(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET};
    inet_pton(AF_INET, "127.1.2.3", &address->sin_addr);
    cr_assert_eq(bind(fd, (struct sockaddr *)address, bytes), 0);
    cr_assert_eq(listen(fd, 4), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

/* In a child: one connection. */
static void answer_one(int listener)
{
    if (fork() > 0)
        return;
    char text[64];
    int fd = accept(listener, NULL, NULL);
    ssize_t bytes = recv(fd, text, sizeof(text), MSG_WAITALL);

    if (bytes > 0 && send(fd, text, (size_t)bytes, 0) == bytes)
        _exit(0);
    _exit(1);
}

/* In a network of its own, where there is an address beside the loopback's. */
Test(streams, a_guest_connects_to_what_it_may)
{
    struct sockaddr_in address;
    int listener = serve_host(&address);
    char script[512];

    need_kvm();
    answer_one(listener);
    snprintf(script, sizeof(script),
             "$mayfly run --allow-connect 127.1.2.3:%d $images/streams.elf "
             "ask 127.1.2.3 %d",
             ntohs(address.sin_port), ntohs(address.sin_port));
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 0, "%s%s", shell.out, shell.err);
    cr_assert_str_eq(shell.out, "question\n");
}

Test(streams, a_guest_connects_to_nothing_else)
{
    run_shell(&shell, "$mayfly run --allow-connect 192.0.2.1:80 "
                      "$images/streams.elf ask 192.0.2.1 81");
    cr_assert_eq(shell.status, 1, "%s", shell.err);
    cr_assert_str_eq(shell.out, "connect: Network unreachable\n");
}
