/* SPDX-License-Identifier: MIT */
/* A VM that is given connections, one after the other, and reset. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"
#include "vmm/vm.h"

TestSuite(serve, .timeout = 240);

/* What supervisor, worker and client have of it. */
struct server {
    struct guest guest;
    struct mayfly_progress progress;
    int client; /* the client's end */
    int other;  /* another descriptor of ours */
    char error[MAYFLY_ERROR_BYTES];
};

/* A snapshot of the image `served` as it waits for its first connection. */
static int take(const char *lies)
{
    struct guest guest = {
        .image = "served",
        .args = {"8000", lies},
        .options = {.sockets = true, .snapshots = MAYFLY_SNAPSHOT_ACCEPT},
    };
    int file = take_snapshot(&guest);

    collect_guest(&guest);
    return file;
}

/* A VM that goes on from there. */
static void start_from(struct server *server, int file)
{
    server->guest.restore = true;
    server->guest.image_fd = file;
    server->guest.options.resettable = true;
    server->guest.options.serves = true;
    server->guest.options.progress = &server->progress;
    load_guest(&server->guest);
}

static void start(struct server *server)
{
    start_from(server, take(NULL));
}

static void finish(struct server *server)
{
    mayfly_destroy(server->guest.vm);
    close(server->guest.image_fd);
}

/* Both ends of a connection, of TCP on demand. */
static void connect_pair(int ends[2], bool tcp)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int listener;

    if (!tcp) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        return;
    }
    listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, bytes), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    cr_assert_eq(connect(ends[0], (struct sockaddr *)&at, bytes), 0);
    ends[1] = accept(listener, NULL, NULL);
    cr_assert_geq(ends[1], 0);
    close(listener);
}

static void ask(int fd, const char *path)
{
    char request[256];
    int bytes =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n\r\n", path);

    cr_assert_eq(write(fd, request, (size_t)bytes), bytes);
}

/* Offers a connection, on which there is a request already if there is one. */
static void offer_pair(struct server *server, const int ends[2],
                       const char *path)
{
    server->client = ends[0];
    server->other = dup(ends[1]);
    cr_assert_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    if (path)
        ask(ends[0], path);
    cr_assert_eq(mayfly_offer(server->guest.vm, ends[1], 0, server->error), 0,
                 "%s", server->error);
}

static void offer(struct server *server, const char *path)
{
    int ends[2];

    connect_pair(ends, false);
    offer_pair(server, ends, path);
}

static void run(struct server *server, enum mayfly_end end)
{
    cr_assert_eq(
        mayfly_run(server->guest.vm, &server->guest.result, server->error), 0,
        "%s", server->error);
    cr_assert_eq(server->guest.result.end, end, "end %d",
                 server->guest.result.end);
}

static void reset(struct server *server)
{
    cr_assert_eq(mayfly_reset(server->guest.vm, server->error), 0, "%s",
                 server->error);
}

static struct mayfly_stream_stats get_stats(const struct server *server)
{
    struct mayfly_stream_stats stats;

    mayfly_get_stream_stats(server->guest.vm, &stats);
    return stats;
}

/*
 * All that the client gets up to the end is an answer, the body of which has
 * `bytes` bytes. Returns the body.
 */
static const char *assert_answered(const struct server *server, size_t bytes)
{
    static char got[1 << 17];
    size_t all = 0;
    ssize_t part;
    char *body;

    while ((part = read(server->client, got + all, sizeof(got) - 1 - all)) > 0)
        all += (size_t)part;
    cr_assert_eq(part, 0, "%s", strerror(errno));
    got[all] = '\0';
    body = strstr(got, "\r\n\r\n");
    cr_assert(body, "'%s'", got);
    cr_assert_eq(all - (size_t)(body + 4 - got), bytes);
    return body + 4;
}

static void close_all(struct server *server)
{
    close(server->client);
    close(server->other);
}

/* The connection is open, and the other descriptor of it can be used. */
static void assert_usable(struct server *server)
{
    char got[8];

    cr_assert_eq(recv(server->client, got, sizeof(got), MSG_DONTWAIT), -1);
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(write(server->other, "502", 3), 3);
    cr_assert_eq(read(server->client, got, sizeof(got)), 3);
    close(server->other);
    cr_assert_eq(read(server->client, got, sizeof(got)), 0);
    close(server->client);
}

/* A fresh guest serves the next one. */
static void assert_serves(struct server *server)
{
    reset(server);
    mayfly_set_timeout(server->guest.vm, 0);
    offer(server, "/count");
    run(server, MAYFLY_SERVED);
    cr_assert_eq(assert_answered(server, 1)[0], '1');
    close_all(server);
}

/* ---- Serving ------------------------------------------------------------- */

Test(serve, ends_the_run_when_a_connection_is_over_and_again_after_a_reset)
{
    struct server server = {0};

    start(&server);
    for (unsigned i = 1; i <= 20; i++) {
        struct mayfly_progress before = server.progress;
        struct mayfly_stream_stats stats;

        offer(&server, "/");
        run(&server, MAYFLY_SERVED);
        /* The end is heard although a descriptor is open. */
        assert_answered(&server, 16);
        close_all(&server);
        stats = get_stats(&server);
        cr_assert_eq(stats.offered, i);
        cr_assert_eq(stats.opened, i);
        cr_assert_eq(stats.open + stats.lingering + stats.resets, 0);
        cr_assert_eq(server.progress.in_bytes - before.in_bytes, 18);
        cr_assert_eq(server.progress.out_bytes, stats.in_bytes);
        cr_assert_eq(mayfly_flush_streams(server.guest.vm, 0), 0);
        reset(&server);
    }
    finish(&server);
}

/* Interruptions come on top; of many requests, some have none. */
Test(serve, takes_one_exit_and_seven_system_calls_for_a_request)
{
    struct server server = {0};
    struct mayfly_stats before, after;
    uint64_t exits = UINT64_MAX, calls = UINT64_MAX, pages = UINT64_MAX;

    start(&server);
    for (unsigned i = 0; i < 50; i++) {
        mayfly_get_stats(server.guest.vm, &before);
        offer(&server, "/");
        run(&server, MAYFLY_SERVED);
        reset(&server);
        mayfly_get_stats(server.guest.vm, &after);
        if (after.exits - before.exits < exits)
            exits = after.exits - before.exits;
        if (after.monitor_calls - before.monitor_calls < calls)
            calls = after.monitor_calls - before.monitor_calls;
        if (after.reset_pages - before.reset_pages < pages)
            pages = after.reset_pages - before.reset_pages;
        close_all(&server);
    }
    cr_assert_eq(exits, 1);
    /* readv, KVM_RUN, sendto, shutdown, close, KVM_GET_DIRTY_LOG, getrandom */
    cr_assert_geq(calls, 7);
    /* In an emulated machine the clock may be a system call, too. */
    cr_assert_leq(calls, 9, "%llu", (unsigned long long)calls);
    cr_assert_leq(pages, 21);
    finish(&server);
}

static const char secret[] = "a secret of nobody else";

/* Whether the guest's memory has it anywhere. */
static bool is_known(const struct server *server)
{
    const struct gmem *ram = &server->guest.vm->ram;

    for (unsigned i = 0; i < ram->count; i++)
        if (memmem(ram->regions[i].host, ram->regions[i].bytes, secret,
                   sizeof(secret)))
            return true;
    return false;
}

/* More than the guest reads; it stays in its receive buffers. */
Test(serve, forgets_what_clients_have_said)
{
    static char request[40000];
    struct server server = {0};

    start(&server);
    memcpy(request, "GET / HTTP/1.1\r\n\r\n", 18);
    for (size_t bytes = 64; bytes <= sizeof(request); bytes *= 5) {
        int ends[2];

        connect_pair(ends, false);
        memcpy(request + bytes - sizeof(secret), secret, sizeof(secret));
        cr_assert_eq(write(ends[0], request, bytes), (ssize_t)bytes);
        memset(request + bytes - sizeof(secret), 'x', sizeof(secret));
        offer_pair(&server, ends, NULL);
        run(&server, MAYFLY_SERVED);
        cr_assert(is_known(&server));
        reset(&server);
        cr_assert_not(is_known(&server));
        close_all(&server);
    }
    finish(&server);
}

Test(serve, goes_on_without_a_reset)
{
    struct server server = {0};

    start(&server);
    for (char count = '1'; count <= '5'; count++) {
        offer(&server, "/count");
        run(&server, MAYFLY_SERVED);
        cr_assert_eq(assert_answered(&server, 1)[0], count);
        close_all(&server);
    }
    assert_serves(&server);
    finish(&server);
}

Test(serve, ends_the_run_when_the_last_of_several_is_over)
{
    struct server server = {0}, other;

    start(&server);
    offer(&server, "/");
    other = server;
    offer(&server, "/20");
    run(&server, MAYFLY_SERVED);
    assert_answered(&other, 16);
    assert_answered(&server, 20);
    close_all(&other);
    close_all(&server);
    finish(&server);
}

static void *ask_slowly(void *context)
{
    const struct server *server = context;

    usleep(2000);
    cr_assert_eq(write(server->client, "GET /", 5), 5);
    usleep(2000);
    cr_assert_eq(write(server->client, " HTTP/1.1\r\n\r\n", 13), 13);
    return NULL;
}

Test(serve, waits_for_a_client_that_is_slow)
{
    struct server server = {0};
    pthread_t client;

    start(&server);
    offer(&server, NULL);
    cr_assert_eq(pthread_create(&client, NULL, ask_slowly, &server), 0);
    run(&server, MAYFLY_SERVED);
    pthread_join(client, NULL);
    assert_answered(&server, 16);
    close_all(&server);
    finish(&server);
}

Test(serve, needs_a_guest_that_listens_for_port_0)
{
    struct guest guest = {.image = "hello", .options = {.serves = true}};
    char error[MAYFLY_ERROR_BYTES] = "";
    int ends[2];

    connect_pair(ends, false);
    load_guest(&guest);
    cr_assert_eq(mayfly_offer(guest.vm, ends[1], 0, error), -EINVAL);
    cr_assert(strstr(error, "no port"), "%s", error);
    mayfly_destroy(guest.vm);
}

/* ---- Ends ---------------------------------------------------------------- */

static void leave_open(const char *path, enum mayfly_end end)
{
    struct server server = {0};

    start(&server);
    offer(&server, path);
    mayfly_set_timeout(server.guest.vm, 100000000);
    run(&server, end);
    cr_assert_eq(server.progress.out_bytes, 0);
    reset(&server);
    assert_usable(&server);
    assert_serves(&server);
    finish(&server);
}

Test(serve, leaves_a_connection_of_a_guest_that_crashes_to_others)
{
    leave_open("/crash", MAYFLY_CRASHED);
}

Test(serve, leaves_a_connection_of_a_guest_that_hangs_to_others)
{
    leave_open("/hang", MAYFLY_TIMED_OUT);
}

Test(serve, leaves_a_connection_of_a_guest_that_makes_kicks_for_ever_to_others)
{
    leave_open("/kick", MAYFLY_TIMED_OUT);
}

Test(serve, leaves_a_connection_that_the_guest_leaves_open_to_others)
{
    leave_open("/open", MAYFLY_TIMED_OUT);
}

/* It would see its end, but for that it has got nothing. */
Test(serve, leaves_a_connection_of_a_guest_that_exits_unheard_to_others)
{
    leave_open("/exit", MAYFLY_EXITED);
}

Test(serve,
     resets_a_connection_as_the_guest_does_when_its_last_holder_closes_it)
{
    struct server server = {0};
    char byte;
    int ends[2];

    start(&server);
    connect_pair(ends, true);
    offer_pair(&server, ends, "/abort");
    run(&server, MAYFLY_SERVED);
    cr_assert_eq(recv(server.client, &byte, 1, MSG_DONTWAIT), -1);
    cr_assert_eq(errno, EAGAIN);
    close(server.other);
    cr_assert_eq(recv(server.client, &byte, 1, 0), -1);
    cr_assert_eq(errno, ECONNRESET);
    close(server.client);
    assert_serves(&server);
    finish(&server);
}

/* ---- Output -------------------------------------------------------------- */

/* The socket takes little; the rest goes out after the end of the run. */
Test(serve, has_output_that_lingers_over_a_reset_and_can_be_waited_for)
{
    enum { BODY = 60000 };
    struct server server = {0};
    size_t all = 0;
    int little = 4096, ends[2];
    char got[512];

    start(&server);
    connect_pair(ends, false);
    cr_assert_eq(
        setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
    offer_pair(&server, ends, "/60000");
    run(&server, MAYFLY_SERVED);
    cr_assert_eq(get_stats(&server).lingering, 1);
    cr_assert_lt(server.progress.out_bytes, BODY);
    cr_assert_eq(mayfly_flush_streams(server.guest.vm, 1000000), -ETIMEDOUT);
    reset(&server);
    while (mayfly_flush_streams(server.guest.vm, 0) != 0)
        for (unsigned i = 0; i < 8; i++)
            all += (size_t)read(server.client, got, sizeof(got));
    cr_assert_eq(get_stats(&server).lingering, 0);
    for (ssize_t part; (part = read(server.client, got, sizeof(got))) > 0;)
        all += (size_t)part;
    cr_assert_eq(all, server.progress.out_bytes);
    cr_assert_gt(all, BODY);
    close_all(&server);
    assert_serves(&server);
    finish(&server);
}

/* Stops the VM when it has answered. */
static void *stop_when_answered(void *context)
{
    struct server *server = context;
    char got[512];

    cr_assert_gt(read(server->client, got, sizeof(got)), 0);
    mayfly_stop(server->guest.vm);
    return NULL;
}

Test(serve, sends_an_answer_while_the_guest_computes_on)
{
    struct server server = {0};
    pthread_t client;

    start(&server);
    for (unsigned i = 0; i < 3; i++) {
        offer(&server, "/busy");
        cr_assert_eq(pthread_create(&client, NULL, stop_when_answered, &server),
                     0);
        run(&server, MAYFLY_STOPPED);
        pthread_join(client, NULL);
        close_all(&server);
        reset(&server);
    }
    finish(&server);
}

/* ---- Lies ---------------------------------------------------------------- */

Test(serve, believes_a_guest_about_its_port_at_its_own_expense)
{
    static char data[1 << 20];
    struct server server = {0};
    int room = sizeof(data), ends[2];

    start_from(&server, take("lies"));
    connect_pair(ends, false);
    cr_assert_eq(
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    cr_assert_gt(send(ends[0], data, sizeof(data), MSG_DONTWAIT), 0);
    offer_pair(&server, ends, NULL);
    /* What there are buffers for, whatever it says. */
    cr_assert_leq(server.progress.in_bytes, 32 * 16384);
    run(&server, MAYFLY_SERVED);
    cr_assert_eq(get_stats(&server).refused, 1);
    close_all(&server);
    finish(&server);
}
