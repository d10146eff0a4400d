/* SPDX-License-Identifier: MIT */
/* The device state machine, and the event word below it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "virtio/device.h"

#define BASE      UINT64_C(0x10000)
#define VERSION_1 (UINT64_C(1) << VIRTIO_F_VERSION_1)

static _Alignas(4096) uint8_t ram[0x1000];
static struct gmem mem;
static struct event_word events;
static struct vdev dev;
static unsigned serves, resets;
static int serve_result;

static int count_serve(struct vdev *served)
{
    (void)served;
    serves++;
    return serve_result;
}

static void count_reset(struct vdev *reset)
{
    (void)reset;
    resets++;
}

static const struct vdev_class class = {
    .name = "test",
    .type = 42,
    .queue_count = 1,
    .config_bytes = 4,
    .serve = count_serve,
    .reset = count_reset,
};

static void set_up(void)
{
    mem = (struct gmem){.regions = {{BASE, sizeof(ram), ram}}, .count = 1};
    cr_assert_eq(event_init(&events, &mem, gpa(BASE + 0xff8)), 0);
    dev.queue_size_max[0] = 8;
    vdev_init(&dev, &class, 1, "conf");
    vdev_bind(&dev, &mem, &events, 63, NULL);
}

static int enable_queue(unsigned index, uint32_t size)
{
    struct virtq_layout layout = {gpa(BASE), gpa(BASE + 0x400),
                                  gpa(BASE + 0x800), size};

    return vdev_enable_queue(&dev, index, &layout);
}

static void go_live(void)
{
    vdev_set_status(&dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&dev, VERSION_1);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_eq(enable_queue(0, 8), 0);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert(vdev_is_live(&dev));
}

Test(device, accepts_offered_features_with_VERSION_1, .init = set_up)
{
    vdev_set_features(&dev, VERSION_1 | 1);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert(dev.status & VIRTIO_CONFIG_S_FEATURES_OK);
}

Test(device, refuses_features_without_VERSION_1, .init = set_up)
{
    vdev_set_features(&dev, 1);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_not(dev.status & VIRTIO_CONFIG_S_FEATURES_OK);
}

Test(device, refuses_a_feature_that_it_does_not_offer, .init = set_up)
{
    vdev_set_features(&dev, VERSION_1 | 2);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_not(dev.status & VIRTIO_CONFIG_S_FEATURES_OK);
}

Test(device, keeps_its_features_once_they_are_agreed, .init = set_up)
{
    vdev_set_features(&dev, VERSION_1);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_FEATURES_OK);
    vdev_set_features(&dev, VERSION_1 | 1);
    cr_assert_eq(dev.features, VERSION_1);
}

Test(device, does_not_start_without_FEATURES_OK, .init = set_up)
{
    vdev_set_status(&dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_not(vdev_is_live(&dev));
}

Test(device, lets_the_driver_add_status_bits_and_take_none, .init = set_up)
{
    go_live();
    vdev_set_status(&dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    cr_assert(vdev_is_live(&dev));
    vdev_set_status(&dev, VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert(vdev_is_live(&dev));
}

Test(device, enables_a_queue_between_FEATURES_OK_and_DRIVER_OK, .init = set_up)
{
    cr_assert_eq(enable_queue(0, 8), -EINVAL);
    vdev_set_features(&dev, VERSION_1);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_eq(enable_queue(1, 8), -EINVAL, "there is only one");
    cr_assert_eq(enable_queue(0, 16), -EINVAL, "larger than allowed");
    cr_assert_eq(enable_queue(0, 8), 0);
    cr_assert_eq(enable_queue(0, 8), -EINVAL, "enabled already");
    virtq_reset(&dev.queues[0]);
    vdev_set_status(&dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_eq(enable_queue(0, 8), -EINVAL, "too late");
}

Test(device, serves_only_when_live, .init = set_up)
{
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(serves, 0);
    go_live();
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(serves, 1);
    serve_result = -EINTR;
    cr_assert_eq(vdev_serve(&dev), -EINTR);
}

Test(device, needs_a_reset_after_a_corrupt_ring_and_says_so_once,
     .init = set_up)
{
    go_live();
    serve_result = -EBADMSG;
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_not(vdev_is_live(&dev));
    cr_assert_eq(event_read(&events), UINT64_C(1) << 63);
    memset(ram + 0xff8, 0, 8);
    vdev_mark_needs_reset(&dev);
    cr_assert_eq(event_read(&events), 0);
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(serves, 1);
}

Test(device, lives_again_after_a_reset, .init = set_up)
{
    go_live();
    vdev_mark_needs_reset(&dev);
    vdev_set_status(&dev, 0);
    cr_assert_eq(resets, 1);
    cr_assert_eq(dev.status, 0);
    cr_assert_not(dev.queues[0].enabled);
    go_live();
}

Test(device, reads_0_past_the_end_of_its_configuration, .init = set_up)
{
    char bytes[4];

    vdev_read_config(&dev, 0, bytes, 4);
    cr_assert_eq(memcmp(bytes, "conf", 4), 0);
    vdev_read_config(&dev, 3, bytes, 4);
    cr_assert_eq(memcmp(bytes, "f\0\0\0", 4), 0);
    vdev_read_config(&dev, 4, bytes, 4);
    cr_assert_eq(memcmp(bytes, "\0\0\0\0", 4), 0);
    vdev_read_config(&dev, UINT64_MAX, bytes, 4);
    cr_assert_eq(memcmp(bytes, "\0\0\0\0", 4), 0);
}

Test(event, refuses_a_word_outside_memory_or_misaligned, .init = set_up)
{
    struct event_word other;

    cr_assert_eq(event_init(&other, &mem, gpa(BASE + 0xffc)), -EINVAL);
    cr_assert_eq(event_init(&other, &mem, gpa(BASE + 0x1000)), -EFAULT);
}

Test(event, adds_a_bit_and_keeps_the_others, .init = set_up)
{
    event_raise(&events, 0);
    event_raise(&events, 63);
    event_raise(&events, 0);
    cr_assert_eq(event_read(&events), UINT64_C(1) << 63 | 1);
}
