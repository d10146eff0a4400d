/* SPDX-License-Identifier: MIT */
/* --net and -p: their options, tap devices, and inherited descriptors. */
#include "vmm/cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU_MIN      68 /* virtio 1.2, 5.1.4.1 */
#define MTU_MAX      65535
#define MTU_USER_MAX 65520 /* what passt takes */

/* The header in front of each frame: virtio 1.2, 5.1.6, num_buffers too. */
#define VNET_HEADER_BYTES 12
#define TAP_FLAGS         (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

/* ---- Options ------------------------------------------------------------ */

/* Reads decimal digits and nothing else, up to `max`. */
static bool parse_decimal(const char *text, unsigned long max,
                          unsigned long *value)
{
    size_t length = strlen(text);

    if (length == 0 || length > 9 || strspn(text, "0123456789") != length)
        return false;
    *value = strtoul(text, NULL, 10);
    return *value <= max;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Six pairs of hexadecimal digits with colons between them. */
static bool parse_mac(const char *text, uint8_t mac[6])
{
    if (strlen(text) != 17)
        return false;
    for (size_t i = 0; i < 6; i++) {
        int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);

        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':'))
            return false;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero_mac(const uint8_t mac[6])
{
    static const uint8_t zero[6];

    return memcmp(mac, zero, sizeof(zero)) == 0;
}

static int take_mac(const char *value, struct cli_net *net)
{
    if (!is_zero_mac(net->mac))
        return cli_misuse(NULL, "--net takes mac= once");
    if (!parse_mac(value, net->mac))
        return cli_misuse(NULL,
                          "--net takes mac= such as 02:00:00:00:00:01, "
                          "not '%s'",
                          value);
    if (net->mac[0] & 1)
        return cli_misuse(NULL, "mac=%s is an address of many (multicast)",
                          value);
    if (is_zero_mac(net->mac))
        return cli_misuse(NULL, "mac=%s is nobody's address", value);
    return CLI_OK;
}

static int take_mtu(const char *value, struct cli_net *net)
{
    unsigned long max = net->kind == CLI_NET_USER ? MTU_USER_MAX : MTU_MAX;
    unsigned long mtu;

    if (net->mtu)
        return cli_misuse(NULL, "--net takes mtu= once");
    if (!parse_decimal(value, max, &mtu) || mtu < MTU_MIN)
        return cli_misuse(NULL,
                          "--net takes mtu= of %d to %lu bytes here, not '%s'",
                          MTU_MIN, max, value);
    net->mtu = (uint16_t)mtu;
    return CLI_OK;
}

/* The first word: what is behind the device. */
static int take_kind(char *word, struct cli_net *net)
{
    unsigned long fd;

    if (strcmp(word, "user") == 0) {
        net->kind = CLI_NET_USER;
        return CLI_OK;
    }
    if (strncmp(word, "tap=", 4) == 0) {
        net->kind = CLI_NET_TAP;
        net->name = word + 4;
        if (!*net->name || strlen(net->name) >= IFNAMSIZ)
            return cli_misuse(NULL, "--net takes tap= of 1 to %d bytes",
                              IFNAMSIZ - 1);
        return CLI_OK;
    }
    if (strncmp(word, "fd=", 3) == 0) {
        net->kind = CLI_NET_FD;
        if (!parse_decimal(word + 3, 1u << 20, &fd) || fd <= STDERR_FILENO)
            return cli_misuse(NULL,
                              "--net takes fd= of a descriptor from 3 on, "
                              "not '%s'",
                              word + 3);
        net->fd = (int)fd;
        return CLI_OK;
    }
    return cli_misuse(NULL, "--net needs tap=NAME, user or fd=N, not '%s'",
                      word);
}

static int take_word(const char *word, struct cli_net *net)
{
    int status = cli_parse_rate("--net", "pps", word, &net->rate);

    if (status != CLI_OTHER)
        return status;
    status = cli_parse_address(word, &net->addresses);
    if (status != CLI_OTHER)
        return status;
    if (strncmp(word, "mac=", 4) == 0)
        return take_mac(word + 4, net);
    if (strncmp(word, "mtu=", 4) == 0)
        return take_mtu(word + 4, net);
    if (net->kind == CLI_NET_USER && strcmp(word, "host") == 0) {
        net->host = true;
        return CLI_OK;
    }
    return cli_misuse(
        "run",
        "--net takes ip=, gw=, ip6=, gw6=, dns=, mac=MAC, mtu=N, pps=N and "
        "bps=N, not '%s'",
        word);
}

int cli_parse_net(char *text, struct cli_net *net)
{
    char *rest = text, *word = strsep(&rest, ",");
    int status;

    *net = (struct cli_net){.fd = -1};
    status = take_kind(word, net);
    while (!status && (word = strsep(&rest, ",")) != NULL)
        status = take_word(word, net);
    return status ? status : cli_settle_addresses(&net->addresses);
}

/* An IPv4 address, or an IPv6 address in brackets. */
static bool parse_address(char *text, char *address)
{
    uint8_t binary[16];
    size_t length = strlen(text);
    int family = AF_INET;

    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        text[length - 1] = '\0';
        text++;
        family = AF_INET6;
    }
    length = strlen(text) + 1;
    if (inet_pton(family, text, binary) != 1 || length > CLI_ADDRESS_BYTES)
        return false;
    memcpy(address, text, length);
    return true;
}

/* Cuts off what follows the last `mark`. Returns it, or NULL. */
static char *cut_last(char *text, char mark)
{
    char *at = strrchr(text, mark);

    if (!at)
        return NULL;
    *at = '\0';
    return at + 1;
}

static bool parse_forward(char *text, struct cli_forward *forward)
{
    unsigned long host_port, guest_port;
    const char *protocol = cut_last(text, '/');
    const char *guest = cut_last(text, ':');
    const char *host = cut_last(text, ':');
    bool address = host != NULL;

    forward->udp = protocol && strcmp(protocol, "udp") == 0;
    if (protocol && !forward->udp && strcmp(protocol, "tcp") != 0)
        return false;
    if (!address)
        host = text;
    if (!guest || !parse_decimal(guest, UINT16_MAX, &guest_port) ||
        !parse_decimal(host, UINT16_MAX, &host_port) || !guest_port ||
        !host_port)
        return false;
    forward->guest = (uint16_t)guest_port;
    forward->host = (uint16_t)host_port;
    return !address || parse_address(text, forward->address);
}

int cli_parse_forward(const char *text, struct cli_forward *forward)
{
    char words[80];
    int length = snprintf(words, sizeof(words), "%s", text);

    *forward = (struct cli_forward){.udp = false};
    if (length < (int)sizeof(words) && parse_forward(words, forward))
        return CLI_OK;
    return cli_misuse(NULL,
                      "-p takes [ADDR:]HOST:GUEST[/tcp|/udp], with an IPv6 "
                      "ADDR in brackets, not '%s'",
                      text);
}

int cli_settle_nets(const struct cli_net *nets, unsigned count,
                    const struct cli_forward *forwards, unsigned forward_count)
{
    unsigned users = 0;

    for (unsigned i = 0; i < count; i++)
        users += nets[i].kind == CLI_NET_USER;
    if (users > 1)
        return cli_misuse(NULL, "--net user is possible once");
    if (forward_count && count > 0 && !users)
        return cli_misuse(NULL, "-p works without --net, or with --net user");
    for (unsigned i = 0; i < forward_count; i++)
        if (forwards[i].udp && !users)
            return cli_misuse(NULL, "-p with /udp works with --net user only");
    return CLI_OK;
}

/* ---- Tap devices -------------------------------------------------------- */

/* Why the kernel refuses to attach us. */
static const char *explain_tap(int error)
{
    switch (error) {
    case EPERM:
        return "it belongs to someone else; one of your own comes, as root, "
               "from: ip tuntap add NAME mode tap user USER";
    case EBUSY:
        return "it is in use";
    case EINVAL:
        return "it is not a tap device, or one of several queues";
    default:
        return strerror(error);
    }
}

static int open_tap(const char *name, int *tap)
{
    struct ifreq request = {.ifr_flags = TAP_FLAGS};
    int header_bytes = VNET_HEADER_BYTES, error;

    /* The kernel would make one for root, which nobody could know to use. */
    if (if_nametoindex(name) == 0)
        return cli_fail(CLI_FAILED,
                        "there is no tap device %s; make it, as root, with: "
                        "ip tuntap add %s mode tap user USER && "
                        "ip link set %s up",
                        name, name, name);
    *tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (*tap < 0)
        return cli_fail(CLI_FAILED, "cannot open /dev/net/tun: %s",
                        strerror(errno));
    memcpy(request.ifr_name, name, strlen(name)); /* its length is checked */
    if (ioctl(*tap, TUNSETIFF, &request) == 0 &&
        ioctl(*tap, TUNSETVNETHDRSZ, &header_bytes) == 0)
        return CLI_OK;
    error = errno;
    close(*tap);
    return cli_fail(CLI_FAILED, "cannot use tap device %s: %s", name,
                    explain_tap(error));
}

/* ---- Inherited descriptors ---------------------------------------------- */

/* Returns what makes the tap unfit, or NULL. */
static const char *ready_inherited_tap(int fd, unsigned flags)
{
    int header_bytes = VNET_HEADER_BYTES;

    if ((flags & TAP_FLAGS) != TAP_FLAGS)
        return "a tap device has to be opened with IFF_TAP, IFF_NO_PI and "
               "IFF_VNET_HDR";
    if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes))
        return strerror(errno);
    return NULL;
}

/* Finds what a descriptor is. Returns what makes it unfit, or NULL. */
static const char *identify(int fd, enum mayfly_net_kind *kind)
{
    struct sockaddr_storage peer;
    struct ifreq request = {.ifr_flags = 0};
    int type = 0;
    socklen_t type_bytes = sizeof(type), peer_bytes = sizeof(peer);

    if (fcntl(fd, F_GETFD) < 0)
        return "it is not open";
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes) == 0) {
        *kind = MAYFLY_NET_STREAM;
        if (type != SOCK_STREAM)
            return "a socket has to be a stream";
        return getpeername(fd, (struct sockaddr *)&peer, &peer_bytes)
                   ? "its socket is not connected"
                   : NULL;
    }
    *kind = MAYFLY_NET_TAP;
    if (ioctl(fd, TUNGETIFF, &request))
        return "it is neither a tap device nor a socket";
    return ready_inherited_tap(fd, (unsigned short)request.ifr_flags);
}

static int open_inherited(int fd, enum mayfly_net_kind *kind)
{
    const char *fault = identify(fd, kind);

    if (fault)
        return cli_fail(CLI_FAILED, "cannot use descriptor %d: %s", fd, fault);
    return CLI_OK;
}

/* passt, which has to know the guest's address: one is made up if need be. */
static int open_user(struct cli_net *net, const struct cli_forward *forwards,
                     unsigned forward_count, int *fd)
{
    if (is_zero_mac(net->mac)) {
        if (getrandom(net->mac, sizeof(net->mac), 0) != sizeof(net->mac))
            return cli_fail(CLI_FAILED, "--net user: %s", strerror(errno));
        /* Administered here, and of one station. */
        net->mac[0] = (uint8_t)((net->mac[0] & ~1) | 2);
    }
    return cli_start_passt(net, forwards, forward_count, fd);
}

int cli_open_net(const struct cli_net *net, const struct cli_forward *forwards,
                 unsigned forward_count, struct mayfly_net *opened)
{
    struct cli_net settled = *net;
    enum mayfly_net_kind kind = MAYFLY_NET_TAP;
    int fd = net->fd, status = CLI_FAILED;

    switch (net->kind) {
    case CLI_NET_TAP:
        status = open_tap(net->name, &fd);
        break;
    case CLI_NET_USER:
        kind = MAYFLY_NET_STREAM;
        status = open_user(&settled, forwards, forward_count, &fd);
        break;
    case CLI_NET_FD:
        status = open_inherited(fd, &kind);
        break;
    }
    *opened = (struct mayfly_net){
        .fd = fd, .kind = kind, .mtu = net->mtu, .rate = net->rate};
    memcpy(opened->mac, settled.mac, sizeof(opened->mac));
    return status;
}
