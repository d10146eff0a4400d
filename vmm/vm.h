/* SPDX-License-Identifier: MIT */
/* One VM: all of its parts in one place. Internal to the library. */
#ifndef VMM_VM_H
#define VMM_VM_H

/*
 * vm.c makes and ends VMs, run.c runs them, wait.c is where their guests wait,
 * crash.c explains how they ended. Everything belongs to the thread that has
 * the VM, except `stop`, `resized` and `signals`, the devices that the I/O
 * thread has once it runs, and what it calls: the listener.
 */

#include <stdatomic.h>
#include <sys/types.h>

#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/native.h"
#include "virtio/net.h"
#include "virtio/p9.h"
#include "virtio/rng.h"
#include "virtio/stream.h"
#include "virtio/tap.h"
#include "virtio/vsock.h"
#include "vmm/base/bell.h"
#include "vmm/base/gmem.h"
#include "vmm/clock.h"
#include "vmm/image.h"
#include "vmm/io.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/mayfly.h"
#include "vmm/signals.h"
#include "vmm/tick.h"
#include "vmm/upcall.h"
#include "vmm/vcpu.h"

/* A network device and what it is connected to: one of the two. */
struct vm_net {
    struct net net;
    union {
        struct tap tap;
        struct stream stream;
    };
};

#define VM_CONSOLES 2u /* devices that every VM has */

struct mayfly {
    struct mayfly_options options;
    struct kvm kvm;
    struct vcpu vcpu;
    uint64_t xcr0; /* vector state that the guest may use */

    struct image image;
    int image_fd; /* borrowed; symbols are read from it */
    bool loaded;
    struct machine machine;
    struct gmem ram;         /* all of it; its host memory is ours ... */
    struct rooms *ram_rooms; /* ... a room of these; NULL: mapped for itself */
    struct gmem mem;         /* the part that the guest may name to us */
    struct clock clock;

    struct native native;
    const struct native_state
        *states;            /* devices_add(): they go on from these */
    struct console console; /* standard input and output */
    struct console errors;  /* standard error */
    struct rng rng;         /* if options.entropy */
    struct balloon balloon; /* if options.balloon */
    struct upcall_line upcalls;

    bool has_io;             /* io and bell are made */
    struct io io;            /* the thread for disks and networks */
    bool unfinished;         /* this thread has more to do for its devices */
    unsigned io_exits;       /* for its devices, while it has none */
    uint64_t io_exits_since; /* host time: counted from there */
    struct bell bell;        /* rung for a guest that waits */
    struct spin wait_spin;   /* looks before such a guest sleeps */
    struct event_listener listener; /* of events from that thread */
    atomic_bool signalled;          /* it has interrupted the processor */
    atomic_ulong upcall_signals;    /* so many times */
    pid_t process;                  /* this one, if has_io */
    atomic_bool computing;          /* the guest runs, or is about to */
    uint64_t told;                  /* events that it knows of, as it goes on */

    atomic_bool memory_lost;   /* the snapshot's file was cut short */
    struct reset *reset;       /* NULL: it cannot be reset */
    const uint8_t *mapped_end; /* its last byte in memory; NULL: not mapped */
    bool from_snapshot;        /* its memory came from one */
    const struct mayfly_template *template; /* NULL: it is no clone of one */
    bool stopped_by_hypercall;   /* and not in the middle of something else */
    bool fresh;                  /* restored or reset, and not run since */
    bool at_call;                /* the guest is in MF_HC_CALL ... */
    uint64_t call_at;            /* ... with its struct mf_call here */
    bool at_snapshot;            /* stopped where one can be taken ... */
    uint32_t snapshot_flags;     /* ... with these SNAPSHOT_* */
    atomic_bool snapshot_wanted; /* mayfly_request_snapshot was called */
    struct snapshot_work *snapshot_work; /* NULL: not asked for */

    struct tick *tick;    /* of the thread with run_number */
    uint64_t deadline_ns; /* host monotonic time; UINT64_MAX: none */
    uint64_t look_ns;     /* what a serving guest has sent is looked at then,
                             if it has not waited; UINT64_MAX: at a tick */
    bool computes_on;     /* when it has answered: look sooner than that */
    uint64_t run_number;  /* of the thread that ran it; 0: none was prepared */
    pid_t run_thread;     /* the kernel's id of it */
    _Atomic pid_t thread; /* the kernel's id of who runs it; 0: nobody */
    atomic_bool stop;     /* mayfly_stop was called */
    atomic_bool resized;  /* mayfly_resize was called, and not heard yet */
    struct signal_line signals; /* mayfly_signal was called */
    unsigned long os_calls;     /* made for this VM so far */

    struct mayfly_stats stats;

    /* What a VM that goes on from a snapshot tells the guest's runtime anew. */
    uint32_t clone_optc;
    uint32_t clone_bytes; /* of clone_strings */

    /* As many as there are in use; last, because they are large. */
    struct mmio registers[MF_DEVICES_MAX]; /* of all devices, if by mmio */
    struct blk disks[MAYFLY_DISKS_MAX];
    struct vm_net nets[MAYFLY_NETS_MAX];
    struct p9 shares[MAYFLY_SHARES_MAX];
    struct vsock vsock; /* if vm_has_sockets() */

    char clone_strings[MF_PAGE_BYTES];
};

static inline bool vm_has_sockets(const struct mayfly_options *options)
{
    return options->sockets || options->serves || options->stream_count > 0 ||
           options->connect_count > 0;
}

/*
 * Maps one RAM region; host memory comes when the guest touches it. Returns 0
 * or a negative errno.
 */
MUST_CHECK int vm_map_ram(struct mayfly *vm, const struct mf_range *range,
                          char *error);

/* Gives KVM all regions that are mapped. Returns 0 or a negative errno. */
MUST_CHECK int vm_give_ram(struct mayfly *vm, char *error);

/*
 * What follows when the guest's memory is as it is to find it: what it may name
 * to us, its devices (with `devices`: they go on with these states), upcalls
 * and signals. Returns 0 or a negative errno.
 */
MUST_CHECK int vm_connect(struct mayfly *vm, const struct native_state *devices,
                          char *error);

/* Notes that a stage is reached, if it is for the first time. */
void vm_note_stage(struct mayfly *vm, enum mayfly_stage stage);

/*
 * Does what has to be done before the process is confined: the handler for
 * MAYFLY_KICK_SIGNAL, and the tick for the calling thread, which will run the
 * VM. Does nothing the second time. Returns 0 or a negative errno.
 */
MUST_CHECK int vm_prepare_run(struct mayfly *vm, char *error);

/*
 * Runs the guest for at most `timeout_ns`, 0 for no limit, on the thread that
 * it is prepared for. Returns 0 and fills `*result`, which is zero, or a
 * negative errno.
 */
MUST_CHECK int vm_run(struct mayfly *vm, uint64_t timeout_ns,
                      struct mayfly_result *result, char *error);

/* Undoes vm_prepare_run(). */
void vm_unprepare_run(struct mayfly *vm);

#endif
