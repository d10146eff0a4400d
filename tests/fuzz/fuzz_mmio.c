/* SPDX-License-Identifier: MIT */
/* Fuzzes virtio-mmio: drivers of every mood before every device. */

/*
 * A script of register accesses of all widths, of guest memory that changes
 * between them, and of serves. Some of it brings the device up as a driver
 * should, so that scripts get that far. After each step the device has to be in
 * a state that the standard knows. The devices are the real ones, with small
 * host files behind them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/script.h"
#include "vmm/base/log.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/net.h"
#include "virtio/rng.h"

#define RAM_BASE   UINT64_C(0x10000)
#define RAM_BYTES  0x8000u
#define EVENTS     0x0000u
#define RINGS      0x1000u /* the honest driver's, one queue after the other */
#define RING_BYTES 0x1000u
#define QUEUE_SIZE 16u
#define BUFFERS    0x6000u
#define DISK_BYTES 0x4000u
#define STEPS_MAX  256u
#define CANARY     0x5a

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct event_word events;
static struct mmio mmio;
static struct vdev *dev;

/* ---- The devices: a row each --------------------------------------------- */

static struct console console;
static struct blk blk;
static struct rng rng;
static struct balloon balloon;
static struct net net;

static struct vdev *start_console(void)
{
    static int in = -1, out = -1;

    if (in < 0) {
        in = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    memset(&console, 0, sizeof(console));
    console_init(&console, in, out, CONSOLE_OUT_CHAINS);
    return &console.dev;
}

static struct vdev *start_blk(void)
{
    static struct blk_options options = {.fd = -1, .id = "fuzz"};

    if (options.fd < 0) {
        options.fd = memfd_create("fuzz_mmio", MFD_CLOEXEC);
        bug_on(options.fd < 0 || ftruncate(options.fd, DISK_BYTES));
    }
    memset(&blk, 0, sizeof(blk));
    bug_on(blk_init(&blk, &options));
    return &blk.dev;
}

static struct vdev *start_rng(void)
{
    rng_init(&rng);
    return &rng.dev;
}

static struct vdev *start_balloon(void)
{
    memset(&balloon, 0, sizeof(balloon));
    balloon_init(&balloon);
    return &balloon.dev;
}

/* A link that takes everything and has nothing. */
static ssize_t receive_nothing(struct net_backend *backend, net_header *header,
                               struct iovec *iov, unsigned count)
{
    (void)backend, (void)header, (void)iov, (void)count;
    return -EAGAIN;
}

static int send_nowhere(struct net_backend *backend, const net_header *header,
                        struct iovec *iov, unsigned count, size_t bytes)
{
    (void)backend, (void)header, (void)iov, (void)count, (void)bytes;
    return 0;
}

static struct vdev *start_net(void)
{
    static const struct net_backend_ops ops = {
        .receive = receive_nothing,
        .send = send_nowhere,
    };
    static struct net_backend backend = {.ops = &ops, .fd = -1};
    const struct net_options options = {.backend = &backend, .mac = {2}};

    memset(&net, 0, sizeof(net));
    bug_on(net_init(&net, &options));
    return &net.dev;
}

static struct vdev *(*const starts[])(void) = {
    start_console, start_blk, start_rng, start_balloon, start_net,
};

/* ---- What has to hold ---------------------------------------------------- */

static uint32_t get(uint64_t offset)
{
    uint32_t value;

    mmio_read(&mmio, offset, &value, sizeof(value));
    return value;
}

static bool is_inside(const void *area, size_t bytes)
{
    const uint8_t *start = area;

    return start >= ram && start <= ram + RAM_BYTES &&
           bytes <= (size_t)(ram + RAM_BYTES - start);
}

static void check_queue(unsigned index)
{
    const struct virtq *q = &dev->queues[index];

    if (!q->enabled)
        return;
    bug_on(!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK));
    bug_on(!is_power_of_2(q->size) || q->size > dev->queue_size_max[index]);
    bug_on(!is_inside(q->desc, virtq_desc_bytes(q->size)));
    bug_on(!is_inside(q->avail, virtq_avail_bytes(q->size)));
    bug_on(!is_inside(q->used, virtq_used_bytes(q->size)));
}

static void check_state(void)
{
    bool agreed = dev->status & VIRTIO_CONFIG_S_FEATURES_OK;

    bug_on((dev->status & VIRTIO_CONFIG_S_DRIVER_OK) && !agreed);
    if (agreed) {
        bug_on(dev->features & ~dev->offered);
        bug_on(!(dev->features >> VIRTIO_F_VERSION_1 & 1));
    }
    bug_on(dev->interrupts &
           ~(uint32_t)(VDEV_INTERRUPT_QUEUE | VDEV_INTERRUPT_CONFIG));
    bug_on(get(VIRTIO_MMIO_STATUS) != dev->status);
    bug_on(get(VIRTIO_MMIO_INTERRUPT_STATUS) != dev->interrupts);
    for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++) {
        if (i < dev->class->queue_count)
            check_queue(i);
        else
            bug_on(dev->queues[i].enabled);
    }
}

static void check_reset(void)
{
    bug_on(dev->status || dev->features || dev->interrupts);
    for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
        bug_on(dev->queues[i].enabled);
    for (unsigned i = 0; i < sizeof(mmio.driver); i++)
        bug_on(((const uint8_t *)&mmio.driver)[i]);
}

/* ---- Steps --------------------------------------------------------------- */

static void serve(void)
{
    uint64_t before = vdev_progress(dev);
    bool live = vdev_is_live(dev);

    for (unsigned i = 0; i < 16 && vdev_serve(dev) == -EINTR; i++)
        continue;
    bug_on(!live && vdev_progress(dev) != before);
}

/* Writes, follows what comes of it, and holds it against the device before. */
static void write_register(uint64_t offset, const void *data, unsigned bytes)
{
    struct vdev before = *dev;
    unsigned effect = mmio_write(&mmio, offset, data, bytes);
    uint32_t value;

    bug_on(effect & ~(unsigned)(MMIO_KICKED | MMIO_STATUS));
    bug_on((effect != 0) &&
           (bytes != 4 || (offset != VIRTIO_MMIO_STATUS &&
                           offset != VIRTIO_MMIO_QUEUE_NOTIFY)));
    memcpy(&value, data, bytes < 4 ? bytes : 4);
    bool refused = mmio.driver.unknown_features &&
                   !(before.status & VIRTIO_CONFIG_S_FEATURES_OK);
    bug_on(refused && (dev->status & VIRTIO_CONFIG_S_FEATURES_OK));
    if (effect & MMIO_STATUS) {
        if (value == 0)
            check_reset();
        else /* no bit goes away */
            bug_on(before.status & ~dev->status);
        bug_on((dev->status & ~before.status) & VIRTIO_CONFIG_S_NEEDS_RESET);
    } else if (before.status & VIRTIO_CONFIG_S_FEATURES_OK) {
        bug_on(dev->features != before.features);
    }
    if (effect)
        serve();
}

static void put(uint64_t offset, uint32_t value)
{
    write_register(offset, &value, sizeof(value));
}

static void read_register(uint64_t offset, unsigned bytes)
{
    uint8_t data[24];

    bug_on(!mmio_needs_lock(offset) && (offset < VIRTIO_MMIO_QUEUE_NOTIFY ||
                                        offset > VIRTIO_MMIO_INTERRUPT_ACK));
    memset(data, CANARY, sizeof(data));
    mmio_read(&mmio, offset, data + 8, bytes);
    for (unsigned i = 0; i < sizeof(data); i++)
        bug_on((i < 8 || i >= 8 + bytes) && data[i] != CANARY);
}

static uint64_t any_offset(struct script *script)
{
    switch (script_below(script, 8)) {
    case 0:
        return script_number(script, 8);
    case 1:
        return script_number(script, 2) % MF_REGISTERS_BYTES;
    case 2:
        return VIRTIO_MMIO_CONFIG + script_number(script, 1);
    default:
        return script_below(script, 64) * 4u;
    }
}

static void access_anything(struct script *script, bool is_write)
{
    uint64_t offset = any_offset(script);
    unsigned bytes = script_below(script, 4) ? 4 : 1 + script_below(script, 8);
    uint64_t data = is_write ? script_number(script, 8) : 0;

    if (is_write)
        write_register(offset, &data, bytes);
    else
        read_register(offset, bytes);
}

/* Addresses that are often good and sometimes just past an edge. */
static void describe_queue(struct script *script)
{
    uint32_t index = script_below(script, 8);
    uint64_t at = RAM_BASE + RINGS + index * RING_BYTES;
    const uint64_t areas[] = {at, at + 0x400, at + 0x800};

    put(VIRTIO_MMIO_QUEUE_SEL, index);
    put(VIRTIO_MMIO_QUEUE_NUM, script_below(script, 4)
                                   ? 1u << script_below(script, 5)
                                   : (uint32_t)script_number(script, 4));
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        uint64_t address = areas[i];

        if (script_below(script, 8) == 0)
            address += (uint64_t)((int64_t)script_number(script, 3) - 0x800000);
        put(VIRTIO_MMIO_QUEUE_DESC_LOW + 0x10 * i, (uint32_t)address);
        put(VIRTIO_MMIO_QUEUE_DESC_HIGH + 0x10 * i, (uint32_t)(address >> 32));
    }
    put(VIRTIO_MMIO_QUEUE_READY, 1);
    if (index < dev->class->queue_count && dev->queues[index].enabled)
        bug_on(get(VIRTIO_MMIO_QUEUE_READY) != 1);
}

static void accept_features(uint64_t features)
{
    for (uint32_t word = 0; word < 2; word++) {
        put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
        put(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * word));
    }
}

/* Everything that a driver should do, with features left out. */
static void bring_up(struct script *script)
{
    uint64_t less = script_below(script, 2) ? script_number(script, 8) : 0;
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

    put(VIRTIO_MMIO_STATUS, 0);
    put(VIRTIO_MMIO_STATUS, status);
    accept_features((dev->offered & ~less) | UINT64_C(1) << VIRTIO_F_VERSION_1);
    status |= VIRTIO_CONFIG_S_FEATURES_OK;
    put(VIRTIO_MMIO_STATUS, status);
    if (get(VIRTIO_MMIO_STATUS) != status) {
        /* What is left of the features makes no sense together. */
        bug_on(!dev->class->accepts || less == 0);
        return;
    }
    for (unsigned i = 0; i < dev->class->queue_count; i++) {
        uint64_t at = RAM_BASE + RINGS + i * RING_BYTES;
        uint32_t size = dev->queue_size_max[i];

        put(VIRTIO_MMIO_QUEUE_SEL, i);
        bug_on(get(VIRTIO_MMIO_QUEUE_NUM_MAX) != size);
        if (size == 0)
            continue; /* a number without a queue */
        put(VIRTIO_MMIO_QUEUE_NUM, (uint32_t)min_u64(size, QUEUE_SIZE));
        for (unsigned area = 0; area < 3; area++) {
            put(VIRTIO_MMIO_QUEUE_DESC_LOW + 0x10 * area,
                (uint32_t)at + 0x400 * area);
            put(VIRTIO_MMIO_QUEUE_DESC_HIGH + 0x10 * area, 0);
        }
        put(VIRTIO_MMIO_QUEUE_READY, 1);
        bug_on(get(VIRTIO_MMIO_QUEUE_READY) != 1);
    }
    put(VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* One chain of up to 4 buffers in the honest driver's rings. */
static void post_chain(struct script *script)
{
    unsigned index = script_below(script, dev->class->queue_count);
    uint32_t rings = RINGS + index * RING_BYTES;
    struct vring_desc *desc = (struct vring_desc *)(ram + rings);
    struct vring_avail *avail = (struct vring_avail *)(ram + rings + 0x400);
    uint16_t head = (uint16_t)(script_below(script, QUEUE_SIZE / 4) * 4);

    for (unsigned i = 0, count = 1 + script_below(script, 4); i < count; i++)
        desc[head + i] = (struct vring_desc){
            .addr = RAM_BASE + BUFFERS + script_number(script, 1) * 16,
            .len = (uint32_t)script_number(script, 1) * 8,
            .flags =
                (uint16_t)((i + 1 < count ? VRING_DESC_F_NEXT : 0) |
                           (script_below(script, 2) ? VRING_DESC_F_WRITE : 0)),
            .next = (uint16_t)(head + i + 1),
        };
    avail->ring[avail->idx % QUEUE_SIZE] = head;
    avail->idx++;
    put(VIRTIO_MMIO_QUEUE_NOTIFY, index);
}

static void mutate_memory(struct script *script)
{
    uint32_t at = (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);
    uint64_t value = script_number(script, 8);

    memcpy(ram + at, &value, sizeof(value));
}

static void step(struct script *script)
{
    struct pollfd file;

    switch (script_below(script, 13)) {
    case 0:
        bring_up(script);
        break;
    case 1:
        describe_queue(script);
        break;
    case 2:
        mutate_memory(script);
        break;
    case 3:
        vdev_config_changed(dev);
        break;
    case 4:
        vdev_want(dev, &file);
        if (file.fd >= 0 && vdev_ready(dev) == -EINTR)
            serve();
        break;
    case 5:
        vdev_poll(dev, script_below(script, 2));
        serve();
        break;
    case 6:
        put(VIRTIO_MMIO_STATUS, script_below(script, 256));
        break;
    case 12:
        put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, script_below(script, 4));
        put(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)script_number(script, 4));
        break;
    case 7:
    case 8:
        post_chain(script);
        break;
    case 9:
        access_anything(script, false);
        break;
    default:
        access_anything(script, true);
        break;
    }
}

static void ignore_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};

    log_set_sink(ignore_line);
    memset(ram, 0, sizeof(ram));
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    dev = starts[script_below(&script, ARRAY_SIZE(starts))]();
    vdev_bind(dev, &mem, &events, 3, &mmio_transport);
    mmio_init(&mmio, dev);
    for (unsigned i = 0; i < STEPS_MAX && script.left > 0; i++) {
        uint32_t generation = dev->generation;

        step(&script);
        check_state();
        bug_on(dev->generation - generation > 1);
    }
    return 0;
}
