/* SPDX-License-Identifier: MIT */
/* Has no gate for page faults and causes one. */
#include <mayfly/note.h>

/* Without these, a page fault's delivery fails: that is a double fault. */
#define NO_GATE (1u << 11 | 1u << 13 | 1u << 14)

MF_NOTE(MF_NOTE_VECTORS & ~NO_GATE, mf_fault_stubs);

int main(void)
{
    volatile int *volatile pointer = (volatile int *)8;

    return *pointer;
}
