/* SPDX-License-Identifier: MIT */
/* The virtio console (virtio 1.2, 5.3), between a guest and two host files. */
#include "virtio/console.h"

#include <errno.h>
#include <mayfly/abi.h>
#include <linux/virtio_ids.h>

#include "vmm/base/os.h"

/*
 * One serve ends, with -EINTR, after about this much work, so that a guest
 * that posts the same gigabytes again and again does not keep the VM from
 * being stopped. A write counts for its bytes and one page more.
 */
#define CONSOLE_SERVE_BYTES (UINT64_C(64) << 20)
#define CONSOLE_WRITE_COST  4096u

static struct console *console_of(struct vdev *dev)
{
    return CONTAINER_OF(dev, struct console, dev);
}

/*
 * Pops as many chains as there is room for. Returns 1 if there is something to
 * write or to give back, 0 if not, or -EBADMSG.
 */
static int gather_output(struct console *console)
{
    struct virtq *tx = &console->dev.queues[CONSOLE_TX];
    int found = 0;

    console->chain_first = console->iov_first = console->iov_count = 0;
    while (console->chain_count < CONSOLE_CHAINS_MAX) {
        struct virtq_chain chain = {
            .iov = console->iov + console->iov_count,
            .iov_max = CONSOLE_CHAINS_MAX - console->iov_count,
        };
        unsigned pieces;

        found = virtq_pop(tx, &chain);
        if (found <= 0)
            break;
        pieces = console->out_fd < 0 ? 0 : chain.readable_count;
        console->chains[console->chain_count++] =
            (struct console_chain){chain.head, (uint16_t)pieces};
        console->iov_count += pieces;
    }
    return console->chain_count > 0 ? 1 : found;
}

/* `written` more bytes are out: gives back the chains that this completes. */
static void advance_output(struct console *console, size_t written)
{
    while (console->chain_count > 0) {
        struct console_chain *chain = &console->chains[console->chain_first];
        struct iovec *piece = &console->iov[console->iov_first];

        for (; chain->pieces > 0 && written >= piece->iov_len; piece++) {
            written -= piece->iov_len;
            chain->pieces--;
            console->iov_first++;
            console->iov_count--;
        }
        if (chain->pieces > 0) {
            piece->iov_base = (char *)piece->iov_base + written;
            piece->iov_len -= written;
            break;
        }
        virtq_push(&console->dev.queues[CONSOLE_TX], chain->head, 0);
        console->chain_first++;
        console->chain_count--;
    }
    vdev_publish(&console->dev, CONSOLE_TX);
}

/* Writes once. Returns the bytes written, or -errno; waits where it has to. */
static ssize_t write_output(struct console *console)
{
    struct pollfd writable = {.fd = console->out_fd, .events = POLLOUT};
    ssize_t written;

    if (console->iov_count == 0)
        return 0;
    for (;;) {
        written = os_writev(console->out_fd, console->iov + console->iov_first,
                            (int)console->iov_count);
        if (written != -EAGAIN)
            break;
        /* Someone made the file non-blocking; it may not even be ours. */
        int ready = os_poll(&writable, 1, -1);
        if (ready < 0)
            return ready;
    }
    if (written > 0) {
        console->output_bytes += (uint64_t)written;
        console->output_writes++;
    }
    return written;
}

/* The host does not take what is there. Returns how much that was. */
static ssize_t lose_output(struct console *console, int error)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < console->iov_count; i++)
        bytes += console->iov[console->iov_first + i].iov_len;
    console->lost_error = error;
    console->lost_bytes += bytes;
    return (ssize_t)bytes;
}

static int serve_output(struct console *console)
{
    struct virtq *tx = &console->dev.queues[CONSOLE_TX];
    uint64_t done = 0;

    while (done < CONSOLE_SERVE_BYTES) {
        if (console->chain_count == 0) {
            int found = gather_output(console);

            if (found < 0)
                return found;
            if (found == 0 &&
                !vdev_ask_kick(&console->dev, CONSOLE_TX, tx->size))
                return 0;
        }
        ssize_t written = write_output(console);
        if (written < 0 && console->lossy)
            written = lose_output(console, (int)written);
        if (written < 0)
            return (int)written;
        advance_output(console, (size_t)written);
        done += (uint64_t)written + CONSOLE_WRITE_COST;
    }
    return -EINTR;
}

static int console_serve(struct vdev *dev)
{
    struct console *console = console_of(dev);
    struct virtq *rx = &dev->queues[CONSOLE_RX];
    int error;

    if (console->error)
        return 0;
    error = serve_output(console);
    if (error == -EINTR || error == -EBADMSG)
        return error;
    console->error = error;
    /* Buffers for input are looked at when the guest waits: no kick needed. */
    vdev_ask_kick(dev, CONSOLE_RX, rx->size);
    return rx->broken ? -EBADMSG : 0;
}

static void console_want(struct vdev *dev, struct pollfd *file)
{
    struct console *console = console_of(dev);

    if (console->error || !virtq_has_chain(&dev->queues[CONSOLE_RX]))
        return;
    *file = (struct pollfd){.fd = console->in_fd, .events = POLLIN};
}

/*
 * Input is ready: reads once, into one chain. At the end of the file the chain
 * comes back with length 0.
 */
static int console_ready(struct vdev *dev)
{
    struct console *console = console_of(dev);
    struct virtq *rx = &dev->queues[CONSOLE_RX];
    struct iovec iov[CONSOLE_CHAINS_MAX];
    struct virtq_chain chain = {.iov = iov, .iov_max = CONSOLE_CHAINS_MAX};

    int found;

    if (console->error || console->in_fd < 0)
        return 0;
    found = virtq_pop(rx, &chain);
    if (found <= 0)
        return found;

    ssize_t bytes = os_readv(console->in_fd, iov + chain.readable_count,
                             (int)chain.writable_count);
    if (bytes < 0) {
        virtq_unpop(rx);
        if (bytes == -EINTR)
            return -EINTR;
        if (bytes != -EAGAIN)
            console->error = (int)bytes;
        return 0;
    }
    console->input_bytes += (uint64_t)bytes;
    virtq_push(rx, chain.head, (uint32_t)bytes);
    vdev_publish(dev, CONSOLE_RX);
    return 0;
}

static void console_reset(struct vdev *dev)
{
    struct console *console = console_of(dev);

    console->chain_first = console->chain_count = 0;
    console->iov_first = console->iov_count = 0;
}

static const struct vdev_class console_class = {
    .name = "console",
    .type = VIRTIO_ID_CONSOLE,
    .queue_count = 2,
    .config_bytes = sizeof(struct virtio_console_config),
    .serve = console_serve,
    .reset = console_reset,
    .want = console_want,
    .ready = console_ready,
};

/* Asks about one file: returns `tty` or `closed` (and sets *fd to -1) or 0. */
static uint32_t probe_fd(int *fd, uint32_t tty, uint32_t closed,
                         struct winsize *size)
{
    int error = -EBADF;

    if (*fd >= 0)
        error = os_ioctl(*fd, TIOCGWINSZ, (uintptr_t)size);
    if (error == 0)
        return tty;
    if (error != -EBADF)
        return 0;
    *fd = -1;
    return closed;
}

void console_init(struct console *console, int in_fd, int out_fd,
                  uint32_t out_chains)
{
    struct winsize size = {0};
    uint64_t features = 0;

    bug_on(!is_power_of_2(out_chains) || out_chains > CONSOLE_CHAINS_MAX);
    *console = (struct console){.in_fd = in_fd, .out_fd = out_fd};
    console->dev.queue_size_max[CONSOLE_RX] = CONSOLE_IN_CHAINS;
    console->dev.queue_size_max[CONSOLE_TX] = out_chains;
    console->flags =
        probe_fd(&console->in_fd, MF_DEVICE_IN_TTY, MF_DEVICE_IN_CLOSED, &size);
    console->flags |= probe_fd(&console->out_fd, MF_DEVICE_OUT_TTY,
                               MF_DEVICE_OUT_CLOSED, &size);
    if (console->flags & (MF_DEVICE_IN_TTY | MF_DEVICE_OUT_TTY)) {
        features = UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE;
        console->config.cols = size.ws_col;
        console->config.rows = size.ws_row;
    }
    vdev_init(&console->dev, &console_class, features, &console->config);
}

void console_resize(struct console *console)
{
    struct winsize size = {0};
    int fd =
        console->flags & MF_DEVICE_OUT_TTY ? console->out_fd : console->in_fd;

    if (!(console->flags & (MF_DEVICE_IN_TTY | MF_DEVICE_OUT_TTY)) ||
        os_ioctl(fd, TIOCGWINSZ, (uintptr_t)&size))
        return;
    if (size.ws_col == console->config.cols &&
        size.ws_row == console->config.rows)
        return;
    console->config.cols = size.ws_col;
    console->config.rows = size.ws_row;
    vdev_config_changed(&console->dev);
}

int console_error(const struct console *console)
{
    return console->error;
}
