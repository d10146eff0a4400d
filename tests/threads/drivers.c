/* SPDX-License-Identifier: MIT */
/* The guest's drivers as they are, compiled for the host. */
#include "guest_rt/ring.c"
#include "guest_rt/mmio_access.c"
#include "guest_rt/mmio.c"
#include "guest_rt/device.c"
#include "guest_rt/poll.c"

/* Only drivers under virtio-mmio take memory for their rings. */
long __mayfly_sys_mmap(long address, long length, long protection, long flags,
                       long fd, long offset)
{
    (void)address, (void)length, (void)protection;
    (void)flags, (void)fd, (void)offset;
    return -ENOMEM;
}
