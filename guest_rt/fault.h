/* SPDX-License-Identifier: MIT */
/* Exceptions that a program may handle: from the fault stack to a signal. */
#ifndef MAYFLY_FAULT_H
#define MAYFLY_FAULT_H

/*
 * An exception enters on its fault stack (fault.S), which the next one of its
 * kind overwrites. Programs that install signal handlers contain mf_fault_take
 * (fault_take.S), which the entry calls, if it is there, before it reports a
 * crash:
 *
 *   1. on the fault stack, without touching vector registers: fault_stack()
 *      (fault.c) repairs what the runtime can repair itself, or asks
 *      signal_fault_stack() where a handler would run, and makes sure that
 *      this stack is there, so that the next steps cause no fault;
 *   2. on that stack, with vector state saved: signal_fault() calls the
 *      handler, and may change the frame;
 *   3. the frame is loaded, as it then is, and the program goes on.
 *
 * No upcall comes during 1 (abi.h). From 2 on everything is as in an ordinary
 * function that was called between two instructions: it may be interrupted,
 * fault itself, or leave by siglongjmp.
 */

#include <stdbool.h>
#include <stdint.h>
#include <mayfly/abi.h>

/* All that the interrupted code's instruction depends on, but vector state. */
struct fault_frame {
    uint64_t regs[MF_REG_COUNT]; /* by enum mf_reg; MF_RSP is not looked at */
    uint64_t address;            /* a page fault's, or as si_addr has it */
    uint64_t vector;
    uint64_t error; /* the exception's error code, or 0 */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Bits of a page fault's error code (Intel SDM volume 3, 4.7). */
#define FAULT_PRESENT 1u
#define FAULT_WRITE   2u
#define FAULT_FETCH   16u

/*
 * What is put on a handler's stack before the handler runs, at most: the red
 * zone, the frame, vector state, and what signal_fault() needs. AT_MINSIGSTKSZ.
 */
#define FAULT_HANDLER_BYTES 5376u

/* For functions of step 1. */
#define FAULT_NO_VECTORS __attribute__((target("general-regs-only")))

/* Steps 1 to 3 (fault_take.S). Not for C. */
extern const char mf_fault_take[];

/* Whoever defines signal_fault() has this at file scope: it links the rest. */
#define FAULT_LINK \
    static const char *const fault_link __attribute__((used)) = mf_fault_take

/*
 * The signal that Linux sends for the frame's exception (fault.c), with its
 * si_code in *code: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP. si_addr is
 * frame->address.
 */
int fault_signal(const struct fault_frame *frame, int *code) FAULT_NO_VECTORS;

/*
 * Step 1's question to the signals: the end (highest address) of the stack for
 * the handler of signal `number`, when the interrupted code's stack pointer is
 * rsp: rsp itself, or the end of the alternate stack. 0 if there is no handler
 * that may run now, or if the alternate stack has no FAULT_HANDLER_BYTES left;
 * the program then ends with a crash report. Takes no lock.
 */
uintptr_t signal_fault_stack(int number, uintptr_t rsp) FAULT_NO_VECTORS
    __attribute__((weak));

/*
 * Step 2: delivers fault_signal(frame) to its handler, as a call on the stack
 * that it is called on. Returns whether the program goes on with the frame,
 * which the handler may have changed by its ucontext; if not, the exception
 * is reported as a crash. `vectors` is the vector state, which the handler may
 * change too: as XSAVE stores it if mf_boot.xcr0 is not 0, or FXSAVE.
 */
bool signal_fault(struct fault_frame *frame, void *vectors)
    __attribute__((weak));

#endif
