/* SPDX-License-Identifier: MIT */
/* The hypercall, and what else a test on the host replaces. */
#include "guest_rt/hypercall.h"

#include "guest_rt/cpu_clock.h"

uint64_t (*mf_before_sleep)(uint64_t deadline_ns);

long mf_hypercall_out(unsigned number, uint64_t a, uint64_t b)
{
    long result;

    __asm__ volatile("out %%al, %[port]"
                     : "=a"(result)
                     : "a"((long)number), "D"(a),
                       "S"(b), [port] "N"(MF_HYPERCALL_PORT)
                     : "memory");
    return result;
}

long mf_hypercall(unsigned number, uint64_t a, uint64_t b)
{
    if (number == MF_HC_WAIT && cpu_clock_wait)
        return cpu_clock_wait(a, b);
    return mf_hypercall_out(number, a, b);
}

uint64_t mf_tsc(void)
{
    return __builtin_ia32_rdtsc();
}
