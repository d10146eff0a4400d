/* SPDX-License-Identifier: MIT */
/* Resets: nothing of a call is left for the next one. */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "tests/kvm/subject.h"

TestSuite(reset, .timeout = 240);

/* ---- Registers and memory ------------------------------------------------ */

/* What follows would find it. */
Test(reset, is_needed)
{
    struct subject subject = {0};

    begin(&subject);
    probe(subject.guest.vm, subject.found);
    cr_assert_eq(difference(&subject), PROBE_BYTES, "at %#zx",
                 difference(&subject));
    reset(subject.guest.vm);
    call(subject.guest.vm, "plant");
    probe(subject.guest.vm, subject.found);
    /* Vector registers alone are more than that. */
    size_t count = count_secrets(subject.found);
    cr_assert_gt(count, 8 * 16 + 16 * 16, "%zu", count);
    reset(subject.guest.vm);
    call(subject.guest.vm, "memory plant");
    probe(subject.guest.vm, subject.found);
    cr_assert_gt(count_secrets(subject.found), MEM_BYTES / 8);
    finish(&subject);
}

Test(reset, leaves_no_register_and_no_byte_of_memory)
{
    static const struct {
        const char *function;
        enum mayfly_end end;
        uint64_t timeout_ns;
    } calls[] = {
        {"plant", MAYFLY_AT_CALL, 0},
        {"memory plant", MAYFLY_AT_CALL, 0},
        {"hang", MAYFLY_TIMED_OUT, SECOND_NS / 50},
        {"memory hang", MAYFLY_TIMED_OUT, SECOND_NS / 10},
        {"kick", MAYFLY_TIMED_OUT, SECOND_NS / 50},
        {"memory kick", MAYFLY_TIMED_OUT, SECOND_NS / 10},
        {"crash", MAYFLY_CRASHED, 0},
        {"memory crash", MAYFLY_CRASHED, 0},
        {"triple", MAYFLY_CRASHED, 0},
        {"memory triple", MAYFLY_CRASHED, 0},
        {"leave", MAYFLY_EXITED, 0},
        {"memory leave", MAYFLY_EXITED, 0},
        {"input plant", MAYFLY_AT_CALL, 0},
    };
    struct subject subject = {.guest = {.input = "secret input, one line\n"}};

    begin(&subject);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
            enum mayfly_end end = call_with(subject.guest.vm, calls[i].function,
                                            INPUT_BYTES, calls[i].timeout_ns);

            cr_assert_eq(end, calls[i].end, "%s: end %d", calls[i].function,
                         end);
            reset(subject.guest.vm);
            assert_nothing_left(&subject, calls[i].function);
            reset(subject.guest.vm);
        }
    finish(&subject);
}

/* `make soak` makes 10^5 of them. */
Test(reset, leaves_nothing_however_often, .timeout = 7200)
{
    const char *wanted = getenv("MAYFLY_TEST_RESETS");
    unsigned resets = wanted ? (unsigned)atol(wanted) : 1000;
    struct subject subject = {0};
    struct mayfly_stats stats;

    begin(&subject);
    for (unsigned i = 0; i < resets; i++) {
        call_with(subject.guest.vm, i % 16 ? "plant" : "memory plant",
                  i % 8 ? 4096 : INPUT_BYTES, 0);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "plant");
    }
    mayfly_get_stats(subject.guest.vm, &stats);
    cr_assert_eq(stats.resets, resets);
    finish(&subject);
}

/* They are in KVM's log of nobody: the host's kernel wrote them for us. */
Test(reset, copies_back_what_only_the_monitor_wrote)
{
    struct subject subject = {0};
    struct mayfly_stats before, after;

    begin(&subject);
    call_with(subject.guest.vm, "nothing", 64, 0);
    reset(subject.guest.vm);
    assert_nothing_left(&subject, "input of 64 bytes");
    mayfly_get_stats(subject.guest.vm, &before);
    reset(subject.guest.vm);
    call_with(subject.guest.vm, "nothing", INPUT_BYTES, 0);
    reset(subject.guest.vm);
    assert_nothing_left(&subject, "input of 1 MiB");
    mayfly_get_stats(subject.guest.vm, &after);
    cr_assert_geq(after.reset_pages - before.reset_pages,
                  INPUT_BYTES / MF_PAGE_BYTES);
    finish(&subject);
}

/* ---- What was to come ---------------------------------------------------- */

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL);
}

Test(reset, takes_timers_back)
{
    struct subject subject = {0};

    begin(&subject);
    cr_assert_eq(call(subject.guest.vm, "watch"), 0);
    reset(subject.guest.vm);
    cr_assert_eq(call(subject.guest.vm, "timer"), 0);
    cr_assert_neq(call(subject.guest.vm, "watch"), 0, "one that fires");
    reset(subject.guest.vm);
    call(subject.guest.vm, "timer plant");
    reset(subject.guest.vm);
    pause_ms(30);
    cr_assert_eq(call(subject.guest.vm, "watch"), 0);
    reset(subject.guest.vm);
    assert_nothing_left(&subject, "timer");
    finish(&subject);
}

Test(reset, takes_back_what_was_asked_of_the_vm)
{
    struct subject subject = {
        .guest = {.options = {.snapshots = MAYFLY_SNAPSHOT_ANYWHERE}},
    };

    begin(&subject);
    call(subject.guest.vm, "plant");
    mayfly_stop(subject.guest.vm);
    mayfly_request_snapshot(subject.guest.vm);
    mayfly_signal(subject.guest.vm, SIGUSR1);
    reset(subject.guest.vm);
    assert_nothing_left(&subject, "stop");
    finish(&subject);
}

/*
 * The first thing that happens to it is an upcall, while it still loads its
 * registers.
 */
Test(reset, lets_no_upcall_in_before_the_registers_are_there)
{
    struct subject subject = {0};
    long upcalls = 0;

    begin_with(&subject, "arm");
    for (int i = 0; i < 200; i++) {
        call(subject.guest.vm, "plant");
        reset(subject.guest.vm);
        upcalls += call(subject.guest.vm, "count") > 0;
        reset(subject.guest.vm);
    }
    cr_assert_gt(upcalls, 100);
    finish(&subject);
}

/*
 * An upcall uses the interrupted stack, and a secret in the stack pointer leads
 * to none: the first fault there is one without a handler.
 */
Test(reset, meets_secrets_with_upcalls_held_back)
{
    struct subject subject = {0};

    begin(&subject);
    cr_assert_eq(call_with(subject.guest.vm, "later hang", 0, SECOND_NS / 10),
                 MAYFLY_TIMED_OUT);
    finish(&subject);
}

/* ---- Devices ------------------------------------------------------------- */

static struct mayfly_disk secret_disk(void)
{
    struct mayfly_disk disk = {.fd = memfd_create("disk", MFD_CLOEXEC)};
    static uint8_t sectors[1 << 20];

    memset(sectors, SECRET, sizeof(sectors));
    cr_assert_eq(pwrite(disk.fd, sectors, sizeof(sectors), 0),
                 (ssize_t)sizeof(sectors));
    return disk;
}

static void read_and_reset(enum mayfly_io io)
{
    struct mayfly_disk disk = secret_disk();
    struct subject subject = {
        .guest = {.options = {.disks = &disk, .disk_count = 1, .io = io}},
    };

    begin(&subject);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(call(subject.guest.vm, "disk plant"), 64);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "disk");
        reset(subject.guest.vm);
        cr_assert_eq(call(subject.guest.vm, "begin plant"), 0);
        reset(subject.guest.vm);
        pause_ms(2);
        assert_nothing_left(&subject, "what was in flight");
        reset(subject.guest.vm);
        /* Rings that make no sense break the device until then. */
        call(subject.guest.vm, "memory plant");
        reset(subject.guest.vm);
    }
    cr_assert_eq(call(subject.guest.vm, "disk"), 64);
    finish(&subject);
    close(disk.fd);
}

Test(reset, takes_back_what_a_disk_wrote)
{
    read_and_reset(MAYFLY_IO_INLINE);
}

Test(reset, takes_back_what_a_disk_wrote_with_a_thread)
{
    read_and_reset(MAYFLY_IO_THREAD);
}

static size_t drain(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    char text[4096];
    size_t bytes = 0;

    while (poll(&readable, 1, 20) > 0) {
        ssize_t got = read(fd, text, sizeof(text));

        cr_assert_gt(got, 0);
        bytes += (size_t)got;
    }
    return bytes;
}

Test(reset, lets_no_output_out_late)
{
    struct subject subject = {0};
    uint64_t limit_ns = SECOND_NS / 20;
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    subject.guest.options.out = ends[1];
    begin(&subject);
    /* A busy host's guest has perhaps not come to it in so short a time. */
    do {
        cr_assert_lt(limit_ns, 100 * SECOND_NS);
        cr_assert_eq(call_with(subject.guest.vm, "shout plant", 0, limit_ns),
                     MAYFLY_TIMED_OUT);
        reset(subject.guest.vm);
        limit_ns *= 4;
    } while (drain(ends[0]) == 0);
    assert_nothing_left(&subject, "shout");
    cr_assert_eq(call(subject.guest.vm, "watch"), 0);
    cr_assert_eq(drain(ends[0]), 0);
    finish(&subject);
    close(ends[0]);
    close(ends[1]);
}

/* ---- Ends ---------------------------------------------------------------- */

static void *stop_later(void *vm)
{
    pause_ms(20);
    mayfly_stop(vm);
    return NULL;
}

Test(reset, makes_a_vm_answer_that_was_stopped)
{
    struct subject subject = {0};
    pthread_t thread;

    begin(&subject);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(
            pthread_create(&thread, NULL, stop_later, subject.guest.vm), 0);
        cr_assert_eq(
            call_with(subject.guest.vm, "memory hang", 64, 100 * SECOND_NS),
            MAYFLY_STOPPED);
        pthread_join(thread, NULL);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "stop");
    }
    finish(&subject);
}

static void *hang_here(void *vm)
{
    cr_assert_eq(call_with(vm, "hang", 0, SECOND_NS / 20), MAYFLY_TIMED_OUT);
    reset(vm);
    return NULL;
}

/* Its limit is one of the thread that runs it. */
Test(reset, may_be_followed_by_calls_from_another_thread)
{
    struct subject subject = {0};
    pthread_t thread;

    begin(&subject);
    call(subject.guest.vm, "plant");
    reset(subject.guest.vm);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, hang_here, subject.guest.vm),
                     0);
        pthread_join(thread, NULL);
        assert_nothing_left(&subject, "another thread's call");
        reset(subject.guest.vm);
    }
    finish(&subject);
}

/* The timer that looks after a guest fires once more at most. */
Test(reset, leaves_the_thread_alone_afterwards)
{
    struct subject subject = {0};
    int interrupted = 0;

    begin(&subject);
    call(subject.guest.vm, "watch");
    for (int i = 0; i < 10; i++)
        interrupted +=
            nanosleep(&(struct timespec){.tv_nsec = 15000000}, NULL) != 0;
    cr_assert_leq(interrupted, 1);
    finish(&subject);
}

/* ---- What is refused ----------------------------------------------------- */

Test(reset, of_an_image_that_edits_its_tables_is_refused)
{
    struct guest first = {
        .image = "memory",
        .options = {.snapshots = MAYFLY_SNAPSHOT_ANYWHERE},
    };
    struct subject subject = {.guest = {.options = {.resettable = true}}};
    char error[MAYFLY_ERROR_BYTES] = "";
    struct mayfly_image image;

    load_guest(&first);
    cr_assert_eq(mayfly_inspect(first.image_fd, &image, error), 0);
    cr_assert(image.paging);
    mayfly_request_snapshot(first.vm);
    cr_assert_eq(mayfly_run(first.vm, &first.result, error), 0, "%s", error);
    cr_assert_eq(first.result.end, MAYFLY_AT_SNAPSHOT, "%d", first.result.end);
    subject.snapshot = write_snapshot(&first);
    collect_guest(&first);
    restore(&subject);
    cr_assert_eq(mayfly_reset(subject.guest.vm, error), -EPERM);
    collect_guest(&subject.guest);
    close(subject.snapshot);
}

/* Its vector state would be that of the guest before. */
Test(reset, must_be_followed_by_a_run_before_a_snapshot)
{
    struct subject subject = {0};
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = memfd_create("other", MFD_CLOEXEC);

    begin(&subject);
    cr_assert_eq(mayfly_snapshot(subject.guest.vm, fd, error), -EINVAL);
    call(subject.guest.vm, "plant");
    reset(subject.guest.vm);
    cr_assert_eq(mayfly_snapshot(subject.guest.vm, fd, error), -EINVAL);
    call(subject.guest.vm, "nothing");
    cr_assert_eq(mayfly_snapshot(subject.guest.vm, fd, error), 0, "%s", error);
    close(fd);
    finish(&subject);
}

Test(reset, from_a_file_that_was_cut_short_ends_the_vm_alone)
{
    struct subject subject = {0}, other = {0};
    char error[MAYFLY_ERROR_BYTES] = "";
    struct mayfly_call after = {.function = "nothing"};
    struct mayfly_result result;

    begin(&subject);
    begin(&other);
    call(subject.guest.vm, "memory plant");
    cr_assert_eq(ftruncate(subject.snapshot, 4096), 0);
    cr_assert_eq(mayfly_reset(subject.guest.vm, error), -EIO);
    cr_assert_eq(mayfly_call(subject.guest.vm, &after, &result, error),
                 -EINVAL);
    reset(other.guest.vm);
    assert_nothing_left(&other, "another VM");
    finish(&subject);
    finish(&other);
}
