/* SPDX-License-Identifier: MIT */
/* Resets: nothing of a call is left for the next one. images/secrets is the
 * guest: it leaves secrets wherever it can, and tells all that it finds. */
#include <errno.h>
#include <fcntl.h>
#include <mayfly/abi.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

#define SECOND_NS   1000000000ull
#define MEM_BYTES   (4u << 20)
#define PROBE_BYTES (MEM_BYTES - MF_BOOT_PAGE)
#define INPUT_BYTES (1u << 20)
#define SECRET      0x5e

TestSuite(reset, .timeout = 240);

/* ---- Guests ---------------------------------------------------------------
 */

struct subject {
    struct guest guest; /* restored, to be reset */
    int snapshot;
    uint8_t *fresh; /* what a probe finds right after a restore ... */
    uint8_t *found; /* ... and what one has just found */
};

/* Writes the snapshot of a guest that waits for a call. Returns its file. */
static int write_snapshot(struct mayfly *vm)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = memfd_create("snapshot", MFD_CLOEXEC);

    cr_assert_eq(mayfly_snapshot(vm, fd, error), 0, "%s", error);
    return fd;
}

/* What the guest is made of, and what all that follow are given. */
static int take(const struct mayfly_options *options, const char *call)
{
    struct guest guest = {.image = "secrets", .options = *options};
    char error[MAYFLY_ERROR_BYTES] = "";

    guest.options.mem_bytes = MEM_BYTES;
    load_guest(&guest);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    cr_assert_eq(guest.result.end, MAYFLY_AT_CALL);
    if (call) {
        struct mayfly_call first = {.function = call};

        cr_assert_eq(mayfly_call(guest.vm, &first, &guest.result, error), 0,
                     "%s", error);
        cr_assert_eq(guest.result.end, MAYFLY_AT_CALL);
    }
    int fd = write_snapshot(guest.vm);
    collect_guest(&guest);
    return fd;
}

/* Calls a function, with input of `in_bytes` secret bytes. Returns the end. */
static enum mayfly_end call_with(struct mayfly *vm, const char *function,
                                 size_t in_bytes, uint64_t timeout_ns)
{
    static uint8_t input[INPUT_BYTES];
    struct mayfly_call call = {
        .function = function,
        .in = input,
        .in_bytes = in_bytes,
        .timeout_ns = timeout_ns,
    };
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES] = "";

    memset(input, SECRET, in_bytes);
    cr_assert_eq(mayfly_call(vm, &call, &result, error), 0, "%s: %s", function,
                 error);
    return result.end;
}

/* Calls a function that answers. Returns what it returned. */
static long call(struct mayfly *vm, const char *function)
{
    struct mayfly_call made = {.function = function,
                               .timeout_ns = 100 * SECOND_NS};
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES] = "";

    cr_assert_eq(mayfly_call(vm, &made, &result, error), 0, "%s: %s", function,
                 error);
    cr_assert_eq(result.end, MAYFLY_AT_CALL, "%s: end %d, crash %d at %#llx",
                 function, result.end, result.crash.kind,
                 (unsigned long long)result.crash.rip);
    return made.result;
}

/* What is new in each VM, restored or reset, is not compared. */
static void leave_out(uint8_t *found, size_t offset, size_t bytes)
{
    memset(found + offset, 0, bytes);
}

/* One half of it. Returns its length. */
static size_t probe_half(struct mayfly *vm, const char *function, uint8_t *to,
                         size_t room)
{
    struct mayfly_call made = {
        .function = function,
        .out = to,
        .out_room = room,
        .timeout_ns = 100 * SECOND_NS,
    };
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES] = "";

    cr_assert_eq(mayfly_call(vm, &made, &result, error), 0, "%s", error);
    cr_assert_eq(result.end, MAYFLY_AT_CALL, "end %d, crash %d at %#llx",
                 result.end, result.crash.kind,
                 (unsigned long long)result.crash.rip);
    return made.out_bytes;
}

/* All registers and all memory, as the guest finds them, one by the other. */
static void probe(struct mayfly *vm, uint8_t *found)
{
    size_t first = probe_half(vm, "probe 0", found, PROBE_BYTES);

    memset(found + first, 0, PROBE_BYTES - first);
    size_t second =
        probe_half(vm, "probe 1", found + first, PROBE_BYTES - first);
    cr_assert_gt(first + second, PROBE_BYTES - (256 << 10));
    leave_out(found, offsetof(struct mf_boot, clock), sizeof(struct mf_clock));
    leave_out(found, offsetof(struct mf_boot, seed), 32);
    leave_out(found, offsetof(struct mf_boot, generation), 8);
}

static void reset(struct mayfly *vm)
{
    char error[MAYFLY_ERROR_BYTES] = "";

    cr_assert_eq(mayfly_reset(vm, error), 0, "%s", error);
}

static void restore(struct subject *subject)
{
    subject->guest.restore = true;
    subject->guest.image_fd = dup(subject->snapshot);
    load_guest(&subject->guest);
}

/* A guest to be reset, and what another one finds that was restored only. */
static void begin_with(struct subject *subject, const char *call)
{
    struct mayfly_options options = subject->guest.options;
    struct subject other = {.guest = {.options = options}};

    need_kvm();
    subject->fresh = malloc(PROBE_BYTES);
    subject->found = malloc(PROBE_BYTES);
    subject->snapshot = other.snapshot = take(&options, call);
    restore(&other);
    probe(other.guest.vm, subject->fresh);
    collect_guest(&other.guest);
    subject->guest.options.resettable = true;
    restore(subject);
}

static void begin(struct subject *subject)
{
    begin_with(subject, NULL);
}

static void finish(struct subject *subject)
{
    collect_guest(&subject->guest);
    close(subject->snapshot);
    free(subject->fresh);
    free(subject->found);
}

/* Where the two differ, or PROBE_BYTES. */
static size_t difference(const struct subject *subject)
{
    size_t at = 0;

    if (memcmp(subject->fresh, subject->found, PROBE_BYTES) == 0)
        return PROBE_BYTES;
    while (subject->fresh[at] == subject->found[at])
        at++;
    return at;
}

static void assert_nothing_left(struct subject *subject, const char *by)
{
    probe(subject->guest.vm, subject->found);
    size_t at = difference(subject);

    cr_assert_eq(at, PROBE_BYTES, "%s: left, byte %#zx: %#x instead of %#x", by,
                 at, subject->found[at], subject->fresh[at]);
}

static size_t count_secrets(const uint8_t *found)
{
    size_t count = 0;

    for (size_t i = 0; i < PROBE_BYTES; i++)
        count += found[i] == SECRET;
    return count;
}

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
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    subject.guest.options.out = ends[1];
    begin(&subject);
    cr_assert_eq(call_with(subject.guest.vm, "shout plant", 0, SECOND_NS / 20),
                 MAYFLY_TIMED_OUT);
    reset(subject.guest.vm);
    cr_assert_gt(drain(ends[0]), 0);
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
    subject.snapshot = write_snapshot(first.vm);
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

/* ---- Answers that no guest should give ----------------------------------- */

Test(call, believes_no_length_and_no_address_of_an_answer)
{
    struct subject subject = {0};
    char error[MAYFLY_ERROR_BYTES];

    begin(&subject);
    for (uint8_t which = 0; which < 7; which++) {
        uint8_t out[64 + 64];
        struct mayfly_call wrong = {
            .function = "wrong answer",
            .in = &which,
            .in_bytes = 1,
            .out = out,
            .out_room = 64,
        };
        struct mayfly_result result;

        memset(out, 0x77, sizeof(out));
        cr_assert_eq(mayfly_call(subject.guest.vm, &wrong, &result, error),
                     -EFAULT, "%u", which);
        cr_assert_eq(wrong.out_bytes, 0);
        for (size_t i = 0; i < sizeof(out); i++)
            cr_assert_eq(out[i], 0x77, "%u: %zu", which, i);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "wrong answer");
        reset(subject.guest.vm);
    }
    finish(&subject);
}

Test(call, writes_no_input_where_the_guest_itself_cannot)
{
    struct subject subject = {0};
    char error[MAYFLY_ERROR_BYTES];

    begin(&subject);
    for (uint8_t which = 0; which < 5; which++) {
        uint8_t in[4096];
        struct mayfly_call wrong = {
            .function = "wrong room", .in = &which, .in_bytes = 1};
        struct mayfly_call next = {
            .function = "nothing", .in = in, .in_bytes = sizeof(in)};
        struct mayfly_result result;

        memset(in, 0xff, sizeof(in));
        cr_assert_eq(mayfly_call(subject.guest.vm, &wrong, &result, error), 0);
        cr_assert_eq(mayfly_call(subject.guest.vm, &next, &result, error),
                     -EFAULT, "%u", which);
        next.in_bytes = 0; /* nothing to write: it goes on */
        cr_assert_eq(mayfly_call(subject.guest.vm, &next, &result, error), 0);
        cr_assert_eq(result.end, MAYFLY_AT_CALL);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "wrong room");
        reset(subject.guest.vm);
    }
    finish(&subject);
}

Test(call, has_limits_of_its_own)
{
    static uint8_t in[INPUT_BYTES + 1];
    struct subject subject = {0};
    struct mayfly_call long_input = {
        .function = "nothing", .in = in, .in_bytes = sizeof(in)};
    struct mayfly_call long_name = {
        .function = "0123456789012345678901234567890123456789"
                    "012345678901234567890123"};
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES];

    begin(&subject);
    cr_assert_eq(mayfly_call(subject.guest.vm, &long_input, &result, error),
                 -E2BIG);
    cr_assert_eq(mayfly_call(subject.guest.vm, &long_name, &result, error),
                 -EINVAL);
    assert_nothing_left(&subject, "calls that were not made");
    finish(&subject);
}
