/* SPDX-License-Identifier: MIT */
/* Sets the thread pointer: the FS base. */
#include "pthread_impl.h"

int __set_thread_area(void *p)
{
    __asm__ volatile("wrfsbase %0" : : "r"(p) : "memory");
    return 0;
}
