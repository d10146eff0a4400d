/* SPDX-License-Identifier: MIT */
/* Random bytes straight from the VM's entropy device. */
#ifndef MAYFLY_ENTROPY_H
#define MAYFLY_ENTROPY_H

/*
 * A program does not need this: getrandom(2) and what is built on it have a
 * generator of their own, seeded by the monitor from the same source and seeded
 * anew when the VM becomes a copy of another, at no exit. This asks the device
 * each time (virtio 1.2, 5.4), for those who must have the host's own bytes,
 * and for tests.
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Fills `buffer` with `bytes` random bytes, one exit or so for every 4096. One
 * thread at a time, and not from an upcall's handler. Returns `bytes`, or a
 * negative errno: -ENODEV if the VM has no entropy device, -EFAULT if the
 * buffer is not in memory, -EIO if the device has given up.
 */
long mf_entropy_read(void *buffer, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
