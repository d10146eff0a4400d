/* SPDX-License-Identifier: MIT */
/* Fuzzes the entropy device: a hostile driver, and a host in every mood. */
#include "tests/fuzz/hooked.h"

static ssize_t hooked_os_getrandom(void *to, size_t bytes);

#define os_getrandom hooked_os_getrandom

#include "virtio/rng.c"

#include "tests/fuzz/changing.h"
#include "tests/fuzz/no_console.h"

#define RAM_BASE   UINT64_C(0x10000)
#define DESC       0x0000u
#define AVAIL      0x1000u
#define USED       0x2000u
#define EVENTS     0x3000u
#define RAM_BYTES  0x8000u
#define CALLS_MAX  (SERVE_CHAINS_MAX * RNG_QUEUE_MAX)
#define FILL_BYTES 64u /* of each call, for speed */

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct rng rng;
static struct event_word events;
static struct script *answers; /* how host calls end */
static uint32_t size;          /* of the queue */
static bool event_idx;
static unsigned host_calls;
static size_t chain_bytes;  /* asked for since a chain was popped, */
static unsigned chain_look; /* which was at this look */

/* ---- The host ----------------------------------------------------------- */

static ssize_t hooked_os_getrandom(void *to, size_t bytes)
{
    const uint8_t *start = to;
    ssize_t result = (ssize_t)bytes;

    host_calls++;
    bug_on(start < ram || start >= ram + RAM_BYTES || bytes == 0);
    bug_on(bytes > (size_t)(ram + RAM_BYTES - start));
    if (looks != chain_look)
        chain_bytes = 0;
    chain_look = looks;
    chain_bytes += bytes;
    bug_on(chain_bytes > RNG_CHAIN_BYTES_MAX);
    change_memory();
    switch (script_below(answers, 16)) {
    case 1:
        return -EINTR;
    case 2:
        if (script_below(answers, 8) == 1)
            return -ENOSYS;
        break;
    case 3:
    case 4:
        result = (ssize_t)min_u64(bytes, 1 + script_number(answers, 1));
        break;
    }
    memset(to, 'r', min_u64((uint64_t)result, FILL_BYTES));
    return result;
}

/* ---- The driver --------------------------------------------------------- */

static void bring_up(struct script *script)
{
    uint64_t features = rng.dev.offered;
    struct virtq_layout layout = {gpa(RAM_BASE + DESC), gpa(RAM_BASE + AVAIL),
                                  gpa(RAM_BASE + USED), 0};

    size = layout.size = 1u << script_below(script, 4);
    event_idx = script_below(script, 2);
    if (!event_idx)
        features &= ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
    memset(ram + AVAIL, 0, EVENTS - AVAIL);
    vdev_set_status(&rng.dev, 0);
    vdev_set_status(&rng.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&rng.dev, features);
    vdev_set_status(&rng.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    bug_on(vdev_enable_queue(&rng.dev, 0, &layout));
    vdev_set_status(&rng.dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void start(struct script *script)
{
    changes_begin(ram);
    chain_look = 0;
    memset(ram, 0, sizeof(ram));
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    rng_init(&rng);
    vdev_bind(&rng.dev, &mem, &events, 0, NULL);
    bring_up(script);
}

static uint32_t any_offset(struct script *script)
{
    return (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);
}

/* Now, or at some later look of the device. */
static void write_anything(struct script *script)
{
    unsigned look = script_below(script, 32);
    uint32_t offset = any_offset(script);

    if (script_below(script, 2)) /* a descriptor */
        offset = DESC + 8 * script_below(script, 2 * RNG_QUEUE_MAX);
    change_at(look, offset, script_number(script, 8));
}

/* One chain of up to all descriptors, mostly a sound one. */
static void post_chain(struct script *script)
{
    struct vring_avail *avail = (struct vring_avail *)(ram + AVAIL);
    uint32_t slot = script_below(script, size);
    unsigned count = 1 + script_below(script, size);

    avail->ring[avail->idx++ % size] = (uint16_t)slot;
    for (unsigned i = 0; i < count; i++) {
        uint32_t next = (slot + 1) % size;
        struct vring_desc desc = {
            RAM_BASE + any_offset(script),
            (uint32_t)script_number(script, 1 + script_below(script, 2)),
            VRING_DESC_F_WRITE | (i + 1 < count ? VRING_DESC_F_NEXT : 0),
            (uint16_t)next,
        };

        if (script_below(script, 16) == 0)
            desc.flags ^= script_below(script, 8);
        memcpy(ram + DESC + slot * sizeof(desc), &desc, sizeof(desc));
        slot = next;
    }
}

static void serve(void)
{
    const struct virtq *q = &rng.dev.queues[0];
    uint64_t requests = rng.requests;
    int result;

    host_calls = 0;
    result = vdev_serve(&rng.dev);
    bug_on(result != 0 && result != -EINTR);
    bug_on(host_calls > CALLS_MAX);
    bug_on(rng.requests - requests > SERVE_CHAINS_MAX);
    /* All that was popped came back, unless the queue is dead. */
    bug_on(vdev_is_live(&rng.dev) && q->popped != q->published);
}

static void one_action(struct script *script)
{
    switch (script_below(script, 8)) {
    case 0:
        write_anything(script);
        break;
    case 1:
        if (script_below(script, 8) == 0 || !vdev_is_live(&rng.dev))
            bring_up(script);
        break;
    case 2:
        vdev_poll(&rng.dev, script_below(script, 2));
        serve();
        break;
    case 3:
    case 4:
    case 5:
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
    vdev_set_status(&rng.dev, 0);
    return 0;
}
