/* SPDX-License-Identifier: MIT */
/* TCP sockets: what lwIP tells them. */
#include "guest_rt/socket_tcp.h"

#include <errno.h>
#include <sys/epoll.h>

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)

/* Notes what the program may ask for when lwIP's pcb is gone. */
static void note_names(struct tcp_socket *tcp, const struct tcp_pcb *pcb)
{
    ip_addr_copy(tcp->local, pcb->local_ip);
    ip_addr_copy(tcp->remote, pcb->remote_ip);
    tcp->local_port = pcb->local_port;
    tcp->remote_port = pcb->remote_port;
}

err_t socket_tcp_connected(void *socket, struct tcp_pcb *pcb, err_t error)
{
    struct tcp_socket *tcp = socket;

    (void)error; /* failures come to socket_tcp_failed() */
    if (!tcp)
        return ERR_OK;
    tcp->phase = TCP_CONNECTED;
    note_names(tcp, pcb);
    inet_tcp_tune(pcb);
    socket_wake(&tcp->socket, WRITABLE);
    return ERR_OK;
}

/* ---- Accepting ----------------------------------------------------------- */

void socket_tcp_set_backlog(struct tcp_socket *listener)
{
    struct tcp_pcb_listen *pcb = (struct tcp_pcb_listen *)listener->pcb;

    /* With none allowed, lwIP drops SYNs: the peer tries again. */
    if (pcb)
        pcb->backlog = listener->pending > listener->backlog ? 0 : 0xff;
}

err_t socket_tcp_accepted(void *listener, struct tcp_pcb *pcb, err_t error)
{
    struct tcp_socket *from = listener, *tcp;

    if (error != ERR_OK || !pcb || !from)
        return ERR_VAL;
    tcp = socket_tcp_alloc(from->socket.domain);
    if (!tcp)
        return ERR_MEM;
    tcp_backlog_accepted(pcb);
    socket_tcp_attach(tcp, pcb);
    tcp_nagle_disable(pcb);
    tcp->phase = TCP_CONNECTED;
    tcp->told = true;
    note_names(tcp, pcb);
    socket_tcp_inherit(tcp, from);
    inet_tcp_tune(pcb);
    tcp->listener = from;
    if (from->pending_last)
        from->pending_last->pending_next = tcp;
    else
        from->pending_first = tcp;
    from->pending_last = tcp;
    from->pending++;
    socket_tcp_set_backlog(from);
    socket_wake(&from->socket, READABLE);
    return ERR_OK;
}

/* ---- Data ---------------------------------------------------------------- */

static void append(struct tcp_socket *tcp, struct pbuf *data)
{
    if (tcp->last)
        tcp->last->next = data;
    else
        tcp->first = data;
    tcp->received += data->tot_len;
    while (data->next)
        data = data->next;
    tcp->last = data;
}

/*
 * The peer's end came. In these states lwIP goes on without telling more, and
 * frees the pcb when it likes.
 */
static void take_end(struct tcp_socket *tcp, struct tcp_pcb *pcb)
{
    tcp->got_end = true;
    if (pcb->state == TIME_WAIT || pcb->state == CLOSING) {
        tcp_arg(pcb, NULL);
        if (pcb->state == CLOSING) {
            tcp_recv(pcb, NULL);
            tcp_sent(pcb, NULL);
            tcp_err(pcb, NULL);
        }
        socket_tcp_detach(tcp);
        tcp->phase = TCP_OVER;
    }
    socket_wake(&tcp->socket,
                READABLE | EPOLLRDHUP | (tcp->shut_write ? EPOLLHUP : 0u));
}

err_t socket_tcp_received(void *socket, struct tcp_pcb *pcb, struct pbuf *data,
                          err_t error)
{
    struct tcp_socket *tcp = socket;

    (void)error;
    if (!tcp) {
        if (data) {
            tcp_recved(pcb, data->tot_len);
            pbuf_free(data);
        }
        return ERR_OK;
    }
    if (!data) {
        take_end(tcp, pcb);
        return ERR_OK;
    }
    /*
     * What the card or the host has put together are several segments, of which
     * every second one is acknowledged at once (RFC 5681, 4.2).
     */
    if (data->tot_len > inet_tcp_real_mss(pcb))
        tcp_ack_now(pcb);
    else if (pcb->flags & TF_ACK_DELAY)
        inet_time_ack();
    append(tcp, data);
    if (tcp->received >= tcp->socket.low_water)
        socket_wake(&tcp->socket, READABLE);
    return ERR_OK;
}

err_t socket_tcp_sent(void *socket, struct tcp_pcb *pcb, u16_t bytes)
{
    struct tcp_socket *tcp = socket;

    (void)bytes;
    inet_tcp_tune(pcb);
    if (tcp && tcp->full && socket_tcp_is_writable(tcp)) {
        tcp->full = false;
        socket_wake(&tcp->socket, WRITABLE);
    }
    return ERR_OK;
}

/* ---- The end ------------------------------------------------------------- */

/* lwIP has freed the pcb. */
void socket_tcp_failed(void *socket, err_t error)
{
    struct tcp_socket *tcp = socket;
    bool connecting;

    if (!tcp)
        return;
    connecting = tcp->phase == TCP_CONNECTING;
    socket_tcp_detach(tcp);
    tcp->phase = TCP_OVER;
    tcp->failed = connecting;
    /* ERR_CLSD: both ends were closed, and the last of it acknowledged. */
    if (error == ERR_RST)
        tcp->socket.error = connecting     ? ECONNREFUSED
                            : tcp->got_end ? EPIPE
                                           : ECONNRESET;
    else if (error != ERR_CLSD)
        tcp->socket.error = ETIMEDOUT;
    tcp->shut_read = tcp->shut_write = true;
    socket_wake(&tcp->socket, READABLE | WRITABLE | EPOLLRDHUP | EPOLLHUP |
                                  (tcp->socket.error ? EPOLLERR : 0u));
}
