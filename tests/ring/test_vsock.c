/* SPDX-License-Identifier: MIT */
/* The guest's streams against the monitor's socket device. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/ring/vsock_peer.h"

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)
#define MUCH     (1u << 20)

TestSuite(vsock_ring, .init = start_vsock, .timeout = 60);

static unsigned char data[MUCH], got[MUCH];

static void fill(void)
{
    for (size_t i = 0; i < MUCH; i++)
        data[i] = (unsigned char)(i * 7 + i / 256);
}

/* A stream from outside, and the host's end of it. */
static struct socket *open_stream(struct socket *listener, int *fd)
{
    *fd = offer(PORT);
    return accept_from(listener);
}

/* ---- From outside ---------------------------------------------------------
 */

Test(vsock_ring, accepts_who_connects_from_outside)
{
    struct socket *listener = listen_at(AF_INET, PORT, 5), *one;
    char text[16] = "";
    int fd;

    cr_assert_eq(guest_poll(listener), 0);
    fd = offer(PORT);
    look();
    cr_assert_eq(guest_poll(listener), READABLE);
    one = accept_from(listener);
    cr_assert_str_eq(name_of(one, true), "10.0.2.2:2048");
    cr_assert_str_eq(name_of(one, false), "10.0.2.15:80");
    cr_assert_eq(guest_poll(one), WRITABLE);
    cr_assert_eq(write(fd, "hello", 5), 5);
    cr_assert_eq(guest_receive(one, text, sizeof(text), 0), 5);
    cr_assert_str_eq(text, "hello");
    cr_assert_eq(guest_send(one, "world", 5), 5);
    look();
    cr_assert_eq(read(fd, text, sizeof(text)), 5);
    cr_assert_eq(memcmp(text, "world", 5), 0);
    close_socket(one);
    cr_assert(host_sees_end(fd));
    look();
    cr_assert_eq(vsock_stream_count(&device), 0);
}

Test(vsock_ring, waits_for_a_connection)
{
    struct socket *listener = listen_at(AF_INET6, PORT, 5), *one;
    int fd = offer(PORT);

    one = accept_from(listener);
    cr_assert_str_eq(name_of(one, true), "[::ffff:10.0.2.2]:2048");
    cr_assert_str_eq(name_of(one, false), "[::ffff:10.0.2.15]:80");
    close(fd);
}

Test(vsock_ring, keeps_who_connects_until_the_program_listens)
{
    int fd = offer(PORT);
    struct socket *listener = listen_at(AF_INET, PORT, 5);
    struct socket *one = accept_from(listener);

    cr_assert_eq(guest_send(one, "x", 1), 1);
    look();
    cr_assert_eq(read(fd, got, 1), 1);
}

Test(vsock_ring, refuses_where_nobody_listens)
{
    listen_at(AF_INET, PORT, 5);
    int fd = offer(PORT + 1);

    look();
    cr_assert(host_sees_reset(fd));
}

Test(vsock_ring, does_not_listen_outside_at_the_loopback)
{
    struct socket *listener = make_socket(AF_INET);

    cr_assert_eq(guest_bind(listener, inet_name("127.0.0.1", PORT)), 0);
    cr_assert_eq(listener->ops->listen(listener, 5), 0);
    int fd = offer(PORT);
    look();
    cr_assert(host_sees_reset(fd));
}

Test(vsock_ring, lets_those_wait_whom_the_backlog_has_no_room_for)
{
    struct socket *listener = listen_at(AF_INET, PORT, 0), *first, *second;
    int fds[2] = {offer(PORT), offer(PORT)};
    char text[8];

    cr_assert_eq(write(fds[1], "second", 6), 6);
    look();
    first = accept_from(listener);
    second = accept_from(listener);
    cr_assert_eq(guest_receive(second, text, sizeof(text), 0), 6);
    cr_assert_eq(guest_send(first, "x", 1), 1);
    look();
    cr_assert_eq(read(fds[0], text, sizeof(text)), 1);
    cr_assert_str_eq(name_of(second, true), "10.0.2.2:2049");
}

Test(vsock_ring, ends_what_was_not_accepted_with_its_listener)
{
    struct socket *listener = listen_at(AF_INET, PORT, 0);
    int fds[2] = {offer(PORT), offer(PORT)};

    look();
    close_socket(listener);
    look();
    cr_assert(host_sees_reset(fds[0]));
    cr_assert(host_sees_reset(fds[1]));
    cr_assert_eq(vsock_stream_count(&device), 0);
}

/* ---- Data -----------------------------------------------------------------
 */

static int pumped;
static size_t pumped_in, pumped_out;

/* The host sends and takes whatever it can. */
static void pump(void)
{
    ssize_t bytes = write(pumped, data + pumped_in, MUCH - pumped_in);

    pumped_in += bytes > 0 ? (size_t)bytes : 0;
    bytes = read(pumped, got + pumped_out, MUCH - pumped_out);
    pumped_out += bytes > 0 ? (size_t)bytes : 0;
}

Test(vsock_ring, takes_much)
{
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &pumped);

    fill();
    host_acts = pump;
    cr_assert_eq(guest_receive(one, got, MUCH, MSG_WAITALL), MUCH);
    cr_assert_eq(memcmp(got, data, MUCH), 0);
}

Test(vsock_ring, sends_much)
{
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &pumped);

    fill();
    pumped_in = MUCH;
    host_acts = pump;
    cr_assert_eq(guest_send(one, data, MUCH), MUCH);
    for (unsigned i = 0; i < 1000 && pumped_out < MUCH; i++) {
        look();
        pump();
    }
    cr_assert_eq(pumped_out, MUCH);
    cr_assert_eq(memcmp(got, data, MUCH), 0);
}

Test(vsock_ring, takes_no_more_than_there_is_room_for)
{
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &pumped);
    int unread;

    fill();
    for (unsigned i = 0; i < 1000; i++) {
        pump();
        look();
    }
    cr_assert_lt(pumped_in, MUCH);
    cr_assert_eq(one->ops->ioctl(one, FIONREAD, (long)&unread), 0);
    cr_assert_eq(unread, 131072);
    host_acts = pump;
    cr_assert_eq(guest_receive(one, got, MUCH, MSG_WAITALL), MUCH);
    cr_assert_eq(memcmp(got, data, MUCH), 0);
}

Test(vsock_ring, says_when_there_is_no_room_and_when_there_is)
{
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &pumped);
    long bytes;

    fill();
    set_nonblocking(one);
    for (pumped_in = 0; pumped_in < 16 * MUCH; pumped_in += (size_t)bytes) {
        bytes = guest_send(one, data, MUCH);
        if (bytes < 0)
            break;
        look();
    }
    cr_assert_eq(bytes, -EAGAIN);
    cr_assert_not(guest_poll(one) & WRITABLE);
    pumped_out = pumped_in;
    while (pumped_out > 0) {
        bytes = read(pumped, got, MUCH);
        pumped_out -= bytes > 0 ? (size_t)bytes : 0;
        while (vdev_ready(&device.dev) == -EINTR)
            continue;
        look();
    }
    cr_assert(guest_poll(one) & WRITABLE);
}

/* Sends until there is no room, to a device that is busy. Returns the bytes. */
static size_t fill_ring(struct socket *one, size_t sent)
{
    long bytes;

    vm.lazy = true;
    while ((bytes = guest_send(one, data + sent, 10)) == 10)
        sent += 10;
    vm.lazy = false;
    cr_assert_eq(bytes, -EAGAIN);
    return sent;
}

Test(vsock_ring, waits_where_the_ring_is_full)
{
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &pumped);
    size_t sent;

    fill();
    set_nonblocking(one);
    sent = fill_ring(one, 0);
    cr_assert_lt(sent, 2000);
    cr_assert_not(guest_poll(one) & WRITABLE);
    look();
    look();
    cr_assert(guest_poll(one) & WRITABLE);
    sent = fill_ring(one, sent);
    /* What has no data is sent nevertheless, behind it. */
    cr_assert_eq(one->ops->shutdown(one, SHUT_WR), 0);
    look();
    look();
    cr_assert_eq(recv(pumped, got, MUCH, MSG_DONTWAIT), (long)sent);
    cr_assert_eq(memcmp(got, data, sent), 0);
    cr_assert(host_sees_end(pumped));
}

Test(vsock_ring, peeks_and_drops)
{
    int fd;
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &fd);
    char text[8] = "";

    cr_assert_eq(write(fd, "abcdef", 6), 6);
    cr_assert_eq(guest_receive(one, text, 3, MSG_PEEK), 3);
    cr_assert_eq(memcmp(text, "abc", 3), 0);
    cr_assert_eq(guest_receive(one, text, 2, MSG_TRUNC), 2);
    cr_assert_eq(guest_receive(one, text, 8, 0), 4);
    cr_assert_eq(memcmp(text, "cdef", 4), 0);
    cr_assert_eq(guest_receive(one, text, 8, MSG_DONTWAIT), -EAGAIN);
}

/* ---- The end --------------------------------------------------------------
 */

Test(vsock_ring, ends_each_direction_by_itself)
{
    int fd;
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &fd);
    char text[8];

    cr_assert_eq(one->ops->shutdown(one, SHUT_WR), 0);
    cr_assert(host_sees_end(fd));
    cr_assert_eq(guest_send(one, "x", 1), -EPIPE);
    cr_assert_eq(sigpipes, 1);
    cr_assert_eq(write(fd, "still", 5), 5);
    cr_assert_eq(guest_receive(one, text, sizeof(text), 0), 5);
    close(fd);
    cr_assert_eq(guest_receive(one, text, sizeof(text), 0), 0);
    cr_assert(guest_poll(one) & EPOLLHUP);
    close_socket(one);
    look();
    look();
    cr_assert_eq(vsock_stream_count(&device), 0);
}

Test(vsock_ring, reads_what_came_before_the_end)
{
    int fd;
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &fd);
    char text[8];

    cr_assert_eq(write(fd, "last", 4), 4);
    shutdown(fd, SHUT_WR);
    cr_assert_eq(guest_receive(one, text, sizeof(text), MSG_WAITALL), 4);
    cr_assert_eq(guest_receive(one, text, sizeof(text), 0), 0);
    cr_assert_eq(guest_poll(one) & (EPOLLRDHUP | EPOLLHUP), EPOLLRDHUP);
    cr_assert_eq(guest_send(one, "answer", 6), 6);
    look();
    cr_assert_eq(read(fd, text, sizeof(text)), 6);
}

Test(vsock_ring, cuts_off_what_it_did_not_read)
{
    int fd;
    struct socket *one = open_stream(listen_at(AF_INET, PORT, 5), &fd);

    cr_assert_eq(write(fd, "unread", 6), 6);
    cr_assert_eq(guest_receive(one, got, 1, 0), 1);
    close_socket(one);
    look();
    cr_assert(host_sees_reset(fd));
    cr_assert_eq(vsock_stream_count(&device), 0);
}

Test(vsock_ring, forgets_streams_but_not_listeners_with_the_device)
{
    struct socket *listener = listen_at(AF_INET, PORT, 5), *one, *two;
    int fd;

    one = open_stream(listener, &fd);
    close_socket(open_stream(listener, &fd));
    fd = offer(PORT);
    look(); /* not accepted */
    look();
    for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++)
        if (device.streams[i].fd >= 0) {
            close(device.streams[i].fd);
            device.streams[i].fd = -1;
            device.streams[i].state = VSOCK_LINGERING;
        }
    device.tell_reset = true;
    look();
    cr_assert(guest_poll(one) & EPOLLERR);
    cr_assert_eq(guest_receive(one, got, 1, 0), -ECONNRESET);
    cr_assert_eq(guest_poll(listener), 0);
    close_socket(one);
    two = open_stream(listener, &fd);
    cr_assert_eq(guest_send(two, "x", 1), 1);
    look();
    cr_assert_eq(read(fd, got, 1), 1);
}

/* ---- To the outside -------------------------------------------------------
 */

static int answered = -1, answer_error;

static void answer(void)
{
    if (answered < 0)
        answered = answer_connect(answer_error);
}

Test(vsock_ring, connects_to_what_is_listed)
{
    struct socket *one = make_socket(AF_INET);

    host_acts = answer;
    cr_assert_eq(guest_connect(one, inet_name("10.9.8.7", 80)), 0);
    cr_assert_str_eq(name_of(one, true), "10.9.8.7:80");
    cr_assert_str_eq(name_of(one, false), "10.0.2.15:32768");
    cr_assert_eq(guest_send(one, "ask", 3), 3);
    look();
    cr_assert_eq(read(answered, got, 8), 3);
    cr_assert_eq(write(answered, "answer", 6), 6);
    cr_assert_eq(guest_receive(one, got, 8, 0), 6);
    cr_assert_eq(guest_connect(one, inet_name("10.9.8.7", 80)), -EISCONN);
}

Test(vsock_ring, has_no_way_to_what_is_not_listed)
{
    struct socket *one = make_socket(AF_INET);

    cr_assert_eq(guest_connect(one, inet_name("10.9.8.7", 81)), -ENETUNREACH);
    cr_assert_eq(guest_connect(one, inet_name("10.9.8.6", 80)), -ENETUNREACH);
}

Test(vsock_ring, says_that_the_host_could_not_connect)
{
    struct socket *one = make_socket(AF_INET);

    host_acts = answer;
    answer_error = -ECONNREFUSED;
    cr_assert_eq(guest_connect(one, inet_name("10.9.8.7", 80)), -ECONNREFUSED);
    /* It may try again. */
    answer_error = 0;
    cr_assert_eq(guest_connect(one, inet_name("10.9.8.7", 80)), 0);
}

Test(vsock_ring, connects_without_waiting)
{
    struct socket *one = make_socket(AF_INET);
    struct socket_name to = inet_name("10.9.8.7", 80);

    set_nonblocking(one);
    cr_assert_eq(guest_connect(one, to), -EINPROGRESS);
    cr_assert_eq(guest_connect(one, to), -EALREADY);
    cr_assert_eq(guest_poll(one), 0);
    look();
    answer();
    while (vdev_ready(&device.dev) == -EINTR)
        continue;
    look();
    cr_assert_eq(guest_poll(one), WRITABLE);
    cr_assert_eq(guest_error(one), 0);
    cr_assert_eq(guest_connect(one, to), 0);
}

/* ---- Within the VM --------------------------------------------------------
 */

Test(vsock_ring, connects_within_the_vm)
{
    struct socket *listener = listen_at(AF_INET6, PORT, 5), *one, *other;

    one = make_socket(AF_INET);
    cr_assert_eq(guest_connect(one, inet_name("127.0.0.1", PORT)), 0);
    other = accept_from(listener);
    cr_assert_str_eq(name_of(one, false), "127.0.0.1:32768");
    cr_assert_str_eq(name_of(other, true), "[::ffff:127.0.0.1]:32768");
    cr_assert_eq(guest_send(one, "hello", 5), 5);
    cr_assert_eq(guest_receive(other, got, 8, 0), 5);
    cr_assert_eq(guest_send(other, "world", 5), 5);
    cr_assert_eq(guest_receive(one, got, 8, 0), 5);
    close_socket(other);
    cr_assert_eq(guest_receive(one, got, 8, 0), 0);
    cr_assert_eq(guest_send(one, "x", 1), -EPIPE);
    cr_assert_eq(vsock_stream_count(&device), 0);
}

Test(vsock_ring, refuses_within_the_vm_where_nobody_listens)
{
    struct socket *one = make_socket(AF_INET);

    cr_assert_eq(guest_connect(one, inet_name("127.0.0.1", 9)), -ECONNREFUSED);
    set_nonblocking(one);
    cr_assert_eq(guest_connect(one, inet_name("127.0.0.1", 9)), -EINPROGRESS);
    cr_assert_eq(guest_error(one), ECONNREFUSED);
}

Test(vsock_ring, fills_up_within_the_vm)
{
    struct socket *listener = listen_at(AF_INET, PORT, 5), *one, *other;
    long bytes;

    fill();
    one = make_socket(AF_INET);
    cr_assert_eq(guest_connect(one, inet_name("127.0.0.1", PORT)), 0);
    other = accept_from(listener);
    set_nonblocking(one);
    bytes = guest_send(one, data, MUCH);
    cr_assert_eq(bytes, 131072);
    cr_assert_eq(guest_send(one, data, 1), -EAGAIN);
    cr_assert_eq(guest_poll(one), 0);
    cr_assert_eq(guest_receive(other, got, MUCH, 0), bytes);
    cr_assert_eq(memcmp(got, data, (size_t)bytes), 0);
    cr_assert_eq(guest_poll(one), WRITABLE);
}

Test(vsock_ring, has_one_port_for_one_listener)
{
    struct socket *one = listen_at(AF_INET, PORT, 5);
    struct socket *other = make_socket(AF_INET);

    guest_option(one, SO_REUSEADDR, 1);
    guest_option(other, SO_REUSEADDR, 1);
    cr_assert_eq(guest_bind(other, inet_name(NULL, PORT)), -EADDRINUSE);
    cr_assert_eq(guest_bind(other, inet_name("127.0.0.1", PORT)), -EADDRINUSE);
    cr_assert_eq(guest_bind(other, inet_name("8.8.8.8", PORT)), -EADDRNOTAVAIL);
    close_socket(one);
    cr_assert_eq(guest_bind(other, inet_name(NULL, PORT)), 0);
    cr_assert_eq(guest_bind(other, inet_name(NULL, PORT)), -EINVAL);
}

Test(vsock_ring, lets_two_addresses_have_the_same_port)
{
    struct socket *one = make_socket(AF_INET), *other = make_socket(AF_INET);

    cr_assert_eq(guest_bind(one, inet_name("127.0.0.1", PORT)), 0);
    cr_assert_eq(guest_bind(other, inet_name("10.0.2.15", PORT)), 0);
}

/* ---- AF_VSOCK -------------------------------------------------------------
 */

Test(vsock_ring, has_sockets_of_its_own_family)
{
    struct socket *listener = listen_at(AF_VSOCK, PORT, 5), *one;
    int fd;

    one = open_stream(listener, &fd);
    cr_assert_str_eq(name_of(one, true), "2:2048");
    cr_assert_str_eq(name_of(one, false), "3:80");
    cr_assert_eq(guest_send(one, "x", 1), 1);
    look();
    cr_assert_eq(read(fd, got, 8), 1);
}

Test(vsock_ring, resets_them_where_the_host_has_nobody)
{
    struct socket *one = make_socket(AF_VSOCK);

    cr_assert_eq(guest_connect(one, vm_name(VMADDR_CID_HOST, 1234)),
                 -ECONNRESET);
    cr_assert_eq(guest_connect(one, vm_name(77, 1234)), -ENODEV);
}

Test(vsock_ring, connects_them_to_what_is_listed)
{
    struct socket *one = make_socket(AF_VSOCK);

    host_acts = answer;
    cr_assert_eq(guest_connect(one, vm_name(VMADDR_CID_HOST, 0x10000)), 0);
    cr_assert_eq(guest_send(one, "x", 1), 1);
    look();
    cr_assert_eq(read(answered, got, 8), 1);
}

Test(vsock_ring, connects_them_within_the_vm)
{
    struct socket *listener = listen_at(AF_VSOCK, 5000, 5), *one, *other;

    one = make_socket(AF_VSOCK);
    cr_assert_eq(guest_connect(one, vm_name(VMADDR_CID_LOCAL, 5000)), 0);
    other = accept_from(listener);
    cr_assert_eq(guest_send(one, "hello", 5), 5);
    cr_assert_eq(guest_receive(other, got, 8, 0), 5);
}
