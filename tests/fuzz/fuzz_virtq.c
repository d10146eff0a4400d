/* SPDX-License-Identifier: MIT */
/* Fuzzes the virtqueue: a hostile driver whose memory changes meanwhile. */
#include "tests/fuzz/changing.h"
#include "tests/fuzz/no_console.h"

#define RAM_BASE      UINT64_C(0x10000)
#define RAM_BYTES     0x4000u
#define SIZE_MAX_LOG2 6u
#define IOV_ENTRIES   (1u << SIZE_MAX_LOG2)

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static uint8_t before[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct virtq queue;
static struct virtq_layout layout;
static uint16_t popped_heads[IOV_ENTRIES];
static unsigned popped_count;

static uint32_t any_offset(struct script *script, uint32_t bytes)
{
    return (uint32_t)script_number(script, 2) % (RAM_BYTES - bytes + 1);
}

/* Mostly an address in memory, near its ends too. */
static uint64_t any_address(struct script *script)
{
    switch (script_below(script, 8)) {
    case 0:
        return script_number(script, 8);
    case 1:
        return RAM_BASE + RAM_BYTES - script_number(script, 1);
    case 2:
        return RAM_BASE - 1 + script_number(script, 1);
    case 3:
        return RAM_BASE; /* the queue's own descriptor table */
    default:
        return RAM_BASE + any_offset(script, 0);
    }
}

static uint32_t any_length(struct script *script)
{
    switch (script_below(script, 4)) {
    case 0:
        return (uint32_t)script_number(script, 4);
    case 1:
        return 16 * (uint32_t)script_number(script, 1);
    default:
        return (uint32_t)script_number(script, 1);
    }
}

/* A queue in the first half of memory, where its areas do not overlap. */
static void enable(struct script *script)
{
    uint32_t size = 1u << script_below(script, SIZE_MAX_LOG2 + 1);
    uint64_t features = script_number(script, 1);

    virtq_reset(&queue);
    popped_count = 0;
    memset(ram + 0x1000, 0, 4); /* what a driver does at a reset */
    memset(ram + 0x1800, 0, 4);
    layout = (struct virtq_layout){gpa(RAM_BASE), gpa(RAM_BASE + 0x1000),
                                   gpa(RAM_BASE + 0x1800), size};
    bug_on(
        virtq_enable(&queue, &mem, &layout, features << 28 & VIRTQ_FEATURES));
}

/* Any layout at all: enabled only if it is a sound one. */
static void enable_anywhere(struct script *script)
{
    struct virtq other = {0};
    struct virtq_layout any = {
        gpa(any_address(script)),
        gpa(any_address(script)),
        gpa(any_address(script)),
        script_below(script, 2) ? 1u << script_below(script, 32)
                                : (uint32_t)script_number(script, 4),
    };

    if (virtq_enable(&other, &mem, &any, VIRTQ_FEATURES))
        return;
    bug_on(!is_power_of_2(any.size) || any.size > VIRTQ_SIZE_MAX);
    bug_on(other.desc < ram);
    bug_on(other.desc + virtq_desc_bytes(any.size) > ram + RAM_BYTES);
    bug_on((uint8_t *)other.avail + virtq_avail_bytes(any.size) >
           ram + RAM_BYTES);
    bug_on((uint8_t *)other.used + virtq_used_bytes(any.size) >
           ram + RAM_BYTES);
}

static void write_desc(struct script *script)
{
    uint32_t slot = script_below(script, 2 * queue.size);
    struct vring_desc desc = {
        any_address(script),
        any_length(script),
        (uint16_t)script_below(script, 8),
        (uint16_t)script_below(script, 2 * queue.size),
    };

    memcpy(ram + slot * sizeof(desc), &desc, sizeof(desc));
}

static void make_available(struct script *script)
{
    struct vring_avail *avail = (struct vring_avail *)(ram + 0x1000);

    avail->ring[avail->idx & (queue.size - 1)] =
        (uint16_t)script_below(script, queue.size + 1);
    avail->idx++;
}

static void write_anything(struct script *script)
{
    uint64_t value = script_number(script, 8);

    memcpy(ram + any_offset(script, 8), &value, 8);
}

static void arm_change(struct script *script)
{
    unsigned look = 1 + script_below(script, 16);
    uint32_t offset = script_below(script, 2) ? any_offset(script, 8)
                                              : 8 * script_below(script, 128);

    change_at(look, offset, script_number(script, 8));
}

static void check_chain(const struct virtq_chain *chain)
{
    unsigned count = chain->readable_count + chain->writable_count;
    uint64_t readable = 0, writable = 0;

    bug_on(count > chain->iov_max || count > queue.size);
    bug_on(chain->readable_bytes + chain->writable_bytes > UINT64_C(1) << 32);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *start = chain->iov[i].iov_base;

        bug_on(start < ram || start >= ram + RAM_BYTES);
        bug_on(chain->iov[i].iov_len == 0);
        bug_on(chain->iov[i].iov_len > (size_t)(ram + RAM_BYTES - start));
        *(i < chain->readable_count ? &readable : &writable) +=
            chain->iov[i].iov_len;
    }
    bug_on(readable != chain->readable_bytes);
    bug_on(writable != chain->writable_bytes);
}

static void pop(struct script *script)
{
    struct iovec iov[IOV_ENTRIES];
    struct virtq_chain chain = {
        .iov = iov,
        .iov_max = script_below(script, IOV_ENTRIES + 1),
    };
    int found;

    found = virtq_pop(&queue, &chain);
    bug_on(looks > queue.size + 1);
    bug_on((found == -EBADMSG) != queue.broken);
    bug_on(found == -ENOSPC && chain.iov_max >= queue.size);
    if (found != 1)
        return;
    check_chain(&chain);
    if (script_below(script, 8) == 0) {
        virtq_unpop(&queue);
        return;
    }
    bug_on(popped_count == queue.size);
    popped_heads[popped_count++] = chain.head;
}

static void push(struct script *script)
{
    unsigned i;

    if (popped_count == 0)
        return;
    i = script_below(script, popped_count);
    virtq_push(&queue, popped_heads[i], (uint32_t)script_number(script, 4));
    popped_heads[i] = popped_heads[--popped_count];
}

static void one_action(struct script *script)
{
    looks = 0;
    switch (script_below(script, 16)) {
    case 0:
        enable(script);
        break;
    case 1:
        enable_anywhere(script);
        break;
    case 2:
        write_anything(script);
        break;
    case 3:
    case 4:
        arm_change(script);
        break;
    case 5:
    case 6:
        push(script);
        break;
    case 7:
        (void)!virtq_publish(&queue);
        break;
    case 8:
        virtq_set_kick_threshold(&queue, 1 + script_below(script, queue.size));
        break;
    case 9:
        virtq_has_chain(&queue);
        break;
    case 10:
    case 11:
        make_available(script);
        break;
    case 12:
    case 13:
        pop(script);
        break;
    default:
        write_desc(script);
        break;
    }
}

/* The device changes nothing but its own area. */
static void check_untouched(void)
{
    size_t start = 0x1800, end = start + virtq_used_bytes(queue.size);

    bug_on(memcmp(before, ram, start) != 0);
    bug_on(memcmp(before + end, ram + end, RAM_BYTES - end) != 0);
}

static void finish(void)
{
    memcpy(before, ram, sizeof(ram));
    while (popped_count > 0)
        virtq_push(&queue, popped_heads[--popped_count], 0);
    (void)!virtq_publish(&queue);
    virtq_set_kick_threshold(&queue, queue.size);
    check_untouched();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};

    log_set_sink(ignore_line);
    memset(ram, 0, sizeof(ram));
    memset(&queue, 0, sizeof(queue));
    changes_begin(ram);
    looks_most = IOV_ENTRIES + 1;
    enable(&script);
    while (script.left > 0)
        one_action(&script);
    finish();
    return 0;
}
