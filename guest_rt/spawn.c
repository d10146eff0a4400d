/* SPDX-License-Identifier: MIT */
/* Saying that there are no other processes. */
#include "spawn.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "console.h"
#include "sched.h"

static struct iovec piece(const char *text)
{
    return (struct iovec){(void *)text, strlen(text)};
}

long spawn_refuse(const char *call)
{
    static bool told;
    const struct iovec pieces[] = {
        piece("mayfly: "),
        piece(call),
        piece("() is not available: a VM has one process (ENOSYS)\n"),
    };

    if (!told) {
        told = true;
        mf_lock();
        console_writev(2, pieces, 3);
        mf_unlock();
    }
    return -ENOSYS;
}
