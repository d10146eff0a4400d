/* SPDX-License-Identifier: MIT */
/* The virtio console (virtio 1.2, 5.3), between a guest and two host files. */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

/*
 * One port, no control queues. Output is gathered from as many chains as there
 * are and goes to the host in one writev straight from guest memory; a chain
 * that was written in part stays here and goes on at the next serve. The
 * device asks to be kicked only when the transmit ring is full, so printing
 * costs no exit; whoever runs the VM serves the device when the guest exits or
 * waits, and every few milliseconds while it computes.
 *
 * Input is read only into buffers that the guest has posted, one readv for one
 * chain, so that what the guest does not ask for stays in the host's file.
 * Whoever runs the VM polls what vdev_want() names while the guest waits.
 *
 * A failure of the host's files cannot be reported to the driver, which has
 * long gone on: it is latched, and whoever runs the VM ends it; or, where
 * output is not worth that (`lossy`), what it was about is dropped and counted.
 * SIGPIPE is to be ignored in the process. Everything runs in the thread that
 * runs the VM.
 */

#include <linux/virtio_console.h>

#include "virtio/device.h"

enum console_queue {
    CONSOLE_RX = 0, /* virtio 1.2, 5.3.2 */
    CONSOLE_TX = 1,
};

#define CONSOLE_CHAINS_MAX 64u /* entries of the largest queue */
#define CONSOLE_IN_CHAINS  16u
#define CONSOLE_OUT_CHAINS 64u /* for standard output */
#define CONSOLE_ERR_CHAINS 16u /* for standard error */

/* A transmit chain that is not written out yet. */
struct console_chain {
    uint16_t head;
    uint16_t pieces; /* entries of console.iov that are left of it */
};

struct console {
    struct vdev dev;
    struct virtio_console_config config;
    int in_fd;      /* -1: there is none */
    int out_fd;     /* -1: there is none, output is dropped */
    uint32_t flags; /* MF_DEVICE_* of the two */
    int error;      /* what the host refused, or 0 */
    bool lossy;     /* output that the host refuses is dropped: no error */
    int lost_error; /* why it was, last */
    uint64_t lost_bytes;

    uint64_t input_bytes;   /* read from the host so far */
    uint64_t output_bytes;  /* written to the host so far */
    uint64_t output_writes; /* in so many calls */

    /* Output that has been popped: chains, and the rest of their pieces. */
    struct console_chain chains[CONSOLE_CHAINS_MAX];
    struct iovec iov[CONSOLE_CHAINS_MAX];
    unsigned chain_first, chain_count;
    unsigned iov_first, iov_count;
};

/*
 * Sets up `console` to read from `in_fd` and write to `out_fd`, which it
 * borrows; -1 for none. `out_chains` is the transmit queue's size
 * (CONSOLE_*_CHAINS). Asks the host once whether each is a terminal, whose size
 * then is in the configuration space (VIRTIO_CONSOLE_F_SIZE). The device
 * itself is `console->dev`; console->flags are for the device table.
 */
void console_init(struct console *console, int in_fd, int out_fd,
                  uint32_t out_chains);

/*
 * The terminal may have another size now (SIGWINCH): asks the host, and tells
 * the driver if that is so (virtio 1.2, 5.3.4 and 2.5). Where the files are no
 * terminal, nothing happens.
 */
void console_resize(struct console *console);

/* Returns 0, or the negative errno with which the host's files failed. */
int console_error(const struct console *console);

#endif
