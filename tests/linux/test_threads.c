/* SPDX-License-Identifier: MIT */
/* Driver and device on a thread each, which sleep: no wake-up is lost. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/linux/rig.h"

#define BUFFERS     70000u
#define PATIENCE_MS 20000 /* a wake-up that takes longer is lost */

TestSuite(linux_threads, .timeout = 240);

/* A queue with a thread on each end. */
struct line {
    struct gmem mem;
    struct driver *driver;
    struct virtq q;
    int kick_fd, call_fd; /* eventfds: to the device, to the driver */
    uint32_t size;
    uint32_t in_flight; /* buffers that the driver has out at most */
    uint64_t random;    /* the driver's */
    bool failed;        /* the device waited for a kick in vain */
};

static struct line line;

static void ring_bell(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        abort();
}

/* Returns whether the bell rang in time. */
static bool wait_for_bell(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    uint64_t count;

    return poll(&pollfd, 1, PATIENCE_MS) == 1 &&
           read(fd, &count, sizeof(count)) == sizeof(count);
}

static void on_notify(void *opaque)
{
    (void)opaque;
    ring_bell(line.kick_fd);
}

/* ---- The device --------------------------------------------------------- */

/* Does all that is there. Returns how many buffers that was. */
static unsigned serve_all(struct iovec *iov, unsigned batch)
{
    struct virtq_chain chain = {.iov = iov, .iov_max = line.size};
    unsigned done = 0;

    while (virtq_pop(&line.q, &chain) == 1) {
        virtq_push(&line.q, chain.head, request_serve(&chain, UINT32_MAX));
        if (++done % batch == 0 && virtq_publish(&line.q)) {
            ring_bell(line.call_fd);
        }
    }
    if (virtq_publish(&line.q)) {
        ring_bell(line.call_fd);
    }
    return done;
}

/* From 0 to below `end`; half of them are short. */
static uint32_t draw_long(uint64_t *random, uint32_t end)
{
    return draw_below(random, draw_below(random, 2) ? end : end / 50);
}

/* Looks for a while. Before sleep: the other side may be about to sleep too. */
static void linger(uint64_t *random)
{
    for (uint32_t left = draw_long(random, 20000); left > 0; left--)
        if (virtq_has_chain(&line.q))
            return;
}

static void *run_device(void *arg)
{
    struct iovec *iov = calloc(line.size, sizeof(*iov));
    uint64_t random = 1;
    unsigned done = 0;

    while (done < BUFFERS && !line.failed) {
        virtq_suppress_kicks(&line.q);
        done += serve_all(iov, 1 + draw_below(&random, 4));
        linger(&random);
        if (done < BUFFERS && !virtq_set_kick_threshold(&line.q, 1))
            line.failed = !wait_for_bell(line.kick_fd);
    }
    free(iov);
    return arg;
}

/* ---- The driver --------------------------------------------------------- */

/* Adds what fits; the driver kicks for what does not, asked or not. */
static unsigned add_some(unsigned added, unsigned reaped)
{
    unsigned end = added + 1 + draw_below(&line.random, 8), before = added;

    while (added < end && added < BUFFERS && added - reaped < line.in_flight) {
        unsigned in = line.size > 1 ? draw_below(&line.random, 2) : 0;
        struct request *request;

        if (driver_free(line.driver) < 1 + in)
            break;
        request = request_create(&line.random, 1, in, 8);
        cr_assert_eq(
            driver_add(line.driver, request->pieces, 1, in, 1, request), 0);
        added++;
    }
    if (added > before && driver_kick_prepare(line.driver))
        driver_kick(line.driver);
    return added;
}

static unsigned reap_all(void)
{
    struct request *request;
    unsigned written, reaped = 0;

    while ((request = driver_get(line.driver, &written)) != NULL) {
        cr_assert(request_is_done(request, written));
        request_destroy(request);
        reaped++;
    }
    return reaped;
}

/* Sleeps until the device calls, as a driver's interrupt handler would. */
static void sleep_for_call(void)
{
    bool none = draw_below(&line.random, 4) == 0
                    ? driver_enable_delayed(line.driver)
                    : driver_enable(line.driver);

    if (none) {
        cr_assert(wait_for_bell(line.call_fd), "the device's call is lost");
        driver_interrupt(line.driver);
    }
    driver_disable(line.driver);
}

/* Does something else, for up to a few microseconds. */
static void dawdle(void)
{
    for (uint32_t left = draw_long(&line.random, 10000); left > 0; left--)
        __asm__ volatile("" : : "r"(left));
}

static void run_driver(void)
{
    unsigned added = 0, reaped = 0;

    driver_disable(line.driver);
    while (reaped < BUFFERS) {
        unsigned before = added, got;

        dawdle();
        added = add_some(added, reaped);
        got = reap_all();
        reaped += got;
        if (added == before && got == 0)
            sleep_for_call();
    }
    cr_assert_eq(added, reaped);
}

static void run_line(uint32_t size, uint64_t features)
{
    void *desc, *avail, *used;
    pthread_t device;

    line = (struct line){.size = size, .in_flight = size, .random = size};
    line.kick_fd = eventfd(0, EFD_CLOEXEC);
    line.call_fd = eventfd(0, EFD_CLOEXEC);
    arena_init(&line.mem);
    line.driver = driver_create(size, features, on_notify, NULL);
    driver_areas(line.driver, &desc, &avail, &used);
    const struct virtq_layout layout = {gpa((uintptr_t)desc),
                                        gpa((uintptr_t)avail),
                                        gpa((uintptr_t)used), size};
    cr_assert_eq(virtq_enable(&line.q, &line.mem, &layout, features), 0);
    cr_assert_eq(pthread_create(&device, NULL, run_device, NULL), 0);
    run_driver();
    pthread_join(device, NULL);
    cr_assert_not(line.failed, "the driver's kick is lost");
    driver_destroy(line.driver);
    cr_assert_eq(arena_used(), 0);
    arena_fini(&line.mem);
    close(line.kick_fd);
    close(line.call_fd);
}

Test(linux_threads, lose_no_wake_up_without_event_indices)
{
    for (uint32_t size = 1; size <= 256; size *= 16) {
        run_line(size, 0);
        run_line(size, RIG_INDIRECT);
    }
}

Test(linux_threads, lose_no_wake_up_with_event_indices)
{
    for (uint32_t size = 1; size <= 256; size *= 16) {
        run_line(size, RIG_EVENT_IDX);
        run_line(size, RIG_EVENT_IDX | RIG_INDIRECT);
    }
}
