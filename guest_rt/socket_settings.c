/* SPDX-License-Identifier: MIT */
/* Options that sockets of all kinds of TCP keep, whoever does the work. */
#include "guest_rt/socket_settings.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "guest_rt/socket.h"

#define KEEP_SECONDS_MAX 32767
#define KEEP_COUNT_MAX   127

/* Linux's, for what is not set. */
#define KEEP_IDLE     7200
#define KEEP_INTERVAL 75
#define KEEP_COUNT    9

/* ---- Values -------------------------------------------------------------- */

int option_read_number(const void *value, socklen_t bytes, int *number)
{
    if (bytes >= sizeof(*number))
        memcpy(number, value, sizeof(*number));
    else if (bytes >= 1)
        *number = *(const unsigned char *)value;
    else
        return -EINVAL;
    return 0;
}

int option_give(void *value, socklen_t *bytes, const void *from, size_t have)
{
    if (*bytes > have)
        *bytes = (socklen_t)have;
    memcpy(value, from, *bytes);
    return 0;
}

int option_give_number(void *value, socklen_t *bytes, int number)
{
    return option_give(value, bytes, &number, sizeof(number));
}

/* ---- TCP ----------------------------------------------------------------- */

static int set_keep(uint32_t *kept, int number, int most)
{
    if (number < 1 || number > most)
        return -EINVAL;
    *kept = (uint32_t)number;
    return 0;
}

int tcp_settings_set(struct tcp_settings *settings, int option, int number)
{
    switch (option) {
    case TCP_NODELAY:
        settings->nodelay = number != 0;
        return 0;
    case TCP_CORK:
        settings->cork = number != 0;
        return 0;
    case TCP_KEEPIDLE:
        return set_keep(&settings->keep_idle, number, KEEP_SECONDS_MAX);
    case TCP_KEEPINTVL:
        return set_keep(&settings->keep_interval, number, KEEP_SECONDS_MAX);
    case TCP_KEEPCNT:
        return set_keep(&settings->keep_count, number, KEEP_COUNT_MAX);
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

static int kept(uint32_t set, int otherwise)
{
    return set ? (int)set : otherwise;
}

int tcp_settings_get(const struct tcp_settings *settings, int option,
                     int *number)
{
    switch (option) {
    case TCP_NODELAY:
        *number = settings->nodelay;
        return 0;
    case TCP_CORK:
        *number = settings->cork;
        return 0;
    case TCP_KEEPIDLE:
        *number = kept(settings->keep_idle, KEEP_IDLE);
        return 0;
    case TCP_KEEPINTVL:
        *number = kept(settings->keep_interval, KEEP_INTERVAL);
        return 0;
    case TCP_KEEPCNT:
        *number = kept(settings->keep_count, KEEP_COUNT);
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

/* ---- Connections --------------------------------------------------------- */

void socket_inherit(struct socket *one, const struct socket *listener)
{
    one->booleans = listener->booleans;
    one->linger = listener->linger;
    one->receive_ns = listener->receive_ns;
    one->send_ns = listener->send_ns;
    one->receive_limit = listener->receive_limit;
    one->send_limit = listener->send_limit;
    one->low_water = listener->low_water;
}
