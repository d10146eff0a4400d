/* SPDX-License-Identifier: MIT */
/* Sockets over the virtio socket device: opening and ending streams. */
#include "guest_rt/socket_vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/epoll.h>

#include "guest_rt/device.h"
#include "guest_rt/runtime.h"

#define BACKLOG_MAX 4096u       /* net.core.somaxconn */
#define DRAIN_NS    2000000000u /* the device has so long to take the rest */

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)

struct vsock_socket *vsock_sockets;

static const struct socket_ops vsock_ops;

/* ---- Making and unmaking ------------------------------------------------- */

struct vsock_socket *socket_vsock_alloc(int domain)
{
    struct vsock_socket *one = socket_alloc(sizeof(*one));

    if (!one)
        return NULL;
    socket_init(&one->socket, &vsock_ops, domain, SOCK_STREAM,
                domain == AF_VSOCK ? 0 : IPPROTO_TCP);
    one->socket.send_limit = 16384; /* as Linux says of TCP */
    one->socket.receive_limit = 131072;
    one->local.cid = one->remote.cid = VMADDR_CID_ANY;
    one->next = vsock_sockets;
    one->link = &vsock_sockets;
    if (vsock_sockets)
        vsock_sockets->link = &one->next;
    vsock_sockets = one;
    return one;
}

void socket_vsock_destroy(struct vsock_socket *one)
{
    socket_vsock_unregister(one);
    socket_vsock_drop_received(one);
    *one->link = one->next;
    if (one->next)
        one->next->link = one->link;
    socket_free(one);
}

bool socket_vsock_is_inet(void)
{
    return device_count(VIRTIO_ID_VSOCK) && !device_count(VIRTIO_ID_NET);
}

int socket_vsock_create(int domain, int type, int protocol,
                        struct socket **socket)
{
    struct vsock_socket *one;

    if (type != SOCK_STREAM)
        return -ESOCKTNOSUPPORT;
    if (protocol && (domain == AF_VSOCK || protocol != IPPROTO_TCP))
        return -EPROTONOSUPPORT;
    one = socket_vsock_alloc(domain);
    if (!one)
        return -ENOBUFS;
    if (domain == AF_VSOCK)
        socket_vsock_start();
    *socket = &one->socket;
    return 0;
}

/* ---- How streams change -------------------------------------------------- */

void socket_vsock_connected(struct vsock_socket *one)
{
    one->phase = VSOCK_CONNECTED;
    socket_wake(&one->socket, WRITABLE);
}

void socket_vsock_end(struct vsock_socket *one, int error)
{
    bool connecting = one->phase == VSOCK_CONNECTING;

    socket_vsock_unregister(one);
    one->phase = VSOCK_OVER;
    one->failed = connecting;
    one->shut_read = one->shut_write = true;
    if (error)
        one->socket.error = error;
    else
        one->got_end = true;
    socket_wake(&one->socket, READABLE | WRITABLE | EPOLLRDHUP | EPOLLHUP |
                                  (error ? EPOLLERR : 0u));
}

/* The other end in this VM learns that this one is gone. */
static void leave_peer(struct vsock_socket *one, bool reset)
{
    struct vsock_socket *peer = one->peer;

    if (!peer)
        return;
    one->peer = peer->peer = NULL;
    if (one->phase == VSOCK_CONNECTING && peer->listener) {
        /* It was not answered yet. */
        socket_vsock_take_back(peer);
        socket_vsock_destroy(peer);
    } else if (peer->phase == VSOCK_CONNECTING) {
        socket_vsock_end(peer, vsock_is_inet(peer) ? ECONNREFUSED : ECONNRESET);
    } else if (reset) {
        socket_vsock_end(peer, ECONNRESET);
    } else {
        peer->got_end = true;
        socket_wake(&peer->socket, READABLE | WRITABLE | EPOLLRDHUP |
                                       (peer->shut_write ? EPOLLHUP : 0u));
    }
}

/* Ends a stream at once: the other end is told by a RST. */
static void reset_stream(struct vsock_socket *one)
{
    if (one->device && one->phase != VSOCK_CLOSING)
        socket_vsock_tell(one, VIRTIO_VSOCK_OP_RST, 0);
    leave_peer(one, true);
    socket_vsock_unregister(one);
}

/* ---- Connections to accept ----------------------------------------------- */

struct vsock_socket *socket_vsock_ask(struct vsock_socket *listener)
{
    struct vsock_socket *one = socket_vsock_alloc(listener->socket.domain);

    if (!one)
        return NULL;
    socket_vsock_inherit(one, listener);
    one->phase = VSOCK_CONNECTING;
    one->told = one->bound = true;
    one->listener = listener;
    if (listener->pending_last)
        listener->pending_last->pending_next = one;
    else
        listener->pending_first = one;
    listener->pending_last = one;
    listener->pending++;
    return one;
}

static void answer(struct vsock_socket *one)
{
    one->phase = VSOCK_CONNECTED;
    if (one->device)
        socket_vsock_tell(one, VIRTIO_VSOCK_OP_RESPONSE, 0);
    else if (one->peer)
        socket_vsock_connected(one->peer);
}

void socket_vsock_answer(struct vsock_socket *listener)
{
    struct vsock_socket *one = listener->pending_first;

    for (unsigned i = 0; one && i <= listener->backlog; i++) {
        if (one->phase == VSOCK_CONNECTING)
            answer(one);
        one = one->pending_next;
    }
    if (listener->pending_first)
        socket_wake(&listener->socket, READABLE);
}

void socket_vsock_take_back(struct vsock_socket *pending)
{
    struct vsock_socket *listener = pending->listener, *last = NULL;
    struct vsock_socket **at = &listener->pending_first;

    while (*at != pending) {
        last = *at;
        at = &last->pending_next;
    }
    *at = pending->pending_next;
    if (!pending->pending_next)
        listener->pending_last = last;
    pending->pending_next = NULL;
    pending->listener = NULL;
    listener->pending--;
}

static int accept_vsock(struct socket *socket, struct socket **accepted)
{
    struct vsock_socket *listener = vsock_socket_of(socket), *one;
    uint64_t deadline = socket_deadline(socket->receive_ns);

    if (listener->phase == VSOCK_LISTENING && !listener->pending_first)
        vsock_poll();
    for (;;) {
        int error;

        if (listener->phase != VSOCK_LISTENING)
            return -EINVAL;
        if (listener->pending_first)
            break;
        error = socket_wait_accept(socket, deadline);
        if (error)
            return error;
    }
    one = listener->pending_first; /* it is answered */
    socket_vsock_take_back(one);
    socket_vsock_answer(listener);
    *accepted = &one->socket;
    return 0;
}

static void close_listener(struct vsock_socket *listener)
{
    struct vsock_socket *one;

    while ((one = listener->pending_first)) {
        socket_vsock_take_back(one);
        reset_stream(one);
        socket_vsock_destroy(one);
    }
}

/* To no address, and a port that is free. */
static int bind_any(struct vsock_socket *one)
{
    struct vsock_address any = {
        .cid = VMADDR_CID_ANY,
        .port = vsock_is_inet(one) ? 0 : VMADDR_PORT_ANY,
    };

    return socket_vsock_bind(one, &any);
}

/* Tells those who hand connections over where to, and with how much data. */
static void note_listening(const struct vsock_socket *listener)
{
    struct mf_boot *boot = mf_boot_page();

    if (boot->listen_port)
        return;
    boot->listen_port = listener->local.port;
    boot->listen_room = listener->socket.receive_limit;
}

static int listen_vsock(struct socket *socket, int backlog)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    int error = 0;

    if (one->phase != VSOCK_IDLE && one->phase != VSOCK_LISTENING)
        return -EINVAL;
    if (!one->bound && !vsock_is_inet(one))
        return -EINVAL;
    if (!one->bound)
        error = bind_any(one);
    if (!error && !socket_vsock_may_listen(one))
        error = -EADDRINUSE;
    if (error)
        return error;
    one->phase = VSOCK_LISTENING;
    /* Below 0 means most. */
    one->backlog =
        (unsigned)backlog < BACKLOG_MAX ? (unsigned)backlog : BACKLOG_MAX;
    socket_vsock_answer(one);
    /* Who connects before the device is started waits there. */
    socket_vsock_start();
    note_listening(one);
    return 0;
}

static int bind_vsock(struct socket *socket, const struct socket_name *name)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    struct socket_name given = *name;
    struct vsock_address address;
    int error;

    /* Linux takes this for AF_INET, too, if the address is 0. */
    if (socket->domain == AF_INET && name->bytes >= sizeof(name->in) &&
        name->any.sa_family == AF_UNSPEC && name->in.sin_addr.s_addr == 0)
        given.any.sa_family = AF_INET;
    error = socket_vsock_read_name(one, &given, &address);
    if (error)
        return error;
    if (one->phase != VSOCK_IDLE || one->bound)
        return -EINVAL;
    return socket_vsock_bind(one, &address);
}

/* ---- connect ------------------------------------------------------------- */

/* Back to the beginning, as connect() to AF_UNSPEC does and a failed one. */
static void begin_again(struct vsock_socket *one)
{
    if (one->phase == VSOCK_LISTENING)
        close_listener(one);
    reset_stream(one);
    socket_vsock_drop_received(one);
    one->phase = VSOCK_IDLE;
    one->failed = one->told = one->got_end = false;
    one->shut_read = one->shut_write = false;
}

/* Tells why connecting failed; the socket may try again. */
static int report_failure(struct vsock_socket *one)
{
    int error = socket_take_error(&one->socket);

    begin_again(one);
    return error ? error : -ECONNABORTED;
}

static int wait_connected(struct vsock_socket *one)
{
    uint64_t deadline = socket_deadline(one->socket.send_ns);

    while (one->phase == VSOCK_CONNECTING) {
        int error = socket_wait(&one->socket, 0, deadline);

        if (error)
            return error == -EAGAIN ? -EINPROGRESS : error;
    }
    if (one->phase != VSOCK_CONNECTED)
        return report_failure(one);
    one->told = true;
    return 0;
}

/* A connection within this VM. */
static void ask_local(struct vsock_socket *one)
{
    struct vsock_socket *listener = socket_vsock_find_local(one, &one->remote);
    struct vsock_socket *other = listener ? socket_vsock_ask(listener) : NULL;

    if (!other) {
        socket_vsock_end(one, vsock_is_inet(one) ? ECONNREFUSED : ECONNRESET);
        return;
    }
    other->local = one->remote;
    other->remote = one->local;
    other->peer = one;
    one->peer = other;
    socket_vsock_answer(listener);
}

/* Where it comes from. Returns 0 or -errno. */
static int choose_local(struct vsock_socket *one, bool own)
{
    static const uint8_t any[16];
    struct vsock_address from = one->remote;
    int error = one->bound ? 0 : bind_any(one);

    if (error)
        return error == -EADDRINUSE ? -EADDRNOTAVAIL : error;
    if (!own)
        socket_vsock_set_own(&from, 0);
    /* What bind() has named stays. */
    if (memcmp(one->local.ip, any, sizeof(any)) == 0)
        memcpy(one->local.ip, from.ip, sizeof(from.ip));
    if (one->local.cid == VMADDR_CID_ANY)
        one->local.cid = from.cid;
    return 0;
}

/* Asks for the connection. Returns 0 or -errno. */
static int start_connecting(struct vsock_socket *one,
                            const struct vsock_address *to)
{
    bool own = socket_vsock_is_own(one, to);
    long port = 0;
    int error;

    /* The host's loopback may be listed: whoever listens here comes first. */
    if (!own || !socket_vsock_find_local(one, to)) {
        socket_vsock_start();
        port = socket_vsock_route(one, to);
        own = own && port < 0;
    }
    if (!own && port < 0)
        return (int)port;
    one->remote = *to;
    error = choose_local(one, own);
    if (!error && !own &&
        socket_vsock_is_registered(one->local.port, (uint32_t)port))
        error = -EADDRNOTAVAIL;
    if (error)
        return error;
    one->phase = VSOCK_CONNECTING;
    if (own) {
        ask_local(one);
    } else {
        socket_vsock_register(one, (uint32_t)port);
        socket_vsock_tell(one, VIRTIO_VSOCK_OP_REQUEST, 0);
    }
    return 0;
}

static int connect_idle(struct vsock_socket *one,
                        const struct socket_name *name)
{
    struct vsock_address to;
    bool waits = !(one->socket.file->flags & O_NONBLOCK);
    int error = socket_vsock_read_name(one, name, &to);

    if (error)
        return error;
    socket_vsock_resolve(one, &to);
    error = start_connecting(one, &to);
    if (error)
        return error;
    /* As on Linux, even if the answer is there already. */
    return waits ? wait_connected(one) : -EINPROGRESS;
}

static int connect_vsock(struct socket *socket, const struct socket_name *name)
{
    struct vsock_socket *one = vsock_socket_of(socket);

    if (name->bytes < sizeof(sa_family_t))
        return -EINVAL;
    if (name->any.sa_family == AF_UNSPEC && vsock_is_inet(one)) {
        begin_again(one);
        return 0;
    }
    switch (one->phase) {
    case VSOCK_IDLE:
        return connect_idle(one, name);
    case VSOCK_CONNECTING:
        return socket->file->flags & O_NONBLOCK ? -EALREADY
                                                : wait_connected(one);
    case VSOCK_OVER:
        return one->failed ? report_failure(one) : -EISCONN;
    case VSOCK_CONNECTED:
        if (one->told)
            return -EISCONN;
        one->told = true;
        return 0;
    default:
        return vsock_is_inet(one) ? -EISCONN : -EINVAL;
    }
}

/* ---- Ending -------------------------------------------------------------- */

/* The other end may be told: what was sent before that arrives. */
static void tell_shutdown(struct vsock_socket *one, bool reads, bool writes)
{
    struct vsock_socket *peer = one->peer;
    uint32_t flags = (writes ? VIRTIO_VSOCK_SHUTDOWN_SEND : 0u) |
                     (reads ? VIRTIO_VSOCK_SHUTDOWN_RCV : 0u);

    if (one->device && flags)
        socket_vsock_tell(one, VIRTIO_VSOCK_OP_SHUTDOWN, flags);
    if (peer && writes) {
        peer->got_end = true;
        socket_wake(&peer->socket,
                    READABLE | EPOLLRDHUP | (peer->shut_write ? EPOLLHUP : 0u));
    }
}

static int shutdown_vsock(struct socket *socket, int how)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    bool reads = how != SHUT_WR, writes = how != SHUT_RD;

    if (one->phase == VSOCK_LISTENING && reads && vsock_is_inet(one)) {
        begin_again(one);
        socket_wake(socket, EPOLLIN | EPOLLHUP);
        return 0;
    }
    if (one->phase != VSOCK_CONNECTED)
        return -ENOTCONN;
    /* With TCP, the end of reading alone concerns nobody else. */
    tell_shutdown(one, reads && !vsock_is_inet(one),
                  writes && !one->shut_write);
    one->shut_read |= reads;
    one->shut_write |= writes;
    socket_wake(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    return 0;
}

/* Returns whether it goes on without its file. */
static bool close_stream(struct vsock_socket *one)
{
    bool aborts = one->phase == VSOCK_CONNECTING || one->received > 0 ||
                  (one->socket.linger.l_onoff && !one->socket.linger.l_linger);

    if (aborts || !one->device) {
        if (one->device)
            reset_stream(one);
        else
            leave_peer(one, aborts);
        return false;
    }
    tell_shutdown(one, true, true);
    one->phase = VSOCK_CLOSING;
    return true;
}

static void release(struct socket *socket)
{
    struct vsock_socket *one = vsock_socket_of(socket);

    if (one->phase == VSOCK_LISTENING)
        close_listener(one);
    else if ((one->phase == VSOCK_CONNECTING ||
              one->phase == VSOCK_CONNECTED) &&
             close_stream(one))
        return;
    socket_vsock_destroy(one);
}

/* runtime.h: what was sent is the device's before the VM ends. */
void mf_before_exit_streams(void)
{
    static bool begun;

    if (begun)
        return;
    begun = true;
    source_begin_exit();
    mf_lock(); /* for ever */
    for (struct vsock_socket *one = vsock_sockets; one; one = one->next)
        if (one->device && one->phase == VSOCK_CONNECTED)
            close_stream(one);
    vsock_drain(DRAIN_NS);
}

/* ---- Names --------------------------------------------------------------- */

static int get_name(struct socket *socket, bool peer, struct socket_name *name)
{
    struct vsock_socket *one = vsock_socket_of(socket);

    if (peer && one->phase != VSOCK_CONNECTED)
        return -ENOTCONN;
    socket_vsock_write_name(one, peer ? &one->remote : &one->local, name);
    return 0;
}

static const struct socket_ops vsock_ops = {
    .bind = bind_vsock,
    .connect = connect_vsock,
    .listen = listen_vsock,
    .accept = accept_vsock,
    .send = socket_vsock_send,
    .receive = socket_vsock_receive,
    .shutdown = shutdown_vsock,
    .get_name = get_name,
    .set_option = socket_vsock_set_option,
    .get_option = socket_vsock_get_option,
    .poll = socket_vsock_poll,
    .ioctl = socket_vsock_ioctl,
    .release = release,
};
