/* SPDX-License-Identifier: MIT */
/* Sockets in guests: against Linux, by loopback and over a tap. */
#include "tests/cli/cli_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The guest is images/tcpecho in a network of the test's own, where this
 * process is its peer: 10.0.0.1 and fd00::1 here, 10.0.0.2 and fd00::2 there.
 */

static struct shell shell;

TestSuite(sockets, .timeout = 240);

/* ---- Words -------------------------------------------------------------- */

static void assert_refused(const char *words, const char *message)
{
    char script[256];

    snprintf(script, sizeof(script), "$mayfly run --net tap=t,%s x", words);
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", words, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", words, shell.err);
}

static void assert_taken(const char *words)
{
    char script[256];

    snprintf(script, sizeof(script), "$mayfly run --net tap=t,%s x", words);
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 127, "%s: %s", words, shell.err);
}

Test(sockets, addresses_are_checked)
{
    assert_taken("ip=dhcp");
    assert_taken("ip=10.0.0.2");
    assert_taken("ip=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1,dns=fd00::1");
    assert_taken("ip6=fd00::2/64,gw6=fe80::1");
    assert_taken("ip=10.0.0.2/1");
    assert_taken("ip=10.0.0.2/32");
    assert_refused("ip=", "such as 10.0.0.2/24 or dhcp, not ''");
    assert_refused("ip=10.0.0", "not '10.0.0'");
    assert_refused("ip=10.0.0.2/0", "not '10.0.0.2/0'");
    assert_refused("ip=10.0.0.2/33", "not '10.0.0.2/33'");
    assert_refused("ip=10.0.0.2/", "not '10.0.0.2/'");
    assert_refused("ip=10.0.0.2/24x", "not '10.0.0.2/24x'");
    assert_refused("ip=0.0.0.0/24", "not '0.0.0.0/24'");
    assert_refused("ip=224.0.0.1", "not '224.0.0.1'");
    assert_refused("ip=fd00::2/64", "not 'fd00::2/64'");
    assert_refused("ip=10.0.0.2,ip=dhcp", "ip= once");
    assert_refused("ip6=10.0.0.2", "such as fd00::2/64");
    assert_refused("ip6=fd00::2/129", "not 'fd00::2/129'");
    assert_refused("ip6=ff02::1", "not 'ff02::1'");
    assert_refused("gw=10.0.0.1", "gw= needs an ip=");
    assert_refused("ip=10.0.0.2/24,gw=10.0.1.1", "is not within");
    assert_refused("ip=10.0.0.2/24,gw=10.0.0.1,gw=10.0.0.1", "gw= once");
    assert_refused("gw6=fd00::1", "gw6= needs an ip6=");
    assert_refused("dns=x", "such as 10.0.0.1, not 'x'");
    assert_refused("dns=1.1.1.1,dns=1.1.1.2,dns=1.1.1.3", "2 times at most");
}

/* ---- Against Linux ------------------------------------------------------ */

/* A guest with these options. */
static void compare_with_a_process(const char *options)
{
    char script[512];

    need_kvm();
    run_shell(&shell, "command -v gcc && test -e images/sockets/main.c");
    if (shell.status)
        cr_skip_test("no gcc, or no sources here");
    snprintf(script, sizeof(script),
             "gcc -w -o $dir/native images/sockets/*.c || exit 99\n"
             "$dir/native >$dir/want </dev/null\n"
             "$mayfly run %s $images/sockets.elf >$dir/got || exit\n"
             "diff $dir/want $dir/got",
             options);
    expect_status(&shell, 0, script);
}

Test(sockets, a_guest_prints_what_a_process_prints)
{
    compare_with_a_process("");
}

/* Both ends are in the VM; the host's is there, and nobody goes to it. */
Test(sockets, a_guest_with_streams_prints_what_a_process_prints)
{
    compare_with_a_process("--allow-connect 192.0.2.1:9");
}

/* ---- A guest and its peer ----------------------------------------------- */

static pid_t guest;

static bool run(const char *script)
{
    char command[512];

    snprintf(command, sizeof(command), "{ %s\n} >/dev/null 2>&1", script);
    return system(command) == 0;
}

static void make_network(void)
{
    if (unshare(CLONE_NEWNET) ||
        !run("ip tuntap add t0 mode tap && ip link set t0 up &&"
             "ip addr add 10.0.0.1/24 dev t0 &&"
             "ip addr add fd00::1/64 dev t0 nodad"))
        cr_skip_test("no network of its own: needs root, ip and /dev/net/tun");
}

/* Starts the guest with these words of --net, and waits until it listens. */
static void start_guest(const char *words)
{
    char mayfly[256], image[256], net[256];
    int fds[2];
    char byte;

    need_kvm();
    make_network();
    snprintf(mayfly, sizeof(mayfly), "%s/mayfly", build_directory());
    snprintf(image, sizeof(image), "%s/images/tcpecho.elf", build_directory());
    snprintf(net, sizeof(net), "tap=t0%s", words);
    cr_assert_eq(pipe(fds), 0);
    guest = fork();
    cr_assert(guest >= 0);
    if (guest == 0) {
        dup2(fds[1], STDOUT_FILENO);
        execl(mayfly, mayfly, "run", "--mem", "256M", "--net", net, image,
              (char *)NULL);
        _exit(99);
    }
    close(fds[1]);
    cr_assert_eq(read(fds[0], &byte, 1), 1, "the guest does not start");
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static socklen_t guest_address(union address *address, int family)
{
    *address = (union address){.any.sa_family = (sa_family_t)family};
    address->in.sin_port = htons(7);
    inet_pton(family, family == AF_INET ? "10.0.0.2" : "fd00::2",
              family == AF_INET ? (void *)&address->in.sin_addr
                                : (void *)&address->in6.sin6_addr);
    return family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

static int connect_guest(int family)
{
    union address address;
    socklen_t bytes = guest_address(&address, family);
    int fd = socket(family, SOCK_STREAM, 0);

    cr_assert(fd >= 0);
    cr_assert_eq(connect(fd, &address.any, bytes), 0, "connect: %s",
                 strerror(errno));
    return fd;
}

static ssize_t receive_all(int fd, void *buffer, size_t bytes)
{
    return recv(fd, buffer, bytes, MSG_WAITALL);
}

/* Ends the guest; its status has to be 0. */
static void stop_guest(void)
{
    union address address;
    socklen_t bytes = guest_address(&address, AF_INET);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), status = -1;

    /* A datagram may be lost where many frames wait. */
    for (int i = 0; i < 100 && status == -1; i++) {
        sendto(fd, "quit", 4, 0, &address.any, bytes);
        usleep(i < 5 ? 20000 : 200000);
        if (waitpid(guest, &status, WNOHANG) != guest)
            status = -1;
    }
    if (status == -1) {
        kill(guest, SIGKILL);
        waitpid(guest, NULL, 0);
        cr_assert_fail("the guest does not end");
    }
    cr_assert_eq(status, 0, "status %#x", status);
    close(fd);
}

#define STATIC ",ip=10.0.0.2/24,gw=10.0.0.1,ip6=fd00::2/64"

/* Byte `at` of a stream in which no piece is like another. */
static unsigned char byte_of(size_t at)
{
    uint64_t x = at / 8 * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned char)((x ^ x >> 29) >> at % 8 * 8);
}

/* Sends and receives `total` bytes at once. Returns how many are wrong. */
static size_t echo_bulk(int fd, size_t total)
{
    static unsigned char out[65536], in[65536];
    size_t sent = 0, got = 0, wrong = 0;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (got < total) {
        struct pollfd entry = {
            fd, (short)(sent < total ? POLLIN | POLLOUT : POLLIN), 0};
        ssize_t n;

        cr_assert_eq(poll(&entry, 1, 20000), 1, "stuck at %zu of %zu, %zu sent",
                     got, total, sent);
        if (entry.revents & POLLOUT) {
            size_t part =
                total - sent < sizeof(out) ? total - sent : sizeof(out);

            for (size_t i = 0; i < part; i++)
                out[i] = byte_of(sent + i);
            n = send(fd, out, part, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
        n = recv(fd, in, sizeof(in), 0);
        cr_assert(n != 0, "ended at %zu", got);
        for (ssize_t i = 0; i < n; i++)
            wrong += in[i] != byte_of(got + (size_t)i);
        got += n > 0 ? (size_t)n : 0;
    }
    fcntl(fd, F_SETFL, 0);
    return wrong;
}

Test(sockets, bulk_data_arrives_as_it_was_sent)
{
    int fd;
    char byte;

    start_guest(STATIC);
    for (int family = AF_INET;; family = AF_INET6) {
        fd = connect_guest(family);
        cr_expect_eq(echo_bulk(fd, 64u << 20), 0);
        shutdown(fd, SHUT_WR);
        cr_expect_eq(recv(fd, &byte, 1, 0), 0);
        close(fd);
        if (family == AF_INET6)
            break;
    }
    stop_guest();
}

Test(sockets, a_small_mtu_is_kept_to)
{
    int fd;

    start_guest(STATIC ",mtu=1280");
    cr_assert(run("ip link set t0 mtu 1280"));
    fd = connect_guest(AF_INET);
    cr_expect_eq(echo_bulk(fd, 8u << 20), 0);
    close(fd);
    stop_guest();
}

Test(sockets, a_thousand_connections_at_once)
{
    enum { MANY = 1000 };
    struct rlimit limit = {MANY + 100, MANY + 100};
    static int fds[MANY];

    setrlimit(RLIMIT_NOFILE, &limit);
    start_guest(STATIC);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_guest(AF_INET);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(send(fds[i], &i, sizeof(i), 0), (ssize_t)sizeof(i));
    for (int i = 0; i < MANY; i++) {
        int back = -1;

        cr_assert_eq(receive_all(fds[i], &back, sizeof(back)),
                     (ssize_t)sizeof(back));
        cr_expect_eq(back, i);
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    stop_guest();
}

Test(sockets, half_closed_connections_finish)
{
    static char out[100000], in[sizeof(out)];
    char byte;
    int fd;

    start_guest(STATIC);
    fd = connect_guest(AF_INET);
    cr_assert_eq(send(fd, out, sizeof(out), 0), (ssize_t)sizeof(out));
    shutdown(fd, SHUT_WR);
    cr_expect_eq(receive_all(fd, in, sizeof(in)), (ssize_t)sizeof(in));
    cr_expect_eq(recv(fd, &byte, 1, 0), 0);
    close(fd);
    stop_guest();
}

Test(sockets, a_reset_ends_one_connection_only)
{
    struct linger now = {1, 0};
    char byte = 'x';
    int fd, other;

    start_guest(STATIC);
    other = connect_guest(AF_INET);
    for (int i = 0; i < 50; i++) {
        fd = connect_guest(i % 2 ? AF_INET : AF_INET6);
        send(fd, &byte, 1, 0);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
    }
    send(other, "y", 1, 0);
    cr_expect_eq(recv(other, &byte, 1, 0), 1);
    cr_expect_eq(byte, 'y');
    close(other);
    stop_guest();
}

Test(sockets, a_closed_port_refuses)
{
    union address address;
    socklen_t bytes = guest_address(&address, AF_INET);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    close(fd);
    start_guest(STATIC);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    address.in.sin_port = htons(8);
    cr_expect_eq(connect(fd, &address.any, bytes), -1);
    cr_expect_eq(errno, ECONNREFUSED);
    close(fd);
    stop_guest();
}

Test(sockets, datagrams_of_all_sizes_come_back)
{
    static const size_t sizes[] = {0, 1, 1472, 1473, 9000, 60000};
    static unsigned char out[65536], in[65536];

    start_guest(STATIC);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = byte_of(i);
    for (int round = 0; round < 12; round++) {
        int family = round % 2 ? AF_INET6 : AF_INET;
        size_t size = sizes[round / 2];
        union address address;
        socklen_t bytes = guest_address(&address, family);
        int fd = socket(family, SOCK_DGRAM, 0);
        struct pollfd entry = {fd, POLLIN, 0};

        cr_assert_eq(sendto(fd, out, size, 0, &address.any, bytes),
                     (ssize_t)size);
        cr_assert_eq(poll(&entry, 1, 10000), 1, "%zu bytes, family %d", size,
                     family);
        cr_expect_eq(recv(fd, in, sizeof(in), 0), (ssize_t)size);
        cr_expect_eq(memcmp(in, out, size), 0);
        close(fd);
    }
    stop_guest();
}

/* A port of ours that was used a moment ago is taken again. */
Test(sockets, a_connection_follows_one_of_the_same_ports)
{
    union address own = {
        .in = {.sin_family = AF_INET, .sin_port = htons(40000)}};
    union address address;
    int on = 1, fd;
    char byte;

    start_guest(STATIC);
    for (int i = 0; i < 3; i++) {
        struct linger now = {1, 0};

        fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        cr_assert_eq(bind(fd, &own.any, sizeof(own.in)), 0);
        cr_assert_eq(
            connect(fd, &address.any, guest_address(&address, AF_INET)), 0,
            "%s", strerror(errno));
        send(fd, "x", 1, 0);
        cr_expect_eq(recv(fd, &byte, 1, 0), 1);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
    }
    stop_guest();
}

/* ---- Names and DHCP ----------------------------------------------------- */

/* Answers questions for an A record, of any name, with 192.0.2.7. */
static void answer_names(int fd)
{
    static const unsigned char record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                           0,    60, 0, 4, 192, 0, 2, 7};
    unsigned char text[512 + sizeof(record)];

    for (;;) {
        union address from;
        socklen_t from_bytes = sizeof(from);
        ssize_t n = recvfrom(fd, text, 512, 0, &from.any, &from_bytes);
        bool four;

        if (n < 17)
            continue;
        four = text[n - 3] == 1; /* the question's type */
        text[2] = 0x81;
        text[3] = 0x80;
        text[7] = four;
        memcpy(text + n, record, sizeof(record));
        sendto(fd, text, (size_t)n + (four ? sizeof(record) : 0), 0, &from.any,
               from_bytes);
    }
}

Test(sockets, names_are_asked_for_where_dns_says)
{
    union address own = {.in = {.sin_family = AF_INET, .sin_port = htons(53)}};
    int fd;
    pid_t server;

    need_kvm();
    make_network();
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    cr_assert_eq(bind(fd, &own.any, sizeof(own.in)), 0);
    server = fork();
    if (server == 0)
        answer_names(fd);
    run_shell(&shell, "timeout 60 $mayfly run "
                      "--net tap=t0,ip=10.0.0.2/24,dns=10.0.0.1 "
                      "$images/lookup.elf a.test localhost 192.0.2.9");
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    cr_assert_eq(shell.status, 0, "%s%s", shell.out, shell.err);
    cr_assert_str_eq(shell.out, "a.test: 192.0.2.7\n"
                                "localhost: ::1 127.0.0.1\n"
                                "192.0.2.9: 192.0.2.9\n");
}

Test(sockets, a_guest_without_an_address_asks_for_one)
{
    need_kvm();
    run_shell(&shell, "command -v passt && command -v bash && chmod 777 $dir &&"
                      "passt --socket $dir/socket --pid $dir/pid &&"
                      "kill $(cat $dir/pid)");
    if (shell.status)
        cr_skip_test("passt does not work here, or there is no bash");
    run_shell(&shell, "port=$((20000 + $$ % 10000))\n"
                      "$mayfly run --net user -p 127.0.0.1:$port:7 "
                      "$images/tcpecho.elf >$dir/out &\n"
                      "until grep -q ready $dir/out; do\n"
                      "    kill -0 $! || exit 99\n"
                      "    sleep 0.01\n"
                      "done\n"
                      "for i in $(seq 50); do\n"
                      "    bash -c \"exec 3<>/dev/tcp/127.0.0.1/$port &&\n"
                      "        echo there and back >&3 &&\n"
                      "        timeout 5 head -n 1 <&3\" | grep . && break\n"
                      "    sleep 0.1\n"
                      "done\n"
                      "kill $!\n");
    cr_assert_str_eq(shell.out, "there and back\n", "%s", shell.err);
}

Test(sockets, what_a_program_sent_arrives_after_its_end)
{
    static char buffer[200000];
    union address own = {
        .in = {.sin_family = AF_INET, .sin_port = htons(5001)}};
    struct pollfd entry = {.events = POLLIN};
    int listener, fd, status = 0;
    size_t got = 0;
    ssize_t n;
    pid_t client;

    need_kvm();
    make_network();
    listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, &own.any, sizeof(own.in)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    entry.fd = listener;
    client = fork();
    if (client == 0) {
        char mayfly[256], image[256];

        snprintf(mayfly, sizeof(mayfly), "%s/mayfly", build_directory());
        snprintf(image, sizeof(image), "%s/images/sendaway.elf",
                 build_directory());
        execl(mayfly, mayfly, "run", "--net", "tap=t0,ip=10.0.0.2/24", image,
              "10.0.0.1", "5001", (char *)NULL);
        _exit(99);
    }
    cr_assert_eq(poll(&entry, 1, 20000), 1, "nobody connects");
    fd = accept(listener, NULL, NULL);
    cr_assert(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){20, 0},
               sizeof(struct timeval));
    while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        got += (size_t)n;
    waitpid(client, &status, 0);
    cr_expect_eq(status, 0);
    cr_expect_eq(n, 0);
    cr_expect_eq(got, 150000u);
    close(fd);
}
