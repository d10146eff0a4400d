/* SPDX-License-Identifier: MIT */
/* The hypercall, and what else a test on the host replaces. */
#include "guest_rt/hypercall.h"

#include "guest_rt/cpu_clock.h"
#include "guest_rt/generation.h"

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
    long result;

    if (number == MF_HC_WAIT && cpu_clock_wait)
        result = cpu_clock_wait(a, b);
    else
        result = mf_hypercall_out(number, a, b);
    if (generation_check)
        generation_check(number == MF_HC_SNAPSHOT || number == MF_HC_CALL);
    return result;
}

uint64_t mf_tsc(void)
{
    return __builtin_ia32_rdtsc();
}
