/* SPDX-License-Identifier: MIT */
/* From the fault stack to a signal handler's stack, and back (fault.h). */

#include "guest_rt/asm_save.h"

/*
 * Entered from fault.S, with the frame on top of the fault stack. A gate that
 * changes stacks but not rings leaves ss as it was (Intel SDM volume 3, 6.14.4).
 * QEMU's emulation loads null, with which this ring cannot go on once a handler
 * has jumped out: the next frame would hold it, and iretq refuse it.
 */
	.section .text.mf_fault_take, "ax", @progbits
	.globl mf_fault_take
	.type mf_fault_take, @function
mf_fault_take:
	mov ASM_FRAME_SS(%rsp), %ecx
	mov %ecx, %ss
	mov %rsp, %rbx
	call fault_stack
	cmp $1, %rax /* nowhere, here, or there */
	mov %rbx, %rdi
	jb mf_fault_crash
	je resume

	lea -ASM_FRAME_BYTES(%rax), %rdi
	mov %rdi, %r12
	mov %rbx, %rsi
	mov $ASM_FRAME_BYTES / 8, %ecx
	rep movsq
	call_with_vectors signal_fault, %r12
	mov %r12, %rdi
	test %bl, %bl
	jz mf_fault_crash

resume: /* with the frame that rdi points to, which is on this stack */
	mov %rdi, %rsp
	mov ASM_FRAME_REG(ASM_RAX)(%rsp), %rax
	mov ASM_FRAME_REG(ASM_RBX)(%rsp), %rbx
	mov ASM_FRAME_REG(ASM_RCX)(%rsp), %rcx
	mov ASM_FRAME_REG(ASM_RDX)(%rsp), %rdx
	mov ASM_FRAME_REG(ASM_RSI)(%rsp), %rsi
	mov ASM_FRAME_REG(ASM_RDI)(%rsp), %rdi
	mov ASM_FRAME_REG(ASM_RBP)(%rsp), %rbp
	mov ASM_FRAME_REG(8)(%rsp), %r8
	mov ASM_FRAME_REG(9)(%rsp), %r9
	mov ASM_FRAME_REG(10)(%rsp), %r10
	mov ASM_FRAME_REG(11)(%rsp), %r11
	mov ASM_FRAME_REG(12)(%rsp), %r12
	mov ASM_FRAME_REG(13)(%rsp), %r13
	mov ASM_FRAME_REG(14)(%rsp), %r14
	mov ASM_FRAME_REG(15)(%rsp), %r15
	add $ASM_FRAME_RIP, %rsp
	iretq
	.size mf_fault_take, . - mf_fault_take

/* Whoever contains this wants fault addresses (note.h); paging.c wants more. */
	.globl mf_needs_fault_address
	.set mf_needs_fault_address, 1

	.weak signal_fault
	.section .note.GNU-stack, "", @progbits
