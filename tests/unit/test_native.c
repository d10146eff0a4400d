/* SPDX-License-Identifier: MIT */
/* The native transport: where its table is. */
#include <criterion/criterion.h>
#include <errno.h>

#include "virtio/native.h"

Test(native, wants_a_boot_page)
{
    static uint8_t ram[MF_BOOT_PAGE];
    struct gmem low = {.regions = {{0, sizeof(ram), ram}}, .count = 1};
    struct gmem none = {.count = 0};
    struct native native;

    cr_assert_eq(native_init(&native, &low), -EFAULT);
    cr_assert_eq(native_init(&native, &none), -EFAULT);
}

/* ---- Where devices are placed ---------------------------------------- */

static uint8_t ram[MF_IMAGE_BASE - MF_BOOT_PAGE];
static const struct gmem memory = {
    .regions = {{MF_BOOT_PAGE, sizeof(ram), ram}}, .count = 1};
static struct native transport;
static struct vdev devices[MF_DEVICES_MAX + 1];

static int do_nothing(struct vdev *dev)
{
    (void)dev;
    return 0;
}

static void forget_nothing(struct vdev *dev)
{
    (void)dev;
}

static const struct vdev_class quiet = {
    .name = "quiet",
    .type = 2,
    .queue_count = 1,
    .config_bytes = 60,
    .serve = do_nothing,
    .reset = forget_nothing,
};

static const uint8_t config[60] = {1};

static int add(unsigned index, uint32_t size)
{
    devices[index].queue_size_max[0] = size;
    vdev_init(&devices[index], &quiet, 0, config);
    return native_add(&transport, &devices[index], 0);
}

static struct mf_device entry(unsigned index)
{
    struct mf_device found;

    cr_assert_eq(
        gmem_read(&memory,
                  gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, devices) +
                      index * sizeof(found)),
                  &found, sizeof(found)),
        0);
    return found;
}

/* The first and the last byte of a device's parts lie in [start, end). */
static void assert_within(unsigned index, uint64_t start, uint64_t end)
{
    struct mf_device device = entry(index);

    cr_assert(device.queues >= start && device.queues < end);
    cr_assert(device.config > device.queues && device.config + 60 <= end);
}

Test(native, fills_the_device_page_first_and_then_the_pages_for_rings)
{
    cr_assert_eq(native_init(&transport, &memory), 0);
    cr_assert_eq(add(0, 64), 0);
    cr_assert_eq(add(1, 128), 0);
    cr_assert_eq(add(2, 64), 0);
    assert_within(0, MF_DEVICE_PAGE, MF_DEVICE_PAGE + MF_PAGE_BYTES);
    assert_within(1, MF_RINGS, MF_RINGS + MF_PAGE_BYTES);
    assert_within(2, MF_DEVICE_PAGE, MF_DEVICE_PAGE + MF_PAGE_BYTES);
    cr_assert_gt(entry(2).queues, entry(0).config);
}

Test(native, ends_when_the_pages_for_rings_are_full)
{
    cr_assert_eq(native_init(&transport, &memory), 0);
    cr_assert_eq(add(0, 2048), -ENOSPC);
    cr_assert_eq(add(0, 1024), 0);
    assert_within(0, MF_RINGS, MF_IMAGE_BASE);
    cr_assert_eq(add(1, 1024), -ENOSPC);
    cr_assert_eq(add(1, 512), 0);
    cr_assert_eq(transport.set.count, 2);
}

Test(native, ends_when_the_table_is_full)
{
    cr_assert_eq(native_init(&transport, &memory), 0);
    for (unsigned i = 0; i < MF_DEVICES_MAX; i++)
        cr_assert_eq(add(i, 4), 0);
    cr_assert_eq(add(MF_DEVICES_MAX, 4), -ENOSPC);
}
