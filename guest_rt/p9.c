/* SPDX-License-Identifier: MIT */
/* Directories of the host: messages, and the device. */
#include "guest_rt/p9.h"

#include <errno.h>
#include <string.h>

/* ---- Slots -------------------------------------------------------------- */

/* Takes back what is answered. */
static void reap(struct p9_fs *fs)
{
    uint32_t written;

    for (int head; (head = ring_reap(&fs->ring, &written)) >= 0;) {
        struct p9_message *message = fs->in_flight[head];

        message->written = written;
        message->done = true;
        if (!message->forgotten)
            continue;
        p9_free_fid(fs, message->fid);
        p9_give(fs, &message, 1);
    }
}

/* What a thread waits for: all of these are done, or slots are free. */
struct wait {
    struct p9_fs *fs;
    struct p9_message **messages;
    unsigned count;
};

static bool is_over(const struct wait *wait)
{
    if (!wait->messages)
        return wait->fs->free_slots >= wait->count;
    for (unsigned i = 0; i < wait->count; i++)
        if (!wait->messages[i]->done)
            return false;
    return true;
}

/* Nothing is reaped here: then what others wait for would go unnoticed. */
static bool is_ready(void *context)
{
    const struct wait *wait = context;

    return is_over(wait) || ring_has_used(&wait->fs->ring);
}

static bool arm(void *context)
{
    const struct wait *wait = context;

    return is_over(wait) || ring_want_event(&wait->fs->ring) ||
           device_is_broken(&wait->fs->device);
}

static void publish(struct p9_fs *fs)
{
    if (fs->ring.added != fs->ring.published && ring_publish(&fs->ring))
        device_kick(&fs->device, 0);
}

/* The device has given up: it does not answer any more. */
static void give_up(struct p9_fs *fs)
{
    fs->broken = true;
    for (unsigned i = 0; i < P9_SLOTS; i++) {
        struct p9_message *message = &fs->slots[i];

        if (message->used && message->forgotten && !message->done)
            p9_give(fs, &message, 1);
    }
}

/*
 * Sleeps until one of them may be over: what came may be for another thread,
 * which may have taken it by the time that this one runs.
 */
static void sleep_once(struct wait *wait)
{
    struct p9_fs *fs = wait->fs;

    poll_wait(&fs->poll, device_event(&fs->device), is_ready, arm, wait,
              MF_WAIT_FOREVER);
    ring_refuse_event(&fs->ring);
    if (!is_ready(wait) && device_is_broken(&fs->device))
        give_up(fs);
}

/* Returns 0, or -EIO if the device has given up. */
static int wait_for(struct wait *wait)
{
    struct p9_fs *fs = wait->fs;

    publish(fs);
    for (;;) {
        reap(fs);
        if (is_over(wait))
            return 0;
        if (fs->broken)
            return -EIO;
        sleep_once(wait);
    }
}

/* Those whose slots they are run meanwhile. */
static bool is_free(void *context)
{
    return is_over(context);
}

void p9_take(struct p9_fs *fs, struct p9_message **messages, unsigned count)
{
    struct wait wait = {fs, NULL, count};
    struct p9_message *slot = fs->slots;

    while (fs->free_slots < count)
        if (wait_for(&wait))
            poll_wait(&fs->poll, device_event(&fs->device), is_free, is_free,
                      &wait, MF_WAIT_FOREVER);
    fs->free_slots -= count;
    for (unsigned i = 0; i < count; slot++)
        if (!slot->used) {
            slot->used = true;
            messages[i++] = slot;
        }
}

void p9_give(struct p9_fs *fs, struct p9_message **messages, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        messages[i]->used = false;
    fs->free_slots += count;
}

/* ---- Fields ------------------------------------------------------------- */

static void store(uint8_t *to, uint64_t value, unsigned bytes)
{
    memcpy(to, &value, bytes); /* little-endian, as the wire is */
}

void p9_begin(struct p9_message *message, uint8_t type, unsigned in_bytes)
{
    message->out_bytes = 4;
    message->in_bytes = (uint16_t)in_bytes;
    message->taken = P9_HEADER_BYTES;
    message->data_count = 0;
    message->data_comes = false;
    message->done = message->forgotten = false;
    p9_put(message, type, 1);
    p9_put(message, 0, 2); /* the tag, when it is sent */
}

void p9_put(struct p9_message *message, uint64_t value, unsigned bytes)
{
    store(message->out + message->out_bytes, value, bytes);
    message->out_bytes += (uint16_t)bytes;
}

void p9_put_name(struct p9_message *message, const char *name)
{
    size_t bytes = strlen(name);

    p9_put(message, bytes, 2);
    memcpy(message->out + message->out_bytes, name, bytes);
    message->out_bytes += (uint16_t)bytes;
}

uint64_t p9_next(struct p9_message *message, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, message->in + message->taken, bytes);
    message->taken += (uint16_t)bytes;
    return value;
}

/* ---- Sending ------------------------------------------------------------ */

static uint64_t count_data(const struct p9_message *message)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < message->data_count; i++)
        bytes += message->data[i].iov_len;
    return bytes;
}

/* Adds a whole message to the ring. Returns 0, or -EAGAIN: no room. */
static int add(struct p9_fs *fs, struct p9_message *message)
{
    struct iovec pieces[P9_PIECES_MAX + 2];
    unsigned out = 1, in = 1;
    uint64_t data = message->data_comes ? 0 : count_data(message);

    store(message->out, message->out_bytes + data, 4);
    store(message->out + 5, (uint64_t)(message - fs->slots), 2);
    pieces[0] = (struct iovec){message->out, message->out_bytes};
    if (!message->data_comes)
        out += message->data_count;
    /* An error must have room; with data, there is as much. */
    pieces[out] = (struct iovec){
        message->in,
        message->in_bytes > P9_ERROR_BYTES ? message->in_bytes : P9_ERROR_BYTES,
    };
    if (message->data_comes)
        in += message->data_count;
    memcpy(message->data_comes ? pieces + 2 : pieces + 1, message->data,
           message->data_count * sizeof(message->data[0]));
    int head = ring_add(&fs->ring, pieces, out, in);
    if (head < 0)
        return head;
    fs->in_flight[head] = message;
    return 0;
}

/* Any chain that comes back makes room. */
static void send(struct p9_fs *fs, struct p9_message *message)
{
    struct wait wait = {fs, &message, 1}; /* that it is not done is known */

    while (!fs->broken && add(fs, message)) {
        publish(fs);
        sleep_once(&wait);
        reap(fs);
    }
}

void p9_exchange(struct p9_fs *fs, struct p9_message **messages, unsigned count)
{
    struct wait wait = {fs, messages, count};

    for (unsigned i = 0; i < count; i++)
        send(fs, messages[i]);
    wait_for(&wait); /* what is not done then has failed */
}

int p9_result(const struct p9_message *message)
{
    uint32_t error = 0;

    if (!message->done || message->written < P9_HEADER_BYTES)
        return -EIO;
    if (message->in[4] != P9_LERROR)
        return message->in[4] == message->out[4] + 1 &&
                       message->written >= message->in_bytes
                   ? 0
                   : -EIO;
    memcpy(&error, message->in + P9_HEADER_BYTES, sizeof(error));
    return error > 0 && error < 4096 ? -(int)error : -EIO;
}

int p9_call(struct p9_fs *fs, struct p9_message *message)
{
    p9_exchange(fs, &message, 1);
    return p9_result(message);
}

bool p9_came_too_early(int before, int error)
{
    return !before && (error == -EBADF || error == -ENOENT);
}

/* ---- Fids --------------------------------------------------------------- */

uint32_t p9_new_fid(struct p9_fs *fs)
{
    for (unsigned i = 0; i < P9_FIDS_MAX / 64; i++) {
        uint32_t word = (fs->fid_hint / 64 + i) % (P9_FIDS_MAX / 64);

        if (fs->fids[word] == UINT64_MAX)
            continue;
        fs->fid_hint = word * 64 + (uint32_t)__builtin_ctzll(~fs->fids[word]);
        fs->fids[word] |= UINT64_C(1) << fs->fid_hint % 64;
        return fs->fid_hint;
    }
    return P9_NO_FID;
}

void p9_free_fid(struct p9_fs *fs, uint32_t fid)
{
    if (fid == P9_NO_FID)
        return;
    fs->fids[fid / 64] &= ~(UINT64_C(1) << fid % 64);
    fs->fid_hint = fid;
}

/* Its number is free once the server has answered. */
void p9_forget_fid(struct p9_fs *fs, uint32_t fid)
{
    struct p9_message *message;

    if (fid == P9_NO_FID)
        return;
    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_CLUNK, fid, P9_ERROR_BYTES);
    message->forgotten = true;
    message->fid = fid;
    if (fs->broken)
        p9_give(fs, &message, 1);
    else
        send(fs, message);
}

void p9_publish(struct p9_fs *fs)
{
    publish(fs);
}
