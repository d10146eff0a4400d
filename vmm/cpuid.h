/* SPDX-License-Identifier: MIT */
/* What the processor says of itself, asked once in a process. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

/*
 * Where the host is a guest itself, CPUID traps: 4 us each time, as much as a
 * dozen system calls. The answers do not change as long as a process lives.
 */

#include <stdint.h>

struct cpuid_answer {
    uint32_t eax, ebx, ecx, edx;
};

/*
 * The answer to one leaf (Intel SDM volume 2, CPUID). Whether there is such a
 * leaf is for the caller to know: of those that are not there it says anything.
 * Any thread.
 */
struct cpuid_answer cpuid_ask(uint32_t leaf, uint32_t subleaf);

#endif
