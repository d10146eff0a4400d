/* SPDX-License-Identifier: MIT */
/* The guest's driver of virtio-mmio against the monitor's registers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_rt/console.h"
#include "guest_rt/device.h"
#include "guest_rt/mmio.h"
#include "tests/ring/vm.h"
#include "virtio/mmio.h"
#include "virtio/rng.h"

/* ---- Registers without KVM ------------------------------------------- */

static struct mmio registers[MF_DEVICES_MAX];
static unsigned accesses; /* exits they would be */
static unsigned widths;   /* set of the widths of reads, as bits */

/* When a test wants something to happen at a read of this register. */
static uint64_t hooked_offset;
static void (*hook)(void);

static struct mmio *decode(volatile const uint8_t *at, uint64_t *offset)
{
    uint64_t address = (uintptr_t)at - MF_REGISTERS;

    cr_assert_lt(address / MF_REGISTERS_BYTES, vm.native.set.count);
    *offset = address % MF_REGISTERS_BYTES;
    accesses++;
    return &registers[address / MF_REGISTERS_BYTES];
}

uint32_t mmio_get(volatile const uint8_t *at, size_t bytes)
{
    uint64_t offset;
    struct mmio *mmio = decode(at, &offset);
    uint32_t value = 0;

    mmio_read(mmio, offset, &value, (unsigned)bytes);
    if (offset >= VIRTIO_MMIO_CONFIG)
        widths |= 1u << bytes;
    if (hook && offset == hooked_offset) {
        void (*once)(void) = hook;

        hook = NULL;
        once();
    }
    return value;
}

void mmio_put(volatile uint8_t *at, uint32_t value)
{
    uint64_t offset;
    struct mmio *mmio = decode(at, &offset);

    if (mmio_write(mmio, offset, &value, sizeof(value)))
        cr_assert_eq(vdev_serve(mmio->dev), 0);
}

static void add_device(struct vdev *dev, uint32_t flags)
{
    unsigned index = vm.native.set.count;

    cr_assert_eq(native_add_registers(&vm.native, dev, flags,
                                      MF_REGISTERS + index * MF_REGISTERS_BYTES,
                                      &mmio_transport),
                 0);
    mmio_init(&registers[index], dev);
}

/* ---- Opening --------------------------------------------------------- */

static struct rng rng;
static struct device device;
static struct ring ring;

static void set_up(void)
{
    vm_init();
    rng_init(&rng);
    add_device(&rng.dev, 0);
}

static int open_rng(void)
{
    return device_open(&device, VIRTIO_ID_RNG, 0, 0, &ring, 1);
}

/* Asks for 16 bytes and waits for them. Returns how many came. */
static uint32_t ask_for_bytes(void)
{
    struct iovec piece = {VM_BUFFER, 16};
    uint32_t written = 0;

    cr_assert_geq(ring_add(&ring, &piece, 0, 1), 0);
    if (ring_publish(&ring))
        device_kick(&device, 0);
    cr_assert_eq(device_wait(&device, &ring), 0);
    cr_assert_geq(ring_reap(&ring, &written), 0);
    return written;
}

TestSuite(mmio_driver, .init = set_up);

Test(mmio_driver, brings_a_device_up_and_talks_to_it)
{
    cr_assert_eq(open_rng(), 0);
    cr_assert_eq(rng.dev.status,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_eq(ring.size, RNG_QUEUE_MAX);
    for (unsigned i = 0; i < 3 * RNG_QUEUE_MAX; i++)
        cr_assert_eq(ask_for_bytes(), 16);
    cr_assert_eq(vm.kicks, 0, "QueueNotify is no hypercall");
}

Test(mmio_driver, negotiates_what_is_offered_and_wanted_and_no_more)
{
    const uint64_t base = UINT64_C(1) << VIRTIO_F_VERSION_1 |
                          UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
    const uint64_t wanted = 1u << 3 | UINT64_C(1) << 40;

    rng.dev.offered |= 1u << 2 | 1u << 3;
    cr_assert_eq(device_open(&device, VIRTIO_ID_RNG, 0, wanted, &ring, 1), 0);
    cr_assert_eq(device.features, base | 1u << 3);
    cr_assert_eq(rng.dev.features, device.features);
    cr_assert(ring.event_idx);
}

Test(mmio_driver, does_without_event_idx)
{
    rng.dev.offered &= ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
    cr_assert_eq(open_rng(), 0);
    cr_assert_not(ring.event_idx);
    cr_assert_eq(ask_for_bytes(), 16);
}

Test(mmio_driver, gives_up_on_a_legacy_device)
{
    rng.dev.offered &= ~(UINT64_C(1) << VIRTIO_F_VERSION_1);
    cr_assert_eq(open_rng(), -EIO);
    cr_assert(rng.dev.status & VIRTIO_CONFIG_S_FAILED);
    cr_assert_not(rng.dev.status & VIRTIO_CONFIG_S_DRIVER_OK);
}

Test(mmio_driver, lays_out_queues_of_any_size_from_one_entry_on)
{
    for (uint32_t size = 1; size <= DEVICE_QUEUE_SIZE_MAX; size *= 2) {
        rng.dev.queue_size_max[0] = size;
        cr_assert_eq(open_rng(), 0);
        cr_assert_eq(ring.size, size);
        /* Behind both lies one more word: the event index (2.7.7, 2.7.10). */
        cr_assert_geq((uintptr_t)ring.avail, (uintptr_t)&ring.desc[size]);
        cr_assert_geq((uintptr_t)ring.used,
                      (uintptr_t)&ring.avail->ring[size + 1]);
        for (unsigned i = 0; i < 5; i++)
            cr_assert_eq(ask_for_bytes(), 16);
    }
}

Test(mmio_driver, asks_for_no_more_entries_than_it_has_a_use_for)
{
    rng.dev.queue_size_max[0] = DEVICE_QUEUE_SIZE_MAX;
    cr_assert_eq(open_rng(), 0);
    cr_assert_eq(ring.size, DEVICE_QUEUE_SIZE_MAX);
    rng.dev.queue_size_max[0] = 2 * DEVICE_QUEUE_SIZE_MAX;
    cr_assert_eq(open_rng(), 0);
    cr_assert_eq(ring.size, DEVICE_QUEUE_SIZE_MAX);
}

Test(mmio_driver, leaves_rings_alone_whose_queues_the_device_does_not_have)
{
    struct ring rings[2] = {{.reaped = 7}, {.reaped = 7}};

    cr_assert_eq(device_open(&device, VIRTIO_ID_RNG, 0, 0, rings, 2), 0);
    cr_assert_eq(rings[0].size, RNG_QUEUE_MAX);
    cr_assert_eq(rings[0].reaped, 0);
    cr_assert_eq(rings[1].size, 0);
    cr_assert_eq(rings[1].reaped, 7);
}

Test(mmio_driver, resets_a_device_that_was_in_use)
{
    cr_assert_eq(open_rng(), 0);
    cr_assert_eq(ask_for_bytes(), 16);
    cr_assert_eq(open_rng(), 0);
    cr_assert_eq(ask_for_bytes(), 16);
}

Test(mmio_driver, finds_devices_by_type_and_number)
{
    cr_assert_eq(device_count(VIRTIO_ID_RNG), 1);
    cr_assert_eq(device_count(VIRTIO_ID_BLOCK), 0);
    cr_assert_eq(device_open(&device, VIRTIO_ID_RNG, 1, 0, &ring, 1), -ENODEV);
    cr_assert_eq(device_open(&device, VIRTIO_ID_BLOCK, 0, 0, &ring, 1),
                 -ENODEV);
}

Test(mmio_driver, believes_the_registers_rather_than_the_table)
{
    ((struct mf_boot *)MF_BOOT_PAGE)->devices[0].type = VIRTIO_ID_BLOCK;
    cr_assert_eq(device_open(&device, VIRTIO_ID_BLOCK, 0, 0, &ring, 1),
                 -ENODEV);
}

Test(mmio_driver, sees_that_a_device_has_given_up)
{
    cr_assert_eq(open_rng(), 0);
    cr_assert_not(device_is_broken(&device));
    vdev_mark_needs_reset(&rng.dev);
    cr_assert(device_is_broken(&device));
    cr_assert_eq(device_wait(&device, &ring), -EIO);
}

/* ---- Configuration --------------------------------------------------- */

static struct blk disk;
static struct virtio_blk_config config;

static void set_up_disk(void)
{
    struct blk_options options = {.fd = memfd_create("disk", 0)};

    vm_init();
    cr_assert_eq(ftruncate(options.fd, 1 << 20), 0);
    cr_assert_eq(blk_init(&disk, &options), 0);
    memcpy(&config, disk.dev.config, sizeof(config));
    disk.dev.config = &config;
    add_device(&disk.dev, 0);
    cr_assert_eq(device_open(&device, VIRTIO_ID_BLOCK, 0, 0, &ring, 1), 0);
    widths = 0;
}

TestSuite(mmio_config, .init = set_up_disk);

Test(mmio_config, reads_each_field_by_its_own_width)
{
    uint64_t capacity = 0;
    uint16_t cylinders = 0;
    uint8_t heads = 0;

    config.geometry.cylinders = 0x1234;
    config.geometry.heads = 0x56;
    device_read_config(&device, offsetof(struct virtio_blk_config, capacity),
                       &capacity, sizeof(capacity));
    cr_assert_eq(capacity, (1 << 20) / 512);
    cr_assert_eq(widths, 1u << 4);
    device_read_config(&device,
                       offsetof(struct virtio_blk_config, geometry.cylinders),
                       &cylinders, sizeof(cylinders));
    cr_assert_eq(cylinders, 0x1234);
    cr_assert_eq(widths, 1u << 4 | 1u << 2);
    device_read_config(&device,
                       offsetof(struct virtio_blk_config, geometry.heads),
                       &heads, sizeof(heads));
    cr_assert_eq(heads, 0x56);
    cr_assert_eq(widths, 1u << 4 | 1u << 2 | 1u << 1);
}

Test(mmio_config, reads_an_array_by_bytes)
{
    uint8_t bytes[6];

    memcpy(&config, "abcdef", sizeof(bytes));
    device_read_config(&device, 0, bytes, sizeof(bytes));
    cr_assert_arr_eq(bytes, "abcdef", sizeof(bytes));
    cr_assert_eq(widths, 1u << 1);
}

static void grow(void)
{
    config.capacity = UINT64_C(0x700000007);
    vdev_config_changed(&disk.dev);
}

Test(mmio_config, reads_again_what_changes_between_two_halves)
{
    uint64_t capacity;

    config.capacity = UINT64_C(0x100000001);
    hooked_offset = VIRTIO_MMIO_CONFIG;
    hook = grow;
    device_read_config(&device, 0, &capacity, sizeof(capacity));
    cr_assert_eq(hook, NULL);
    cr_assert_eq(capacity, UINT64_C(0x700000007));
}

/* ---- The console ----------------------------------------------------- */

Test(mmio_console, prints_and_reads)
{
    struct iovec piece = {VM_BUFFER, 5};
    int in[2], out = memfd_create("out", 0);
    char text[16] = "";

    vm_init();
    cr_assert_eq(pipe(in), 0);
    console_init(&vm.out, in[0], out, CONSOLE_OUT_CHAINS);
    add_device(&vm.out.dev, vm.out.flags);
    memcpy(VM_BUFFER, "hello", 5);
    cr_assert_eq(console_writev(1, &piece, 1), 5);
    cr_assert_eq(console_writev(2, &piece, 1), -EBADF);
    cr_assert_eq(write(in[1], "input", 5), 5);
    cr_assert_eq(console_readv(&piece, 1), 5);
    cr_assert_eq(memcmp(VM_BUFFER, "input", 5), 0);
    cr_assert_eq(vdev_set_serve(&vm.native.set, VDEV_SET_ALL), 0);
    cr_assert_eq(pread(out, text, sizeof(text), 0), 5);
    cr_assert_str_eq(text, "hello");
}
