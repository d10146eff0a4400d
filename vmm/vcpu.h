/* SPDX-License-Identifier: MIT */
/* The virtual processor: loaded with a ring-3 state, run, asked why it stopped.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

/*
 * Registers travel through the page that KVM shares with us
 * (KVM_CAP_SYNC_REGS), not by system calls. One thread owns a vCPU;
 * vcpu_interrupt alone may be called from elsewhere.
 */

#include <stdint.h>

#include "vmm/base/util.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"

struct kvm_run;

struct vcpu {
    int fd;
    struct kvm_run *run; /* shared with KVM */
    size_t run_bytes;
    bool triple_faults; /* KVM lets us take one back: kvm_show_triple_faults */
    struct mf_range returning; /* code that loads the rest of a state */
};

/*
 * Creates the VM's processor. On hardware KVM also lets the guest have the
 * host's vector state and FSGSBASE, which a software backend gives anyway, and
 * makes its time-stamp counter the host's. Stores the vector state that the
 * guest may use (XCR0) in `*xcr0`. Returns 0 or a negative errno.
 */
MUST_CHECK int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm,
                           uint64_t *xcr0, char *error);

/* The vector state (XCR0) that this host has and a guest may use. */
uint64_t vcpu_host_xcr0(void);

/* Loads the state in which a guest starts: ring 3, at `entry`. */
void vcpu_set_entry(struct vcpu *vcpu, const struct machine *machine,
                    uint64_t entry);

/* Why a vCPU stopped. */
enum vcpu_exit {
    VCPU_EXIT_HYPERCALL, /* number and arguments are in struct vcpu_stop */
    VCPU_EXIT_SIGNAL,    /* a signal came, or vcpu_interrupt was called */
    VCPU_EXIT_TRIPLE,    /* an exception without a handler */
    VCPU_EXIT_PORT,      /* I/O that is no hypercall; detail: the port */
    VCPU_EXIT_MEMORY,    /* an access to unbacked memory; detail: address */
    VCPU_EXIT_KVM,       /* KVM cannot go on; detail: its reason */
};

/* An access to guest-physical memory that is not there. */
struct vcpu_access {
    uint64_t address;
    unsigned bytes; /* 1 to 8 */
    bool is_write;
    uint8_t data[8]; /* what a write wants to write */
};

struct vcpu_stop {
    enum vcpu_exit exit;
    unsigned number; /* of the hypercall */
    uint64_t args[2];
    uint64_t detail;
    struct vcpu_access access; /* VCPU_EXIT_MEMORY only */
};

/*
 * Runs the guest until something stops it. Returns 0 and fills `*stop`, or a
 * negative errno if KVM refuses to run.
 */
MUST_CHECK int vcpu_run(struct vcpu *vcpu, struct vcpu_stop *stop);

/* Sets what the hypercall that stopped the vCPU returns. */
void vcpu_set_result(struct vcpu *vcpu, uint64_t result);

/*
 * Answers the read that stopped the vCPU with VCPU_EXIT_MEMORY: `bytes` bytes,
 * as many as it asked for. The guest gets them, and its instruction is over,
 * with the next vcpu_run. A longer access comes in several such stops.
 */
void vcpu_set_mmio_data(struct vcpu *vcpu, const void *data, unsigned bytes);

/* Makes the current or the next vcpu_run return at once. Signal handlers. */
void vcpu_interrupt(struct vcpu *vcpu);

/* Takes that back: the caller looks at whatever it was about. */
void vcpu_forget_interrupt(struct vcpu *vcpu);

/*
 * Makes vcpu_interrupt_guest possible: KVM tells about events of its own at
 * each stop from now on. After vcpu_set_entry, before vcpu_run.
 */
void vcpu_allow_interrupts(struct vcpu *vcpu);

/*
 * Interrupts the guest as the processor would: pushes its state on the stack
 * that ends at `stack_top` and goes on at `handler`, in ring 3. Only when
 * vcpu_run has just stopped with VCPU_EXIT_SIGNAL: other stops are in the
 * middle of an instruction. Returns 0; -EBUSY if KVM is about to deliver an
 * exception of its own, or the guest is about one, so that the caller tries
 * again at a later stop; or
 * -EFAULT if the stack is not in `mem`.
 */
MUST_CHECK int vcpu_interrupt_guest(struct vcpu *vcpu, const struct gmem *mem,
                                    uint64_t handler, uint64_t stack_top);

/* General registers at the last stop, in the order of enum mf_reg. */
void vcpu_get_regs(const struct vcpu *vcpu, uint64_t regs[MF_REG_COUNT],
                   uint64_t *rip, uint64_t *rflags);

#define VCPU_XSAVE_BYTES 4096u

/*
 * All that ring 3 can see or change of a processor. A part of snapshots, so its
 * layout is that of their format.
 */
struct vcpu_state {
    uint64_t regs[MF_REG_COUNT]; /* in the order of enum mf_reg */
    uint64_t rip, rflags;
    uint64_t fs_base, gs_base;
    uint8_t xsave[VCPU_XSAVE_BYTES]; /* as XSAVE has it, not compacted */
};

/*
 * Finishes the instruction that stopped the vCPU, a hypercall with its result
 * among them: until then its registers are not the guest's next ones on every
 * processor. Returns 0, or a negative errno.
 */
MUST_CHECK int vcpu_complete(struct vcpu *vcpu);

/*
 * Ends whatever instruction KVM is in the middle of, before other registers are
 * loaded: what it does to these ones and to memory does not matter any more.
 * Returns 0 or a negative errno.
 */
MUST_CHECK int vcpu_abandon(struct vcpu *vcpu);

/*
 * Whether a completed stop is in the program and not in the middle of an
 * exception, or of going on after a reset (return.h): only then struct
 * vcpu_state is all that there is.
 */
bool vcpu_is_at_rest(const struct vcpu *vcpu);

/* Stores the state of a vCPU that is at rest. Returns 0 or a negative errno. */
MUST_CHECK int vcpu_save(const struct vcpu *vcpu, struct vcpu_state *state);

/*
 * Loads a vCPU, instead of vcpu_set_entry(), with a state that may be anything:
 * it goes on in ring 3. `xcr0` is the vector state that it may have. Returns 0,
 * -EINVAL if the state is one that no guest has, or another negative errno.
 */
MUST_CHECK int vcpu_load(struct vcpu *vcpu, const struct machine *machine,
                         const struct vcpu_state *state, uint64_t xcr0);

/*
 * The same, but for vector state: for a guest that loads that itself. Of what
 * KVM had under way, an exception say, nothing is left.
 */
MUST_CHECK int vcpu_load_registers(struct vcpu *vcpu,
                                   const struct machine *machine,
                                   const struct vcpu_state *state);

/*
 * Takes the components that are not in `xcr0` out of an XSAVE area: they are
 * then as after a reset.
 */
void vcpu_limit_xsave(void *xsave, uint64_t xcr0);

/* Those of the flags that a program has, with those that it has to have. */
uint64_t vcpu_user_rflags(uint64_t rflags);

/* Asks KVM for the page-fault address (CR2). Returns 0 or a negative errno. */
MUST_CHECK int vcpu_get_fault_address(const struct vcpu *vcpu,
                                      uint64_t *address);

/* Ends the processor. */
void vcpu_destroy(struct vcpu *vcpu);

#endif
