/* SPDX-License-Identifier: MIT */
/* Ending and limiting VMs, several at once, and moving their output. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"
#include "tests/unit/elf_file.h"

TestSuite(stop, .timeout = 240);
TestSuite(output, .timeout = 240);

/* ---- A guest on another thread ------------------------------------------ */

static void *run_thread(void *argument)
{
    struct guest *guest = argument;
    char error[MAYFLY_ERROR_BYTES] = "";

    cr_assert_eq(mayfly_run(guest->vm, &guest->result, error), 0, "%s", error);
    return NULL;
}

static pthread_t start_guest(struct guest *guest)
{
    pthread_t thread;

    load_guest(guest);
    cr_assert_eq(pthread_create(&thread, NULL, run_thread, guest), 0);
    return thread;
}

static void end_guest(struct guest *guest, pthread_t thread)
{
    pthread_join(thread, NULL);
    collect_guest(guest);
}

static void open_pipe(int ends[2])
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
}

static void read_exactly(int fd, char *to, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = read(fd, to, bytes);

        cr_assert_gt(got, 0);
        to += got;
        bytes -= (size_t)got;
    }
}

/* ---- Stopping ----------------------------------------------------------- */

Test(stop, before_the_run_no_instruction_is_executed)
{
    struct guest guest = {.image = "hello"};

    load_guest(&guest);
    mayfly_stop(guest.vm);
    run_thread(&guest);
    collect_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_STOPPED);
    cr_assert_eq(guest.stats.exits, 0);
    cr_assert_str_eq(guest.output, "");
}

Test(stop, a_computing_guest_from_another_thread)
{
    for (int i = 0; i < 20; i++) {
        struct guest guest = {.image = "loop"};
        pthread_t thread = start_guest(&guest);

        usleep((useconds_t)i * 500);
        mayfly_stop(guest.vm);
        end_guest(&guest, thread);
        cr_assert_eq(guest.result.end, MAYFLY_STOPPED);
    }
}

Test(stop, a_sleeping_guest_from_another_thread)
{
    int ends[2];
    char text[8];

    open_pipe(ends);
    for (int i = 0; i < 20; i++) {
        struct guest guest = {.image = "forever", .options = {.out = ends[1]}};
        pthread_t thread = start_guest(&guest);

        read_exactly(ends[0], text, sizeof(text)); /* "waiting\n" */
        usleep((useconds_t)i * 100);
        mayfly_stop(guest.vm);
        end_guest(&guest, thread);
        cr_assert_eq(guest.result.end, MAYFLY_STOPPED);
    }
}

Test(stop, twice_and_after_the_end_is_harmless)
{
    struct guest guest = {.image = "hello"};

    load_guest(&guest);
    run_thread(&guest);
    mayfly_stop(guest.vm);
    mayfly_stop(guest.vm);
    cr_assert_eq(guest.result.end, MAYFLY_EXITED);
    collect_guest(&guest);
}

static struct mayfly *alarmed;

static void on_alarm(int number)
{
    (void)number;
    mayfly_stop(alarmed);
}

static void stop_by_alarm(const char *image)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    struct guest guest = {.image = image};

    load_guest(&guest);
    alarmed = guest.vm;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    run_thread(&guest);
    collect_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_STOPPED);
}

Test(stop, a_computing_guest_from_a_signal_handler)
{
    stop_by_alarm("loop");
}

Test(stop, a_sleeping_guest_from_a_signal_handler)
{
    stop_by_alarm("forever");
}

/* A signal whose handler stops nothing goes unnoticed. */
static void on_nothing(int number)
{
    (void)number;
}

Test(stop, other_signals_do_not_end_a_guest)
{
    const struct sigaction action = {.sa_handler = on_nothing};
    const struct itimerval often = {{.tv_usec = 1000}, {.tv_usec = 1000}};
    struct guest guest = {.image = "sleep", .args = {"100"}};

    sigaction(SIGALRM, &action, NULL);
    load_guest(&guest);
    setitimer(ITIMER_REAL, &often, NULL);
    run_thread(&guest);
    setitimer(ITIMER_REAL, &(struct itimerval){{0}, {0}}, NULL);
    collect_guest(&guest);
    assert_exited(&guest, 0, NULL);
}

/* ---- Limits ------------------------------------------------------------- */

static void time_out(const char *image)
{
    struct guest guest = {.image = image, .options = {.timeout_ns = 50000000}};

    run_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_TIMED_OUT);
}

Test(stop, an_endless_loop_by_a_time_limit)
{
    time_out("loop");
}

Test(stop, a_sleep_without_end_by_a_time_limit)
{
    time_out("forever");
}

Test(stop, nothing_by_a_limit_of_almost_for_ever)
{
    struct guest guest = {.image = "hello",
                          .options = {.timeout_ns = UINT64_MAX}};

    run_guest(&guest);
    assert_exited(&guest, 0, "Hello from a Mayfly VM.\n");
}

/* ---- Several ------------------------------------------------------------ */

Test(stop, one_of_two_vms_and_the_other_runs_on)
{
    struct guest one = {.image = "loop"}, other = {.image = "loop"};
    pthread_t first = start_guest(&one), second = start_guest(&other);

    mayfly_stop(one.vm);
    end_guest(&one, first);
    cr_assert_eq(one.result.end, MAYFLY_STOPPED);
    mayfly_stop(other.vm);
    end_guest(&other, second);
    cr_assert_eq(other.result.end, MAYFLY_STOPPED);
}

Test(stop, nothing_while_many_vms_run_in_one_process)
{
    static struct guest guests[8];
    pthread_t threads[8];

    for (unsigned i = 0; i < 8; i++) {
        guests[i] = (struct guest){.image = i % 2 ? "libc" : "fpu"};
        threads[i] = start_guest(&guests[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        end_guest(&guests[i], threads[i]);
        assert_exited(&guests[i], 0, NULL);
    }
}

/* ---- Output ------------------------------------------------------------- */

#define PATTERN_MIB 4

struct reader {
    int fd;
    unsigned pause_words; /* words between naps; 0: none */
    uint64_t words;       /* in order so far */
    bool in_order;
};

/* Checks the counter in every 8 bytes that images/write prints. */
static void *read_pattern(void *argument)
{
    struct reader *reader = argument;
    uint64_t words[512];
    size_t have = 0;

    reader->in_order = true;
    for (;;) {
        ssize_t got =
            read(reader->fd, (char *)words + have, sizeof(words) - have);
        if (got <= 0)
            return NULL;
        have += (size_t)got;
        for (size_t i = 0; i < have / 8; i++)
            reader->in_order &= words[i] == reader->words++;
        memmove(words, (char *)words + have / 8 * 8, have % 8);
        have %= 8;
        if (reader->pause_words && reader->words % reader->pause_words == 0)
            usleep(200);
    }
}

static void check_pattern(unsigned pause_words, int flags)
{
    struct reader reader = {.pause_words = pause_words};
    pthread_t thread;
    int ends[2];

    open_pipe(ends);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    fcntl(ends[1], F_SETFL, flags);
    reader.fd = ends[0];
    cr_assert_eq(pthread_create(&thread, NULL, read_pattern, &reader), 0);
    struct guest guest = {
        .image = "write", .args = {"4"}, .options = {.out = ends[1]}};
    run_guest(&guest);
    close(ends[1]);
    pthread_join(thread, NULL);
    assert_exited(&guest, 0, NULL);
    cr_assert(reader.in_order);
    cr_assert_eq(reader.words, PATTERN_MIB * (1u << 20) / 8);
    cr_assert_eq(guest.stats.output_bytes, PATTERN_MIB * (1u << 20));
}

Test(output, arrives_whole_and_in_order)
{
    check_pattern(0, 0);
}

Test(output, waits_for_a_slow_reader)
{
    check_pattern(4096, 0);
}

Test(output, waits_for_a_slow_reader_of_a_non_blocking_pipe)
{
    check_pattern(4096, O_NONBLOCK);
}

Test(output, ends_the_guest_when_the_reader_goes_away)
{
    struct guest guest = {.image = "write", .args = {"1000"}};
    char text[4096];
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    open_pipe(ends);
    guest.options.out = ends[1];
    pthread_t thread = start_guest(&guest);
    read_exactly(ends[0], text, sizeof(text));
    close(ends[0]);
    end_guest(&guest, thread);
    cr_assert_eq(guest.result.end, MAYFLY_OUTPUT_CLOSED);
    cr_assert_eq(guest.result.status, EPIPE);
}

Test(output, ends_the_guest_when_the_disk_is_full)
{
    struct guest guest = {.image = "hello"};

    guest.options.out = open("/dev/full", O_WRONLY | O_CLOEXEC);
    run_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_OUTPUT_FAILED);
    cr_assert_eq(guest.result.status, ENOSPC);
}

Test(output, can_be_stopped_while_nobody_reads)
{
    struct guest guest = {.image = "write", .args = {"1000"}};
    char byte;
    int ends[2];

    open_pipe(ends);
    guest.options.out = ends[1];
    pthread_t thread = start_guest(&guest);
    read_exactly(ends[0], &byte, 1);
    usleep(50000); /* the pipe is full by now, or will be */
    mayfly_stop(guest.vm);
    end_guest(&guest, thread);
    cr_assert_eq(guest.result.end, MAYFLY_STOPPED);
}

Test(output, of_a_guest_without_files_goes_nowhere)
{
    struct guest guest = {.image = "hello",
                          .options = {.in = -1, .out = -1, .err = -1}};

    run_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_EXITED);
    cr_assert_eq(guest.stats.output_bytes, 0);
}

/* ---- Output of a guest that computes ------------------------------------ */

/*
 * Machine code of a guest that makes "hi\n" available in the console's ring,
 * as the ABI describes it, and then computes for ever without any exit.
 */
extern const char computing_start[], computing_end[];

__asm__(".pushsection .rodata\n"
        ".globl computing_start, computing_end\n"
        "computing_start:\n"
        "    mov 0x2a0(%rdi), %rax\n" /* devices[0].queues */
        "    mov 32(%rax), %rbx\n"    /* the transmit queue: desc ... */
        "    mov 40(%rax), %rcx\n"    /* ... and avail */
        "    lea 2f(%rip), %rdx\n"
        "    mov %rdx, (%rbx)\n" /* addr */
        "    movl $3, 8(%rbx)\n" /* len */
        "    movl $0, 12(%rbx)\n"
        "    movw $0, 4(%rcx)\n" /* ring[0] */
        "    movw $1, 2(%rcx)\n" /* idx */
        "1:  jmp 1b\n"
        "2:  .ascii \"hi\\n\"\n"
        "computing_end:\n"
        ".popsection\n");

static int computing_image(void)
{
    struct elf_file file;
    ssize_t bytes = computing_end - computing_start;

    elf_file_init(&file);
    int fd = elf_file_open(&file);
    cr_assert_eq(pwrite(fd, computing_start, (size_t)bytes,
                        ELF_FILE_CODE + ELF_FILE_ENTRY % MF_PAGE_BYTES),
                 bytes);
    return fd;
}

/* It is read while the guest still computes: only the stop ends it. */
Test(output, arrives_while_the_guest_computes_without_an_exit)
{
    struct guest guest = {.image_fd = computing_image()};
    char text[4] = "";
    int ends[2];

    open_pipe(ends);
    guest.options.out = ends[1];
    pthread_t thread = start_guest(&guest);
    read_exactly(ends[0], text, 3);
    mayfly_stop(guest.vm);
    end_guest(&guest, thread);
    cr_assert_str_eq(text, "hi\n");
    cr_assert_eq(guest.result.end, MAYFLY_STOPPED);
    cr_assert_eq(guest.stats.exits, guest.stats.exits_interrupt);
    cr_assert_eq(guest.stats.exits_hypercall, 0);
}

/* ---- Idle guests -------------------------------------------------------- */

static uint64_t cpu_ns(pthread_t thread)
{
    struct timespec used;
    clockid_t clock;

    cr_assert_eq(pthread_getcpuclockid(thread, &clock), 0);
    cr_assert_eq(clock_gettime(clock, &used), 0);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* What a thread has used when it does nothing for a while. */
static uint64_t settled_cpu_ns(pthread_t thread)
{
    uint64_t before, now = cpu_ns(thread);

    do {
        before = now;
        usleep(300000);
        now = cpu_ns(thread);
    } while (now != before);
    return now;
}

Test(output, an_idle_guest_uses_no_processor_time_at_all)
{
    struct guest guest = {.image = "forever"};
    char text[8];
    int ends[2];

    open_pipe(ends);
    guest.options.out = ends[1];
    pthread_t thread = start_guest(&guest);
    read_exactly(ends[0], text, sizeof(text));
    uint64_t before = settled_cpu_ns(thread);
    usleep(500000);
    cr_assert_eq(cpu_ns(thread), before);
    mayfly_stop(guest.vm);
    end_guest(&guest, thread);
}
