/* SPDX-License-Identifier: MIT */
/* poll and ppoll. */
#include <poll.h>

#include "guest_rt/pool.h"
#include "guest_rt/select.h"
#include "guest_rt/syscalls.h"

#define FEW 16u /* entries that need no memory */

/* Fills in the entries; returns whether one has an answer already. */
static bool fill(struct select_one *entries, struct pollfd *fds, unsigned count)
{
    bool any = false;

    for (unsigned i = 0; i < count; i++) {
        entries[i] = (struct select_one){.wanted = (uint16_t)fds[i].events};
        fds[i].revents = 0;
        if (fds[i].fd < 0)
            continue;
        entries[i].file = file_get_io(fds[i].fd);
        if (!entries[i].file) {
            entries[i].found = POLLNVAL;
            any = true;
        }
    }
    return any;
}

static long wait_for(struct select_one *entries, struct pollfd *fds,
                     unsigned count, uint64_t deadline_ns)
{
    bool any = fill(entries, fds, count);
    long found = 0;
    int error = select_wait(entries, count, any ? 0 : deadline_ns);

    if (error)
        return error;
    /* Others have run. */
    if (!user_can_write(fds, count * sizeof(*fds)))
        return -EFAULT;
    for (unsigned i = 0; i < count; i++) {
        fds[i].revents = (short)entries[i].found;
        found += entries[i].found != 0;
    }
    return found;
}

static long poll_all(struct pollfd *fds, unsigned long count,
                     uint64_t deadline_ns)
{
    struct select_one few[FEW], *entries = few;
    long result;

    if (count > file_limit)
        return -EINVAL;
    if (!user_can_write(fds, count * sizeof(*fds)))
        return -EFAULT;
    if (count > FEW)
        entries = pool_alloc(count * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    result = wait_for(entries, fds, (unsigned)count, deadline_ns);
    if (count > FEW)
        pool_free(entries, count * sizeof(*entries));
    return result;
}

long __mayfly_sys_poll(long fds, long count, long timeout_ms)
{
    long result;

    mf_lock();
    result = poll_all((struct pollfd *)fds, (unsigned long)(unsigned)count,
                      select_deadline_ms((int)timeout_ms));
    mf_unlock();
    return result;
}

static long poll_masked(struct pollfd *fds, unsigned long count,
                        struct timespec *timeout, const void *mask, long bytes)
{
    uint64_t deadline_ns;
    long result = select_deadline(timeout, &deadline_ns);

    if (!result)
        result = select_mask(mask, bytes);
    if (!result)
        result = poll_all(fds, count, deadline_ns);
    select_give_left(timeout, deadline_ns);
    return result;
}

long __mayfly_sys_ppoll(long fds, long count, long timeout, long mask,
                        long bytes)
{
    long result;

    mf_lock();
    result = poll_masked((struct pollfd *)fds, (unsigned long)(unsigned)count,
                         (struct timespec *)timeout, (const void *)mask, bytes);
    mf_unlock();
    return result;
}
