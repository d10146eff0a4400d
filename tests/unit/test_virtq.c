/* SPDX-License-Identifier: MIT */
/* The device's side of a virtqueue, driven by a hand-written driver. */
#include "tests/unit/virtq_driver.h"

static void assert_broken(int result)
{
    cr_assert_eq(result, -EBADMSG);
    cr_assert(q.broken);
    cr_assert_eq(virtq_pop(&q, &chain), -EBADMSG);
    cr_assert_not(virtq_has_chain(&q));
    virtq_push(&q, 0, 1);
    cr_assert_not(virtq_publish(&q));
    cr_assert_not(virtq_set_kick_threshold(&q, 1));
    cr_assert_eq(used->idx, 0);
}

/* ---- Layout ---------------------------------------------------------- */

static int enable(uint64_t d, uint64_t a, uint64_t u, uint32_t size)
{
    struct virtq_layout layout = {gpa(d), gpa(a), gpa(u), size};
    struct virtq queue = {0};

    start(SIZE, 0);
    return virtq_enable(&queue, &mem, &layout, 0);
}

Test(virtq_enable, takes_powers_of_two_only)
{
    cr_assert_eq(enable(DESC, AVAIL, USED, 0), -EINVAL);
    cr_assert_eq(enable(DESC, AVAIL, USED, 1), 0);
    cr_assert_eq(enable(DESC, AVAIL, USED, 2), 0);
    cr_assert_eq(enable(DESC, AVAIL, USED, 3), -EINVAL);
}

Test(virtq_enable, takes_32768_entries_and_not_65536)
{
    static uint8_t big[1 << 20];
    struct virtq_layout layout = {gpa(0), gpa(0x80000), gpa(0xa0000), 32768};
    struct virtq queue = {0};

    mem = (struct gmem){.regions = {{0, sizeof(big), big}}, .count = 1};
    cr_assert_eq(virtq_enable(&queue, &mem, &layout, 0), 0);
    layout.size = 65536;
    cr_assert_eq(virtq_enable(&queue, &mem, &layout, 0), -EINVAL);
}

Test(virtq_enable, wants_each_area_aligned)
{
    cr_assert_eq(enable(DESC + 16, AVAIL, USED, SIZE), 0);
    cr_assert_eq(enable(DESC + 8, AVAIL, USED, SIZE), -EINVAL);
    cr_assert_eq(enable(DESC, AVAIL + 2, USED, SIZE), 0);
    cr_assert_eq(enable(DESC, AVAIL + 1, USED, SIZE), -EINVAL);
    cr_assert_eq(enable(DESC, AVAIL, USED + 4, SIZE), 0);
    cr_assert_eq(enable(DESC, AVAIL, USED + 2, SIZE), -EINVAL);
}

Test(virtq_enable, wants_each_area_to_end_inside_memory)
{
    uint64_t end = RAM_BASE + RAM_BYTES;

    cr_assert_eq(enable(end - 16 * SIZE, AVAIL, USED, SIZE), 0);
    cr_assert_eq(enable(end - 16 * SIZE + 16, AVAIL, USED, SIZE), -EFAULT);
    cr_assert_eq(enable(DESC, end - 6 - 2 * SIZE, USED, SIZE), 0);
    cr_assert_eq(enable(DESC, end - 4 - 2 * SIZE, USED, SIZE), -EFAULT);
    cr_assert_eq(enable(DESC, AVAIL, end - 8 - 8 * SIZE, SIZE), 0);
    cr_assert_eq(enable(DESC, AVAIL, end - 4 - 8 * SIZE, SIZE), -EFAULT);
    cr_assert_eq(enable(UINT64_MAX - 15, AVAIL, USED, SIZE), -EFAULT);
}

/* ---- Chains ---------------------------------------------------------- */

Test(virtq_pop, finds_nothing_in_an_empty_ring, .init = set_up)
{
    cr_assert_eq(virtq_pop(&q, &chain), 0);
    cr_assert_not(virtq_has_chain(&q));
}

Test(virtq_pop, finds_nothing_in_a_reset_queue, .init = set_up)
{
    make_available(0);
    virtq_reset(&q);
    cr_assert_eq(virtq_pop(&q, &chain), 0);
    cr_assert_not(virtq_has_chain(&q));
}

Test(virtq_pop, gives_readable_pieces_before_writable_ones, .init = set_up)
{
    desc[2] = (struct vring_desc){DATA, 10, NEXT, 5};
    desc[5] = (struct vring_desc){DATA + 100, 20, NEXT | WRITE, 0};
    desc[0] = (struct vring_desc){DATA + 200, 30, WRITE, 77};
    cr_assert_eq(pop(2), 1);
    cr_assert_eq(chain.head, 2);
    cr_assert_eq(chain.readable_count, 1);
    cr_assert_eq(chain.readable_bytes, 10);
    cr_assert_eq(chain.writable_count, 2);
    cr_assert_eq(chain.writable_bytes, 50);
    cr_assert_eq(iov[0].iov_base, ram + (DATA - RAM_BASE));
    cr_assert_eq(iov[1].iov_base, ram + (DATA - RAM_BASE) + 100);
    cr_assert_eq(iov[2].iov_len, 30);
    cr_assert_eq(virtq_pop(&q, &chain), 0);
}

Test(virtq_pop, refuses_a_readable_piece_after_a_writable_one, .init = set_up)
{
    desc[0] = (struct vring_desc){DATA, 1, NEXT | WRITE, 1};
    desc[1] = (struct vring_desc){DATA, 1, 0, 0};
    assert_broken(pop(0));
}

Test(virtq_pop, takes_the_last_head_of_the_table, .init = set_up)
{
    desc[SIZE - 1] = (struct vring_desc){DATA, 1, 0, 0};
    cr_assert_eq(pop(SIZE - 1), 1);
}

Test(virtq_pop, refuses_a_head_past_the_table, .init = set_up)
{
    assert_broken(pop(SIZE));
}

Test(virtq_pop, refuses_a_next_past_the_table, .init = set_up)
{
    desc[0] = (struct vring_desc){DATA, 1, NEXT, SIZE};
    assert_broken(pop(0));
}

Test(virtq_pop, takes_a_buffer_that_ends_with_memory, .init = set_up)
{
    desc[0] = (struct vring_desc){RAM_BASE + RAM_BYTES - 16, 16, 0, 0};
    cr_assert_eq(pop(0), 1);
}

Test(virtq_pop, refuses_a_buffer_that_ends_past_memory, .init = set_up)
{
    desc[0] = (struct vring_desc){RAM_BASE + RAM_BYTES - 16, 17, 0, 0};
    assert_broken(pop(0));
}

Test(virtq_pop, refuses_a_buffer_that_wraps_around, .init = set_up)
{
    desc[0] = (struct vring_desc){UINT64_MAX - 1, 16, 0, 0};
    assert_broken(pop(0));
}

Test(virtq_pop, skips_empty_descriptors_wherever_they_point, .init = set_up)
{
    desc[0] = (struct vring_desc){UINT64_MAX, 0, NEXT, 1};
    desc[1] = (struct vring_desc){DATA, 4, 0, 0};
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_count, 1);
    cr_assert_eq(chain.readable_bytes, 4);
    desc[2] = (struct vring_desc){0, 0, 0, 0};
    cr_assert_eq(pop(2), 1);
    cr_assert_eq(chain.readable_count + chain.writable_count, 0);
}

Test(virtq_pop, takes_a_chain_as_long_as_the_queue, .init = set_up)
{
    for (uint16_t i = 0; i < SIZE; i++)
        desc[i] = (struct vring_desc){DATA, 1, NEXT, i + 1};
    desc[SIZE - 1].flags = 0;
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_count, SIZE);
}

Test(virtq_pop, refuses_a_loop, .init = set_up)
{
    desc[0] = (struct vring_desc){DATA, 1, NEXT, 1};
    desc[1] = (struct vring_desc){DATA, 1, NEXT, 0};
    chain.iov_max = SIZE;
    assert_broken(pop(0));
}

Test(virtq_pop, refuses_a_loop_of_empty_descriptors, .init = set_up)
{
    desc[3] = (struct vring_desc){0, 0, NEXT, 3};
    assert_broken(pop(3));
}

Test(virtq_pop, takes_4_GiB_in_a_chain_and_refuses_more)
{
    /* Guest memory that nobody touches: only its bounds count. */
    start(SIZE, 0);
    gmem_add(&mem, UINT64_C(1) << 32, UINT64_C(2) << 32, (void *)0x100000);
    desc[0] = (struct vring_desc){UINT64_C(1) << 32, UINT32_MAX, NEXT, 1};
    desc[1] = (struct vring_desc){UINT64_C(1) << 32, 1, 0, 0};
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_bytes, UINT64_C(1) << 32);
    desc[1].len = 2;
    assert_broken(pop(0));
}

Test(virtq_pop, leaves_a_chain_with_too_many_pieces_available, .init = set_up)
{
    desc[0] = (struct vring_desc){DATA, 1, NEXT, 1};
    desc[1] = (struct vring_desc){DATA, 1, NEXT, 2};
    desc[2] = (struct vring_desc){DATA, 0, 0, 0};
    chain.iov_max = 1;
    cr_assert_eq(pop(0), -ENOSPC);
    cr_assert_not(q.broken);
    chain.iov_max = 2;
    cr_assert_eq(virtq_pop(&q, &chain), 1);
}

Test(virtq_pop, takes_a_full_ring_and_refuses_one_more)
{
    set_up();
    avail->idx = SIZE;
    cr_assert(virtq_has_chain(&q));
    avail->idx = SIZE + 1;
    assert_broken(virtq_pop(&q, &chain));
}

Test(virtq_pop, refuses_an_available_index_that_goes_back)
{
    set_up();
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    cr_assert_eq(pop(0), 1);
    avail->idx = 0;
    assert_broken(virtq_pop(&q, &chain));
}

Test(virtq_pop, counts_chains_that_are_not_given_back_against_the_size)
{
    set_up();
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    for (unsigned i = 0; i < SIZE; i++)
        cr_assert_eq(pop(0), 1);
    assert_broken(pop(0));
}

Test(virtq_pop, works_when_the_indices_wrap, .init = set_up)
{
    run_chains(65536 + 3);
    cr_assert_eq(used->idx, 3);
}

Test(virtq_pop, looks_at_no_index_of_its_own_in_guest_memory, .init = set_up)
{
    run_chains(2);
    used->idx = 1000;
    run_chains(1);
    cr_assert_eq(used->idx, 3);
}

Test(virtq_unpop, makes_the_last_chain_available_again, .init = set_up)
{
    desc[4] = (struct vring_desc){DATA, 9, WRITE, 0};
    cr_assert_eq(pop(4), 1);
    virtq_unpop(&q);
    cr_assert(virtq_has_chain(&q));
    cr_assert_eq(virtq_pop(&q, &chain), 1);
    cr_assert_eq(chain.writable_bytes, 9);
}

/* ---- Indirect tables ------------------------------------------------- */

static void point_to_table(uint16_t at, uint32_t entries)
{
    desc[at] =
        (struct vring_desc){TABLE, entries * 16, VRING_DESC_F_INDIRECT, 0};
}

Test(virtq_indirect, walks_a_table, .init = set_up_indirect)
{
    point_to_table(3, 2);
    table[0] = (struct vring_desc){DATA, 5, NEXT, 1};
    table[1] = (struct vring_desc){DATA, 6, WRITE, 0};
    cr_assert_eq(pop(3), 1);
    cr_assert_eq(chain.head, 3);
    cr_assert_eq(chain.readable_bytes, 5);
    cr_assert_eq(chain.writable_bytes, 6);
}

Test(virtq_indirect, walks_a_table_at_the_end_of_a_chain,
     .init = set_up_indirect)
{
    desc[0] = (struct vring_desc){DATA, 5, NEXT, 3};
    point_to_table(3, 1);
    table[0] = (struct vring_desc){DATA, 6, 0, 0};
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_bytes, 11);
}

Test(virtq_indirect, ignores_the_write_flag_of_the_pointer,
     .init = set_up_indirect)
{
    point_to_table(0, 1);
    desc[0].flags |= WRITE;
    table[0] = (struct vring_desc){DATA, 6, 0, 0};
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_bytes, 6);
}

Test(virtq_indirect, keeps_the_order_of_directions_across_the_tables,
     .init = set_up_indirect)
{
    desc[0] = (struct vring_desc){DATA, 5, NEXT | WRITE, 3};
    point_to_table(3, 1);
    table[0] = (struct vring_desc){DATA, 6, 0, 0};
    assert_broken(pop(0));
}

Test(virtq_indirect, is_refused_when_not_negotiated, .init = set_up)
{
    point_to_table(0, 1);
    assert_broken(pop(0));
}

Test(virtq_indirect, is_refused_inside_a_table, .init = set_up_indirect)
{
    point_to_table(0, 1);
    table[0] = (struct vring_desc){TABLE, 16, VRING_DESC_F_INDIRECT, 0};
    assert_broken(pop(0));
}

/* Found by fuzz_virtq: the table looked like the queue's own, for ever. */
Test(virtq_indirect, is_refused_inside_a_table_that_is_the_queue_s_own,
     .init = set_up_indirect, .timeout = 10)
{
    desc[0] = (struct vring_desc){DESC, 16 * SIZE, VRING_DESC_F_INDIRECT, 0};
    assert_broken(pop(0));
}

Test(virtq_indirect, is_refused_with_a_next_descriptor, .init = set_up_indirect)
{
    point_to_table(0, 1);
    desc[0].flags |= NEXT;
    assert_broken(pop(0));
}

Test(virtq_indirect, refuses_an_empty_table, .init = set_up_indirect)
{
    point_to_table(0, 0);
    assert_broken(pop(0));
}

Test(virtq_indirect, refuses_a_length_that_is_no_multiple_of_16,
     .init = set_up_indirect)
{
    point_to_table(0, 1);
    desc[0].len = 17;
    assert_broken(pop(0));
}

Test(virtq_indirect, refuses_a_table_outside_memory, .init = set_up_indirect)
{
    desc[0] = (struct vring_desc){RAM_BASE + RAM_BYTES - 16, 32,
                                  VRING_DESC_F_INDIRECT, 0};
    assert_broken(pop(0));
}

Test(virtq_indirect, takes_the_last_index_of_a_table, .init = set_up_indirect)
{
    point_to_table(0, 2);
    table[0] = (struct vring_desc){DATA, 1, NEXT, 1};
    table[1] = (struct vring_desc){DATA, 1, 0, 0};
    cr_assert_eq(pop(0), 1);
}

Test(virtq_indirect, refuses_an_index_past_a_table, .init = set_up_indirect)
{
    point_to_table(0, 2);
    table[0] = (struct vring_desc){DATA, 1, NEXT, 2};
    assert_broken(pop(0));
}

static void fill_table(uint16_t entries)
{
    point_to_table(0, entries);
    for (uint16_t i = 0; i < entries; i++)
        table[i] = (struct vring_desc){DATA, 1, NEXT, i + 1};
    table[entries - 1].flags = 0;
}

Test(virtq_indirect, takes_as_many_buffers_as_the_queue_has_entries,
     .init = set_up_indirect)
{
    fill_table(SIZE);
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_count, SIZE);
}

Test(virtq_indirect, refuses_more_buffers_than_the_queue_has_entries,
     .init = set_up_indirect)
{
    static struct iovec many[SIZE + 1];

    fill_table(SIZE + 1);
    chain.iov = many;
    chain.iov_max = SIZE + 1;
    assert_broken(pop(0));
}

Test(virtq_indirect, reads_an_unaligned_table, .init = set_up_indirect)
{
    struct vring_desc entry = {DATA, 6, 0, 0};

    desc[0] = (struct vring_desc){TABLE + 3, 16, VRING_DESC_F_INDIRECT, 0};
    memcpy((uint8_t *)table + 3, &entry, sizeof(entry));
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(chain.readable_bytes, 6);
}

/* ---- Hostile drivers ------------------------------------------------- */

static unsigned lines;

static void count_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    lines++;
}

Test(virtq_broken, says_so_a_few_times_and_then_no_more)
{
    start(SIZE, 0);
    log_set_sink(count_line);
    for (unsigned i = 0; i < 1000; i++) {
        struct virtq_layout layout = {gpa(DESC), gpa(AVAIL), gpa(USED), SIZE};

        virtq_reset(&q);
        cr_assert_eq(virtq_enable(&q, &mem, &layout, 0), 0);
        avail->idx = SIZE + 1;
        cr_assert_eq(virtq_pop(&q, &chain), -EBADMSG);
    }
    cr_assert_leq(lines, LOG_LIMIT_BURST + 1);
    cr_assert_geq(lines, 1);
}

Test(virtq_broken, lives_again_after_a_reset, .init = set_up)
{
    struct virtq_layout layout = {gpa(DESC), gpa(AVAIL), gpa(USED), SIZE};

    assert_broken(pop(SIZE));
    virtq_reset(&q);
    avail->idx = 0;
    cr_assert_eq(virtq_enable(&q, &mem, &layout, 0), 0);
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    cr_assert_eq(pop(0), 1);
}
