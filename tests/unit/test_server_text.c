/* SPDX-License-Identifier: MIT */
/* Dates and addresses as a server writes them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#include "vmm/server/text.h"

TestSuite(server_text, .timeout = 60);

/* Days that differ, up to the year 2400, and their first and last seconds. */
Test(server_text, dates_are_the_c_librarys)
{
    for (time_t seconds = 0; seconds < 13600000000; seconds += 8640000) {
        for (time_t at = seconds; at <= seconds + 86399; at += 86399) {
            char got[TEXT_HTTP_DATE_BYTES], wanted[64];
            struct tm utc;

            gmtime_r(&at, &utc);
            strftime(wanted, sizeof(wanted), "%a, %d %b %Y %H:%M:%S GMT", &utc);
            text_write_http_date((uint64_t)at, got);
            cr_assert_str_eq(got, wanted);
        }
    }
}

Test(server_text, leap_days_are_where_they_ought_to_be)
{
    static const struct {
        uint64_t seconds;
        unsigned year, month, day, weekday;
    } dates[] = {
        {0, 1970, 1, 1, 4},           {951782399, 2000, 2, 28, 1},
        {951782400, 2000, 2, 29, 2},  {951868800, 2000, 3, 1, 3},
        {1709164800, 2024, 2, 29, 4}, {1735603200, 2024, 12, 31, 2},
        {1735689600, 2025, 1, 1, 3},  {4107542400, 2100, 3, 1, 1},
    };

    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        struct text_date date;

        text_break_date(dates[i].seconds, &date);
        cr_expect_eq(date.year, dates[i].year, "%zu", i);
        cr_expect_eq(date.month, dates[i].month, "%zu", i);
        cr_expect_eq(date.day, dates[i].day, "%zu", i);
        cr_expect_eq(date.weekday, dates[i].weekday, "%zu", i);
    }
}

static void assert_written(const void *address, socklen_t bytes,
                           const char *wanted)
{
    char got[TEXT_ADDRESS_BYTES];

    text_write_address(address, bytes, got);
    cr_assert_str_eq(got, wanted);
}

Test(server_text, addresses_are_written_as_people_write_them)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
    struct sockaddr_un path = {.sun_family = AF_UNIX};

    inet_pton(AF_INET, "10.0.0.255", &ip4.sin_addr);
    assert_written(&ip4, sizeof(ip4), "10.0.0.255:80");
    inet_pton(AF_INET6, "::1", &ip6.sin6_addr);
    assert_written(&ip6, sizeof(ip6), "[::1]:1");
    inet_pton(AF_INET6, "::ffff:1.2.3.4", &ip6.sin6_addr);
    assert_written(&ip6, sizeof(ip6), "1.2.3.4:1");
    ip6.sin6_port = htons(65535);
    inet_pton(AF_INET6, "1111:2222:3333:4444:5555:6666:7777:8888",
              &ip6.sin6_addr);
    assert_written(&ip6, sizeof(ip6),
                   "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
    assert_written(&path, sizeof(sa_family_t), "unix");
}

/* The kernel says how much of it there is. */
Test(server_text, what_is_cut_off_is_no_address)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6};

    assert_written(&ip4, sizeof(ip4) - 1, "");
    assert_written(&ip6, sizeof(ip6) - 1, "");
    assert_written(&ip4, 0, "");
    assert_written(NULL, 0, "");
}
