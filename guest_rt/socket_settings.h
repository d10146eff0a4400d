/* SPDX-License-Identifier: MIT */
/* Options that sockets of all kinds of TCP keep, whoever does the work. */
#ifndef GUEST_RT_SOCKET_SETTINGS_H
#define GUEST_RT_SOCKET_SETTINGS_H

/*
 * TCP of the guest's own (lwIP) and streams whose TCP the host does (vsock)
 * take the same options of the level IPPROTO_TCP. What they are set to is kept
 * here; the socket's own file does what follows from it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct socket;

struct tcp_settings {
    bool nodelay, cork;
    uint32_t keep_idle, keep_interval; /* seconds; 0: not set */
    uint32_t keep_count;               /* 0: not set */
};

/*
 * Sets an option of TCP; most are taken without an effect. Returns 0, -EINVAL
 * for a value or -ENOPROTOOPT for an option that there is none.
 */
int tcp_settings_set(struct tcp_settings *settings, int option, int number);

/* Gets one, or what it is without being set. Returns 0 or -ENOPROTOOPT. */
int tcp_settings_get(const struct tcp_settings *settings, int option,
                     int *number);

/* What a connection has from its listener, of SOL_SOCKET. */
void socket_inherit(struct socket *one, const struct socket *listener);

/* Reads an option that is a number, of an int or one byte. */
int option_read_number(const void *value, socklen_t bytes, int *number);

/* Gives as much of an option as there is room for. Returns 0. */
int option_give(void *value, socklen_t *bytes, const void *from, size_t have);
int option_give_number(void *value, socklen_t *bytes, int number);

#endif
