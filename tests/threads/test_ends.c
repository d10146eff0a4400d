/* SPDX-License-Identifier: MIT */
/* Stopping a VM from another thread, and signals for upcalls. */
#include <pthread.h>
#include <signal.h>

#include "tests/threads/machine.h"

static uint64_t random_state = 99;
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void catch_kicks(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    CHECK(!sigaction(MAYFLY_KICK_SIGNAL, &action, NULL), "sigaction");
    signals = 0;
}

/* The guest sends one message. */
static void send_message(void)
{
    uint64_t *buffer = (uint64_t *)(MF_BOOT_PAGE + 0x100000);
    struct iovec iov[2] = {{buffer, 8}, {buffer + 1, 8}};

    CHECK(ring_add(&machine.echo_ring, iov, 1, 1) >= 0, "no room");
    if (ring_publish(&machine.echo_ring))
        device_kick(&machine.echo_device, 0);
}

/* Whether the answer is there. */
static bool has_answer(void *unused)
{
    (void)unused;
    return ring_has_used(&machine.echo_ring);
}

static void take_answer(void)
{
    uint32_t written;

    CHECK(ring_reap(&machine.echo_ring, &written) >= 0, "nothing there");
    note_progress();
}

/* ---- Stops -------------------------------------------------------------- */

static atomic_bool guest_is_on; /* the stop may come */

static void *stopper_main(void *pauses)
{
    while (!atomic_load(&guest_is_on))
        spin(1);
    spin(*(uint32_t *)pauses);
    mayfly_stop(&machine.vm);
    return NULL;
}

/* Waits for nothing, which only a stop ends. */
static void wait_for_stop(void)
{
    while (!machine.ended) {
        uint64_t seen =
            __atomic_and_fetch(&mf_boot_page()->events, 0, __ATOMIC_ACQ_REL);

        mf_hypercall(MF_HC_WAIT, seen, MF_WAIT_FOREVER);
    }
}

static bool answer_or_end(void *unused)
{
    return ring_want_event(&machine.echo_ring) || machine.ended ||
           has_answer(unused);
}

/* Sends messages and waits for their answers, until the stop. */
static void work_until_stop(void)
{
    uint64_t bits = device_event(&machine.echo_device);
    struct poll poll = {0};

    while (!machine.ended) {
        send_message();
        poll_wait(&poll, bits, has_answer, answer_or_end, NULL,
                  MF_WAIT_FOREVER);
        if (has_answer(NULL))
            take_answer();
        /* A guest that computes is stopped by KVM, which is not here. */
        if (serve_must_end(&machine.vm, &machine.result))
            machine.ended = true;
    }
}

static void stop_once(const struct machine_options *options, bool busy)
{
    uint32_t pauses = random_below(&random_state, 20000);
    pthread_t stopper;

    machine_start(options);
    atomic_store(&guest_is_on, false);
    CHECK(!pthread_create(&stopper, NULL, stopper_main, &pauses), "no thread");
    send_message();
    atomic_store(&guest_is_on, true);
    if (busy) {
        while (!has_answer(NULL))
            spin(1);
        take_answer();
        work_until_stop();
    } else {
        wait_for_stop();
    }
    CHECK(machine.result.end == MAYFLY_STOPPED, "end %d", machine.result.end);
    pthread_join(stopper, NULL);
    machine_stop();
    note_progress();
}

void test_stops(uint64_t rounds, const struct machine_options *options)
{
    catch_kicks();
    for (uint64_t i = 0; i < rounds; i++)
        stop_once(options, i % 2);
}

/* ---- Upcalls ------------------------------------------------------------ */

/* A guest that computes asks for an event, and gets its answer. */
static void compute_until_answer(void)
{
    uint64_t bits = device_event(&machine.echo_device);

    __atomic_fetch_and(&mf_boot_page()->events, ~bits, __ATOMIC_ACQ_REL);
    ring_want_event(&machine.echo_ring);
    send_message();
    while (!(event_read(&machine.vm.native.events) & bits))
        spin(1);
    take_answer();
    /* The event comes before the listener's part, and both in one serve. */
    io_lock(&machine.vm.io);
    io_unlock(&machine.vm.io);
}

static void wait_for_signals(unsigned long count)
{
    while ((unsigned long)signals < count)
        spin(1);
}

void test_upcalls(uint64_t rounds, const struct machine_options *options)
{
    struct machine_options with_handler = *options;
    struct mf_boot *boot = mf_boot_page();

    with_handler.upcall = MF_IMAGE_BASE;
    catch_kicks();
    machine_start(&with_handler);
    __atomic_store_n(&boot->upcall_events, device_event(&machine.echo_device),
                     __ATOMIC_RELAXED);
    for (unsigned long i = 1; i <= rounds; i++) {
        atomic_store(&machine.vm.signalled, false);
        compute_until_answer();
        wait_for_signals(i);
        /* The vCPU has been told, and has not come yet: no more of them. */
        compute_until_answer();
        compute_until_answer();
        CHECK(atomic_load(&machine.vm.upcall_signals) == i &&
                  (unsigned long)signals == i,
              "%lu signals, %d came", atomic_load(&machine.vm.upcall_signals),
              (int)signals);
        /* Masked, or not armed: none either. */
        atomic_store(&machine.vm.signalled, false);
        __atomic_store_n(&boot->upcall_masked, 1, __ATOMIC_SEQ_CST);
        compute_until_answer();
        CHECK(!atomic_load(&machine.vm.signalled), "signalled while masked");
        __atomic_store_n(&boot->upcall_masked, 0, __ATOMIC_SEQ_CST);
    }
    machine_stop();
}
