/* SPDX-License-Identifier: MIT */
/* The hypercall instruction. */
#include "guest_rt/hypercall.h"

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
