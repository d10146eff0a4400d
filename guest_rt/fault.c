/* SPDX-License-Identifier: MIT */
/* What an exception is as a signal, and where its handler can run. */
#include "guest_rt/fault.h"

#include <signal.h>
#include <stddef.h>

#include "guest_rt/asm.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/paging.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"
#include "guest_rt/user.h"

/* All of this runs on a fault stack: see FAULT_NO_VECTORS. */

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17
#define VECTOR_XM 19

/* What fault_stack() returns besides a stack. */
#define STACK_NONE 0u /* nobody handles it: a crash */
#define STACK_HERE 1u /* it is repaired: go on with the frame */

#define RED_ZONE_BYTES 128

/* Called by fault_take.S: STACK_NONE, STACK_HERE, or the end of a stack. */
uintptr_t fault_stack(struct fault_frame *frame) FAULT_NO_VECTORS;

/* The lock, in programs that contain it. */
extern struct runtime_lock mf_runtime_lock __attribute__((weak));

/* ---- Signals ------------------------------------------------------------ */

/* Which of the unmasked floating-point exceptions (their flags) it was. */
FAULT_NO_VECTORS
static int float_code(unsigned flags)
{
    if (flags & 1)
        return FPE_FLTINV;
    if (flags & 4)
        return FPE_FLTDIV;
    if (flags & 8)
        return FPE_FLTOVF;
    if (flags & (2 | 16))
        return FPE_FLTUND;
    return FPE_FLTRES;
}

FAULT_NO_VECTORS
static int x87_code(void)
{
    uint16_t control, status;

    __asm__ volatile("fnstcw %0" : "=m"(control));
    __asm__ volatile("fnstsw %0" : "=m"(status));
    return float_code(status & ~control & 63);
}

FAULT_NO_VECTORS
static int sse_code(void)
{
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return float_code(mxcsr & ~(mxcsr >> 7) & 63);
}

int fault_signal(const struct fault_frame *frame, int *code)
{
    *code = SI_KERNEL;
    switch (frame->vector) {
    case VECTOR_DE:
        *code = FPE_INTDIV;
        return SIGFPE;
    case VECTOR_MF:
        *code = x87_code();
        return SIGFPE;
    case VECTOR_XM:
        *code = sse_code();
        return SIGFPE;
    case VECTOR_DB:
        *code = TRAP_TRACE;
        return SIGTRAP;
    case VECTOR_BP:
        return SIGTRAP;
    case VECTOR_UD:
        *code = ILL_ILLOPN;
        return SIGILL;
    case VECTOR_AC:
        *code = BUS_ADRALN;
        return SIGBUS;
    case VECTOR_NP:
    case VECTOR_SS:
        return SIGBUS;
    case VECTOR_PF:
        if (paging_is_beyond && paging_is_beyond(frame->address)) {
            *code = BUS_ADRERR;
            return SIGBUS;
        }
        *code =
            frame->error & FAULT_PRESENT ||
                    (paging_is_reserved && paging_is_reserved(frame->address))
                ? SEGV_ACCERR
                : SEGV_MAPERR;
        return SIGSEGV;
    default: /* as Linux: #GP has no address */
        return SIGSEGV;
    }
}

/* ---- The entry ---------------------------------------------------------- */

/* Puts right what the stubs in ring 0 have changed on the way (abi.h). */
FAULT_NO_VECTORS
static void complete_frame(struct fault_frame *frame)
{
    const struct mf_boot *boot = mf_boot_page();

    frame->address = 0;
    switch (frame->vector) {
    case VECTOR_PF:
        frame->regs[MF_RAX] = boot->fault_rax;
        frame->address = boot->fault_address;
        break;
    case VECTOR_UD:
        if (boot->page_root)
            frame->regs[MF_RAX] = boot->flush_rax;
        __attribute__((fallthrough));
    case VECTOR_DE:
    case VECTOR_DB:
    case VECTOR_MF:
    case VECTOR_XM:
        frame->address = frame->rip;
        break;
    }
}

/*
 * The tables may allow by now what a processor still remembers as forbidden:
 * raising rights flushes nothing, and the fault has made it forget. One that
 * comes again at once has another reason.
 */
FAULT_NO_VECTORS
static bool is_spurious(const struct fault_frame *frame)
{
    static uint64_t last_rip, last_address;
    bool again;

    if (!paging_allows || frame->vector != VECTOR_PF ||
        !paging_allows(frame->address, frame->error & FAULT_WRITE,
                       frame->error & FAULT_FETCH))
        return false;
    again = frame->rip == last_rip && frame->address == last_address;
    last_rip = again ? 0 : frame->rip;
    last_address = frame->address;
    return !again;
}

uintptr_t fault_stack(struct fault_frame *frame)
{
    uintptr_t stack;
    int number, code;

    complete_frame(frame);
    if (is_spurious(frame))
        return STACK_HERE;
    /* A handler may not run in the middle of the runtime. */
    if (!signal_fault || !signal_fault_stack || frame->vector == VECTOR_DF ||
        (&mf_runtime_lock && mf_runtime_lock.depth > 0))
        return STACK_NONE;
    number = fault_signal(frame, &code);
    stack = signal_fault_stack(number, frame->rsp);
    if (stack < FAULT_HANDLER_BYTES ||
        !user_can_write((void *)(stack - FAULT_HANDLER_BYTES),
                        FAULT_HANDLER_BYTES))
        return STACK_NONE;
    if (stack == frame->rsp)
        stack -= RED_ZONE_BYTES;
    return stack & -16ul;
}
