/* SPDX-License-Identifier: MIT */
/* UDP sockets. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/socket_udp.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"

#define DATAGRAM_MAX 65507u /* 65535 without the headers of IPv4 and UDP */

/* What a queued datagram counts for besides its bytes. */
#define DATAGRAM_COST 512u

struct datagram {
    struct datagram *next;
    struct pbuf *data;
    ip_addr_t from;
    uint16_t port;
};

static struct udp_socket *udp_of(struct socket *socket)
{
    return (struct udp_socket *)socket;
}

/* ---- Receiving ----------------------------------------------------------- */

/* lwIP has a datagram for this socket. */
static void received(void *argument, struct udp_pcb *pcb, struct pbuf *data,
                     const ip_addr_t *from, u16_t port)
{
    struct udp_socket *udp = argument;
    uint32_t cost = DATAGRAM_COST + data->tot_len;
    struct datagram *datagram = NULL;

    (void)pcb;
    if (udp->queued + cost <= udp->socket.receive_limit || !udp->first)
        datagram = socket_alloc(sizeof(*datagram));
    if (!datagram) {
        pbuf_free(data); /* there is no room: it is lost, as it may be */
        return;
    }
    datagram->data = data;
    ip_addr_copy(datagram->from, *from);
    datagram->port = port;
    if (udp->led)
        inet_lead_answer(&datagram->from, port);
    if (udp->last)
        udp->last->next = datagram;
    else
        udp->first = datagram;
    udp->last = datagram;
    udp->queued += cost;
    socket_wake(&udp->socket, EPOLLIN | EPOLLRDNORM);
}

static void drop_first(struct udp_socket *udp)
{
    struct datagram *datagram = udp->first;

    udp->first = datagram->next;
    if (!udp->first)
        udp->last = NULL;
    udp->queued -= DATAGRAM_COST + datagram->data->tot_len;
    pbuf_free(datagram->data);
    socket_free(datagram);
}

static long take_first(struct udp_socket *udp, struct socket_message *message)
{
    const struct datagram *datagram = udp->first;
    size_t done = 0, whole = datagram->data->tot_len;

    for (const struct pbuf *each = datagram->data; each; each = each->next)
        done += socket_copy_out(message, done, each->payload, each->len);
    if (message->name)
        inet_write_name(&udp->socket, &datagram->from, datagram->port,
                        message->name);
    if (done < whole)
        message->result_flags |= MSG_TRUNC;
    if (!(message->flags & MSG_PEEK))
        drop_first(udp);
    return (long)(message->flags & MSG_TRUNC ? whole : done);
}

static long receive_udp(struct socket *socket, struct socket_message *message)
{
    struct udp_socket *udp = udp_of(socket);
    uint64_t deadline = socket_deadline(socket->receive_ns);
    int error;

    if (!udp->first)
        inet_poll();
    while (!udp->first) {
        if (socket->error)
            return socket_take_error(socket);
        if (udp->shut_read)
            return 0;
        error = socket_wait(socket, message->flags, deadline);
        if (error)
            return error;
    }
    return take_first(udp, message);
}

/* ---- Sending ------------------------------------------------------------- */

/* Where the message goes. Returns 0 or -errno. */
static int find_peer(struct udp_socket *udp,
                     const struct socket_message *message, ip_addr_t *to,
                     uint16_t *port)
{
    int error;

    if (message->name) {
        error = inet_read_name(&udp->socket, message->name, to, port);
        if (error)
            return error;
        return *port ? 0 : -EINVAL;
    }
    if (!udp->connected)
        return -EDESTADDRREQ;
    ip_addr_copy(*to, udp->pcb->remote_ip);
    *port = udp->pcb->remote_port;
    return 0;
}

/* The datagram's checksum is ours to compute if it leaves in pieces. */
static err_t send_pieces(struct udp_socket *udp, struct pbuf *data,
                         const ip_addr_t *to, uint16_t port,
                         struct netif *netif)
{
    u16_t kept = netif->chksum_flags;
    bool whole = !netif->mtu || data->tot_len + 48u <= netif->mtu;
    err_t error;

    if (!whole)
        netif->chksum_flags |= NETIF_CHECKSUM_GEN_UDP;
    error = udp_sendto(udp->pcb, data, to, port);
    if (!whole)
        netif->chksum_flags =
            (u16_t)((netif->chksum_flags & ~NETIF_CHECKSUM_GEN_UDP) |
                    (kept & NETIF_CHECKSUM_GEN_UDP));
    return error;
}

static long send_datagram(struct udp_socket *udp,
                          const struct socket_message *message,
                          const ip_addr_t *to, uint16_t port,
                          struct netif *netif)
{
    struct pbuf *data;
    err_t error;

    inet_enter();
    data = pbuf_alloc(PBUF_TRANSPORT, (u16_t)message->bytes, PBUF_RAM);
    if (!data) {
        inet_leave();
        return -ENOBUFS;
    }
    socket_copy_in(message, 0, data->payload, message->bytes);
    error = send_pieces(udp, data, to, port, netif);
    pbuf_free(data);
    inet_leave();
    /* A card without room loses it, as any router on its way might. */
    if (error == ERR_OK || error == ERR_MEM)
        return (long)message->bytes;
    return inet_errno(error);
}

static long send_udp(struct socket *socket, struct socket_message *message)
{
    struct udp_socket *udp = udp_of(socket);
    struct netif *netif;
    ip_addr_t to;
    uint16_t port;
    int error;

    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (message->bytes > 0xffff)
        return -EMSGSIZE;
    if (udp->shut_write)
        return socket_broken_pipe(message->flags);
    if (socket->error)
        return socket_take_error(socket);
    /* Even if it leads nowhere. */
    if (!udp->pcb->local_port)
        udp_bind(udp->pcb, &udp->pcb->local_ip, 0);
    error = find_peer(udp, message, &to, &port);
    if (!error && inet_lead_query(&to, port))
        udp->led = true;
    if (!error && message->bytes > DATAGRAM_MAX)
        error = -EMSGSIZE;
    if (!error)
        error = inet_find_route(&to, &netif);
    if (!error && ip_addr_isbroadcast(&to, netif) &&
        !(socket->booleans & SOCKET_BROADCAST))
        error = -EACCES;
    return error ? error : send_datagram(udp, message, &to, port, netif);
}

/* ---- Names --------------------------------------------------------------- */

static int bind_udp(struct socket *socket, const struct socket_name *name)
{
    struct udp_socket *udp = udp_of(socket);
    ip_addr_t address;
    uint16_t port;
    int error =
        inet_read_own_name(socket, udp->only_ip6, name, &address, &port);

    if (error)
        return error;
    if (udp->pcb->local_port)
        return -EINVAL;
    inet_enter();
    inet_apply_switches(socket, (struct ip_pcb *)udp->pcb);
    error = inet_errno(udp_bind(udp->pcb, &address, port));
    inet_leave();
    return error;
}

/* From now on the source address is fixed, as on Linux. */
static void fix_source(struct udp_socket *udp, struct netif *netif,
                       const ip_addr_t *to)
{
    const ip_addr_t *from = ip_netif_get_local_ip(netif, to);

    if (from && (ip_addr_isany(&udp->pcb->local_ip) ||
                 IP_IS_ANY_TYPE_VAL(udp->pcb->local_ip))) {
        ip_addr_copy(udp->pcb->local_ip, *from);
        udp->fixed = true;
    }
}

static void disconnect(struct udp_socket *udp)
{
    udp_disconnect(udp->pcb);
    udp->connected = false;
    if (udp->fixed) {
        udp->fixed = false;
        ip_addr_copy(
            udp->pcb->local_ip,
            *(udp->socket.domain == AF_INET ? IP4_ADDR_ANY : IP_ANY_TYPE));
    }
}

static int connect_udp(struct socket *socket, const struct socket_name *name)
{
    struct udp_socket *udp = udp_of(socket);
    struct netif *netif;
    ip_addr_t to;
    uint16_t port;
    int error;

    if (name->bytes >= sizeof(sa_family_t) &&
        name->any.sa_family == AF_UNSPEC) {
        disconnect(udp);
        return 0;
    }
    error = inet_read_name(socket, name, &to, &port);
    if (!error)
        error = inet_find_route(&to, &netif);
    if (error)
        return error;
    inet_enter();
    disconnect(udp);
    inet_apply_switches(socket, (struct ip_pcb *)udp->pcb);
    error = inet_errno(udp_connect(udp->pcb, &to, port));
    if (!error) {
        udp->connected = true;
        fix_source(udp, netif, &to);
    }
    inet_leave();
    return error;
}

static int get_name(struct socket *socket, bool peer, struct socket_name *name)
{
    struct udp_socket *udp = udp_of(socket);

    if (peer && !udp->connected)
        return -ENOTCONN;
    if (peer)
        inet_write_name(socket, &udp->pcb->remote_ip, udp->pcb->remote_port,
                        name);
    else
        inet_write_name(socket, &udp->pcb->local_ip, udp->pcb->local_port,
                        name);
    return 0;
}

/* ---- The rest ------------------------------------------------------------ */

static int shutdown_udp(struct socket *socket, int how)
{
    struct udp_socket *udp = udp_of(socket);

    if (!udp->connected)
        return -ENOTCONN;
    if (how != SHUT_WR)
        udp->shut_read = true;
    if (how != SHUT_RD)
        udp->shut_write = true;
    socket_wake(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    return 0;
}

static uint32_t poll_udp(struct socket *socket)
{
    struct udp_socket *udp = udp_of(socket);
    uint32_t events = EPOLLOUT | EPOLLWRNORM;

    if (udp->first || udp->shut_read)
        events |= EPOLLIN | EPOLLRDNORM;
    if (udp->shut_read)
        events |= EPOLLRDHUP;
    if (udp->shut_read && udp->shut_write)
        events |= EPOLLHUP;
    if (socket->error)
        events |= EPOLLERR;
    return events;
}

static long control(struct socket *socket, unsigned request, long argument)
{
    struct udp_socket *udp = udp_of(socket);

    switch (request) {
    case FIONREAD:
        *(int *)argument = udp->first ? udp->first->data->tot_len : 0;
        return 0;
    case SIOCOUTQ:
        *(int *)argument = 0;
        return 0;
    default:
        return inet_interface_ioctl(request, argument);
    }
}

static void release(struct socket *socket)
{
    struct udp_socket *udp = udp_of(socket);

    inet_enter();
    socket_udp_leave_groups(udp);
    udp_remove(udp->pcb);
    while (udp->first)
        drop_first(udp);
    socket_free(udp);
    inet_leave();
}

static const struct socket_ops udp_ops = {
    .bind = bind_udp,
    .connect = connect_udp,
    .send = send_udp,
    .receive = receive_udp,
    .shutdown = shutdown_udp,
    .get_name = get_name,
    .set_option = socket_udp_set_option,
    .get_option = socket_udp_get_option,
    .poll = poll_udp,
    .ioctl = control,
    .release = release,
};

int inet_udp_create(int domain, struct socket **socket)
{
    struct udp_socket *udp = socket_alloc(sizeof(*udp));

    if (!udp)
        return -ENOBUFS;
    socket_init(&udp->socket, &udp_ops, domain, SOCK_DGRAM, IPPROTO_UDP);
    udp->pcb =
        udp_new_ip_type(domain == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_ANY);
    if (!udp->pcb) {
        socket_free(udp);
        return -ENOBUFS;
    }
    udp->pcb->ttl = 64;
    udp->pcb->mcast_ttl = 1;
    udp->pcb->flags |= UDP_FLAGS_MULTICAST_LOOP;
    udp_recv(udp->pcb, received, udp);
    *socket = &udp->socket;
    return 0;
}
