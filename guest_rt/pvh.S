/* SPDX-License-Identifier: MIT */
/* The first instructions under other machines, and their one trap. */

/*
 * Mayfly neither loads nor enters any of this: see pvh.h.
 */
#include "guest_rt/asm.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define CR0_PE     0x00000001
#define CR0_MP     0x00000002
#define CR0_NE     0x00000020
#define CR0_WP     0x00010000
#define CR0_PG     0x80000000
#define CR4_PAE    0x00000020
#define CR4_OSFXSR 0x00000200
#define CR4_OSXMM  0x00000400
#define MSR_EFER   0xc0000080
#define EFER_LME   0x00000100
#define EFER_NXE   0x00000800

#define PTE_TABLE 0x03 /* present, writable */
#define PTE_LARGE 0x83 /* and 2 MiB large */

	.section .note.xen, "a", @note
	.balign 4
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.quad pvh_entry

/* ---- From 32-bit protected mode, paging off, to C -------------------- */

	.section .text.pvh_entry, "ax", @progbits
	.code32
	.globl pvh_entry
	.type pvh_entry, @function
pvh_entry:
	cli
	cld
	mov $pvh_stack_end, %esp

	/* The first 4 GiB, one to one, until pvh_start has better tables. */
	movl $pvh_boot_pdpt + PTE_TABLE, pvh_boot_pml4
	mov $pvh_boot_pds + PTE_TABLE, %eax
	xor %ecx, %ecx
1:	mov %eax, pvh_boot_pdpt(, %ecx, 8)
	add $4096, %eax
	inc %ecx
	cmp $4, %ecx
	jne 1b
	mov $PTE_LARGE, %eax
	xor %ecx, %ecx
2:	mov %eax, pvh_boot_pds(, %ecx, 8)
	add $0x200000, %eax
	inc %ecx
	cmp $4 * 512, %ecx
	jne 2b

	mov $pvh_boot_pml4, %eax
	mov %eax, %cr3
	mov $CR4_PAE | CR4_OSFXSR | CR4_OSXMM, %eax
	mov %eax, %cr4
	mov $MSR_EFER, %ecx
	mov $EFER_LME | EFER_NXE, %eax
	xor %edx, %edx
	wrmsr
	mov $CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE, %eax
	mov %eax, %cr0
	lgdt pvh_gdt_pointer
	ljmp $ASM_PVH_KERNEL_CS, $3f

	.code64
3:	mov $ASM_PVH_KERNEL_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %ebx, %edi
	call pvh_start
	ud2
	.size pvh_entry, . - pvh_entry

/* _Noreturn void pvh_enter(uint64_t entry, uint64_t stack, uint64_t root) */
	.section .text.pvh_enter, "ax", @progbits
	.globl pvh_enter
	.type pvh_enter, @function
pvh_enter:
	mov %rdx, %cr3
	lgdt pvh_gdt_pointer
	lidt pvh_idt_pointer
	mov $ASM_PVH_TSS, %eax
	ltr %ax
	mov $ASM_PVH_USER_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	push %rax
	push %rsi
	push $0x202
	push $ASM_PVH_USER_CS
	push %rdi
	xor %ecx, %ecx
	mov %ecx, %fs
	mov %ecx, %gs
	fninit
	push $0x1f80
	ldmxcsr (%rsp)
	add $8, %rsp
	mov $ASM_BOOT_PAGE, %edi
	xor %eax, %eax
	xor %edx, %edx
	xor %ebx, %ebx
	xor %esi, %esi
	xor %ebp, %ebp
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	xor %r12d, %r12d
	xor %r13d, %r13d
	xor %r14d, %r14d
	xor %r15d, %r15d
	iretq
	.size pvh_enter, . - pvh_enter

/* ---- General protection faults: hypercalls, and real ones ------------ */

/* Pushes struct pvh_frame; the processor and its error code came before. */
	.section .text.pvh_trap_entry, "ax", @progbits
	.globl pvh_trap_entry
	.type pvh_trap_entry, @function
pvh_trap_entry:
	push %r15
	push %r14
	push %r13
	push %r12
	push %r11
	push %r10
	push %r9
	push %r8
	push %rbp
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rbx
	push %rax
	cld
	mov %rsp, %rdi
	call pvh_trap
	pop %rax
	pop %rbx
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	pop %rbp
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	add $8, %rsp
	iretq
	.size pvh_trap_entry, . - pvh_trap_entry

/* ---- Exceptions by way of ring 0, as vmm/stubs.c has them -------------- */

#define FRAME(number) pvh_stub_frames + 40 * (number)

	.section .text.pvh_stubs, "ax", @progbits
	.globl pvh_fault_stub, pvh_flush_page_stub, pvh_flush_all_stub
pvh_fault_stub:
	mov %rax, ASM_BOOT_FAULT_RAX
	mov %cr2, %rax
	mov %rax, ASM_BOOT_FAULT_ADDRESS
	mov $FRAME(0), %esp
	iretq
pvh_flush_page_stub:
	invlpg (%rax)
	mov $FRAME(1), %esp
	iretq
pvh_flush_all_stub:
	mov %rax, ASM_BOOT_FLUSH_RAX
	mov %cr3, %rax
	mov %rax, %cr3
	mov $FRAME(2), %esp
	iretq

/* ---- Descriptor tables and stacks ------------------------------------ */

	.section .data.pvh_gdt, "aw", @progbits
	.balign 8
	.globl pvh_gdt
pvh_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* ASM_PVH_KERNEL_CS: 64-bit code */
	.quad 0x00cf93000000ffff /* ASM_PVH_KERNEL_DS */
	.quad 0x00cff3000000ffff /* ASM_PVH_USER_DS: DPL 3 */
	.quad 0x00affb000000ffff /* ASM_PVH_USER_CS: DPL 3, 64-bit code */
	.quad 0, 0               /* ASM_PVH_TSS */
pvh_gdt_end:

	.balign 2
pvh_gdt_pointer:
	.word pvh_gdt_end - pvh_gdt - 1
	.quad pvh_gdt
pvh_idt_pointer:
	.word 16 * ASM_FAULT_VECTORS - 1
	.quad pvh_idt

	.section .bss.pvh, "aw", @nobits
	.balign 4096
pvh_boot_pml4:
	.skip 4096
pvh_boot_pdpt:
	.skip 4096
pvh_boot_pds:
	.skip 4 * 4096
	.skip 4096
	.globl pvh_stack_end
pvh_stack_end:
	.skip 4096
	.globl pvh_trap_stack_end
pvh_trap_stack_end:

	.section .note.GNU-stack, "", @progbits
