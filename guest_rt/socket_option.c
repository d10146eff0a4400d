/* SPDX-License-Identifier: MIT */
/* Sockets: options, those of the level SOL_SOCKET among them. */
#include <errno.h>
#include <string.h>
#include <sys/time.h>

#include "guest_rt/socket.h"
#include "guest_rt/socket_settings.h"
#include "guest_rt/syscalls.h"

#ifndef SO_DOMAIN
#define SO_DOMAIN 39
#endif
#define OPTION_BYTES_MAX 512u  /* of a value: none is larger */
#define BUFFER_MIN       2304u /* what Linux grants at least */

static const struct {
    int option;
    uint32_t bit;
} switches[] = {
    {SO_REUSEADDR, SOCKET_REUSEADDR}, {SO_REUSEPORT, SOCKET_REUSEPORT},
    {SO_KEEPALIVE, SOCKET_KEEPALIVE}, {SO_BROADCAST, SOCKET_BROADCAST},
    {SO_PASSCRED, SOCKET_PASSCRED},   {SO_TIMESTAMP, SOCKET_TIMESTAMP},
    {SO_DONTROUTE, SOCKET_DONTROUTE}, {SO_OOBINLINE, SOCKET_OOBINLINE},
};

/* The bit of an option that is on or off, or 0. */
static uint32_t find_switch(int option)
{
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
        if (switches[i].option == option)
            return switches[i].bit;
    return 0;
}

/* ---- Setting ------------------------------------------------------------- */

static int set_time(uint64_t *ns, const void *value, socklen_t bytes)
{
    struct timeval time;

    if (bytes < sizeof(time))
        return -EINVAL;
    memcpy(&time, value, sizeof(time));
    if (time.tv_usec < 0 || time.tv_usec >= 1000000)
        return -EDOM;
    if (time.tv_sec < 0 || time.tv_sec > INT32_MAX)
        *ns = 0;
    else
        *ns = (uint64_t)time.tv_sec * 1000000000u +
              (uint64_t)time.tv_usec * 1000u;
    return 0;
}

/* Linux doubles what is asked for, for its own needs, and tells so. */
static uint32_t grant_buffer(int wanted)
{
    uint32_t doubled;

    if (wanted < 0 || (uint32_t)wanted > SOCKET_LIMIT_MAX / 2)
        wanted = SOCKET_LIMIT_MAX / 2;
    doubled = 2u * (uint32_t)wanted;
    return doubled < BUFFER_MIN ? BUFFER_MIN : doubled;
}

static int set_own(struct socket *socket, int option, const void *value,
                   socklen_t bytes)
{
    uint32_t bit = find_switch(option);
    int number;

    if (option == SO_LINGER) {
        if (bytes < sizeof(struct linger))
            return -EINVAL;
        memcpy(&socket->linger, value, sizeof(struct linger));
        return 0;
    }
    if (option == SO_RCVTIMEO)
        return set_time(&socket->receive_ns, value, bytes);
    if (option == SO_SNDTIMEO)
        return set_time(&socket->send_ns, value, bytes);
    memcpy(&number, value, sizeof(number));
    if (bit) {
        socket->booleans &= ~bit;
        if (number)
            socket->booleans |= bit;
        return 0;
    }
    switch (option) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        socket->send_limit = grant_buffer(number);
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        socket->receive_limit = grant_buffer(number);
        return 0;
    case SO_RCVLOWAT:
        socket->low_water = number > 0 ? (uint32_t)number : 1;
        return 0;
    case SO_PRIORITY:
    case SO_MARK:
    case SO_BUSY_POLL:
    case SO_INCOMING_CPU:
    case SO_ZEROCOPY:
        return 0;
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
        return -ENOPROTOOPT;
    default:
        return -ENOPROTOOPT;
    }
}

static long set_option(struct socket *socket, int level, int option,
                       const void *value, socklen_t bytes)
{
    int error = 0;

    if ((int)bytes < 0)
        return -EINVAL;
    if (level == SOL_SOCKET) {
        if (bytes < sizeof(int))
            return -EINVAL;
        error = set_own(socket, option, value, bytes);
        if (error)
            return error;
    }
    if (socket->ops->set_option)
        error = socket->ops->set_option(socket, level, option, value, bytes);
    else if (level != SOL_SOCKET)
        error = -ENOPROTOOPT;
    return level == SOL_SOCKET && error == -ENOPROTOOPT ? 0 : error;
}

/* How much of a value is looked at, however much is said to be there. */
static size_t value_bytes(long bytes)
{
    return (int)bytes < 0                       ? 0
           : (unsigned)bytes > OPTION_BYTES_MAX ? OPTION_BYTES_MAX
                                                : (unsigned)bytes;
}

long __mayfly_sys_setsockopt(long fd, long level, long option, long value,
                             long bytes)
{
    long result;

    ON_SOCKET(fd, result,
              !user_can_read((const void *)value, value_bytes(bytes))
                  ? -EFAULT
                  : set_option(socket, (int)level, (int)option,
                               (const void *)value, (socklen_t)bytes));
    return result;
}

/* ---- Getting ------------------------------------------------------------- */

static struct timeval time_from(uint64_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / 1000000000u),
                            .tv_usec = (suseconds_t)(ns % 1000000000u / 1000)};
}

/* Options that are numbers. Returns 0 or -ENOPROTOOPT. */
static int get_number(struct socket *socket, int option, int *number)
{
    switch (option) {
    case SO_ERROR:
        *number = -socket_take_error(socket);
        return 0;
    case SO_TYPE:
        *number = socket->type;
        return 0;
    case SO_DOMAIN:
        *number = socket->domain;
        return 0;
    case SO_PROTOCOL:
        *number = socket->protocol;
        return 0;
    case SO_SNDBUF:
        *number = (int)socket->send_limit;
        return 0;
    case SO_RCVBUF:
        *number = (int)socket->receive_limit;
        return 0;
    case SO_RCVLOWAT:
        *number = (int)socket->low_water;
        return 0;
    case SO_SNDLOWAT:
        *number = 1;
        return 0;
    case SO_ACCEPTCONN:
    case SO_PRIORITY:
    case SO_MARK:
    case SO_BUSY_POLL:
        *number = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_own(struct socket *socket, int option, void *value,
                   socklen_t *bytes)
{
    uint32_t bit = find_switch(option);
    struct timeval time;
    int number = bit && socket->booleans & bit, error = 0;

    switch (option) {
    case SO_LINGER:
        return option_give(value, bytes, &socket->linger,
                           sizeof(socket->linger));
    case SO_RCVTIMEO:
        time = time_from(socket->receive_ns);
        return option_give(value, bytes, &time, sizeof(time));
    case SO_SNDTIMEO:
        time = time_from(socket->send_ns);
        return option_give(value, bytes, &time, sizeof(time));
    default:
        if (!bit)
            error = get_number(socket, option, &number);
        return error ? error
                     : option_give(value, bytes, &number, sizeof(number));
    }
}

static long get_option(struct socket *socket, int level, int option, void *to,
                       socklen_t *bytes_at)
{
    unsigned char value[OPTION_BYTES_MAX];
    int error = -ENOPROTOOPT;
    socklen_t bytes;

    if (USER_GET(bytes, bytes_at))
        return -EFAULT;
    if ((int)bytes < 0)
        return -EINVAL;
    if (bytes > sizeof(value))
        bytes = sizeof(value);
    /* A kind's answer comes first: it may know better (SO_ACCEPTCONN). */
    if (socket->ops->get_option)
        error = socket->ops->get_option(socket, level, option, value, &bytes);
    if (error == -ENOPROTOOPT && level == SOL_SOCKET)
        error = get_own(socket, option, value, &bytes);
    if (!error)
        error = user_put(to, value, bytes);
    return error ? error : USER_PUT(bytes_at, bytes);
}

long __mayfly_sys_getsockopt(long fd, long level, long option, long value,
                             long bytes)
{
    long result;

    ON_SOCKET(fd, result,
              get_option(socket, (int)level, (int)option, (void *)value,
                         (socklen_t *)bytes));
    return result;
}
