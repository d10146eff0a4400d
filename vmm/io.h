/* SPDX-License-Identifier: MIT */
/* The I/O thread: serves devices while the guest's processor runs. */
#ifndef VMM_IO_H
#define VMM_IO_H

/*
 * A VM begins without one: its vCPU's thread serves all devices when the guest
 * exits. Once there is enough to do, io_start() makes a thread that has some of
 * them. While it is active, it looks at the rings and at the host's files again
 * and again as long as there is work (no kick, no exit), and for a while
 * afterwards; then it asks for kicks and sleeps. When it has slept for long, or
 * when the host gives its processor to somebody else, it parks: the devices go
 * back to the vCPU's thread, until that finds enough to do once more and calls
 * io_activate().
 *
 * How long it goes on looking follows what that earns (spin.h).
 *
 * io_lock() keeps the thread from its devices for a moment, for what another
 * thread has to do to them. All functions belong to the thread that runs the
 * VM.
 */

#include <pthread.h>

#include "virtio/set.h"
#include "vmm/base/bell.h"
#include "vmm/spin.h"

/* Counts. Read them when the thread has ended. */
struct io_stats {
    uint64_t rounds;    /* times it served its devices */
    uint64_t sleeps;    /* ... and slept */
    uint64_t parks;     /* ... and gave them back */
    uint64_t moves;     /* ... and left the guest's processor */
    uint64_t displaced; /* involuntary context switches */
    uint64_t poll_ns;   /* spent looking in vain */
    uint64_t os_calls;  /* system calls */
};

struct io;

/* What the thread asks and tells whoever runs the VM; on the thread. */
struct io_owner {
    /* Whether the guest relies on it even if there is little to do. */
    bool (*is_watched)(struct io *io);
    /* It has parked. */
    void (*parked)(struct io *io);
    /* It has the devices again, after that. NULL: nobody wants to know. */
    void (*resumed)(struct io *io);
};

struct io {
    const struct io_owner *owner; /* NULL: the thread never parks */
    struct vdev_set *set;
    uint64_t mask; /* the devices that the thread serves */
    struct bell bell;
    struct spin spin;
    struct io_stats stats;

    atomic_int guest_cpu;     /* where the guest's thread was last */
    atomic_int cpu;           /* where this one was last */
    uint64_t traded_ns;       /* when the guest's thread last took that */
    uint64_t guest_displaced; /* its involuntary context switches, then */
    uint64_t moved_ns;        /* when this one last moved away from it */

    void *stack; /* mapped by io_init() */
    pthread_t thread;
    bool started;
    atomic_bool stop;
    atomic_bool active;          /* the devices are the thread's */
    atomic_bool kicked;          /* there is something to do for it */
    _Atomic uint64_t kicked_ns;  /* host time of the last one */
    _Atomic uint64_t not_before; /* host time: it was parked for a reason */
    uint64_t hold_ns;            /* how long that lasts the next time */
    bool lost;                   /* somebody else had its processor */
    unsigned vain;               /* kicks, less looks that found something */
    pthread_mutex_t lock;        /* whoever touches the devices has it */
    atomic_uint waiting;         /* others who want the lock */
};

/*
 * Makes what the thread needs, but not the thread: what comes later works in a
 * confined process. It will serve the devices of `set` that are in `mask` and
 * look for work for about `poll_ns` before it sleeps (spin.h). Returns 0 or
 * -errno.
 */
MUST_CHECK int io_init(struct io *io, struct vdev_set *set, uint64_t mask,
                       uint64_t poll_ns);

/* Frees all that; the thread has ended. */
void io_fini(struct io *io);

/*
 * Starts the thread, active: the devices in io->mask are its from here on. All
 * signals stay with the other threads. Returns 0 or -errno: then it can be
 * tried again.
 */
MUST_CHECK int io_start(struct io *io);

/* Ends the thread, if it runs, when it has done what it is doing. */
void io_stop(struct io *io);

/*
 * There is something to do: the guest has kicked. Returns whether the thread
 * sees to it. If not, it is parked: the devices are the caller's.
 */
MUST_CHECK bool io_kick(struct io *io);

/*
 * Whether the devices are the caller's: the thread does not run, or is parked.
 * If so they stay that until io_start() or io_activate().
 */
bool io_is_parked(const struct io *io);

/* Whether it is too early to call io_activate() at host time `now_ns`. */
bool io_is_held(const struct io *io, uint64_t now_ns);

/* Gives the devices to the parked thread again. */
void io_activate(struct io *io);

/*
 * The calling thread, which runs the guest, is on this processor: the thread
 * keeps away from it if there is another one.
 */
void io_note_guest_cpu(struct io *io);

/*
 * The calling thread, which runs the guest, has left it for a moment. If others
 * have taken its processor from it again and again, it goes to the I/O
 * thread's, which moves out of its way: a guest that looks for work cannot
 * yield, and that thread can.
 */
void io_trade_places(struct io *io);

/* A device has put off what an active thread can do now. */
void io_wake(struct io *io);

/* Until io_unlock() the thread does not touch its devices. */
void io_lock(struct io *io);
void io_unlock(struct io *io);

#endif
