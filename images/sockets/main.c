/* SPDX-License-Identifier: MIT */
/* Sockets within one machine: prints what each call returns. */
#define _GNU_SOURCE
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "sockets.h"

/*
 * As a Linux process it prints the same lines: tests compare them. Numbers that
 * differ from run to run (ports) are not printed.
 */

void test_interfaces(void)
{
    struct ifaddrs *all, *each;
    bool loop4 = false, loop6 = false;

    printf("-- interfaces\n");
    show("if_nametoindex", if_nametoindex("lo"));
    if (show("getifaddrs", getifaddrs(&all)) < 0)
        return;
    for (each = all; each; each = each->ifa_next) {
        if (!each->ifa_addr || strcmp(each->ifa_name, "lo") != 0)
            continue;
        loop4 |= each->ifa_addr->sa_family == AF_INET;
        loop6 |= each->ifa_addr->sa_family == AF_INET6;
    }
    printf("lo: %d %d\n", loop4, loop6);
    freeifaddrs(all);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_arguments();
    test_options();
    test_connection(AF_INET);
    test_connection(AF_INET6);
    test_reset();
    test_pipe_signal();
    test_datagrams(AF_INET);
    test_datagrams(AF_INET6);
    test_dual();
    test_bulk(AF_INET);
    test_bulk(AF_INET6);
    test_many();
    test_socketpair(SOCK_STREAM, "stream");
    test_socketpair(SOCK_DGRAM, "datagrams");
    test_socketpair(SOCK_SEQPACKET, "packets");
    test_unix();
    test_rights();
    test_rights_without_room();
    test_interfaces();
    return 0;
}
