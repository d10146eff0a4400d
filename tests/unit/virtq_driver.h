/* SPDX-License-Identifier: MIT */
/* A hand-written driver for the virtqueue tests. */
#ifndef TESTS_UNIT_VIRTQ_DRIVER_H
#define TESTS_UNIT_VIRTQ_DRIVER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "virtio/virtq.h"

#define RAM_BASE  UINT64_C(0x10000)
#define RAM_BYTES UINT64_C(0x10000)
#define DESC      RAM_BASE
#define AVAIL     (RAM_BASE + 0x1000)
#define USED      (RAM_BASE + 0x2000)
#define TABLE     (RAM_BASE + 0x3000)
#define DATA      (RAM_BASE + 0x4000)
#define SIZE      8u
#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static struct gmem mem;
static struct virtq q;
static struct vring_desc *desc;
static struct vring_desc *table;
static struct vring_avail *avail;
static struct vring_used *used;
static struct iovec iov[SIZE];
static struct virtq_chain chain;

static inline void ignore_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
}

static inline void start(uint32_t size, uint64_t features)
{
    struct virtq_layout layout = {gpa(DESC), gpa(AVAIL), gpa(USED), size};

    log_set_sink(ignore_line);
    mem = (struct gmem){.regions = {{RAM_BASE, RAM_BYTES, ram}}, .count = 1};
    desc = (struct vring_desc *)(ram + (DESC - RAM_BASE));
    table = (struct vring_desc *)(ram + (TABLE - RAM_BASE));
    avail = (struct vring_avail *)(ram + (AVAIL - RAM_BASE));
    used = (struct vring_used *)(ram + (USED - RAM_BASE));
    chain = (struct virtq_chain){.iov = iov, .iov_max = SIZE};
    cr_assert_eq(virtq_enable(&q, &mem, &layout, features), 0);
}

static inline void set_up(void)
{
    start(SIZE, 0);
}

static inline void set_up_events(void)
{
    start(SIZE, EVENT_IDX);
}

static inline void set_up_indirect(void)
{
    start(SIZE, INDIRECT);
}

static inline void make_available(uint16_t head)
{
    avail->ring[avail->idx % q.size] = head;
    avail->idx++;
}

static inline int pop(uint16_t head)
{
    make_available(head);
    return virtq_pop(&q, &chain);
}

/* Sends `count` one-buffer chains through the queue. */
static inline void run_chains(unsigned count)
{
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(pop(0), 1);
        virtq_push(&q, 0, 0);
        cr_assert(virtq_publish(&q) || q.event_idx);
    }
}

#endif
