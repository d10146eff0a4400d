/* SPDX-License-Identifier: MIT */
/* The disk's loads: blkbench in a guest, diskref on the host. */
#include "tests/bench/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK_BYTES (64 << 20)
#define SEED       "1"
#define LATE_MS    60000

/* What was read must be the same in all modes. */
static char sums[IO_LOADS][17];

static void push_guest(struct io_command *command, enum io_mode mode)
{
    io_push_mayfly(command, mode);
    io_push(command, "--disk=" IO_DISK);
    io_push(command, IO_OUT "blkbench.elf");
    io_push(command, "--");
}

void io_block_prepare(void)
{
    static char buffer[1 << 20];
    struct io_command command = {0};
    struct io_child child;
    struct io_end end;
    int fd = open(IO_DISK, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, DISK_BYTES))
        die("cannot make %s", IO_DISK);
    push_guest(&command, IO_AUTO);
    io_push(&command, "stamp");
    io_begin(&child, &command);
    io_end(&child, LATE_MS, &end);
    io_check(&child, &end);
    while (read(fd, buffer, sizeof(buffer)) > 0)
        ;
    close(fd);
}

static void check_sum(const struct io_load *load, enum io_mode mode,
                      const char *text)
{
    char *sum = sums[load - io_results.loads];
    const char *at = strstr(text, " sum ");

    errno = 0;
    if (!at || strlen(at) < 21)
        die("no sum in '%s'", text);
    if (!*sum)
        memcpy(sum, at + 5, 16);
    if (memcmp(sum, at + 5, 16) != 0)
        die("%s, %s: other data than before: %.16s instead of %s", load->title,
            io_mode_titles[mode], at + 5, sum);
}

static void add_results(struct io_load *load, enum io_mode mode,
                        const char *text, const struct io_end *end)
{
    struct samples *samples = load->samples[mode];
    double ns = io_number(text, " ns "), median = io_number(text, " median ");

    if (median > 0) {
        samples_add(&samples[IO_MEDIAN_US], median / 1e3);
        samples_add(&samples[IO_MIN_US], io_number(text, " min ") / 1e3);
    }
    samples_add(&samples[IO_MEAN_US], ns / 1e3 / load->count);
    samples_add(&samples[IO_RATE], load->count * 1e9 / ns);
    samples_add(&samples[IO_CPU_US], end->cpu_us / load->count);
    samples_add(&samples[IO_SERVER_CPU], end->cpu);
    if (mode != IO_HOST)
        io_add_stats(samples, "disk", load->count);
}

static void run(struct io_load *load, enum io_mode mode)
{
    struct io_command command = {0};
    char bytes[16], depth[16], count[16];
    struct io_child child;
    struct io_end end;

    snprintf(bytes, sizeof(bytes), "%u", load->bytes);
    snprintf(depth, sizeof(depth), "%u", load->depth);
    snprintf(count, sizeof(count), "%u", load->count);
    if (mode == IO_HOST) {
        io_push(&command, IO_OUT "diskref");
        io_push(&command, IO_DISK);
    } else {
        push_guest(&command, mode);
    }
    for (unsigned i = 0; load->guest_words[i]; i++)
        io_push(&command, load->guest_words[i]);
    io_push(&command, bytes);
    if (mode != IO_HOST)
        io_push(&command, depth);
    io_push(&command, count);
    io_push(&command, SEED);
    io_begin(&child, &command);
    io_end(&child, LATE_MS, &end);
    io_check(&child, &end);
    check_sum(load, mode, child.text);
    add_results(load, mode, child.text, &end);
}

void io_block_round(void)
{
    for (unsigned i = IO_READ_1; i <= IO_SEQUENTIAL_4; i++)
        io_each_mode(&io_results.loads[i], run);
}
