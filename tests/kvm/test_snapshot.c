/* SPDX-License-Identifier: MIT */
/* Snapshots: what goes on from them, and what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(snapshot, .timeout = 240);

/* ---- Taking and going on ------------------------------------------------- */

static int take_at_point(void)
{
    struct guest guest = {
        .image = "snapshot",
        .options = {.snapshots = MAYFLY_SNAPSHOT_CALLS},
    };
    int fd = take_snapshot(&guest);

    collect_guest(&guest);
    return fd;
}

static void go_on(struct guest *guest, int fd)
{
    guest->restore = true;
    guest->image_fd = dup(fd);
    run_guest(guest);
}

/* Returns what mayfly_restore() says of the file, and why in `error`. */
static int try_restore(int fd, const struct mayfly_options *options,
                       char *error)
{
    struct mayfly *vm;

    cr_assert_eq(mayfly_create(options, &vm, error), 0, "%s", error);
    int result = mayfly_restore(vm, fd, error);
    mayfly_destroy(vm);
    return result;
}

/* ---- State --------------------------------------------------------------- */

Test(snapshot, goes_on_with_memory_vector_state_and_time)
{
    struct guest guest = {.options = {.out = 0}};
    long long realtime;
    int fd = take_at_point();

    go_on(&guest, fd);
    assert_exited(&guest, 5, NULL);
    cr_assert(strstr(guest.output, "restored 1 told 7 heap 1 lanes 1 2 3 4\n"),
              "%s", guest.output);
    const char *at = strstr(guest.output, "monotonic 1 realtime ");
    cr_assert(at, "%s", guest.output);
    realtime = atoll(at + strlen("monotonic 1 realtime "));
    cr_assert_leq(llabs(realtime - (long long)time(NULL)), 5);
    close(fd);
}

Test(snapshot, the_vm_itself_goes_on_too)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    struct guest guest = {
        .image = "snapshot",
        .options = {.snapshots = MAYFLY_SNAPSHOT_POINT},
    };
    int fd = take_snapshot(&guest);

    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    collect_guest(&guest);
    assert_exited(&guest, 4, NULL);
    cr_assert(strstr(guest.output, "restored 0 told 0 heap 1 lanes 1 2 3 4\n"),
              "%s", guest.output);
    close(fd);
}

/* Each changes what all of them find: see take_heap() there. */
Test(snapshot, no_clone_sees_what_another_one_wrote)
{
    int fd = take_at_point();

    for (int i = 0; i < 3; i++) {
        struct guest guest = {.options = {.out = 0}};

        go_on(&guest, fd);
        assert_exited(&guest, 5, NULL);
        cr_assert(strstr(guest.output, "heap 1"), "%s", guest.output);
    }
    close(fd);
}

Test(snapshot, is_offered_again_and_again)
{
    struct guest first = {
        .image = "snapshot",
        .args = {"again"},
        .options = {.snapshots = MAYFLY_SNAPSHOT_POINT},
    };
    struct guest second = {
        .options = {.snapshots = MAYFLY_SNAPSHOT_POINT},
    };
    struct guest third = {.options = {.out = 0}};
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = take_snapshot(&first), fd2;

    collect_guest(&first);
    second.restore = true;
    second.image_fd = fd;
    load_guest(&second);
    cr_assert_eq(mayfly_run(second.vm, &second.result, error), 0, "%s", error);
    fd2 = write_snapshot(&second);
    collect_guest(&second);
    go_on(&third, fd2);
    assert_exited(&third, 7, "restored 1 1 0\n");
    close(fd2);
}

Test(snapshot, nothing_random_is_the_same_in_two_clones)
{
    enum { CLONES = 200, ROOM = 33 };
    static char seen[CLONES][ROOM];
    int fd = take_at_point();

    for (int i = 0; i < CLONES; i++) {
        struct guest guest = {.options = {.out = 0}};

        go_on(&guest, fd);
        const char *at = strstr(guest.output, "random ");
        cr_assert(at, "%s", guest.output);
        memcpy(seen[i], at + strlen("random "), ROOM - 1);
        for (int j = 0; j < i; j++)
            cr_assert_str_neq(seen[i], seen[j]);
    }
    close(fd);
}

/* ---- Resets ---------------------------------------------------------------
 */

Test(snapshot, a_vm_that_is_reset_is_as_it_was)
{
    enum { RESETS = 300 };
    struct guest guest = {.options = {.resettable = true}};
    char error[MAYFLY_ERROR_BYTES] = "";
    struct mayfly_stats stats;
    uint64_t pages = 0;

    guest.restore = true;
    guest.image_fd = take_at_point();
    load_guest(&guest);
    for (int i = 0; i <= RESETS; i++) {
        if (i > 0)
            cr_assert_eq(mayfly_reset(guest.vm, error), 0, "%s", error);
        cr_assert_eq(ftruncate(guest.out_file, 0), 0);
        cr_assert_eq(lseek(guest.out_file, 0, SEEK_SET), 0);
        cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s",
                     error);
        cr_assert_eq(guest.result.end, MAYFLY_EXITED);
        cr_assert_eq(guest.result.status, 5);
        mayfly_get_stats(guest.vm, &stats);
        /* What is written to is the same each time. */
        if (i == 1)
            pages = stats.reset_pages;
        cr_assert_eq(stats.reset_pages, pages * (uint64_t)i);
    }
    cr_assert_eq(stats.resets, RESETS);
    cr_assert_gt(pages, 100000 / 4096);
    cr_assert_lt(pages, 100);
    collect_guest(&guest);
    cr_assert(strstr(guest.output, "restored 1 told 7 heap 1 lanes 1 2 3 4\n"),
              "%s", guest.output);
}

Test(snapshot, only_a_vm_that_was_restored_for_it_is_reset)
{
    struct guest guest = {.image = "hello", .options = {.resettable = true}};
    char error[MAYFLY_ERROR_BYTES] = "";

    load_guest(&guest);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    cr_assert_eq(mayfly_reset(guest.vm, error), -EINVAL);
    collect_guest(&guest);
}

/* ---- Anywhere ------------------------------------------------------------ */

struct later {
    struct guest *guest;
    unsigned ms;
};

static void *request_later(void *argument)
{
    const struct later *later = argument;
    struct timespec pause = {.tv_nsec = later->ms * 1000000l};

    nanosleep(&pause, NULL);
    mayfly_request_snapshot(later->guest->vm);
    return NULL;
}

/* Runs a guest, stops it after `ms`, and goes on with it in another VM. */
static void stop_and_go_on(struct guest *first, struct guest *second,
                           unsigned ms)
{
    struct later later = {first, ms};
    char error[MAYFLY_ERROR_BYTES] = "";
    pthread_t thread;

    first->options.snapshots = MAYFLY_SNAPSHOT_ANYWHERE;
    load_guest(first);
    cr_assert_eq(pthread_create(&thread, NULL, request_later, &later), 0);
    cr_assert_eq(mayfly_run(first->vm, &first->result, error), 0, "%s", error);
    pthread_join(thread, NULL);
    int fd = write_snapshot(first);
    collect_guest(first);
    go_on(second, fd);
    close(fd);
}

Test(snapshot, threads_and_timers_go_on_from_anywhere)
{
    struct guest first = {.image = "snapthreads"};
    struct guest second = {.options = {.out = 0}};
    char both[2 * GUEST_OUTPUT_ROOM];
    int ticks = 0;

    stop_and_go_on(&first, &second, 100);
    assert_exited(&second, 3, NULL);
    snprintf(both, sizeof(both), "%s%s", first.output, second.output);
    for (int i = 0; i < 20; i++) {
        char line[32];

        snprintf(line, sizeof(line), "tick %d\n", i);
        ticks += strstr(both, line) != NULL;
    }
    cr_assert_eq(ticks, 20, "%s", both);
    cr_assert(strstr(both, "sum 1.644934\n"), "%s", both);
    cr_assert(!strstr(first.output, "sum"), "%s", first.output);
}

Test(snapshot, a_guest_that_waits_for_input_gets_it_elsewhere)
{
    struct guest first = {.image = "snapshot", .args = {"wait"}};
    struct guest second = {.input = "hello\n"};
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    first.options.in = ends[0];
    stop_and_go_on(&first, &second, 100);
    cr_assert_str_eq(first.output, "waiting\n");
    assert_exited(&second, 6, "line hello\n");
    close(ends[0]);
    close(ends[1]);
}

Test(snapshot, one_that_was_taken_anywhere_is_for_one_vm)
{
    struct guest first = {.image = "snapshot", .args = {"wait"}};
    struct guest second = {.input = "hello\n"};
    struct mayfly_options options = MAYFLY_OPTIONS;
    char error[MAYFLY_ERROR_BYTES] = "";
    struct later later = {&first, 50};
    pthread_t thread;
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    first.options.in = ends[0];
    first.options.snapshots = MAYFLY_SNAPSHOT_ANYWHERE;
    load_guest(&first);
    cr_assert_eq(pthread_create(&thread, NULL, request_later, &later), 0);
    cr_assert_eq(mayfly_run(first.vm, &first.result, error), 0, "%s", error);
    pthread_join(thread, NULL);
    int fd = write_snapshot(&first);
    collect_guest(&first);
    go_on(&second, fd);
    assert_exited(&second, 6, NULL);
    cr_assert_eq(try_restore(fd, &options, error), -EBUSY);
    cr_assert(strstr(error, "already"), "%s", error);
    close(fd);
}

/* ---- Disks ----------------------------------------------------------------
 */

static struct mayfly_disk disk_of(off_t bytes)
{
    struct mayfly_disk disk = {.fd = memfd_create("disk", MFD_CLOEXEC)};

    cr_assert_eq(ftruncate(disk.fd, bytes), 0);
    return disk;
}

Test(snapshot, disks_are_as_many_and_as_large_as_they_were)
{
    struct mayfly_disk disk = disk_of(1 << 20), other = disk_of(2 << 20);
    struct guest guest = {
        .image = "snapshot",
        .options = {.snapshots = MAYFLY_SNAPSHOT_POINT,
                    .disks = &disk,
                    .disk_count = 1},
    };
    struct mayfly_options options = MAYFLY_OPTIONS;
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = take_snapshot(&guest);

    collect_guest(&guest);
    cr_assert_eq(try_restore(fd, &options, error), -EINVAL);
    cr_assert(strstr(error, "1 disk"), "%s", error);
    options.disks = &other;
    options.disk_count = 1;
    cr_assert_neq(try_restore(fd, &options, error), 0);
    cr_assert(strstr(error, "size"), "%s", error);
    options.disks = &disk;
    cr_assert_eq(try_restore(fd, &options, error), 0, "%s", error);
    close(fd);
}

/* ---- Files that are not as they should be ------------------------------- */

static int copy_of(int fd, off_t bytes)
{
    int copy = memfd_create("copy", MFD_CLOEXEC);
    char *all = malloc((size_t)bytes);

    cr_assert_eq(pread(fd, all, (size_t)bytes, 0), bytes);
    cr_assert_eq(pwrite(copy, all, (size_t)bytes, 0), bytes);
    free(all);
    return copy;
}

static off_t size_of(int fd)
{
    struct stat status;

    cr_assert_eq(fstat(fd, &status), 0);
    return status.st_size;
}

Test(snapshot, registers_of_virtio_are_in_none)
{
    struct guest guest = {.image = "snapshot"};
    char error[MAYFLY_ERROR_BYTES];

    guest.options.snapshots = MAYFLY_SNAPSHOT_CALLS;
    guest.options.transport = MAYFLY_TRANSPORT_MMIO;
    load_guest(&guest);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), -ENOTSUP);
    cr_assert(strstr(error, "the transport has to be native"), "%s", error);
    mayfly_destroy(guest.vm);
}

Test(snapshot, one_that_is_cut_off_is_refused)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = take_at_point();
    const off_t sizes[] = {0, 10, 4096, 5000, size_of(fd) - 1};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int copy = copy_of(fd, sizes[i]);

        cr_assert_eq(try_restore(copy, &options, error), -ENOEXEC, "%ld: %s",
                     (long)sizes[i], error);
        close(copy);
    }
    close(fd);
}

Test(snapshot, a_bit_that_flipped_in_its_state_is_found)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = take_at_point();
    const off_t places[] = {0, 9, 16, 40, 4096, 4500, 8000};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int copy = copy_of(fd, size_of(fd));
        char byte;

        cr_assert_eq(pread(copy, &byte, 1, places[i]), 1);
        byte ^= 4;
        cr_assert_eq(pwrite(copy, &byte, 1, places[i]), 1);
        cr_assert_eq(try_restore(copy, &options, error), -ENOEXEC, "%ld: %s",
                     (long)places[i], error);
        close(copy);
    }
    close(fd);
}

Test(snapshot, a_file_that_is_cut_short_ends_its_vm_alone)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    struct guest guest = {.options = {.out = 0}};
    int fd = take_at_point();

    guest.restore = true;
    guest.image_fd = dup(fd);
    load_guest(&guest);
    cr_assert_eq(ftruncate(fd, 4096), 0);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    cr_assert_eq(guest.result.end, MAYFLY_CRASHED);
    cr_assert_eq(guest.result.crash.kind, MAYFLY_CRASH_LOST);
    collect_guest(&guest);
    close(fd);
}
