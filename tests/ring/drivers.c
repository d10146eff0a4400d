/* SPDX-License-Identifier: MIT */
/* The guest's drivers as they are, compiled for the host. */
#include "guest_rt/ring.c"
#include "guest_rt/mmio.c"
#include "guest_rt/device.c"
#include "guest_rt/console.c"
#include "guest_rt/file_vector.c"
#include "guest_rt/lock.c"

bool user_can_read(const void *at, size_t bytes)
{
    return !bytes || device_can_reach((uintptr_t)at, bytes);
}

bool user_can_write(const void *at, size_t bytes)
{
    return user_can_read(at, bytes);
}

/* Where drivers under virtio-mmio take memory for their rings. */
#define POOL_BYTES (UINT64_C(4) << 20)

static char pool[POOL_BYTES] __attribute__((aligned(MF_PAGE_BYTES)));
static uint64_t taken;

long __mayfly_sys_mmap(long address, long length, long protection, long flags,
                       long fd, long offset)
{
    uint64_t at = taken;

    (void)address, (void)protection, (void)flags, (void)fd, (void)offset;
    taken += ((uint64_t)length + MF_PAGE_BYTES - 1) & -MF_PAGE_BYTES;
    return taken <= POOL_BYTES ? (long)(pool + at) : -ENOMEM;
}
