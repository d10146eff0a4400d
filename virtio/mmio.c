/* SPDX-License-Identifier: MIT */
/* The virtio-mmio transport, version 2: one device's registers. */
#include "virtio/mmio.h"

#include <linux/virtio_mmio.h>
#include <string.h>

#define MAGIC   UINT32_C(0x74726976) /* the bytes "virt" */
#define VERSION 2u
#define ABSENT  UINT32_MAX /* both halves of -1: no such shared memory */

/* Control registers are as wide as this, and lie as far apart. */
#define REGISTER_BYTES 4u

static void ignore_change(struct vdev *dev)
{
    (void)dev;
}

const struct vdev_transport mmio_transport = {.changed = ignore_change};

void mmio_init(struct mmio *mmio, struct vdev *dev)
{
    *mmio = (struct mmio){.dev = dev};
}

/* ---- Identity ------------------------------------------------------------ */

static uint32_t read_constant(const struct mmio *mmio, uint32_t value)
{
    (void)mmio;
    return value;
}

static uint32_t read_type(const struct mmio *mmio, uint32_t unused)
{
    (void)unused;
    return mmio->dev ? mmio->dev->class->type : 0;
}

/* ---- Features ------------------------------------------------------------ */

static unsigned write_select(struct mmio *mmio, uint32_t which, uint32_t value)
{
    mmio->driver.select[which] = value;
    return 0;
}

static uint32_t read_features(const struct mmio *mmio, uint32_t unused)
{
    uint32_t word = mmio->driver.select[MMIO_SELECT_DEVICE_FEATURES];

    (void)unused;
    return word < 2 ? (uint32_t)(mmio->dev->offered >> 32 * word) : 0;
}

static unsigned write_features(struct mmio *mmio, uint32_t unused,
                               uint32_t value)
{
    uint32_t word = mmio->driver.select[MMIO_SELECT_DRIVER_FEATURES];
    struct vdev *dev = mmio->dev;

    (void)unused;
    if (word < 2) {
        uint64_t others = dev->features & ~((uint64_t)UINT32_MAX << 32 * word);

        vdev_set_features(dev, others | (uint64_t)value << 32 * word);
    } else if (value != 0) {
        mmio->driver.unknown_features = true;
    }
    return 0;
}

/* ---- Queues -------------------------------------------------------------- */

/* Whether there is a queue with the number in QueueSel; stores the number. */
static bool is_queue_there(const struct mmio *mmio, uint32_t *index)
{
    *index = mmio->driver.select[MMIO_SELECT_QUEUE];
    return *index < mmio->dev->class->queue_count;
}

static uint32_t read_queue_size_max(const struct mmio *mmio, uint32_t unused)
{
    uint32_t index;

    (void)unused;
    return is_queue_there(mmio, &index) ? mmio->dev->queue_size_max[index] : 0;
}

static unsigned write_queue(struct mmio *mmio, uint32_t word, uint32_t value)
{
    uint32_t index;

    if (is_queue_there(mmio, &index) && !mmio->dev->queues[index].enabled)
        mmio->driver.queues[index][word] = value;
    return 0;
}

static uint32_t read_ready(const struct mmio *mmio, uint32_t unused)
{
    uint32_t index;

    (void)unused;
    return is_queue_there(mmio, &index) && mmio->dev->queues[index].enabled;
}

static gpa_t area_address(const uint32_t words[2])
{
    return gpa(words[0] | (uint64_t)words[1] << 32);
}

static void enable_queue(struct mmio *mmio, uint32_t index)
{
    const uint32_t *words = mmio->driver.queues[index];
    const struct virtq_layout layout = {
        .desc = area_address(words + MMIO_QUEUE_DESC),
        .avail = area_address(words + MMIO_QUEUE_AVAIL),
        .used = area_address(words + MMIO_QUEUE_USED),
        .size = words[MMIO_QUEUE_SIZE],
    };
    int error = vdev_enable_queue(mmio->dev, index, &layout);

    if (error)
        log_guest(&mmio->limit, "%s: queue %u of %u entries not enabled: %s",
                  mmio->dev->class->name, index, layout.size, strerror(-error));
}

static unsigned write_ready(struct mmio *mmio, uint32_t unused, uint32_t value)
{
    uint32_t index;

    (void)unused;
    if (!is_queue_there(mmio, &index) || value > 1 ||
        value == mmio->dev->queues[index].enabled)
        return 0;
    if (value)
        enable_queue(mmio, index);
    else
        vdev_disable_queue(mmio->dev, index);
    return 0;
}

/* Without the lock: what it looks at never changes. */
static unsigned write_notify(struct mmio *mmio, uint32_t unused, uint32_t value)
{
    (void)unused;
    return value < mmio->dev->class->queue_count ? MMIO_KICKED : 0;
}

/* ---- Interrupts, without the lock ------------------------------------ */

static uint32_t read_interrupts(const struct mmio *mmio, uint32_t unused)
{
    (void)unused;
    /* Partner: the release in the device's interrupt(). */
    return __atomic_load_n(&mmio->dev->interrupts, __ATOMIC_ACQUIRE);
}

static unsigned write_acknowledge(struct mmio *mmio, uint32_t unused,
                                  uint32_t value)
{
    (void)unused;
    __atomic_fetch_and(&mmio->dev->interrupts, ~value, __ATOMIC_ACQ_REL);
    return 0;
}

/* ---- Status and configuration -------------------------------------------- */

static uint32_t read_status(const struct mmio *mmio, uint32_t unused)
{
    (void)unused;
    return mmio->dev->status;
}

static unsigned write_status(struct mmio *mmio, uint32_t unused, uint32_t value)
{
    uint8_t bits = (uint8_t)value; /* the field has 8 bits (2.1) */

    (void)unused;
    if (mmio->driver.unknown_features)
        bits &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    if (value == 0) {
        mmio->driver = (struct mmio_driver){0};
        vdev_reset(mmio->dev);
    } else if (bits != 0) {
        vdev_set_status(mmio->dev, bits);
    }
    return MMIO_STATUS;
}

static uint32_t read_generation(const struct mmio *mmio, uint32_t unused)
{
    (void)unused;
    return mmio->dev->generation;
}

/* ---- The table (4.2.2) ----------------------------------------------- */

struct mmio_register {
    /* NULL: write-only. `argument` is the one in the table. */
    uint32_t (*read)(const struct mmio *mmio, uint32_t argument);
    /* NULL: read-only. Returns what mmio_write() does. */
    unsigned (*write)(struct mmio *mmio, uint32_t argument, uint32_t value);
    uint32_t argument;
    bool lock_free;
    bool identity; /* an empty place has it, too */
};

#define AT(name) [VIRTIO_MMIO_##name / REGISTER_BYTES]

static const struct mmio_register table[] = {
    AT(MAGIC_VALUE) = {read_constant, NULL, MAGIC, .identity = true},
    AT(VERSION) = {read_constant, NULL, VERSION, .identity = true},
    AT(DEVICE_ID) = {read_type, NULL, .identity = true},
    AT(VENDOR_ID) = {read_constant, NULL, MMIO_VENDOR, .identity = true},
    AT(DEVICE_FEATURES) = {read_features, NULL},
    AT(DEVICE_FEATURES_SEL) = {NULL, write_select, MMIO_SELECT_DEVICE_FEATURES},
    AT(DRIVER_FEATURES) = {NULL, write_features},
    AT(DRIVER_FEATURES_SEL) = {NULL, write_select, MMIO_SELECT_DRIVER_FEATURES},
    AT(QUEUE_SEL) = {NULL, write_select, MMIO_SELECT_QUEUE},
    AT(QUEUE_NUM_MAX) = {read_queue_size_max, NULL},
    AT(QUEUE_NUM) = {NULL, write_queue, MMIO_QUEUE_SIZE},
    AT(QUEUE_READY) = {read_ready, write_ready},
    AT(QUEUE_NOTIFY) = {NULL, write_notify, .lock_free = true},
    AT(INTERRUPT_STATUS) = {read_interrupts, NULL, .lock_free = true},
    AT(INTERRUPT_ACK) = {NULL, write_acknowledge, .lock_free = true},
    AT(STATUS) = {read_status, write_status},
    AT(QUEUE_DESC_LOW) = {NULL, write_queue, MMIO_QUEUE_DESC},
    AT(QUEUE_DESC_HIGH) = {NULL, write_queue, MMIO_QUEUE_DESC_HIGH},
    AT(QUEUE_AVAIL_LOW) = {NULL, write_queue, MMIO_QUEUE_AVAIL},
    AT(QUEUE_AVAIL_HIGH) = {NULL, write_queue, MMIO_QUEUE_AVAIL_HIGH},
    AT(QUEUE_USED_LOW) = {NULL, write_queue, MMIO_QUEUE_USED},
    AT(QUEUE_USED_HIGH) = {NULL, write_queue, MMIO_QUEUE_USED_HIGH},
    AT(SHM_LEN_LOW) = {read_constant, NULL, ABSENT},
    AT(SHM_LEN_HIGH) = {read_constant, NULL, ABSENT},
    AT(SHM_BASE_LOW) = {read_constant, NULL, ABSENT},
    AT(SHM_BASE_HIGH) = {read_constant, NULL, ABSENT},
    AT(CONFIG_GENERATION) = {read_generation, NULL},
};

_Static_assert(ARRAY_SIZE(table) <= VIRTIO_MMIO_CONFIG / REGISTER_BYTES,
               "the configuration space follows");

/* The row at `offset`, whatever the width; NULL if there is none. */
static const struct mmio_register *find_row(uint64_t offset)
{
    uint64_t index = offset / REGISTER_BYTES;

    if (offset % REGISTER_BYTES != 0 || index >= ARRAY_SIZE(table))
        return NULL;
    return &table[index];
}

/* The control register that an access is about; NULL: none, no effect. */
static const struct mmio_register *
find_register(const struct mmio *mmio, uint64_t offset, unsigned bytes)
{
    const struct mmio_register *row = find_row(offset);

    if (!row || bytes != REGISTER_BYTES || !(mmio->dev || row->identity))
        return NULL;
    return row;
}

/* ---- Accesses ------------------------------------------------------------ */

/* Whether this is a way to access the device's configuration space. */
static bool is_config(const struct mmio *mmio, uint64_t offset, unsigned bytes)
{
    return mmio->dev && offset >= VIRTIO_MMIO_CONFIG && bytes <= 8 &&
           is_power_of_2(bytes) && offset % bytes == 0;
}

bool mmio_needs_lock(uint64_t offset)
{
    const struct mmio_register *row = find_row(offset);

    return !row || !row->lock_free;
}

void mmio_read(struct mmio *mmio, uint64_t offset, void *data, unsigned bytes)
{
    const struct mmio_register *row = find_register(mmio, offset, bytes);

    memset(data, 0, bytes);
    if (is_config(mmio, offset, bytes)) {
        vdev_read_config(mmio->dev, offset - VIRTIO_MMIO_CONFIG, data, bytes);
    } else if (row && row->read) {
        uint32_t value = row->read(mmio, row->argument);

        memcpy(data, &value, sizeof(value));
    }
}

unsigned mmio_write(struct mmio *mmio, uint64_t offset, const void *data,
                    unsigned bytes)
{
    const struct mmio_register *row = find_register(mmio, offset, bytes);
    uint32_t value;

    if (is_config(mmio, offset, bytes)) {
        vdev_write_config(mmio->dev, offset - VIRTIO_MMIO_CONFIG, data, bytes);
        return 0;
    }
    if (!row || !row->write)
        return 0;
    memcpy(&value, data, sizeof(value));
    return row->write(mmio, row->argument, value);
}
