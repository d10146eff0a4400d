/* SPDX-License-Identifier: MIT */
/* What the standard wants of a driver that finds registers (4.2.2.2). */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "guest_rt/mmio.c"

#define PLACE_WORDS 0x40u

/* A place where no device answers; the accesses to it are counted. */
static uint32_t place[PLACE_WORDS];
static unsigned reads, writes;

uint32_t mmio_get(volatile const uint8_t *at, size_t bytes)
{
    uint64_t offset = (uintptr_t)at - (uintptr_t)place;

    cr_assert_eq(bytes, 4);
    cr_assert_lt(offset, sizeof(place));
    reads++;
    return place[offset / 4];
}

void mmio_put(volatile uint8_t *at, uint32_t value)
{
    (void)at;
    (void)value;
    writes++;
}

/* Never reached. */
void ring_init(struct ring *ring, const struct mf_queue *queue,
               uint64_t features)
{
    (void)ring;
    (void)queue;
    (void)features;
    cr_assert_fail("no device, and yet a ring");
}

long __mayfly_sys_mmap(long address, long length, long protection, long flags,
                       long fd, long offset)
{
    (void)address, (void)length, (void)protection, (void)flags, (void)fd;
    (void)offset;
    cr_assert_fail("no device, and yet memory for it");
    return -ENOMEM;
}

static int open_place(uint32_t magic, uint32_t version, uint32_t type)
{
    uint64_t features;
    struct ring ring;

    memset(place, 0, sizeof(place));
    reads = writes = 0;
    place[VIRTIO_MMIO_MAGIC_VALUE / 4] = magic;
    place[VIRTIO_MMIO_VERSION / 4] = version;
    place[VIRTIO_MMIO_DEVICE_ID / 4] = type;
    return mmio_open((volatile uint8_t *)place, VIRTIO_ID_RNG, 0, &ring, 1,
                     &features);
}

Test(must_driver, leaves_a_place_alone_that_is_no_virtio_device)
{
    cr_assert_eq(open_place(0x74726977, 2, VIRTIO_ID_RNG), -ENODEV);
    cr_assert_eq(reads, 1);
    cr_assert_eq(writes, 0);
}

Test(must_driver, leaves_devices_of_other_versions_alone)
{
    for (uint32_t version = 0; version < 5; version++) {
        if (version == 2)
            continue;
        cr_assert_eq(open_place(0x74726976, version, VIRTIO_ID_RNG), -ENODEV);
        cr_assert_leq(reads, 2);
        cr_assert_eq(writes, 0);
    }
}

Test(must_driver, leaves_an_empty_place_and_other_devices_alone)
{
    cr_assert_eq(open_place(0x74726976, 2, 0), -ENODEV);
    cr_assert_eq(open_place(0x74726976, 2, VIRTIO_ID_BLOCK), -ENODEV);
    cr_assert_eq(reads, 3);
    cr_assert_eq(writes, 0);
}
