/* SPDX-License-Identifier: MIT */
/* Loading, running and reading the virtual processor. */
#include "vmm/vcpu.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include <linux/kvm.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/cpuid.h"

/* ---- Control registers (Intel SDM volume 3, 2.5; AMD APM volume 2, 3.1) -- */

#define CR0_PE         (1ull << 0)
#define CR0_MP         (1ull << 1)
#define CR0_ET         (1ull << 4)
#define CR0_NE         (1ull << 5)
#define CR0_WP         (1ull << 16)
#define CR0_PG         (1ull << 31)
#define CR4_PAE        (1ull << 5)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_OSXSAVE    (1ull << 18)
#define EFER_LME       (1ull << 8)
#define EFER_LMA       (1ull << 10)
#define EFER_NXE       (1ull << 11)
#define RFLAGS_FIXED   (1ull << 1)
#define RFLAGS_IF      (1ull << 9)
#define APIC_BASE      0xfee00000ull
#define APIC_ENABLE    (1ull << 11)
#define APIC_BSP       (1ull << 8)

/* x87, SSE, AVX and AVX-512: what an image may use without being asked. */
#define XCR0_OFFERED 0xe7ull

/*
 * The task register's type. A busy TSS is 11 for VT-x, SVM and kvm_pvm; QEMU's
 * own emulation of SVM looks at the I/O bitmap only if it is 9, which the tests
 * under it set.
 */
#ifndef MAYFLY_TEST_TR_TYPE
#define MAYFLY_TEST_TR_TYPE 11
#endif

/* ---- What only hardware needs ---------------------------------------- */

#define HARDWARE_LEAVES 6

struct cpuid_table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 leaves[HARDWARE_LEAVES];
};

static void add_leaf(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
    struct kvm_cpuid_entry2 *entry = &table->leaves[table->head.nent++];
    const struct cpuid_answer answer = cpuid_ask(leaf, subleaf);

    entry->function = leaf;
    entry->index = subleaf;
    entry->flags =
        leaf == 7 || leaf == 0xd ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    entry->eax = answer.eax;
    entry->ebx = answer.ebx;
    entry->ecx = answer.ecx;
    entry->edx = answer.edx;
}

/*
 * KVM lets a guest have only what its CPUID table shows, so it is shown the
 * host's own leaves for vector state, FSGSBASE, NX and address widths.
 */
static int set_cpuid(const struct vcpu *vcpu)
{
    struct cpuid_table table = {0};

    add_leaf(&table, 0, 0);
    add_leaf(&table, 1, 0);
    add_leaf(&table, 7, 0);
    add_leaf(&table, 0xd, 0);
    add_leaf(&table, 0x80000001, 0);
    add_leaf(&table, 0x80000008, 0);
    return os_ioctl(vcpu->fd, KVM_SET_CPUID2, (uintptr_t)&table);
}

static int set_xcr0(const struct vcpu *vcpu, uint64_t xcr0)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.value = xcr0}}};

    return os_ioctl(vcpu->fd, KVM_SET_XCRS, (uintptr_t)&xcrs);
}

/* The guest reads the host's TSC; the boot page's clock counts on it. */
static int clear_tsc_offset(const struct vcpu *vcpu)
{
    uint64_t offset = 0;
    struct kvm_device_attr attribute = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)&offset,
    };

    return os_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, (uintptr_t)&attribute);
}

uint64_t vcpu_host_xcr0(void)
{
    uint32_t low, high;

    if (!(cpuid_ask(1, 0).ecx & bit_OSXSAVE))
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32 | low) & XCR0_OFFERED;
}

static int set_up_hardware(struct vcpu *vcpu, uint64_t xcr0, char *error)
{
    int result = set_cpuid(vcpu);

    if (result)
        return error_system(error, result, "cannot set the guest's CPUID");
    if (xcr0) {
        /* KVM takes XCR0 only when CR4.OSXSAVE is on. */
        struct kvm_sregs sregs;

        result = os_ioctl(vcpu->fd, KVM_GET_SREGS, (uintptr_t)&sregs);
        sregs.cr4 |= CR4_OSXSAVE;
        if (!result)
            result = os_ioctl(vcpu->fd, KVM_SET_SREGS, (uintptr_t)&sregs);
        if (!result)
            result = set_xcr0(vcpu, xcr0);
        if (result)
            return error_system(error, result,
                                "cannot give the guest vector state %#llx",
                                (unsigned long long)xcr0);
        vcpu->run->s.regs.sregs.cr4 |= CR4_OSXSAVE;
    }
    vcpu->run->s.regs.sregs.cr4 |= CR4_FSGSBASE;
    result = clear_tsc_offset(vcpu);
    if (result)
        return error_system(error, result, "cannot set the guest's TSC offset");
    return 0;
}

/* ---- Life cycle ------------------------------------------------------ */

int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, uint64_t *xcr0,
                char *error)
{
    void *run = NULL;
    int result = os_ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    if (result < 0)
        return error_system(error, result, "cannot size the vCPU's page");
    vcpu->run_bytes = (size_t)result;
    vcpu->fd = os_ioctl(kvm->vm_fd, KVM_CREATE_VCPU, 0);
    if (vcpu->fd < 0)
        return error_system(error, vcpu->fd, "cannot create a vCPU");
    result = os_mmap(vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                     vcpu->fd, &run);
    if (result) {
        error_system(error, result, "cannot map the vCPU's page");
        goto close_vcpu;
    }
    vcpu->run = run;
    *xcr0 = vcpu_host_xcr0();
    if (kvm->hardware)
        result = set_up_hardware(vcpu, *xcr0, error);
    if (!result)
        return 0;

    os_munmap(run, vcpu->run_bytes);
close_vcpu:
    os_close(vcpu->fd);
    return result;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    os_munmap(vcpu->run, vcpu->run_bytes);
    os_close(vcpu->fd);
}

/* ---- The entry state ------------------------------------------------- */

static const struct kvm_segment user_code = {
    .limit = 0xffffffff,
    .selector = MACHINE_USER_CS,
    .type = 11, /* execute, read, accessed */
    .present = 1,
    .dpl = 3,
    .s = 1,
    .l = 1,
    .g = 1,
};

static const struct kvm_segment user_data = {
    .limit = 0xffffffff,
    .selector = MACHINE_USER_DS,
    .type = 3, /* read, write, accessed */
    .present = 1,
    .dpl = 3,
    .db = 1,
    .s = 1,
    .g = 1,
};

void vcpu_set_entry(struct vcpu *vcpu, const struct machine *machine,
                    uint64_t entry)
{
    struct kvm_regs *regs = &vcpu->run->s.regs.regs;
    struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;

    *regs = (struct kvm_regs){
        .rip = entry,
        .rsp = machine->stack.base + machine->stack.bytes,
        .rdi = MF_BOOT_PAGE,
        .rflags = RFLAGS_FIXED | RFLAGS_IF,
    };
    /* Long mode, paging, write protection that binds ring 0 as well. */
    sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    sregs->cr3 = machine->page_root;
    sregs->cr4 |= CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    sregs->efer = EFER_LME | EFER_LMA | EFER_NXE;
    sregs->apic_base = APIC_BASE | APIC_ENABLE | APIC_BSP;
    sregs->cs = user_code;
    sregs->ds = sregs->es = sregs->ss = user_data;
    sregs->fs = sregs->gs = user_data;
    sregs->ldt = (struct kvm_segment){.type = 2, .unusable = 1};
    sregs->tr = (struct kvm_segment){
        .base = machine->tss,
        .limit = machine->tss_bytes - 1,
        .selector = MACHINE_TSS,
        .type = MAYFLY_TEST_TR_TYPE,
        .present = 1,
    };
    sregs->gdt.base = machine->gdt;
    sregs->gdt.limit = (uint16_t)(machine->gdt_bytes - 1);
    sregs->idt.base = machine->idt;
    sregs->idt.limit = (uint16_t)(machine->idt_bytes - 1);

    vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    vcpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

/* ---- Running --------------------------------------------------------- */

/* Copies what KVM says about a port access, and decides on the copy. */
static void read_port_exit(const struct kvm_run *run, struct vcpu_stop *stop)
{
    const struct kvm_regs *regs = &run->s.regs.regs;
    const uint8_t *data = (const uint8_t *)run + run->io.data_offset;

    if (run->io.port != MF_HYPERCALL_PORT || run->io.size != 1 ||
        run->io.count != 1 || run->io.direction != KVM_EXIT_IO_OUT) {
        stop->exit = VCPU_EXIT_PORT;
        stop->detail = run->io.port;
        return;
    }
    stop->exit = VCPU_EXIT_HYPERCALL;
    stop->number = *data;
    stop->args[0] = regs->rdi;
    stop->args[1] = regs->rsi;
}

/* Copies what KVM says about an access to memory that is not there. */
static void read_memory_exit(const struct kvm_run *run, struct vcpu_stop *stop)
{
    struct vcpu_access *access = &stop->access;

    stop->exit = VCPU_EXIT_MEMORY;
    stop->detail = run->mmio.phys_addr;
    *access = (struct vcpu_access){
        .address = run->mmio.phys_addr,
        .bytes = (unsigned)min_u64(run->mmio.len, sizeof(access->data)),
        .is_write = run->mmio.is_write,
    };
    if (access->is_write)
        memcpy(access->data, run->mmio.data, access->bytes);
}

int vcpu_run(struct vcpu *vcpu, struct vcpu_stop *stop)
{
    struct kvm_run *run = vcpu->run;
    int result = os_ioctl(vcpu->fd, KVM_RUN, 0);

    if (result == -EINTR || result == -EAGAIN) {
        vcpu_forget_interrupt(vcpu);
        stop->exit = VCPU_EXIT_SIGNAL;
        return 0;
    }
    if (result)
        return result;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        read_port_exit(run, stop);
        break;
    case KVM_EXIT_SHUTDOWN:
        stop->exit = VCPU_EXIT_TRIPLE;
        break;
    case KVM_EXIT_MMIO:
        read_memory_exit(run, stop);
        break;
    default:
        stop->exit = VCPU_EXIT_KVM;
        stop->detail = run->exit_reason;
        break;
    }
    return 0;
}

void vcpu_set_result(struct vcpu *vcpu, uint64_t result)
{
    /* rip stays: KVM completes the `out` when the guest runs on. */
    vcpu->run->s.regs.regs.rax = result;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void vcpu_set_mmio_data(struct vcpu *vcpu, const void *data, unsigned bytes)
{
    bug_on(bytes > sizeof(vcpu->run->mmio.data));
    memcpy(vcpu->run->mmio.data, data, bytes);
}

void vcpu_interrupt(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
}

void vcpu_forget_interrupt(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
}

/* What the processor pushes, the lowest address first (Intel SDM 3, 6.14.2). */
struct interrupt_frame {
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};

/* Cleared on the way through a trap gate: TF, NT, RF and VM. */
#define RFLAGS_GATE_CLEARS (1ull << 8 | 1ull << 14 | 1ull << 16 | 1ull << 17)

static bool has_event_of_its_own(const struct kvm_vcpu_events *events)
{
    return events->exception.injected || events->exception.pending ||
           events->interrupt.injected || events->nmi.injected ||
           events->nmi.pending || events->triple_fault.pending;
}

/*
 * In a stub of ring 0, where alone the interrupt flag is clear; or on a fault
 * stack, which has no room for upcalls and is not a thread's own.
 */
static bool is_in_exception(const struct kvm_regs *regs)
{
    return !(regs->rflags & RFLAGS_IF) ||
           (regs->rsp > MF_FAULT_STACKS &&
            regs->rsp <=
                MF_FAULT_STACKS + MF_FAULT_STACK_COUNT * MF_PAGE_BYTES);
}

/* It does not have all of its registers yet. */
static bool is_returning(const struct vcpu *vcpu)
{
    return vcpu->run->s.regs.regs.rip - vcpu->returning.base <
           vcpu->returning.bytes;
}

bool vcpu_is_at_rest(const struct vcpu *vcpu)
{
    const struct kvm_regs *regs = &vcpu->run->s.regs.regs;

    return !has_event_of_its_own(&vcpu->run->s.regs.events) &&
           !is_in_exception(regs) && !is_returning(vcpu);
}

void vcpu_allow_interrupts(struct vcpu *vcpu)
{
    vcpu->run->kvm_valid_regs |= KVM_SYNC_X86_EVENTS;
}

int vcpu_interrupt_guest(struct vcpu *vcpu, const struct gmem *mem,
                         uint64_t handler, uint64_t stack_top)
{
    struct kvm_regs *regs = &vcpu->run->s.regs.regs;
    const struct interrupt_frame frame = {
        .rip = regs->rip,
        .cs = MACHINE_USER_CS,
        .rflags = regs->rflags,
        .rsp = regs->rsp,
        .ss = MACHINE_USER_DS,
    };

    if (!vcpu_is_at_rest(vcpu))
        return -EBUSY;
    int error =
        gmem_write(mem, gpa(stack_top - sizeof(frame)), &frame, sizeof(frame));
    if (error)
        return error;
    regs->rip = handler;
    regs->rsp = stack_top - sizeof(frame);
    regs->rflags &= ~RFLAGS_GATE_CLEARS;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    return 0;
}

void vcpu_get_regs(const struct vcpu *vcpu, uint64_t regs[MF_REG_COUNT],
                   uint64_t *rip, uint64_t *rflags)
{
    const struct kvm_regs *from = &vcpu->run->s.regs.regs;
    const uint64_t in_order[MF_REG_COUNT] = {
        from->rax, from->rbx, from->rcx, from->rdx, from->rsi, from->rdi,
        from->rbp, from->rsp, from->r8,  from->r9,  from->r10, from->r11,
        from->r12, from->r13, from->r14, from->r15,
    };

    memcpy(regs, in_order, sizeof(in_order));
    *rip = from->rip;
    *rflags = from->rflags;
}

int vcpu_get_fault_address(const struct vcpu *vcpu, uint64_t *address)
{
    struct kvm_sregs sregs;
    int result = os_ioctl(vcpu->fd, KVM_GET_SREGS, (uintptr_t)&sregs);

    if (!result)
        *address = sregs.cr2;
    return result;
}

/* ---- Going on elsewhere ------------------------------------------------ */

int vcpu_complete(struct vcpu *vcpu)
{
    int result;

    vcpu->run->kvm_valid_regs |= KVM_SYNC_X86_EVENTS;
    vcpu_interrupt(vcpu);
    result = os_ioctl(vcpu->fd, KVM_RUN, 0);
    vcpu_forget_interrupt(vcpu);
    if (result == -EINTR || result == -EAGAIN)
        return 0;
    /* It cannot have run: there is something more of the same instruction. */
    return result ? result : -EBUSY;
}

/*
 * One instruction of ring 3 makes KVM ask for so many pieces at most: it looks
 * for something else to do after 1024 rounds of a repeated one.
 */
#define PIECES_MAX 4096

int vcpu_abandon(struct vcpu *vcpu)
{
    int result = -EBUSY;

    for (unsigned i = 0; i < PIECES_MAX && result == -EBUSY; i++)
        result = vcpu_complete(vcpu);
    return result;
}

/*
 * What KVM was about to do to the guest: exceptions that it had no time to
 * deliver, the shadow of a `mov ss`. Registers alone do not take that back.
 */
static void forget_events(struct vcpu *vcpu)
{
    vcpu->run->s.regs.events = (struct kvm_vcpu_events){
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                 (vcpu->triple_faults ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT : 0),
    };
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
}

int vcpu_save(const struct vcpu *vcpu, struct vcpu_state *state)
{
    struct kvm_sregs sregs;
    int result;

    _Static_assert(sizeof(struct kvm_xsave) == VCPU_XSAVE_BYTES, "XSAVE area");
    memset(state, 0, sizeof(*state));
    vcpu_get_regs(vcpu, state->regs, &state->rip, &state->rflags);
    result = os_ioctl(vcpu->fd, KVM_GET_SREGS, (uintptr_t)&sregs);
    if (result)
        return result;
    state->fs_base = sregs.fs.base;
    state->gs_base = sregs.gs.base;
    return os_ioctl(vcpu->fd, KVM_GET_XSAVE, (uintptr_t)state->xsave);
}

/* What ring 3 can change by popf, the identification flag among it. */
#define RFLAGS_USER 0x240dd5ull

static bool is_canonical(uint64_t address)
{
    uint64_t top = address >> 47;

    return top == 0 || top == 0x1ffff;
}

/* Where XSAVE says which components follow (Intel SDM volume 1, 13.4.2). */
#define XSTATE_BV_AT 512

void vcpu_limit_xsave(void *xsave, uint64_t xcr0)
{
    uint64_t components;

    memcpy(&components, (uint8_t *)xsave + XSTATE_BV_AT, sizeof(components));
    components &= xcr0 ? xcr0 : 3;
    memcpy((uint8_t *)xsave + XSTATE_BV_AT, &components, sizeof(components));
}

static int load_xsave(const struct vcpu *vcpu, const struct vcpu_state *state,
                      uint64_t xcr0)
{
    struct kvm_xsave xsave;

    memcpy(&xsave, state->xsave, sizeof(xsave));
    vcpu_limit_xsave(&xsave, xcr0);
    return os_ioctl(vcpu->fd, KVM_SET_XSAVE, (uintptr_t)&xsave);
}

uint64_t vcpu_user_rflags(uint64_t rflags)
{
    return (rflags & RFLAGS_USER) | RFLAGS_FIXED | RFLAGS_IF;
}

int vcpu_load_registers(struct vcpu *vcpu, const struct machine *machine,
                        const struct vcpu_state *state)
{
    struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;
    struct kvm_regs *regs = &vcpu->run->s.regs.regs;
    const uint64_t *from = state->regs;

    if (!is_canonical(state->rip) || !is_canonical(state->fs_base) ||
        !is_canonical(state->gs_base))
        return -EINVAL;
    vcpu_set_entry(vcpu, machine, state->rip);
    *regs = (struct kvm_regs){
        .rax = from[MF_RAX],
        .rbx = from[MF_RBX],
        .rcx = from[MF_RCX],
        .rdx = from[MF_RDX],
        .rsi = from[MF_RSI],
        .rdi = from[MF_RDI],
        .rbp = from[MF_RBP],
        .rsp = from[MF_RSP],
        .r8 = from[MF_R8],
        .r9 = from[MF_R9],
        .r10 = from[MF_R10],
        .r11 = from[MF_R11],
        .r12 = from[MF_R12],
        .r13 = from[MF_R13],
        .r14 = from[MF_R14],
        .r15 = from[MF_R15],
        .rip = state->rip,
        .rflags = vcpu_user_rflags(state->rflags),
    };
    sregs->fs.base = state->fs_base;
    sregs->gs.base = state->gs_base;
    forget_events(vcpu);
    return 0;
}

int vcpu_load(struct vcpu *vcpu, const struct machine *machine,
              const struct vcpu_state *state, uint64_t xcr0)
{
    int result = vcpu_load_registers(vcpu, machine, state);

    return result ? result : load_xsave(vcpu, state, xcr0);
}
