/* SPDX-License-Identifier: MIT */
/* The guest's driver for network cards against the device: when it is told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/ring/link.h"

TestSuite(net_wait, .timeout = 60);

/* ---- Kicks, events and waiting ------------------------------------------ */

Test(net_wait, kicks_once_for_a_batch, .init = set_up_card)
{
    struct nic_buffer *frames[32];
    unsigned kicks;

    for (unsigned i = 0; i < 16; i++)
        host_send(60, i);
    cr_assert_eq(nic_receive(0, frames, 32, NIC_FOREVER), 16);
    kicks = vm.kicks;
    for (unsigned i = 0; i < 16; i++)
        cr_assert_eq(nic_forward(0, frames[i]), 0);
    cr_assert_eq(vm.kicks, kicks);
    nic_flush(0);
    cr_assert_eq(vm.kicks, kicks + 1);
    nic_flush(0);
    nic_flush(0);
    cr_assert_eq(vm.kicks, kicks + 1, "buffers given back need no kick");
}

Test(net_wait, does_not_kick_a_device_that_polls, .init = set_up_card)
{
    struct nic_buffer *frame;
    struct nic_stats stats;

    host_send(60, 0);
    release(receive_one());
    nic_flush(0);
    vdev_poll(&vm.net.dev, true);
    vm.kicks = 0;
    for (unsigned i = 0; i < 1000; i++) {
        host_send(60, i);
        cr_assert_eq(vdev_serve(&vm.net.dev), 0);
        cr_assert_eq(nic_receive(0, &frame, 1, 0), 1);
        cr_assert_eq(nic_forward(0, frame), 0);
        nic_flush(0);
        cr_assert_eq(vdev_serve(&vm.net.dev), 0);
        assert_host_receives(60, i);
    }
    cr_assert_eq(vm.kicks, 0);
    nic_read_stats(0, &stats);
    cr_assert_geq(stats.flushes, 1000);
}

Test(net_wait, has_no_events_while_it_looks_by_itself, .init = set_up_card)
{
    struct nic_buffer *frame;
    uint64_t before;

    host_send(60, 0);
    release(receive_one());
    nic_flush(0);
    before = vm.net.dev.events_sent;
    for (unsigned i = 0; i < 1000; i++) {
        host_send(60, i);
        cr_assert_eq(vdev_serve(&vm.net.dev), 0);
        cr_assert_eq(nic_receive(0, &frame, 1, 0), 1);
        release(frame);
        nic_flush(0);
    }
    cr_assert_eq(vm.net.dev.events_sent, before);
    cr_assert_eq(nic_receive(0, &frame, 1, 0), 0);
}

Test(net_wait, waits_once_for_each_frame_that_is_late, .init = set_up_card)
{
    for (unsigned i = 0; i < 10; i++) {
        vm.waits = 0;
        host_send(60, i);
        release(receive_one());
        nic_flush(0);
        cr_assert_leq(vm.waits, 1);
    }
}

Test(net_wait, gives_up_waiting_at_the_deadline, .init = set_up_card)
{
    struct nic_buffer *frame;
    struct nic_stats stats;

    vm.now_ns = 1000;
    cr_assert_eq(nic_receive(0, &frame, 1, 5000), 0);
    cr_assert_eq(vm.now_ns, 5000);
    cr_assert_eq(vm.waits, 1);
    cr_assert_eq(nic_read_stats(0, &stats), 0);
    cr_assert_eq(stats.waits, 1);
    cr_assert_eq(nic_receive(0, &frame, 1, 0), 0);
    cr_assert_eq(vm.waits, 1);
    host_send(60, 7);
    cr_assert_eq(nic_receive(0, &frame, 1, 9000), 1);
    assert_is_frame(frame, 60, 7);
}

static bool event_is_raised(void)
{
    return ((struct mf_boot *)MF_BOOT_PAGE)->events & nic_event(0);
}

static void clear_event(void)
{
    ((struct mf_boot *)MF_BOOT_PAGE)->events &= ~nic_event(0);
}

Test(net_wait, raises_its_event_once_for_each_time_it_is_armed,
     .init = set_up_card)
{
    struct nic_buffer *frames[4];

    cr_assert_eq(nic_arm(0), 0);
    clear_event();
    host_send(60, 0);
    cr_assert_eq(vdev_serve(&vm.net.dev), 0);
    cr_assert(event_is_raised());
    clear_event();
    host_send(60, 1);
    cr_assert_eq(vdev_serve(&vm.net.dev), 0);
    cr_assert_not(event_is_raised(), "not armed again");
    cr_assert_eq(nic_arm(0), 1, "there is one already");
    cr_assert_eq(nic_receive(0, frames, 4, 0), 2);
    nic_release(0, frames, 2);
    cr_assert_eq(nic_arm(0), 0);
    host_send(60, 2);
    cr_assert_eq(vdev_serve(&vm.net.dev), 0);
    cr_assert(event_is_raised());
}

/* A command waits on the event that is the handler's, too. */
Test(net_wait, leaves_the_handler_its_event_after_a_command,
     .init = set_up_card)
{
    cr_assert_eq(nic_arm(0), 0);
    vm.lazy = true;
    host_send(60, 0);
    cr_assert_eq(nic_set_promiscuous(0, true), 0);
    cr_assert_eq(vdev_serve(&vm.net.dev), 0);
    cr_assert(event_is_raised());
}

Test(net_wait, has_no_event_after_a_wait_that_is_over, .init = set_up_card)
{
    struct nic_buffer *frame;
    uint64_t before;

    cr_assert_eq(nic_receive(0, &frame, 1, 5000), 0);
    before = vm.net.dev.events_sent;
    host_send(60, 0);
    cr_assert_eq(vdev_serve(&vm.net.dev), 0);
    cr_assert_eq(vm.net.dev.events_sent, before);
    cr_assert_eq(nic_receive(0, &frame, 1, 0), 1);
}

static unsigned blocked;

static void unstick_at_last(void)
{
    if (++blocked == 3)
        stuck = false;
}

/* All buffers are being sent, and the host takes none of them for a while. */
Test(net_wait, receives_again_when_frames_are_sent, .init = set_up_card)
{
    struct nic_buffer *frame;

    stuck = true;
    for (unsigned i = 0; i < 256; i++) {
        host_send(60, i);
        frame = receive_one();
        cr_assert_eq(nic_forward(0, frame), 0);
        cr_assert_eq(nic_flush(0), i + 1);
    }
    host_send(60, 256);
    vm.before_block = unstick_at_last;
    vm.waits = 0;
    assert_is_frame(receive_one(), 60, 256);
    cr_assert_geq(blocked, 3);
    cr_assert_leq(vm.waits, 2);
    for (unsigned i = 0; i < 256; i++)
        assert_host_receives(60, i);
}

/* ---- Link, commands, failure -------------------------------------------- */

Test(net_wait, tells_that_the_link_went_down, .init = set_up_card)
{
    struct nic_buffer *frame;

    close(host);
    cr_assert_eq(nic_receive(0, &frame, 1, NIC_FOREVER), 0);
    cr_assert_eq(nic_open(0, &card), 0);
    cr_assert_not(card.link_up);
}

Test(net_wait, commands_the_card, .init = set_up_card)
{
    uint8_t mac[6] = {2, 1, 2, 3, 4, 5};

    cr_assert_eq(nic_set_promiscuous(0, true), 0);
    cr_assert(vm.net.filter.modes[VIRTIO_NET_CTRL_RX_PROMISC]);
    cr_assert_eq(nic_set_promiscuous(0, false), 0);
    cr_assert_not(vm.net.filter.modes[VIRTIO_NET_CTRL_RX_PROMISC]);
    cr_assert_eq(nic_set_mac(0, mac), 0);
    cr_assert_eq(memcmp(vm.net.config.mac, mac, 6), 0);
    cr_assert_eq(nic_set_coalescing(0, 32, 100), 0);
    cr_assert_eq(vm.net.moderation[NET_RX].coalesce.limits.max_packets, 32);
    cr_assert_eq(vm.net.moderation[NET_RX].coalesce.limits.max_usecs, 100);
    cr_assert_eq(nic_set_coalescing_sent(0, 8, 50), 0);
    cr_assert_eq(vm.net.moderation[NET_TX].coalesce.limits.max_packets, 8);
    cr_assert_eq(nic_open(0, &card), 0);
    cr_assert_eq(memcmp(card.mac, mac, 6), 0);
    cr_assert_eq(vm.net.stats.commands, 5);
}

Test(net_wait, says_EIO_when_the_card_refuses_a_command, .init = set_up_card)
{
    uint8_t mac[6] = {1, 1, 2, 3, 4, 5}; /* a group's */

    cr_assert_eq(nic_set_mac(0, mac), -EIO);
    cr_assert_eq(nic_open(0, &card), 0);
    cr_assert_eq(memcmp(card.mac, card_mac, 6), 0);
    cr_assert_eq(nic_set_promiscuous(0, true), 0, "and goes on");
}

Test(net_wait, does_not_command_a_card_without_a_control_queue)
{
    start_with(NET_FEATURE(CTRL_VQ) | NET_FEATURE(CTRL_RX) |
                   NET_FEATURE(CTRL_RX_EXTRA) | NET_FEATURE(CTRL_MAC_ADDR) |
                   NET_FEATURE(NOTF_COAL) | NET_FEATURE(VQ_NOTF_COAL),
               0, 0);
    cr_assert_eq(card.can, 0);
    cr_assert_eq(nic_set_promiscuous(0, true), -EOPNOTSUPP);
    cr_assert_eq(nic_set_coalescing(0, 1, 1), -EOPNOTSUPP);
    echo_many(100, 10);
}

/* Moderated: one event for several frames, or for the time that has passed. */
Test(net_wait, receives_with_moderation, .init = set_up_card)
{
    cr_assert_eq(nic_set_coalescing(0, 16, 2000), 0);
    echo_many(500, 20);
    assert_no_buffer_is_lost();
}

Test(net_wait, says_EIO_once_the_card_has_given_up, .init = set_up_card)
{
    struct nic_buffer *frame;

    vdev_mark_needs_reset(&vm.net.dev);
    cr_assert_eq(nic_receive(0, &frame, 1, 0), -EIO);
    cr_assert_eq(nic_receive(0, &frame, 1, NIC_FOREVER), -EIO);
    cr_assert_eq(send_bytes(60, NULL), 0);
    cr_assert_eq(nic_wait_room(0, 0), -EIO);
    cr_assert_eq(nic_set_promiscuous(0, true), -EIO);
}
