/* SPDX-License-Identifier: MIT */
/* The hypercall, and what else a test on the host replaces. */
#include "guest_rt/hypercall.h"

uint64_t (*mf_before_sleep)(uint64_t deadline_ns);

long mf_hypercall(unsigned number, uint64_t a, uint64_t b)
{
    long result;

    __asm__ volatile("out %%al, %[port]"
                     : "=a"(result)
                     : "a"((long)number), "D"(a),
                       "S"(b), [port] "N"(MF_HYPERCALL_PORT)
                     : "memory");
    return result;
}

uint64_t mf_tsc(void)
{
    return __builtin_ia32_rdtsc();
}
