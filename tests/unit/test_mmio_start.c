/* SPDX-License-Identifier: MIT */
/* A driver behind virtio-mmio: queues, notifications, status and resets. */
#include "tests/unit/mmio_driver.h"

/* ---- Queues ---------------------------------------------------------- */

Test(mmio_queue, has_a_largest_size_if_it_is_there, .init = set_up)
{
    put(REG(QUEUE_SEL), 0);
    cr_assert_eq(get(REG(QUEUE_NUM_MAX)), SIZE);
    put(REG(QUEUE_SEL), 1);
    cr_assert_eq(get(REG(QUEUE_NUM_MAX)), 2 * SIZE);
    dev.queue_size_max[2] = SIZE; /* of a queue that there is not */
    put(REG(QUEUE_SEL), 2);
    cr_assert_eq(get(REG(QUEUE_NUM_MAX)), 0);
    put(REG(QUEUE_SEL), UINT32_MAX);
    cr_assert_eq(get(REG(QUEUE_NUM_MAX)), 0);
}

Test(mmio_queue, is_ready_where_the_driver_put_it, .init = set_up)
{
    agree();
    describe_queue(0, SIZE / 2);
    cr_assert_eq(make_ready(), 1);
    const struct virtq *q = &dev.queues[0];
    cr_assert(q->enabled);
    cr_assert_eq(q->size, SIZE / 2);
    cr_assert_eq(q->desc, ram + (DESC - BASE));
    cr_assert_eq((uint8_t *)q->avail, ram + (AVAIL - BASE));
    cr_assert_eq((uint8_t *)q->used, ram + (USED - BASE));
    put(REG(QUEUE_SEL), 1);
    cr_assert_eq(get(REG(QUEUE_READY)), 0, "another queue");
}

Test(mmio_queue, may_lie_above_4_gib, .init = set_up)
{
    const uint64_t high = UINT64_C(0x500000000);

    mem.regions[0].base = high;
    agree();
    put(REG(QUEUE_NUM), SIZE);
    for (uint32_t at = REG(QUEUE_DESC_LOW); at <= REG(QUEUE_USED_LOW);
         at += 0x10) {
        put(at, (uint32_t)high + (at - REG(QUEUE_DESC_LOW)) * 0x100);
        put(at + 4, (uint32_t)(high >> 32));
    }
    cr_assert_eq(make_ready(), 1);
    cr_assert_eq((uint8_t *)dev.queues[0].used, ram + 0x2000);
}

Test(mmio_queue, is_not_ready_before_FEATURES_OK, .init = set_up)
{
    describe_queue(0, SIZE);
    cr_assert_eq(make_ready(), 0);
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
    cr_assert_eq(make_ready(), 0);
    accept_features(VERSION_1);
    put_status(STATUS(FEATURES_OK));
    cr_assert_eq(make_ready(), 1, "what was written before still counts");
}

Test(mmio_queue, is_not_ready_after_DRIVER_OK, .init = set_up)
{
    go_live();
    describe_queue(1, SIZE);
    cr_assert_eq(make_ready(), 0);
    cr_assert(vdev_is_live(&dev), "the rest goes on");
}

Test(mmio_queue, is_not_ready_with_a_size_that_cannot_be, .init = set_up)
{
    static const uint32_t bad[] = {0, 3, SIZE + 1, 2 * SIZE, 1u << 31};

    agree();
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        describe_queue(0, bad[i]);
        cr_assert_eq(make_ready(), 0, "%u entries", bad[i]);
    }
    describe_queue(0, 1);
    cr_assert_eq(make_ready(), 1);
}

/* Writes `address` over one of the areas of a good queue. */
static uint32_t ready_with(uint32_t reg, uint64_t address)
{
    describe_queue(0, SIZE);
    put(reg, (uint32_t)address);
    put(reg + 4, (uint32_t)(address >> 32));
    uint32_t ready = make_ready();
    put(REG(QUEUE_READY), 0);
    return ready;
}

Test(mmio_queue, is_not_ready_with_a_misaligned_area, .init = set_up)
{
    agree();
    cr_assert_eq(ready_with(REG(QUEUE_DESC_LOW), DESC + 16), 1);
    cr_assert_eq(ready_with(REG(QUEUE_DESC_LOW), DESC + 8), 0);
    cr_assert_eq(ready_with(REG(QUEUE_AVAIL_LOW), AVAIL + 2), 1);
    cr_assert_eq(ready_with(REG(QUEUE_AVAIL_LOW), AVAIL + 1), 0);
    cr_assert_eq(ready_with(REG(QUEUE_USED_LOW), USED + 4), 1);
    cr_assert_eq(ready_with(REG(QUEUE_USED_LOW), USED + 2), 0);
}

Test(mmio_queue, is_not_ready_with_an_area_outside_memory, .init = set_up)
{
    uint64_t end = BASE + sizeof(ram);

    agree();
    cr_assert_eq(ready_with(REG(QUEUE_DESC_LOW), end - 16 * SIZE), 1);
    cr_assert_eq(ready_with(REG(QUEUE_DESC_LOW), end - 16 * SIZE + 16), 0);
    cr_assert_eq(ready_with(REG(QUEUE_AVAIL_LOW), BASE - 2), 0);
    cr_assert_eq(ready_with(REG(QUEUE_USED_LOW), USED | UINT64_C(1) << 32), 0);
    cr_assert_eq(ready_with(REG(QUEUE_USED_LOW), UINT64_MAX - 3), 0);
}

Test(mmio_queue, says_a_limited_number_of_times_why_it_is_not_ready,
     .init = set_up)
{
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(make_ready(), 0);
    cr_assert_gt(lines, 0);
    cr_assert_lt(lines, 100);
}

Test(mmio_queue, is_not_ready_where_there_is_none, .init = set_up)
{
    agree();
    describe_queue(2, SIZE);
    cr_assert_eq(make_ready(), 0);
    describe_queue(UINT32_MAX, SIZE);
    cr_assert_eq(make_ready(), 0);
    cr_assert_not(dev.queues[0].enabled);
    cr_assert_not(dev.queues[1].enabled);
}

Test(mmio_queue, is_ready_by_a_1_and_by_nothing_else, .init = set_up)
{
    agree();
    describe_queue(0, SIZE);
    put(REG(QUEUE_READY), 2);
    put(REG(QUEUE_READY), UINT32_MAX);
    cr_assert_eq(get(REG(QUEUE_READY)), 0);
    cr_assert_eq(make_ready(), 1);
    put(REG(QUEUE_READY), 2);
    cr_assert_eq(get(REG(QUEUE_READY)), 1);
}

Test(mmio_queue, stays_where_it_is_while_it_is_ready, .init = set_up)
{
    agree();
    describe_queue(0, SIZE);
    cr_assert_eq(make_ready(), 1);
    put(REG(QUEUE_NUM), 1);
    put(REG(QUEUE_DESC_LOW), 0);
    cr_assert_eq(make_ready(), 1);
    cr_assert_eq(dev.queues[0].size, SIZE);
    put(REG(QUEUE_READY), 0);
    cr_assert_eq(make_ready(), 1, "ignored then, so not there now");
    cr_assert_eq(dev.queues[0].size, SIZE);
}

Test(mmio_queue, can_be_stopped_and_set_up_anew_before_DRIVER_OK,
     .init = set_up)
{
    agree();
    describe_queue(0, SIZE);
    cr_assert_eq(make_ready(), 1);
    put(REG(QUEUE_READY), 0);
    cr_assert_eq(get(REG(QUEUE_READY)), 0);
    describe_queue(0, 1);
    cr_assert_eq(make_ready(), 1);
    cr_assert_eq(dev.queues[0].size, 1);
    cr_assert_not(dev.status & STATUS(NEEDS_RESET));
}

Test(mmio_queue, takes_a_live_device_along_when_it_is_stopped, .init = set_up)
{
    go_live();
    begin_request();
    cr_assert(has_chain);
    put(REG(QUEUE_READY), 0);
    cr_assert_eq(get(REG(QUEUE_READY)), 0);
    cr_assert(get(REG(STATUS)) & STATUS(NEEDS_RESET));
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_CONFIG);
    cr_assert_eq(make_ready(), 0, "not before the reset");
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(used->idx, 0, "the request is never finished");
}

Test(mmio_queue, that_was_never_ready_can_be_stopped_without_effect,
     .init = set_up)
{
    go_live();
    put(REG(QUEUE_SEL), 1);
    put(REG(QUEUE_READY), 0);
    put(REG(QUEUE_SEL), 2);
    put(REG(QUEUE_READY), 0);
    cr_assert(vdev_is_live(&dev));
}

/* ---- Notifications --------------------------------------------------- */

Test(mmio_notify, tells_of_queues_that_are_there_and_no_others, .init = set_up)
{
    cr_assert_eq(set(REG(QUEUE_NOTIFY), 0), MMIO_KICKED);
    cr_assert_eq(set(REG(QUEUE_NOTIFY), 1), MMIO_KICKED);
    put(REG(QUEUE_NOTIFY), 2);
    put(REG(QUEUE_NOTIFY), 0x10000);
    put(REG(QUEUE_NOTIFY), UINT32_MAX);
}

Test(mmio_notify, does_not_start_a_device_before_DRIVER_OK, .init = set_up)
{
    agree();
    describe_queue(0, SIZE);
    cr_assert_eq(make_ready(), 1);
    begin_request();
    cr_assert_not(has_chain);
    cr_assert_eq(used->idx, 0);
    put_status(get(REG(STATUS)) | STATUS(DRIVER_OK));
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert(has_chain);
}

Test(mmio_interrupt, is_there_from_the_event_until_acknowledged, .init = set_up)
{
    go_live();
    begin_request();
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), 0);
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(used->idx, 1);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_QUEUE);
    cr_assert_eq(event_read(&events), UINT64_C(1) << 5);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_QUEUE,
                 "reading acknowledges nothing");
    put(REG(INTERRUPT_ACK), INTERRUPT_QUEUE);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), 0);
}

Test(mmio_interrupt, is_acknowledged_bit_by_bit, .init = set_up)
{
    go_live();
    vdev_notify(&dev);
    vdev_config_changed(&dev);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)),
                 INTERRUPT_QUEUE | INTERRUPT_CONFIG);
    put(REG(INTERRUPT_ACK), INTERRUPT_CONFIG);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_QUEUE);
    put(REG(INTERRUPT_ACK), ~INTERRUPT_QUEUE);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_QUEUE);
    put(REG(INTERRUPT_ACK), UINT32_MAX);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), 0);
}

Test(mmio_interrupt, tells_of_a_changed_configuration_when_live, .init = set_up)
{
    vdev_config_changed(&dev);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), 0);
    go_live();
    vdev_config_changed(&dev);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_CONFIG);
}

/* ---- Status and resets ----------------------------------------------- */

Test(mmio_status, gains_bits_one_by_one_and_loses_none, .init = set_up)
{
    go_live();
    uint32_t live = get(REG(STATUS));
    put_status(STATUS(ACKNOWLEDGE));
    cr_assert_eq(get(REG(STATUS)), live);
    put_status(STATUS(NEEDS_RESET));
    cr_assert_eq(get(REG(STATUS)), live, "the device's bit");
    put_status(STATUS(FAILED));
    cr_assert_eq(get(REG(STATUS)), live | STATUS(FAILED));
}

Test(mmio_status, has_8_bits, .init = set_up)
{
    go_live();
    uint32_t live = get(REG(STATUS));
    put_status(0x100);
    cr_assert_eq(get(REG(STATUS)), live, "not 0, so no reset");
    put_status(UINT32_MAX & ~UINT32_C(0xff));
    cr_assert_eq(get(REG(STATUS)), live);
    cr_assert_eq(resets, 0);
}

Test(mmio_status, refuses_DRIVER_OK_without_FEATURES_OK, .init = set_up)
{
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER) | STATUS(DRIVER_OK));
    cr_assert_eq(get(REG(STATUS)), STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
}

Test(mmio_status, shows_NEEDS_RESET_with_a_configuration_interrupt,
     .init = set_up)
{
    go_live();
    avail->idx = SIZE + 1; /* more than there can be */
    cr_assert_eq(set(REG(QUEUE_NOTIFY), 0), MMIO_KICKED);
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert(get(REG(STATUS)) & STATUS(NEEDS_RESET));
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), INTERRUPT_CONFIG);
    cr_assert_eq(event_read(&events), UINT64_C(1) << 5);
    put_status(get(REG(STATUS)));
    cr_assert_not(vdev_is_live(&dev), "only a reset helps");
}

Test(mmio_status, shows_NEEDS_RESET_without_interrupt_before_DRIVER_OK,
     .init = set_up)
{
    agree();
    vdev_mark_needs_reset(&dev);
    cr_assert(get(REG(STATUS)) & STATUS(NEEDS_RESET));
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), 0);
}

Test(mmio_reset, brings_every_register_back, .init = set_up)
{
    go_live();
    vdev_config_changed(&dev);
    vdev_notify(&dev);
    for (uint32_t reg = REG(DEVICE_FEATURES_SEL); reg <= REG(QUEUE_SEL);
         reg += 4)
        put(reg, 1);
    put_status(0);
    cr_assert_eq(resets, 1);
    cr_assert_eq(get(REG(STATUS)), 0);
    cr_assert_eq(get(REG(INTERRUPT_STATUS)), 0);
    cr_assert_eq(dev.features, 0);
    cr_assert_eq(get(REG(DEVICE_FEATURES)), (uint32_t)dev.offered, "word 0");
    cr_assert_eq(get(REG(QUEUE_NUM_MAX)), SIZE, "queue 0");
    for (uint32_t i = 0; i < 2; i++) {
        put(REG(QUEUE_SEL), i);
        cr_assert_eq(get(REG(QUEUE_READY)), 0);
    }
    agree();
    put(REG(QUEUE_SEL), 0);
    cr_assert_eq(make_ready(), 0, "size and addresses are gone");
}

Test(mmio_reset, drops_a_request_in_flight, .init = set_up)
{
    go_live();
    begin_request();
    cr_assert(has_chain);
    put_status(0);
    memset(ram, 0xaa, sizeof(ram));
    cr_assert_eq(vdev_serve(&dev), 0);
    for (unsigned i = 0; i < sizeof(ram); i++)
        cr_assert_eq(ram[i], 0xaa, "written at %#x", i);

    memset(ram, 0, sizeof(ram));
    go_live();
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(used->idx, 0, "nothing of before comes back");
    begin_request();
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(used->idx, 1);
}

Test(mmio_reset, ends_NEEDS_RESET, .init = set_up)
{
    go_live();
    vdev_mark_needs_reset(&dev);
    put_status(0);
    cr_assert_eq(get(REG(STATUS)), 0);
    go_live();
    begin_request();
    cr_assert_eq(vdev_serve(&dev), 0);
    cr_assert_eq(used->idx, 1);
}
