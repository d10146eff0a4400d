/* SPDX-License-Identifier: MIT */
/* UDP, and sockets of both families. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "sockets.h"

void test_datagrams(int family)
{
    int one = socket(family, SOCK_DGRAM, 0);
    int other = socket(family, SOCK_DGRAM, 0);
    union address address, from;
    socklen_t bytes = loopback(&address, family, 0), from_bytes;
    static char big[60000], buffer[60001];
    struct iovec pieces[2] = {{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
    int count = -1;

    printf("-- datagrams, family %s\n", family == AF_INET ? "4" : "6");
    show("send to nowhere", send(one, "x", 1, 0));
    show("bind", bind(one, &address.any, bytes));
    show("bind twice", bind(one, &address.any, bytes));
    bytes = loopback(&address, family, port_of(one));
    show_events("new", other);
    show("sendto", sendto(other, "hello", 5, 0, &address.any, bytes));
    wait_for(one, POLLIN);
    ioctl(one, FIONREAD, &count);
    show("FIONREAD", count);
    from_bytes = sizeof(from);
    show("recvfrom, cut",
         recvfrom(one, buffer, 3, MSG_TRUNC, &from.any, &from_bytes));
    show("from the other's port",
         from.in.sin_port == htons((uint16_t)port_of(other)));
    show("address bytes", from_bytes);
    show("receive of nothing", recv(one, buffer, 1, MSG_DONTWAIT));
    show("empty", sendto(other, "", 0, 0, &address.any, bytes));
    wait_for(one, POLLIN);
    show("receive empty", recv(one, buffer, 10, 0));
    show("connect", connect(other, &address.any, bytes));
    show_name("connected", other, false);
    show_name("connected to", other, true);
    show("sendmsg", sendmsg(other, &header, 0));
    wait_for(one, POLLIN);
    header.msg_iov[0] = (struct iovec){buffer, 1};
    header.msg_iov[1] = (struct iovec){buffer + 1, 2};
    show("recvmsg", recvmsg(one, &header, 0));
    show("truncated", (header.msg_flags & MSG_TRUNC) != 0);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7);
    show("big", send(other, big, sizeof(big), 0));
    wait_for(one, POLLIN);
    show("receive big", recv(one, buffer, sizeof(buffer), 0));
    show("the same", memcmp(big, buffer, sizeof(big)) == 0);
    show("too big", sendto(other, buffer, 70000, 0, &address.any, bytes));
    {
        struct timeval time = {0, 20000};

        setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
        show("timeout", recv(one, buffer, 1, 0));
    }
    close(one);
    close(other);
}

void test_dual(void)
{
    union address address = {0};
    int listener = socket(AF_INET6, SOCK_STREAM, 0), client, server;

    printf("-- IPv4 at an IPv6 socket\n");
    address.in6.sin6_family = AF_INET6;
    show("bind", bind(listener, &address.any, sizeof(address.in6)));
    show("listen", listen(listener, 5));
    client = connect_to(AF_INET, port_of(listener));
    server = show_fd("accept", accept(listener, NULL, NULL));
    show_name("peer", server, true);
    show_name("own", server, false);
    close(client);
    close(server);
    close(listener);
    listener = socket(AF_INET6, SOCK_STREAM, 0);
    set_int(listener, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    bind(listener, &address.any, sizeof(address.in6));
    listen(listener, 5);
    client = socket(AF_INET, SOCK_STREAM, 0);
    loopback(&address, AF_INET, port_of(listener));
    show("IPv6 only", connect(client, &address.any, sizeof(address.in)));
    close(client);
    close(listener);
}
