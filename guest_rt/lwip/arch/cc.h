/* SPDX-License-Identifier: MIT */
/* What lwIP asks of a compiler and a platform. */
#ifndef GUEST_RT_LWIP_ARCH_CC_H
#define GUEST_RT_LWIP_ARCH_CC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define LWIP_ERRNO_STDINCLUDE 1
#ifndef BYTE_ORDER
#define BYTE_ORDER LITTLE_ENDIAN
#endif

/* Checks of its own are for tests: the fuzzer builds with them. */
#ifdef MAYFLY_LWIP_CHECKS
#define LWIP_PLATFORM_ASSERT(text) __builtin_trap()
#else
#define LWIP_NOASSERT 1
#endif
#define LWIP_PLATFORM_DIAG(text) \
    do {                         \
    } while (0)

#define LWIP_RAND() inet_random()

/* Unpredictable (stack_port.c). */
uint32_t inet_random(void);

/* memory.c; as malloc, calloc and free. */
void *inet_memory_alloc(size_t bytes);
void *inet_memory_calloc(size_t count, size_t bytes);
void inet_memory_free(void *memory);

/* Folded sum of 16-bit words, not complemented (checksum.c). */
uint16_t inet_checksum(const void *data, int bytes);

#endif
