/* SPDX-License-Identifier: MIT */
/* TCP sockets: options. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "guest_rt/socket_tcp.h"

/* musl's <netinet/tcp.h> and lwIP's states have names in common; ours count. */

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
    const struct tcp_settings *settings = &tcp->settings;

    if (!has_connection(tcp))
        return;
    inet_apply_switches(&tcp->socket, ip_of(tcp));
    if (settings->keep_idle)
        tcp->pcb->keep_idle = settings->keep_idle * 1000;
    if (settings->keep_interval)
        tcp->pcb->keep_intvl = settings->keep_interval * 1000;
    if (settings->keep_count)
        tcp->pcb->keep_cnt = settings->keep_count;
}

void socket_tcp_inherit(struct tcp_socket *tcp,
                        const struct tcp_socket *listener)
{
    socket_inherit(&tcp->socket, &listener->socket);
    tcp->limited = listener->limited;
    tcp->only_ip6 = listener->only_ip6;
    tcp->settings = listener->settings;
    socket_tcp_apply(tcp);
}

/* ---- Setting ------------------------------------------------------------- */

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
    int error = tcp_settings_set(&tcp->settings, option, number);

    if (error)
        return error;
    if (option == TCP_NODELAY || (option == TCP_CORK && !number))
        push(tcp);
    socket_tcp_apply(tcp);
    return 0;
}

int socket_tcp_set_option(struct socket *socket, int level, int option,
                          const void *value, socklen_t bytes)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int number, error;

    if (level == SOL_SOCKET && option == SO_SNDBUF)
        tcp->limited = true;
    if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY) {
        error = option_read_number(value, bytes, &number);
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
    error = option_read_number(value, bytes, &number);
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
    return option_give(value, bytes, &info, sizeof(info));
}

static int get_tcp(const struct tcp_socket *tcp, int option, int *number)
{
    if (option != TCP_MAXSEG)
        return tcp_settings_get(&tcp->settings, option, number);
    *number = has_connection(tcp) && tcp->phase == TCP_CONNECTED
                  ? inet_tcp_real_mss(tcp->pcb)
                  : 536;
    return 0;
}

int socket_tcp_get_option(struct socket *socket, int level, int option,
                          void *value, socklen_t *bytes)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int number, error;

    if (level == SOL_SOCKET)
        return option == SO_ACCEPTCONN
                   ? option_give_number(value, bytes,
                                        tcp->phase == TCP_LISTENING)
                   : -ENOPROTOOPT;
    if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY &&
        socket->domain == AF_INET6)
        return option_give_number(value, bytes, tcp->only_ip6);
    if (level != IPPROTO_TCP)
        return inet_get_option(socket, ip_of(tcp), level, option, value, bytes);
    if (option == TCP_INFO)
        return get_info(tcp, value, bytes);
    error = get_tcp(tcp, option, &number);
    return error ? error : option_give_number(value, bytes, number);
}
