/* SPDX-License-Identifier: MIT */
/* Sockets over the virtio socket device: addresses and ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "guest_rt/option.h"
#include "guest_rt/socket_vsock.h"

/* Ports that are handed out, as Linux does (ip_local_port_range). */
#define PORT_FIRST 32768u
#define PORT_LAST  60999u

#define IP6_NAME_MIN 24u /* without sin6_scope_id (RFC 2133) */

/* 10.0.2.15 and 10.0.2.2, as networks in user space have it. */
static const uint8_t own_ip[4] = {10, 0, 2, 15};
static const uint8_t host_ip[4] = {10, 0, 2, 2};
static const uint8_t loopback_ip[4] = {127, 0, 0, 1};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t none[16];
static const uint8_t loopback_ip6[16] = {[15] = 1};

/* ---- IP addresses -------------------------------------------------------- */

static bool is_any(const struct vsock_address *address)
{
    return memcmp(address->ip, none, 16) == 0;
}

static bool is_ip4(const struct vsock_address *address)
{
    return memcmp(address->ip, mapped, 12) == 0;
}

/* Any address of IPv4 is any. */
static void set_ip4(struct vsock_address *address, const void *ip)
{
    memcpy(address->ip + 12, ip, 4);
    memcpy(address->ip, memcmp(address->ip + 12, none, 4) ? mapped : none, 12);
}

/* One of IPv6, which may be one of IPv4 mapped. */
static void set_ip6(struct vsock_address *address, const void *ip)
{
    memcpy(address->ip, ip, 16);
    if (is_ip4(address) && memcmp(address->ip + 12, none, 4) == 0)
        memset(address->ip, 0, 16);
}

static bool is_ip(const struct vsock_address *address, const uint8_t ip[4])
{
    return is_ip4(address) && memcmp(address->ip + 12, ip, 4) == 0;
}

static bool is_loopback(const struct vsock_address *address)
{
    return (is_ip4(address) && address->ip[12] == 127) ||
           memcmp(address->ip, loopback_ip6, 16) == 0;
}

void socket_vsock_set_own(struct vsock_address *address, uint32_t port)
{
    set_ip4(address, own_ip);
    address->cid = (uint32_t)vsock_cid();
    address->port = port;
}

void socket_vsock_set_host(struct vsock_address *address, uint32_t port)
{
    set_ip4(address, host_ip);
    address->cid = VSOCK_HOST_CID;
    address->port = port;
}

/* ---- From programs and back ---------------------------------------------- */

static int read_vm(const struct socket_name *name,
                   struct vsock_address *address)
{
    struct sockaddr_vm vm;

    if (name->bytes < sizeof(vm))
        return -EINVAL;
    memcpy(&vm, name->raw, sizeof(vm));
    if (vm.svm_family != AF_VSOCK)
        return -EAFNOSUPPORT;
    address->cid = vm.svm_cid;
    address->port = vm.svm_port;
    return 0;
}

static int read_ip4(const struct socket_name *name,
                    struct vsock_address *address)
{
    if (name->bytes < sizeof(name->in))
        return -EINVAL;
    set_ip4(address, &name->in.sin_addr);
    address->port = ntohs(name->in.sin_port);
    return 0;
}

static int read_ip6(const struct socket_name *name,
                    struct vsock_address *address)
{
    if (name->bytes < IP6_NAME_MIN)
        return -EINVAL;
    set_ip6(address, &name->in6.sin6_addr);
    address->port = ntohs(name->in6.sin6_port);
    return 0;
}

int socket_vsock_read_name(const struct vsock_socket *one,
                           const struct socket_name *name,
                           struct vsock_address *address)
{
    int domain = one->socket.domain;

    *address = (struct vsock_address){.cid = VMADDR_CID_ANY};
    if (name->bytes < sizeof(sa_family_t))
        return -EINVAL;
    if (domain == AF_VSOCK)
        return read_vm(name, address);
    if (name->any.sa_family != domain)
        return name->bytes < sizeof(name->in) ? -EINVAL : -EAFNOSUPPORT;
    return domain == AF_INET ? read_ip4(name, address)
                             : read_ip6(name, address);
}

static void write_vm(const struct vsock_address *address,
                     struct socket_name *name)
{
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK,
                             .svm_port = address->port,
                             .svm_cid = address->cid};

    name->bytes = sizeof(vm);
    memcpy(name->raw, &vm, sizeof(vm));
}

void socket_vsock_write_name(const struct vsock_socket *one,
                             const struct vsock_address *address,
                             struct socket_name *name)
{
    uint16_t port = htons((uint16_t)address->port);

    *name = (struct socket_name){.bytes = sizeof(name->in)};
    switch (one->socket.domain) {
    case AF_VSOCK:
        write_vm(address, name);
        break;
    case AF_INET:
        name->in.sin_family = AF_INET;
        name->in.sin_port = port;
        memcpy(&name->in.sin_addr, address->ip + 12, 4);
        break;
    default:
        name->bytes = sizeof(name->in6);
        name->in6.sin6_family = AF_INET6;
        name->in6.sin6_port = port;
        memcpy(&name->in6.sin6_addr, address->ip, 16);
    }
}

/* ---- Binding ------------------------------------------------------------- */

bool socket_vsock_is_own(const struct vsock_socket *one,
                         const struct vsock_address *address)
{
    if (!vsock_is_inet(one))
        return address->cid == VMADDR_CID_LOCAL ||
               (vsock_cid() && address->cid == vsock_cid());
    return is_loopback(address) || is_ip(address, own_ip);
}

/* Whether what comes for the other's address is for this one, too. */
static bool takes(const struct vsock_socket *one,
                  const struct vsock_socket *other)
{
    bool any = is_any(&other->local);

    if (!is_any(&one->local))
        return memcmp(one->local.ip, other->local.ip, 16) == 0;
    if (one->socket.domain == AF_INET)
        return any ? !other->only_ip6 : is_ip4(&other->local);
    return !one->only_ip6 ||
           (any ? other->socket.domain == AF_INET6 : !is_ip4(&other->local));
}

/* Whether what is bound to one of them is in the way of the other. */
static bool overlaps(const struct vsock_socket *one,
                     const struct vsock_socket *other)
{
    if (one->local.port != other->local.port)
        return false;
    /* A port of AF_VSOCK is everybody's. */
    if (!vsock_is_inet(one) || !vsock_is_inet(other))
        return true;
    return takes(one, other) || takes(other, one);
}

/* SO_REUSEADDR of both lets them bind, but only one listen. */
static bool may_bind(const struct vsock_socket *one)
{
    const struct vsock_socket *each;

    for (each = vsock_sockets; each; each = each->next)
        if (each != one && each->bound && each->phase != VSOCK_CLOSING &&
            overlaps(one, each) &&
            (each->phase == VSOCK_LISTENING ||
             !(each->socket.booleans & one->socket.booleans &
               SOCKET_REUSEADDR)))
            return false;
    return true;
}

bool socket_vsock_may_listen(const struct vsock_socket *one)
{
    const struct vsock_socket *each;

    for (each = vsock_sockets; each; each = each->next)
        if (each != one && each->phase == VSOCK_LISTENING &&
            overlaps(one, each))
            return false;
    return true;
}

static bool is_used(uint32_t port)
{
    for (const struct vsock_socket *each = vsock_sockets; each;
         each = each->next)
        if (each->local.port == port)
            return true;
    return false;
}

/* A port that nobody has; 0: there is none. */
static uint32_t find_free_port(void)
{
    static uint32_t next = PORT_FIRST;

    for (uint32_t i = PORT_FIRST; i <= PORT_LAST; i++) {
        uint32_t port = next;

        next = next == PORT_LAST ? PORT_FIRST : next + 1;
        if (!is_used(port))
            return port;
    }
    return 0;
}

int socket_vsock_bind(struct vsock_socket *one,
                      const struct vsock_address *address)
{
    bool inet = vsock_is_inet(one);
    struct vsock_address before = one->local;
    bool picks = address->port == (inet ? 0 : VMADDR_PORT_ANY);

    if (inet ? !is_any(address) && !socket_vsock_is_own(one, address)
             : address->cid != VMADDR_CID_ANY &&
                   !socket_vsock_is_own(one, address))
        return -EADDRNOTAVAIL;
    one->local = *address;
    if (picks)
        one->local.port = find_free_port();
    if ((picks && !one->local.port) || (!picks && !may_bind(one))) {
        one->local = before;
        return -EADDRINUSE;
    }
    one->bound = true;
    return 0;
}

/* ---- Who listens --------------------------------------------------------- */

struct vsock_socket *socket_vsock_find_local(const struct vsock_socket *from,
                                             const struct vsock_address *to)
{
    bool inet = vsock_is_inet(from);

    for (struct vsock_socket *each = vsock_sockets; each; each = each->next) {
        if (each->phase != VSOCK_LISTENING || each->local.port != to->port ||
            vsock_is_inet(each) != inet)
            continue;
        if (!inet &&
            (each->local.cid == VMADDR_CID_ANY || each->local.cid == to->cid))
            return each;
        if (inet && memcmp(each->local.ip, to->ip, 16) == 0)
            return each;
        if (inet && is_any(&each->local) &&
            (is_ip4(to) ? !each->only_ip6 : each->socket.domain == AF_INET6))
            return each;
    }
    return NULL;
}

/* The outside comes by IPv4. */
struct vsock_socket *socket_vsock_find_listener(uint32_t port)
{
    for (struct vsock_socket *each = vsock_sockets; each; each = each->next) {
        if (each->phase != VSOCK_LISTENING || each->local.port != port)
            continue;
        if (vsock_is_inet(each)
                ? !each->only_ip6 &&
                      (is_any(&each->local) || is_ip(&each->local, own_ip))
                : each->local.cid != VMADDR_CID_LOCAL)
            return each;
    }
    return NULL;
}

/* ---- Where it goes ------------------------------------------------------- */

void socket_vsock_resolve(const struct vsock_socket *one,
                          struct vsock_address *address)
{
    if (!vsock_is_inet(one) || !is_any(address))
        return;
    if (one->socket.domain == AF_INET)
        set_ip4(address, loopback_ip);
    else
        memcpy(address->ip, loopback_ip6, 16);
}

/* A number of one to five digits, up to `most`, and what follows it. */
static bool read_number(const char **at, unsigned most, unsigned *number)
{
    const char *from = *at;

    *number = 0;
    while (**at >= '0' && **at <= '9' && *at - from < 5)
        *number = *number * 10 + (unsigned)(*(*at)++ - '0');
    return *at > from && *number <= most;
}

/* "ADDR:", or "[ADDR]:" of IPv6. */
static bool read_address(const char **at, struct vsock_address *address)
{
    bool six = **at == '[';
    const char *from = *at + six, *end = strchr(from, six ? ']' : ':');
    char text[INET6_ADDRSTRLEN];
    uint8_t ip[16];

    if (!end || (size_t)(end - from) >= sizeof(text) || (six && end[1] != ':'))
        return false;
    memcpy(text, from, (size_t)(end - from));
    text[end - from] = 0;
    if (inet_pton(six ? AF_INET6 : AF_INET, text, ip) != 1)
        return false;
    if (six)
        set_ip6(address, ip);
    else
        set_ip4(address, ip);
    *at = end + 1 + six;
    return true;
}

/* An option "connect=N:ADDR:PORT[:NAME]". */
static bool read_entry(const char *at, unsigned *number,
                       struct vsock_address *address)
{
    return read_number(&at, 65535, number) && *at++ == ':' &&
           read_address(&at, address) &&
           read_number(&at, 65535, &address->port);
}

long socket_vsock_route(const struct vsock_socket *one,
                        const struct vsock_address *address)
{
    struct vsock_address listed;
    const char *entry;
    unsigned number;

    if (!vsock_is_inet(one))
        return !vsock_cid() || address->cid != VSOCK_HOST_CID
                   ? -ENODEV
                   : (long)address->port;
    for (unsigned i = 0; (entry = option_get("connect", i)); i++)
        if (read_entry(entry, &number, &listed) &&
            listed.port == address->port &&
            memcmp(listed.ip, address->ip, 16) == 0)
            return vsock_cid() ? (long)(VSOCK_CONNECT_PORT + number)
                               : -ENETUNREACH;
    return -ENETUNREACH;
}
