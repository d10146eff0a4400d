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

/* ---- snapshot.c ---- */

/* The program listens for connections from now on. */
void snapshot_note_listening(void);

/*
 * Called before the program waits in accept(), or for descriptors. If it
 * listens, and this is the first time, and a snapshot is asked for there, this
 * is the moment for it (MF_SNAPSHOT_ACCEPT): all is set up, and nothing has
 * come yet. Weak, for programs that never listen.
 */
void snapshot_before_wait(void) __attribute__((weak));

#endif
