/* SPDX-License-Identifier: MIT */
/* Where exceptions enter, and crash reports: exceptions' and abort's. */

#include "guest_rt/asm.h"

/*
 * An exception arrives on a fault stack of its own: the interrupted stack may
 * be the reason for it and is not touched. The stubs complete what the
 * processor has pushed to a struct fault_frame (fault.h), from the top:
 *
 *   ss rsp rflags cs rip error vector        address regs[16]
 *   `------- processor ------' `- stub -'    `---- fault ---'
 *
 * with an error code of 0 where the processor pushes none. Programs that handle
 * signals go on in mf_fault_take; all others report a crash.
 */

/* Exceptions with an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX */
#define ERROR_CODES 0x60227d00

#define VECTOR_BP 3
#define VECTOR_UD 6

	.section .text.mf_fault_stubs, "ax", @progbits
	.balign ASM_FAULT_STRIDE
	.globl mf_fault_stubs
	.type mf_fault_stubs, @function
mf_fault_stubs:
	vector = 0
	.rept ASM_FAULT_VECTORS
	.balign ASM_FAULT_STRIDE, 0xcc
	.if ((ERROR_CODES >> vector) & 1) == 0
	push $0
	.endif
	push $vector
	.if vector == VECTOR_BP || vector == VECTOR_UD
	jmp mf_fault_flushed
	.else
	jmp mf_fault
	.endif
	vector = vector + 1
	.endr
	.balign ASM_FAULT_STRIDE, 0xcc
	.size mf_fault_stubs, . - mf_fault_stubs

	.globl mf_fault
	.type mf_fault, @function
	.weak mf_fault_take
/* Overridden by flush.S, in programs that contain it. */
	.weak mf_fault_flushed
	.set mf_fault_flushed, mf_fault
mf_fault:
	sub $ASM_FRAME_VECTOR, %rsp
	mov %rax, ASM_FRAME_REG(ASM_RAX)(%rsp)
	mov %rbx, ASM_FRAME_REG(ASM_RBX)(%rsp)
	mov %rcx, ASM_FRAME_REG(ASM_RCX)(%rsp)
	mov %rdx, ASM_FRAME_REG(ASM_RDX)(%rsp)
	mov %rsi, ASM_FRAME_REG(ASM_RSI)(%rsp)
	mov %rdi, ASM_FRAME_REG(ASM_RDI)(%rsp)
	mov %rbp, ASM_FRAME_REG(ASM_RBP)(%rsp)
	mov %r8, ASM_FRAME_REG(8)(%rsp)
	mov %r9, ASM_FRAME_REG(9)(%rsp)
	mov %r10, ASM_FRAME_REG(10)(%rsp)
	mov %r11, ASM_FRAME_REG(11)(%rsp)
	mov %r12, ASM_FRAME_REG(12)(%rsp)
	mov %r13, ASM_FRAME_REG(13)(%rsp)
	mov %r14, ASM_FRAME_REG(14)(%rsp)
	mov %r15, ASM_FRAME_REG(15)(%rsp)
	cld
	mov %rsp, %rdi
	mov $mf_fault_take, %eax
	test %eax, %eax
	jz 1f
	cmpl $0, ASM_FRAME_CS(%rsp) /* abort's frame has none */
	je 1f
	jmp *%rax

/*
 * Reports the frame that rdi points to, which is on this stack, as a crash.
 */
	.globl mf_fault_crash
mf_fault_crash:
1:	mov %rdi, %rbx
	lea -ASM_CRASH_BYTES(%rdi), %rsp
	mov ASM_FRAME_RSP(%rbx), %rax
	mov %rax, ASM_FRAME_REG(ASM_RSP)(%rbx)
	mov %rbx, %rsi
	lea ASM_CRASH_REGS(%rsp), %rdi
	mov $16, %ecx
	rep movsq
	xor %eax, %eax /* ASM_CRASH_FAULT */
	cmpl $0, ASM_FRAME_CS(%rbx)
	sete %al
	mov %eax, ASM_CRASH_KIND(%rsp)
	mov ASM_FRAME_VECTOR(%rbx), %eax
	mov %eax, ASM_CRASH_VECTOR(%rsp)
	mov ASM_FRAME_ERROR(%rbx), %rax
	mov %rax, ASM_CRASH_ERROR(%rsp)
	mov ASM_FRAME_RIP(%rbx), %rax
	mov %rax, ASM_CRASH_RIP(%rsp)
	mov ASM_FRAME_RFLAGS(%rbx), %rax
	mov %rax, ASM_CRASH_RFLAGS(%rsp)
	mov %rsp, %rdi
	xor %esi, %esi
	mov $ASM_HC_CRASH, %eax
	out %al, $ASM_HYPERCALL_PORT
	ud2
	.size mf_fault, . - mf_fault

/*
 * void mf_abort(uint32_t signal): the registers as its caller sees them, in a
 * frame with a code segment of 0.
 */
	.section .text.mf_abort, "ax", @progbits
	.globl mf_abort
	.type mf_abort, @function
mf_abort:
	lea -16(%rsp), %rsp
	pushf
	push $0
	push 32(%rsp) /* the return address */
	push $0
	mov %edi, %edi
	push %rdi
	lea 64(%rsp), %rdi
	mov %rdi, ASM_FRAME_RSP - ASM_FRAME_VECTOR(%rsp)
	mov (%rsp), %edi
	jmp mf_fault
	.size mf_abort, . - mf_abort

	.section .note.GNU-stack, "", @progbits
