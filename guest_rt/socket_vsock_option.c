/* SPDX-License-Identifier: MIT */
/* Sockets over the virtio socket device: options. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "guest_rt/socket_vsock.h"

#define KEEP_SECONDS_MAX 32767
#define KEEP_COUNT_MAX   127
#define TTL              64    /* Linux's */
#define SEGMENT_BYTES    65483 /* TCP_MAXSEG, as of Linux's loopback */

enum { TCP_STATE_ESTABLISHED = 1, TCP_STATE_CLOSED = 7, TCP_STATE_LISTEN = 10 };

void socket_vsock_inherit(struct vsock_socket *one,
                          const struct vsock_socket *listener)
{
    const struct socket *from = &listener->socket;
    struct socket *to = &one->socket;

    to->booleans = from->booleans;
    to->linger = from->linger;
    to->receive_ns = from->receive_ns;
    to->send_ns = from->send_ns;
    to->receive_limit = from->receive_limit;
    to->send_limit = from->send_limit;
    to->low_water = from->low_water;
    one->only_ip6 = listener->only_ip6;
    one->nodelay = listener->nodelay;
    one->cork = listener->cork;
    one->tos = listener->tos;
    one->ttl = listener->ttl;
    one->keep_idle = listener->keep_idle;
    one->keep_interval = listener->keep_interval;
    one->keep_count = listener->keep_count;
    one->vm_bytes = listener->vm_bytes;
}

static int read_number(const void *value, socklen_t bytes, int *number)
{
    if (bytes >= sizeof(*number))
        memcpy(number, value, sizeof(*number));
    else if (bytes >= 1)
        *number = *(const unsigned char *)value;
    else
        return -EINVAL;
    return 0;
}

/* Copies what there is room for. */
static int give(void *value, socklen_t *bytes, const void *from, size_t have)
{
    if (*bytes > have)
        *bytes = (socklen_t)have;
    memcpy(value, from, *bytes);
    return 0;
}

static int give_number(void *value, socklen_t *bytes, int number)
{
    return give(value, bytes, &number, sizeof(number));
}

/* ---- Setting ------------------------------------------------------------- */

static int set_keep(uint32_t *kept, int number, int most)
{
    if (number < 1 || number > most)
        return -EINVAL;
    *kept = (uint32_t)number;
    return 0;
}

/* The host's TCP does all that: what has no effect here is remembered. */
static int set_tcp(struct vsock_socket *one, int option, int number)
{
    switch (option) {
    case TCP_NODELAY:
        one->nodelay = number != 0;
        return 0;
    case TCP_CORK:
        one->cork = number != 0;
        return 0;
    case TCP_KEEPIDLE:
        return set_keep(&one->keep_idle, number, KEEP_SECONDS_MAX);
    case TCP_KEEPINTVL:
        return set_keep(&one->keep_interval, number, KEEP_SECONDS_MAX);
    case TCP_KEEPCNT:
        return set_keep(&one->keep_count, number, KEEP_COUNT_MAX);
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
}

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
    int number, error = read_number(value, bytes, &number);

    if (error)
        return error;
    switch (level) {
    case IPPROTO_TCP:
        if (option == TCP_CONGESTION)
            return 0;
        return bytes < sizeof(int) ? -EINVAL : set_tcp(one, option, number);
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

    return give(value, bytes, &info, sizeof(info));
}

static int get_tcp(const struct vsock_socket *one, int option, int *number)
{
    switch (option) {
    case TCP_NODELAY:
        *number = one->nodelay;
        return 0;
    case TCP_CORK:
        *number = one->cork;
        return 0;
    case TCP_MAXSEG:
        *number = one->phase == VSOCK_CONNECTED ? SEGMENT_BYTES : 536;
        return 0;
    case TCP_KEEPIDLE:
        *number = one->keep_idle ? (int)one->keep_idle : 7200;
        return 0;
    case TCP_KEEPINTVL:
        *number = one->keep_interval ? (int)one->keep_interval : 75;
        return 0;
    case TCP_KEEPCNT:
        *number = one->keep_count ? (int)one->keep_count : 9;
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
    return give(value, bytes, &number, sizeof(number));
}

int socket_vsock_get_option(struct socket *socket, int level, int option,
                            void *value, socklen_t *bytes)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    int number, error;

    if (level == SOL_SOCKET)
        return option == SO_ACCEPTCONN
                   ? give_number(value, bytes, one->phase == VSOCK_LISTENING)
                   : -ENOPROTOOPT;
    if (!vsock_is_inet(one))
        return level == AF_VSOCK ? get_vm(one, option, value, bytes)
                                 : -ENOPROTOOPT;
    if (level == IPPROTO_TCP && option == TCP_INFO)
        return get_info(one, value, bytes);
    error = level == IPPROTO_TCP ? get_tcp(one, option, &number)
                                 : get_ip(one, level, option, &number);
    return error ? error : give_number(value, bytes, number);
}
