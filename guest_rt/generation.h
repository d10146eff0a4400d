/* SPDX-License-Identifier: MIT */
/* Noticing that the VM goes on from a snapshot. */
#ifndef GUEST_RT_GENERATION_H
#define GUEST_RT_GENERATION_H

/*
 * mf_boot.generation changes when the VM becomes another one. A snapshot is
 * taken at a hypercall, so what has to be done then is done when one returns;
 * or, on demand of the host, between any two instructions: then an upcall comes
 * before the next one.
 *
 * Parts of the runtime that have something to do name it here as a weak
 * function, which generation.c calls, and call generation_watch() once they
 * need that: programs without them have nothing of it. What is looked at each
 * time it is used (random numbers, options, terminals) needs nothing.
 *
 *   clock_jumped()      clock_jump.c    real time is another one
 *   inet_renew()        lwip/           addresses, connections, identifiers
 *   on_clone_tell()     on_clone.c      functions of the program
 *
 * A hypercall is made in the middle of anything, with the lock held or not:
 * these functions put off what they cannot do there, but not until the program
 * goes on.
 */

#include <stdbool.h>
#include <stdint.h>

/*
 * Looks whether the VM is another one than when it was looked last, and if so
 * has done what there is to do. After each hypercall, where generation.c is
 * linked. `many`: VMs go on from it, and not one that was moved.
 */
void generation_check(bool many) __attribute__((weak));

/*
 * The same between instructions of the program, and with it what must wait for
 * such a moment. Does nothing while the lock is held: whoever gives it back
 * calls this (mf_due()).
 */
void generation_due(void) __attribute__((weak));

/* See above. Links generation.c, and asks for the upcall if there are any. */
void generation_watch(void);

/*
 * A hypercall at which snapshots are taken that many VMs go on from: makes it,
 * with malloc() and standard output in no other thread's hands, and in such a
 * VM calls the program's functions (on_clone.c). Returns its result. With the
 * lock or without, where the running thread may block.
 */
long generation_offer(unsigned hypercall, uint64_t argument);

/* ---- What is done ---- */

void clock_jumped(void) __attribute__((weak));
void inet_renew(bool many) __attribute__((weak));
void on_clone_tell(bool many) __attribute__((weak));

/* Before an offer: what was sent is the VM's that offers, not of its clones. */
void inet_finish_sending(void) __attribute__((weak));

/* Calls the program's functions if that is due. With the lock, held once. */
void on_clone_run(void) __attribute__((weak));

/* ---- snapshot.c ---- */

/* The program listens for connections from now on. */
void snapshot_note_listening(void);

/*
 * Called before the program waits in accept(), or for descriptors. If it
 * listens, and this is the first time, and a snapshot is asked for there, this
 * is the moment for it (MF_SNAPSHOT_ACCEPT): all is set up, and nothing has
 * come yet. Returns whether it was: then the VM may be another one, and what
 * was waited for may be there. Weak, for programs that never listen.
 */
bool snapshot_before_wait(void) __attribute__((weak));

#endif
