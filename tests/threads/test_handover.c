/* SPDX-License-Identifier: MIT */
/* Work that goes round while both sides fall asleep and wake: none is lost. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "tests/threads/machine.h"

#define BURST_MAX  6u  /* chains or numbers at once */
#define PAUSES_MAX 300 /* some microseconds */

/* A chain's buffers: what is sent, and what comes back. */
struct message {
    uint64_t out, in;
};

#define MESSAGES ((struct message *)(MF_BOOT_PAGE + 0x100000))
#define NUMBERS  ((uint64_t *)(MF_BOOT_PAGE + 0x200000))

/* What the guest keeps. */
struct guest {
    uint64_t random;
    uint64_t sent, received; /* messages: numbered from 1 on */
    uint64_t numbers;        /* received from the source so far */
    struct poll poll;
    bool wait_by_poll; /* look first, as drivers do */
};

static struct guest guest;

/* ---- The guest's drivers ------------------------------------------------ */

static void take_echoes(void)
{
    uint32_t written;
    int head;

    while ((head = ring_reap(&machine.echo_ring, &written)) >= 0) {
        const struct message *message = &MESSAGES[head];

        guest.received++;
        CHECK(written == sizeof(message->in), "%u bytes", written);
        CHECK(message->in == guest.received, "%llu instead of %llu",
              (unsigned long long)message->in,
              (unsigned long long)guest.received);
        note_progress();
    }
    CHECK(head == -EAGAIN, "%d", head);
}

static void take_numbers(void)
{
    uint32_t written;
    int head;

    while ((head = ring_reap(&machine.source_ring, &written)) >= 0) {
        guest.numbers++;
        CHECK(written == sizeof(uint64_t), "%u bytes", written);
        CHECK(NUMBERS[head] == guest.numbers, "%llu instead of %llu",
              (unsigned long long)NUMBERS[head],
              (unsigned long long)guest.numbers);
        note_progress();
    }
    CHECK(head == -EAGAIN, "%d", head);
}

static void send_messages(unsigned count)
{
    struct ring *ring = &machine.echo_ring;

    for (unsigned i = 0; i < count; i++) {
        /* Heads are even: each chain takes two descriptors. */
        struct message *message = &MESSAGES[ring_next_head(ring)];
        struct iovec iov[2] = {
            {&message->out, sizeof(message->out)},
            {&message->in, sizeof(message->in)},
        };

        if (ring->free_count < 2)
            break;
        message->out = ++guest.sent;
        message->in = 0;
        CHECK(ring_add(ring, iov, 1, 1) >= 0, "no room");
    }
    if (ring_publish(ring))
        device_kick(&machine.echo_device, 0);
}

static void offer_buffers(void)
{
    struct ring *ring = &machine.source_ring;

    if (ring->free_count == 0)
        return;
    while (ring->free_count > 0) {
        uint64_t *number = &NUMBERS[ring_next_head(ring)];
        struct iovec iov = {number, sizeof(*number)};

        *number = 0;
        CHECK(ring_add(ring, &iov, 0, 1) >= 0, "no room");
    }
    if (ring_publish(ring))
        device_kick(&machine.source_device, 0);
}

static bool has_work(void *unused)
{
    (void)unused;
    return ring_has_used(&machine.echo_ring) ||
           ring_has_used(&machine.source_ring);
}

static bool arm(void *unused)
{
    bool echo = ring_want_event(&machine.echo_ring);
    bool source = ring_want_event(&machine.source_ring);

    (void)unused;
    return echo || source || machine.ended;
}

/* Until there is something, in one of the ways in which guests wait. */
static void wait_for_work(void)
{
    struct poll blunt = {.halvings = POLL_HALVINGS_MAX + 1};
    uint64_t bits = device_event(&machine.echo_device) |
                    device_event(&machine.source_device);
    uint64_t deadline_ns = MF_WAIT_FOREVER;

    if (random_below(&guest.random, 16) == 0)
        deadline_ns = clock_guest_ns(&machine.vm.clock) +
                      random_below(&guest.random, 100000);
    poll_wait(guest.wait_by_poll ? &guest.poll : &blunt, bits, has_work, arm,
              NULL, deadline_ns);
    ring_refuse_event(&machine.echo_ring);
    ring_refuse_event(&machine.source_ring);
}

/* One turn of the guest's life: something of everything. */
static void live(void)
{
    guest.wait_by_poll = random_below(&guest.random, 2);
    offer_buffers();
    if (random_below(&guest.random, 8) > 0)
        send_messages(1 + random_below(&guest.random, BURST_MAX));
    spin(random_below(&guest.random, PAUSES_MAX));
    if (!has_work(NULL))
        wait_for_work();
    take_echoes();
    take_numbers();
}

/* ---- Who feeds the source ----------------------------------------------- */

static atomic_bool feeder_stop;
static uint32_t feeder_pause_ns; /* at most */

static void *feeder_main(void *unused)
{
    uint64_t random = 77, number = 1;

    (void)unused;
    while (!atomic_load(&feeder_stop)) {
        unsigned burst = 1 + random_below(&random, BURST_MAX);
        struct timespec pause = {0, random_below(&random, feeder_pause_ns)};

        for (unsigned i = 0; i < burst; i++)
            if (write(machine.feed_fd, &number, sizeof(number)) ==
                sizeof(number))
                number++;
        if (random_below(&random, 4) == 0)
            nanosleep(&pause, NULL);
        else
            spin(random_below(&random, 10 * PAUSES_MAX));
    }
    return NULL;
}

static pthread_t start_feeder(void)
{
    sigset_t all, before;
    pthread_t thread;

    atomic_store(&feeder_stop, false);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    CHECK(!pthread_create(&thread, NULL, feeder_main, NULL), "no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}

static void end_feeder(pthread_t thread)
{
    atomic_store(&feeder_stop, true);
    pthread_join(thread, NULL);
}

static void start_guest(const struct machine_options *options)
{
    guest = (struct guest){.random = 4711 + options->poll_ns};
    feeder_pause_ns = 200000;
    machine_start(options);
}

/* ---- Tests -------------------------------------------------------------- */

void test_round_trips(uint64_t rounds, const struct machine_options *options)
{
    start_guest(options);
    pthread_t feeder = start_feeder();

    while (guest.received < rounds)
        live();
    end_feeder(feeder);
    CHECK(!machine.ended, "nobody has ended it");
    machine_stop();
}

/*
 * The devices go from one thread to the other and back, also while the guest
 * waits for numbers and nothing else.
 */
void test_parking(uint64_t rounds, const struct machine_options *options)
{
    start_guest(options);
    feeder_pause_ns = 3000000; /* much longer than it takes to park */
    pthread_t feeder = start_feeder();

    while (guest.received < rounds) {
        live();
        if (random_below(&guest.random, 4) == 0)
            machine_activate();
        if (random_below(&guest.random, 16) == 0 &&
            ring_in_flight(&machine.echo_ring) == 0) {
            offer_buffers();
            wait_for_work();
        }
    }
    end_feeder(feeder);
    machine_stop();
    CHECK(machine.vm.io.stats.parks > 0 || rounds < 1000, "it never parks");
}

/* What the device had not answered will never be. */
static void drain_echo(void)
{
    take_echoes();
    guest.sent = guest.received;
}

/* Registers of a device in flight, as a transport accesses them. */
static void touch_registers(void)
{
    struct io *io = &machine.vm.io;

    io_lock(io);
    CHECK(vdev_is_live(&machine.echo.dev), "the device has given up");
    vdev_disable_queue(&machine.echo.dev, 1); /* there is none */
    io_unlock(io);
}

static void reset_one(void)
{
    if (random_below(&guest.random, 2))
        machine_reset_device(&machine.echo.dev, &machine.echo_device,
                             &machine.echo_ring, drain_echo);
    else
        machine_reset_device(&machine.source.dev, &machine.source_device,
                             &machine.source_ring, take_numbers);
}

void test_resets(uint64_t rounds, const struct machine_options *options)
{
    start_guest(options);
    pthread_t feeder = start_feeder();

    while (guest.received < rounds) {
        live();
        send_messages(random_below(&guest.random, BURST_MAX));
        touch_registers();
        if (random_below(&guest.random, 4) == 0)
            reset_one();
    }
    end_feeder(feeder);
    machine_stop();
}
