/* SPDX-License-Identifier: MIT */
/* The console device between hand-written rings and real host files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "virtio/console.h"
#include "virtio/native.h"
#include "vmm/base/os.h"

#define RAM_BYTES UINT64_C(0x200000)
#define DATA      UINT64_C(0x40000) /* guest-physical */

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static struct gmem mem;
static struct native native;
static struct console console;
static int fds[2]; /* a pipe: the test's end of output or of input */

static void *at(uint64_t address)
{
    return ram + (address - MF_BOOT_PAGE);
}

static void ignore_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
}

static void start(int in_fd, int out_fd)
{
    log_set_sink(ignore_line);
    mem =
        (struct gmem){.regions = {{MF_BOOT_PAGE, RAM_BYTES, ram}}, .count = 1};
    cr_assert_eq(native_init(&native, &mem), 0);
    console_init(&console, in_fd, out_fd, CONSOLE_OUT_CHAINS);
    cr_assert_eq(native_add(&native, &console.dev, console.flags), 0);
}

/* Output to a pipe that holds 4096 bytes. */
static void start_pipe_out(void)
{
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
    start(-1, fds[1]);
}

static void start_pipe_in(void)
{
    cr_assert_eq(pipe(fds), 0);
    start(fds[0], -1);
}

/* ---- The driver: descriptor n is chain n -------------------------------- */

static struct mf_queue *queue(unsigned index)
{
    struct mf_boot *boot = at(MF_BOOT_PAGE);

    return (struct mf_queue *)at(boot->devices[0].queues) + index;
}

static struct vring_desc *desc(unsigned index, unsigned n)
{
    return (struct vring_desc *)at(queue(index)->desc) + n;
}

static void post(unsigned index, uint64_t address, uint32_t bytes)
{
    struct vring_avail *avail = at(queue(index)->avail);
    uint16_t n = avail->idx % queue(index)->size;

    *desc(index, n) = (struct vring_desc){
        address, bytes, index == CONSOLE_RX ? VRING_DESC_F_WRITE : 0, 0};
    avail->ring[n] = n;
    avail->idx++;
}

static void post_text(const char *text)
{
    static uint64_t next = DATA;

    memcpy(at(next), text, strlen(text));
    post(CONSOLE_TX, next, (uint32_t)strlen(text));
    next += strlen(text);
}

static uint16_t used_count(unsigned index)
{
    struct vring_used *used = at(queue(index)->used);

    return used->idx;
}

static uint32_t used_bytes(unsigned index, unsigned n)
{
    struct vring_used *used = at(queue(index)->used);

    return used->ring[n].len;
}

static void wish_event_at(unsigned index, uint16_t wish)
{
    struct vring_avail *avail = at(queue(index)->avail);

    avail->ring[queue(index)->size] = wish;
}

/* ---- Output ------------------------------------------------------------- */

static void assert_piped(const char *expected)
{
    char text[256];
    ssize_t bytes = read(fds[0], text, sizeof(text));

    cr_assert_eq(bytes, (ssize_t)strlen(expected));
    cr_assert_eq(memcmp(text, expected, (size_t)bytes), 0);
}

/* The file that the device wants to be polled, or -1. */
static int input_fd(struct vdev *dev)
{
    struct pollfd file;

    vdev_want(dev, &file);
    return file.fd;
}

Test(console_output, writes_many_chains_with_one_system_call)
{
    unsigned long calls;

    start_pipe_out();
    for (unsigned i = 0; i < CONSOLE_OUT_CHAINS; i++)
        post_text("x");
    calls = os_calls;
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(os_calls - calls, 1);
    cr_assert_eq(used_count(CONSOLE_TX), CONSOLE_OUT_CHAINS);
}

Test(console_output, makes_no_system_call_when_there_is_nothing)
{
    unsigned long calls;

    start_pipe_out();
    calls = os_calls;
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(os_calls - calls, 0);
}

Test(console_output, gives_chains_back_with_length_0)
{
    start_pipe_out();
    post_text("hello");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    assert_piped("hello");
    cr_assert_eq(used_bytes(CONSOLE_TX, 0), 0);
}

Test(console_output, skips_empty_chains)
{
    start_pipe_out();
    post(CONSOLE_TX, DATA, 0);
    post_text("a");
    post(CONSOLE_TX, 0, 0);
    post_text("b");
    post(CONSOLE_TX, 0, 0);
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    assert_piped("ab");
    cr_assert_eq(used_count(CONSOLE_TX), 5);
}

Test(console_output, ignores_what_it_could_write_to)
{
    start_pipe_out();
    post_text("ab");
    desc(CONSOLE_TX, 0)->flags = VRING_DESC_F_NEXT;
    desc(CONSOLE_TX, 0)->next = 9;
    *desc(CONSOLE_TX, 9) = (struct vring_desc){DATA, 64, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    assert_piped("ab");
}

static void on_alarm(int number)
{
    (void)number;
}

/* Signals every 20 ms, without SA_RESTART. */
static void interrupt_often(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval period = {{0, 20000}, {0, 20000}};

    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &period, NULL), 0);
}

static void fill_numbers(size_t bytes)
{
    uint8_t *data = at(DATA);

    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
}

/* Takes everything from the pipe that is there now; checks it. */
static size_t take_numbers(size_t from)
{
    const uint8_t *expected = at(DATA);
    uint8_t part[512];
    ssize_t bytes;

    cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    while ((bytes = read(fds[0], part, sizeof(part))) > 0) {
        cr_assert_eq(memcmp(part, expected + from, (size_t)bytes), 0);
        from += (size_t)bytes;
    }
    return from;
}

Test(console_output, goes_on_exactly_where_a_signal_stopped_it, .timeout = 30)
{
    size_t taken = 0;
    unsigned interrupted = 0;

    start_pipe_out();
    fill_numbers(30000);
    post(CONSOLE_TX, DATA, 3000);
    post(CONSOLE_TX, DATA + 3000, 20000);
    post(CONSOLE_TX, DATA + 23000, 7000);
    interrupt_often();
    while (vdev_set_serve(&native.set, VDEV_SET_ALL) == -EINTR) {
        if (interrupted++ == 0)
            cr_assert_eq(used_count(CONSOLE_TX), 1, "one is out whole");
        taken = take_numbers(taken);
    }
    cr_assert_gt(interrupted, 3);
    cr_assert_eq(take_numbers(taken), 30000);
    cr_assert_eq(used_count(CONSOLE_TX), 3);
    cr_assert_eq(console_error(&console), 0);
}

static void *read_slowly(void *taken)
{
    uint8_t part[1000];
    ssize_t bytes;

    while ((bytes = read(fds[0], part, sizeof(part))) > 0) {
        if (memcmp(part, (uint8_t *)at(DATA) + *(size_t *)taken,
                   (size_t)bytes) != 0)
            break;
        *(size_t *)taken += (size_t)bytes;
        usleep(1000);
    }
    return NULL;
}

Test(console_output, waits_for_a_file_that_does_not_block, .timeout = 30)
{
    static size_t taken;
    pthread_t reader;

    start_pipe_out();
    cr_assert_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    fill_numbers(100000);
    for (unsigned i = 0; i < 10; i++)
        post(CONSOLE_TX, DATA + i * 10000, 10000);
    cr_assert_eq(pthread_create(&reader, NULL, read_slowly, &taken), 0);
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    close(fds[1]);
    cr_assert_eq(pthread_join(reader, NULL), 0);
    cr_assert_eq(taken, 100000);
}

Test(console_output, can_be_stopped_while_it_waits, .timeout = 30)
{
    start_pipe_out();
    cr_assert_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    fill_numbers(5000);
    post(CONSOLE_TX, DATA, 5000);
    interrupt_often();
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), -EINTR);
    cr_assert_eq(used_count(CONSOLE_TX), 0);
}

Test(console_output, latches_EPIPE_and_stays_quiet)
{
    unsigned long calls;

    signal(SIGPIPE, SIG_IGN);
    start_pipe_out();
    close(fds[0]);
    post_text("x");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(console_error(&console), -EPIPE);
    calls = os_calls;
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(os_calls, calls);
    cr_assert_eq(used_count(CONSOLE_TX), 0);
}

Test(console_output, latches_ENOSPC_of_a_full_disk)
{
    start(-1, open("/dev/full", O_WRONLY));
    post_text("x");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(console_error(&console), -ENOSPC);
}

Test(console_output, is_dropped_where_the_host_has_no_file)
{
    start(-1, -1);
    cr_assert_eq(console.flags, MF_DEVICE_IN_CLOSED | MF_DEVICE_OUT_CLOSED);
    post_text("x");
    post_text("y");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(used_count(CONSOLE_TX), 2);
}

Test(console_output, finds_out_that_a_descriptor_is_closed)
{
    start(900, 901);
    cr_assert_eq(console.flags, MF_DEVICE_IN_CLOSED | MF_DEVICE_OUT_CLOSED);
}

Test(console_output, lets_go_after_64_MiB_so_that_a_VM_can_be_stopped)
{
    start(-1, open("/dev/null", O_WRONLY));
    for (unsigned i = 0; i < CONSOLE_OUT_CHAINS; i++)
        post(CONSOLE_TX, DATA, 1 << 20);
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), -EINTR);
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(used_count(CONSOLE_TX), CONSOLE_OUT_CHAINS);
}

Test(console_output, writes_what_came_before_a_corrupt_chain_and_then_stops)
{
    start_pipe_out();
    wish_event_at(CONSOLE_TX, 0);
    post_text("good");
    post(CONSOLE_TX, MF_BOOT_PAGE + RAM_BYTES - 1, 2);
    post_text("never");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    assert_piped("good");
    cr_assert(console.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert_eq(event_read(&native.events), 1);
    post_text("never");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    cr_assert_eq(read(fds[0], at(DATA), 1), -1);
    cr_assert_eq(input_fd(&console.dev), -1);
}

Test(console_output, raises_an_event_only_when_the_driver_wants_one)
{
    start_pipe_out();
    wish_event_at(CONSOLE_TX, 1);
    post_text("a");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(event_read(&native.events), 0);
    post_text("b");
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(event_read(&native.events), 1);
}

Test(console_output, is_forgotten_at_reset, .timeout = 30)
{
    start_pipe_out();
    fill_numbers(6000);
    post(CONSOLE_TX, DATA, 6000);
    interrupt_often();
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), -EINTR);
    vdev_set_status(&console.dev, 0);
    take_numbers(0);
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(take_numbers(0), 0);
    cr_assert_eq(console.chain_count, 0);
}

/* ---- Input -------------------------------------------------------------- */

Test(console_input, is_not_wanted_before_a_buffer_is_posted)
{
    start_pipe_in();
    cr_assert_eq(input_fd(&console.dev), -1);
    post(CONSOLE_RX, DATA, 10);
    cr_assert_eq(input_fd(&console.dev), fds[0]);
}

Test(console_input, fills_one_chain_with_one_system_call)
{
    unsigned long calls;

    start_pipe_in();
    post(CONSOLE_RX, DATA, 3);
    post(CONSOLE_RX, DATA + 100, 100);
    cr_assert_eq(write(fds[1], "abcdef", 6), 6);
    calls = os_calls;
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(os_calls - calls, 1);
    cr_assert_eq(used_count(CONSOLE_RX), 1);
    cr_assert_eq(used_bytes(CONSOLE_RX, 0), 3);
    cr_assert_eq(memcmp(at(DATA), "abc", 4), 0);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(used_bytes(CONSOLE_RX, 1), 3);
    cr_assert_eq(memcmp(at(DATA + 100), "def", 4), 0);
}

Test(console_input, ends_with_a_length_of_0)
{
    start_pipe_in();
    post(CONSOLE_RX, DATA, 3);
    close(fds[1]);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(used_count(CONSOLE_RX), 1);
    cr_assert_eq(used_bytes(CONSOLE_RX, 0), 0);
}

Test(console_input, keeps_the_buffer_when_there_is_nothing_after_all)
{
    start_pipe_in();
    cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    post(CONSOLE_RX, DATA, 3);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(used_count(CONSOLE_RX), 0);
    cr_assert_eq(input_fd(&console.dev), fds[0]);
}

Test(console_input, keeps_the_buffer_when_a_signal_comes, .timeout = 30)
{
    start_pipe_in();
    post(CONSOLE_RX, DATA, 3);
    interrupt_often();
    cr_assert_eq(vdev_ready(&console.dev), -EINTR);
    cr_assert_eq(input_fd(&console.dev), fds[0]);
}

Test(console_input, latches_what_the_host_refuses)
{
    start(open("/", O_RDONLY), -1);
    post(CONSOLE_RX, DATA, 3);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(console_error(&console), -EISDIR);
    cr_assert_eq(input_fd(&console.dev), -1);
}

Test(console_input, never_writes_to_a_readable_buffer)
{
    start_pipe_in();
    post(CONSOLE_RX, DATA, 3);
    desc(CONSOLE_RX, 0)->flags = VRING_DESC_F_NEXT;
    desc(CONSOLE_RX, 0)->next = 1;
    *desc(CONSOLE_RX, 1) =
        (struct vring_desc){DATA + 100, 3, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(write(fds[1], "abc", 3), 3);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(memcmp(at(DATA), "\0\0\0", 3), 0);
    cr_assert_eq(memcmp(at(DATA + 100), "abc", 3), 0);
}

Test(console_input, raises_the_event_that_the_driver_wants)
{
    start_pipe_in();
    wish_event_at(CONSOLE_RX, 0);
    post(CONSOLE_RX, DATA, 3);
    cr_assert_eq(write(fds[1], "abc", 3), 3);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(event_read(&native.events), 1);
}

Test(console_input, breaks_the_device_on_a_corrupt_ring)
{
    start_pipe_in();
    post(CONSOLE_RX, DATA, 3);
    desc(CONSOLE_RX, 0)->addr = 0;
    cr_assert_eq(write(fds[1], "abc", 3), 3);
    cr_assert_eq(vdev_ready(&console.dev), 0);
    cr_assert_eq(input_fd(&console.dev), -1);
    cr_assert_eq(vdev_set_serve(&native.set, VDEV_SET_ALL), 0);
    cr_assert(console.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
}
