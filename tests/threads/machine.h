/* SPDX-License-Identifier: MIT */
/* A VM without KVM whose devices have an I/O thread, and its guest. */
#ifndef TESTS_THREADS_MACHINE_H
#define TESTS_THREADS_MACHINE_H

/*
 * The program's main thread is the guest and the thread that runs the VM: it
 * uses the guest's own drivers (guest_rt/), and mf_hypercall() is serve_kick()
 * and serve_wait(). Guest memory is mapped once, where the drivers expect it,
 * so that ThreadSanitizer sees both sides of each ring at the same addresses.
 */

#include "guest_rt/device.h"
#include "guest_rt/poll.h"
#include "tests/threads/devices.h"
#include "vmm/serve.h"

/* One of them at a time. */
struct machine_under_test {
    struct mayfly vm;
    struct echo echo;
    struct source source;
    int feed_fd; /* what is written here, the source gives to the guest */

    struct device echo_device, source_device; /* as the guest has them */
    struct ring echo_ring, source_ring;

    struct mayfly_result result; /* when the run has ended */
    bool ended;
    uint64_t kicks, waits; /* hypercalls */
};

extern struct machine_under_test machine;

struct machine_options {
    uint64_t poll_ns;
    bool by_flag;      /* rings without EVENT_IDX */
    bool parks;        /* the I/O thread may give the devices back */
    bool short_serves; /* devices often say that there is more to do */
    uint64_t upcall;   /* the guest's handler, or 0 */
};

void machine_start(const struct machine_options *options);

/* Gives a parked I/O thread the devices again, as a busy guest would. */
void machine_activate(void);

/* Ends the run if nobody has, and frees everything. */
void machine_stop(void);

/* The driver resets a device and brings it up again; chains are lost. */
void machine_reset_device(struct vdev *dev, struct device *device,
                          struct ring *ring, void (*drain)(void));

/* Says what both sides know. For a machine that has come to a halt. */
void machine_dump(void);

/* ---- Test program ------------------------------------------------------- */

/* Ends the program with a message if `condition` does not hold. */
#define CHECK(condition, ...)                                \
    do {                                                     \
        if (!(condition))                                    \
            check_failed(#condition, __LINE__, __VA_ARGS__); \
    } while (0)

__attribute__((noreturn, format(printf, 3, 4))) void
check_failed(const char *condition, int line, const char *format, ...);

/* Something has happened: the watchdog waits on. Guest thread. */
void note_progress(void);

/* A generator for each thread, seeded with anything but 0. */
uint32_t random_below(uint64_t *state, uint32_t bound);

/* Waits for a while without a system call. */
void spin(uint32_t pauses);

/* What main.c runs. */
void test_round_trips(uint64_t rounds, const struct machine_options *options);
void test_parking(uint64_t rounds, const struct machine_options *options);
void test_resets(uint64_t rounds, const struct machine_options *options);
void test_stops(uint64_t rounds, const struct machine_options *options);
void test_upcalls(uint64_t rounds, const struct machine_options *options);

#endif
