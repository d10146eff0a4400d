/* SPDX-License-Identifier: MIT */
/* Standard input, output and error over the virtio consoles. */
#include "console.h"

#include <errno.h>
#include <limits.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "device.h"
#include "hypercall.h"
#include "ring.h"

#define OUT_BYTES     65536u
#define ERR_BYTES     4096u
#define IN_PIECES_MAX 16u
#define RW_BYTES_MAX  0x7ffff000l /* one call moves no more, as on Linux */
#define RW_PIECES_MAX 1024        /* IOV_MAX */

/*
 * One direction of output. The buffer is filled from its start and used again
 * from there once the device has everything, so that a program that prints
 * little touches little of it.
 */
struct stream {
    struct ring ring;
    uint64_t doorbell;     /* the console's, as a bit */
    unsigned char *buffer; /* what is in flight or about to be */
    size_t bytes;          /* its size */
    size_t filled;         /* bytes copied into it */
    size_t posted;         /* of these, added to the ring */
    bool open;
};

struct input {
    struct ring ring;
    uint64_t event; /* the console's bit in the event word */
    bool open;
};

/* Behind all other data, so that the small things share few pages. */
#define AT_THE_END __attribute__((section(".lbss")))

static unsigned char out_buffer[OUT_BYTES] AT_THE_END;
static unsigned char err_buffer[ERR_BYTES] AT_THE_END;

static struct stream out = {.buffer = out_buffer, .bytes = sizeof(out_buffer)};
static struct stream err = {.buffer = err_buffer, .bytes = sizeof(err_buffer)};
static struct input in;
static const struct mf_device *consoles[2];
static bool ready;

static struct mf_boot *boot(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

/* ---- Start ----------------------------------------------------------- */

static void open_stream(struct stream *stream, const struct mf_device *device)
{
    if (!device || device->flags & MF_DEVICE_OUT_CLOSED)
        return;
    ring_init(&stream->ring, device_queue(device, 1), device->features);
    stream->doorbell = UINT64_C(1) << device->doorbell;
    stream->open = true;
}

static void open_input(const struct mf_device *device)
{
    if (!device || device->flags & MF_DEVICE_IN_CLOSED)
        return;
    ring_init(&in.ring, device_queue(device, 0), device->features);
    in.event = UINT64_C(1) << device->event;
    in.open = true;
}

static void find_consoles(void)
{
    unsigned found = 0;

    if (ready)
        return;
    for (uint32_t i = 0; i < boot()->device_count && found < 2; i++)
        if (device_entry(i)->type == VIRTIO_ID_CONSOLE)
            consoles[found++] = device_entry(i);
    open_input(consoles[0]);
    open_stream(&out, consoles[0]);
    open_stream(&err, consoles[1]);
    ready = true;
}

/* ---- Checking a request ---------------------------------------------- */

/* Returns the bytes that a request names, or -errno. */
static long check_pieces(const struct iovec *iov, int count)
{
    size_t total = 0;

    if (count < 0 || count > RW_PIECES_MAX)
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > (size_t)LONG_MAX - total)
            return -EINVAL;
        total += iov[i].iov_len;
    }
    for (int i = 0; i < count; i++)
        if (iov[i].iov_len > 0 &&
            !device_can_reach((uintptr_t)iov[i].iov_base, iov[i].iov_len))
            return -EFAULT;
    return (long)total;
}

/* ---- Output ---------------------------------------------------------- */

/* Takes back what the device has written out. */
static void reap_stream(struct stream *stream)
{
    uint32_t unused;

    while (ring_reap(&stream->ring, &unused) >= 0)
        continue;
    if (ring_in_flight(&stream->ring) == 0 && stream->posted == stream->filled)
        stream->posted = stream->filled = 0;
}

/* Waits until the device has written out everything. Returns 0 or -EIO. */
static int drain_stream(struct stream *stream)
{
    if (!stream->open)
        return 0;
    reap_stream(stream);
    while (ring_in_flight(&stream->ring) > 0) {
        unsigned before = ring_in_flight(&stream->ring);
        long answer = mf_hypercall(MF_HC_KICK, stream->doorbell, 0);

        reap_stream(stream);
        if (ring_in_flight(&stream->ring) == before && answer != -EINTR)
            return -EIO;
    }
    return 0;
}

/* Adds one piece to the ring and publishes it. Returns 0 or -EIO. */
static int post_piece(struct stream *stream, const void *from, size_t bytes)
{
    struct iovec piece = {(void *)(uintptr_t)from, bytes};

    if (ring_add(&stream->ring, &piece, 1, 0) < 0) {
        int error = drain_stream(stream);

        if (error)
            return error;
        ring_add(&stream->ring, &piece, 1, 0);
    }
    return ring_publish(&stream->ring) ? drain_stream(stream) : 0;
}

/* Posts what has been copied into the buffer since the last time. */
static int post_buffer(struct stream *stream)
{
    size_t start = stream->posted;

    stream->posted = stream->filled;
    if (start == stream->filled)
        return 0;
    return post_piece(stream, stream->buffer + start, stream->filled - start);
}

/* Sends a large piece from where it is, and waits until it is out. */
static int send_direct(struct stream *stream, const void *from, size_t bytes)
{
    int error = post_buffer(stream);

    if (error)
        return error;
    error = post_piece(stream, from, bytes);
    if (error)
        return error;
    return drain_stream(stream);
}

/* Sends a piece that is not larger than the buffer by copying it. */
static int send_copy(struct stream *stream, const unsigned char *from,
                     size_t bytes)
{
    while (bytes > 0) {
        size_t room = stream->bytes - stream->filled;
        size_t part = bytes < room ? bytes : room;

        memcpy(stream->buffer + stream->filled, from, part);
        stream->filled += part;
        from += part;
        bytes -= part;
        if (stream->filled == stream->bytes) {
            int error = post_buffer(stream);

            if (error)
                return error;
            error = drain_stream(stream);
            if (error)
                return error;
        }
    }
    return 0;
}

long console_writev(int fd, const struct iovec *iov, int count)
{
    struct stream *stream = fd == 1 ? &out : &err;
    long total;
    int error;

    find_consoles();
    if (!stream->open)
        return -EBADF;
    total = check_pieces(iov, count);
    if (total <= 0)
        return total;
    if (total > RW_BYTES_MAX)
        total = RW_BYTES_MAX;

    /* What went to the other stream before comes out before. */
    error = drain_stream(fd == 1 ? &err : &out);
    reap_stream(stream);
    for (long left = total; left > 0 && error == 0; iov++) {
        long bytes = (long)iov->iov_len < left ? (long)iov->iov_len : left;

        if ((size_t)bytes > stream->bytes)
            error = send_direct(stream, iov->iov_base, (size_t)bytes);
        else
            error = send_copy(stream, iov->iov_base, (size_t)bytes);
        left -= bytes;
    }
    if (error == 0)
        error = post_buffer(stream);
    return error ? error : total;
}

/* ---- Input ----------------------------------------------------------- */

/* Posts as many of the pieces as fit into one chain. */
static void post_input(const struct iovec *iov, int count)
{
    struct iovec pieces[IN_PIECES_MAX];
    unsigned used = 0;
    long left = RW_BYTES_MAX;

    for (int i = 0; i < count && used < IN_PIECES_MAX && left > 0; i++) {
        long bytes = (long)iov[i].iov_len < left ? (long)iov[i].iov_len : left;

        if (bytes == 0)
            continue;
        pieces[used++] = (struct iovec){iov[i].iov_base, (size_t)bytes};
        left -= bytes;
    }
    ring_add(&in.ring, pieces, 0, used);
    /* No kick: the device looks when the guest waits, and it does now. */
    ring_publish(&in.ring);
}

/* Waits for the posted chain. Returns the bytes read. */
static long wait_for_input(void)
{
    uint64_t *events = &boot()->events;
    uint32_t bytes;

    ring_want_event(&in.ring);
    for (;;) {
        /*
         * Clear, then look, then wait on what the word was: an event that
         * comes after the look changes the word. Partner: event_raise().
         */
        uint64_t seen = __atomic_and_fetch(events, ~in.event, __ATOMIC_ACQ_REL);

        if (ring_reap(&in.ring, &bytes) >= 0)
            return bytes;
        mf_hypercall(MF_HC_WAIT, seen, MF_WAIT_FOREVER);
    }
}

long console_readv(const struct iovec *iov, int count)
{
    long total;

    find_consoles();
    if (!in.open)
        return -EBADF;
    total = check_pieces(iov, count);
    if (total <= 0)
        return total;
    post_input(iov, count);
    return wait_for_input();
}

/* ---- Terminals ------------------------------------------------------- */

bool console_is_tty(int fd)
{
    const struct mf_device *device;

    find_consoles();
    device = consoles[fd == 2];
    return device &&
           device->flags & (fd == 0 ? MF_DEVICE_IN_TTY : MF_DEVICE_OUT_TTY);
}

int console_size(struct winsize *size)
{
    const struct virtio_console_config *config;

    find_consoles();
    for (unsigned i = 0; i < 2; i++) {
        if (!consoles[i] ||
            !(consoles[i]->features >> VIRTIO_CONSOLE_F_SIZE & 1))
            continue;
        config = (const struct virtio_console_config *)consoles[i]->config;
        *size = (struct winsize){config->rows, config->cols, 0, 0};
        return 0;
    }
    return -ENOTTY;
}
