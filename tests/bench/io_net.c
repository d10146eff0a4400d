/* SPDX-License-Identifier: MIT */
/* The network's loads: guests, and netpeer, on a tap of our own. */
#include "tests/bench/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER        IO_OUT "netpeer"
#define WARM_UPS    5  /* that `netpeer ping` sends first */
#define STATUS_SKIP 77 /* of netpeer */
#define LATE_MS     60000
#define GRACE_MS    2000 /* for a guest, after the client */
#define FOREVER     "4000000000"
#define IDLE_US     "10000"

static int control = -1; /* a socket, to look at the tap */

static struct ifreq named(const char *name)
{
    struct ifreq wish = {.ifr_flags = 0};

    snprintf(wish.ifr_name, sizeof(wish.ifr_name), "%s", name);
    return wish;
}

int io_net_open_tap(const char *name)
{
    struct ifreq wish = named(name);
    int fd = open("/dev/net/tun", O_RDWR);

    wish.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &wish))
        die("cannot attach to tap %s", name);
    return fd;
}

const char *io_net_prepare(void)
{
    struct io_command command = {
        .argv = {PEER, "tap", IO_TAP, "-a", IO_HERE, NULL}, .count = 5};
    struct io_child child;
    struct io_end end;

    if (access("/dev/net/tun", R_OK | W_OK))
        return "/dev/net/tun is not there or not allowed";
    if (unshare(CLONE_NEWNET))
        return "a network namespace needs root";
    io_begin(&child, &command);
    io_end(&child, LATE_MS, &end);
    if (WIFEXITED(end.status) && WEXITSTATUS(end.status) == STATUS_SKIP)
        return "a tap is not allowed";
    io_check(&child, &end);
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0)
        die("socket");
    return NULL;
}

/* A tap carries frames a moment after somebody has attached to it. */
static void wait_for_carrier(void)
{
    struct ifreq wish = named(IO_TAP);

    for (unsigned i = 0; i < 3000; i++) {
        if (ioctl(control, SIOCGIFFLAGS, &wish))
            die("no interface %s", IO_TAP);
        usleep(1000);
        if (wish.ifr_flags & IFF_RUNNING)
            return;
    }
    errno = 0;
    die("nobody is on %s", IO_TAP);
}

/* Frames that the tap has dropped so far: the twelfth number of its line. */
static double tap_drops(void)
{
    char line[512];
    double drops = 0;
    FILE *file = fopen("/proc/self/net/dev", "re");

    while (file && fgets(line, sizeof(line), file)) {
        char *at = strstr(line, IO_TAP ":");

        if (!at)
            continue;
        at += strlen(IO_TAP ":");
        for (unsigned i = 0; i < 12; i++)
            drops = strtod(at, &at);
    }
    if (!file)
        die("/proc/self/net/dev");
    fclose(file);
    return drops;
}

/* ---- Both ends ----------------------------------------------------- */

static bool is_ping(const struct io_load *load)
{
    return load - io_results.loads == IO_PING_BUSY ||
           load - io_results.loads == IO_PING_IDLE;
}

/* What answers, until it has answered `count`. */
static void begin_server(struct io_child *child, const struct io_load *load,
                         enum io_mode mode, const char *count)
{
    struct io_command command = {0};

    if (mode == IO_HOST) {
        static const char *const words[] = {PEER,     "answer", IO_TAP, "-a",
                                            IO_THERE, "-d",     IO_MAC};

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            io_push(&command, words[i]);
    } else {
        io_push_mayfly(&command, mode);
        io_push(&command, "--net=tap=" IO_TAP ",mac=" IO_MAC);
        for (unsigned i = 0; load->guest_words[i]; i++) {
            io_push(&command, load->guest_words[i]);
            if (i == 0)
                io_push(&command, "--");
        }
    }
    io_push(&command, "-n");
    io_push(&command, count);
    if (mode != IO_HOST && is_ping(load))
        io_push(&command, IO_THERE);
    io_begin(child, &command);
    io_await(child, " ready\n");
}

/* What asks. */
static void begin_client(struct io_child *child, const struct io_load *load,
                         const char *count)
{
    struct io_command command = {.argv = {PEER}, .count = 1};
    char bytes[16], window[16];

    snprintf(bytes, sizeof(bytes), "%u", load->bytes);
    snprintf(window, sizeof(window), "%u", load->depth);
    io_push(&command, is_ping(load) ? "ping" : "blast");
    io_push(&command, is_ping(load) ? IO_THERE : IO_TAP);
    io_push(&command, "-n");
    io_push(&command, count);
    if (load - io_results.loads == IO_PING_IDLE) {
        io_push(&command, "-i");
        io_push(&command, IDLE_US);
    }
    if (!is_ping(load)) {
        io_push(&command, "-d");
        io_push(&command, IO_MAC);
        io_push(&command, "-s");
        io_push(&command, bytes);
        io_push(&command, "-w");
        io_push(&command, window);
    }
    io_begin(child, &command);
}

/* ---- Results ------------------------------------------------------- */

static void add_client(struct io_load *load, struct samples *samples,
                       const char *text, const struct io_end *end)
{
    samples_add(&samples[IO_MEDIAN_US], io_number(text, " median_ns=") / 1e3);
    samples_add(&samples[IO_MIN_US], io_number(text, " min_ns=") / 1e3);
    samples_add(&samples[IO_P99_US], io_number(text, " p99_ns=") / 1e3);
    samples_add(&samples[IO_CLIENT_US],
                io_number(text, " cpu_us=") / load->count);
    samples_add(&samples[IO_CLIENT_CPU], end->cpu);
    if (!is_ping(load))
        samples_add(&samples[IO_RATE], io_number(text, " rate_pps="));
}

/*
 * Of what is missing, the part that the tap itself dropped, its queue being
 * full, never was the server's. The rest counts as lost, whoever did it.
 */
static void add_losses(struct samples *samples, double missing, double dropped)
{
    if (dropped > missing)
        dropped = missing;
    samples_add(&samples[IO_LOST], missing - dropped);
    samples_add(&samples[IO_UNDELIVERED], dropped);
}

/* The server ends by itself, or is stopped if packets did not come. */
static void check_server(const struct io_child *server,
                         const struct io_end *end)
{
    errno = 0;
    if (!WIFEXITED(end->status) ||
        (WEXITSTATUS(end->status) && WEXITSTATUS(end->status) != 128 + SIGTERM))
        die("%s ended with wait status %#x and printed '%s'", server->name,
            (unsigned)end->status, server->text);
}

static void add_server(struct io_load *load, enum io_mode mode, double missing,
                       const struct io_end *end)
{
    struct samples *samples = load->samples[mode];
    double done = load->count - missing + (is_ping(load) ? WARM_UPS : 0);

    samples_add(&samples[IO_CPU_US], end->cpu_us / done);
    samples_add(&samples[IO_SERVER_CPU], end->cpu);
    if (mode != IO_HOST)
        io_add_stats(samples, "net", done);
}

/* A guest ends by itself once it has answered all; the process, which counts
 * neighbours' requests too, is stopped. */
static void run(struct io_load *load, enum io_mode mode)
{
    struct io_child server, client;
    struct io_end server_end, client_end;
    char asked[16], answered[16];
    double drops, missing;

    snprintf(asked, sizeof(asked), "%u", load->count);
    snprintf(answered, sizeof(answered), "%u",
             load->count + (is_ping(load) ? WARM_UPS : 0));
    begin_server(&server, load, mode, mode == IO_HOST ? FOREVER : answered);
    wait_for_carrier();
    drops = tap_drops();
    begin_client(&client, load, asked);
    io_end(&client, LATE_MS, &client_end);
    drops = tap_drops() - drops;
    io_end(&server, mode == IO_HOST ? 0 : GRACE_MS, &server_end);
    io_check(&client, &client_end);
    check_server(&server, &server_end);
    /* It gives up, and sends no more, when nothing comes back. */
    missing = io_number(client.text, " lost=");
    add_client(load, load->samples[mode], client.text, &client_end);
    add_server(load, mode,
               missing + load->count - io_number(client.text, "sent="),
               &server_end);
    add_losses(load->samples[mode], missing, drops);
}

void io_net_round(void)
{
    for (unsigned i = IO_PING_BUSY; i < IO_LOADS; i++)
        io_each_mode(&io_results.loads[i], run);
}
