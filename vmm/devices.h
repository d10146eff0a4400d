/* SPDX-License-Identifier: MIT */
/* A VM's devices: which there are, behind which transport. */
#ifndef VMM_DEVICES_H
#define VMM_DEVICES_H

/*
 * The order of the device table: the two consoles, disks, networks and
 * shares in the order of the options, entropy, balloon, streams. Everything
 * belongs to the thread that runs the VM; devices_access() takes the I/O
 * thread's lock where it has to.
 */

#include "vmm/vm.h"

/* How many devices these options ask for, consoles included. */
unsigned devices_count(const struct mayfly_options *options);

/*
 * Makes all devices and their entries in the guest's table; guest memory is
 * there. With `states`, as many as devices_count(), they go on from these, and
 * guest memory has the rest. Returns 0 or a negative errno.
 */
MUST_CHECK int devices_add(struct mayfly *vm, const struct native_state *states,
                           char *error);

/* Closes what they have open themselves, once nothing serves them. */
void devices_remove(struct mayfly *vm);

/*
 * The guest has touched memory that is not there. Returns whether that was a
 * device's register: then the access is done, `*serve` is the device to be
 * served because of it, if any, and `*kicked` whether it was kicked.
 */
MUST_CHECK bool devices_access(struct mayfly *vm,
                               const struct vcpu_access *access,
                               uint64_t *serve, bool *kicked);

/* Adds what the devices counted; the I/O thread has ended. */
void devices_get_stats(const struct mayfly *vm, struct mayfly_stats *stats);

#endif
