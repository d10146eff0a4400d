/* SPDX-License-Identifier: MIT */
/* Sockets over the virtio socket device: options. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "guest_rt/socket_vsock.h"

#define TTL           64    /* Linux's */
#define SEGMENT_BYTES 65483 /* TCP_MAXSEG, as of Linux's loopback */

enum { TCP_STATE_ESTABLISHED = 1, TCP_STATE_CLOSED = 7, TCP_STATE_LISTEN = 10 };

void socket_vsock_inherit(struct vsock_socket *one,
                          const struct vsock_socket *listener)
{
    socket_inherit(&one->socket, &listener->socket);
    one->only_ip6 = listener->only_ip6;
    one->settings = listener->settings;
    one->tos = listener->tos;
    one->ttl = listener->ttl;
    one->vm_bytes = listener->vm_bytes;
}

/* ---- Setting ------------------------------------------------------------- */

/* -1 is what it is without being set. */
static int set_ttl(struct vsock_socket *one, int number)
{
    if (number != -1 && (number < 1 || number > 255))
        return -EINVAL;
    one->ttl = number == -1 ? 0 : (uint8_t)number;
    return 0;
}

static int set_ip4(struct vsock_socket *one, int option, int number)
{
    switch (option) {
    case IP_TTL:
        return set_ttl(one, number);
    case IP_TOS:
        one->tos = (uint8_t)number;
        return 0;
    case IP_MTU_DISCOVER:
    case IP_RECVERR:
    case IP_FREEBIND:
    case IP_BIND_ADDRESS_NO_PORT:
    case IP_RECVTOS:
    case IP_RECVTTL:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ip6(struct vsock_socket *one, int option, int number)
{
    switch (option) {
    case IPV6_V6ONLY:
        if (one->phase != VSOCK_IDLE || one->bound)
            return -EINVAL;
        one->only_ip6 = number != 0;
        return 0;
    case IPV6_UNICAST_HOPS:
        return set_ttl(one, number);
    case IPV6_TCLASS:
        one->tos = number < 0 ? 0 : (uint8_t)number;
        return 0;
    case IPV6_MTU_DISCOVER:
    case IPV6_RECVERR:
    case IPV6_RECVTCLASS:
    case IPV6_RECVHOPLIMIT:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_inet(struct vsock_socket *one, int level, int option,
                    const void *value, socklen_t bytes)
{
    int number, error = option_read_number(value, bytes, &number);

    if (error)
        return error;
    switch (level) {
    case IPPROTO_TCP:
        if (option == TCP_CONGESTION)
            return 0;
        /* The host's TCP does all that: what is set is remembered. */
        return bytes < sizeof(int)
                   ? -EINVAL
                   : tcp_settings_set(&one->settings, option, number);
    case IPPROTO_IP:
        return set_ip4(one, option, number);
    case IPPROTO_IPV6:
        return one->socket.domain == AF_INET6 ? set_ip6(one, option, number)
                                              : -ENOPROTOOPT;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_vm(struct vsock_socket *one, int option, const void *value,
                  socklen_t bytes)
{
    uint64_t number;

    switch (option) {
    case SO_VM_SOCKETS_BUFFER_SIZE:
        if (bytes < sizeof(number))
            return -EINVAL;
        memcpy(&number, value, sizeof(number));
        if (number < 4096)
            number = 4096;
        if (number > SOCKET_LIMIT_MAX)
            number = SOCKET_LIMIT_MAX;
        one->vm_bytes = number;
        one->socket.receive_limit = (uint32_t)number;
        return 0;
    case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
    case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD:
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
        return bytes < sizeof(number) ? -EINVAL : 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_vsock_set_option(struct socket *socket, int level, int option,
                            const void *value, socklen_t bytes)
{
    struct vsock_socket *one = vsock_socket_of(socket);

    if (level == SOL_SOCKET)
        return 0;
    if (vsock_is_inet(one))
        return set_inet(one, level, option, value, bytes);
    return level == AF_VSOCK ? set_vm(one, option, value, bytes) : -ENOPROTOOPT;
}

/* ---- Getting ------------------------------------------------------------- */

static int get_info(const struct vsock_socket *one, void *value,
                    socklen_t *bytes)
{
    struct tcp_info info = {
        .tcpi_state = one->phase == VSOCK_CONNECTED   ? TCP_STATE_ESTABLISHED
                      : one->phase == VSOCK_LISTENING ? TCP_STATE_LISTEN
                                                      : TCP_STATE_CLOSED,
        .tcpi_snd_mss = SEGMENT_BYTES,
        .tcpi_rcv_mss = SEGMENT_BYTES,
        .tcpi_rcv_space = one->socket.receive_limit,
    };

    return option_give(value, bytes, &info, sizeof(info));
}

static int get_tcp(const struct vsock_socket *one, int option, int *number)
{
    if (option != TCP_MAXSEG)
        return tcp_settings_get(&one->settings, option, number);
    *number = one->phase == VSOCK_CONNECTED ? SEGMENT_BYTES : 536;
    return 0;
}

static int get_ip(const struct vsock_socket *one, int level, int option,
                  int *number)
{
    bool ip6 = level == IPPROTO_IPV6 && one->socket.domain == AF_INET6;

    *number = 0;
    if (!ip6 && level != IPPROTO_IP)
        return -ENOPROTOOPT;
    if (option == (ip6 ? IPV6_UNICAST_HOPS : IP_TTL))
        *number = one->ttl ? one->ttl : TTL;
    else if (option == (ip6 ? IPV6_TCLASS : IP_TOS))
        *number = one->tos;
    else if (ip6 && option == IPV6_V6ONLY)
        *number = one->only_ip6;
    else if (ip6 || (option != IP_MTU_DISCOVER && option != IP_FREEBIND))
        return -ENOPROTOOPT;
    return 0;
}

static int get_vm(const struct vsock_socket *one, int option, void *value,
                  socklen_t *bytes)
{
    uint64_t number = one->vm_bytes ? one->vm_bytes : 131072;

    if (option == SO_VM_SOCKETS_BUFFER_MIN_SIZE)
        number = 4096;
    else if (option == SO_VM_SOCKETS_BUFFER_MAX_SIZE)
        number = SOCKET_LIMIT_MAX;
    else if (option != SO_VM_SOCKETS_BUFFER_SIZE)
        return -ENOPROTOOPT;
    if (*bytes < sizeof(number))
        return -EINVAL;
    return option_give(value, bytes, &number, sizeof(number));
}

int socket_vsock_get_option(struct socket *socket, int level, int option,
                            void *value, socklen_t *bytes)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    int number, error;

    if (level == SOL_SOCKET)
        return option == SO_ACCEPTCONN
                   ? option_give_number(value, bytes,
                                        one->phase == VSOCK_LISTENING)
                   : -ENOPROTOOPT;
    if (!vsock_is_inet(one))
        return level == AF_VSOCK ? get_vm(one, option, value, bytes)
                                 : -ENOPROTOOPT;
    if (level == IPPROTO_TCP && option == TCP_INFO)
        return get_info(one, value, bytes);
    error = level == IPPROTO_TCP ? get_tcp(one, option, &number)
                                 : get_ip(one, level, option, &number);
    return error ? error : option_give_number(value, bytes, number);
}
