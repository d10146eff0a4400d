/* SPDX-License-Identifier: MIT */
/* TCP sockets: options. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "guest_rt/socket_tcp.h"

/* musl's <netinet/tcp.h> and lwIP's states have names in common; ours count. */

#define KEEP_SECONDS_MAX 32767
#define KEEP_COUNT_MAX   127

static struct ip_pcb *ip_of(struct tcp_socket *tcp)
{
    return (struct ip_pcb *)tcp->pcb;
}

/* Whether the pcb is one of a connection, not a listening one. */
static bool has_connection(const struct tcp_socket *tcp)
{
    return tcp->pcb && tcp->phase != TCP_LISTENING;
}

void socket_tcp_apply(struct tcp_socket *tcp)
{
    if (!has_connection(tcp))
        return;
    inet_apply_switches(&tcp->socket, ip_of(tcp));
    if (tcp->keep_idle)
        tcp->pcb->keep_idle = tcp->keep_idle * 1000;
    if (tcp->keep_interval)
        tcp->pcb->keep_intvl = tcp->keep_interval * 1000;
    if (tcp->keep_count)
        tcp->pcb->keep_cnt = tcp->keep_count;
}

void socket_tcp_inherit(struct tcp_socket *tcp,
                        const struct tcp_socket *listener)
{
    const struct socket *from = &listener->socket;
    struct socket *to = &tcp->socket;

    to->booleans = from->booleans;
    to->linger = from->linger;
    to->receive_ns = from->receive_ns;
    to->send_ns = from->send_ns;
    to->receive_limit = from->receive_limit;
    to->send_limit = from->send_limit;
    to->low_water = from->low_water;
    tcp->limited = listener->limited;
    tcp->nodelay = listener->nodelay;
    tcp->only_ip6 = listener->only_ip6;
    tcp->keep_idle = listener->keep_idle;
    tcp->keep_interval = listener->keep_interval;
    tcp->keep_count = listener->keep_count;
    socket_tcp_apply(tcp);
}

/* ---- Setting ------------------------------------------------------------- */

static int set_keep(uint32_t *kept, int number, int most)
{
    if (number < 1 || number > most)
        return -EINVAL;
    *kept = (uint32_t)number;
    return 0;
}

/* What waited for the option to change leaves. */
static void push(struct tcp_socket *tcp)
{
    if (!has_connection(tcp))
        return;
    inet_enter();
    socket_tcp_push(tcp, false);
    inet_leave();
}

static int set_tcp(struct tcp_socket *tcp, int option, int number)
{
    int error = 0;

    switch (option) {
    case TCP_NODELAY:
        tcp->nodelay = number != 0;
        push(tcp);
        return 0;
    case TCP_CORK:
        tcp->cork = number != 0;
        if (!number)
            push(tcp);
        return 0;
    case TCP_KEEPIDLE:
        error = set_keep(&tcp->keep_idle, number, KEEP_SECONDS_MAX);
        break;
    case TCP_KEEPINTVL:
        error = set_keep(&tcp->keep_interval, number, KEEP_SECONDS_MAX);
        break;
    case TCP_KEEPCNT:
        error = set_keep(&tcp->keep_count, number, KEEP_COUNT_MAX);
        break;
    case TCP_MAXSEG:
    case TCP_SYNCNT:
    case TCP_LINGER2:
    case TCP_DEFER_ACCEPT:
    case TCP_WINDOW_CLAMP:
    case TCP_QUICKACK:
    case TCP_USER_TIMEOUT:
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
    case TCP_NOTSENT_LOWAT:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
    if (!error)
        socket_tcp_apply(tcp);
    return error;
}

int socket_tcp_set_option(struct socket *socket, int level, int option,
                          const void *value, socklen_t bytes)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int number, error;

    if (level == SOL_SOCKET && option == SO_SNDBUF)
        tcp->limited = true;
    if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY) {
        error = inet_read_number(value, bytes, &number);
        if (error || socket->domain != AF_INET6)
            return error ? error : -ENOPROTOOPT;
        if (tcp->phase != TCP_IDLE || (tcp->pcb && tcp->pcb->local_port))
            return -EINVAL;
        tcp->only_ip6 = number != 0;
        return 0;
    }
    if (level != IPPROTO_TCP)
        return inet_set_option(socket, ip_of(tcp), level, option, value, bytes);
    if (option == TCP_CONGESTION)
        return 0;
    if (bytes < sizeof(int))
        return -EINVAL;
    error = inet_read_number(value, bytes, &number);
    return error ? error : set_tcp(tcp, option, number);
}

/* ---- Getting ------------------------------------------------------------- */

/* lwIP's states as Linux numbers them. */
static uint8_t linux_state(const struct tcp_socket *tcp)
{
    static const uint8_t states[] = {
        [CLOSED] = 7,      [LISTEN] = 10,    [SYN_SENT] = 2,   [SYN_RCVD] = 3,
        [ESTABLISHED] = 1, [FIN_WAIT_1] = 4, [FIN_WAIT_2] = 5, [CLOSE_WAIT] = 8,
        [CLOSING] = 11,    [LAST_ACK] = 9,   [TIME_WAIT] = 6,
    };

    return tcp->pcb ? states[tcp->pcb->state] : 7;
}

static int get_info(const struct tcp_socket *tcp, void *value, socklen_t *bytes)
{
    struct tcp_info info = {.tcpi_state = linux_state(tcp)};
    const struct tcp_pcb *pcb = tcp->pcb;

    if (has_connection(tcp)) {
        info.tcpi_rto = (uint32_t)pcb->rto * TCP_SLOW_INTERVAL * 1000u;
        info.tcpi_snd_mss = inet_tcp_real_mss(pcb);
        info.tcpi_rcv_mss = info.tcpi_snd_mss;
        info.tcpi_rtt = (uint32_t)(pcb->sa >> 3) * TCP_SLOW_INTERVAL * 1000u;
        info.tcpi_snd_cwnd = pcb->cwnd / info.tcpi_snd_mss;
        info.tcpi_snd_ssthresh = pcb->ssthresh / info.tcpi_snd_mss;
        info.tcpi_retransmits = pcb->nrtx;
        info.tcpi_unacked = (pcb->snd_nxt - pcb->lastack) / info.tcpi_snd_mss;
        info.tcpi_rcv_space = TCP_WND;
        info.tcpi_options = TCPI_OPT_SACK | TCPI_OPT_WSCALE;
        info.tcpi_snd_wscale = pcb->snd_scale;
        info.tcpi_rcv_wscale = pcb->rcv_scale;
    }
    if (*bytes > sizeof(info))
        *bytes = sizeof(info);
    memcpy(value, &info, *bytes);
    return 0;
}

static int get_tcp(struct tcp_socket *tcp, int option, int *number)
{
    switch (option) {
    case TCP_NODELAY:
        *number = tcp->nodelay;
        return 0;
    case TCP_CORK:
        *number = tcp->cork;
        return 0;
    case TCP_MAXSEG:
        *number = has_connection(tcp) && tcp->phase == TCP_CONNECTED
                      ? inet_tcp_real_mss(tcp->pcb)
                      : 536;
        return 0;
    case TCP_KEEPIDLE:
        *number = tcp->keep_idle ? (int)tcp->keep_idle : 7200;
        return 0;
    case TCP_KEEPINTVL:
        *number = tcp->keep_interval ? (int)tcp->keep_interval : 75;
        return 0;
    case TCP_KEEPCNT:
        *number = tcp->keep_count ? (int)tcp->keep_count : 9;
        return 0;
    case TCP_QUICKACK:
        *number = 1;
        return 0;
    case TCP_DEFER_ACCEPT:
    case TCP_USER_TIMEOUT:
    case TCP_FASTOPEN:
        *number = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_tcp_get_option(struct socket *socket, int level, int option,
                          void *value, socklen_t *bytes)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int number, error;

    if (level == SOL_SOCKET)
        return option == SO_ACCEPTCONN
                   ? inet_give_number(value, bytes, tcp->phase == TCP_LISTENING)
                   : -ENOPROTOOPT;
    if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY &&
        socket->domain == AF_INET6)
        return inet_give_number(value, bytes, tcp->only_ip6);
    if (level != IPPROTO_TCP)
        return inet_get_option(socket, ip_of(tcp), level, option, value, bytes);
    if (option == TCP_INFO)
        return get_info(tcp, value, bytes);
    error = get_tcp(tcp, option, &number);
    return error ? error : inet_give_number(value, bytes, number);
}
