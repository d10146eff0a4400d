/* SPDX-License-Identifier: MIT */
/* One buffer's worth of data, checked on both sides. */
#ifndef TESTS_LINUX_REQUEST_H
#define TESTS_LINUX_REQUEST_H

/*
 * The driver's side fills what the device reads with bytes made from a seed.
 * The device's side hashes all it got and writes bytes made from the hash. So
 * each byte, each length and their order count on both sides. No byte written
 * is FILL, which what the device writes is filled with before: where it
 * stops is seen as well.
 */

#include "tests/linux/driver.h"
#include "virtio/virtq.h"

/* Numbers that look random and repeat. */
static inline uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* From 0 to below `end`. */
static inline uint32_t draw_below(uint64_t *state, uint32_t end)
{
    return draw(state) % end;
}

struct request {
    struct driver_piece *pieces;
    unsigned out, in;     /* pieces that the device reads, and writes */
    uint8_t *data;        /* all of them, the last piece first */
    uint64_t hash;        /* of what the device is to get */
    unsigned descriptors; /* that it occupies in the ring */
};

/* Makes one; pieces have up to `piece_max` bytes, and some of them none. */
struct request *request_create(uint64_t *random, unsigned out, unsigned in,
                               unsigned piece_max);

/* Whether all is as it has to be after the device wrote `written` bytes. */
bool request_is_done(const struct request *request, uint32_t written);

void request_destroy(struct request *request);

/* The device's side: writes up to `max` bytes. Returns how many. */
uint32_t request_serve(const struct virtq_chain *chain, uint32_t max);

#endif
