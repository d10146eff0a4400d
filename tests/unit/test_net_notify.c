/* SPDX-License-Identifier: MIT */
/* The network device's notifications: coalescing, and never against a wish. */
#include "tests/unit/net_driver.h"

#define HOUR_USECS 3600000000u
#define OK         VIRTIO_NET_OK
#define ERR        VIRTIO_NET_ERR

/* A driver without EVENT_IDX: it is told of everything, unless it says no. */
static void set_up_flags(void)
{
    start(TSO_RX | FEATURE(CTRL_RX) | EVENT_IDX);
    post_rx_many(200);
    serve();
}

static void set_up_events(void)
{
    start(TSO_RX | FEATURE(CTRL_RX));
    post_rx_many(200);
    serve();
}

static void suppress(unsigned q, bool on)
{
    struct vring_avail *avail = at(AVAIL(q));

    avail->flags = on ? VRING_AVAIL_F_NO_INTERRUPT : 0;
}

/* What `count` frames received one by one cost in notifications. */
static uint64_t receive(unsigned count)
{
    uint64_t before = net.dev.events_sent;

    for (unsigned i = 0; i < count; i++) {
        arrive(60);
        serve();
    }
    return net.dev.events_sent - before;
}

static uint64_t send_frames(unsigned count)
{
    uint64_t before = net.dev.events_sent;

    for (unsigned i = 0; i < count; i++) {
        transmit(60);
        serve();
    }
    return net.dev.events_sent - before;
}

/* The time that frames have to wait has passed. */
static void let_time_pass(unsigned q)
{
    struct coalesce *c = &net.moderation[q].coalesce;

    c->since_ns -= c->limits.max_usecs * UINT64_C(1000);
    serve();
}

/* ---- Without coalescing ------------------------------------------------- */

Test(net_notify, tells_of_each_batch_at_first, .init = set_up_flags)
{
    cr_assert_eq(receive(3), 3);
    cr_assert_eq(send_frames(3), 3);
    cr_assert_eq(net.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(net.moderation[NET_RX].coalesce.stats.at_once, 3);
}

Test(net_notify, shows_16_frames_at_a_time, .init = set_up_flags)
{
    uint64_t before = net.dev.queues[NET_RX].stats.batches;

    for (unsigned i = 0; i < 40; i++)
        arrive(60);
    serve();
    cr_assert_eq(net.dev.queues[NET_RX].stats.batches - before, 3);
    cr_assert_eq(net.dev.queues[NET_RX].stats.batch_max, 16);
    cr_assert_eq(used_count(NET_RX), 40);
}

Test(net_notify, tells_nothing_of_frames_that_are_dropped, .init = set_up_flags)
{
    arrive(5);
    serve();
    cr_assert_eq(net.dev.events_sent, 0);
}

Test(net_notify, obeys_used_event, .init = set_up_events)
{
    want_event(NET_RX, 4);
    cr_assert_eq(receive(4), 0);
    cr_assert_eq(receive(1), 1);
    cr_assert_eq(receive(5), 0);
    cr_assert_eq(net.moderation[NET_RX].suppressed, 9);
    cr_assert_eq(net.moderation[NET_RX].sent, 1);
}

/* ---- Commands ----------------------------------------------------------- */

static void assert_limits(uint16_t q, uint32_t packets, uint32_t usecs)
{
    uint32_t limits[2];

    cr_assert_eq(get_queue_limits(q, limits), OK);
    cr_assert_eq(limits[0], packets);
    cr_assert_eq(limits[1], usecs);
}

Test(net_coal, last_command_wins, .init = set_up_flags)
{
    assert_limits(NET_RX, 0, 0);
    assert_limits(NET_TX, 0, 0);
    cr_assert_eq(set_limits(NET_RX, 15, 10), OK);
    assert_limits(NET_RX, 15, 10);
    assert_limits(NET_TX, 0, 0);
    cr_assert_eq(set_queue_limits(NET_RX, 7, 8), OK);
    assert_limits(NET_RX, 7, 8);
    cr_assert_eq(set_queue_limits(NET_TX, 5, 6), OK);
    cr_assert_eq(set_limits(NET_TX, 3, 4), OK);
    assert_limits(NET_TX, 3, 4);
    assert_limits(NET_RX, 7, 8);
    cr_assert_eq(set_limits(NET_RX, 15, 10), OK);
    assert_limits(NET_RX, 15, 10);
}

Test(net_coal, is_off_after_a_reset, .init = set_up_flags)
{
    uint64_t features = net.dev.features;

    cr_assert_eq(set_limits(NET_RX, 15, HOUR_USECS), OK);
    cr_assert_eq(set_limits(NET_TX, 15, HOUR_USECS), OK);
    cr_assert_eq(receive(1), 0);
    cr_assert_neq(net.dev.wake_ns, VDEV_NEVER);
    bring_up(features);
    assert_limits(NET_RX, 0, 0);
    assert_limits(NET_TX, 0, 0);
    cr_assert_eq(net.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(send_frames(1), 1);
}

Test(net_coal, refuses_a_queue_that_is_not_receive_or_transmit,
     .init = set_up_flags)
{
    uint32_t limits[2];

    cr_assert_eq(set_queue_limits(NET_CTRL, 1, 1), ERR);
    cr_assert_eq(set_queue_limits(3, 1, 1), ERR);
    cr_assert_eq(set_queue_limits(0xffff, 1, 1), ERR);
    cr_assert_eq(get_queue_limits(NET_CTRL, limits), ERR);
    cr_assert_eq(get_queue_limits(0xffff, limits), ERR);
}

Test(net_coal, refuses_a_queue_that_is_not_enabled, .init = set_up_flags)
{
    uint32_t limits[2];

    net.dev.queues[NET_TX].enabled = false;
    cr_assert_eq(set_queue_limits(NET_TX, 1, 1), ERR);
    cr_assert_eq(get_queue_limits(NET_TX, limits), ERR);
    cr_assert_eq(set_queue_limits(NET_RX, 1, 1), OK);
}

Test(net_coal, refuses_data_of_another_length, .init = set_up_flags)
{
    static const uint8_t data[16] = {0};
    uint8_t class = VIRTIO_NET_CTRL_NOTF_COAL;

    cr_assert_eq(command(class, VIRTIO_NET_CTRL_NOTF_COAL_RX_SET, data, 7),
                 ERR);
    cr_assert_eq(command(class, VIRTIO_NET_CTRL_NOTF_COAL_TX_SET, data, 9),
                 ERR);
    cr_assert_eq(command(class, VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, data, 11),
                 ERR);
    cr_assert_eq(command(class, VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, data, 13),
                 ERR);
    cr_assert_eq(
        command_with(class, VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, data, 4, 9), 0);
    cr_assert_eq(
        command_with(class, VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, data, 3, 9), 0);
    cr_assert_eq(((uint8_t *)at(CTRL_DATA + 0x8000))[8], ERR);
}

Test(net_coal, wants_room_for_the_limits_that_are_asked_for,
     .init = set_up_flags)
{
    static const uint8_t queue[4] = {NET_RX};
    const uint8_t *answer = at(CTRL_DATA + 0x8000);

    for (size_t room = 1; room < 11; room++) {
        size_t ack = min_u64(room - 1, 8);

        (void)command_with(VIRTIO_NET_CTRL_NOTF_COAL,
                           VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, queue,
                           sizeof(queue), room);
        cr_assert_eq(answer[ack], room < 9 ? ERR : OK, "%zu", room);
        cr_assert_eq(answer[ack + 1], UNTOUCHED);
        cr_assert_eq(used_elem(NET_CTRL, (unsigned)room - 1).len, ack + 1);
    }
}

/* ---- Both limits -------------------------------------------------------- */

Test(net_coal, tells_after_max_packets_received, .init = set_up_flags)
{
    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    cr_assert_eq(receive(3), 0);
    cr_assert_eq(used_count(NET_RX), 3, "visible, if somebody looks");
    cr_assert_neq(net.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(receive(1), 1);
    cr_assert_eq(net.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(receive(3), 0, "and counts again");
    cr_assert_eq(receive(1), 1);
}

Test(net_coal, tells_after_max_packets_sent, .init = set_up_flags)
{
    cr_assert_eq(set_limits(NET_TX, 4, HOUR_USECS), OK);
    cr_assert_eq(send_frames(3), 0);
    cr_assert_eq(send_frames(1), 1);
    cr_assert_eq(send_frames(3), 0);
    cr_assert_eq(send_frames(1), 1);
}

Test(net_coal, tells_as_often_within_one_serve, .init = set_up_flags)
{
    uint64_t before;

    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    before = net.dev.events_sent;
    for (unsigned i = 0; i < 40; i++)
        arrive(60);
    serve();
    cr_assert_eq(net.dev.events_sent - before, 10);
}

Test(net_coal, tells_when_time_is_up, .init = set_up_flags)
{
    uint64_t before;

    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    cr_assert_eq(receive(1), 0);
    before = net.dev.events_sent;
    serve();
    cr_assert_eq(net.dev.events_sent, before);
    let_time_pass(NET_RX);
    cr_assert_eq(net.dev.events_sent, before + 1);
    cr_assert_eq(net.dev.wake_ns, VDEV_NEVER);
    serve();
    cr_assert_eq(net.dev.events_sent, before + 1, "once");
    cr_assert_eq(net.moderation[NET_RX].coalesce.stats.by_time, 1);
}

Test(net_coal, counts_each_queue_for_itself, .init = set_up_flags)
{
    cr_assert_eq(set_limits(NET_RX, 2, HOUR_USECS), OK);
    cr_assert_eq(set_limits(NET_TX, 2, HOUR_USECS), OK);
    cr_assert_eq(receive(1), 0);
    cr_assert_eq(send_frames(1), 0);
    cr_assert_eq(receive(1), 1);
    cr_assert_eq(send_frames(1), 1);
}

Test(net_coal, tells_of_everything_while_one_limit_is_0, .init = set_up_flags)
{
    cr_assert_eq(set_limits(NET_RX, 4, 0), OK);
    cr_assert_eq(receive(3), 3);
    cr_assert_eq(set_limits(NET_RX, 0, HOUR_USECS), OK);
    cr_assert_eq(receive(3), 3);
}

Test(net_coal, leaves_the_control_queue_alone, .init = set_up_flags)
{
    uint64_t before;

    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    cr_assert_eq(set_limits(NET_TX, 4, HOUR_USECS), OK);
    before = net.dev.events_sent;
    cr_assert_eq(set_limits(NET_TX, 4, HOUR_USECS), OK);
    cr_assert_eq(net.dev.events_sent, before + 1);
}

/* ---- Changed limits ----------------------------------------------------- */

/* What the limits cost in notifications, the command's own not counted. */
static uint64_t change(unsigned q, uint32_t packets, uint32_t usecs)
{
    uint64_t before = net.moderation[q].sent;

    cr_assert_eq(set_limits(q, packets, usecs), OK);
    return net.moderation[q].sent - before;
}

Test(net_coal, tells_at_once_when_new_limits_are_met, .init = set_up_flags)
{
    cr_assert_eq(change(NET_TX, 15, HOUR_USECS), 0);
    cr_assert_eq(send_frames(10), 0);
    cr_assert_eq(change(NET_TX, 11, HOUR_USECS), 0);
    cr_assert_eq(change(NET_TX, 8, HOUR_USECS), 1);
    cr_assert_eq(net.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(change(NET_TX, 4, HOUR_USECS), 0, "once");
}

Test(net_coal, tells_at_once_when_it_is_turned_off, .init = set_up_flags)
{
    cr_assert_eq(change(NET_RX, 15, HOUR_USECS), 0);
    cr_assert_eq(receive(1), 0);
    cr_assert_eq(change(NET_RX, 0, 0), 1);
}

Test(net_coal, of_one_queue_tells_at_once_too, .init = set_up_flags)
{
    cr_assert_eq(set_queue_limits(NET_RX, 15, HOUR_USECS), OK);
    cr_assert_eq(receive(5), 0);
    cr_assert_eq(set_queue_limits(NET_RX, 5, HOUR_USECS), OK);
    cr_assert_eq(net.moderation[NET_RX].sent, 1);
}

/* ---- Suppression -------------------------------------------------------- */

Test(net_coal, never_overrides_the_flag, .init = set_up_flags)
{
    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    suppress(NET_RX, true);
    cr_assert_eq(receive(4), 0, "enough, but unwanted");
    cr_assert_eq(receive(1), 0);
    let_time_pass(NET_RX);
    cr_assert_eq(net.moderation[NET_RX].sent, 0);
    cr_assert_eq(receive(1), 0);
    cr_assert_eq(change(NET_RX, 1, 1), 0);
    cr_assert_eq(net.moderation[NET_RX].suppressed, 3);
}

Test(net_coal, asks_the_driver_when_it_is_due_and_not_before,
     .init = set_up_flags)
{
    cr_assert_eq(set_limits(NET_RX, 2, HOUR_USECS), OK);
    cr_assert_eq(receive(1), 0);
    suppress(NET_RX, true);
    cr_assert_eq(receive(1), 0, "wanted at first, unwanted now");
    cr_assert_eq(receive(1), 0);
    suppress(NET_RX, false);
    cr_assert_eq(receive(1), 1, "unwanted at first, wanted now");
}

Test(net_coal, never_tells_of_what_the_driver_has_seen, .init = set_up_events)
{
    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    want_event(NET_RX, 0);
    cr_assert_eq(receive(3), 0);
    want_event(NET_RX, 3); /* it polled and took all three */
    let_time_pass(NET_RX);
    cr_assert_eq(net.moderation[NET_RX].sent, 0);
    cr_assert_eq(net.moderation[NET_RX].suppressed, 1);
    cr_assert_eq(receive(4), 1);
}

Test(net_coal, tells_of_an_event_passed_while_it_waited, .init = set_up_events)
{
    cr_assert_eq(set_limits(NET_RX, 4, HOUR_USECS), OK);
    want_event(NET_RX, 0); /* passed by the first frame, of four */
    cr_assert_eq(receive(3), 0);
    cr_assert_eq(receive(1), 1);
}

Test(net_coal, tells_when_a_whole_ring_is_used)
{
    start_with((struct net_options){.queue_size = 4}, 0);
    bring_up(net.dev.offered & ~(FEATURE(CTRL_RX) | EVENT_IDX));
    cr_assert_eq(set_limits(NET_TX, 100000, HOUR_USECS), OK);
    cr_assert_eq(send_frames(3), 0);
    cr_assert_eq(send_frames(1), 1);
}

Test(net_coal, has_defaults_that_a_transport_may_set, .init = set_up_flags)
{
    net_set_default_coalescing(&net, (struct coalesce_limits){8, HOUR_USECS});
    assert_limits(NET_RX, 8, HOUR_USECS);
    assert_limits(NET_TX, 8, HOUR_USECS);
    cr_assert_eq(receive(7), 0);
    cr_assert_eq(receive(1), 1);
}
