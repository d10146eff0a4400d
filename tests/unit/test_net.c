/* SPDX-License-Identifier: MIT */
/* The network device: features, configuration, link, reset. */
#include "tests/unit/net_driver.h"

static uint64_t config(unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    vdev_read_config(&net.dev, offset, &value, bytes);
    return value;
}

/* ---- Features ----------------------------------------------------------- */

Test(net_features, are_offered_as_the_backend_can)
{
    uint64_t always = FEATURE(MAC) | FEATURE(MTU) | FEATURE(STATUS) |
                      FEATURE(MRG_RXBUF) | FEATURE(CTRL_VQ) | FEATURE(CTRL_RX) |
                      FEATURE(CTRL_RX_EXTRA) | FEATURE(CTRL_MAC_ADDR) |
                      FEATURE(NOTF_COAL) | FEATURE(VQ_NOTF_COAL);
    uint64_t ring = VIRTQ_FEATURES | UINT64_C(1) << VIRTIO_F_VERSION_1;

    start_with((struct net_options){.mtu = 0}, 0);
    cr_assert_eq(net.dev.offered & ~ring, always);
    start_with((struct net_options){.mtu = 0}, FEATURE(CSUM));
    cr_assert_eq(net.dev.offered & ~ring, always | FEATURE(CSUM));
    start_with((struct net_options){.mtu = 0}, ALL_OFFLOADS);
    cr_assert_eq(net.dev.offered & ~ring,
                 always | ALL_OFFLOADS | FEATURE(CTRL_GUEST_OFFLOADS));
}

static bool takes(uint64_t features)
{
    start_with((struct net_options){.mtu = 0}, ALL_OFFLOADS);
    vdev_set_status(&net.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&net.dev, features | UINT64_C(1) << VIRTIO_F_VERSION_1);
    vdev_set_status(&net.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    return net.dev.status & VIRTIO_CONFIG_S_FEATURES_OK;
}

Test(net_features, are_refused_without_those_that_they_require)
{
    cr_assert(takes(0));
    cr_assert_not(takes(FEATURE(GUEST_TSO4)));
    cr_assert(takes(FEATURE(GUEST_TSO4) | FEATURE(GUEST_CSUM)));
    cr_assert_not(takes(FEATURE(GUEST_TSO6)));
    cr_assert(takes(FEATURE(GUEST_TSO6) | FEATURE(GUEST_CSUM)));
    cr_assert_not(takes(FEATURE(HOST_TSO4)));
    cr_assert_not(takes(FEATURE(HOST_TSO4) | FEATURE(GUEST_CSUM)));
    cr_assert(takes(FEATURE(HOST_TSO4) | FEATURE(CSUM)));
    cr_assert_not(takes(FEATURE(HOST_TSO6)));
    cr_assert(takes(FEATURE(HOST_TSO6) | FEATURE(CSUM)));
    cr_assert_not(takes(FEATURE(CTRL_RX)));
    cr_assert(takes(FEATURE(CTRL_RX) | FEATURE(CTRL_VQ)));
    cr_assert_not(takes(FEATURE(CTRL_MAC_ADDR)));
    cr_assert(takes(FEATURE(CTRL_MAC_ADDR) | FEATURE(CTRL_VQ)));
    cr_assert_not(takes(FEATURE(NOTF_COAL)));
    cr_assert(takes(FEATURE(NOTF_COAL) | FEATURE(CTRL_VQ)));
    cr_assert_not(takes(FEATURE(VQ_NOTF_COAL)));
    cr_assert(takes(FEATURE(VQ_NOTF_COAL) | FEATURE(CTRL_VQ)));
}

/* ---- Configuration ------------------------------------------------------ */

Test(net_config, has_each_field_where_the_standard_puts_it, .init = set_up)
{
    uint8_t mac[ETH_ALEN];

    vdev_read_config(&net.dev, 0, mac, sizeof(mac));
    cr_assert_eq(memcmp(mac, our_mac, sizeof(mac)), 0);
    cr_assert_eq(config(6, 2), VIRTIO_NET_S_LINK_UP);
    cr_assert_eq(config(8, 2), 0, "one pair, not said");
    cr_assert_eq(config(10, 2), 1500);
    cr_assert_eq(net.dev.class->config_bytes, 12);
    cr_assert_eq(net.dev.class->type, 1);
    cr_assert_eq(net.dev.class->queue_count, 3);
}

Test(net_config, cannot_be_written, .init = set_up)
{
    uint64_t all = UINT64_MAX;

    vdev_write_config(&net.dev, 0, &all, 8);
    cr_assert_eq(config(6, 2), VIRTIO_NET_S_LINK_UP);
}

static int init_with(struct net_options options)
{
    net_link.backend = (struct net_backend){.ops = &link_ops, .fd = 77};
    options.backend = &net_link.backend;
    return net_init(&net, &options);
}

Test(net_config, takes_an_mtu_of_68_bytes)
{
    cr_assert_eq(init_with((struct net_options){.mtu = 67}), -EINVAL);
    cr_assert_eq(init_with((struct net_options){.mtu = 68}), 0);
    cr_assert_eq(config(10, 2), 68);
    cr_assert_eq(init_with((struct net_options){.mtu = 65535}), 0);
    cr_assert_eq(config(10, 2), 65535);
}

Test(net_config, takes_queues_of_2_to_512_entries)
{
    cr_assert_eq(init_with((struct net_options){.queue_size = 1}), -EINVAL);
    cr_assert_eq(init_with((struct net_options){.queue_size = 2}), 0);
    cr_assert_eq(init_with((struct net_options){.queue_size = 3}), -EINVAL);
    cr_assert_eq(init_with((struct net_options){.queue_size = 512}), 0);
    cr_assert_eq(init_with((struct net_options){.queue_size = 1024}), -EINVAL);
    cr_assert_eq(init_with((struct net_options){.queue_size = 0}), 0);
    cr_assert_eq(net.dev.queue_size_max[NET_RX], 256);
}

Test(net_config, takes_no_group_address)
{
    cr_assert_eq(init_with((struct net_options){.mac = {1}}), -EINVAL);
    cr_assert_eq(init_with((struct net_options){.mac = {2}}), 0);
}

/* ---- The link ----------------------------------------------------------- */

Test(net_link, goes_down_with_a_change_of_configuration, .init = set_up)
{
    uint32_t generation = net.dev.generation;

    post_rx_many(4);
    net_link.receive_error = -EIO;
    serve();
    cr_assert_eq(config(6, 2), 0);
    cr_assert_eq(net.dev.generation, generation + 1);
    cr_assert_eq(net.dev.interrupts & VDEV_INTERRUPT_CONFIG,
                 VDEV_INTERRUPT_CONFIG);
    cr_assert_eq(net.stats.rx_errors, 1);
    cr_assert_eq(lines, 1);
}

Test(net_link, that_is_down_is_left_alone, .init = set_up)
{
    struct pollfd file;

    post_rx_many(4);
    net_link.receive_error = -EIO;
    serve();
    transmit(60);
    serve();
    serve();
    cr_assert_eq(net_link.receive_calls, 1);
    cr_assert_eq(net_link.out_count, 0);
    cr_assert_eq(used_count(NET_TX), 1, "lost, not stuck");
    cr_assert_eq(net.stats.tx_errors, 1);
    cr_assert(vdev_is_live(&net.dev));
    vdev_want(&net.dev, &file);
    cr_assert_eq(file.fd, -1);
    cr_assert_eq(lines, 1);
    cr_assert_not(kicks_next(NET_RX));
}

Test(net_link, is_down_from_the_start_if_the_backend_is_gone)
{
    struct net_options options = {.backend = &net_link.backend};

    net_link.backend =
        (struct net_backend){.ops = &link_ops, .fd = 77, .gone = true};
    cr_assert_eq(net_init(&net, &options), 0);
    cr_assert_eq(config(6, 2), 0);
}

/* ---- Offloads and reset ------------------------------------------------- */

Test(net_offloads, are_what_the_driver_negotiated)
{
    start(FEATURE(GUEST_TSO6));
    cr_assert_eq(net_link.offload_calls, 0, "nothing to receive into");
    post_rx(0, 2048);
    serve();
    cr_assert_eq(net_link.offloads, FEATURE(GUEST_CSUM) | FEATURE(GUEST_TSO4));
    cr_assert_eq(net_link.offload_calls, 1);
    serve();
    cr_assert_eq(net_link.offload_calls, 1);
    /* The host hears of it again when somebody wants frames. */
    bring_up(UINT64_C(1) << VIRTIO_F_VERSION_1);
    cr_assert_eq(net_link.offload_calls, 1);
    post_rx(0, 2048);
    serve();
    cr_assert_eq(net_link.offloads, 0);
    cr_assert_eq(net_link.offload_calls, 2);
}

Test(net_reset, forgets_what_the_driver_posted, .init = set_up)
{
    uint64_t features = net.dev.features;

    post_rx_many(4);
    serve();
    cr_assert_gt(net.rx.count, 0);
    bring_up(features);
    cr_assert_eq(net.rx.count, 0);
    cr_assert_eq(net.rx.bytes, 0);
    arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_frames, 0);
    uint64_t address = post_rx(9, 2048);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(rx_header(address)->num_buffers, 1);
}

Test(net_reset, brings_the_first_mac_back, .init = set_up)
{
    uint32_t generation;

    cr_assert_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
                         other_mac, ETH_ALEN),
                 VIRTIO_NET_OK);
    generation = net.dev.generation;
    vdev_set_status(&net.dev, 0);
    cr_assert_eq(memcmp(net.config.mac, our_mac, ETH_ALEN), 0);
    cr_assert_neq(net.dev.generation, generation);
}

Test(net_reset, during_a_stuck_transmission_forgets_it, .init = set_up)
{
    uint64_t features = net.dev.features;
    struct pollfd file;

    net_link.send_error = -EAGAIN;
    transmit(60);
    serve();
    net_link.send_error = 0;
    vdev_set_status(&net.dev, 0);
    cr_assert_not(net.tx_stuck);
    bring_up(features);
    vdev_want(&net.dev, &file);
    cr_assert_not(file.events & POLLOUT);
    serve();
    cr_assert_eq(net_link.out_count, 0);
}

/* ---- Rates -------------------------------------------------------------- */

Test(net_rates, hold_back_frames_that_are_to_be_sent)
{
    struct net_options options = {.rates[NET_TX] = {.ops = 1}};
    struct pollfd file;

    start_with(options, 0);
    bring_up(net.dev.offered);
    for (unsigned i = 0; i < 3; i++)
        transmit(60);
    serve();
    cr_assert_eq(net_link.out_count, 1);
    cr_assert_neq(net.dev.wake_ns, VDEV_NEVER);
    cr_assert_not(kicks_next(NET_TX));
    vdev_want(&net.dev, &file);
    cr_assert_not(file.events & POLLOUT);
    cr_assert_eq(net.stats.tx_stuck, 0);
}

Test(net_rates, hold_back_frames_that_are_to_be_received)
{
    struct net_options options = {.rates[NET_RX] = {.bytes = 100}};
    struct pollfd file;

    start_with(options, 0);
    bring_up(net.dev.offered);
    post_rx_many(8);
    for (unsigned i = 0; i < 3; i++)
        arrive(1000);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net_link.receive_calls, 1, "the rest stays with the host");
    cr_assert_neq(net.dev.wake_ns, VDEV_NEVER);
    vdev_want(&net.dev, &file);
    cr_assert_eq(file.fd, -1);
}

Test(net_rates, count_no_look_that_finds_nothing)
{
    struct net_options options = {.rates[NET_RX] = {.ops = 1}};

    start_with(options, 0);
    bring_up(net.dev.offered);
    post_rx_many(8);
    for (unsigned i = 0; i < 10; i++)
        serve();
    arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
}

Test(net_rates, charge_for_a_frame_that_grows_while_it_waits)
{
    struct net_options options = {.rates[NET_TX] = {.bytes = 1000}};

    start_with(options, 0);
    bring_up(net.dev.offered);
    net_link.send_error = -EAGAIN;
    transmit(60);
    serve();
    net_link.send_error = 0;
    desc(NET_TX, 0)->len = 12 + 1500;
    transmit(60);
    serve();
    cr_assert_eq(net_link.out_count, 1);
    cr_assert_eq(net_link.out.bytes, 1500);
    cr_assert_gt(net.dev.wake_ns, os_now_ns() + 1000000000u);
}

Test(net_rates, count_a_frame_once_that_the_host_does_not_take)
{
    struct net_options options = {.rates[NET_TX] = {.ops = 1}};

    start_with(options, 0);
    bring_up(net.dev.offered);
    net_link.send_error = -EAGAIN;
    transmit(60);
    serve();
    serve();
    net_link.send_error = 0;
    serve();
    cr_assert_eq(net_link.out_count, 1);
    cr_assert_eq(net.dev.wake_ns, VDEV_NEVER);
}
