/* SPDX-License-Identifier: MIT */
/* The access log: its lines, and files that do not take them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/server/access_log.h"

#define NOON UINT64_C(1700000000123456789) /* 2023-11-14T22:13:20.123456Z */

static struct access_log log_;
static char line[ACCESS_LOG_LINE_BYTES + 1];
static char text[1 << 20];
static char path[64];
static struct connection_record record = {.id = 1, .end = CONNECTION_SERVED};

static void format(void)
{
    size_t bytes = access_log_format(line, &record, NOON);

    cr_assert_leq(bytes, ACCESS_LOG_LINE_BYTES);
    cr_assert_eq(line[bytes - 1], '\n');
    line[bytes] = '\0';
    cr_assert_eq(strlen(line), bytes);
}

static void assert_has(const char *part)
{
    format();
    cr_assert(strstr(line, part), "no %s in %s", part, line);
}

/* ---- Lines -------------------------------------------------------------- */

Test(access_log, has_one_object_a_connection)
{
    struct sockaddr_in peer = {.sin_family = AF_INET,
                               .sin_port = htons(4321),
                               .sin_addr.s_addr = htonl(0x0a000001)};

    record = (struct connection_record){
        .id = 7,
        .end = CONNECTION_CRASHED,
        .status = 502,
        .peer = (struct sockaddr *)&peer,
        .peer_bytes = sizeof(peer),
        .request = "GET /a HTTP/1.1\r\nHost: x\r\n",
        .request_bytes = 26,
        .in_bytes = 26,
        .out_bytes = 3,
        .queue_ns = 1999,
        .vm_ns = 2000,
        .total_ns = 123456789,
        .reset_pages = 30,
        .exits = 2,
        .worker = 99,
    };
    format();
    cr_assert_str_eq(
        line, "{\"schema\": 1, \"time\": \"2023-11-14T22:13:20.000000Z\", "
              "\"id\": 7, \"client\": \"10.0.0.1:4321\", "
              "\"request\": \"GET /a HTTP/1.1\", \"end\": \"crashed\", "
              "\"status\": 502, \"in_bytes\": 26, \"out_bytes\": 3, "
              "\"queue_us\": 1, \"vm_us\": 2, \"total_us\": 123456, "
              "\"reset_pages\": 30, \"exits\": 2, \"worker\": 99}\n");
}

Test(access_log, has_null_for_what_there_is_not)
{
    assert_has("\"request\": null, ");
    assert_has("\"status\": null, ");
    assert_has("\"client\": \"\", ");
    assert_has("22:13:20.123456Z");
}

Test(access_log, escapes_what_a_client_says)
{
    static const char bytes[] = "a\"\\\t\x7f\xff\0b\x1b[31m";

    record.request = bytes;
    record.request_bytes = sizeof(bytes) - 1;
    assert_has("\"a\\\"\\\\\\u0009\\u007f\\u00ff\\u0000b\\u001b[31m\"");
}

Test(access_log, ends_a_request_at_its_line)
{
    record.request = "A\nB";
    record.request_bytes = 3;
    assert_has("\"request\": \"A\", ");
    record.request = "\r\nB";
    assert_has("\"request\": \"B\", ");
    record.request_bytes = 2;
    assert_has("\"request\": \"\", ");
}

Test(access_log, has_room_for_the_longest_line)
{
    static char bytes[300];
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = 0xffff};

    memset(&record, 0xff, sizeof(record));
    memset(bytes, 1, sizeof(bytes));
    memset(&peer.sin6_addr, 0xab, sizeof(peer.sin6_addr));
    record.end = CONNECTION_TIMED_OUT;
    record.peer = (struct sockaddr *)&peer;
    record.peer_bytes = sizeof(peer);
    record.request = bytes;
    record.request_bytes = sizeof(bytes);
    format();
    /* 256 bytes of it, and no more. */
    cr_assert_eq(strlen(strstr(line, "\"\\u0001")) -
                     strlen(strstr(line, ", \"end\"")),
                 2 + 256 * 6);
}

static void assert_client(const void *peer, size_t bytes, const char *client)
{
    record.peer = peer;
    record.peer_bytes = (socklen_t)bytes;
    assert_has(client);
}

Test(access_log, names_clients_of_every_family)
{
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons(80),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in6 mapped = ip6;

    inet_pton(AF_INET6, "::ffff:10.0.0.1", &mapped.sin6_addr);
    assert_client(&ip6, sizeof(ip6), "\"client\": \"[::1]:80\"");
    assert_client(&mapped, sizeof(mapped), "\"client\": \"10.0.0.1:80\"");
    assert_client(&local, sizeof(sa_family_t), "\"client\": \"unix\"");
    assert_client(&ip6, sizeof(ip6) - 1, "\"client\": \"\"");
    assert_client(&ip6, 1, "\"client\": \"\"");
}

/* ---- Files -------------------------------------------------------------- */

static void choose_path(void)
{
    snprintf(path, sizeof(path), "/tmp/mayfly-access-%d", getpid());
    unlink(path);
}

/* Reads the file at `from`. Asserts that it consists of whole lines. */
static unsigned count_lines(const char *from)
{
    int fd = open(from, O_RDONLY);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    unsigned lines = 0;

    cr_assert_geq(got, 0);
    close(fd);
    text[got] = '\0';
    for (const char *at = text; *at; lines++) {
        cr_assert_eq(strncmp(at, "{\"schema\": 1, ", 14), 0, "%s", at);
        at = strchr(at, '\n');
        cr_assert(at && at[-1] == '}');
        at++;
    }
    return lines;
}

static void add(unsigned count)
{
    for (unsigned i = 0; i < count; i++, record.id++)
        access_log_add(&log_, &record, NOON);
}

Test(access_log, that_is_none_does_nothing)
{
    cr_assert_eq(access_log_open(&log_, NULL), 0);
    add(1000);
    cr_assert_not(access_log_flush(&log_));
    cr_assert_eq(access_log_reopen(&log_), 0);
    access_log_close(&log_);
    cr_assert_eq(log_.lost, 0);
}

Test(access_log, that_cannot_be_opened_says_why)
{
    cr_assert_eq(access_log_open(&log_, "/nowhere/x"), -ENOENT);
    add(1);
    cr_assert_not(access_log_flush(&log_));
}

Test(access_log, is_appended_to)
{
    choose_path();
    for (unsigned i = 1; i <= 2; i++) {
        cr_assert_eq(access_log_open(&log_, path), 0);
        add(1000);
        cr_assert_not(access_log_flush(&log_));
        access_log_close(&log_);
        cr_assert_eq(count_lines(path), 1000 * i);
    }
    cr_assert_eq(log_.lost, 0);
    unlink(path);
}

Test(access_log, waits_in_memory_for_a_flush)
{
    choose_path();
    cr_assert_eq(access_log_open(&log_, path), 0);
    add(3);
    cr_assert_eq(count_lines(path), 0);
    access_log_flush(&log_);
    cr_assert_eq(count_lines(path), 3);
    add(2);
    access_log_close(&log_);
    cr_assert_eq(count_lines(path), 5);
    unlink(path);
}

Test(access_log, goes_on_in_a_new_file_when_the_old_one_was_renamed)
{
    char old[80];

    choose_path();
    snprintf(old, sizeof(old), "%s.1", path);
    cr_assert_eq(access_log_open(&log_, path), 0);
    add(3);
    cr_assert_eq(rename(path, old), 0);
    add(2);
    cr_assert_eq(access_log_reopen(&log_), 0);
    add(4);
    access_log_close(&log_);
    cr_assert_eq(count_lines(old), 5);
    cr_assert_eq(count_lines(path), 4);
    unlink(old);
    unlink(path);
}

Test(access_log, keeps_its_file_when_it_cannot_be_reopened)
{
    char directory[80], file[96], old[96];

    snprintf(directory, sizeof(directory), "/tmp/mayfly-logs-%d", getpid());
    snprintf(file, sizeof(file), "%s/log", directory);
    snprintf(old, sizeof(old), "/tmp/mayfly-old-%d", getpid());
    cr_assert_eq(mkdir(directory, 0700), 0);
    cr_assert_eq(access_log_open(&log_, file), 0);
    cr_assert_eq(rename(file, old), 0);
    cr_assert_eq(rmdir(directory), 0);
    cr_assert_eq(access_log_reopen(&log_), -ENOENT);
    add(2);
    access_log_close(&log_);
    cr_assert_eq(count_lines(old), 2);
    unlink(old);
}

/* ---- Files that do not take it ------------------------------------------ */

static void count_signal(int number)
{
    cr_assert_fail("signal %d", number);
}

static void open_log(const char *where)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGALRM, count_signal);
    cr_assert_eq(access_log_open(&log_, where), 0);
    freopen("/dev/null", "w", stderr);
}

Test(access_log, of_a_full_disk_loses_lines_and_counts_them)
{
    open_log("/dev/full");
    add(10);
    cr_assert(access_log_flush(&log_));
    cr_assert(log_.failing);
    cr_assert_eq(log_.lost, 0, "there may be room again");
    add(10000);
    cr_assert_gt(log_.lost, 5000);
    access_log_close(&log_);
    cr_assert_eq(log_.lost, 10010);
}

/* The disk is full in the middle of a line, for a while. */
Test(access_log, finishes_a_line_when_the_disk_has_room_again)
{
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};

    choose_path();
    open_log(path);
    setrlimit(RLIMIT_FSIZE, &limit);
    add(10);
    cr_assert(access_log_flush(&log_));
    cr_assert(log_.torn);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_not(access_log_flush(&log_));
    cr_assert_eq(count_lines(path), 10);
    cr_assert_eq(log_.lost, 0);
    unlink(path);
}

Test(access_log, begins_a_new_file_with_a_whole_line)
{
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};

    choose_path();
    open_log(path);
    setrlimit(RLIMIT_FSIZE, &limit);
    add(10);
    cr_assert(access_log_flush(&log_));
    unsigned whole = 1000 / (unsigned)access_log_format(line, &record, NOON);
    unlink(path);
    cr_assert_eq(access_log_reopen(&log_), 0);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    access_log_close(&log_);
    cr_assert_eq(log_.lost, 1, "half of it is in the old file");
    cr_assert_eq(count_lines(path), 10 - whole - 1);
    unlink(path);
}

/* Makes standard output what the log writes to. */
static void become_output(int fd)
{
    fflush(stdout);
    cr_assert_eq(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    close(fd);
}

static void test_slow_reader(int reader, int writer)
{
    unsigned lines = 0;
    ssize_t got;

    become_output(writer);
    open_log("-");
    alarm(10);
    add(20000);
    cr_assert(access_log_flush(&log_));
    cr_assert_gt(log_.lost, 0);
    fcntl(reader, F_SETFL, O_NONBLOCK);
    do {
        access_log_flush(&log_);
        got = read(reader, text, sizeof(text));
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    } while (got > 0);
    cr_assert_eq(lines + log_.lost, 20000);
    cr_assert_not(access_log_flush(&log_));
    add(5);
    access_log_close(&log_);
    got = read(reader, text, sizeof(text));
    cr_assert_gt(got, 0);
    cr_assert_eq(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0,
                 "it is not ours alone");
}

/* Runs a test with both ends of a pipe, or of a pair of sockets. */
static void with_pipe(void (*test)(int reader, int writer))
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    test(fds[0], fds[1]);
}

static void with_sockets(void (*test)(int reader, int writer))
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    test(fds[0], fds[1]);
}

Test(access_log, does_not_wait_for_a_slow_reader_of_a_pipe, .timeout = 20)
{
    with_pipe(test_slow_reader);
}

Test(access_log, does_not_wait_for_a_slow_reader_of_a_socket, .timeout = 20)
{
    with_sockets(test_slow_reader);
}

static void test_gone_reader(int reader, int writer)
{
    become_output(writer);
    open_log("-");
    add(3);
    cr_assert_not(access_log_flush(&log_));
    close(reader);
    add(4);
    cr_assert_not(access_log_flush(&log_));
    cr_assert_eq(log_.lost, 4);
    add(10000);
    access_log_close(&log_);
    cr_assert_eq(log_.lost, 10004);
}

Test(access_log, counts_what_a_gone_reader_of_a_pipe_misses, .timeout = 20)
{
    with_pipe(test_gone_reader);
}

Test(access_log, counts_what_a_gone_reader_of_a_socket_misses, .timeout = 20)
{
    with_sockets(test_gone_reader);
}

Test(access_log, shares_a_files_position_with_other_output)
{
    choose_path();
    become_output(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    open_log("-");
    add(1);
    access_log_flush(&log_);
    cr_assert_eq(write(STDOUT_FILENO, "{\"schema\": 1, }\n", 16), 16);
    add(1);
    access_log_close(&log_);
    cr_assert_eq(count_lines(path), 3);
    unlink(path);
}
