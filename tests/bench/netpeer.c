/* SPDX-License-Identifier: MIT */
/* The host's end of network benchmarks, and what a guest is compared with. */
#include "tests/bench/netpeer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 *   netpeer ns COMMAND...                 in a network namespace of its own
 *   netpeer tap NAME [-a ADDRESS/BITS] [-m MTU]
 *                                         makes a tap that stays, and it is up
 *   netpeer ping ADDRESS [-n N] [-i USECS]
 *                                         round trips, back to back or each
 * USECS netpeer blast NAME -d MAC [-n N] [-s BYTES] [-w WINDOW] numbered frames
 * that are echoed, at most WINDOW on their way netpeer flood NAME -d MAC [-n N]
 * [-s BYTES] the same, and no echoes netpeer count NAME [-n N] [-i USECS]
 * counts numbered frames, to a silence netpeer answer NAME -a ADDRESS [-d MAC]
 * [-n N] the reference: answers ARP and ping and echoes frames by read and
 * write
 *
 * Every command prints one line at its end, NAME key=value...; times are in the
 * unit that their name ends with, cpu_us is the process's own. The exit status
 * is 77, and the reason is printed, if something is not allowed or there here.
 */

#define STATUS_SKIP 77

struct options options = {.count = 10000, .bytes = 60, .window = 64};

volatile sig_atomic_t stopped;

/* ---- Small things ------------------------------------------------------- */

void die(const char *format, ...)
{
    int error = errno;
    bool missing =
        error == EPERM || error == EACCES || error == ENOENT || error == ENOSYS;
    va_list arguments;

    fputs("netpeer: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s%s\n", strerror(error),
            missing ? " (needs root, or CAP_NET_ADMIN and CAP_NET_RAW, and "
                      "/dev/net/tun)"
                    : "");
    exit(missing ? STATUS_SKIP : 1);
}

void usage(void)
{
    fputs("usage: netpeer ns|tap|ping|blast|flood|count|answer NAME "
          "[-a ADDRESS] [-d MAC] [-n N] [-s BYTES] [-w WINDOW] [-i USECS] "
          "[-m MTU]\n",
          stderr);
    exit(2);
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t cpu_us(void)
{
    struct rusage usage_now;

    getrusage(RUSAGE_SELF, &usage_now);
    return (uint64_t)(usage_now.ru_utime.tv_sec + usage_now.ru_stime.tv_sec) *
               1000000u +
           (uint64_t)(usage_now.ru_utime.tv_usec + usage_now.ru_stime.tv_usec);
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* Signals end a loop, so that the line at the end is printed. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static int compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

void print_times(uint64_t *times, unsigned long count)
{
    if (count == 0)
        return;
    qsort(times, count, sizeof(*times), compare_times);
    printf(" min_ns=%llu median_ns=%llu p99_ns=%llu",
           (unsigned long long)times[0], (unsigned long long)times[count / 2],
           (unsigned long long)times[count - 1 - count / 100]);
}

uint64_t *make_times(unsigned long count)
{
    uint64_t *times = calloc(count, sizeof(*times));

    if (!times)
        die("cannot allocate %lu times", count);
    return times;
}

/* ---- Interfaces --------------------------------------------------------- */

static void change(int fd, unsigned long request, struct ifreq *wish,
                   const char *what)
{
    if (ioctl(fd, request, wish) < 0)
        die("cannot set %s of %s", what, wish->ifr_name);
}

struct ifreq named(const char *name)
{
    struct ifreq wish = {.ifr_flags = 0};

    snprintf(wish.ifr_name, sizeof(wish.ifr_name), "%s", name);
    return wish;
}

static void bring_up(int fd, const char *name)
{
    struct ifreq wish = named(name);

    if (ioctl(fd, SIOCGIFFLAGS, &wish) < 0)
        die("cannot find interface %s", name);
    wish.ifr_flags |= IFF_UP | IFF_RUNNING;
    change(fd, SIOCSIFFLAGS, &wish, "up");
}

static void set_address(int fd, const char *name, unsigned long request,
                        in_addr_t address)
{
    struct ifreq wish = named(name);
    struct sockaddr_in *in = (struct sockaddr_in *)&wish.ifr_addr;

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = address;
    change(fd, request, &wish, "an address");
}

/* Neighbours are not looked for by IPv6: nothing else shall be on the tap. */
static void disable_ipv6(const char *name)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) < 0)
        fprintf(stderr, "netpeer: IPv6 stays on: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
}

int open_tap(const char *name)
{
    struct ifreq wish = named(name);
    int bytes = sizeof(struct virtio_net_hdr_v1);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        die("cannot open /dev/net/tun");
    wish.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(fd, TUNSETIFF, &wish) < 0)
        die("cannot attach to tap %s", name);
    if (ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0 || ioctl(fd, TUNSETOFFLOAD, 0))
        die("cannot set up tap %s", name);
    return fd;
}

static int run_in_namespace(char **command)
{
    int fd;

    if (unshare(CLONE_NEWNET) < 0)
        die("cannot make a network namespace");
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("cannot open a socket");
    bring_up(fd, "lo");
    execvp(command[0], command);
    fprintf(stderr, "netpeer: cannot run %s: %s\n", command[0],
            strerror(errno));
    return 127;
}

in_addr_t parse_address(char *text, unsigned *bits)
{
    struct in_addr address;
    char *slash = strchr(text, '/');

    *bits = slash ? (unsigned)strtoul(slash + 1, NULL, 10) : 24;
    if (slash)
        *slash = 0;
    if (*bits == 0 || *bits > 32 || inet_pton(AF_INET, text, &address) != 1)
        usage();
    return address.s_addr;
}

static void print_mac(int fd)
{
    struct ifreq wish = named(options.name);
    const uint8_t *mac = (const uint8_t *)wish.ifr_hwaddr.sa_data;

    if (ioctl(fd, SIOCGIFHWADDR, &wish) < 0)
        die("cannot read the address of %s", options.name);
    printf("tap name=%s mac=%02x:%02x:%02x:%02x:%02x:%02x\n", options.name,
           mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static int make_tap(void)
{
    int fd = open_tap(options.name);
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned bits;

    if (ioctl(fd, TUNSETPERSIST, 1) < 0)
        die("cannot keep tap %s", options.name);
    disable_ipv6(options.name);
    if (options.mtu) {
        struct ifreq wish = named(options.name);

        wish.ifr_mtu = (int)options.mtu;
        change(control, SIOCSIFMTU, &wish, "the MTU");
    }
    if (options.address) {
        char *text = strdup(options.address);
        in_addr_t address = parse_address(text, &bits);

        set_address(control, options.name, SIOCSIFADDR, address);
        set_address(control, options.name, SIOCSIFNETMASK,
                    htonl(UINT32_MAX << (32 - bits)));
    }
    bring_up(control, options.name);
    print_mac(control);
    return 0;
}

/* ---- Round trips -------------------------------------------------------- */

static uint16_t checksum(const void *data, size_t bytes)
{
    const uint16_t *words = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < bytes / 2; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static int open_icmp(void)
{
    struct timeval second = {.tv_sec = 1};
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

    if (fd < 0)
        die("cannot open a raw socket");
    if (inet_pton(AF_INET, options.name, &to.sin_addr) != 1)
        usage();
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("no way to %s", options.name);
    return fd;
}

/* One round trip. Returns its nanoseconds, or 0 if there was no answer. */
static uint64_t ping_once(int fd, uint16_t number)
{
    struct {
        struct icmphdr icmp;
        char data[56];
    } request = {.icmp = {.type = ICMP_ECHO}};
    struct {
        struct iphdr ip;
        struct icmphdr icmp;
        char data[56];
    } reply;
    uint64_t start;

    request.icmp.un.echo.id = htons((uint16_t)getpid());
    request.icmp.un.echo.sequence = htons(number);
    request.icmp.checksum = checksum(&request, sizeof(request));
    start = now_ns();
    if (send(fd, &request, sizeof(request), 0) < 0)
        return 0;
    for (;;) {
        ssize_t bytes = recv(fd, &reply, sizeof(reply), 0);

        if (bytes < 0)
            return 0;
        if (bytes == sizeof(reply) && reply.icmp.type == ICMP_ECHOREPLY &&
            reply.icmp.un.echo.id == request.icmp.un.echo.id &&
            reply.icmp.un.echo.sequence == htons(number))
            return now_ns() - start;
    }
}

static int ping(void)
{
    struct timespec pause = {(time_t)(options.interval_us / 1000000),
                             (long)(options.interval_us % 1000000) * 1000};
    uint64_t *times = make_times(options.count);
    unsigned long answered = 0, sent = 0;
    int fd = open_icmp();

    for (unsigned i = 0; i < 5 && !stopped; i++)
        ping_once(fd, (uint16_t)(65000 + i)); /* addresses are found out */
    for (; sent < options.count && !stopped; sent++) {
        uint64_t time;

        if (options.interval_us)
            nanosleep(&pause, NULL);
        time = ping_once(fd, (uint16_t)(sent % 60000));
        if (time)
            times[answered++] = time;
        if (sent + 1 >= answered + 10)
            break; /* nobody is there */
    }
    printf("ping sent=%lu lost=%lu", sent, sent - answered);
    print_times(times, answered);
    printf(" cpu_us=%llu\n", (unsigned long long)cpu_us());
    return answered == 0;
}

/* ---- Words -------------------------------------------------------------- */

static void parse_mac(const char *text)
{
    uint8_t *mac = options.mac;

    options.has_mac =
        sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
               &mac[3], &mac[4], &mac[5]) == ETH_ALEN;
    if (!options.has_mac)
        usage();
}

static void parse(int argc, char **argv)
{
    int option;

    options.name = argv[0];
    while ((option = getopt(argc, argv, "a:d:i:m:n:s:w:")) != -1)
        switch (option) {
        case 'a':
            options.address = optarg;
            break;
        case 'd':
            parse_mac(optarg);
            break;
        case 'i':
            options.interval_us = strtoul(optarg, NULL, 0);
            break;
        case 'm':
            options.mtu = strtoul(optarg, NULL, 0);
            break;
        case 'n':
            options.count = strtoul(optarg, NULL, 0);
            break;
        case 's':
            options.bytes = strtoul(optarg, NULL, 0);
            break;
        case 'w':
            options.window = strtoul(optarg, NULL, 0);
            break;
        default:
            usage();
        }
    if (optind != argc || options.window == 0 || options.window > 65536)
        usage();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } commands[] = {
        {"tap", make_tap}, {"ping", ping},          {"blast", blast},
        {"flood", flood},  {"count", count_frames}, {"answer", answer},
    };

    if (argc < 3)
        usage();
    if (strcmp(argv[1], "ns") == 0)
        return run_in_namespace(argv + 2);
    parse(argc - 2, argv + 2);
    catch_signals();
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run();
    usage();
}
