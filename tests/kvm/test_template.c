/* SPDX-License-Identifier: MIT */
/* Clones of a template: they are what restored VMs are, for less. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(template, .timeout = 240);

/* Of the library, for a VM of images/calls. */
#define CLONE_CALLS   16
#define RESTORE_CALLS 30

/* On hardware AVX takes three to five more; what an interruption takes at most.
 */
#define HARDWARE_CALLS  5
#define INTERRUPT_CALLS 5

static char error[MAYFLY_ERROR_BYTES];

/* Runs a guest to where a snapshot can be taken. Returns its file. */
static int take(const char *image, uint32_t snapshots)
{
    struct guest guest = {.image = image, .options = {.snapshots = snapshots}};
    int fd;

    load_guest(&guest);
    if (snapshots & MAYFLY_SNAPSHOT_ANYWHERE)
        mayfly_request_snapshot(guest.vm);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    fd = write_snapshot(&guest);
    collect_guest(&guest);
    return fd;
}

static struct mayfly_template *make_template(int fd)
{
    struct mayfly_template *template;

    cr_assert_eq(mayfly_open_template(fd, &template, error), 0, "%s", error);
    close(fd);
    return template;
}

static struct mayfly *make_empty(bool resettable)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    struct mayfly *vm;

    options.in = options.out = -1;
    options.resettable = resettable;
    cr_assert_eq(mayfly_create(&options, &vm, error), 0, "%s", error);
    return vm;
}

static struct mayfly *make_clone(const struct mayfly_template *template,
                                 bool resettable)
{
    struct mayfly *vm = make_empty(resettable);

    cr_assert_eq(mayfly_clone(vm, template, error), 0, "%s", error);
    return vm;
}

/* Writes to so many pages. Returns how often that was done in this VM. */
static long dirty(struct mayfly *vm, uint8_t pages)
{
    struct mayfly_call call = {
        .function = "dirty", .in = &pages, .in_bytes = 1};
    struct mayfly_result result;

    cr_assert_eq(mayfly_call(vm, &call, &result, error), 0, "%s", error);
    cr_assert_eq(result.end, MAYFLY_AT_CALL);
    return call.result;
}

static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned lines = 0;
    int byte;

    cr_assert(maps);
    while ((byte = getc(maps)) != EOF)
        lines += byte == '\n';
    fclose(maps);
    return lines;
}

static long count_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

Test(template, clones_see_nothing_of_each_other)
{
    struct mayfly_template *template = make_template(take("calls", 0));
    struct mayfly *vms[3];

    for (int i = 0; i < 3; i++)
        vms[i] = make_clone(template, false);
    mayfly_close_template(template); /* they do not need it any more */
    for (long round = 1; round < 4; round++)
        for (int i = 0; i < 3; i++)
            cr_assert_eq(dirty(vms[i], 20), round);
    for (int i = 0; i < 3; i++)
        mayfly_destroy(vms[i]);
}

Test(template, clones_are_reset_to_what_they_were)
{
    struct mayfly_template *template = make_template(take("calls", 0));
    struct mayfly *vm = make_clone(template, true);

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(dirty(vm, 20), 1);
        cr_assert_eq(dirty(vm, 0), 2);
        cr_assert_eq(mayfly_reset(vm, error), 0, "%s", error);
    }
    mayfly_destroy(vm);
    mayfly_close_template(template);
}

Test(template, clones_go_on_in_the_middle_of_things)
{
    struct mayfly_template *template =
        make_template(take("snapshot", MAYFLY_SNAPSHOT_POINT));

    for (int i = 0; i < 2; i++) {
        struct mayfly *vm = make_clone(template, false);
        struct mayfly_result result;

        cr_assert_eq(mayfly_run(vm, &result, error), 0, "%s", error);
        cr_assert_eq(result.end, MAYFLY_EXITED);
        cr_assert_eq(result.status, 5, "it knows that it was restored");
        mayfly_destroy(vm);
    }
    mayfly_close_template(template);
}

/* Its processor's page, and a sixteenth of its memory and of the rest. */
Test(template, a_clone_takes_a_mapping_and_an_eighth)
{
    enum { CLONES = 48 };
    struct mayfly_template *template = make_template(take("calls", 0));
    struct mayfly *vms[CLONES];
    unsigned before;

    vms[0] = make_clone(template, false);
    dirty(vms[0], 1);
    before = count_mappings();
    for (int i = 1; i < CLONES; i++) {
        vms[i] = make_clone(template, false);
        dirty(vms[i], 1);
    }
    cr_assert_leq(count_mappings() - before, CLONES + CLONES / 8 + 4);
    for (int i = 0; i < CLONES; i++)
        mayfly_destroy(vms[i]);
    cr_assert_leq(count_mappings(), before);
    mayfly_close_template(template);
}

Test(template, clones_find_nothing_of_those_that_are_gone)
{
    enum { CLONES = 20 };
    struct mayfly_template *template = make_template(take("calls", 0));
    struct mayfly *vms[CLONES];

    for (int i = 0; i < CLONES; i++)
        vms[i] = make_clone(template, false);
    for (int round = 0; round < 3; round++)
        for (int i = round; i < CLONES; i += 3) {
            cr_assert_eq(dirty(vms[i], 20), 1);
            mayfly_destroy(vms[i]);
            vms[i] = make_clone(template, false);
        }
    for (int i = 0; i < CLONES; i++) {
        cr_assert_eq(dirty(vms[i], 20), 1);
        mayfly_destroy(vms[i]);
    }
    mayfly_close_template(template);
}

static unsigned count_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    unsigned count = 0;

    cr_assert(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

/* The VM and its processor; what makes VMs is the template's. */
Test(template, a_clone_takes_two_descriptors)
{
    enum { CLONES = 5 };
    int fd = take("calls", 0);
    unsigned without = count_descriptors(), with_template;
    struct mayfly_template *template = make_template(fd);
    struct mayfly *vms[CLONES];

    with_template = count_descriptors();
    for (int i = 0; i < CLONES; i++)
        vms[i] = make_clone(template, false);
    cr_assert_eq(count_descriptors(), with_template + 2 * CLONES);
    for (int i = 0; i < CLONES; i++)
        mayfly_destroy(vms[i]);
    cr_assert_eq(count_descriptors(), with_template);
    mayfly_close_template(template);
    cr_assert_eq(count_descriptors(), without - 1, "the snapshot's is closed");
}

/* What its parent's VMs were made by may be closed, or be something else. */
static int clone_in_child(int snapshot, bool other)
{
    struct mayfly_template *template;

    dup2(snapshot, 400);
    close_range(3, 399, 0);
    for (int i = 0; i < 30 && other; i++)
        if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
            return 1;
    template = make_template(400);
    for (int i = 0; i < 2; i++) {
        struct mayfly *vm = make_clone(template, false);

        if (dirty(vm, 20) != 1)
            return 1;
        mayfly_destroy(vm);
    }
    return 0;
}

Test(template, a_forked_child_makes_vms_of_its_own)
{
    int status, fd = take("calls", 0);
    struct mayfly_template *template = make_template(dup(fd));
    struct mayfly *vm = make_clone(template, false);

    cr_assert_eq(dirty(vm, 20), 1);
    for (int other = 0; other < 2; other++) {
        pid_t child = fork();

        if (child == 0)
            _exit(clone_in_child(fd, other));
        /* The parent's VM may tick once more, though it does not run. */
        while (waitpid(child, &status, 0) < 0)
            cr_assert_eq(errno, EINTR);
        cr_assert_eq(status, 0);
    }
    cr_assert_eq(dirty(vm, 20), 2);
    mayfly_destroy(vm);
    mayfly_close_template(template);
    close(fd);
}

static unsigned long count_calls(struct mayfly *vm)
{
    struct mayfly_stats stats;

    dirty(vm, 1);
    mayfly_get_stats(vm, &stats);
    mayfly_destroy(vm);
    return stats.monitor_calls - INTERRUPT_CALLS * stats.exits_interrupt;
}

/* From mayfly_create() to the answer: it is the same each time. */
Test(template, a_clone_makes_few_system_calls)
{
    int fd = take("calls", 0);
    struct mayfly_template *template = make_template(dup(fd));
    struct mayfly *restored = make_empty(false);

    for (int i = 0; i < 3; i++)
        cr_assert_leq((long)count_calls(make_clone(template, false)),
                      CLONE_CALLS + HARDWARE_CALLS);
    cr_assert_eq(mayfly_restore(restored, fd, error), 0, "%s", error);
    long calls = (long)count_calls(restored);
    cr_assert_leq(calls, RESTORE_CALLS + HARDWARE_CALLS, "%ld", calls);
    mayfly_close_template(template);
    close(fd);
}

Test(template, what_one_has_written_to_others_are_given_at_once)
{
    struct mayfly_template *template = make_template(take("calls", 0));
    struct mayfly *first = make_clone(template, false);
    long faults = count_faults(), without, with;

    dirty(first, 40);
    without = count_faults() - faults;
    cr_assert_eq(mayfly_learn(template, first, error), 0, "%s", error);
    struct mayfly *second = make_clone(template, false);
    faults = count_faults();
    cr_assert_eq(dirty(second, 40), 1);
    with = count_faults() - faults;
    cr_assert_leq(with + 40, without, "%ld after %ld", with, without);
    cr_assert_eq(dirty(first, 40), 2);
    mayfly_destroy(first);
    mayfly_destroy(second);
    mayfly_close_template(template);
}

Test(template, learns_of_its_own_clones_alone)
{
    int fd = take("calls", 0);
    struct mayfly_template *template = make_template(dup(fd));
    struct mayfly *vm = make_empty(false);

    cr_assert_eq(mayfly_restore(vm, fd, error), 0, "%s", error);
    cr_assert_eq(mayfly_learn(template, vm, error), -EINVAL);
    cr_assert_eq(mayfly_clone(vm, template, error), -EBUSY);
    mayfly_destroy(vm);
    mayfly_close_template(template);
    close(fd);
}

Test(template, is_not_made_of_what_one_vm_may_go_on_from)
{
    struct mayfly_template *template;
    int fd = take("forever", MAYFLY_SNAPSHOT_ANYWHERE);

    cr_assert_eq(mayfly_open_template(fd, &template, error), -EBUSY);
    close(fd);
}

Test(template, is_not_made_of_anything_else)
{
    struct mayfly_template *template;
    int fd = open_image("calls");

    cr_assert_eq(mayfly_open_template(fd, &template, error), -ENOEXEC);
    close(fd);
    cr_assert_eq(mayfly_open_template(-1, &template, error), -EBADF);
}
