/* SPDX-License-Identifier: MIT */
/* The driver's ring against the device's virtqueue, in another mapping. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest_rt/ring.h"
#include "tests/ring/vm.h"

#define SIZE       16u
#define BOTH_SIDES (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

static struct ring ring;
static struct virtq virtq;

static void start(uint64_t features)
{
    struct mf_queue queue = {0x40000, 0x41000, 0x42000, SIZE, 0};
    struct virtq_layout layout = {gpa(queue.desc), gpa(queue.avail),
                                  gpa(queue.used), SIZE};

    vm_init();
    cr_assert_eq(virtq_enable(&virtq, &vm.mem, &layout, features), 0);
    ring_init(&ring, &queue, features);
}

static void set_up(void)
{
    start(BOTH_SIDES);
}

static void set_up_flags(void)
{
    start(0);
}

static int add(unsigned readable, unsigned writable)
{
    struct iovec iov[SIZE + 1];

    for (unsigned i = 0; i < readable + writable; i++)
        iov[i] = (struct iovec){VM_BUFFER + 64 * i, 64};
    return ring_add(&ring, iov, readable, writable);
}

static struct iovec device_iov[SIZE];
static struct virtq_chain chain = {.iov = device_iov, .iov_max = SIZE};

/* The device uses one chain, which must be there. Returns its wish to tell. */
static bool use_one(uint32_t written)
{
    cr_assert_eq(virtq_pop(&virtq, &chain), 1);
    virtq_push(&virtq, chain.head, written);
    return virtq_publish(&virtq);
}

Test(ring, carries_a_chain_to_the_device_and_back, .init = set_up)
{
    uint32_t written = 0;
    int head = add(2, 3);

    cr_assert_geq(head, 0);
    cr_assert_eq(virtq_pop(&virtq, &chain), 0, "not published yet");
    ring_publish(&ring);
    cr_assert_eq(virtq_pop(&virtq, &chain), 1);
    cr_assert_eq(chain.readable_count, 2);
    cr_assert_eq(chain.writable_count, 3);
    cr_assert_eq(chain.head, head);
    cr_assert_neq(device_iov[4].iov_base, VM_BUFFER + 256);
    memcpy(device_iov[4].iov_base, "hi", 3);
    cr_assert_str_eq((char *)VM_BUFFER + 256, "hi");
    cr_assert_eq(ring_reap(&ring, &written), -EAGAIN);
    virtq_push(&virtq, chain.head, 77);
    (void)!virtq_publish(&virtq);
    cr_assert_eq(ring_reap(&ring, &written), head);
    cr_assert_eq(written, 77);
    cr_assert_eq(ring_in_flight(&ring), 0);
}

Test(ring, takes_as_many_buffers_as_it_has_entries, .init = set_up)
{
    cr_assert_eq(add(SIZE + 1, 0), -EAGAIN);
    cr_assert_geq(add(SIZE - 1, 0), 0);
    cr_assert_eq(add(1, 1), -EAGAIN);
    cr_assert_geq(add(0, 1), 0);
    cr_assert_eq(add(0, 1), -EAGAIN);
}

Test(ring, asks_for_a_kick_as_the_device_wishes, .init = set_up)
{
    cr_assert_not(virtq_set_kick_threshold(&virtq, 3));
    for (unsigned i = 1; i <= 4; i++) {
        cr_assert_geq(add(1, 0), 0);
        cr_assert_eq(ring_publish(&ring), i == 3);
    }
}

Test(ring, asks_for_a_kick_when_a_batch_passes_the_wish, .init = set_up)
{
    cr_assert_not(virtq_set_kick_threshold(&virtq, 3));
    for (unsigned i = 1; i <= 4; i++)
        cr_assert_geq(add(1, 0), 0);
    cr_assert(ring_publish(&ring));
}

Test(ring, always_kicks_without_event_idx, .init = set_up_flags)
{
    virtq_set_kick_threshold(&virtq, SIZE);
    cr_assert_geq(add(1, 0), 0);
    cr_assert(ring_publish(&ring));
}

static void check_events(void)
{
    cr_assert_geq(add(1, 0), 0);
    ring_publish(&ring);
    cr_assert_not(use_one(0), "nobody asked");
    cr_assert(ring_want_event(&ring), "used already");
    cr_assert_geq(ring_reap(&ring, &(uint32_t){0}), 0);
    cr_assert_not(ring_want_event(&ring));
    cr_assert_geq(add(1, 0), 0);
    ring_publish(&ring);
    cr_assert(use_one(0));
}

Test(ring, gets_events_when_it_wants_them, .init = set_up)
{
    check_events();
}

Test(ring, gets_events_when_it_wants_them_by_flag, .init = set_up_flags)
{
    check_events();
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*state >> 33);
}

/* Random chains, completed in any order, until the indices have wrapped. */
Test(ring, survives_any_order_of_completion_and_wrapping_indices,
     .init = set_up)
{
    uint16_t popped[SIZE];
    unsigned popped_count = 0, reaped = 0;
    uint32_t chains_in_flight[SIZE] = {0}; /* head: its mark, 0 if free */
    uint64_t state = 1;

    while (reaped < 200000) {
        unsigned pieces = next_random(&state) % 5 + 1;
        uint32_t written;
        int head;

        switch (next_random(&state) % 4) {
        case 0:
            head = add(pieces / 2, pieces - pieces / 2);
            if (head < 0)
                break;
            cr_assert_eq(chains_in_flight[head], 0);
            chains_in_flight[head] = pieces;
            ring_publish(&ring);
            break;
        case 1:
            if (virtq_pop(&virtq, &chain) != 1)
                break;
            cr_assert_eq(chain.readable_count + chain.writable_count,
                         chains_in_flight[chain.head]);
            popped[popped_count++] = chain.head;
            break;
        case 2:
            if (popped_count == 0)
                break;
            unsigned i = next_random(&state) % popped_count;
            virtq_push(&virtq, popped[i], chains_in_flight[popped[i]]);
            popped[i] = popped[--popped_count];
            (void)!virtq_publish(&virtq);
            break;
        default:
            head = ring_reap(&ring, &written);
            if (head < 0)
                break;
            cr_assert_eq(chains_in_flight[head], written);
            chains_in_flight[head] = 0;
            reaped++;
        }
        cr_assert_not(virtq.broken);
    }
}

/* ---- Two threads that sleep when they have nothing to do ------------- */

#define EXCHANGES 100000u

static int doorbell, event; /* eventfds */
static unsigned kicks, events;

static void ring_bell(int fd)
{
    cr_assert_eq(write(fd, &(uint64_t){1}, 8), 8);
}

static void sleep_on(int fd)
{
    uint64_t count;

    cr_assert_eq(read(fd, &count, 8), 8);
}

/* Sleeps whenever the ring is empty, and is woken by kicks only. */
static void *device_thread(void *unused)
{
    (void)unused;
    for (unsigned used = 0; used < EXCHANGES;) {
        while (virtq_pop(&virtq, &chain) == 1) {
            virtq_push(&virtq, chain.head, used++);
            if (virtq_publish(&virtq)) {
                events++;
                ring_bell(event);
            }
        }
        if (used < EXCHANGES && !virtq_set_kick_threshold(&virtq, 1))
            sleep_on(doorbell);
    }
    return NULL;
}

static void exchange(void)
{
    pthread_t device;
    uint32_t written, expected = 0;
    unsigned added = 0;

    doorbell = eventfd(0, 0);
    event = eventfd(0, 0);
    cr_assert_eq(pthread_create(&device, NULL, device_thread, NULL), 0);
    while (expected < EXCHANGES) {
        while (added < EXCHANGES && add(1, 0) >= 0) {
            added++;
            if (ring_publish(&ring)) {
                kicks++;
                ring_bell(doorbell);
            }
        }
        if (!ring_want_event(&ring))
            sleep_on(event);
        while (ring_reap(&ring, &written) >= 0)
            cr_assert_eq(written, expected++);
    }
    cr_assert_eq(pthread_join(device, NULL), 0);
    cr_assert_leq(kicks, EXCHANGES);
}

Test(ring, loses_no_wake_up_between_two_threads, .init = set_up, .timeout = 60)
{
    exchange();
    cr_assert_lt(events, EXCHANGES, "%u kicks, %u events", kicks, events);
}

Test(ring, loses_no_wake_up_between_two_threads_by_flag, .init = set_up_flags,
     .timeout = 60)
{
    exchange();
}
