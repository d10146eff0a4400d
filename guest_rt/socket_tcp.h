/* SPDX-License-Identifier: MIT */
/* TCP sockets: what their parts know of each other. */
#ifndef GUEST_RT_SOCKET_TCP_H
#define GUEST_RT_SOCKET_TCP_H

/*
 * A socket goes from TCP_IDLE to LISTENING, or over CONNECTING to CONNECTED,
 * and ends OVER. lwIP's pcb is the socket's as long as `pcb` is not NULL: when
 * the connection has ended for lwIP, or goes on without the socket (TIME_WAIT),
 * the pointer is cleared; what was received stays readable.
 *
 * socket_tcp.c opens and ends connections, socket_tcp_data.c moves data,
 * socket_tcp_events.c is called by lwIP, socket_tcp_option.c has the options.
 */

#include "lwip/priv/tcp_priv.h"
#include "socket_inet.h"
#include "socket_settings.h"

enum tcp_phase {
    TCP_IDLE,
    TCP_LISTENING,
    TCP_CONNECTING,
    TCP_CONNECTED,
    TCP_OVER,
};

struct tcp_socket {
    struct socket socket;
    enum tcp_phase phase;
    struct tcp_pcb *pcb;     /* or a listening one; see above */
    ip_addr_t local, remote; /* once connected */
    uint16_t local_port, remote_port;
    bool failed;  /* connect() has not told yet why it ended */
    bool told;    /* connect() has said that it is connected */
    bool got_end; /* the peer's FIN */
    bool shut_read, shut_write;
    bool full; /* somebody was told that there is no room */
    bool only_ip6;
    bool limited; /* SO_SNDBUF was set */
    struct tcp_settings settings;

    /* Received: pbufs linked by next; tot_len is not kept up. */
    struct pbuf *first, *last;
    size_t taken;    /* of the first one */
    size_t received; /* bytes left in all */

    /* A listening one's connections to accept; theirs. */
    struct tcp_socket *pending_first, *pending_last;
    unsigned pending, backlog;
    struct tcp_socket *listener, *pending_next;
};

static inline struct tcp_socket *tcp_socket_of(struct socket *socket)
{
    return (struct tcp_socket *)socket;
}

/* ---- socket_tcp.c ---- */

/* A new one without a pcb, or NULL. */
struct tcp_socket *socket_tcp_alloc(int domain);

/* Makes `pcb` the socket's own: its events come here. */
void socket_tcp_attach(struct tcp_socket *tcp, struct tcp_pcb *pcb);

/* Lets go of the pcb, which lwIP has freed or goes on with alone. */
void socket_tcp_detach(struct tcp_socket *tcp);

/* ---- socket_tcp_events.c ---- */

err_t socket_tcp_connected(void *socket, struct tcp_pcb *pcb, err_t error);
err_t socket_tcp_accepted(void *listener, struct tcp_pcb *pcb, err_t error);
err_t socket_tcp_received(void *socket, struct tcp_pcb *pcb, struct pbuf *data,
                          err_t error);
err_t socket_tcp_sent(void *socket, struct tcp_pcb *pcb, u16_t bytes);
void socket_tcp_failed(void *socket, err_t error);

/* Takes SYNs, or none while the queue is full. */
void socket_tcp_set_backlog(struct tcp_socket *listener);

/* ---- socket_tcp_data.c ---- */

long socket_tcp_send(struct socket *socket, struct socket_message *message);
long socket_tcp_receive(struct socket *socket, struct socket_message *message);
uint32_t socket_tcp_poll(struct socket *socket);
long socket_tcp_ioctl(struct socket *socket, unsigned request, long argument);

/* How many bytes may be written now. */
size_t socket_tcp_room(const struct tcp_socket *tcp);

/* Whether poll() says that it can be written to: a third of it is free. */
bool socket_tcp_is_writable(const struct tcp_socket *tcp);

/* Lets go what was written, if Nagle and TCP_CORK do; `more` is to come. */
void socket_tcp_push(struct tcp_socket *tcp, bool more);

/* Frees what was received and not read. */
void socket_tcp_drop_received(struct tcp_socket *tcp);

/* ---- socket_tcp_option.c ---- */

int socket_tcp_set_option(struct socket *socket, int level, int option,
                          const void *value, socklen_t bytes);
int socket_tcp_get_option(struct socket *socket, int level, int option,
                          void *value, socklen_t *bytes);

/* Gives a pcb what was set before there was one. */
void socket_tcp_apply(struct tcp_socket *tcp);

/* What an accepted connection has from its listener. */
void socket_tcp_inherit(struct tcp_socket *tcp,
                        const struct tcp_socket *listener);

#endif
