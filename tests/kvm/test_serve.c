/* SPDX-License-Identifier: MIT */
/* A VM that is given connections, one after the other, and reset. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

#define PORT "8000"

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
static int take(void)
{
    struct guest guest = {
        .image = "served",
        .args = {PORT},
        .options = {.sockets = true, .snapshots = MAYFLY_SNAPSHOT_ACCEPT},
    };
    int file = take_snapshot(&guest);

    collect_guest(&guest);
    return file;
}

/* A VM that goes on from there. */
static void start(struct server *server)
{
    server->guest.restore = true;
    server->guest.image_fd = take();
    server->guest.options.resettable = true;
    server->guest.options.serves = true;
    server->guest.options.progress = &server->progress;
    load_guest(&server->guest);
}

/* Offers a connection on which there is a request already. */
static void offer(struct server *server, const char *path)
{
    char request[256];
    int ends[2], bytes = snprintf(request, sizeof(request),
                                  "GET %s HTTP/1.1\r\n\r\n", path);

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(write(ends[0], request, (size_t)bytes), bytes);
    cr_assert_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    server->client = ends[0];
    server->other = dup(ends[1]);
    cr_assert_eq(mayfly_offer(server->guest.vm, ends[1], 0, server->error), 0,
                 "%s", server->error);
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

/* All that the client has got, up to the end; `bytes` of it are the body. */
static void assert_answered(struct server *server, size_t bytes)
{
    static char got[1 << 20];
    size_t all = 0;
    ssize_t part;
    char *body;

    while ((part = read(server->client, got + all, sizeof(got) - 1 - all)) > 0)
        all += (size_t)part;
    cr_assert_eq(part, 0, "%s", strerror(errno));
    got[all] = '\0';
    body = strstr(got, "\r\n\r\n");
    cr_assert(body, "%s", got);
    cr_assert_eq(all - (size_t)(body + 4 - got), bytes);
}

static void close_all(struct server *server)
{
    close(server->client);
    close(server->other);
}

static void finish(struct server *server)
{
    mayfly_destroy(server->guest.vm);
    close(server->guest.image_fd);
}

/* ---- Serving ------------------------------------------------------------- */

Test(serve, ends_the_run_when_a_connection_is_over_and_again_after_a_reset)
{
    struct server server = {0};
    struct mayfly_stream_stats stats;

    start(&server);
    for (unsigned i = 1; i <= 20; i++) {
        struct mayfly_progress before = server.progress;

        offer(&server, "/");
        run(&server, MAYFLY_SERVED);
        /* The end is heard although a descriptor is open. */
        assert_answered(&server, 16);
        close_all(&server);
        mayfly_get_stream_stats(server.guest.vm, &stats);
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
