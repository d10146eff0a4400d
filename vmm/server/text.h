/* SPDX-License-Identifier: MIT */
/* Dates and addresses as a server writes them. */
#ifndef VMM_SERVER_TEXT_H
#define VMM_SERVER_TEXT_H

/*
 * By hand: the C library's functions for them bring time zones, locales and
 * /etc/services along, 12 KiB.
 */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A point of time in UTC. */
struct text_date {
    unsigned year, month, day; /* from 1 */
    unsigned weekday;          /* 0: Sunday */
    unsigned hour, minute, second;
};

/* Takes seconds since 1970 apart. */
void text_break_date(uint64_t seconds, struct text_date *date);

#define TEXT_HTTP_DATE_BYTES 30
/* Writes "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7). */
void text_write_http_date(uint64_t seconds, char to[TEXT_HTTP_DATE_BYTES]);

#define TEXT_ADDRESS_BYTES 56
/*
 * Writes "10.0.0.1:80", "[::1]:80" or "unix", or nothing for what is neither.
 * An IPv4 address in an IPv6 one is written as what it is.
 */
void text_write_address(const struct sockaddr *address, socklen_t bytes,
                        char to[TEXT_ADDRESS_BYTES]);

#endif
