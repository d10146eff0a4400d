/* SPDX-License-Identifier: MIT */
/* Dates and addresses as a server writes them. */
#include "vmm/server/text.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DAY_SECONDS 86400u

/* ---- Dates --------------------------------------------------------------- */

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
                                   31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year));
}

void text_break_date(uint64_t seconds, struct text_date *date)
{
    uint64_t days = seconds / DAY_SECONDS;
    unsigned rest = (unsigned)(seconds % DAY_SECONDS);

    *date = (struct text_date){
        .weekday = (unsigned)((days + 4) % 7), /* a Thursday was the first */
        .hour = rest / 3600,
        .minute = rest / 60 % 60,
        .second = rest % 60,
        .year = 1970,
        .month = 1,
    };
    for (; days >= 365u + is_leap(date->year); date->year++)
        days -= 365u + is_leap(date->year);
    for (; days >= days_of_month(date->year, date->month); date->month++)
        days -= days_of_month(date->year, date->month);
    date->day = (unsigned)days + 1;
}

void text_write_http_date(uint64_t seconds, char to[TEXT_HTTP_DATE_BYTES])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed",
                                    "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr",
                                       "May", "Jun", "Jul", "Aug",
                                       "Sep", "Oct", "Nov", "Dec"};
    struct text_date date;

    text_break_date(seconds, &date);
    snprintf(to, TEXT_HTTP_DATE_BYTES, "%s, %02u %s %04u %02u:%02u:%02u GMT",
             days[date.weekday], date.day, months[date.month - 1], date.year,
             date.hour, date.minute, date.second);
}

/* ---- Addresses ----------------------------------------------------------- */

static void write_ip4(const void *address, in_port_t port, char *to)
{
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, address, host, sizeof(host));
    snprintf(to, TEXT_ADDRESS_BYTES, "%s:%u", host, ntohs(port));
}

static void write_ip6(const struct in6_addr *address, in_port_t port, char *to)
{
    char host[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, address, host, sizeof(host));
    snprintf(to, TEXT_ADDRESS_BYTES, "[%s]:%u", host, ntohs(port));
}

void text_write_address(const struct sockaddr *address, socklen_t bytes,
                        char to[TEXT_ADDRESS_BYTES])
{
    struct sockaddr_storage storage = {0};
    const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)&storage;
    const struct sockaddr_in *ip4 = (const struct sockaddr_in *)&storage;

    to[0] = '\0';
    if (!address || bytes > sizeof(storage))
        return;
    memcpy(&storage, address, bytes);
    if (storage.ss_family == AF_INET && bytes >= sizeof(*ip4))
        write_ip4(&ip4->sin_addr, ip4->sin_port, to);
    else if (storage.ss_family == AF_INET6 && bytes >= sizeof(*ip6) &&
             IN6_IS_ADDR_V4MAPPED(&ip6->sin6_addr))
        write_ip4(&ip6->sin6_addr.s6_addr[12], ip6->sin6_port, to);
    else if (storage.ss_family == AF_INET6 && bytes >= sizeof(*ip6))
        write_ip6(&ip6->sin6_addr, ip6->sin6_port, to);
    else if (storage.ss_family == AF_UNIX && bytes >= sizeof(sa_family_t))
        snprintf(to, TEXT_ADDRESS_BYTES, "unix");
}
