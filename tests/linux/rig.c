/* SPDX-License-Identifier: MIT */
/* The Linux driver and our device on one ring, and what both have to do. */
#include "tests/linux/rig.h"

#include <errno.h>
#include <stdlib.h>

static void on_notify(void *opaque)
{
    struct rig *rig = opaque;

    rig->kicked = true;
}

static gpa_t address(const void *at)
{
    return gpa((uintptr_t)at);
}

void rig_create(struct rig *rig, uint32_t size, uint64_t features)
{
    void *desc, *avail, *used;

    *rig = (struct rig){
        .random = size ^ features,
        .size = size,
        .features = features,
        .iov = calloc(size, sizeof(struct iovec)),
        .held = calloc(size, sizeof(struct rig_popped)),
        .callbacks = RIG_ON, /* it has a callback */
    };
    arena_init(&rig->mem);
    rig->driver = driver_create(size, features, on_notify, rig);
    driver_areas(rig->driver, &desc, &avail, &used);
    cr_assert_eq(
        virtq_enable(&rig->q, &rig->mem,
                     &(struct virtq_layout){address(desc), address(avail),
                                            address(used), size},
                     features),
        0);
}

void rig_destroy(struct rig *rig)
{
    struct request *request;

    /* What the device has not done is the driver's to take back. */
    virtq_reset(&rig->q);
    while ((request = driver_detach(rig->driver)) != NULL) {
        request_destroy(request);
        rig->reaped++;
    }
    cr_assert_eq(rig->reaped, rig->added);
    driver_destroy(rig->driver);
    cr_assert_eq(arena_used(), 0);
    free(rig->iov);
    free(rig->held);
    arena_fini(&rig->mem);
}

/*
 * Whether counting from `old` to `now` passes `event`, as 16 bits see it: it
 * comes up again every 2^16 buffers.
 */
static bool passes(uint64_t event, uint64_t old, uint64_t now)
{
    uint64_t behind = (old - event) & 0xffff;

    return old + (behind ? 0x10000 - behind : 0) < now;
}

/* ---- The driver --------------------------------------------------------- */

static unsigned descriptors_for(const struct rig *rig, unsigned pieces)
{
    return rig->features & RIG_INDIRECT && pieces > 1 &&
                   driver_free(rig->driver)
               ? 1
               : pieces;
}

bool rig_add(struct rig *rig, unsigned out, unsigned in, unsigned piece_max)
{
    struct request *request = request_create(&rig->random, out, in, piece_max);
    unsigned per_list = 1 + draw_below(&rig->random, 8);
    unsigned need = descriptors_for(rig, out + in);
    bool room = driver_free(rig->driver) >= need;
    int error =
        driver_add(rig->driver, request->pieces, out, in, per_list, request);

    cr_assert_eq(error, room ? 0 : -ENOSPC);
    if (room) {
        rig->added++;
        rig->descriptors += need;
        request->descriptors = need;
    } else {
        request_destroy(request);
    }
    cr_assert_eq(driver_free(rig->driver), rig->size - rig->descriptors);
    return room;
}

bool rig_add_any(struct rig *rig)
{
    unsigned kind = draw_below(&rig->random, 64);
    uint32_t most = kind == 0 ? 128 : kind < 16 ? 16 : 4;
    uint32_t limit = most < rig->size ? most : rig->size;
    unsigned pieces = 1 + draw_below(&rig->random, limit);
    unsigned out = draw_below(&rig->random, pieces + 1);

    return rig_add(rig, out, pieces - out, 24);
}

void rig_kick(struct rig *rig)
{
    bool wanted = rig->features & RIG_EVENT_IDX
                      ? passes(rig->event, rig->prepared, rig->added)
                      : !rig->quiet;
    bool kick = driver_kick_prepare(rig->driver);

    cr_assert_eq(kick, wanted, "kick %d, wanted %d", kick, wanted);
    *(kick ? &rig->kicks : &rig->unkicked) += 1;
    rig->prepared = rig->added;
    if (kick)
        driver_kick(rig->driver);
}

void rig_reap(struct rig *rig, uint64_t max)
{
    struct request *request;
    unsigned written;

    while (max-- > 0 && (request = driver_get(rig->driver, &written)) != NULL) {
        cr_assert(request_is_done(request, written));
        rig->descriptors -= request->descriptors;
        rig->reaped++;
        request_destroy(request);
        /* The driver moves its wish along. */
        if (rig->callbacks != RIG_OFF) {
            rig->callbacks = RIG_ON;
            rig->wish = rig->reaped;
        }
    }
    cr_assert_not(driver_is_broken(rig->driver));
    cr_assert_leq(rig->reaped, rig->published);
    cr_assert_eq(driver_free(rig->driver), rig->size - rig->descriptors);
}

void rig_change_callbacks(struct rig *rig)
{
    uint64_t delay = (rig->added - rig->reaped) * 3 / 4;
    bool more = rig->published > rig->reaped;
    unsigned state;

    rig->wish = rig->reaped;
    switch (draw_below(&rig->random, 4)) {
    case 0:
        driver_disable(rig->driver);
        if (rig->callbacks != RIG_OFF) {
            rig->off_since = rig->published;
            rig->strays = 0;
        }
        rig->callbacks = RIG_OFF;
        break;
    case 1:
        rig->callbacks = RIG_ON;
        cr_assert_eq(driver_enable(rig->driver), !more);
        break;
    case 2:
        rig->callbacks = RIG_DELAYED;
        rig->wish += delay;
        cr_assert_eq(driver_enable_delayed(rig->driver),
                     rig->published - rig->reaped <= delay);
        break;
    default:
        rig->callbacks = RIG_ON;
        state = driver_enable_prepare(rig->driver);
        cr_assert_eq(driver_poll(rig->driver, state), more);
    }
}

/* ---- The device --------------------------------------------------------- */

/* Pops in one of the ways there are. */
static int pop_somehow(struct rig *rig, struct virtq_chain *chain)
{
    unsigned way = draw_below(&rig->random, 8);
    int got;

    chain->iov = rig->iov;
    chain->iov_max = way == 0 ? 1 : rig->size;
    got = virtq_pop(&rig->q, chain);
    if (got == 1 && way == 0)
        cr_assert_leq(chain->readable_count + chain->writable_count, 1);
    if (got == 1 && way == 1) {
        uint16_t head = chain->head;

        virtq_unpop(&rig->q);
        cr_assert(virtq_has_chain(&rig->q));
        got = virtq_pop(&rig->q, chain);
        cr_assert_eq(chain->head, head);
    }
    if (got == -ENOSPC && way == 0) {
        chain->iov_max = rig->size;
        got = virtq_pop(&rig->q, chain);
        cr_assert_gt(chain->readable_count + chain->writable_count, 1);
    }
    return got;
}

void rig_pop(struct rig *rig, uint64_t max)
{
    uint64_t available = rig->added - rig->popped;

    for (uint64_t i = 0; i < max; i++) {
        struct virtq_chain chain;
        uint32_t most = UINT32_MAX;

        cr_assert_eq(virtq_has_chain(&rig->q), available > i);
        cr_assert_eq(pop_somehow(rig, &chain), available > i);
        if (available <= i)
            return;
        if (draw_below(&rig->random, 4) == 0)
            most = draw_below(&rig->random, 64);
        rig->held[rig->held_count++] = (struct rig_popped){
            .head = chain.head,
            .written = request_serve(&chain, most),
        };
        rig->popped++;
    }
}

/* Checks what virtq_publish() decided. */
static void check_notification(struct rig *rig, uint64_t old, bool notify)
{
    bool wanted = rig->callbacks != RIG_OFF;

    if (rig->features & RIG_EVENT_IDX)
        wanted = wanted && passes(rig->wish, old, rig->published);
    *(notify ? &rig->notified : &rig->suppressed) += 1;
    /*
     * An event index cannot say "never": without callbacks the driver leaves
     * one somewhere, which comes up once, and then every 2^16 buffers.
     */
    if (rig->callbacks == RIG_OFF && rig->features & RIG_EVENT_IDX)
        rig->strays += notify;
    else
        cr_assert_eq(notify, wanted, "notified %d, wanted %d", notify, wanted);
    cr_assert_leq(rig->strays, 1 + (rig->published - rig->off_since) / 0x10000);
}

void rig_push(struct rig *rig, uint64_t max)
{
    uint64_t old = rig->published;
    bool notify;

    while (max-- > 0 && rig->held_count > 0) {
        uint32_t at = draw_below(&rig->random, rig->held_count);

        virtq_push(&rig->q, rig->held[at].head, rig->held[at].written);
        rig->held[at] = rig->held[--rig->held_count];
        rig->pushed++;
    }
    notify = virtq_publish(&rig->q);
    rig->published = rig->pushed;
    if (old == rig->published)
        cr_assert_not(notify);
    else
        check_notification(rig, old, notify);
    if (notify)
        driver_interrupt(rig->driver);
}

void rig_change_wish(struct rig *rig)
{
    uint64_t available = rig->added - rig->popped;
    uint32_t chains = 1;

    if (draw_below(&rig->random, 4) == 0) {
        virtq_suppress_kicks(&rig->q);
        rig->quiet = true;
        rig->event = rig->popped + 0x8000;
        return;
    }
    if (draw_below(&rig->random, 2) == 0)
        chains = 1 + draw_below(&rig->random, rig->size);
    rig->quiet = false;
    rig->event = rig->popped + chains - 1;
    cr_assert_eq(virtq_set_kick_threshold(&rig->q, chains),
                 available >= chains);
    rig->asleep = available < chains;
    rig->kicked = false;
}

void rig_finish(struct rig *rig)
{
    rig_pop(rig, rig->size);
    rig_push(rig, rig->size);
    rig_reap(rig, rig->size);
    cr_assert_eq(rig->reaped, rig->added);
    cr_assert_eq(rig->q.stats.chains, rig->added);
    cr_assert_eq(rig->q.stats.wanted, rig->notified);
    cr_assert_eq(rig->q.stats.suppressed, rig->suppressed);
}
