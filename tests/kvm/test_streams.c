/* SPDX-License-Identifier: MIT */
/* Streams between the host and guests without a network. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

#define PORT 80

TestSuite(streams, .timeout = 240);

/* A connection to the guest's port; the host's end goes to `*fd`. */
static struct mayfly_stream connect_guest(int *fd)
{
    struct mayfly_stream stream = {.guest_port = PORT, .connected = true};
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    stream.fd = ends[1];
    *fd = ends[0];
    return stream;
}

/* Writes `bytes` bytes and ends that direction. */
static void say(int fd, const void *data, size_t bytes)
{
    cr_assert_eq(write(fd, data, bytes), (ssize_t)bytes);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
}

/* These bytes are there, and the end. */
static void assert_hears(int fd, const void *data, size_t bytes)
{
    static char got[100000];

    cr_assert_eq(recv(fd, got, sizeof(got), MSG_WAITALL), (ssize_t)bytes);
    cr_assert_eq(memcmp(got, data, bytes), 0);
    close(fd);
}

/* ---- Without snapshots --------------------------------------------------- */

static void serve_one(const char *how, const char *output)
{
    int fd;
    struct mayfly_stream stream = connect_guest(&fd);
    struct guest guest = {
        .image = "streams",
        .args = {how, "1"},
        .options = {.streams = &stream, .stream_count = 1},
    };

    say(fd, "hello", 5);
    run_guest(&guest);
    assert_exited(&guest, 0, output);
    assert_hears(fd, "hello", 5);
    cr_assert_eq(guest.stats.streams.offered, 1);
    cr_assert_eq(guest.stats.streams.opened, 1);
    cr_assert_eq(guest.stats.streams.resets, 0);
    cr_assert_eq(guest.stats.streams.in_bytes, 5);
    cr_assert_eq(guest.stats.streams.out_bytes, 5);
}

Test(streams, reach_a_guest_that_waits_in_accept)
{
    serve_one("serve", "listening\nfrom 10.0.2.2: 5 bytes\n");
}

Test(streams, reach_a_guest_that_waits_by_epoll)
{
    serve_one("poll", "listening\nfrom 10.0.2.2: 5 bytes\n");
}

Test(streams, reach_a_guest_with_sockets_of_their_own_family)
{
    serve_one("vsock", "listening\nfrom CID 2: 5 bytes\n");
}

/* Nobody takes it before the VM has ended. */
Test(streams, deliver_what_the_guest_sent_before_it_ended)
{
    static char data[90000];
    int fd;
    struct mayfly_stream stream = connect_guest(&fd);
    struct guest guest = {
        .image = "streams",
        .args = {"serve", "1"},
        .options = {.streams = &stream, .stream_count = 1},
    };

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 256);
    say(fd, data, sizeof(data));
    run_guest(&guest);
    assert_exited(&guest, 0, "listening\nfrom 10.0.2.2: 90000 bytes\n");
    assert_hears(fd, data, sizeof(data));
}

Test(streams, lead_from_one_socket_of_a_guest_to_another)
{
    struct guest guest = {
        .image = "streams",
        .args = {"within"},
        .options = {.sockets = true},
    };

    run_guest(&guest);
    assert_exited(&guest, 0,
                  "listening\nfrom 127.0.0.1: hello\n"
                  "8.8.8.8: Network unreachable\n"
                  "port 9: Connection refused\n");
}

/* ---- Snapshots ----------------------------------------------------------- */

/* Runs the guest to its snapshot. Returns the file. */
static int take(struct guest *guest)
{
    int file = take_snapshot(guest);

    collect_guest(guest);
    return file;
}

/* A clone for one connection. */
static void go_on(int file, const char *output)
{
    int fd;
    struct mayfly_stream stream = connect_guest(&fd);
    struct guest guest = {
        .restore = true,
        .image_fd = dup(file),
        .options = {.streams = &stream, .stream_count = 1},
    };

    say(fd, "hello", 5);
    run_guest(&guest);
    assert_exited(&guest, 0, output);
    assert_hears(fd, "hello", 5);
}

static void clone_before_accept(const char *how, const char *output)
{
    struct guest guest = {
        .image = "streams",
        .args = {how, "1"},
        .options = {.sockets = true, .snapshots = MAYFLY_SNAPSHOT_ACCEPT},
    };
    int file = take(&guest);

    cr_assert_str_eq(guest.output, "listening\n");
    for (int i = 0; i < 2; i++)
        go_on(file, output);
    close(file);
}

Test(streams, come_to_clones_of_a_guest_that_waits_in_accept)
{
    clone_before_accept("serve", "from 10.0.2.2: 5 bytes\n");
}

Test(streams, come_to_clones_of_a_guest_that_waits_by_epoll)
{
    clone_before_accept("poll", "from 10.0.2.2: 5 bytes\n");
}

Test(streams, come_to_clones_with_sockets_of_their_own_family)
{
    clone_before_accept("vsock", "from CID 2: 5 bytes\n");
}

Test(streams, that_are_open_are_reset_in_a_clone_and_new_ones_come)
{
    int fd;
    struct mayfly_stream stream = connect_guest(&fd);
    struct guest guest = {
        .image = "streams",
        .args = {"hold"},
        .options = {.streams = &stream,
                    .stream_count = 1,
                    .snapshots = MAYFLY_SNAPSHOT_POINT},
    };
    int file;

    cr_assert_eq(write(fd, "x", 1), 1);
    file = take(&guest);
    go_on(file, "restored 1: Connection reset by peer after 0 bytes\n"
                "from 10.0.2.2: 5 bytes\n");
    close(file);
    close(fd);
}

/* ---- Connections that are offered --------------------------------------- */

/* Offers a connection with some bytes, runs the guest, and hears them. */
static void offer_and_run(struct guest *guest, const char *text)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd;
    struct mayfly_stream stream = connect_guest(&fd);

    cr_assert_eq(fcntl(stream.fd, F_SETFL, O_NONBLOCK), 0);
    say(fd, text, strlen(text));
    cr_assert_eq(mayfly_offer(guest->vm, stream.fd, PORT, error), 0, "%s",
                 error);
    cr_assert_eq(mayfly_run(guest->vm, &guest->result, error), 0, "%s", error);
    cr_assert_eq(guest->result.end, MAYFLY_EXITED);
    assert_hears(fd, text, strlen(text));
}

Test(streams, come_to_a_guest_that_is_reset_for_each)
{
    enum { RESETS = 100 };
    struct guest first = {
        .image = "streams",
        .args = {"serve", "1"},
        .options = {.sockets = true, .snapshots = MAYFLY_SNAPSHOT_ACCEPT},
    };
    struct guest guest = {
        .restore = true,
        .options = {.resettable = true},
    };
    char error[MAYFLY_ERROR_BYTES] = "", text[32];

    guest.image_fd = take(&first);
    load_guest(&guest);
    for (int i = 0; i <= RESETS; i++) {
        if (i > 0)
            cr_assert_eq(mayfly_reset(guest.vm, error), 0, "%s", error);
        snprintf(text, sizeof(text), "request %d", i);
        offer_and_run(&guest, text);
    }
    collect_guest(&guest);
    cr_assert_eq(guest.stats.streams.opened, RESETS + 1);
    cr_assert_eq(guest.stats.streams.resets, 0);
}

Test(streams, are_for_vms_that_have_the_device)
{
    struct guest guest = {.image = "hello"};
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd;
    struct mayfly_stream stream = connect_guest(&fd);

    load_guest(&guest);
    cr_assert_eq(mayfly_offer(guest.vm, stream.fd, PORT, error), -EINVAL);
    cr_assert(strstr(error, "no socket device"), "%s", error);
    mayfly_destroy(guest.vm);
}
