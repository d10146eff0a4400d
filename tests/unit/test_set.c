/* SPDX-License-Identifier: MIT */
/* Several devices at a time. */
#include <criterion/criterion.h>
#include <errno.h>

#include "virtio/set.h"

#define DEVICES 3u

struct toy {
    struct vdev dev;
    int answer;
    unsigned serves, readies;
};

static struct toy toys[DEVICES];
static struct vdev_set set;

static int toy_serve(struct vdev *dev)
{
    struct toy *toy = CONTAINER_OF(dev, struct toy, dev);

    toy->serves++;
    return toy->answer;
}

static int toy_ready(struct vdev *dev)
{
    struct toy *toy = CONTAINER_OF(dev, struct toy, dev);

    toy->readies++;
    return toy->answer;
}

static void toy_reset(struct vdev *dev)
{
    (void)dev;
}

static void toy_want(struct vdev *dev, struct pollfd *file)
{
    *file = (struct pollfd){.fd = dev == &toys[1].dev ? -1 : 7};
}

static const struct vdev_class toy_class = {
    .name = "toy",
    .serve = toy_serve,
    .reset = toy_reset,
    .want = toy_want,
    .ready = toy_ready,
};

static void set_up(void)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        vdev_init(&toys[i].dev, &toy_class, 0, "");
        toys[i].dev.status = VIRTIO_CONFIG_S_DRIVER_OK;
        cr_assert_eq(vdev_set_add(&set, &toys[i].dev), (int)i);
    }
}

TestSuite(set, .init = set_up);

Test(set, gives_each_its_turn_though_another_has_more_to_do)
{
    toys[0].answer = -EINTR;
    cr_assert_eq(vdev_set_serve(&set, VDEV_SET_ALL), -EINTR);
    cr_assert_eq(vdev_set_serve(&set, VDEV_SET_ALL), -EINTR);
    for (unsigned i = 0; i < DEVICES; i++)
        cr_assert_eq(toys[i].serves, 2);
    toys[0].answer = 0;
    cr_assert_eq(vdev_set_serve(&set, VDEV_SET_ALL), 0);
}

Test(set, serves_those_that_are_named)
{
    cr_assert_eq(vdev_set_serve(&set, 1u << 2 | 1u << 9), 0);
    cr_assert_eq(toys[0].serves + toys[1].serves, 0);
    cr_assert_eq(toys[2].serves, 1);
}

Test(set, waits_for_those_that_are_named_and_want_to)
{
    struct pollfd files[DEVICES];

    toys[1].dev.wake_ns = 5;
    toys[2].dev.wake_ns = 3;
    cr_assert_eq(vdev_set_want(&set, 1u << 0 | 1u << 1, files), 5);
    cr_assert_eq(files[0].fd, 7);
    cr_assert_eq(files[1].fd, -1);
    cr_assert_eq(files[2].fd, -1, "not named");
}

Test(set, lets_all_go_on_whose_files_are_ready)
{
    struct pollfd files[DEVICES] = {
        {.fd = 7, .revents = POLLIN},
        {.fd = -1, .revents = 0},
        {.fd = 7, .revents = POLLHUP},
    };

    toys[0].answer = -EINTR;
    cr_assert_eq(vdev_set_ready(&set, files), -EINTR);
    cr_assert_eq(toys[0].readies, 1);
    cr_assert_eq(toys[1].readies, 0);
    cr_assert_eq(toys[2].readies, 1);
}

Test(set, counts_kicks_of_those_that_are_named)
{
    vdev_set_count_kicks(&set, 1u << 1);
    cr_assert_eq(toys[0].dev.kicks, 0);
    cr_assert_eq(toys[1].dev.kicks, 1);
}

Test(set, is_full_at_some_time)
{
    static struct vdev more[MF_DEVICES_MAX];

    for (unsigned i = DEVICES; i < MF_DEVICES_MAX; i++)
        cr_assert_eq(vdev_set_add(&set, &more[i]), (int)i);
    cr_assert_eq(vdev_set_add(&set, &more[0]), -ENOSPC);
}
