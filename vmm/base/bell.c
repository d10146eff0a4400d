/* SPDX-License-Identifier: MIT */
/* How a thread that is about to sleep is woken, and never missed. */
#include "vmm/base/bell.h"

#include <sys/eventfd.h>

#include "vmm/base/os.h"

int bell_init(struct bell *bell)
{
    int fd = (int)os_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return fd;
    bell->fd = fd;
    atomic_init(&bell->asleep, false);
    return 0;
}

void bell_fini(struct bell *bell)
{
    os_close(bell->fd);
}

void bell_prepare(struct bell *bell)
{
    atomic_store_explicit(&bell->asleep, true, memory_order_relaxed);
    /* Partner: the fence in bell_ring(). */
    atomic_thread_fence(memory_order_seq_cst);
}

void bell_wake(struct bell *bell, bool rung)
{
    uint64_t rings;
    struct iovec piece = {&rings, sizeof(rings)};

    atomic_store(&bell->asleep, false);
    /*
     * A ringer may have taken the mark and not written yet: then the next
     * sleep is a short one, and empties the file.
     */
    if (rung && os_readv(bell->fd, &piece, 1) < 0)
        return;
}

bool bell_ring(struct bell *bell)
{
    uint64_t once = 1;
    struct iovec piece = {&once, sizeof(once)};

    /* Partner: the fence in bell_prepare(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&bell->asleep, memory_order_relaxed) ||
        !atomic_exchange(&bell->asleep, false))
        return false;
    /* An eventfd counts to 2^64 - 2: it always takes one more. */
    return os_writev(bell->fd, &piece, 1) > 0;
}
