/* SPDX-License-Identifier: MIT */
/* What the standard wants of every device, and what none of ours offers. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Bits 24 to 49: the ring's, the transport's, and the future's (2.2). */
#define COMMON_BITS ((BIT(50) - 1) & ~(BIT(24) - 1))
#define ALL_OFFLOADS                                                        \
    (NET_FEATURE(CSUM) | NET_FEATURE(GUEST_CSUM) | NET_FEATURE(HOST_TSO4) | \
     NET_FEATURE(HOST_TSO6) | NET_FEATURE(GUEST_TSO4) |                     \
     NET_FEATURE(GUEST_TSO6))
#define DEVICES 6u

static int set_offloads(struct net_backend *backend, uint64_t features)
{
    (void)backend;
    (void)features;
    return 0;
}

static const struct net_backend_ops able_ops = {.set_offloads = set_offloads};
static const struct net_backend_ops plain_ops;

static struct net_backend able = {
    .ops = &able_ops,
    .fd = -1,
    .features = ALL_OFFLOADS,
};
static struct net_backend plain = {.ops = &plain_ops, .fd = -1};

static struct console console;
static struct blk blk;
static struct net nets[2];
static struct rng rng;
static struct balloon balloon;

static void make_net(struct net *net, struct net_backend *backend)
{
    const struct net_options options = {.backend = backend, .mac = {2}};

    cr_assert_eq(net_init(net, &options), 0);
}

/* One of each kind, the network with and without offloads. */
static void make_all(struct vdev *devices[DEVICES])
{
    struct blk_options disk = {.fd = memfd_create("disk", 0)};

    cr_assert_eq(ftruncate(disk.fd, 1 << 20), 0);
    cr_assert_eq(blk_init(&blk, &disk), 0);
    console_init(&console, -1, -1, CONSOLE_OUT_CHAINS);
    make_net(&nets[0], &able);
    make_net(&nets[1], &plain);
    rng_init(&rng);
    balloon_init(&balloon);
    devices[0] = &console.dev;
    devices[1] = &blk.dev;
    devices[2] = &nets[0].dev;
    devices[3] = &nets[1].dev;
    devices[4] = &rng.dev;
    devices[5] = &balloon.dev;
}

static bool accepts(struct vdev *dev, uint64_t features)
{
    vdev_set_status(dev, 0);
    vdev_set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(dev, features);
    vdev_set_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    return dev->status & VIRTIO_CONFIG_S_FEATURES_OK;
}

/* No RING_RESET, RING_PACKED, IN_ORDER, ACCESS_PLATFORM, SR_IOV (2.2, 6). */
Test(must_features, common_to_devices_are_three_and_no_more)
{
    const uint64_t ours = BIT(VIRTIO_F_VERSION_1) |
                          BIT(VIRTIO_RING_F_EVENT_IDX) |
                          BIT(VIRTIO_RING_F_INDIRECT_DESC);
    struct vdev *devices[DEVICES];

    make_all(devices);
    for (unsigned i = 0; i < DEVICES; i++)
        cr_assert_eq(devices[i]->offered & COMMON_BITS, ours, "%s",
                     devices[i]->class->name);
}

/* 2.2.2: what is offered has all that it requires; and again after a reset. */
Test(must_features, that_are_offered_are_accepted_as_a_whole_each_time)
{
    struct vdev *devices[DEVICES];

    make_all(devices);
    for (unsigned i = 0; i < DEVICES; i++)
        for (unsigned time = 0; time < 2; time++)
            cr_assert(accepts(devices[i], devices[i]->offered), "%s",
                      devices[i]->class->name);
}

/* 5.3.5.1: without EMERG_WRITE there is nothing in it to be written. */
Test(must_console, has_a_configuration_that_cannot_be_written)
{
    struct virtio_console_config before;
    uint32_t ones = UINT32_MAX;

    console_init(&console, -1, -1, CONSOLE_OUT_CHAINS);
    before = console.config;
    for (uint64_t at = 0; at < sizeof(before); at += sizeof(ones))
        vdev_write_config(&console.dev, at, &ones, sizeof(ones));
    cr_assert_eq(memcmp(&console.config, &before, sizeof(before)), 0);
}

/* 5.3.2, 5.1.2: the queues of features that are not there are not there. */
Test(must_queues, are_those_of_one_port_and_of_one_pair)
{
    struct vdev *devices[DEVICES];

    make_all(devices);
    cr_assert_eq(console.dev.class->queue_count, 2);
    cr_assert_eq(nets[0].dev.class->queue_count, 3);
    cr_assert_eq(blk.dev.class->queue_count, 1);
    cr_assert_eq(rng.dev.class->queue_count, 1);
}
