/* SPDX-License-Identifier: MIT */
/* Crash reports: exceptions on their own stacks, and abort. */

#include "guest_rt/asm.h"

/*
 * An exception arrives on a fault stack of its own (the interrupted stack may
 * be the reason for it and is not touched), which then holds, from the top:
 *
 *   ss rsp rflags cs rip error vector        struct mf_crash
 *   `------- processor ------' `- stub -'
 *
 * with the error code pushed by the stub where the processor pushes none.
 * Nothing returns from here.
 */
#define FRAME_VECTOR (ASM_CRASH_BYTES + 0)
#define FRAME_ERROR  (ASM_CRASH_BYTES + 8)
#define FRAME_RIP    (ASM_CRASH_BYTES + 16)
#define FRAME_RFLAGS (ASM_CRASH_BYTES + 32)
#define FRAME_RSP    (ASM_CRASH_BYTES + 40)

/* Exceptions with an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX */
#define ERROR_CODES 0x60227d00

/* Stores all general registers but rax and rsp. */
.macro SAVE_REGISTERS
	mov %rbx, ASM_CRASH_REG(ASM_RBX)(%rsp)
	mov %rcx, ASM_CRASH_REG(ASM_RCX)(%rsp)
	mov %rdx, ASM_CRASH_REG(ASM_RDX)(%rsp)
	mov %rsi, ASM_CRASH_REG(ASM_RSI)(%rsp)
	mov %rdi, ASM_CRASH_REG(ASM_RDI)(%rsp)
	mov %rbp, ASM_CRASH_REG(ASM_RBP)(%rsp)
	mov %r8, ASM_CRASH_REG(8)(%rsp)
	mov %r9, ASM_CRASH_REG(9)(%rsp)
	mov %r10, ASM_CRASH_REG(10)(%rsp)
	mov %r11, ASM_CRASH_REG(11)(%rsp)
	mov %r12, ASM_CRASH_REG(12)(%rsp)
	mov %r13, ASM_CRASH_REG(13)(%rsp)
	mov %r14, ASM_CRASH_REG(14)(%rsp)
	mov %r15, ASM_CRASH_REG(15)(%rsp)
.endm

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
	jmp fault
	vector = vector + 1
	.endr
	.balign ASM_FAULT_STRIDE, 0xcc
	.size mf_fault_stubs, . - mf_fault_stubs

	.type fault, @function
fault:
	sub $ASM_CRASH_BYTES, %rsp
	mov %rax, ASM_CRASH_REG(ASM_RAX)(%rsp)
	SAVE_REGISTERS
	movl $ASM_CRASH_FAULT, ASM_CRASH_KIND(%rsp)
	mov FRAME_VECTOR(%rsp), %eax
	mov %eax, ASM_CRASH_VECTOR(%rsp)
	mov FRAME_ERROR(%rsp), %rax
	mov %rax, ASM_CRASH_ERROR(%rsp)
	mov FRAME_RIP(%rsp), %rax
	mov %rax, ASM_CRASH_RIP(%rsp)
	mov FRAME_RFLAGS(%rsp), %rax
	mov %rax, ASM_CRASH_RFLAGS(%rsp)
	mov FRAME_RSP(%rsp), %rax
	mov %rax, ASM_CRASH_REG(ASM_RSP)(%rsp)
report:
	mov %rsp, %rdi
	xor %esi, %esi
	mov $ASM_HC_CRASH, %eax
	out %al, $ASM_HYPERCALL_PORT
	ud2
	.size fault, . - fault

/* void mf_abort(uint32_t signal): the registers as its caller sees them. */
	.section .text.mf_abort, "ax", @progbits
	.globl mf_abort
	.type mf_abort, @function
mf_abort:
	pushf
	sub $ASM_CRASH_BYTES, %rsp
	mov %rax, ASM_CRASH_REG(ASM_RAX)(%rsp)
	SAVE_REGISTERS
	movl $ASM_CRASH_ABORT, ASM_CRASH_KIND(%rsp)
	mov %edi, ASM_CRASH_VECTOR(%rsp)
	movq $0, ASM_CRASH_ERROR(%rsp)
	mov ASM_CRASH_BYTES(%rsp), %rax
	mov %rax, ASM_CRASH_RFLAGS(%rsp)
	mov ASM_CRASH_BYTES + 8(%rsp), %rax
	mov %rax, ASM_CRASH_RIP(%rsp)
	lea ASM_CRASH_BYTES + 16(%rsp), %rax
	mov %rax, ASM_CRASH_REG(ASM_RSP)(%rsp)
	jmp report
	.size mf_abort, . - mf_abort

	.section .note.GNU-stack, "", @progbits
