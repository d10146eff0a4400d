/* SPDX-License-Identifier: MIT */
/* What devices cost before they are used: bring-up, and the code's size. */
#include "tests/bench/io.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_TAP "mayfly1" /* that is open, for --net fd= */

static const char *const forever[] = {IO_MAYFLY, "run", IO_OUT "forever.elf",
                                      NULL};
static struct io_command starts[IO_STARTS];
static char net_fd[32];

/* ---- Command lines ------------------------------------------------- */

static bool needs_net(unsigned which)
{
    return which == IO_START_NET_FD || which == IO_START_ALL_FD ||
           which == IO_START_ALL_TAP;
}

static void push_devices(struct io_command *command, unsigned which)
{
    bool all = which == IO_START_ALL_FD || which == IO_START_ALL_TAP;

    if (which == IO_START_ENTROPY || all)
        io_push(command, "--entropy");
    if (which == IO_START_BALLOON || all)
        io_push(command, "--balloon");
    if (which == IO_START_DISK || all)
        io_push(command, "--disk=" IO_DISK);
    if (which == IO_START_NET_FD || which == IO_START_ALL_FD)
        io_push(command, net_fd);
    if (which == IO_START_ALL_TAP)
        io_push(command, "--net=tap=" IO_TAP);
}

static void make_command(struct io_command *command, unsigned which,
                         const char *stats)
{
    memset(command, 0, sizeof(*command));
    io_push(command, IO_MAYFLY);
    io_push(command, "run");
    if (stats)
        io_push(command, stats);
    push_devices(command, which);
    io_push(command, IO_OUT "boot.elf");
}

/* ---- Times --------------------------------------------------------- */

static void time_one(unsigned which)
{
    struct start start;

    start_timed(starts[which].argv, "", 0, STDERR_FILENO, &start);
    samples_add(&io_results.exit_us[which], start.exit_us);
}

static void time_all(void)
{
    static unsigned seed = 1;
    unsigned order[IO_STARTS] = {0};

    for (unsigned i = 0; i < IO_STARTS; i++) {
        unsigned j = (unsigned)rand_r(&seed) % (i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned i = 0; i < IO_STARTS; i++)
        if (!needs_net(order[i]) || !io_results.net_skipped)
            time_one(order[i]);
}

/*
 * Another VM lives meanwhile, without which each start and end is KVM's own as
 * well, and all that is timed has real-time priority, as far as it may: what is
 * measured here is small beside that noise.
 */
static void calm_the_host(bool on)
{
    const struct sched_param param = {.sched_priority = on};
    char text[64];
    int pipes[2];

    sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param);
    if (!on) {
        stop_waiting(128 + SIGTERM);
        return;
    }
    if (pipe2(pipes, O_CLOEXEC))
        die("pipe");
    spawn_waiting(forever, pipes[1]);
    if (read(pipes[0], text, sizeof(text)) <= 0)
        die("%s does not run", forever[2]);
    close(pipes[0]);
    close(pipes[1]);
}

/* What the monitor asks of the host for a disk's file, and the end of it. */
static void time_opening_disk(void)
{
    uint64_t start = now_ns();
    struct stat about;
    int fd = open(IO_DISK, O_RDWR | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &about))
        die("%s", IO_DISK);
    close(fd);
    samples_add(&io_results.open_disk_us, (double)(now_ns() - start) / 1e3);
}

static void time_opening_tap(void)
{
    uint64_t start = now_ns();

    close(io_net_open_tap(IO_TAP));
    samples_add(&io_results.open_tap_us, (double)(now_ns() - start) / 1e3);
}

static void count_exits(unsigned which)
{
    struct io_command command;
    struct io_child child;
    struct io_end end;

    make_command(&command, which, "--stats=" IO_STATS);
    io_begin(&child, &command);
    io_end(&child, 10000, &end);
    io_check(&child, &end);
    io_results.start_exits[which] =
        io_stat("\"exits_hypercall\": ") + io_stat("\"exits_registers\": ");
}

/* ---- Sizes --------------------------------------------------------- */

/* The text of all that is linked in from virtio/, as `size` has it. */
static double device_text_bytes(void)
{
    FILE *sizes = popen("size build/obj/musl/virtio/*.o 2>/dev/null", "re");
    char line[512];
    double bytes = 0;

    while (sizes && fgets(line, sizeof(line), sizes))
        bytes += strtod(line, NULL);
    if (!sizes || pclose(sizes) || bytes <= 0)
        return NAN;
    return bytes;
}

static double file_bytes(const char *path)
{
    struct stat about;

    if (stat(path, &about))
        die("%s", path);
    return (double)about.st_size;
}

/* ---- All ----------------------------------------------------------- */

void io_start_all(void)
{
    bool net = !io_results.net_skipped;
    int tap = net ? io_net_open_tap(OTHER_TAP) : -1;

    snprintf(net_fd, sizeof(net_fd), "--net=fd=%d", tap);
    for (unsigned i = 0; i < IO_STARTS; i++) {
        make_command(&starts[i], i, NULL);
        io_results.start_exits[i] = NAN;
        if (net || !needs_net(i))
            count_exits(i);
    }
    calm_the_host(true);
    for (unsigned i = 0; i < io_results.start_rounds; i++) {
        time_all();
        time_opening_disk();
        if (net)
            time_opening_tap();
    }
    calm_the_host(false);
    if (net)
        close(tap);
    io_results.device_text_bytes = device_text_bytes();
    io_results.monitor_bytes = file_bytes(IO_MAYFLY);
}
