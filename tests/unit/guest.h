/* SPDX-License-Identifier: MIT */
/* The guest's files on the host: what is below them, for tests. */
#ifndef TESTS_UNIT_GUEST_H
#define TESTS_UNIT_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_rt/syscalls.h"

/* Memory that the runtime's own allocators may still hand out, in bytes. */
extern size_t guest_memory_left;

/* Pieces of it that were handed out and not given back. */
extern unsigned guest_pieces;

/* Realtime, which stands still. */
extern uint64_t guest_now_ns;

/* SIGPIPEs that were sent. */
extern unsigned guest_sigpipes;

/*
 * What happens when the only thread blocks: others run, a device has work.
 * Without it a wait is interrupted by a signal (-EINTR).
 */
extern void (*guest_when_blocked)(void);

/* System calls with the host's types. They return as the guest's do. */
#define SYS(name, ...) __mayfly_sys_##name(SYS_ARGUMENTS(__VA_ARGS__))
#define SYS_ARGUMENTS(...)                                          \
    SYS_PICK(__VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1) \
    (__VA_ARGS__)
#define SYS_PICK(a, b, c, d, e, f, name, ...) name
#define SYS_1(a)                              (long)(a)
#define SYS_2(a, b)                           (long)(a), (long)(b)
#define SYS_3(a, b, c)                        SYS_2(a, b), (long)(c)
#define SYS_4(a, b, c, d)                     SYS_3(a, b, c), (long)(d)
#define SYS_5(a, b, c, d, e)                  SYS_4(a, b, c, d), (long)(e)
#define SYS_6(a, b, c, d, e, f)               SYS_5(a, b, c, d, e), (long)(f)

#endif
