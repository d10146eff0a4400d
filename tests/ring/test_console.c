/* SPDX-License-Identifier: MIT */
/* The guest's console driver against the monitor's console device. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_rt/console.h"
#include "tests/ring/vm.h"

static int pipe_fds[2];
static int out_file;

/* All output goes to one file, input comes from a pipe. */
static void set_up(void)
{
    cr_assert_eq(pipe(pipe_fds), 0);
    out_file = memfd_create("out", 0);
    cr_assert_geq(out_file, 0);
    vm_start(pipe_fds[0], out_file, out_file);
}

/* What a guest program does: from its own memory. */
static long write_text(int fd, const char *text)
{
    struct iovec piece = {VM_BUFFER, strlen(text)};

    memcpy(VM_BUFFER, text, piece.iov_len);
    return console_writev(fd, &piece, 1);
}

static long write_bytes(int fd, void *from, size_t bytes)
{
    struct iovec piece = {from, bytes};

    return console_writev(fd, &piece, 1);
}

static long read_bytes(void *to, size_t bytes)
{
    struct iovec piece = {to, bytes};

    return console_readv(&piece, 1);
}

static void drain(void)
{
    cr_assert_eq(vdev_set_serve(&vm.native.set, VDEV_SET_ALL), 0);
}

static void assert_output(const char *expected)
{
    char text[256] = "";
    ssize_t bytes = pread(out_file, text, sizeof(text) - 1, 0);

    cr_assert_eq(bytes, (ssize_t)strlen(expected), "%zd bytes: %s", bytes,
                 text);
    cr_assert_str_eq(text, expected);
}

/* A reproducible stream of numbers. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*state >> 33);
}

/* ---- Output ---------------------------------------------------------- */

Test(console_ring, prints_without_an_exit, .init = set_up)
{
    cr_assert_eq(write_text(1, "hello, "), 7);
    cr_assert_eq(write_text(1, "world\n"), 6);
    assert_output("");
    drain();
    assert_output("hello, world\n");
    cr_assert_eq(vm.kicks, 0);
}

Test(console_ring, gathers_the_pieces_of_one_call, .init = set_up)
{
    struct iovec pieces[3] = {{VM_BUFFER, 3}, {NULL, 0}, {VM_BUFFER + 3, 2}};

    memcpy(VM_BUFFER, "abcde", 5);
    cr_assert_eq(console_writev(1, pieces, 3), 5);
    drain();
    assert_output("abcde");
}

Test(console_ring, kicks_when_the_ring_is_full_and_not_before, .init = set_up)
{
    for (unsigned i = 1; i < CONSOLE_OUT_CHAINS; i++)
        cr_assert_eq(write_text(1, "x"), 1);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(write_text(1, "x"), 1);
    cr_assert_eq(vm.kicks, 1);
    for (unsigned i = 0; i < 10 * CONSOLE_OUT_CHAINS; i++)
        cr_assert_eq(write_text(1, "x"), 1);
    cr_assert_eq(vm.kicks, 11);
}

Test(console_ring, uses_the_ring_again_after_a_drain_without_a_kick,
     .init = set_up)
{
    for (unsigned i = 0; i < 10 * CONSOLE_OUT_CHAINS; i++) {
        cr_assert_eq(write_text(1, "y"), 1);
        if (i % (CONSOLE_OUT_CHAINS - 1) == 0)
            drain();
    }
    cr_assert_eq(vm.kicks, 0);
}

Test(console_ring, kicks_when_the_buffer_is_full, .init = set_up)
{
    memset(VM_BUFFER, 'b', 65536);
    cr_assert_eq(write_bytes(1, VM_BUFFER, 65535), 65535);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(write_bytes(1, VM_BUFFER, 1), 1);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(lseek(out_file, 0, SEEK_END), 65536);
}

Test(console_ring, sends_a_large_write_with_one_kick, .init = set_up)
{
    memset(VM_BUFFER, 'c', 8 << 20);
    cr_assert_eq(write_text(1, "first"), 5);
    cr_assert_eq(write_bytes(1, VM_BUFFER, 8 << 20), 8 << 20);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(lseek(out_file, 0, SEEK_END), 5 + (8 << 20));
}

Test(console_ring, keeps_the_order_between_output_and_error, .init = set_up)
{
    cr_assert_eq(write_text(1, "one "), 4);
    cr_assert_eq(write_text(2, "two "), 4);
    cr_assert_eq(write_text(2, "three "), 6);
    cr_assert_eq(write_text(1, "four\n"), 5);
    drain();
    assert_output("one two three four\n");
    cr_assert_eq(vm.kicks, 2, "one for each change");
}

Test(console_ring, changes_streams_for_free_when_nothing_is_pending,
     .init = set_up)
{
    cr_assert_eq(write_text(1, "one "), 4);
    drain();
    cr_assert_eq(write_text(2, "two"), 3);
    drain();
    assert_output("one two");
    cr_assert_eq(vm.kicks, 0);
}

Test(console_ring, keeps_the_order_of_random_writes_to_both, .init = set_up)
{
    enum { ROUNDS = 20000, BYTES_MAX = 9000 };
    unsigned char *expected = malloc((size_t)ROUNDS * BYTES_MAX);
    uint64_t state = 1;
    size_t total = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t bytes = next_random(&state) % 16 == 0
                           ? next_random(&state) % BYTES_MAX
                           : next_random(&state) % 100;

        for (size_t k = 0; k < bytes; k++)
            VM_BUFFER[k] = (unsigned char)next_random(&state);
        memcpy(expected + total, VM_BUFFER, bytes);
        total += bytes;
        cr_assert_eq(write_bytes(1 + next_random(&state) % 2, VM_BUFFER, bytes),
                     (long)bytes);
        if (next_random(&state) % 64 == 0)
            drain();
    }
    drain();

    unsigned char *there =
        mmap(NULL, total, PROT_READ, MAP_SHARED, out_file, 0);
    cr_assert_eq(lseek(out_file, 0, SEEK_END), (off_t)total);
    cr_assert_eq(memcmp(there, expected, total), 0);
    free(expected);
}

#define FLOOD_BYTES (UINT64_C(256) << 20)

/* Reads a pipe to its end and compares it with the writer's numbers. */
static void *check_flood(void *unused)
{
    static unsigned char part[65536];
    uint64_t total = 0;
    ssize_t bytes;

    (void)unused;
    while ((bytes = read(pipe_fds[0], part, sizeof(part))) > 0)
        for (ssize_t i = 0; i < bytes; i++, total++)
            if (part[i] != (unsigned char)(total * 7 + (total >> 13)))
                return (void *)(uintptr_t)(total + 1);
    return (void *)(uintptr_t)(total == FLOOD_BYTES ? 0 : total + 1);
}

Test(console_ring, carries_a_flood_through_a_pipe_whole_and_in_order,
     .timeout = 120)
{
    pthread_t reader;
    void *wrong;
    uint64_t state = 2;

    cr_assert_eq(pipe(pipe_fds), 0);
    cr_assert_eq(pthread_create(&reader, NULL, check_flood, NULL), 0);
    vm_start(-1, pipe_fds[1], pipe_fds[1]);
    for (uint64_t total = 0; total < FLOOD_BYTES;) {
        uint64_t bytes = next_random(&state) % 8 == 0
                             ? next_random(&state) % 200000
                             : next_random(&state) % 2000;

        bytes = min_u64(bytes, FLOOD_BYTES - total);
        for (uint64_t i = 0; i < bytes; i++)
            VM_BUFFER[i] =
                (unsigned char)((total + i) * 7 + ((total + i) >> 13));
        cr_assert_eq(write_bytes(1, VM_BUFFER, bytes), (long)bytes);
        total += bytes;
    }
    drain();
    close(pipe_fds[1]);
    cr_assert_eq(pthread_join(reader, &wrong), 0);
    cr_assert_eq(wrong, NULL, "wrong at byte %lu", (uintptr_t)wrong - 1);
}

/* Where the driver's n-th transmit descriptor points; 0 if never used. */
static uint64_t sent_from(unsigned n)
{
    const struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;
    const struct mf_queue *queues = (struct mf_queue *)boot->devices[0].queues;

    return ((struct vring_desc *)queues[CONSOLE_TX].desc)[n].addr;
}

Test(console_ring, fills_its_buffer_from_the_start_when_all_is_written,
     .init = set_up)
{
    cr_assert_eq(write_text(1, "line\n"), 5);
    drain();
    for (unsigned i = 0; i < 10000; i++) {
        cr_assert_eq(write_text(1, "line\n"), 5);
        drain();
    }
    for (unsigned i = 0; i < CONSOLE_OUT_CHAINS; i++)
        cr_assert(sent_from(i) == 0 || sent_from(i) == sent_from(0));
}

/* ---- Refusals -------------------------------------------------------- */

Test(console_ring, refuses_buffers_outside_memory, .init = set_up)
{
    unsigned char *end = (unsigned char *)VM_MEM_BYTES;

    cr_assert_eq(write_bytes(1, end - 4, 4), 4);
    cr_assert_eq(write_bytes(1, end - 4, 5), -EFAULT);
    cr_assert_eq(write_bytes(1, (void *)(MF_BOOT_PAGE - 1), 1), -EFAULT);
    cr_assert_eq(write_bytes(1, NULL, 1), -EFAULT);
    cr_assert_eq(read_bytes(end - 4, 5), -EFAULT);
    cr_assert_eq(read_bytes(end, 1), -EFAULT);
    cr_assert_eq(read_bytes((void *)0xffff800000000000, 1), -EFAULT);
    cr_assert_eq(read_bytes((void *)0x1000, 16), -EFAULT);
}

Test(console_ring, refuses_counts_and_lengths_as_linux_does, .init = set_up)
{
    struct iovec pieces[2] = {{VM_BUFFER, SIZE_MAX / 2}, {VM_BUFFER, 2}};

    cr_assert_eq(console_writev(1, pieces, -1), -EINVAL);
    cr_assert_eq(console_writev(1, pieces, 1025), -EINVAL);
    cr_assert_eq(console_writev(1, pieces, 2), -EINVAL);
    cr_assert_eq(console_readv(pieces, 2), -EINVAL);
    cr_assert_eq(console_writev(1, pieces, 0), 0);
    cr_assert_eq(console_readv(pieces, 0), 0);
}

Test(console_ring, says_EBADF_where_the_host_has_no_file)
{
    vm_start(-1, -1, -1);
    cr_assert_eq(write_text(1, "x"), -EBADF);
    cr_assert_eq(write_text(2, "x"), -EBADF);
    cr_assert_eq(read_bytes(VM_BUFFER, 1), -EBADF);
}

Test(console_ring, says_EBADF_without_a_device)
{
    vm_init();
    cr_assert_eq(write_text(1, "x"), -EBADF);
    cr_assert_eq(write_text(2, "x"), -EBADF);
    cr_assert_eq(read_bytes(VM_BUFFER, 1), -EBADF);
    cr_assert_not(console_is_tty(1));
}

Test(console_ring, writes_to_error_when_output_is_closed)
{
    out_file = memfd_create("err", 0);
    vm_start(-1, -1, out_file);
    cr_assert_eq(write_text(2, "x"), 1);
    drain();
    assert_output("x");
}

Test(console_ring, says_EIO_when_the_monitor_has_given_up, .init = set_up)
{
    cr_assert_eq(write_text(1, "x"), 1);
    vdev_mark_needs_reset(&vm.out.dev);
    cr_assert_eq(write_text(2, "y"), -EIO);
}

/* ---- Input ----------------------------------------------------------- */

Test(console_ring, reads_what_is_there, .init = set_up)
{
    cr_assert_eq(write(pipe_fds[1], "hello", 5), 5);
    cr_assert_eq(read_bytes(VM_BUFFER, 100), 5);
    cr_assert_eq(memcmp(VM_BUFFER, "hello", 5), 0);
    cr_assert_eq(vm.waits, 1);
    cr_assert_eq(vm.kicks, 0);
}

Test(console_ring, drops_what_the_host_refuses_if_that_is_told)
{
    int full = open("/dev/full", O_WRONLY);

    vm_start(-1, full, full);
    vm.out.lossy = true;
    for (unsigned i = 0; i < 3 * CONSOLE_OUT_CHAINS; i++)
        cr_assert_eq(write_text(1, "four"), 4);
    drain();
    cr_assert_eq(console_error(&vm.out), 0);
    cr_assert_eq(vm.out.lost_error, -ENOSPC);
    cr_assert_eq(vm.out.lost_bytes, 3 * CONSOLE_OUT_CHAINS * 4);
    cr_assert_eq(vm.out.output_bytes, 0);
    cr_assert_eq(write_text(2, "x"), 1);
    drain();
    cr_assert_eq(console_error(&vm.err), -ENOSPC, "the other one is not");
}

Test(console_ring, takes_no_more_from_the_host_than_was_asked_for,
     .init = set_up)
{
    char rest[8];

    cr_assert_eq(write(pipe_fds[1], "hello", 5), 5);
    cr_assert_eq(read_bytes(VM_BUFFER, 2), 2);
    cr_assert_eq(read(pipe_fds[0], rest, sizeof(rest)), 3);
    cr_assert_eq(memcmp(rest, "llo", 3), 0);
}

Test(console_ring, reads_into_several_buffers, .init = set_up)
{
    struct iovec pieces[4] = {
        {VM_BUFFER, 2}, {NULL, 0}, {VM_BUFFER + 100, 1}, {VM_BUFFER + 200, 9}};

    cr_assert_eq(write(pipe_fds[1], "hello", 5), 5);
    cr_assert_eq(console_readv(pieces, 4), 5);
    cr_assert_eq(memcmp(VM_BUFFER, "he", 2), 0);
    cr_assert_eq(VM_BUFFER[100], 'l');
    cr_assert_eq(memcmp(VM_BUFFER + 200, "lo", 2), 0);
}

Test(console_ring, reads_short_with_more_buffers_than_the_ring_has,
     .init = set_up)
{
    struct iovec pieces[20];

    for (unsigned i = 0; i < 20; i++)
        pieces[i] = (struct iovec){VM_BUFFER + i, 1};
    cr_assert_eq(write(pipe_fds[1], "abcdefghijklmnopqrst", 20), 20);
    cr_assert_eq(console_readv(pieces, 20), CONSOLE_IN_CHAINS);
    cr_assert_eq(console_readv(pieces, 20), 20 - CONSOLE_IN_CHAINS);
    cr_assert_eq(memcmp(VM_BUFFER, "qrst", 4), 0);
}

Test(console_ring, says_0_at_the_end_of_the_file_every_time, .init = set_up)
{
    cr_assert_eq(write(pipe_fds[1], "x", 1), 1);
    close(pipe_fds[1]);
    cr_assert_eq(read_bytes(VM_BUFFER, 100), 1);
    cr_assert_eq(read_bytes(VM_BUFFER, 100), 0);
    cr_assert_eq(read_bytes(VM_BUFFER, 100), 0);
}

static void answer_prompt(void)
{
    assert_output("name? ");
    cr_assert_eq(write(pipe_fds[1], "anna\n", 5), 5);
}

Test(console_ring, shows_a_prompt_before_it_blocks_for_input, .init = set_up)
{
    vm.before_block = answer_prompt;
    cr_assert_eq(write_text(1, "name? "), 6);
    cr_assert_eq(read_bytes(VM_BUFFER, 100), 5);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(vm.waits, 1);
}

static void *write_numbers(void *unused)
{
    uint64_t state = 3;

    (void)unused;
    for (uint32_t i = 0; i < 300000;) {
        uint32_t part[64], count = next_random(&state) % 64 + 1;

        for (uint32_t k = 0; k < count; k++)
            part[k] = i++;
        if (write(pipe_fds[1], part, count * 4) != (ssize_t)count * 4)
            break;
    }
    close(pipe_fds[1]);
    return NULL;
}

Test(console_ring, reads_a_stream_exactly, .init = set_up, .timeout = 60)
{
    uint64_t state = 4, total = 0;
    pthread_t writer;
    long bytes;

    cr_assert_eq(pthread_create(&writer, NULL, write_numbers, NULL), 0);
    while ((bytes = read_bytes(VM_BUFFER, next_random(&state) % 500 + 1)) > 0)
        for (long i = 0; i < bytes; i++, total++) {
            uint32_t number = (uint32_t)(total / 4);

            cr_assert_eq(VM_BUFFER[i],
                         (unsigned char)(number >> 8 * (total % 4)));
        }
    cr_assert_eq(bytes, 0);
    cr_assert_geq(total, 300000 * 4);
    cr_assert_eq(pthread_join(writer, NULL), 0);
}

/* ---- Terminals ------------------------------------------------------- */

Test(console_ring, knows_a_terminal_and_its_size)
{
    struct winsize size = {.ws_row = 33, .ws_col = 101}, seen;
    int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;

    cr_assert_geq(master, 0);
    cr_assert_eq(unlockpt(master), 0);
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(terminal, 0);
    cr_assert_eq(ioctl(terminal, TIOCSWINSZ, &size), 0);
    out_file = memfd_create("err", 0);
    vm_start(terminal, terminal, out_file);
    cr_assert(console_is_tty(0));
    cr_assert(console_is_tty(1));
    cr_assert_not(console_is_tty(2));
    cr_assert_eq(console_size(&seen), 0);
    cr_assert_eq(seen.ws_row, 33);
    cr_assert_eq(seen.ws_col, 101);
}

Test(console_ring, knows_that_a_pipe_is_no_terminal, .init = set_up)
{
    struct winsize size;

    cr_assert_not(console_is_tty(0));
    cr_assert_not(console_is_tty(1));
    cr_assert_not(console_is_tty(2));
    cr_assert_eq(console_size(&size), -ENOTTY);
}

/* ---- The native transport -------------------------------------------- */

Test(native, writes_the_table_that_the_abi_describes, .init = set_up)
{
    const struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;

    cr_assert_eq(boot->device_count, 2);
    cr_assert_eq(boot->device_bytes, sizeof(struct mf_device));
    for (unsigned i = 0; i < 2; i++) {
        const struct mf_device *device = &boot->devices[i];
        const struct mf_queue *queues = (struct mf_queue *)device->queues;

        cr_assert_eq(device->type, 3);
        cr_assert_eq(device->doorbell, i);
        cr_assert_eq(device->event, i);
        cr_assert_eq(device->queue_count, 2);
        cr_assert_eq(device->config_bytes, 12);
        for (unsigned k = 0; k < 2; k++) {
            cr_assert_eq(queues[k].desc % 16, 0);
            cr_assert_geq(queues[k].desc, MF_DEVICE_PAGE);
            cr_assert_leq(queues[k].used + 6 + 8 * queues[k].size,
                          MF_DEVICE_PAGE + MF_PAGE_BYTES);
        }
    }
    cr_assert_eq(vm.native.set.devices[0], &vm.out.dev);
}

Test(native, ignores_doorbells_without_a_device, .init = set_up)
{
    cr_assert_eq(write_text(1, "x"), 1);
    cr_assert_eq(vdev_set_serve(&vm.native.set, ~UINT64_C(3)), 0);
    assert_output("");
    cr_assert_eq(vdev_set_serve(&vm.native.set, UINT64_MAX), 0);
    assert_output("x");
}

Test(native, puts_a_device_elsewhere_for_which_the_page_has_no_room,
     .init = set_up)
{
    const struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;
    static struct console third;

    console_init(&third, -1, out_file, CONSOLE_OUT_CHAINS);
    cr_assert_eq(native_add(&vm.native, &third.dev, 0), 0);
    cr_assert_eq(vm.native.set.count, 3);
    cr_assert_eq(boot->devices[2].queues, MF_RINGS);
    cr_assert_lt(boot->devices[2].config, MF_RINGS + MF_PAGE_BYTES);
    cr_assert_eq(vdev_set_serve(&vm.native.set, 1 << 2), 0);
}
