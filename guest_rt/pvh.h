/* SPDX-License-Identifier: MIT */
/* Images under other machines: from a PVH boot to the ABI's entry state. */
#ifndef GUEST_RT_PVH_H
#define GUEST_RT_PVH_H

/*
 * An image also boots as a PVH kernel, under QEMU's microvm for one: a small
 * stand-in for the monitor comes with it, in a segment that Mayfly does not
 * load. It runs in ring 0:
 *
 *   pvh.S       32-bit entry, long mode; the trap
 *   pvh.c       moves the image to where it belongs, builds tables and boot
 *               page, finds virtio-mmio devices on the command line, enters
 *               the image's _start in ring 3
 *   pvh_trap.c  hypercalls: `out` is refused in ring 3 and arrives as a
 *               general protection fault
 *
 * The image lies at its addresses + pvh_offset until it is moved, because
 * firmware has the low memory; the stand-in stays where it was loaded. It is
 * compiled without vector registers, calls nothing of the image, and is not
 * protected from it: there is no boundary here but the machine's own.
 */

#include <stddef.h>
#include <stdint.h>
#include <mayfly/abi.h>

/* What pvh_trap_entry pushes, and what the processor has. */
struct pvh_frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14,
        r15;
    uint64_t error, rip, cs, rflags, rsp, ss;
};

/* pvh.S */
void pvh_entry(void);
void pvh_trap_entry(void);
_Noreturn void pvh_enter(uint64_t entry, uint64_t stack, uint64_t root);
extern const char pvh_fault_stub[], pvh_flush_page_stub[], pvh_flush_all_stub[];
extern uint64_t pvh_gdt[];
extern char pvh_stack_end[], pvh_trap_stack_end[];

/* pvh.c: called by pvh.S with the address of struct hvm_start_info. */
_Noreturn void pvh_start(uint64_t info);

/* pvh_devices.c: fills the boot page's device table and strings. */
void pvh_read_command_line(const char *line, struct mf_boot *boot);

/* pvh_clock.c: fills the boot page's clock. */
void pvh_start_clock(struct mf_clock *clock);

/* pvh_trap.c: called by pvh.S. Returns to ring 3. */
void pvh_trap(struct pvh_frame *frame);

/*
 * Ends the machine. `what` and `value` go to the debug port, where whoever
 * started it can read the exit status; QEMU's isa-debug-exit does the rest.
 */
_Noreturn void pvh_end(const char *what, uint64_t value);

/* ---- Instructions ---------------------------------------------------- */

static inline void pvh_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t pvh_in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Upwards, byte after byte: `to` may be below `from` and overlap it. */
static inline void pvh_copy(void *to, const void *from, size_t bytes)
{
    __asm__ volatile("rep movsb"
                     : "+D"(to), "+S"(from), "+c"(bytes)
                     :
                     : "memory");
}

static inline void pvh_zero(void *at, size_t bytes)
{
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
}

static inline uint64_t pvh_round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & -unit;
}

#endif
