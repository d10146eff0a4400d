/* SPDX-License-Identifier: MIT */
/* TCP sockets: opening and ending connections. */
#include "guest_rt/socket_tcp.h"

#include <errno.h>
#include <string.h>
#include <fcntl.h>
#include <sys/epoll.h>

#define BACKLOG_MAX 4096 /* net.core.somaxconn */

/* ---- Making and unmaking ------------------------------------------------- */

/* Makes sure that there is a pcb. Returns 0 or -ENOBUFS. */
static int need_pcb(struct tcp_socket *tcp)
{
    struct tcp_pcb *pcb;

    if (tcp->pcb)
        return 0;
    pcb = tcp_new_ip_type(tcp->socket.domain == AF_INET ? IPADDR_TYPE_V4
                                                        : IPADDR_TYPE_ANY);
    if (!pcb)
        return -ENOBUFS;
    inet_tcp_init(pcb);
    socket_tcp_attach(tcp, pcb);
    socket_tcp_apply(tcp);
    return 0;
}

void socket_tcp_attach(struct tcp_socket *tcp, struct tcp_pcb *pcb)
{
    tcp->pcb = pcb;
    tcp_arg(pcb, tcp);
    tcp_recv(pcb, socket_tcp_received);
    tcp_sent(pcb, socket_tcp_sent);
    tcp_err(pcb, socket_tcp_failed);
}

void socket_tcp_detach(struct tcp_socket *tcp)
{
    tcp->pcb = NULL;
}

/* What lwIP goes on with must not call for a socket that is gone. */
static struct tcp_pcb *take_pcb(struct tcp_socket *tcp)
{
    struct tcp_pcb *pcb = tcp->pcb;

    tcp_arg(pcb, NULL);
    if (tcp->phase == TCP_LISTENING) {
        tcp_accept(pcb, NULL);
    } else {
        tcp_recv(pcb, NULL);
        tcp_sent(pcb, NULL);
        tcp_err(pcb, NULL);
    }
    tcp->pcb = NULL;
    return pcb;
}

static void abort_pcb(struct tcp_socket *tcp)
{
    if (tcp->pcb)
        tcp_abort(take_pcb(tcp));
}

static void close_pcb(struct tcp_socket *tcp)
{
    struct tcp_pcb *pcb = take_pcb(tcp);

    /* lwIP sends a RST instead of a FIN if not all was read, as Linux does. */
    if (tcp_close(pcb) != ERR_OK)
        tcp_abort(pcb);
}

static void destroy(struct tcp_socket *tcp)
{
    socket_tcp_drop_received(tcp);
    socket_free(tcp);
}

static void close_listener(struct tcp_socket *listener)
{
    struct tcp_socket *pending = listener->pending_first;

    while (pending) {
        struct tcp_socket *next = pending->pending_next;

        abort_pcb(pending);
        destroy(pending);
        pending = next;
    }
    listener->pending_first = listener->pending_last = NULL;
    listener->pending = 0;
    if (listener->pcb)
        tcp_close(take_pcb(listener));
}

static void release(struct socket *socket)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);

    inet_enter();
    if (tcp->phase == TCP_LISTENING)
        close_listener(tcp);
    else if (tcp->phase == TCP_CONNECTING ||
             (socket->linger.l_onoff && socket->linger.l_linger == 0))
        abort_pcb(tcp);
    else if (tcp->pcb)
        close_pcb(tcp);
    destroy(tcp);
    inet_leave();
}

/* ---- bind, listen, accept ------------------------------------------------ */

static int bind_tcp(struct socket *socket, const struct socket_name *name)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    ip_addr_t address;
    uint16_t port;
    int error =
        inet_read_own_name(socket, tcp->only_ip6, name, &address, &port);

    if (error)
        return error;
    if (tcp->phase != TCP_IDLE || (tcp->pcb && tcp->pcb->local_port))
        return -EINVAL;
    inet_enter();
    error = need_pcb(tcp);
    if (!error) {
        inet_apply_switches(socket, (struct ip_pcb *)tcp->pcb);
        error = inet_errno(tcp_bind(tcp->pcb, &address, port));
    }
    inet_leave();
    return error;
}

/* Turns the pcb into a listening one. Returns 0 or -errno. */
static int start_listening(struct tcp_socket *tcp)
{
    struct tcp_pcb *pcb;
    err_t failure = ERR_OK;
    int error = need_pcb(tcp);

    if (!error && !tcp->pcb->local_port)
        error = inet_errno(tcp_bind(tcp->pcb,
                                    tcp->socket.domain == AF_INET ? IP4_ADDR_ANY
                                    : tcp->only_ip6               ? IP6_ADDR_ANY
                                                                  : IP_ANY_TYPE,
                                    0));
    if (error)
        return error;
    inet_apply_switches(&tcp->socket, (struct ip_pcb *)tcp->pcb);
    pcb = tcp_listen_with_backlog_and_err(tcp->pcb, 0xff, &failure);
    if (!pcb)
        return inet_errno(failure);
    tcp->pcb = pcb;
    tcp->phase = TCP_LISTENING;
    tcp_arg(pcb, tcp);
    tcp_accept(pcb, socket_tcp_accepted);
    return 0;
}

static int listen_tcp(struct socket *socket, int backlog)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int error = 0;

    if (tcp->phase != TCP_IDLE && tcp->phase != TCP_LISTENING)
        return -EINVAL;
    inet_enter();
    if (tcp->phase == TCP_IDLE)
        error = start_listening(tcp);
    if (!error) {
        /* Linux takes one more than it is told; and below 0 means most. */
        tcp->backlog =
            (unsigned)backlog < BACKLOG_MAX ? (unsigned)backlog : BACKLOG_MAX;
        socket_tcp_set_backlog(tcp);
    }
    inet_leave();
    return error;
}

static struct tcp_socket *take_pending(struct tcp_socket *listener)
{
    struct tcp_socket *tcp = listener->pending_first;

    listener->pending_first = tcp->pending_next;
    if (!listener->pending_first)
        listener->pending_last = NULL;
    listener->pending--;
    tcp->pending_next = NULL;
    tcp->listener = NULL;
    socket_tcp_set_backlog(listener);
    return tcp;
}

static int accept_tcp(struct socket *socket, struct socket **accepted)
{
    struct tcp_socket *listener = tcp_socket_of(socket);
    uint64_t deadline = socket_deadline(socket->receive_ns);

    if (listener->phase == TCP_LISTENING && !listener->pending_first)
        inet_poll();
    for (;;) {
        int error;

        if (listener->phase != TCP_LISTENING)
            return -EINVAL;
        if (listener->pending_first)
            break;
        error = socket_wait_accept(socket, deadline);
        if (error)
            return error;
    }
    *accepted = &take_pending(listener)->socket;
    return 0;
}

/* ---- connect ------------------------------------------------------------- */

/* Back to the beginning, as connect() to AF_UNSPEC does and a failed one. */
static void reset(struct tcp_socket *tcp)
{
    inet_enter();
    if (tcp->phase == TCP_LISTENING)
        close_listener(tcp);
    abort_pcb(tcp);
    inet_leave();
    socket_tcp_drop_received(tcp);
    tcp->phase = TCP_IDLE;
    tcp->failed = tcp->told = tcp->got_end = false;
    tcp->shut_read = tcp->shut_write = false;
}

/* Tells why connecting failed; the socket may try again. */
static int report_failure(struct tcp_socket *tcp)
{
    int error = socket_take_error(&tcp->socket);

    reset(tcp);
    return error ? error : -ECONNABORTED;
}

static int wait_connected(struct tcp_socket *tcp)
{
    uint64_t deadline = socket_deadline(tcp->socket.send_ns);

    while (tcp->phase == TCP_CONNECTING) {
        int error = socket_wait(&tcp->socket, 0, deadline);

        if (error)
            return error == -EAGAIN ? -EINPROGRESS : error;
    }
    if (tcp->phase != TCP_CONNECTED)
        return report_failure(tcp);
    tcp->told = true;
    return 0;
}

/* Sends the SYN. Returns 0 or -errno. */
static int start_connecting(struct tcp_socket *tcp, const ip_addr_t *address,
                            uint16_t port)
{
    err_t failure;
    int error = need_pcb(tcp);

    if (error)
        return error;
    inet_apply_switches(&tcp->socket, (struct ip_pcb *)tcp->pcb);
    tcp->phase = TCP_CONNECTING;
    failure = tcp_connect(tcp->pcb, address, port, socket_tcp_connected);
    if (failure != ERR_OK) {
        tcp->phase = TCP_IDLE;
        /* All local ports are taken. */
        return failure == ERR_BUF || failure == ERR_USE ? -EADDRNOTAVAIL
                                                        : inet_errno(failure);
    }
    ip_addr_copy(tcp->remote, *address);
    tcp->remote_port = port;
    return 0;
}

static int connect_idle(struct tcp_socket *tcp, const struct socket_name *name)
{
    struct netif *netif;
    ip_addr_t address;
    uint16_t port;
    int error = inet_read_name(&tcp->socket, name, &address, &port);

    if (!error && tcp->only_ip6 && !IP_IS_V6_VAL(address))
        error = -ENETUNREACH;
    if (!error)
        error = inet_find_route(&address, &netif);
    if (!error &&
        (ip_addr_ismulticast(&address) || ip_addr_isbroadcast(&address, netif)))
        error = -ENETUNREACH;
    /* Nobody is at port 0. */
    if (!error && port == 0)
        error = -ECONNREFUSED;
    if (error)
        return error;
    inet_enter();
    error = start_connecting(tcp, &address, port);
    inet_leave();
    return error;
}

static int connect_tcp(struct socket *socket, const struct socket_name *name)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    bool waits = !(socket->file->flags & O_NONBLOCK);
    int error;

    if (name->bytes < sizeof(sa_family_t))
        return -EINVAL;
    if (name->any.sa_family == AF_UNSPEC) {
        reset(tcp);
        return 0;
    }
    switch (tcp->phase) {
    case TCP_IDLE:
        error = connect_idle(tcp, name);
        if (error)
            return error;
        return waits ? wait_connected(tcp) : -EINPROGRESS;
    case TCP_CONNECTING:
        return waits ? wait_connected(tcp) : -EALREADY;
    case TCP_OVER:
        return tcp->failed ? report_failure(tcp) : -EISCONN;
    case TCP_CONNECTED:
        if (!tcp->told) {
            tcp->told = true;
            return 0;
        }
        return -EISCONN;
    default:
        return -EISCONN;
    }
}

/* ---- shutdown, names ----------------------------------------------------- */

static int shutdown_tcp(struct socket *socket, int how)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int error = 0;

    if (tcp->phase == TCP_LISTENING && how != SHUT_WR) {
        reset(tcp);
        socket_wake(socket, EPOLLIN | EPOLLHUP);
        return 0;
    }
    if (tcp->phase != TCP_CONNECTED)
        return -ENOTCONN;
    inet_enter();
    if (how != SHUT_RD && !tcp->shut_write) {
        tcp->shut_write = true;
        if (tcp->pcb)
            error = inet_errno(tcp_shutdown(tcp->pcb, 0, 1));
    }
    if (how != SHUT_WR)
        tcp->shut_read = true;
    inet_leave();
    socket_wake(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    return error;
}

static int get_name(struct socket *socket, bool peer, struct socket_name *name)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    static const ip_addr_t none;

    if (peer) {
        if (tcp->phase != TCP_CONNECTED)
            return -ENOTCONN;
        inet_write_name(socket, &tcp->remote, tcp->remote_port, name);
    } else if (tcp->phase == TCP_CONNECTED || tcp->phase == TCP_OVER) {
        inet_write_name(socket, &tcp->local, tcp->local_port, name);
    } else if (tcp->pcb) {
        inet_write_name(socket, &tcp->pcb->local_ip, tcp->pcb->local_port,
                        name);
    } else {
        inet_write_name(socket, &none, 0, name);
    }
    return 0;
}

static const struct socket_ops tcp_ops = {
    .bind = bind_tcp,
    .connect = connect_tcp,
    .listen = listen_tcp,
    .accept = accept_tcp,
    .send = socket_tcp_send,
    .receive = socket_tcp_receive,
    .shutdown = shutdown_tcp,
    .get_name = get_name,
    .set_option = socket_tcp_set_option,
    .get_option = socket_tcp_get_option,
    .poll = socket_tcp_poll,
    .ioctl = socket_tcp_ioctl,
    .release = release,
};

struct tcp_socket *socket_tcp_alloc(int domain)
{
    struct tcp_socket *tcp = socket_alloc(sizeof(*tcp));

    if (!tcp)
        return NULL;
    socket_init(&tcp->socket, &tcp_ops, domain, SOCK_STREAM, IPPROTO_TCP);
    tcp->socket.send_limit = 16384; /* as Linux says; lwIP has more */
    tcp->socket.receive_limit = 131072;
    return tcp;
}

int inet_tcp_create(int domain, struct socket **socket)
{
    struct tcp_socket *tcp = socket_tcp_alloc(domain);

    if (!tcp)
        return -ENOBUFS;
    if (need_pcb(tcp)) {
        socket_free(tcp);
        return -ENOBUFS;
    }
    *socket = &tcp->socket;
    return 0;
}
