/* SPDX-License-Identifier: MIT */
/* Fuzzes the balloon: a driver that drops anything, its own rings included. */

/*
 * Dropped memory becomes zero at once, as it does in a VM, whatever it is. Each
 * drop has to be whole pages that the guest itself may write. Everything else
 * is a hostile driver's: what is in the rings, also while the device looks,
 * configuration writes and resets at any time.
 */
#include "tests/fuzz/hooked.h"

static int hooked_os_madvise(void *address, size_t bytes, int advice);

#define os_madvise hooked_os_madvise

#include "virtio/balloon.c"

#include "tests/fuzz/changing.h"
#include "tests/fuzz/no_console.h"

/* A page before memory, one in it, and one behind it are not the guest's. */
#define RAM_BASE  UINT64_C(0x10000)
#define PAGES     16u
#define SECRET    9u /* the page in the middle that is not the guest's */
#define RAM_BYTES (PAGES * BALLOON_PAGE_BYTES)
#define RINGS     0x0000u /* a page for each queue: 0x400 bytes an area */
#define EVENTS    0x5000u
#define NUMBERS   0x6000u /* arrays of page numbers, two pages */
#define FILL      0x5a    /* of what must not change */

static _Alignas(4096) uint8_t room[(PAGES + 2) * BALLOON_PAGE_BYTES];
static uint8_t *const ram = room + BALLOON_PAGE_BYTES;
static struct gmem mem;
static struct balloon balloon;
static struct event_word events;
static struct script *answers; /* how host calls end */
static unsigned host_calls;
static uint64_t dropped_bytes;

/* ---- The host ----------------------------------------------------------- */

static int hooked_os_madvise(void *address, size_t bytes, int advice)
{
    const uint8_t *start = address;
    const uint8_t *secret = ram + SECRET * BALLOON_PAGE_BYTES;

    host_calls++;
    bug_on(advice != MADV_DONTNEED || bytes == 0);
    bug_on((uintptr_t)start % BALLOON_PAGE_BYTES != 0 ||
           bytes % BALLOON_PAGE_BYTES != 0);
    bug_on(start < ram || start >= ram + RAM_BYTES);
    bug_on(bytes > (size_t)(ram + RAM_BYTES - start));
    bug_on(start <= secret && start + bytes > secret);
    change_memory();
    if (script_below(answers, 16) == 1)
        return -EINVAL;
    memset(address, 0, bytes);
    dropped_bytes += bytes;
    return 0;
}

/* ---- The driver --------------------------------------------------------- */

static uint32_t ring_at(unsigned queue, unsigned area)
{
    return RINGS + queue * BALLOON_PAGE_BYTES + area * 0x400;
}

static void bring_up(struct script *script)
{
    unsigned enabled = script_below(script, 256);

    vdev_set_status(&balloon.dev, 0);
    bug_on(balloon.busy || balloon.config.actual != 0);
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&balloon.dev, balloon.dev.offered);
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    for (unsigned i = 0; i < BALLOON_QUEUES; i++) {
        uint64_t start = RAM_BASE + ring_at(i, 0);
        struct virtq_layout layout = {gpa(start), gpa(start + 0x400),
                                      gpa(start + 0x800), 1};

        memset(ram + ring_at(i, 0), 0, BALLOON_PAGE_BYTES);
        if (balloon.dev.queue_size_max[i] == 0) {
            bug_on(!vdev_enable_queue(&balloon.dev, i, &layout));
        } else if (enabled & 9u << i) { /* most of the time all */
            layout.size = balloon.dev.queue_size_max[i];
            bug_on(vdev_enable_queue(&balloon.dev, i, &layout));
        }
    }
    vdev_set_status(&balloon.dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void start(struct script *script)
{
    uint64_t secret = RAM_BASE + SECRET * BALLOON_PAGE_BYTES;

    changes_begin(ram);
    dropped_bytes = 0;
    memset(room, 0, sizeof(room));
    memset(room, FILL, BALLOON_PAGE_BYTES);
    memset(ram + RAM_BYTES, FILL, BALLOON_PAGE_BYTES);
    memset(ram + SECRET * BALLOON_PAGE_BYTES, FILL, BALLOON_PAGE_BYTES);
    mem = (struct gmem){
        .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
        .count = 1};
    bug_on(gmem_exclude(&mem, secret, secret + BALLOON_PAGE_BYTES));
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    balloon_init(&balloon);
    vdev_bind(&balloon.dev, &mem, &events, 0, NULL);
    bring_up(script);
}

/* Anywhere but in the page that is not the guest's. */
static uint32_t any_offset(struct script *script)
{
    uint32_t offset = (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);

    if (offset + 7 >= SECRET * BALLOON_PAGE_BYTES &&
        offset < (SECRET + 1) * BALLOON_PAGE_BYTES)
        return NUMBERS;
    return offset;
}

/* Now, or at some later look of the device. */
static void write_anything(struct script *script)
{
    unsigned look = script_below(script, 32);
    uint32_t offset = any_offset(script);

    if (script_below(script, 2)) /* a descriptor */
        offset = ring_at(script_below(script, BALLOON_QUEUES), 0) +
                 8 * script_below(script, 64);
    change_at(look, offset, script_number(script, 8));
}

/* Page numbers around memory, in runs. */
static void write_numbers(struct script *script)
{
    uint32_t at = NUMBERS + 4 * script_below(script, 256);
    uint32_t number = (uint32_t)(RAM_BASE >> 12) - 1;

    for (unsigned left = 1 + script_below(script, 64); left > 0; left--) {
        if (script_below(script, 4) == 0)
            number = (uint32_t)(RAM_BASE >> 12) - 1 +
                     script_below(script, PAGES + 2);
        memcpy(ram + at, &number, sizeof(number));
        number++;
        at += 4;
    }
}

/* What a descriptor names: an array, or pages. */
static void choose_buffer(struct script *script, unsigned queue,
                          struct vring_desc *desc)
{
    if (queue <= BALLOON_DEFLATE) {
        desc->addr = RAM_BASE + NUMBERS + script_number(script, 1);
        desc->len = script_below(script, 8) ? script_below(script, 200)
                                            : script_below(script, 3) << 12;
        return;
    }
    desc->addr = RAM_BASE + script_below(script, PAGES) * BALLOON_PAGE_BYTES;
    desc->len = script_below(script, 4) * BALLOON_PAGE_BYTES;
    desc->flags = VRING_DESC_F_WRITE;
    if (script_below(script, 4) == 0) {
        desc->addr += script_number(script, 1);
        desc->len += script_below(script, 256);
    }
}

/* One chain of up to 8 descriptors, mostly a sound one. */
static void post_chain(struct script *script)
{
    unsigned queue = script_below(script, BALLOON_QUEUES);
    uint32_t size = balloon.dev.queues[queue].size;
    struct vring_avail *avail = (struct vring_avail *)(ram + ring_at(queue, 1));
    uint32_t slot;
    unsigned count = 1 + script_below(script, 8);

    if (size == 0)
        return;
    slot = script_below(script, size);
    avail->ring[avail->idx++ % size] = (uint16_t)slot;
    for (unsigned i = 0; i < count; i++) {
        struct vring_desc desc = {.next = (uint16_t)((slot + 1) % size)};

        choose_buffer(script, queue, &desc);
        if (i + 1 < count)
            desc.flags |= VRING_DESC_F_NEXT;
        if (script_below(script, 32) == 0)
            desc.flags ^= script_below(script, 8);
        memcpy(ram + ring_at(queue, 0) + slot * sizeof(desc), &desc,
               sizeof(desc));
        slot = desc.next;
    }
}

static void change_config(struct script *script)
{
    uint64_t value = script_number(script, 8);

    vdev_write_config(&balloon.dev, script_below(script, 12), &value,
                      script_below(script, 9));
    bug_on(balloon.config.num_pages != 0);
}

static void check_untouched(const uint8_t *page)
{
    for (unsigned i = 0; i < BALLOON_PAGE_BYTES; i++)
        bug_on(page[i] != FILL);
}

static void check_state(void)
{
    const struct balloon_chain *chain = &balloon.chain;

    bug_on(balloon.freed_bytes != dropped_bytes);
    if (!balloon.busy)
        return;
    bug_on(chain->queue >= BALLOON_QUEUES);
    bug_on(chain->piece < balloon.iov);
    bug_on(chain->piece + chain->reports > balloon.iov + BALLOON_REPORT_MAX);
}

static void serve(void)
{
    int result;

    host_calls = 0;
    result = vdev_serve(&balloon.dev);
    bug_on(result != 0 && result != -EINTR);
    bug_on(host_calls > BALLOON_SERVE_BYTES / BALLOON_CALL_COST + BATCH_PAGES);
    check_state();
}

static void one_action(struct script *script)
{
    switch (script_below(script, 12)) {
    case 0:
        write_anything(script);
        break;
    case 1:
        if (script_below(script, 8) == 0 || !vdev_is_live(&balloon.dev))
            bring_up(script);
        break;
    case 2:
        change_config(script);
        break;
    case 3:
        vdev_poll(&balloon.dev, script_below(script, 2));
        serve();
        break;
    case 4:
    case 5:
        write_numbers(script);
        break;
    case 6:
    case 7:
    case 8:
        post_chain(script);
        break;
    default:
        serve();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};

    log_set_sink(ignore_line);
    answers = &script;
    start(&script);
    while (script.left > 0)
        one_action(&script);
    for (unsigned i = 0; vdev_serve(&balloon.dev) == -EINTR; i++)
        bug_on(i > 1000);
    check_state();
    check_untouched(room);
    check_untouched(ram + RAM_BYTES);
    check_untouched(ram + SECRET * BALLOON_PAGE_BYTES);
    return 0;
}
