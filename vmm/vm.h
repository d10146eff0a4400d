/* SPDX-License-Identifier: MIT */
/* One VM: all of its parts in one place. Internal to the library. */
#ifndef VMM_VM_H
#define VMM_VM_H

/*
 * vm.c makes and ends VMs, run.c runs them, crash.c explains how they ended.
 * Everything belongs to the thread that has the VM, except `stop`.
 */

#include <stdatomic.h>
#include <sys/types.h>

#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/native.h"
#include "vmm/base/gmem.h"
#include "vmm/clock.h"
#include "vmm/image.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/mayfly.h"
#include "vmm/upcall.h"
#include "vmm/vcpu.h"

/* The signal that looks after output and limits while the guest computes. */
struct tick {
    int timer;        /* the kernel's id */
    bool made;        /* `timer` exists */
    uint64_t next_ns; /* host monotonic time of its next signal, or a little
                         later than that; 0: disarmed */
};

struct mayfly {
    struct mayfly_options options;
    struct kvm kvm;
    struct vcpu vcpu;
    uint64_t xcr0; /* vector state that the guest may use */

    struct image image;
    int image_fd; /* borrowed; symbols are read from it */
    bool loaded;
    struct machine machine;
    struct gmem ram; /* all of it; its host memory is ours */
    struct gmem mem; /* the part that the guest may name to us */
    struct clock clock;

    struct native native;
    struct console console; /* standard input and output */
    struct console errors;  /* standard error */
    struct upcall_line upcalls;

    struct tick tick;
    uint64_t deadline_ns;   /* host monotonic time; UINT64_MAX: none */
    _Atomic pid_t thread;   /* the kernel's id of who runs it; 0: nobody */
    atomic_bool stop;       /* mayfly_stop was called */
    unsigned long os_calls; /* made for this VM so far */

    struct mayfly_stats stats;

    /* options.disk_count of them; last, because they are large. */
    struct blk disks[MAYFLY_DISKS_MAX];
};

/* Notes that a stage is reached, if it is for the first time. */
void vm_note_stage(struct mayfly *vm, enum mayfly_stage stage);

/*
 * Does what has to be done before the process is confined: the handler for
 * MAYFLY_KICK_SIGNAL, and the tick for the calling thread, which will run the
 * VM. Does nothing the second time. Returns 0 or a negative errno.
 */
MUST_CHECK int vm_prepare_run(struct mayfly *vm, char *error);

/* Undoes that. */
void vm_unprepare_run(struct mayfly *vm);

#endif
