/* SPDX-License-Identifier: MIT */
/* The last connections of a socket that is to be closed. */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/server/listen.h"

#define FLAGS_AT 13u /* of a TCP header */
#define SYN      0x02u
#define ACK      0x10u

static void refuse_new(const struct listener *listener)
{
    struct sock_filter drop_first_packets[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {
        .len = sizeof(drop_first_packets) / sizeof(drop_first_packets[0]),
        .filter = drop_first_packets,
    };

    setsockopt(listener->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
               sizeof(program));
}

/* "number: ADDRESS:PORT ADDRESS:PORT STATE ...", all hexadecimal. */
static bool is_deferred(const char *line, unsigned long port)
{
    const char *local = strchr(line, ':'), *peer;
    char *end;

    local = local ? strchr(local + 1, ':') : NULL;
    peer = local ? strchr(local + 1, ':') : NULL;
    if (!peer || strtoul(local + 1, NULL, 16) != port)
        return false;
    (void)strtoul(peer + 1, &end, 16);
    return strtoul(end, NULL, 16) == TCP_SYN_RECV;
}

/* Whether one of the kernel's lists has a connection that it keeps. */
static bool has_deferred(const char *list, unsigned port)
{
    FILE *file = fopen(list, "re");
    bool found = false;
    char line[512];

    while (file && !found && fgets(line, sizeof(line), file))
        found = is_deferred(line, port);
    if (file)
        fclose(file);
    return found;
}

bool listener_hold(const struct listener *listener)
{
    /* Its port is where struct sockaddr_in has it. */
    struct sockaddr_in6 got = {0};
    socklen_t bytes = sizeof(got);
    unsigned port;

    if (listener->address->address.ss_family == AF_UNIX ||
        getsockname(listener->fd, (struct sockaddr *)&got, &bytes))
        return false;
    port = ntohs(got.sin6_port);
    refuse_new(listener);
    listener_defer(listener, 0);
    return has_deferred("/proc/net/tcp", port) ||
           has_deferred("/proc/net/tcp6", port);
}
