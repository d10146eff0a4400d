/* SPDX-License-Identifier: MIT */
/* Sockets of the family AF_NETLINK: lists of interfaces and addresses. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/runtime.h"
#include "guest_rt/socket.h"
#include "guest_rt/socket_inet.h"

/*
 * What getifaddrs() and if_nameindex() need: RTM_GETLINK and RTM_GETADDR as
 * dumps. Everything else is answered with EOPNOTSUPP.
 */
#define ANSWER_BYTES 4096u

struct netlink_socket {
    struct socket socket;
    size_t bytes, taken;
    unsigned char answer[ANSWER_BYTES];
};

static struct netlink_socket *netlink_of(struct socket *socket)
{
    return (struct netlink_socket *)socket;
}

/* ---- Writing answers ----------------------------------------------------- */

/* Begins a message with `bytes` bytes of body. Returns the body, or NULL. */
static void *begin(struct netlink_socket *netlink,
                   const struct nlmsghdr *question, int type, size_t bytes)
{
    struct nlmsghdr *header =
        (struct nlmsghdr *)(netlink->answer + netlink->bytes);

    if (netlink->bytes + NLMSG_SPACE(bytes) > ANSWER_BYTES)
        return NULL;
    header->nlmsg_len = (uint32_t)NLMSG_LENGTH(bytes);
    header->nlmsg_type = (uint16_t)type;
    header->nlmsg_flags = NLM_F_MULTI;
    header->nlmsg_seq = question->nlmsg_seq;
    header->nlmsg_pid = MF_PID;
    netlink->bytes += NLMSG_SPACE(bytes);
    return memset(NLMSG_DATA(header), 0, bytes);
}

/* Adds an attribute to the message that `body` is in. */
static void add(struct netlink_socket *netlink, void *body, int type,
                const void *data, size_t bytes)
{
    struct nlmsghdr *header = (struct nlmsghdr *)((char *)body - NLMSG_HDRLEN);
    struct rtattr *attribute =
        (struct rtattr *)(netlink->answer + netlink->bytes);

    if (netlink->bytes + RTA_SPACE(bytes) > ANSWER_BYTES)
        return;
    attribute->rta_type = (unsigned short)type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(bytes);
    memcpy(RTA_DATA(attribute), data, bytes);
    netlink->bytes += RTA_SPACE(bytes);
    header->nlmsg_len =
        (uint32_t)(netlink->answer + netlink->bytes - (unsigned char *)header);
}

static void add_name(struct netlink_socket *netlink, void *body, int type,
                     struct netif *netif)
{
    struct ifreq entry = {.ifr_ifindex = netif_get_index(netif)};

    if (inet_interface_ioctl(SIOCGIFNAME, (long)&entry) == 0)
        add(netlink, body, type, entry.ifr_name, strlen(entry.ifr_name) + 1);
}

static void write_link(struct netlink_socket *netlink,
                       const struct nlmsghdr *question, struct netif *netif)
{
    struct ifinfomsg *body =
        begin(netlink, question, RTM_NEWLINK, sizeof(*body));
    bool card = inet_card_of(netif);
    uint32_t mtu = netif->mtu ? netif->mtu : 65536;

    if (!body)
        return;
    body->ifi_type = card ? ARPHRD_ETHER : ARPHRD_LOOPBACK;
    body->ifi_index = netif_get_index(netif);
    body->ifi_flags = IFF_UP | IFF_RUNNING |
                      (card ? IFF_BROADCAST | IFF_MULTICAST : IFF_LOOPBACK);
    add_name(netlink, body, IFLA_IFNAME, netif);
    add(netlink, body, IFLA_MTU, &mtu, sizeof(mtu));
    if (card)
        add(netlink, body, IFLA_ADDRESS, netif->hwaddr, netif->hwaddr_len);
}

static void write_address(struct netlink_socket *netlink,
                          const struct nlmsghdr *question, struct netif *netif,
                          int family, unsigned prefix, const void *address,
                          size_t bytes)
{
    struct ifaddrmsg *body =
        begin(netlink, question, RTM_NEWADDR, sizeof(*body));

    if (!body)
        return;
    body->ifa_family = (uint8_t)family;
    body->ifa_prefixlen = (uint8_t)prefix;
    body->ifa_index = netif_get_index(netif);
    body->ifa_scope = inet_card_of(netif) ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST;
    add(netlink, body, IFA_ADDRESS, address, bytes);
    if (family == AF_INET) {
        add(netlink, body, IFA_LOCAL, address, bytes);
        add_name(netlink, body, IFA_LABEL, netif);
    }
}

static void write_addresses(struct netlink_socket *netlink,
                            const struct nlmsghdr *question, int family,
                            struct netif *netif)
{
    uint32_t mask = netif_ip4_netmask(netif)->addr;
    unsigned prefix = (unsigned)__builtin_popcount(mask);

    if (family != AF_INET6 && netif_ip4_addr(netif)->addr)
        write_address(netlink, question, netif, AF_INET, prefix,
                      netif_ip4_addr(netif), 4);
    if (family == AF_INET)
        return;
    for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
        if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)))
            write_address(netlink, question, netif, AF_INET6,
                          inet_card_of(netif) ? 64 : 128,
                          netif_ip6_addr(netif, i)->addr, 16);
}

static void write_error(struct netlink_socket *netlink,
                        const struct nlmsghdr *question, int error)
{
    struct nlmsgerr *body =
        begin(netlink, question, NLMSG_ERROR, sizeof(*body));

    if (body) {
        body->error = error;
        body->msg = *question;
    }
}

static void answer(struct netlink_socket *netlink,
                   const struct nlmsghdr *question)
{
    const struct rtgenmsg *wish = NLMSG_DATA(question);
    struct netif *netif;

    netlink->bytes = netlink->taken = 0;
    if (question->nlmsg_type != RTM_GETLINK &&
        question->nlmsg_type != RTM_GETADDR) {
        write_error(netlink, question, -EOPNOTSUPP);
        return;
    }
    for (u8_t i = 1; (netif = netif_get_by_index(i)); i++) {
        if (question->nlmsg_type == RTM_GETLINK)
            write_link(netlink, question, netif);
        else
            write_addresses(netlink, question, wish->rtgen_family, netif);
    }
    begin(netlink, question, NLMSG_DONE, sizeof(int));
}

/* ---- The socket ---------------------------------------------------------- */

static long send_netlink(struct socket *socket, struct socket_message *message)
{
    struct {
        struct nlmsghdr header;
        unsigned char body[64];
    } question = {0};

    if (message->bytes < NLMSG_LENGTH(sizeof(struct rtgenmsg)))
        return -EINVAL;
    socket_copy_in(message, 0, &question, sizeof(question));
    answer(netlink_of(socket), &question.header);
    socket_wake(socket, EPOLLIN);
    return (long)message->bytes;
}

/* As much of the answer as fits, in whole messages. */
static long receive_netlink(struct socket *socket,
                            struct socket_message *message)
{
    struct netlink_socket *netlink = netlink_of(socket);
    size_t bytes = 0, left;
    int error;

    while (netlink->taken == netlink->bytes) {
        error = socket_wait(socket, message->flags,
                            socket_deadline(socket->receive_ns));
        if (error)
            return error;
    }
    for (left = netlink->bytes - netlink->taken; bytes < left;) {
        const struct nlmsghdr *each =
            (const struct nlmsghdr *)(netlink->answer + netlink->taken + bytes);

        if (bytes + NLMSG_ALIGN(each->nlmsg_len) > message->bytes)
            break;
        bytes += NLMSG_ALIGN(each->nlmsg_len);
    }
    socket_copy_out(message, 0, netlink->answer + netlink->taken, bytes);
    if (!(message->flags & MSG_PEEK))
        netlink->taken = bytes ? netlink->taken + bytes : netlink->bytes;
    if (message->name) {
        *message->name =
            (struct socket_name){.bytes = sizeof(struct sockaddr_nl)};
        message->name->any.sa_family = AF_NETLINK;
    }
    return (long)bytes;
}

static int accept_name(struct socket *socket, const struct socket_name *name)
{
    (void)socket;
    return name->any.sa_family == AF_NETLINK ? 0 : -EINVAL;
}

static int refuse_shutdown(struct socket *socket, int how)
{
    (void)socket;
    (void)how;
    return -EOPNOTSUPP;
}

static int get_name(struct socket *socket, bool peer, struct socket_name *name)
{
    struct sockaddr_nl self = {.nl_family = AF_NETLINK,
                               .nl_pid = peer ? 0 : MF_PID};

    (void)socket;
    name->bytes = sizeof(self);
    memcpy(name->raw, &self, sizeof(self));
    return 0;
}

static uint32_t poll_netlink(struct socket *socket)
{
    const struct netlink_socket *netlink = netlink_of(socket);

    return EPOLLOUT | EPOLLWRNORM |
           (netlink->taken < netlink->bytes ? EPOLLIN | EPOLLRDNORM : 0u);
}

static void release(struct socket *socket)
{
    socket_free(socket);
}

static const struct socket_ops netlink_ops = {
    .bind = accept_name,
    .connect = accept_name,
    .send = send_netlink,
    .receive = receive_netlink,
    .shutdown = refuse_shutdown,
    .get_name = get_name,
    .poll = poll_netlink,
    .release = release,
};

int socket_netlink_create(int type, int protocol, struct socket **socket)
{
    struct netlink_socket *netlink;
    int error;

    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != NETLINK_ROUTE)
        return -EPROTONOSUPPORT;
    error = inet_start();
    if (error)
        return error;
    netlink = socket_alloc(sizeof(*netlink));
    if (!netlink)
        return -ENOBUFS;
    socket_init(&netlink->socket, &netlink_ops, AF_NETLINK, type, protocol);
    *socket = &netlink->socket;
    return 0;
}
