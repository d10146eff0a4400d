/* SPDX-License-Identifier: MIT */
/* The balloon between a hand-written driver and memory of the host. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "virtio/balloon.h"
#include "virtio/native.h"
#include "vmm/base/os.h"

#define PAGE       BALLOON_PAGE_BYTES
#define RAM_BASE   UINT64_C(0x100000)
#define RAM_BYTES  UINT64_C(0x800000)
#define HIGH_BASE  UINT64_C(0x40000000) /* a second region */
#define HIGH_BYTES UINT64_C(0x10000)
#define EVENTS     RAM_BASE
#define RINGS      (RAM_BASE + 0x1000) /* 4 pages for each queue */
#define NUMBERS    (RAM_BASE + 0x20000)
#define DATA       (RAM_BASE + 0x400000)
#define PAGES      64u /* of data */
#define FEATURE(n) (UINT64_C(1) << VIRTIO_BALLOON_F_##n)

static struct gmem mem;
static struct event_word events;
static struct balloon balloon;
static unsigned lines;

static void *at(uint64_t address)
{
    const struct gmem_region *region = &mem.regions[address >= HIGH_BASE];

    return region->host + (address - region->base);
}

static void count_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    lines++;
}

static uint8_t *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(memory, MAP_FAILED);
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
}

/* ---- The driver: descriptor n of each queue is in ring page 4 * queue ---- */

static struct vring_desc *desc(unsigned queue, unsigned n)
{
    return (struct vring_desc *)at(RINGS + queue * 4 * PAGE) + n;
}

static struct vring_avail *avail(unsigned queue)
{
    return at(RINGS + (queue * 4 + 1) * PAGE);
}

static struct vring_used *used(unsigned queue)
{
    return at(RINGS + (queue * 4 + 2) * PAGE);
}

static void bring_up(uint64_t features)
{
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&balloon.dev, features);
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    for (unsigned i = 0; i < BALLOON_QUEUES; i++) {
        uint64_t start = RINGS + i * 4 * PAGE;
        struct virtq_layout layout = {gpa(start), gpa(start + PAGE),
                                      gpa(start + 2 * PAGE),
                                      balloon.dev.queue_size_max[i]};

        memset(at(start), 0, 4 * PAGE);
        if (layout.size > 0)
            cr_assert_eq(vdev_enable_queue(&balloon.dev, i, &layout), 0);
    }
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
}

static void set_up(void)
{
    log_set_sink(count_line);
    mem = (struct gmem){
        .regions = {{RAM_BASE, RAM_BYTES, map(RAM_BYTES)},
                    {HIGH_BASE, HIGH_BYTES, map(HIGH_BYTES)}},
        .count = 2,
    };
    memset(at(DATA), 'd', PAGES * PAGE);
    memset(at(HIGH_BASE), 'd', HIGH_BYTES);
    cr_assert_eq(event_init(&events, &mem, gpa(EVENTS)), 0);
    balloon_init(&balloon);
    vdev_bind(&balloon.dev, &mem, &events, 2, NULL);
    bring_up(balloon.dev.offered);
}

/* Makes the chain that begins at descriptor 0 available. */
static void submit(unsigned queue)
{
    struct vring_avail *ring = avail(queue);

    ring->ring[ring->idx % balloon.dev.queues[queue].size] = 0;
    ring->idx++;
}

/* Serves the chain at descriptor 0. Returns its used length. */
static uint32_t serve_chain(unsigned queue)
{
    uint16_t before = used(queue)->idx;

    submit(queue);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
    cr_assert_eq(used(queue)->idx, (uint16_t)(before + 1));
    return used(queue)->ring[before % balloon.dev.queues[queue].size].len;
}

static void set_number(unsigned n, uint64_t address)
{
    ((uint32_t *)at(NUMBERS))[n] = (uint32_t)(address / PAGE);
}

/* Gives the pages of the first `count` numbers to `queue`. */
static void send_numbers(unsigned queue, unsigned count)
{
    *desc(queue, 0) = (struct vring_desc){NUMBERS, count * 4, 0, 0};
    cr_assert_eq(serve_chain(queue), 0);
}

static void report(uint64_t address, uint32_t bytes)
{
    *desc(BALLOON_REPORT, 0) =
        (struct vring_desc){address, bytes, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(serve_chain(BALLOON_REPORT), 0);
}

/* How many of `pages` pages at `address` the host has memory for. */
static unsigned resident(uint64_t address, unsigned pages)
{
    unsigned char map_of[4096];
    unsigned count = 0;

    cr_assert_leq(pages, sizeof(map_of));
    cr_assert_eq(mincore(at(address), pages * (size_t)PAGE, map_of), 0);
    for (unsigned i = 0; i < pages; i++)
        count += map_of[i] & 1;
    return count;
}

static void assert_kept(uint64_t address, size_t bytes)
{
    const uint8_t *data = at(address);

    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(data[i], 'd', "byte %zu", i);
}

/* ---- Setting up --------------------------------------------------------- */

Test(balloon, offers_reports_and_deflation_at_will, .init = set_up)
{
    cr_assert_eq(balloon.dev.offered & 0xffffff,
                 FEATURE(DEFLATE_ON_OOM) | FEATURE(REPORTING));
    cr_assert_eq(balloon.dev.class->type, 5);
    cr_assert_eq(balloon.dev.class->config_bytes, 8);
}

Test(balloon, has_queues_where_the_standard_and_Linux_look_for_them,
     .init = set_up)
{
    struct virtq_layout layout = {gpa(DATA), gpa(DATA + PAGE),
                                  gpa(DATA + 2 * PAGE), 1};

    cr_assert_eq(balloon.dev.queue_size_max[0], BALLOON_CHAINS);
    cr_assert_eq(balloon.dev.queue_size_max[1], BALLOON_CHAINS);
    cr_assert_eq(balloon.dev.queue_size_max[2], BALLOON_REPORT_MAX);
    cr_assert_eq(balloon.dev.queue_size_max[3], 0);
    cr_assert_eq(balloon.dev.queue_size_max[4], BALLOON_REPORT_MAX);
    vdev_set_status(&balloon.dev, 0);
    vdev_set_features(&balloon.dev, balloon.dev.offered);
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_eq(vdev_enable_queue(&balloon.dev, 3, &layout), -EINVAL);
}

Test(balloon, lives_behind_the_native_transport)
{
    static _Alignas(4096) uint8_t ram[0x200000];
    const struct gmem boot = {.regions = {{MF_BOOT_PAGE, sizeof(ram), ram}},
                              .count = 1};
    static struct native native;
    const struct mf_device *entry =
        &((struct mf_boot *)(void *)ram)->devices[0];
    const struct mf_queue *queues;

    cr_assert_eq(native_init(&native, &boot), 0);
    balloon_init(&balloon);
    cr_assert_eq(native_add(&native, &balloon.dev, 0), 0);
    cr_assert_eq(entry->queue_count, BALLOON_QUEUES);
    queues = (const void *)(ram + (entry->queues - MF_BOOT_PAGE));
    cr_assert_eq(queues[2].size, BALLOON_REPORT_MAX);
    cr_assert_eq(queues[3].size, 0);
    cr_assert_eq(queues[4].size, BALLOON_REPORT_MAX);
    cr_assert(vdev_is_live(&balloon.dev));
}

/* ---- Reports ------------------------------------------------------------ */

Test(balloon_report, gives_the_pages_back_to_the_host, .init = set_up)
{
    unsigned long calls = os_calls;

    cr_assert_eq(resident(DATA, PAGES), PAGES);
    report(DATA + PAGE, 8 * PAGE);
    cr_assert_eq(os_calls - calls, 1);
    cr_assert_eq(resident(DATA, PAGES), PAGES - 8);
    assert_kept(DATA, PAGE);
    assert_kept(DATA + 9 * PAGE, PAGE);
    cr_assert_eq(*(uint8_t *)at(DATA + PAGE), 0);
    cr_assert_eq(balloon.reports, 1);
    cr_assert_eq(balloon.reported_bytes, 8 * PAGE);
    cr_assert_eq(balloon.freed_bytes, 8 * PAGE);
    cr_assert_eq(balloon.refused_pages, 0);
}

Test(balloon_report, comes_by_the_queue_of_Linux_too, .init = set_up)
{
    *desc(BALLOON_REPORT_PACKED, 0) =
        (struct vring_desc){DATA, PAGE, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(serve_chain(BALLOON_REPORT_PACKED), 0);
    cr_assert_eq(resident(DATA, 2), 1);
}

Test(balloon_report, takes_whole_pages_only, .init = set_up)
{
    report(DATA + 1, 3 * PAGE - 2);
    assert_kept(DATA, PAGE);
    assert_kept(DATA + 2 * PAGE, PAGE);
    cr_assert_eq(resident(DATA, 3), 2);
    report(DATA + 4 * PAGE + 1, 2 * PAGE - 2);
    report(DATA + 4 * PAGE, PAGE - 1);
    report(DATA + 4 * PAGE + 1, PAGE - 1);
    report(DATA + 4 * PAGE + 8, 8);
    report(DATA + 4 * PAGE, 0);
    assert_kept(DATA + 4 * PAGE, 2 * PAGE);
    cr_assert_eq(balloon.freed_bytes, PAGE);
}

Test(balloon_report, takes_many_pieces, .init = set_up)
{
    for (unsigned i = 0; i < BALLOON_REPORT_MAX; i++)
        *desc(BALLOON_REPORT, i) = (struct vring_desc){
            DATA + 2 * i * PAGE,
            PAGE,
            VRING_DESC_F_WRITE |
                (i + 1 < BALLOON_REPORT_MAX ? VRING_DESC_F_NEXT : 0),
            (uint16_t)(i + 1),
        };
    cr_assert_eq(serve_chain(BALLOON_REPORT), 0);
    cr_assert_eq(resident(DATA, PAGES), PAGES - BALLOON_REPORT_MAX);
    assert_kept(DATA + PAGE, PAGE);
}

Test(balloon_report, leaves_a_readable_buffer_alone, .init = set_up)
{
    *desc(BALLOON_REPORT, 0) =
        (struct vring_desc){DATA, PAGE, VRING_DESC_F_NEXT, 1};
    *desc(BALLOON_REPORT, 1) =
        (struct vring_desc){DATA + PAGE, PAGE, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(serve_chain(BALLOON_REPORT), 0);
    assert_kept(DATA, PAGE);
    cr_assert_eq(resident(DATA, 2), 1);
}

Test(balloon_report, of_memory_that_is_not_there_needs_a_reset, .init = set_up)
{
    *desc(BALLOON_REPORT, 0) = (struct vring_desc){
        RAM_BASE + RAM_BYTES - PAGE, PAGE + 1, VRING_DESC_F_WRITE, 0};
    submit(BALLOON_REPORT);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
    cr_assert(balloon.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert_eq(balloon.freed_bytes, 0);
}

/* What the driver drops of its own, it loses; the monitor goes on. */
Test(balloon_report, of_the_rings_themselves_is_survived, .init = set_up)
{
    *desc(BALLOON_REPORT, 0) =
        (struct vring_desc){RAM_BASE, 0x20000, VRING_DESC_F_WRITE, 0};
    submit(BALLOON_REPORT);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
    cr_assert_eq(used(BALLOON_REPORT)->idx, 0);
    cr_assert(balloon.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET,
              "an available index that went back");
    vdev_set_status(&balloon.dev, 0);
    bring_up(balloon.dev.offered);
    report(DATA, PAGE);
    cr_assert_eq(resident(DATA, 2), 1);
}

Test(balloon_report, that_names_much_is_served_in_steps, .init = set_up)
{
    unsigned steps = 1;

    /* 32 x 8 MiB a chain, and the same 16 times: 4 GiB in name. */
    for (unsigned i = 0; i < BALLOON_REPORT_MAX; i++)
        *desc(BALLOON_REPORT, i) = (struct vring_desc){
            RAM_BASE + 0x100000,
            RAM_BYTES - 0x100000,
            VRING_DESC_F_WRITE |
                (i + 1 < BALLOON_REPORT_MAX ? VRING_DESC_F_NEXT : 0),
            (uint16_t)(i + 1),
        };
    for (unsigned i = 0; i < 16; i++)
        submit(BALLOON_REPORT);
    while (vdev_serve(&balloon.dev) == -EINTR)
        cr_assert_lt(steps++, 100);
    cr_assert_geq(steps, 14);
    cr_assert_eq(used(BALLOON_REPORT)->idx, 16);
    cr_assert_eq(balloon.freed_bytes,
                 16 * BALLOON_REPORT_MAX * (RAM_BYTES - 0x100000));
}

Test(balloon_report, under_way_is_forgotten_at_reset, .init = set_up)
{
    for (unsigned i = 0; i < BALLOON_REPORT_MAX; i++)
        *desc(BALLOON_REPORT, i) = (struct vring_desc){
            RAM_BASE + 0x100000, RAM_BYTES - 0x100000,
            VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, (uint16_t)(i + 1)};
    desc(BALLOON_REPORT, BALLOON_REPORT_MAX - 1)->flags = VRING_DESC_F_WRITE;
    for (unsigned i = 0; i < 2; i++)
        submit(BALLOON_REPORT);
    cr_assert_eq(vdev_serve(&balloon.dev), -EINTR);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
    for (unsigned i = 0; i < 2; i++)
        submit(BALLOON_REPORT);
    cr_assert_eq(vdev_serve(&balloon.dev), -EINTR);
    cr_assert(balloon.busy);
    vdev_set_status(&balloon.dev, 0);
    memset(at(DATA), 'd', PAGES * PAGE);
    bring_up(balloon.dev.offered);
    cr_assert_not(balloon.busy);
    cr_assert_eq(used(BALLOON_REPORT)->idx, 0);
    assert_kept(DATA, PAGES * PAGE);
}

Test(balloon_report, that_the_host_refuses_is_answered_all_the_same,
     .init = set_up)
{
    cr_assert_eq(munmap(at(DATA), PAGE), 0); /* a page that cannot be dropped */
    for (unsigned i = 0; i < 20; i++)
        report(DATA, PAGE);
    cr_assert_eq(balloon.refused_pages, 20);
    cr_assert_eq(balloon.freed_bytes, 0);
    cr_assert_eq(lines, LOG_LIMIT_BURST + 1);
    cr_assert(vdev_is_live(&balloon.dev));
}

/* ---- Inflation and deflation -------------------------------------------- */

Test(balloon_inflate, drops_the_pages_it_is_given, .init = set_up)
{
    set_number(0, DATA + 3 * PAGE);
    set_number(1, DATA + 7 * PAGE);
    send_numbers(BALLOON_INFLATE, 2);
    cr_assert_eq(resident(DATA, PAGES), PAGES - 2);
    assert_kept(DATA + 4 * PAGE, 3 * PAGE);
    cr_assert_eq(balloon.inflated_pages, 2);
    cr_assert_eq(balloon.freed_bytes, 2 * PAGE);
}

Test(balloon_inflate, drops_neighbours_by_one_call, .init = set_up)
{
    unsigned long calls = os_calls;

    for (unsigned i = 0; i < PAGES; i++)
        set_number(i, DATA + i * PAGE);
    send_numbers(BALLOON_INFLATE, PAGES);
    cr_assert_eq(os_calls - calls, 1);
    cr_assert_eq(resident(DATA, PAGES), 0);
}

Test(balloon_inflate, takes_an_array_in_odd_pieces, .init = set_up)
{
    static const uint32_t bytes[] = {1, 2, 3, 5, 1};

    for (unsigned i = 0; i < 3; i++)
        set_number(i, DATA + 5 * i * PAGE);
    for (unsigned i = 0, start = 0; i < 5; start += bytes[i], i++)
        *desc(BALLOON_INFLATE, i) = (struct vring_desc){
            NUMBERS + start, bytes[i], i < 4 ? VRING_DESC_F_NEXT : 0,
            (uint16_t)(i + 1)};
    cr_assert_eq(serve_chain(BALLOON_INFLATE), 0);
    cr_assert_eq(balloon.inflated_pages, 3);
    cr_assert_eq(resident(DATA, 11), 8);
}

Test(balloon_inflate, ignores_half_a_number, .init = set_up)
{
    set_number(0, DATA);
    *desc(BALLOON_INFLATE, 0) = (struct vring_desc){NUMBERS, 3, 0, 0};
    cr_assert_eq(serve_chain(BALLOON_INFLATE), 0);
    *desc(BALLOON_INFLATE, 0) = (struct vring_desc){NUMBERS, 7, 0, 0};
    cr_assert_eq(serve_chain(BALLOON_INFLATE), 0);
    cr_assert_eq(balloon.inflated_pages, 1);
    cr_assert_eq(resident(DATA, 2), 1);
}

Test(balloon_inflate, ignores_pages_outside_memory, .init = set_up)
{
    set_number(0, RAM_BASE - PAGE);
    set_number(1, RAM_BASE + RAM_BYTES);
    set_number(2, UINT64_C(0xffffffff) * PAGE);
    set_number(3, HIGH_BASE + HIGH_BYTES);
    set_number(4, HIGH_BASE + HIGH_BYTES - PAGE);
    set_number(5, RAM_BASE + RAM_BYTES - PAGE);
    send_numbers(BALLOON_INFLATE, 6);
    cr_assert_eq(balloon.refused_pages, 4);
    cr_assert_eq(balloon.freed_bytes, 2 * PAGE);
    cr_assert_eq(resident(HIGH_BASE, HIGH_BYTES / PAGE), HIGH_BYTES / PAGE - 1);
    cr_assert_eq(lines, 0, "a guest's mistakes are its own");
    cr_assert(vdev_is_live(&balloon.dev));
}

Test(balloon_inflate, takes_no_page_that_is_not_the_guests, .init = set_up)
{
    cr_assert_eq(gmem_exclude(&mem, DATA + PAGE, DATA + 2 * PAGE), 0);
    for (unsigned i = 0; i < 3; i++)
        set_number(i, DATA + i * PAGE);
    send_numbers(BALLOON_INFLATE, 3);
    cr_assert_eq(balloon.refused_pages, 1);
    cr_assert_eq(balloon.freed_bytes, 2 * PAGE);
}

Test(balloon_inflate, of_very_many_pages_is_served_in_steps, .init = set_up)
{
    unsigned steps = 1;

    /* 15 pieces of 1 MiB: the same quarter of a million pages, over again. */
    for (unsigned i = 0; i < 262144; i++)
        set_number(i, 0);
    for (unsigned i = 0; i < 15; i++)
        *desc(BALLOON_INFLATE, i) = (struct vring_desc){
            NUMBERS, 1 << 20, i < 14 ? VRING_DESC_F_NEXT : 0,
            (uint16_t)(i + 1)};
    submit(BALLOON_INFLATE);
    while (vdev_serve(&balloon.dev) == -EINTR)
        cr_assert_lt(steps++, 1000);
    cr_assert_eq(steps, 15 * 4 + 1, "65536 a step");
    cr_assert_eq(balloon.refused_pages, 15 * 262144);
    cr_assert_eq(used(BALLOON_INFLATE)->idx, 1);
}

Test(balloon_deflate, is_only_counted, .init = set_up)
{
    unsigned long calls = os_calls;

    for (unsigned i = 0; i < 3; i++)
        set_number(i, DATA + i * PAGE);
    send_numbers(BALLOON_DEFLATE, 3);
    cr_assert_eq(os_calls, calls);
    cr_assert_eq(balloon.deflated_pages, 3);
    assert_kept(DATA, 3 * PAGE);
}

Test(balloon_inflate, ignores_what_it_could_write_to, .init = set_up)
{
    set_number(0, DATA);
    *desc(BALLOON_INFLATE, 0) =
        (struct vring_desc){NUMBERS, 4, VRING_DESC_F_NEXT, 1};
    *desc(BALLOON_INFLATE, 1) =
        (struct vring_desc){DATA + PAGE, PAGE, VRING_DESC_F_WRITE, 0};
    cr_assert_eq(serve_chain(BALLOON_INFLATE), 0);
    assert_kept(DATA + PAGE, PAGE);
    cr_assert_eq(balloon.inflated_pages, 1);
}

/* ---- Configuration and notifications ------------------------------------- */

static uint32_t config(unsigned offset)
{
    uint32_t value;

    vdev_read_config(&balloon.dev, offset, &value, sizeof(value));
    return value;
}

Test(balloon_config, lets_the_driver_write_what_is_in_the_balloon,
     .init = set_up)
{
    const uint32_t values[] = {7, 0x01020304};

    vdev_write_config(&balloon.dev, 4, &values[1], 4);
    cr_assert_eq(balloon.config.actual, 0x01020304);
    cr_assert_eq(config(4), 0x01020304);
    vdev_write_config(&balloon.dev, 0, values, 4);
    cr_assert_eq(config(0), 0, "the target is the device's");
    vdev_write_config(&balloon.dev, 5, "\xff", 1);
    cr_assert_eq(config(4), 0x0102ff04);
    vdev_write_config(&balloon.dev, 2, "\x11\x22\x33\x44", 4);
    cr_assert_eq(config(0), 0);
    cr_assert_eq(config(4), 0x01024433);
    vdev_write_config(&balloon.dev, 8, values, 4);
    vdev_write_config(&balloon.dev, 5, values, 4);
    cr_assert_eq(config(4), 0x01024433);
}

Test(balloon_config, forgets_at_reset_what_the_driver_gave, .init = set_up)
{
    const uint32_t actual = 9;

    vdev_write_config(&balloon.dev, 4, &actual, 4);
    vdev_set_status(&balloon.dev, 0);
    cr_assert_eq(config(0), 0);
    cr_assert_eq(config(4), 0);
}

Test(balloon_kick, is_asked_for_each_chain, .init = set_up)
{
    static const unsigned queues[] = {BALLOON_INFLATE, BALLOON_DEFLATE,
                                      BALLOON_REPORT_PACKED, BALLOON_REPORT};

    for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
        unsigned size = balloon.dev.queues[queues[i]].size;
        const uint16_t *avail_event =
            (const uint16_t *)&used(queues[i])->ring[size];

        *desc(queues[i], 0) =
            (struct vring_desc){NUMBERS, 4, i < 2 ? 0 : VRING_DESC_F_WRITE, 0};
        cr_assert_eq(*avail_event, 0);
        cr_assert_eq(serve_chain(queues[i]), 0);
        cr_assert_eq(*avail_event, 1);
    }
}

Test(balloon_kick, is_not_asked_for_while_somebody_looks, .init = set_up)
{
    const uint16_t *avail_event =
        (const uint16_t *)&used(BALLOON_REPORT)->ring[BALLOON_REPORT_MAX];

    vdev_poll(&balloon.dev, true);
    report(DATA, PAGE);
    cr_assert_eq(*avail_event, 1 + 0x8000, "as far as can be");
    vdev_poll(&balloon.dev, false);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
    cr_assert_eq(*avail_event, 1);
}

Test(balloon_kick, is_answered_with_one_event_for_all, .init = set_up)
{
    uint64_t before = balloon.dev.events_sent;

    *desc(BALLOON_REPORT, 0) =
        (struct vring_desc){DATA, PAGE, VRING_DESC_F_WRITE, 0};
    for (unsigned i = 0; i < 10; i++)
        submit(BALLOON_REPORT);
    cr_assert_eq(vdev_serve(&balloon.dev), 0);
    cr_assert_eq(balloon.dev.events_sent, before + 1);
    cr_assert_eq(event_read(&events), 1 << 2);
}
