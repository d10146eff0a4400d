/* SPDX-License-Identifier: MIT */
/* Guest memory that changes between two looks of a device. */
#ifndef TESTS_FUZZ_CHANGING_H
#define TESTS_FUZZ_CHANGING_H

/*
 * A script arms changes: eight bytes each, at the n-th look from then. The
 * device looks when it maps guest memory (hooked.h); a fuzzer may let the
 * host's system calls count as well, with change_memory().
 */
#include "tests/fuzz/hooked.h"
#include "tests/fuzz/script.h"

#define CHANGES_MAX 16u

static struct armed_change {
    unsigned looks; /* until the memory changes */
    uint32_t offset;
    uint64_t value;
} changes[CHANGES_MAX];
static unsigned change_count;
static uint8_t *changing;
static unsigned looks;                   /* so far */
static unsigned looks_most = UINT32_MAX; /* more: an endless walk */

/* Begins anew, with no change armed. */
static void changes_begin(uint8_t *memory)
{
    changing = memory;
    change_count = 0;
    looks = 0;
}

/* Changes memory at a look from now, counted from 1; 0: now. */
static void change_at(unsigned look, uint32_t offset, uint64_t value)
{
    changes[change_count % CHANGES_MAX] =
        (struct armed_change){look, offset, value};
    if (look == 0)
        memcpy(changing + offset, &value, 8);
    if (change_count < CHANGES_MAX)
        change_count++;
}

/* The device has looked once more, or the host was busy for it. */
static void change_memory(void)
{
    for (unsigned i = 0; i < change_count; i++)
        if (changes[i].looks > 0 && --changes[i].looks == 0)
            memcpy(changing + changes[i].offset, &changes[i].value, 8);
}

static int hooked_gmem_map(const struct gmem *guest, gpa_t at, size_t bytes,
                           void **host)
{
    int error = gmem_map(guest, at, bytes, host);

    bug_on(++looks > looks_most);
    change_memory();
    return error;
}

/* Whether a piece of what the host is to move lies within something. */
static inline bool lies_in(const struct iovec *iov, const void *start,
                           size_t bytes)
{
    const uint8_t *from = start, *at = iov->iov_base;

    return at >= from && at <= from + bytes &&
           iov->iov_len <= bytes - (size_t)(at - from);
}

/* A sink for what the device says of its guest. */
static void ignore_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
}

#endif
