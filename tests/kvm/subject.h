/* SPDX-License-Identifier: MIT */
/* A guest that is called, reset, and compared with what it was. */
#ifndef TESTS_KVM_SUBJECT_H
#define TESTS_KVM_SUBJECT_H

/*
 * images/secrets leaves secrets wherever it can, and tells all that it finds.
 */

#include <errno.h>
#include <fcntl.h>
#include <mayfly/abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

#define SECOND_NS   1000000000ull
#define MEM_BYTES   (4u << 20)
#define PROBE_BYTES (MEM_BYTES - MF_BOOT_PAGE)
#define INPUT_BYTES (1u << 20)
#define SECRET      0x5e

struct subject {
    struct guest guest; /* restored, to be reset */
    int snapshot;
    uint8_t *fresh; /* what a probe finds right after a restore ... */
    uint8_t *found; /* ... and what one has just found */
};

/* What the guest is made of, and what all that follow are given. */
static inline int take(const struct mayfly_options *options, const char *call)
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
    int fd = write_snapshot(&guest);
    collect_guest(&guest);
    return fd;
}

/* Calls a function, with input of `in_bytes` secret bytes. Returns the end. */
static inline enum mayfly_end call_with(struct mayfly *vm, const char *function,
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
static inline long call(struct mayfly *vm, const char *function)
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
static inline void leave_out(uint8_t *found, size_t offset, size_t bytes)
{
    memset(found + offset, 0, bytes);
}

/* One half of it. Returns its length. */
static inline size_t probe_half(struct mayfly *vm, const char *function,
                                uint8_t *to, size_t room)
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
static inline void probe(struct mayfly *vm, uint8_t *found)
{
    size_t first = probe_half(vm, "probe 0", found, PROBE_BYTES);

    memset(found + first, 0, PROBE_BYTES - first);
    size_t second =
        probe_half(vm, "probe 1", found + first, PROBE_BYTES - first);
    cr_assert_gt(first + second, PROBE_BYTES - (256 << 10));
    leave_out(found, offsetof(struct mf_boot, clock), sizeof(struct mf_clock));
    leave_out(found, offsetof(struct mf_boot, seed), 32);
    leave_out(found, offsetof(struct mf_boot, generation), 8);
    /* Only one of the two is to be reset. */
    leave_out(found, offsetof(struct mf_boot, memory_stays), 4);
}

static inline void reset(struct mayfly *vm)
{
    char error[MAYFLY_ERROR_BYTES] = "";

    cr_assert_eq(mayfly_reset(vm, error), 0, "%s", error);
}

static inline void restore(struct subject *subject)
{
    subject->guest.restore = true;
    subject->guest.image_fd = dup(subject->snapshot);
    load_guest(&subject->guest);
}

/* A guest to be reset, and what another one finds that was restored only. */
static inline void begin_with(struct subject *subject, const char *call)
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

static inline void begin(struct subject *subject)
{
    begin_with(subject, NULL);
}

static inline void finish(struct subject *subject)
{
    collect_guest(&subject->guest);
    close(subject->snapshot);
    free(subject->fresh);
    free(subject->found);
}

/* Where the two differ, or PROBE_BYTES. */
static inline size_t difference(const struct subject *subject)
{
    size_t at = 0;

    if (memcmp(subject->fresh, subject->found, PROBE_BYTES) == 0)
        return PROBE_BYTES;
    while (subject->fresh[at] == subject->found[at])
        at++;
    return at;
}

static inline void assert_nothing_left(struct subject *subject, const char *by)
{
    probe(subject->guest.vm, subject->found);
    size_t at = difference(subject);

    cr_assert_eq(at, PROBE_BYTES, "%s: left, byte %#zx: %#x instead of %#x", by,
                 at, subject->found[at], subject->fresh[at]);
}

static inline size_t count_secrets(const uint8_t *found)
{
    size_t count = 0;

    for (size_t i = 0; i < PROBE_BYTES; i++)
        count += found[i] == SECRET;
    return count;
}

#endif
