/* SPDX-License-Identifier: MIT */
/* The floor: the least that a process can do to run one guest on KVM. */

/*
 * One VM with a split interrupt controller, one 2 MiB slot that the host backs
 * as it is touched, a vCPU that starts in ring 3 with its registers in the
 * shared page, one `out`, one exit. Then the program writes one byte, its
 * "first output", and ends. Not confined, nothing checked beyond success: what
 * Mayfly takes longer than this is the price of being a monitor.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#define MEM_BYTES (2 << 20)
#define PAGE      0x1000

/* Guest memory: three page tables, then code and task state in one page. */
#define PML4 (1 * PAGE)
#define PDPT (2 * PAGE)
#define PD   (3 * PAGE)
#define CODE (4 * PAGE)
#define TSS  (4 * PAGE + 256)

#define ENTRY_TABLE 0x27 /* present, writable, user, accessed */
#define ENTRY_2MIB  0xe7 /* the same, dirty, and a page itself */

/* Task state: the I/O bitmap, all zero, opens ports 0 to 7. */
#define TSS_IO_BITMAP 102
#define TSS_BYTES     104

static void build_memory(char *mem)
{
    *(__u64 *)(mem + PML4) = PDPT | ENTRY_TABLE;
    *(__u64 *)(mem + PDPT) = PD | ENTRY_TABLE;
    *(__u64 *)(mem + PD) = ENTRY_2MIB;
    memcpy(mem + CODE, "\xe6\x00", 2); /* out %al, $0 */
    *(__u16 *)(mem + TSS + TSS_IO_BITMAP) = TSS_BYTES;
}

static void set_registers(struct kvm_run *run)
{
    struct kvm_sregs *sregs = &run->s.regs.sregs;
    const struct kvm_segment data = {
        .limit = 0xffffffff,
        .selector = 0x2b,
        .type = 3,
        .present = 1,
        .dpl = 3,
        .db = 1,
        .s = 1,
        .g = 1,
    };

    run->s.regs.regs.rip = CODE;
    run->s.regs.regs.rflags = 0x202;
    sregs->cr0 = 0x80010033; /* PG WP NE ET MP PE */
    sregs->cr3 = PML4;
    sregs->cr4 = 0x620;  /* OSXMMEXCPT OSFXSR PAE */
    sregs->efer = 0xd00; /* NXE LMA LME */
    sregs->apic_base = 0xfee00900;
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->cs = data;
    sregs->cs.selector = 0x33;
    sregs->cs.type = 11;
    sregs->cs.db = 0;
    sregs->cs.l = 1;
    sregs->ldt = (struct kvm_segment){.type = 2, .unusable = 1};
    sregs->tr = (struct kvm_segment){
        .base = TSS,
        .limit = TSS_BYTES + 1,
        .selector = 0x40,
        .type = 11,
        .present = 1,
    };
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
    if (ioctl(vm, KVM_ENABLE_CAP, &split))
        return 1;

    char *mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return 2;
    struct kvm_userspace_memory_region slot = {
        .memory_size = MEM_BYTES,
        .userspace_addr = (__u64)mem,
    };
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
        return 3;
    build_memory(mem);

    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run =
        mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED)
        return 4;
    set_registers(run);

    if (ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_IO)
        return 5;
    return write(STDOUT_FILENO, "!", 1) != 1;
}
