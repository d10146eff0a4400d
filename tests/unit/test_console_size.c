/* SPDX-License-Identifier: MIT */
/* The console's size: that of the terminal behind it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "virtio/console.h"
#include "virtio/native.h"
#include "vmm/base/os.h"

static _Alignas(4096) uint8_t ram[0x200000];
static const struct gmem mem = {
    .regions = {{MF_BOOT_PAGE, sizeof(ram), ram}},
    .count = 1,
};
static struct native native;
static struct console console;

static void start(int in_fd, int out_fd)
{
    cr_assert_eq(native_init(&native, &mem), 0);
    console_init(&console, in_fd, out_fd, CONSOLE_OUT_CHAINS);
    cr_assert_eq(native_add(&native, &console.dev, console.flags), 0);
}

static void set_terminal(int fd, unsigned short rows, unsigned short columns)
{
    const struct winsize size = {.ws_row = rows, .ws_col = columns};

    cr_assert_eq(ioctl(fd, TIOCSWINSZ, &size), 0);
}

static int open_terminal(unsigned short rows, unsigned short columns)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    int fd;

    cr_assert_geq(master, 0);
    cr_assert_eq(grantpt(master), 0);
    cr_assert_eq(unlockpt(master), 0);
    fd = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(fd, 0);
    set_terminal(fd, rows, columns);
    return fd;
}

static uint32_t config(unsigned offset, unsigned bytes)
{
    uint32_t value = 0;

    vdev_read_config(&console.dev, offset, &value, bytes);
    return value;
}

Test(console_size, follows_the_terminal)
{
    int terminal = open_terminal(25, 80);

    start(-1, terminal);
    cr_assert(console.dev.offered & UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE);
    cr_assert_eq(config(0, 2), 80);
    cr_assert_eq(config(2, 2), 25);
    set_terminal(terminal, 50, 132);
    console_resize(&console);
    cr_assert_eq(config(0, 2), 132);
    cr_assert_eq(config(2, 2), 50);
    cr_assert_eq(console.dev.generation, 1);
    cr_assert_eq(console.dev.interrupts, VDEV_INTERRUPT_CONFIG);
    cr_assert_eq(event_read(&native.events), 1);
}

Test(console_size, says_nothing_when_it_is_the_same)
{
    int terminal = open_terminal(25, 80);

    start(terminal, -1);
    console_resize(&console);
    cr_assert_eq(console.dev.generation, 0);
    cr_assert_eq(event_read(&native.events), 0);
    set_terminal(terminal, 26, 80);
    console_resize(&console);
    set_terminal(terminal, 26, 81);
    console_resize(&console);
    cr_assert_eq(console.dev.generation, 2, "rows alone, columns alone");
}

Test(console_size, is_that_of_the_output_if_both_are_terminals)
{
    int in = open_terminal(1, 2), out = open_terminal(3, 4);

    start(in, out);
    cr_assert_eq(config(0, 2), 4);
    set_terminal(in, 5, 6);
    console_resize(&console);
    cr_assert_eq(console.dev.generation, 0);
    set_terminal(out, 7, 8);
    console_resize(&console);
    cr_assert_eq(config(0, 2), 8);
}

Test(console_size, is_not_asked_for_where_there_is_no_terminal)
{
    unsigned long calls;
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    start(fds[0], fds[1]);
    calls = os_calls;
    console_resize(&console);
    cr_assert_eq(os_calls, calls);
    cr_assert_eq(console.dev.generation, 0);
}

Test(console_size, stays_as_it_was_when_the_host_cannot_say)
{
    int terminal = open_terminal(25, 80);

    start(-1, terminal);
    close(terminal);
    console_resize(&console);
    cr_assert_eq(config(0, 2), 80);
    cr_assert_eq(console.dev.generation, 0);
}

Test(console_size, is_changed_silently_before_there_is_a_driver)
{
    int terminal = open_terminal(25, 80);

    start(-1, terminal);
    vdev_set_status(&console.dev, 0);
    set_terminal(terminal, 30, 90);
    console_resize(&console);
    cr_assert_eq(config(0, 2), 90);
    cr_assert_eq(console.dev.generation, 1);
    cr_assert_eq(event_read(&native.events), 0);
}
