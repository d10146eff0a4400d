/* SPDX-License-Identifier: MIT */
/* The network device's control queue: filters, addresses, offloads. */
#include "tests/unit/net_driver.h"

#define RX(name)  VIRTIO_NET_CTRL_RX_##name
#define MAC(name) VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_##name
#define OK        VIRTIO_NET_OK
#define ERR       VIRTIO_NET_ERR

/* ---- Framing ------------------------------------------------------------ */

Test(net_ctrl, answers_in_the_first_writable_byte, .init = set_up_filtered)
{
    uint8_t on = 1;

    cr_assert_eq(command_with(VIRTIO_NET_CTRL_RX, RX(PROMISC), &on, 1, 8), OK);
    cr_assert_eq(used_elem(NET_CTRL, 0).len, 1);
    cr_assert_eq(((uint8_t *)at(CTRL_DATA + 0x8000))[1], UNTOUCHED);
    cr_assert_eq(net.stats.commands, 1);
}

Test(net_ctrl, takes_a_command_in_single_bytes, .init = set_up_filtered)
{
    static const uint8_t bytes[] = {
        VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 0, 9};
    unsigned head = next_desc[NET_CTRL];

    memcpy(at(CTRL_DATA), bytes, sizeof(bytes));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        add(NET_CTRL, CTRL_DATA + i, 1, 0);
    add(NET_CTRL, CTRL_DATA + 100, 1, WRITE);
    submit(NET_CTRL, head);
    serve();
    cr_assert_eq(*(uint8_t *)at(CTRL_DATA + 100), OK);
    cr_assert_eq(net.config.mac[5], 9);
}

Test(net_ctrl, refuses_what_it_does_not_know, .init = set_up_filtered)
{
    uint8_t byte = 1;

    cr_assert_eq(command(VIRTIO_NET_CTRL_RX, 6, &byte, 1), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_VLAN, 0, &byte, 1), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_ANNOUNCE, 0, &byte, 0), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_MQ, 0, &byte, 1), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_NOTF_COAL, 4, &byte, 1), ERR);
    cr_assert_eq(command(255, 255, &byte, 1), ERR);
    cr_assert_eq(net.stats.refused, 6);
}

Test(net_ctrl, refuses_a_command_without_a_header, .init = set_up_filtered)
{
    post(NET_CTRL, CTRL_DATA, 1, WRITE);
    serve();
    cr_assert_eq(*(uint8_t *)at(CTRL_DATA), ERR);
    cr_assert(vdev_is_live(&net.dev));
}

Test(net_ctrl, without_room_for_an_answer_stops_the_device,
     .init = set_up_filtered)
{
    post(NET_CTRL, CTRL_DATA, 8, 0);
    serve();
    cr_assert_not(vdev_is_live(&net.dev));
    cr_assert_eq(lines, 1);
}

Test(net_ctrl, is_not_served_unless_negotiated)
{
    start(FEATURE(CTRL_VQ) | FEATURE(CTRL_RX) | FEATURE(CTRL_MAC_ADDR) |
          FEATURE(NOTF_COAL) | FEATURE(VQ_NOTF_COAL));
    post(NET_CTRL, CTRL_DATA, 8, WRITE);
    serve();
    cr_assert_eq(used_count(NET_CTRL), 0);
}

Test(net_ctrl, refuses_commands_that_are_not_negotiated)
{
    uint8_t byte = 1;
    uint32_t limits[3] = {0, 1, 1};

    start(FEATURE(CTRL_RX) | FEATURE(CTRL_RX_EXTRA) | FEATURE(CTRL_MAC_ADDR) |
          FEATURE(NOTF_COAL) | FEATURE(VQ_NOTF_COAL) |
          FEATURE(CTRL_GUEST_OFFLOADS));
    for (uint8_t mode = 0; mode < 6; mode++)
        cr_assert_eq(set_mode(mode, byte), ERR);
    cr_assert_eq(command(MAC(ADDR_SET), other_mac, ETH_ALEN), ERR);
    cr_assert_eq(command(MAC(TABLE_SET), limits, 8), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, limits, 8), ERR);
    cr_assert_eq(set_limits(NET_RX, 1, 1), ERR);
    cr_assert_eq(set_limits(NET_TX, 1, 1), ERR);
    cr_assert_eq(set_queue_limits(0, 1, 1), ERR);
    cr_assert_eq(get_queue_limits(0, limits), ERR);
}

/* ---- The receive filter ------------------------------------------------- */

Test(net_filter, passes_all_to_a_driver_that_cannot_set_it, .init = set_up)
{
    cr_assert(passes(our_mac));
    cr_assert(passes(other_mac));
    cr_assert(passes(group_mac));
    cr_assert(passes(broadcast_mac));
}

Test(net_filter, passes_our_address_and_broadcasts_at_first,
     .init = set_up_filtered)
{
    cr_assert(passes(our_mac));
    cr_assert(passes(broadcast_mac));
    cr_assert_not(passes(other_mac));
    cr_assert_not(passes(group_mac));
    cr_assert_eq(net.stats.rx_filtered, 2);
    cr_assert_eq(net.stats.rx_dropped, 0);
}

Test(net_filter, passes_all_in_promiscuous_mode, .init = set_up_filtered)
{
    cr_assert_eq(set_mode(RX(PROMISC), 1), OK);
    cr_assert_eq(set_mode(RX(NOMULTI), 1), OK);
    cr_assert_eq(set_mode(RX(NOUNI), 1), OK);
    cr_assert_eq(set_mode(RX(NOBCAST), 1), OK);
    cr_assert(passes(our_mac));
    cr_assert(passes(other_mac));
    cr_assert(passes(group_mac));
    cr_assert(passes(broadcast_mac));
    cr_assert_eq(set_mode(RX(PROMISC), 0), OK);
    cr_assert_not(passes(our_mac));
}

Test(net_filter, passes_groups_with_allmulti, .init = set_up_filtered)
{
    cr_assert_eq(set_mode(RX(ALLMULTI), 1), OK);
    cr_assert(passes(group_mac));
    cr_assert_not(passes(other_mac));
    cr_assert_eq(set_mode(RX(NOMULTI), 1), OK);
    cr_assert_not(passes(group_mac), "even with allmulti");
    cr_assert(passes(broadcast_mac), "is no multicast here");
    cr_assert_eq(set_mode(RX(NOMULTI), 0), OK);
    cr_assert_eq(set_mode(RX(NOBCAST), 1), OK);
    cr_assert_not(passes(broadcast_mac), "even with allmulti");
    cr_assert(passes(group_mac));
}

Test(net_filter, passes_unicast_with_alluni, .init = set_up_filtered)
{
    cr_assert_eq(set_mode(RX(ALLUNI), 1), OK);
    cr_assert(passes(other_mac));
    cr_assert_not(passes(group_mac));
    cr_assert_eq(set_mode(RX(NOUNI), 1), OK);
    cr_assert_not(passes(other_mac), "even with alluni");
    cr_assert_not(passes(our_mac));
    cr_assert(passes(broadcast_mac));
}

Test(net_filter, modes_are_one_byte_of_0_or_1, .init = set_up_filtered)
{
    static const uint8_t two[] = {1, 1};

    cr_assert_eq(set_mode(RX(PROMISC), 2), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_RX, RX(PROMISC), two, 2), ERR);
    cr_assert_eq(command(VIRTIO_NET_CTRL_RX, RX(PROMISC), two, 0), ERR);
    cr_assert_not(passes(other_mac));
}

Test(net_filter, extra_modes_are_a_feature_of_their_own)
{
    start(TSO_RX | FEATURE(CTRL_RX_EXTRA));
    cr_assert_eq(set_mode(RX(PROMISC), 0), OK);
    cr_assert_eq(set_mode(RX(ALLMULTI), 0), OK);
    cr_assert_eq(set_mode(RX(ALLUNI), 0), ERR);
    cr_assert_eq(set_mode(RX(NOBCAST), 0), ERR);
}

/* Sets tables of so many addresses, all of them beginning with `mac`. */
static uint8_t set_tables(uint32_t unicast, uint32_t multicast)
{
    static uint8_t data[8 + 200 * ETH_ALEN];
    uint8_t *next = data;
    uint32_t counts[2] = {unicast, multicast};

    for (unsigned i = 0; i < 2; i++) {
        memcpy(next, &counts[i], 4);
        next += 4;
        for (uint32_t j = 0; j < counts[i]; j++) {
            memcpy(next, i ? group_mac : other_mac, ETH_ALEN);
            next[3] = (uint8_t)(counts[i] - 1 - j); /* the plain one last */
            next += ETH_ALEN;
        }
    }
    return command(MAC(TABLE_SET), data, (size_t)(next - data));
}

Test(net_filter, passes_the_addresses_of_its_table, .init = set_up_filtered)
{
    cr_assert_eq(set_tables(64, 64), OK);
    cr_assert(passes(other_mac));
    cr_assert(passes(group_mac));
    cr_assert(passes((const uint8_t[]){2, 0, 0, 63, 0, 2}));
    cr_assert_not(passes((const uint8_t[]){2, 0, 0, 64, 0, 2}));
    cr_assert_not(passes((const uint8_t[]){0x33, 0x33, 0, 64, 0, 1}));
    cr_assert(passes(our_mac));
    cr_assert_eq(set_tables(0, 0), OK);
    cr_assert_not(passes(other_mac));
    cr_assert_not(passes(group_mac));
}

Test(net_filter, passes_a_whole_kind_when_its_table_is_too_long,
     .init = set_up_filtered)
{
    static const uint8_t any[] = {2, 9, 9, 9, 9, 9};
    static const uint8_t any_group[] = {3, 9, 9, 9, 9, 9};

    cr_assert_eq(set_tables(65, 1), OK);
    cr_assert(passes(any));
    cr_assert(passes(group_mac));
    cr_assert_not(passes(any_group));
    cr_assert_eq(set_tables(1, 65), OK);
    cr_assert_not(passes(any));
    cr_assert(passes(other_mac));
    cr_assert(passes(any_group));
}

Test(net_filter, keeps_its_table_when_a_new_one_is_malformed,
     .init = set_up_filtered)
{
    static const uint8_t one[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0};
    static const uint32_t huge[2] = {0, UINT32_MAX};

    cr_assert_eq(command(MAC(TABLE_SET), one, 14), OK);
    cr_assert_eq(command(MAC(TABLE_SET), one, 13), ERR, "too short");
    cr_assert_eq(command(MAC(TABLE_SET), one, 15), ERR, "too long");
    cr_assert_eq(command(MAC(TABLE_SET), one, 9), ERR);
    cr_assert_eq(command(MAC(TABLE_SET), one, 3), ERR);
    cr_assert_eq(command(MAC(TABLE_SET), one, 0), ERR);
    cr_assert_eq(command(MAC(TABLE_SET), huge, 8), ERR);
    cr_assert(passes(other_mac));
}

Test(net_filter, is_as_new_after_a_reset, .init = set_up_filtered)
{
    uint64_t features = net.dev.features;

    cr_assert_eq(set_tables(1, 1), OK);
    cr_assert_eq(set_mode(RX(NOBCAST), 1), OK);
    bring_up(features);
    cr_assert_not(passes(other_mac));
    cr_assert_not(passes(group_mac));
    cr_assert(passes(broadcast_mac));
}

/* ---- The address -------------------------------------------------------- */

Test(net_mac, can_be_set_and_is_in_the_configuration, .init = set_up_filtered)
{
    uint32_t generation = net.dev.generation;
    uint8_t mac[ETH_ALEN];

    cr_assert_eq(command(MAC(ADDR_SET), other_mac, ETH_ALEN), OK);
    vdev_read_config(&net.dev, 0, mac, sizeof(mac));
    cr_assert_eq(memcmp(mac, other_mac, ETH_ALEN), 0);
    cr_assert_neq(net.dev.generation, generation);
    cr_assert(passes(other_mac));
    cr_assert_not(passes(our_mac));
    generation = net.dev.generation;
    cr_assert_eq(command(MAC(ADDR_SET), other_mac, ETH_ALEN), OK);
    cr_assert_eq(net.dev.generation, generation, "no change, none said");
}

Test(net_mac, is_six_bytes_and_no_group, .init = set_up_filtered)
{
    static const uint8_t seven[7] = {2};

    cr_assert_eq(command(MAC(ADDR_SET), other_mac, 5), ERR);
    cr_assert_eq(command(MAC(ADDR_SET), seven, 7), ERR);
    cr_assert_eq(command(MAC(ADDR_SET), group_mac, ETH_ALEN), ERR);
    cr_assert_eq(memcmp(net.config.mac, our_mac, ETH_ALEN), 0);
}

/* ---- Offloads ----------------------------------------------------------- */

static uint8_t set_offloads(uint64_t offloads)
{
    return command(VIRTIO_NET_CTRL_GUEST_OFFLOADS,
                   VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &offloads,
                   sizeof(offloads));
}

Test(net_offloads, can_be_changed_to_any_that_were_negotiated)
{
    start(FEATURE(GUEST_TSO6));
    cr_assert_eq(set_offloads(0), OK);
    cr_assert_eq(net_link.offloads, 0);
    cr_assert_eq(net.offloads, 0);
    cr_assert_eq(set_offloads(FEATURE(GUEST_CSUM) | FEATURE(GUEST_TSO4)), OK);
    cr_assert_eq(net_link.offloads, FEATURE(GUEST_CSUM) | FEATURE(GUEST_TSO4));
    cr_assert_eq(set_offloads(FEATURE(GUEST_CSUM) | FEATURE(GUEST_TSO6)), ERR);
    cr_assert_eq(set_offloads(FEATURE(GUEST_TSO4)), ERR, "without csum");
    cr_assert_eq(set_offloads(FEATURE(CSUM)), ERR, "the other direction");
    cr_assert_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, "", 0), ERR);
    cr_assert_eq(net.offloads, FEATURE(GUEST_CSUM) | FEATURE(GUEST_TSO4));
}

Test(net_offloads, are_changed_64_times_after_a_start_and_no_more)
{
    uint64_t csum = FEATURE(GUEST_CSUM);

    start(0);
    post_rx(0, 2048);
    serve();
    for (unsigned i = 0; i < 64; i++)
        cr_assert_eq(set_offloads(i % 2 ? csum : 0), OK);
    cr_assert_eq(set_offloads(csum), OK, "as it is");
    cr_assert_eq(set_offloads(0), ERR);
    cr_assert_eq(net.offloads, csum);
}

Test(net_offloads, that_the_host_refuses_are_not_changed)
{
    start(0);
    post_rx(0, 2048);
    serve();
    net_link.offload_error = -EINVAL;
    cr_assert_eq(set_offloads(0), ERR);
    cr_assert_eq(net.offloads, FEATURE(GUEST_CSUM) | TSO_RX);
}

Test(net_offloads, decide_how_much_room_a_frame_wants)
{
    start(FEATURE(CTRL_RX));
    post_rx_many(4);
    arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_frames, 0);
    cr_assert_eq(set_offloads(FEATURE(GUEST_CSUM)), OK);
    cr_assert_eq(net.stats.rx_frames, 1);
}

Test(net_ctrl, ends_a_serve_after_64_commands, .init = set_up_filtered)
{
    /* The queue has 64 entries: one chain each, again and again. */
    for (unsigned i = 0; i < 64; i++)
        post(NET_CTRL, CTRL_DATA, 1, WRITE);
    cr_assert_eq(vdev_serve(&net.dev), -EINTR);
    cr_assert_eq(used_count(NET_CTRL), 64);
    serve();
}
