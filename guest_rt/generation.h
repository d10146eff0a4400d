/* SPDX-License-Identifier: MIT */
/* Noticing that the VM goes on from a snapshot. */
#ifndef GUEST_RT_GENERATION_H
#define GUEST_RT_GENERATION_H

/*
 * Looks whether the VM is another one than when it was looked last, and if so
 * does what has to be done before the program goes on. After each hypercall, in
 * programs that have anything to do then (generation.c is linked).
 */
void generation_check(void) __attribute__((weak));

#endif
