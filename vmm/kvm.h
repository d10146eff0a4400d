/* SPDX-License-Identifier: MIT */
/* KVM: a VM and its memory. */
#ifndef VMM_KVM_H
#define VMM_KVM_H

/*
 * The lean way to a VM, in the order in which KVM wants it: open, create,
 * split interrupt controller (in-kernel local APIC only, so that KVM keeps its
 * fast paths; no in-kernel I/O APIC, PIC or PIT, whose registration on KVM's
 * I/O bus waits for a grace period), one memory slot a RAM region, and then the
 * vCPU (vcpu.h).
 */

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/util.h"

struct kvm {
    int fd;        /* /dev/kvm, the one of all VMs of the process */
    int vm_fd;     /* the VM */
    bool hardware; /* VT-x or SVM, not a software backend */
    unsigned slots;
};

/*
 * Creates a VM; opens /dev/kvm if this process has no VM yet. Any thread.
 * Returns 0 or a negative errno; on failure nothing stays open.
 */
MUST_CHECK int kvm_create(struct kvm *kvm, char *error);

/*
 * Has /dev/kvm open, as each VM does, until kvm_leave_device(): for those who
 * make one after the other. Stores the descriptor in `*fd`. Returns 0 or a
 * negative errno.
 */
MUST_CHECK int kvm_hold_device(int *fd, char *error);
void kvm_leave_device(void);

/*
 * Gives the VM `bytes` bytes of RAM at guest-physical address `base`, backed by
 * `host`, which must outlive the VM. `logged`: for kvm_get_dirty(). Returns 0
 * or a negative errno.
 */
MUST_CHECK int kvm_add_memory(struct kvm *kvm, uint64_t base, uint64_t bytes,
                              void *host, bool logged, char *error);

/*
 * Stores in `bits`, one for each page, which pages of the region that was added
 * as number `slot` (from 0 on) the guest has ever written to. Returns 0 or a
 * negative errno.
 */
MUST_CHECK int kvm_get_dirty(const struct kvm *kvm, unsigned slot,
                             uint64_t *bits);

/*
 * Has the run end where KVM cannot do for the guest what it should, instead of
 * raising #UD in it. On SVM a guest that has led the interrupt table to where
 * no memory is would otherwise try that exception for ever (Linux,
 * Documentation/virt/kvm/api.rst, KVM_CAP_EXIT_ON_EMULATION_FAILURE). On a
 * software backend nothing changes: what it can do is its own matter.
 */
void kvm_report_failures(const struct kvm *kvm);

/*
 * Has KVM show a shutdown that it has decided on and not told yet, so that it
 * can be taken back (struct kvm_vcpu_events). Returns whether it does.
 */
bool kvm_show_triple_faults(const struct kvm *kvm);

/* The rate of the VM's time-stamp counter in kHz, or a negative errno. */
MUST_CHECK int kvm_tsc_khz(const struct kvm *kvm);

/* Closes what kvm_create opened. The vCPU must be gone. */
void kvm_destroy(struct kvm *kvm);

/*
 * Whether KVM runs on VT-x or SVM. `fd` is /dev/kvm or a VM. Only backends of
 * the processor's own virtualization can nest, and say how much state that is,
 * whether or not nesting is enabled; kvm_pvm cannot.
 */
bool kvm_is_hardware(int fd);

#endif
