/* SPDX-License-Identifier: MIT */
/* A device behind virtio-mmio registers, and its driver's first steps. */
#ifndef TESTS_UNIT_MMIO_DRIVER_H
#define TESTS_UNIT_MMIO_DRIVER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "virtio/mmio.h"

#define BASE  UINT64_C(0x10000)
#define DESC  BASE
#define AVAIL (BASE + 0x1000)
#define USED  (BASE + 0x2000)
#define DATA  (BASE + 0x3000)
#define EVENT (BASE + 0x3ff8)
#define SIZE  8u
#define TYPE  42u

#define REG(name)    VIRTIO_MMIO_##name
#define STATUS(name) VIRTIO_CONFIG_S_##name
#define VERSION_1    (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define FEATURES     (UINT64_C(0x12) | UINT64_C(1) << 50) /* of the device */

#define INTERRUPT_QUEUE  1u
#define INTERRUPT_CONFIG 2u

static _Alignas(4096) uint8_t ram[0x4000];
static struct gmem mem;
static struct event_word events;
static struct vdev dev;
static struct mmio mmio;
static uint8_t config[8];
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;
static unsigned resets, config_writes, lines;

/* The device takes a chain at one serve and gives it back at the next. */
static uint16_t in_flight;
static bool has_chain;

static inline int serve_slowly(struct vdev *served)
{
    struct virtq *q = &served->queues[0];
    struct iovec iov[SIZE];
    struct virtq_chain chain = {.iov = iov, .iov_max = SIZE};

    if (has_chain) {
        virtq_push(q, in_flight, 1);
        vdev_publish(served, 0);
        has_chain = false;
        return 0;
    }
    int found = virtq_pop(q, &chain);
    if (found < 0)
        return found;
    has_chain = found > 0;
    in_flight = chain.head;
    return 0;
}

static inline void forget_chain(struct vdev *reset)
{
    (void)reset;
    resets++;
    has_chain = false;
}

static inline void store_config(struct vdev *written, uint64_t offset,
                                const void *from, size_t bytes)
{
    (void)written;
    config_writes++;
    memcpy(config + offset, from, bytes);
}

static const struct vdev_class class = {
    .name = "test",
    .type = TYPE,
    .queue_count = 2,
    .config_bytes = sizeof(config),
    .serve = serve_slowly,
    .reset = forget_chain,
    .write_config = store_config,
};

static inline void count_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    lines++;
}

static inline void set_up(void)
{
    log_set_sink(count_line);
    mem = (struct gmem){.regions = {{BASE, sizeof(ram), ram}}, .count = 1};
    desc = (struct vring_desc *)(ram + (DESC - BASE));
    avail = (struct vring_avail *)(ram + (AVAIL - BASE));
    used = (struct vring_used *)(ram + (USED - BASE));
    memcpy(config, "\1\2\3\4\5\6\7\x08", sizeof(config));
    cr_assert_eq(event_init(&events, &mem, gpa(EVENT)), 0);
    dev.queue_size_max[0] = SIZE;
    dev.queue_size_max[1] = 2 * SIZE;
    vdev_init(&dev, &class, FEATURES, config);
    vdev_bind(&dev, &mem, &events, 5, &mmio_transport);
    mmio_init(&mmio, &dev);
}

/* ---- Accesses ----------------------------------------------------------- */

static inline uint32_t get(uint64_t offset)
{
    uint32_t value = 0xdeadbeef;

    mmio_read(&mmio, offset, &value, sizeof(value));
    return value;
}

static inline unsigned set(uint64_t offset, uint32_t value)
{
    return mmio_write(&mmio, offset, &value, sizeof(value));
}

/* Writes where no effect is expected that the caller sees to. */
static inline void put(uint64_t offset, uint32_t value)
{
    cr_assert_eq(set(offset, value), 0);
}

static inline void put_status(uint32_t value)
{
    cr_assert_eq(set(REG(STATUS), value), MMIO_STATUS);
}

/* ---- A driver's steps (3.1.1) ------------------------------------------- */

static inline void accept_features(uint64_t features)
{
    for (uint32_t word = 0; word < 2; word++) {
        put(REG(DRIVER_FEATURES_SEL), word);
        put(REG(DRIVER_FEATURES), (uint32_t)(features >> 32 * word));
    }
}

static inline void agree(void)
{
    put_status(STATUS(ACKNOWLEDGE));
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER));
    accept_features(VERSION_1);
    put_status(STATUS(ACKNOWLEDGE) | STATUS(DRIVER) | STATUS(FEATURES_OK));
    cr_assert(get(REG(STATUS)) & STATUS(FEATURES_OK));
}

static inline void describe_queue(uint32_t index, uint32_t size)
{
    put(REG(QUEUE_SEL), index);
    put(REG(QUEUE_NUM), size);
    put(REG(QUEUE_DESC_LOW), (uint32_t)DESC);
    put(REG(QUEUE_DESC_HIGH), 0);
    put(REG(QUEUE_AVAIL_LOW), (uint32_t)AVAIL);
    put(REG(QUEUE_AVAIL_HIGH), 0);
    put(REG(QUEUE_USED_LOW), (uint32_t)USED);
    put(REG(QUEUE_USED_HIGH), 0);
}

/* Returns what the driver reads back. */
static inline uint32_t make_ready(void)
{
    put(REG(QUEUE_READY), 1);
    return get(REG(QUEUE_READY));
}

static inline void go_live(void)
{
    agree();
    describe_queue(0, SIZE);
    cr_assert_eq(make_ready(), 1);
    put_status(get(REG(STATUS)) | STATUS(DRIVER_OK));
    cr_assert(vdev_is_live(&dev));
}

/* Makes one chain of one writable buffer available and serves it once. */
static inline void begin_request(void)
{
    desc[0] = (struct vring_desc){DATA, 16, VRING_DESC_F_WRITE, 0};
    avail->ring[avail->idx % SIZE] = 0;
    avail->idx++;
    cr_assert_eq(set(REG(QUEUE_NOTIFY), 0), MMIO_KICKED);
    cr_assert_eq(vdev_serve(&dev), 0);
}

#endif
