/* SPDX-License-Identifier: MIT */
/* The guest's driver for network cards against a card on another thread. */
#include <criterion/criterion.h>
#include <errno.h>
#include <mayfly/net.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/ring/vm.h"

/* A lost wake-up, in either direction, is a test that does not end. */
TestSuite(net_thread, .timeout = 60);

#define FRAMES      100000u
#define FRAME_BYTES 64u

static int doorbell, event; /* eventfds */
static atomic_bool stop;
static bool looks;             /* the device polls for a while, then sleeps */
static uint32_t window;        /* frames on their way at most */
static uint32_t begun, echoed; /* frames, by the device's thread */

static void ring_bell(int fd)
{
    cr_assert_eq(write(fd, &(uint64_t){1}, 8), 8);
}

static void sleep_on(int fd)
{
    uint64_t count;

    cr_assert_eq(read(fd, &count, 8), 8);
}

/* ---- The link: frames come as long as their echoes do -------------------- */

static ssize_t link_receive(struct net_backend *backend, net_header *header,
                            struct iovec *iov, unsigned count)
{
    static const uint8_t eth[NET_ETH_BYTES] = {2, 0, 0, 0, 0, 1,    2,
                                               0, 0, 0, 0, 2, 0x88, 0xb5};
    uint64_t unused;

    if (begun == FRAMES || begun - echoed >= window) {
        cr_assert_geq(read(backend->fd, &unused, 8), -1);
        return -EAGAIN;
    }
    *header = (net_header){.num_buffers = 0};
    cr_assert_geq(count, 3);
    memcpy(iov[1].iov_base, eth, NET_ETH_BYTES);
    memcpy(iov[2].iov_base, &begun, sizeof(begun));
    begun++;
    return FRAME_BYTES;
}

static int link_send(struct net_backend *backend, const net_header *header,
                     struct iovec *iov, unsigned count, size_t bytes)
{
    (void)header;
    cr_assert_eq(bytes, FRAME_BYTES);
    cr_assert_geq(count, 2);
    cr_assert_eq(memcmp((char *)iov[1].iov_base + NET_ETH_BYTES, &echoed,
                        sizeof(echoed)),
                 0, "frame %u is not the one that comes", echoed);
    echoed++;
    ring_bell(backend->fd);
    return 0;
}

static const struct net_backend_ops ops = {
    .receive = link_receive,
    .send = link_send,
};

static struct net_backend backend = {.ops = &ops};

/* ---- The monitor's side -------------------------------------------------- */

static void raised(struct event_listener *listener)
{
    (void)listener;
    ring_bell(event);
}

static struct event_listener listener = {raised};

static long hypercall(unsigned number, uint64_t a, uint64_t b)
{
    (void)b;
    if (number == MF_HC_KICK) {
        vm.kicks++;
        ring_bell(doorbell);
        return 0;
    }
    vm.waits++;
    while (event_read(&vm.native.events) == a)
        sleep_on(event);
    return 0;
}

static void serve(struct vdev *dev)
{
    while (vdev_serve(dev) == -EINTR)
        continue;
}

static void *device_thread(void *unused)
{
    struct vdev *dev = &vm.net.dev;

    (void)unused;
    while (!atomic_load(&stop)) {
        struct pollfd files[2] = {{doorbell, POLLIN, 0}};

        if (looks) {
            vdev_poll(dev, true);
            for (unsigned i = 0; i < 50; i++)
                serve(dev);
            vdev_poll(dev, false);
        }
        serve(dev);
        vdev_want(dev, &files[1]);
        cr_assert_geq(poll(files, 2, -1), 1);
        if (files[0].revents)
            sleep_on(doorbell);
    }
    return NULL;
}

/* ---- The guest's side ---------------------------------------------------- */

static void set_up(void)
{
    struct net_options options = {.backend = &backend,
                                  .mac = {2, 0, 0, 0, 0, 1}};
    struct nic_info card;

    backend.fd = eventfd(1, EFD_NONBLOCK);
    doorbell = eventfd(0, 0);
    event = eventfd(0, 0);
    vm_start(-1, -1, -1);
    vm_add_net(&options, 0);
    vm.native.events.listener = &listener;
    vm.hypercall = hypercall;
    cr_assert_eq(nic_open(0, &card), 0);
}

static void echo_all(void)
{
    struct nic_buffer *frames[16];
    uint32_t number = 0;

    for (unsigned rounds = 1; number < FRAMES; rounds++) {
        long count = nic_receive(0, frames, 16, NIC_FOREVER);

        cr_assert_gt(count, 0);
        for (long i = 0; i < count; i++, number++) {
            cr_assert_eq(memcmp(frames[i]->data + NET_ETH_BYTES, &number,
                                sizeof(number)),
                         0);
            cr_assert_eq(nic_forward(0, frames[i]), 0);
        }
        cr_assert_geq(nic_flush(0), 0);
        /* Now and then other waits, among these. */
        if (rounds % 64 == 0)
            cr_assert_eq(nic_set_promiscuous(0, rounds & 64), 0);
        if (rounds % 100 == 0)
            cr_assert_eq(nic_wait_room(0, 0), 0);
    }
    cr_assert_eq(nic_wait_room(0, 0), 0);
}

static void run(uint32_t on_their_way, uint64_t poll_ns)
{
    struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;
    pthread_t device;

    window = on_their_way;
    boot->poll_ns = poll_ns;
    boot->clock.tsc_khz = 1000000;
    vm.tsc_step = 100;
    cr_assert_eq(pthread_create(&device, NULL, device_thread, NULL), 0);
    echo_all();
    atomic_store(&stop, true);
    ring_bell(doorbell);
    cr_assert_eq(pthread_join(device, NULL), 0);
    cr_assert_eq(echoed, FRAMES);
}

Test(net_thread, loses_no_wake_up_when_both_sleep_at_once, .init = set_up)
{
    run(1, 0);
}

Test(net_thread, loses_none_with_many_frames_on_their_way, .init = set_up)
{
    run(200, 0);
}

Test(net_thread, loses_none_when_the_guest_looks, .init = set_up)
{
    run(8, 20000);
}

Test(net_thread, loses_none_when_the_card_looks, .init = set_up)
{
    looks = true;
    run(8, 0);
}

Test(net_thread, loses_none_when_both_look, .init = set_up)
{
    looks = true;
    run(64, 20000);
}
