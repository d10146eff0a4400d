/* SPDX-License-Identifier: MIT */
/* The entropy device between a hand-written ring and the host. */
#include <criterion/criterion.h>
#include <string.h>

#include "virtio/native.h"
#include "virtio/rng.h"
#include "vmm/base/os.h"

#define RAM_BYTES UINT64_C(0x200000)
#define DATA      UINT64_C(0x100000) /* guest-physical */

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{MF_BOOT_PAGE, RAM_BYTES, ram}},
    .count = 1,
};
static struct native native;
static struct rng rng;

static void *at(uint64_t address)
{
    return ram + (address - MF_BOOT_PAGE);
}

static void ignore_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
}

static void set_up(void)
{
    log_set_sink(ignore_line);
    cr_assert_eq(native_init(&native, &mem), 0);
    rng_init(&rng);
    cr_assert_eq(native_add(&native, &rng.dev, 0), 0);
}

/* ---- The driver: chains start at descriptor 0, one at a time ------------ */

static struct mf_queue *queue(void)
{
    struct mf_boot *boot = at(MF_BOOT_PAGE);

    return at(boot->devices[0].queues);
}

static struct vring_desc *desc(unsigned n)
{
    return (struct vring_desc *)at(queue()->desc) + n;
}

static void submit(void)
{
    struct vring_avail *avail = at(queue()->avail);

    avail->ring[avail->idx % queue()->size] = 0;
    avail->idx++;
}

static uint16_t used_count(void)
{
    struct vring_used *used = at(queue()->used);

    return used->idx;
}

/* Serves the chain at descriptor 0. Returns its used length. */
static uint32_t serve_chain(void)
{
    struct vring_used *used = at(queue()->used);
    uint16_t before = used->idx;

    submit();
    cr_assert_eq(vdev_serve(&rng.dev), 0);
    cr_assert_eq(used->idx, (uint16_t)(before + 1));
    return used->ring[before % queue()->size].len;
}

static uint32_t ask(uint32_t bytes)
{
    *desc(0) = (struct vring_desc){DATA, bytes, VRING_DESC_F_WRITE, 0};
    return serve_chain();
}

/* How many of the `bytes` bytes at `address` are 0. */
static size_t zeroes(uint64_t address, size_t bytes)
{
    const uint8_t *data = at(address);
    size_t count = 0;

    for (size_t i = 0; i < bytes; i++)
        count += data[i] == 0;
    return count;
}

Test(rng, fills_a_buffer_with_bytes_that_differ, .init = set_up)
{
    uint8_t before[64];

    cr_assert_eq(ask(64), 64);
    memcpy(before, at(DATA), 64);
    cr_assert_lt(zeroes(DATA, 64), 16);
    cr_assert_eq(zeroes(DATA + 64, 64), 64);
    cr_assert_eq(ask(64), 64);
    cr_assert_neq(memcmp(before, at(DATA), 64), 0);
    cr_assert_eq(rng.requests, 2);
    cr_assert_eq(rng.bytes, 128);
}

Test(rng, gives_at_most_4096_bytes, .init = set_up)
{
    cr_assert_eq(ask(4096), 4096);
    cr_assert_eq(ask(4097), 4096);
    cr_assert_eq(ask(1 << 20), 4096);
    cr_assert_lt(zeroes(DATA, 4096), 200);
    cr_assert_eq(zeroes(DATA + 4096, 4096), 4096);
}

Test(rng, fills_single_bytes, .init = set_up)
{
    for (unsigned i = 0; i < RNG_QUEUE_MAX; i++)
        *desc(i) = (struct vring_desc){
            DATA + 2 * i,
            1,
            VRING_DESC_F_WRITE |
                (i + 1 < RNG_QUEUE_MAX ? VRING_DESC_F_NEXT : 0),
            (uint16_t)(i + 1),
        };
    cr_assert_eq(serve_chain(), RNG_QUEUE_MAX);
    for (unsigned i = 0; i < RNG_QUEUE_MAX; i++)
        cr_assert_eq(zeroes(DATA + 2 * i + 1, 1), 1);
}

Test(rng, never_writes_to_a_readable_buffer, .init = set_up)
{
    *desc(0) = (struct vring_desc){DATA, 64, VRING_DESC_F_NEXT, 1};
    *desc(1) = (struct vring_desc){DATA + 64, 64, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(serve_chain(), 64);
    cr_assert_eq(zeroes(DATA, 64), 64);
    cr_assert_lt(zeroes(DATA + 64, 64), 16);
}

Test(rng, gives_nothing_where_there_is_no_room, .init = set_up)
{
    unsigned long calls = os_calls;

    cr_assert_eq(ask(0), 0);
    *desc(0) = (struct vring_desc){DATA, 64, 0, 0};
    cr_assert_eq(serve_chain(), 0);
    cr_assert_eq(os_calls, calls);
    cr_assert_eq(zeroes(DATA, 64), 64);
}

Test(rng, serves_all_there_is_with_one_event, .init = set_up)
{
    *desc(0) = (struct vring_desc){DATA, 8, VRING_DESC_F_WRITE, 0};
    for (unsigned i = 0; i < RNG_QUEUE_MAX; i++)
        submit();
    cr_assert_eq(vdev_set_serve(&native.set, 1), 0);
    cr_assert_eq(used_count(), RNG_QUEUE_MAX);
    cr_assert_eq(event_read(&native.events), 1);
}

Test(rng, asks_for_a_kick_each, .init = set_up)
{
    const struct vring_used *used = at(queue()->used);
    const uint16_t *avail_event = (const uint16_t *)&used->ring[RNG_QUEUE_MAX];

    cr_assert_eq(*avail_event, 0);
    cr_assert_eq(ask(8), 8);
    cr_assert_eq(*avail_event, 1);
}

Test(rng, needs_a_reset_after_a_corrupt_ring, .init = set_up)
{
    *desc(0) = (struct vring_desc){MF_BOOT_PAGE + RAM_BYTES - 7, 8,
                                   VRING_DESC_F_WRITE, 0};
    submit();
    cr_assert_eq(vdev_serve(&rng.dev), 0);
    cr_assert(rng.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert_eq(used_count(), 0);
}

Test(rng, has_no_configuration_and_no_features, .init = set_up)
{
    uint64_t value = 1;

    vdev_read_config(&rng.dev, 0, &value, 8);
    cr_assert_eq(value, 0);
    cr_assert_eq(rng.dev.offered & 0xffffff, 0);
    cr_assert_eq(rng.dev.class->type, 4);
}
