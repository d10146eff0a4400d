/* SPDX-License-Identifier: MIT */
/* The I/O thread: when it serves, looks, sleeps, parks and ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/os.h"
#include "vmm/io.h"

#define POLL_NS   50000u
#define FOREVER   UINT64_C(3600000000000) /* looks all the time */
#define RAM_BASE  UINT64_C(0x10000)
#define QUEUE     8u
#define ALL_OF_IT 1u /* the one device */

/*
 * A device that gives back what is in its queue, and otherwise does as the test
 * says. Its counts are the tests' to read.
 */
struct toy {
    struct vdev dev;
    atomic_ulong serves;
    atomic_bool more;    /* it says that there is more to do */
    atomic_ulong due_ns; /* it is to be served then; 0: never */
    atomic_ulong on_time;
    atomic_bool inside; /* it is being served */
    int fd;             /* it waits for this; -1: for nothing */
};

static struct toy toy = {.fd = -1};
static struct vdev_set set;
static struct io io;
static struct event_word events;
static _Alignas(4096) uint8_t ram[0x4000];
static const struct gmem mem = {
    .regions = {{RAM_BASE, sizeof(ram), ram}},
    .count = 1,
};
static struct vring_desc *const desc = (struct vring_desc *)(ram + 0x1000);
static struct vring_avail *const avail = (struct vring_avail *)(ram + 0x2000);
static struct vring_used *const used = (struct vring_used *)(ram + 0x3000);

/* ---- The device --------------------------------------------------------- */

static void look_at_clock(void)
{
    uint64_t due_ns = atomic_load(&toy.due_ns);

    if (due_ns && os_now_ns() >= due_ns) {
        atomic_store(&toy.due_ns, 0);
        atomic_fetch_add(&toy.on_time, 1);
    }
    due_ns = atomic_load(&toy.due_ns);
    toy.dev.wake_ns = due_ns ? due_ns : VDEV_NEVER;
}

static int serve_toy(struct vdev *dev)
{
    struct iovec iov[QUEUE];
    struct virtq_chain chain = {.iov = iov, .iov_max = QUEUE};
    int found;

    atomic_store(&toy.inside, true);
    look_at_clock();
    do {
        while ((found = virtq_pop(&dev->queues[0], &chain)) > 0)
            virtq_push(&dev->queues[0], chain.head, 0);
    } while (vdev_ask_kick(dev, 0, 1));
    vdev_publish(dev, 0);
    atomic_fetch_add(&toy.serves, 1);
    atomic_store(&toy.inside, false);
    return atomic_load(&toy.more) ? -EINTR : 0;
}

static void reset_toy(struct vdev *dev)
{
    (void)dev;
}

static void want_toy(struct vdev *dev, struct pollfd *file)
{
    (void)dev;
    if (toy.fd >= 0)
        *file = (struct pollfd){.fd = toy.fd, .events = POLLIN};
}

static int ready_toy(struct vdev *dev)
{
    uint64_t count;

    (void)dev;
    cr_assert_eq(read(toy.fd, &count, sizeof(count)), sizeof(count));
    atomic_fetch_add(&toy.on_time, 1);
    return 0;
}

static const struct vdev_class toy_class = {
    .name = "toy",
    .queue_count = 1,
    .threaded = true,
    .serve = serve_toy,
    .reset = reset_toy,
    .want = want_toy,
    .ready = ready_toy,
};

static void set_up(void)
{
    const struct virtq_layout layout = {gpa(RAM_BASE + 0x1000),
                                        gpa(RAM_BASE + 0x2000),
                                        gpa(RAM_BASE + 0x3000), QUEUE};
    struct vdev *dev = &toy.dev;

    dev->queue_size_max[0] = QUEUE;
    vdev_init(dev, &toy_class, 0, "");
    cr_assert_eq(event_init(&events, &mem, gpa(RAM_BASE)), 0);
    vdev_bind(dev, &mem, &events, 0, NULL);
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(dev, dev->offered);
    vdev_set_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_eq(vdev_enable_queue(dev, 0, &layout), 0);
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert(vdev_is_live(dev));
    cr_assert_eq(vdev_set_add(&set, dev), 0);
}

TestSuite(io, .init = set_up, .timeout = 120);

/* ---- The driver --------------------------------------------------------- */

static void start(uint64_t poll_ns)
{
    cr_assert_eq(io_init(&io, &set, ALL_OF_IT, poll_ns), 0);
    cr_assert_eq(io_start(&io), 0);
}

static void end(void)
{
    io_stop(&io);
    io_fini(&io);
}

static uint16_t used_index(void)
{
    return __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
}

/* Makes one chain available. Returns whether the device wants a kick. */
static bool publish(void)
{
    uint16_t old = avail->idx;
    const uint16_t *wish = (const uint16_t *)&used->ring[QUEUE];

    desc[0] = (struct vring_desc){RAM_BASE + 64, 1, 0, 0};
    avail->ring[old % QUEUE] = 0;
    __atomic_store_n(&avail->idx, (uint16_t)(old + 1), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return vring_need_event(__atomic_load_n(wish, __ATOMIC_RELAXED),
                            (uint16_t)(old + 1), old);
}

/*
 * As a driver does: makes a request, and kicks if that is wanted. A thread that
 * is just falling asleep may find it by itself.
 */
static void ask(void)
{
    if (publish())
        cr_assert(io_kick(&io));
}

static void wait_until_used(uint16_t index)
{
    while (used_index() != index)
        sched_yield();
}

static void wait_until_asleep(void)
{
    while (!atomic_load(&io.bell.asleep))
        sched_yield();
}

/* It asks for the next kick after it has announced its sleep. */
static void wait_until_it_wants_a_kick(void)
{
    const uint16_t *wish = (const uint16_t *)&used->ring[QUEUE];

    while (__atomic_load_n(wish, __ATOMIC_ACQUIRE) != avail->idx)
        sched_yield();
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 2000000}, NULL);
}

/* ---- Serving ------------------------------------------------------------ */

Test(io, serves_what_came_before_it_started)
{
    (void)publish();
    start(0);
    wait_until_used(1);
    end();
}

Test(io, needs_no_kick_while_it_looks)
{
    unsigned wanted = 0;

    start(FOREVER);
    while (atomic_load(&toy.serves) == 0)
        sched_yield();
    for (uint16_t i = 1; i <= 1000; i++) {
        wanted += publish();
        wait_until_used(i);
    }
    /* Between the index and the look at the wish it may have come along. */
    cr_assert_lt(wanted, 500);
    end();
    cr_assert_eq(io.stats.sleeps, 0);
}

Test(io, asks_for_a_kick_before_it_sleeps)
{
    start(0);
    for (uint16_t i = 1; i <= 100; i++) {
        wait_until_asleep();
        wait_until_it_wants_a_kick();
        nap(); /* and has looked once more */
        cr_assert(publish());
        cr_assert_neq(used_index(), i);
        cr_assert(io_kick(&io));
        wait_until_used(i);
    }
    end();
    cr_assert_geq(io.stats.sleeps, 100);
}

Test(io, is_silent_while_there_is_nothing_to_do)
{
    start(POLL_NS);
    wait_until_asleep();
    nap(); /* so that it is in poll() */
    unsigned long serves = atomic_load(&toy.serves);
    nap();
    cr_assert_eq(atomic_load(&toy.serves), serves);
    end();
    cr_assert_eq(io.stats.sleeps, 1);
}

Test(io, goes_on_with_what_a_device_could_not_finish)
{
    atomic_store(&toy.more, true);
    start(0);
    while (atomic_load(&toy.serves) < 1000)
        sched_yield();
    cr_assert_not(atomic_load(&io.bell.asleep) && atomic_load(&toy.more));
    atomic_store(&toy.more, false);
    wait_until_asleep();
    end();
}

Test(io, serves_a_device_at_the_time_it_asked_for)
{
    for (unsigned i = 1; i <= 3; i++) {
        atomic_store(&toy.due_ns, os_now_ns() + 5000000);
        start(0);
        while (atomic_load(&toy.on_time) < i)
            sched_yield();
        end();
    }
}

Test(io, wakes_when_a_file_is_ready)
{
    const uint64_t one = 1;

    toy.fd = eventfd(0, EFD_CLOEXEC);
    start(0);
    wait_until_asleep();
    nap();
    cr_assert_eq(write(toy.fd, &one, sizeof(one)), sizeof(one));
    while (atomic_load(&toy.on_time) == 0)
        sched_yield();
    end();
}

/* ---- Looking ------------------------------------------------------------ */

Test(io, never_looks_if_it_may_not)
{
    start(0);
    for (uint16_t i = 1; i <= 20; i++) {
        wait_until_asleep();
        ask();
        wait_until_used(i);
    }
    end();
    cr_assert_eq(io.spin.limit_ns, 0);
    cr_assert_eq(io.stats.poll_ns, 0);
}

Test(io, looks_for_less_after_long_sleeps_and_never_for_nothing)
{
    cr_assert_eq(io_init(&io, &set, ALL_OF_IT, POLL_NS), 0);
    io.spin.limit_ns = io.spin.max_ns;
    cr_assert_eq(io_start(&io), 0);
    for (uint16_t i = 1; i <= 10; i++) {
        wait_until_asleep();
        nap();
        ask();
        wait_until_used(i);
    }
    end();
    cr_assert_lt(io.spin.limit_ns, io.spin.max_ns);
    cr_assert_geq(io.spin.limit_ns, 1000);
}

Test(io, looks_for_longer_when_that_was_worth_it)
{
    cr_assert_eq(io_init(&io, &set, ALL_OF_IT, FOREVER), 0);
    io.spin.limit_ns = FOREVER / 64;
    cr_assert_eq(io_start(&io), 0);
    for (uint16_t i = 1; i <= 100; i++) {
        nap();
        (void)publish();
        wait_until_used(i);
    }
    end();
    /* The end may have come as a look in vain, at somebody else's cost. */
    cr_assert_geq(io.spin.limit_ns, FOREVER / 4);
    cr_assert_leq(io.spin.limit_ns, io.spin.max_ns);
}

/* ---- Others at the devices ---------------------------------------------- */

Test(io, keeps_off_while_somebody_has_the_lock)
{
    start(FOREVER);
    for (unsigned i = 0; i < 100; i++) {
        unsigned long before = atomic_load(&toy.serves);
        while (atomic_load(&toy.serves) == before)
            sched_yield();
        io_lock(&io);
        unsigned long serves = atomic_load(&toy.serves);
        for (unsigned j = 0; j < 10; j++)
            sched_yield();
        cr_assert_not(atomic_load(&toy.inside));
        cr_assert_eq(atomic_load(&toy.serves), serves);
        io_unlock(&io);
    }
    end();
}

Test(io, goes_on_after_a_reset_under_the_lock)
{
    start(FOREVER);
    (void)publish();
    wait_until_used(1);
    io_lock(&io);
    vdev_reset(&toy.dev);
    io_unlock(&io);
    (void)publish();
    nap();
    cr_assert_eq(used_index(), 1, "not live");
    end();
}

Test(io, has_no_lock_to_take_before_it_starts)
{
    cr_assert_eq(io_init(&io, &set, ALL_OF_IT, 0), 0);
    io_lock(&io);
    io_lock(&io); /* a second one would wait for ever */
    io_unlock(&io);
    io_unlock(&io);
    io_stop(&io); /* nothing to end */
    io_fini(&io);
}

/* ---- Parking ------------------------------------------------------------ */

static atomic_uint parked;
static atomic_bool watched;

static bool is_watched(struct io *of)
{
    (void)of;
    return atomic_load(&watched);
}

static void has_parked(struct io *of)
{
    (void)of;
    atomic_fetch_add(&parked, 1);
}

static const struct io_owner owner = {
    .is_watched = is_watched,
    .parked = has_parked,
};

static void start_with_owner(void)
{
    cr_assert_eq(io_init(&io, &set, ALL_OF_IT, POLL_NS), 0);
    io.owner = &owner;
    cr_assert(io_is_parked(&io), "not started");
    cr_assert_eq(io_start(&io), 0);
}

static void wait_until_parked(unsigned times)
{
    while (atomic_load(&parked) < times)
        sched_yield();
    cr_assert(io_is_parked(&io));
}

Test(io, gives_its_devices_back_when_there_is_nothing_to_do)
{
    start_with_owner();
    wait_until_parked(1);
    cr_assert(publish(), "whoever has them now is to be kicked");
    cr_assert_not(io_kick(&io), "the caller serves them");
    cr_assert(io_is_parked(&io));
    cr_assert_eq(used_index(), 0);
    end();
    cr_assert_eq(io.stats.parks, 1);
}

Test(io, takes_them_again_when_it_is_activated)
{
    start_with_owner();
    for (unsigned i = 1; i <= 20; i++) {
        wait_until_parked(i);
        (void)publish();
        io_activate(&io);
        cr_assert_not(io_is_parked(&io));
        wait_until_used((uint16_t)i);
    }
    end();
    cr_assert(io_is_parked(&io));
}

Test(io, does_not_park_while_the_guest_relies_on_it)
{
    atomic_store(&watched, true);
    start_with_owner();
    for (uint16_t i = 1; i <= 20; i++) {
        wait_until_asleep();
        nap();
        ask();
        wait_until_used(i);
    }
    end();
    cr_assert_eq(atomic_load(&parked), 0);
}

Test(io, parks_after_too_many_kicks_and_is_held_for_a_while)
{
    start_with_owner();
    while (!io_is_held(&io, os_now_ns())) {
        if (io_is_parked(&io))
            io_activate(&io);
        wait_until_asleep();
        if (publish() && !io_kick(&io))
            continue;
    }
    end();
    cr_assert_geq(atomic_load(&parked), 1);
    cr_assert_not(io_is_held(&io, UINT64_MAX));
}

/* ---- The end ------------------------------------------------------------ */

Test(io, stops_while_it_sleeps)
{
    for (unsigned i = 0; i < 20; i++) {
        start(0);
        wait_until_asleep();
        end();
    }
}

Test(io, stops_while_it_is_parked)
{
    for (unsigned i = 1; i <= 5; i++) {
        start_with_owner();
        wait_until_parked(i);
        end();
    }
}

Test(io, stops_while_it_looks)
{
    for (unsigned i = 0; i < 20; i++) {
        start(FOREVER);
        end();
    }
}

Test(io, stops_while_a_device_has_more_to_do)
{
    atomic_store(&toy.more, true);
    start(FOREVER);
    while (atomic_load(&toy.serves) < 100)
        sched_yield();
    end();
}

Test(io, can_be_started_again)
{
    cr_assert_eq(io_init(&io, &set, ALL_OF_IT, POLL_NS), 0);
    for (uint16_t i = 1; i <= 5; i++) {
        cr_assert_eq(io_start(&io), 0);
        (void)publish();
        cr_assert(io_kick(&io));
        wait_until_used(i);
        io_stop(&io);
    }
    io_fini(&io);
}

Test(io, counts_what_it_did)
{
    start(0);
    wait_until_asleep();
    end();
    cr_assert_geq(io.stats.rounds, 1);
    cr_assert_eq(io.stats.parks, 0);
}
