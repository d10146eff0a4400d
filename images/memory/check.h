/* SPDX-License-Identifier: MIT */
/* Checks of memory and faults: what the parts of this program share. */
#ifndef IMAGES_MEMORY_CHECK_H
#define IMAGES_MEMORY_CHECK_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define PAGE 4096ul

/* Says "ok   NAME" or "FAIL NAME: CONDITION", and counts failures. */
void check_that(bool holds, const char *name, const char *condition);

#define CHECK(name, condition) check_that(condition, name, #condition)

/* What the last fault was. */
extern volatile int seen_signal, seen_code;
extern void *volatile seen_address;

/*
 * Runs `expression` and is true if it faults, with the signal and so on in the
 * variables above.
 */
extern sigjmp_buf fault_jump;

#define FAULTS(expression)               \
    ({                                   \
        volatile bool faulted_ = true;   \
        fault_expect(true);              \
        if (!sigsetjmp(fault_jump, 1)) { \
            expression;                  \
            faulted_ = false;            \
        }                                \
        fault_expect(false);             \
        faulted_;                        \
    })

/* Whether faults jump to fault_jump; otherwise they end the program. */
void fault_expect(bool expected);

/* Touches a byte, so that the compiler does not know better. */
static inline char peek(const void *at)
{
    __asm__("" : "+r"(at));
    return *(const volatile char *)at;
}

static inline void poke(void *at, char value)
{
    *(volatile char *)at = value;
}

bool can_read(const void *at);
bool can_write(void *at);

/* Anonymous memory; ends the program if there is none. */
char *map_pages(size_t count, int rights);

/* Whether all bytes are the same. */
bool is_all(const char *at, size_t bytes, char value);

/* The parts. */
void check_faults(void);
void check_maps(void);
void check_moves(void);
void check_files(void);
void check_model(void);

#endif
