/* SPDX-License-Identifier: MIT */
/* Waiting for an open file. */
#include "guest_rt/file.h"

int file_block(struct file *file)
{
    if (file->flags & O_NONBLOCK) {
        /* What has come meanwhile may be what it needs. */
        source_poll();
        return -EAGAIN;
    }
    return wait_on(&file->wait, WAIT_NO_END);
}
