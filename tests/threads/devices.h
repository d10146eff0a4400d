/* SPDX-License-Identifier: MIT */
/* Two devices for the I/O thread: an echo, and a source of numbers. */
#ifndef TESTS_THREADS_DEVICES_H
#define TESTS_THREADS_DEVICES_H

#include "virtio/device.h"

#define ECHO_TYPE   60u /* not taken by the standard */
#define SOURCE_TYPE 61u
#define QUEUE_SIZE  16u

/* Copies what the driver sends to where it wants the answer. */
struct echo {
    struct vdev dev;
    bool short_serves; /* one chain a serve, then -EINTR */
};

/* Gives the driver numbers that it reads from a file, as a network would. */
struct source {
    struct vdev dev;
    int fd;
    bool short_serves;
};

void echo_init(struct echo *echo);

/* Reads from `fd`, which does not block. */
void source_init(struct source *source, int fd);

#endif
