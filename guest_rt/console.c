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
#include "file.h"
#include "ring.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

#define OUT_BYTES     65536u
#define ERR_BYTES     4096u
#define IN_PIECES_MAX 16u
#define RW_BYTES_MAX  0x7ffff000l /* one call moves no more, as on Linux */

/*
 * One direction of output. The buffer is filled from its start and used again
 * from there once the device has everything, so that a program that prints
 * little touches little of it.
 */
struct stream {
    struct console *console;
    unsigned char *buffer; /* what is in flight or about to be */
    size_t bytes;          /* its size */
    size_t filled;         /* bytes copied into it */
    size_t posted;         /* of these, added to the ring */
};

/* The queues of a console without ports (virtio 1.2, 5.3.2). */
enum { RECEIVE, TRANSMIT, QUEUES };

struct console {
    struct device device;
    struct ring rings[QUEUES];
};

/* Behind all other data, so that the small things share few pages. */
#define AT_THE_END __attribute__((section(".lbss")))

static unsigned char out_buffer[OUT_BYTES] AT_THE_END;
static unsigned char err_buffer[ERR_BYTES] AT_THE_END;

static struct console consoles[2];
static struct stream out = {
    .console = &consoles[0],
    .buffer = out_buffer,
    .bytes = sizeof(out_buffer),
};
static struct stream err = {
    .console = &consoles[1],
    .buffer = err_buffer,
    .bytes = sizeof(err_buffer),
};
static bool ready;

/* ---- Start ----------------------------------------------------------- */

static void find_consoles(void)
{
    if (ready)
        return;
    for (unsigned i = 0; i < 2; i++)
        device_open(&consoles[i].device, VIRTIO_ID_CONSOLE, i,
                    UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE, consoles[i].rings,
                    QUEUES);
    ready = true;
}

/* Each time: another VM that goes on may have something else there. */
static bool is_open(const struct console *console, uint32_t closed)
{
    const struct mf_device *entry = console->device.entry;

    return entry && !(entry->flags & closed);
}

/* ---- Output ---------------------------------------------------------- */

static struct ring *ring_of(const struct stream *stream)
{
    return &stream->console->rings[TRANSMIT];
}

/* Takes back what the device has written out. */
static void reap_stream(struct stream *stream)
{
    uint32_t unused;

    while (ring_reap(ring_of(stream), &unused) >= 0)
        continue;
    if (ring_in_flight(ring_of(stream)) == 0 &&
        stream->posted == stream->filled)
        stream->posted = stream->filled = 0;
}

/* Waits until the device has written out everything. Returns 0 or -EIO. */
static int drain_stream(struct stream *stream)
{
    if (!is_open(stream->console, MF_DEVICE_OUT_CLOSED))
        return 0;
    reap_stream(stream);
    if (ring_in_flight(ring_of(stream)) > 0) {
        device_kick(&stream->console->device, TRANSMIT);
        reap_stream(stream);
    }
    /* The answer may come later, or only in part. */
    while (ring_in_flight(ring_of(stream)) > 0) {
        int error = device_wait(&stream->console->device, ring_of(stream));

        if (error)
            return error;
        reap_stream(stream);
    }
    return 0;
}

/* Adds one piece to the ring and publishes it. Returns 0 or -EIO. */
static int post_piece(struct stream *stream, const void *from, size_t bytes)
{
    struct iovec piece = {(void *)(uintptr_t)from, bytes};

    if (ring_add(ring_of(stream), &piece, 1, 0) < 0) {
        int error = drain_stream(stream);

        if (error)
            return error;
        ring_add(ring_of(stream), &piece, 1, 0);
    }
    return ring_publish(ring_of(stream)) ? drain_stream(stream) : 0;
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

/* Writes `total` bytes of the pieces. Returns 0 or -EIO. */
static int write_pieces(int fd, const struct iovec *iov, long total)
{
    struct stream *stream = fd == 1 ? &out : &err;
    int error;

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
    return error ? error : post_buffer(stream);
}

long console_writev(int fd, const struct iovec *iov, int count)
{
    static struct mutex writing; /* of both streams: a thread may wait */
    long total;
    int error;

    find_consoles();
    if (!is_open(&consoles[fd == 2], MF_DEVICE_OUT_CLOSED))
        return -EBADF;
    total = file_check_pieces(iov, count);
    if (total <= 0)
        return total;
    if (total > RW_BYTES_MAX)
        total = RW_BYTES_MAX;
    mutex_lock(&writing);
    error = write_pieces(fd, iov, total);
    mutex_unlock(&writing);
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
    ring_add(&consoles[0].rings[RECEIVE], pieces, 0, used);
    /* The monitor looks when the guest waits, and it does now: no kick. */
    if (ring_publish(&consoles[0].rings[RECEIVE]) &&
        consoles[0].device.registers)
        device_kick(&consoles[0].device, RECEIVE);
}

/* Waits for the posted chain. Returns the bytes read, or -EIO. */
static long wait_for_input(void)
{
    struct ring *ring = &consoles[0].rings[RECEIVE];
    uint32_t bytes;
    int error = device_wait(&consoles[0].device, ring);

    if (error)
        return error;
    ring_reap(ring, &bytes);
    return bytes;
}

long console_readv(const struct iovec *iov, int count)
{
    long total;

    find_consoles();
    if (!is_open(&consoles[0], MF_DEVICE_IN_CLOSED))
        return -EBADF;
    total = file_check_pieces(iov, count);
    if (total <= 0)
        return total;
    post_input(iov, count);
    return wait_for_input();
}

/* ---- Input, without waiting (console_ahead.c) -------------------------- */

int console_input_begin(void *buffer, size_t bytes)
{
    struct iovec piece = {buffer, bytes};

    find_consoles();
    if (!is_open(&consoles[0], MF_DEVICE_IN_CLOSED))
        return -EBADF;
    post_input(&piece, 1);
    return 0;
}

bool console_input_is_done(void)
{
    return ring_has_used(&consoles[0].rings[RECEIVE]);
}

bool console_input_arm(void)
{
    return ring_want_event(&consoles[0].rings[RECEIVE]) ||
           device_is_broken(&consoles[0].device);
}

uint64_t console_input_event(void)
{
    return device_event(&consoles[0].device);
}

void console_input_ask(void)
{
    device_kick(&consoles[0].device, RECEIVE);
}

long console_input_end(bool wait)
{
    struct ring *ring = &consoles[0].rings[RECEIVE];
    uint32_t bytes;

    if (wait)
        return wait_for_input();
    if (!ring_has_used(ring))
        return device_is_broken(&consoles[0].device) ? -EIO : -EAGAIN;
    ring_refuse_event(ring);
    ring_reap(ring, &bytes);
    return bytes;
}

/* ---- Terminals ------------------------------------------------------- */

bool console_is_tty(int fd)
{
    const struct device *device = &consoles[fd == 2].device;

    find_consoles();
    return device->entry &&
           device->entry->flags &
               (fd == 0 ? MF_DEVICE_IN_TTY : MF_DEVICE_OUT_TTY);
}

int console_size(struct winsize *size)
{
    find_consoles();
    for (unsigned i = 0; i < 2; i++) {
        const struct device *device = &consoles[i].device;
        uint16_t cols, rows;

        if (!device_has_feature(device, VIRTIO_CONSOLE_F_SIZE))
            continue;
        device_read_config(device, offsetof(struct virtio_console_config, cols),
                           &cols, sizeof(cols));
        device_read_config(device, offsetof(struct virtio_console_config, rows),
                           &rows, sizeof(rows));
        *size = (struct winsize){rows, cols, 0, 0};
        return 0;
    }
    return -ENOTTY;
}
