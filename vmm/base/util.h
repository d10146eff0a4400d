/* SPDX-License-Identifier: MIT */
/* Small things that every layer of the monitor uses. */
#ifndef VMM_BASE_UTIL_H
#define VMM_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The caller has to look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) \
    __attribute__((__format__(__printf__, text, first)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The structure of the given type whose member lies at `pointer`. */
#define CONTAINER_OF(pointer, type, member) \
    ((type *)((char *)(pointer)-offsetof(type, member)))

/*
 * Ends the process when one of our own invariants does not hold. Always
 * compiled in; never on a value that a guest, a file or a peer can choose.
 */
#define bug_on(condition)     \
    do {                      \
        if (condition)        \
            __builtin_trap(); \
    } while (0)

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline bool is_power_of_2(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* `unit` is a power of two. */
static inline uint64_t round_down(uint64_t n, uint64_t unit)
{
    return n & ~(unit - 1);
}

/* `unit` is a power of two; the caller knows that the sum does not overflow. */
static inline uint64_t round_up(uint64_t n, uint64_t unit)
{
    return round_down(n + unit - 1, unit);
}

#endif
