/* SPDX-License-Identifier: MIT */
/* Running handlers. */
#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include "fault.h"
#include "hypercall.h"
#include "signals.h"
#include "thread.h"
#include "user.h"

/* Flags of the context, as Linux has them for 64-bit programs. */
#define UC_FP_XSTATE         1u /* the vector state is XSAVE's */
#define UC_SIGCONTEXT_SS     2u
#define UC_STRICT_RESTORE_SS 4u

/* rflags that a handler may change: OF DF SF ZF AF PF CF AC TF RF. */
#define FLAGS_CHANGEABLE 0x50dd5ull

/*
 * Linux's description of the vector state, in the part of the legacy area that
 * the processor leaves alone, and the mark behind the whole.
 */
struct xstate_note {
    uint32_t magic;
    uint32_t extended_bytes; /* the mark included */
    uint64_t features;
    uint32_t bytes;
    uint32_t padding[7];
};

#define XSTATE_NOTE_AT 464
#define XSTATE_MAGIC1  0x46505853u
#define XSTATE_MAGIC2  0x46505845u
#define XSTATE_BYTES                                        \
    2696u /* with AVX-512 and PKRU, the last one that is in \
             mf_boot.xcr0 */

/* ---- The context -------------------------------------------------------- */

/* Where a thread is, and what it was doing. */
struct place {
    struct upcall_frame *frame;
    void *vectors;
    uint64_t features;               /* that XSAVE stored; 0: it was FXSAVE */
    const struct fault_frame *fault; /* or NULL */
};

static void describe_vectors(ucontext_t *context, const struct place *place)
{
    struct xstate_note *note =
        (struct xstate_note *)((char *)place->vectors + XSTATE_NOTE_AT);

    context->uc_mcontext.fpregs = place->vectors;
    memset(note, 0, sizeof(*note));
    if (!place->features)
        return;
    context->uc_flags |= UC_FP_XSTATE;
    note->magic = XSTATE_MAGIC1;
    note->extended_bytes = XSTATE_BYTES + sizeof(uint32_t);
    note->features = place->features;
    note->bytes = XSTATE_BYTES;
    *(uint32_t *)((char *)place->vectors + XSTATE_BYTES) = XSTATE_MAGIC2;
}

/* The registers that a context has where a frame has them. */
/* clang-format off */
#define EACH_GENERAL(X)                                                     \
    X(R8, r8) X(R9, r9) X(R10, r10) X(R11, r11) X(R12, r12) X(R13, r13)     \
    X(R14, r14) X(R15, r15) X(RDI, rdi) X(RSI, rsi) X(RBP, rbp) X(RBX, rbx) \
    X(RDX, rdx) X(RAX, rax) X(RCX, rcx)
#define EACH_REGISTER(X) EACH_GENERAL(X) X(RSP, rsp) X(RIP, rip)
/* clang-format on */

static void fill_context(ucontext_t *context, const struct place *place,
                         uint64_t mask)
{
    const struct upcall_frame *frame = place->frame;
    greg_t *gregs = context->uc_mcontext.gregs;

    memset(context, 0, offsetof(ucontext_t, __fpregs_mem));
    context->uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    context->uc_stack = signal_stack(&thread_current->signals);
#define GET(index, field) gregs[REG_##index] = (greg_t)frame->field;
    EACH_REGISTER(GET)
#undef GET
    gregs[REG_EFL] = (greg_t)frame->rflags;
    gregs[REG_CSGSFS] = (greg_t)(frame->cs | frame->ss << 48);
    if (place->fault) {
        gregs[REG_TRAPNO] = place->fault->vector;
        gregs[REG_ERR] = (greg_t)place->fault->error;
        gregs[REG_CR2] = (greg_t)place->fault->address;
    }
    memcpy(&context->uc_sigmask, &mask, sizeof(mask));
    describe_vectors(context, place);
}

/* The thread goes on with what the handler left in the context. */
static void apply_context(const ucontext_t *context, struct upcall_frame *frame)
{
    const greg_t *gregs = context->uc_mcontext.gregs;

#define SET(index, field) frame->field = (uint64_t)gregs[REG_##index];
    EACH_REGISTER(SET)
#undef SET
    frame->rflags = (frame->rflags & ~FLAGS_CHANGEABLE) |
                    ((uint64_t)gregs[REG_EFL] & FLAGS_CHANGEABLE);
}

void signal_fill_info(siginfo_t *to, const struct signal_info *info)
{
    memset(to, 0, sizeof(*to));
    memcpy(to, info, sizeof(*info));
}

/* ---- One handler -------------------------------------------------------- */

/* The top of the stack on which it runs; 0: the one that it came upon. */
static uint64_t stack_for(const struct thread_signals *self,
                          const struct signal_action *action, uint64_t rsp)
{
    uint64_t here = (uint64_t)__builtin_frame_address(0);

    if (!(action->flags & SA_ONSTACK) || !self->stack_bytes ||
        signal_is_on_stack(self, rsp) || signal_is_on_stack(self, here))
        return 0;
    return self->stack_base + self->stack_bytes;
}

/*
 * Lets upcalls in again, for a handler: others may run, but this thread's other
 * signals wait until the handler's mask says what may interrupt it. Others run
 * while the lock is held, as everywhere: an upcall amid a switch only notes
 * what is due.
 */
static void unlock_for_handler(void)
{
    if (mf_runtime_lock.due) {
        mf_runtime_lock.due = false;
        if (sched_due)
            sched_due();
        if (signal_is_due(thread_current))
            mf_runtime_lock.due = true;
    }
    mf_runtime_lock.depth--;
}

/* Sets the masks for a handler. Returns the one that holds after it. */
static uint64_t enter_handler(struct thread_signals *self,
                              const struct signal_action *action, int number)
{
    uint64_t after = self->has_saved_mask ? self->saved_mask : self->blocked;
    uint64_t during = self->blocked | action->mask;

    self->has_saved_mask = false;
    if (!(action->flags & SA_NODEFER))
        during |= signal_bit(number);
    if (action->flags & SA_RESETHAND)
        mf_signal_actions[number - 1].handler = (void *)SIG_DFL;
    signal_set_mask(during);
    return after;
}

/*
 * Called with the lock held, which the handler runs without. Returns whether a
 * call that it interrupted is made again.
 */
static bool run_handler(const struct signal_info *info,
                        const struct place *place)
{
    struct thread_signals *self = &thread_current->signals;
    struct signal_action action = mf_signal_actions[info->number - 1];
    uint64_t stack_top = stack_for(self, &action, place->frame->rsp);
    uint64_t mask = enter_handler(self, &action, info->number);
    const volatile int *cancel = thread_current->cancel;
    ucontext_t context;
    siginfo_t told;

    signal_fill_info(&told, info);
    fill_context(&context, place, mask);
    if (self->stack_flags & SIGNAL_AUTODISARM)
        signal_set_stack(self, &(stack_t){.ss_flags = SS_DISABLE});

    /* It is in no cancellation point, and may not come back to this one. */
    thread_current->cancel = NULL;
    unlock_for_handler();
    signal_call_handler(info->number, &told, &context, action.handler,
                        stack_top);
    mf_lock();
    thread_current->cancel = cancel;

    apply_context(&context, place->frame);
    if ((unsigned)context.uc_stack.ss_flags & SIGNAL_AUTODISARM)
        signal_set_stack(self, &context.uc_stack);
    memcpy(&mask, &context.uc_sigmask, sizeof(mask));
    signal_set_mask(mask);
    return action.flags & SA_RESTART;
}

/* ---- All that are due --------------------------------------------------- */

long signal_mask_for_call(long wanted, long bytes)
{
    struct thread_signals *self = &thread_current->signals;
    uint64_t mask;

    if (!wanted)
        return 0;
    if (bytes != sizeof(mask))
        return -EINVAL;
    if (USER_GET(mask, wanted))
        return -EFAULT;
    self->saved_mask = self->blocked;
    self->has_saved_mask = true;
    signal_set_mask(mask);
    mf_runtime_lock.due = true;
    return 0;
}

static void restore_mask(struct thread_signals *self)
{
    if (!self->has_saved_mask)
        return;
    self->has_saved_mask = false;
    signal_set_mask(self->saved_mask);
}

/* Called without the lock, and returns so. */
static void run_all(const struct place *place)
{
    struct thread_signals *self = &thread_current->signals;
    bool restart = true, handled = false;
    struct signal_info info;
    int number;

    mf_lock();
    while ((number = signal_take(~self->blocked, &info))) {
        if (signal_is_ignored(number))
            continue;
        restart &= run_handler(&info, place);
        handled = true;
    }
    restore_mask(self);
    self->restart = restart;
    self->handled = handled;
    signal_refresh();
    mf_runtime_lock.depth--;
}

static void deliver_in_call(struct upcall_frame *frame, void *vectors)
{
    run_all(&(struct place){
        .frame = frame,
        .vectors = vectors,
    });
}

void signal_deliver_due(void)
{
    struct thread *self = thread_current;
    struct upcall_frame *frame = self->frame;

    if (!self->signals.due && !self->signals.has_saved_mask)
        return;
    if (!frame) {
        signal_call_with_frame(deliver_in_call);
        return;
    }
    /* System calls of the handler are not in the upcall. */
    self->frame = NULL;
    run_all(&(struct place){
        .frame = frame,
        .vectors = self->vectors,
        .features = mf_boot_page()->xcr0,
    });
    self->frame = frame;
}

void signal_link_deliver(void)
{
}

bool signal_restarts(void)
{
    return thread_current->signals.restart;
}

/* ---- Faults ------------------------------------------------------------- */

FAULT_LINK;

FAULT_NO_VECTORS uintptr_t signal_fault_stack(int number, uintptr_t rsp)
{
    const struct thread_signals *self = &thread_current->signals;
    const struct signal_action *action = &mf_signal_actions[number - 1];

    /* A fault in the runtime itself is its own fault. */
    if (mf_runtime_lock.depth > 0 || self->blocked & signal_bit(number) ||
        action->handler == (void *)SIG_DFL ||
        action->handler == (void *)SIG_IGN)
        return 0;
    if (action->flags & SA_ONSTACK && self->stack_bytes &&
        !signal_is_on_stack(self, rsp))
        rsp = self->stack_base + self->stack_bytes;
    /* Below the alternate stack is something else of the program's. */
    return rsp - 1 - self->stack_base < self->stack_bytes &&
                   rsp - self->stack_base < FAULT_HANDLER_BYTES
               ? 0
               : rsp;
}

static void frame_from_fault(struct upcall_frame *to,
                             const struct fault_frame *from)
{
#define COPY(index, field) to->field = from->regs[MF_##index];
    EACH_GENERAL(COPY)
#undef COPY
    to->rip = from->rip;
    to->cs = from->cs;
    to->rflags = from->rflags;
    to->rsp = from->rsp;
    to->ss = from->ss;
}

static void fault_from_frame(struct fault_frame *to,
                             const struct upcall_frame *from)
{
#define COPY(index, field) to->regs[MF_##index] = from->field;
    EACH_GENERAL(COPY)
#undef COPY
    to->rip = from->rip;
    to->rflags = from->rflags;
    to->rsp = from->rsp;
}

bool signal_fault(struct fault_frame *fault, void *vectors)
{
    struct upcall_frame frame;
    struct place place = {
        .frame = &frame,
        .vectors = vectors,
        .features = mf_boot_page()->xcr0,
        .fault = fault,
    };
    struct signal_info info = {.words = {fault->address}};

    frame_from_fault(&frame, fault);
    info.number = fault_signal(fault, &info.code);
    mf_lock();
    run_handler(&info, &place);
    mf_runtime_lock.depth--;
    run_all(&place);
    fault_from_frame(fault, &frame);
    return true;
}
