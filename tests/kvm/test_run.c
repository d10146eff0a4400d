/* SPDX-License-Identifier: MIT */
/* Running guests: what they print, what they get, and what it costs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

#define MIB      (1ull << 20)
#define GREETING "Hello from a Mayfly VM.\n"
#define TICK_NS  10000000u

TestSuite(run, .timeout = 240);

/*
 * Counts repeat exactly, but for a tick every 10 ms that the guest takes: a
 * host may stall it, and an emulated one needs longer than that for it.
 */
static void assert_one_exit(const char *image)
{
    struct guest guest = {.image = image};
    const struct mayfly_stats *stats = &guest.stats;

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(stats->exits_hypercall, 1);
    cr_assert_eq(stats->hypercall_exit, 1);
    cr_assert_eq(stats->injections, 0);
    cr_assert_eq(stats->exits, stats->exits_hypercall + stats->exits_interrupt);
    cr_assert_leq(stats->exits_interrupt,
                  (stats->stage_ns[MAYFLY_STAGE_END] -
                   stats->stage_ns[MAYFLY_STAGE_ENTRY]) /
                      TICK_NS);
}

Test(run, hello_prints_its_greeting)
{
    struct guest guest = {.image = "hello"};

    run_guest(&guest);
    assert_exited(&guest, 0, GREETING);
    cr_assert_str_eq(guest.errors, "");
    cr_assert_eq(guest.stats.output_bytes, strlen(GREETING));
    cr_assert_eq(guest.stats.output_writes, 1);
}

Test(run, leaves_a_program_the_names_that_the_runtime_uses)
{
    struct guest guest = {.image = "names"};

    run_guest(&guest);
    assert_exited(&guest, 0, "1 10\n");
}

Test(run, hello_takes_one_exit)
{
    assert_one_exit("hello");
}

Test(run, boot_takes_one_exit)
{
    assert_one_exit("boot");
}

Test(run, hello_takes_at_most_40_system_calls_of_the_library)
{
    struct guest guest = {.image = "hello"};

    run_guest(&guest);
    /* After each tick it is entered again. */
    cr_assert_leq(guest.stats.monitor_calls, 40 + guest.stats.exits_interrupt);
}

Test(run, passes_on_the_low_8_bits_of_the_exit_status)
{
    static const struct {
        const char *argument;
        int status;
    } cases[] = {{"0", 0}, {"1", 1}, {"255", 255}, {"256", 0}, {"-1", 255}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guest guest = {.image = "exitcode", .args = {cases[i].argument}};

        run_guest(&guest);
        assert_exited(&guest, cases[i].status, "");
    }
}

Test(run, passes_arguments_and_environment)
{
    const char *const env[] = {"A=1", "EMPTY=", "PATH=/a b", NULL};
    struct guest guest = {
        .image = "args",
        .args = {"one", "", "two words", "\xff\x01"},
        .options = {.env = env},
    };

    run_guest(&guest);
    assert_exited(&guest, 0,
                  "argv[0]=args\nargv[1]=one\nargv[2]=\nargv[3]=two words\n"
                  "argv[4]=\xff\x01\nA=1\nEMPTY=\nPATH=/a b\n");
}

Test(run, does_without_arguments_and_environment)
{
    const char *const none[] = {NULL};
    struct guest guest = {.image = "args", .options = {.args = none}};

    run_guest(&guest);
    assert_exited(&guest, 0, "");
}

Test(run, passes_the_longest_arguments_and_refuses_a_byte_more)
{
    static char longest[0x1e000];
    const char *args[] = {longest, NULL};
    struct mayfly_options options = {.args = args, .out = -1, .err = -1};
    char error[MAYFLY_ERROR_BYTES];
    struct guest guest = {.image = "boot", .options = {.args = args}};

    memset(longest, 'x', sizeof(longest) - 1);
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);

    const char *more[] = {longest, "", NULL};
    struct mayfly *vm;
    int image = open_image("boot");
    options.args = more;
    cr_assert_eq(mayfly_create(&options, &vm, error), 0);
    cr_assert_eq(mayfly_load(vm, image, error), -E2BIG);
    mayfly_destroy(vm);
    close(image);
}

/* ---- Memory ------------------------------------------------------------- */

Test(run, hello_runs_in_1_mib)
{
    struct guest guest = {.image = "hello", .options = {.mem_bytes = MIB}};

    run_guest(&guest);
    assert_exited(&guest, 0, GREETING);
    cr_assert_eq(guest.stats.mem_bytes, MIB);
    cr_assert_leq(guest.stats.mem_touched_bytes, MIB);
}

Test(run, hello_runs_in_the_least_memory_and_in_no_page_less)
{
    struct mayfly_image about;
    char error[MAYFLY_ERROR_BYTES];
    int image = open_image("hello");

    need_kvm();
    cr_assert_eq(mayfly_inspect(image, &about, error), 0);
    struct guest guest = {.image = "hello",
                          .options = {.mem_bytes = about.mem_bytes_min}};
    run_guest(&guest);
    assert_exited(&guest, 0, GREETING);

    struct mayfly_options options = {
        .mem_bytes = about.mem_bytes_min - 4096, .out = -1, .err = -1};
    struct mayfly *vm;
    cr_assert_eq(mayfly_create(&options, &vm, error), 0);
    cr_assert_eq(mayfly_load(vm, image, error), -ENOMEM);
    mayfly_destroy(vm);
    close(image);
}

Test(run, hello_runs_in_16_gib_and_not_in_more)
{
    struct guest guest = {.image = "hello",
                          .options = {.mem_bytes = 16384 * MIB}};
    struct mayfly_options options = {
        .mem_bytes = 16384 * MIB + 1, .out = -1, .err = -1};
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly *vm;
    int image = open_image("hello");

    run_guest(&guest);
    assert_exited(&guest, 0, GREETING);
    cr_assert_eq(mayfly_create(&options, &vm, error), 0);
    cr_assert_eq(mayfly_load(vm, image, error), -EINVAL);
    mayfly_destroy(vm);
    close(image);
}

/* The image puts its output into the last 16 bytes of memory. */
Test(run, the_last_bytes_of_memory_work_below_and_above_4_gib)
{
    static const uint64_t sizes[] = {16 * MIB, 3072 * MIB, 3072 * MIB + 4096,
                                     5120 * MIB, 16384 * MIB};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct guest guest = {.image = "ring",
                              .args = {"at-end"},
                              .options = {.mem_bytes = sizes[i]}};

        run_guest(&guest);
        assert_exited(&guest, 0, "sixteen bytes.\r\n");
    }
}

/* ---- The C library ------------------------------------------------------ */

Test(run, the_c_library_works)
{
    struct guest guest = {.image = "libc"};

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_str_eq(guest.errors, "to standard error\n");
}

Test(run, floating_point_and_vectors_survive_exits)
{
    struct guest guest = {.image = "fpu"};

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
}

Test(run, unknown_system_calls_are_counted)
{
    struct guest guest = {.image = "syscall"};

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.missing_count, 1);
    cr_assert_eq(guest.stats.missing[0].number, 9999);
    cr_assert_eq(guest.stats.missing[0].count, 1);
    cr_assert_str_eq(guest.stats.missing[0].name, "unknown");
}

Test(run, no_two_guests_get_the_same_random_numbers)
{
    struct guest one = {.image = "random"}, other = {.image = "random"};

    run_guest(&one);
    run_guest(&other);
    assert_exited(&one, 0, NULL);
    assert_exited(&other, 0, NULL);
    cr_assert_eq(strlen(one.output), 65);
    cr_assert_str_neq(one.output, other.output);
}

/* ---- Time --------------------------------------------------------------- */

static int64_t host_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

Test(run, the_guests_clocks_agree_with_the_hosts)
{
    const int64_t tolerance = 1000000000;
    struct guest guest = {.image = "clock"};
    int64_t before = host_ns(CLOCK_REALTIME);
    int64_t start = host_ns(CLOCK_MONOTONIC);
    long long realtime, monotonic;

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(sscanf(guest.output, "realtime %lld", &realtime), 1);
    cr_assert_eq(
        sscanf(strstr(guest.output, "monotonic"), "monotonic %lld", &monotonic),
        1);
    cr_assert_geq(realtime, before - tolerance);
    cr_assert_leq(realtime, host_ns(CLOCK_REALTIME) + tolerance);
    cr_assert_geq(monotonic, 0);
    cr_assert_leq(monotonic, host_ns(CLOCK_MONOTONIC) - start);
}

Test(run, a_sleep_takes_one_wait_and_not_less_than_asked_for)
{
    struct guest guest = {.image = "sleep", .args = {"50"}};
    int64_t start = host_ns(CLOCK_MONOTONIC);

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_geq(host_ns(CLOCK_MONOTONIC) - start, 50000000);
    cr_assert_geq(guest.stats.hypercall_wait, 1);
    cr_assert_leq(guest.stats.hypercall_wait, 2);
    cr_assert_neq(guest.stats.stage_ns[MAYFLY_STAGE_READY], 0);
}

Test(run, stages_are_reached_in_order)
{
    struct guest guest = {.image = "hello"};
    uint64_t last = 0;

    run_guest(&guest);
    for (unsigned i = 0; i < MAYFLY_STAGE_COUNT; i++) {
        uint64_t at = guest.stats.stage_ns[i];

        if (i == MAYFLY_STAGE_CONFINED || i == MAYFLY_STAGE_READY) {
            cr_assert_eq(at, 0);
            continue;
        }
        cr_assert_geq(at, last, "%s", mayfly_stage_name((enum mayfly_stage)i));
        last = at;
    }
}

/* ---- Life cycle --------------------------------------------------------- */

Test(run, a_vm_takes_one_image_and_needs_it_to_run)
{
    struct mayfly_options options = {.out = -1, .err = -1};
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly *vm;
    int image = open_image("boot");

    need_kvm();
    cr_assert_eq(mayfly_create(&options, &vm, error), 0);
    cr_assert_eq(mayfly_run(vm, &result, error), -EINVAL);
    cr_assert_eq(mayfly_confine(vm, 0, error), -EINVAL);
    cr_assert_eq(mayfly_load(vm, image, error), 0);
    cr_assert_eq(mayfly_load(vm, image, error), -EBUSY);
    cr_assert_eq(mayfly_run(vm, &result, NULL), 0);
    cr_assert_eq(result.end, MAYFLY_EXITED);
    mayfly_destroy(vm);
    mayfly_destroy(NULL);
    close(image);
}

/* Descriptors in use: the lowest free one tells, as nothing else opens any. */
static int lowest_free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

static long address_space_pages(void)
{
    char text[64] = "";
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert(file && fgets(text, sizeof(text), file));
    fclose(file);
    return atol(text);
}

static void create_run_destroy(int image)
{
    struct mayfly_options options = {.in = -1, .out = -1, .err = -1};
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES] = "";
    struct mayfly *vm;

    cr_assert_eq(mayfly_create(&options, &vm, error), 0, "%s", error);
    cr_assert_eq(mayfly_load(vm, image, error), 0, "%s", error);
    cr_assert_eq(mayfly_run(vm, &result, error), 0, "%s", error);
    cr_assert_eq(result.end, MAYFLY_EXITED);
    mayfly_destroy(vm);
}

Test(run, fifty_vms_leak_neither_descriptors_nor_memory)
{
    int image;

    need_kvm();
    image = open_image("boot");
    for (int i = 0; i < 5; i++)
        create_run_destroy(image);
    int fd = lowest_free_descriptor();
    long pages = address_space_pages();
    for (int i = 0; i < 50; i++)
        create_run_destroy(image);
    cr_assert_eq(lowest_free_descriptor(), fd);
    cr_assert_leq(address_space_pages(), pages + 16);
    close(image);
}

Test(run, a_failed_load_leaks_nothing)
{
    struct mayfly_options options = {.out = -1, .err = -1};
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly *vm;

    need_kvm();
    int fd = lowest_free_descriptor();
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(mayfly_create(&options, &vm, error), 0);
        cr_assert_eq(mayfly_load(vm, -1, error), -EBADF);
        mayfly_destroy(vm);
    }
    cr_assert_eq(lowest_free_descriptor(), fd);
}

Test(run, inspect_describes_an_image)
{
    struct mayfly_image about;
    char error[MAYFLY_ERROR_BYTES];
    int image = open_image("hello");

    cr_assert_eq(mayfly_inspect(image, &about, error), 0);
    cr_assert_eq(about.abi_major, 1);
    cr_assert_leq(about.mem_bytes_min, MIB);
    cr_assert_geq(about.segment_count, 2);
    for (unsigned i = 0; i < about.segment_count; i++)
        cr_assert_not(about.segments[i].write && about.segments[i].execute);
    close(image);
}

Test(run, probing_finds_what_running_needs)
{
    struct mayfly_host host;

    need_kvm();
    mayfly_probe_host(&host);
    cr_assert_neq(host.backend, MAYFLY_BACKEND_NONE);
    cr_assert_eq(host.kvm_error, 0);
    cr_assert_eq(host.kvm_api, 12);
    cr_assert(host.sync_regs && host.split_irqchip && host.immediate_exit &&
              host.fsgsbase && host.seccomp);
}
